"""`plan_sampling`: what making images will ask of a device and cost, before anything is sent (imports session).

A model's first request is planned on the same road as when it runs, and not admitted. The rest follows from the bounds
that every generator gives in `Generator.workload`.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from qimg_core.errors import ConfigurationError
from qimg_core.job import Cost
from qimg_core.session import Session

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.capabilities import GradientMethod
    from qimg_core.execution import ExecutionRequest, Plan
    from qimg_core.generator import Generator, Workload


class _Stopped(Exception):
    """The first request has its plan."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan


class PlanningSession(Session):
    """A session whose first request is planned and then ends the call: nothing is admitted, sent or recorded."""

    def execute(self, request: ExecutionRequest, *, gradient: GradientMethod | None = None, label: str = "") -> Any:
        """Plan ``request`` and stop."""
        raise _Stopped(self.plan(request, gradient=gradient))


@frozen(kw_only=True)
class SamplingPlan:
    """Bounds for ``model.sample(n)``.

    Args:
        n: images.
        workload: what the model says that it will ask for, at most.
        first: the plan of its first request; None for a model that asks nothing of a device.
        cost: of all requests; not known where one request's is not.
    """

    n: int
    workload: Workload
    first: Plan | None
    cost: Cost

    @property
    def jobs(self) -> int:
        """At most."""
        return 0 if self.first is None else self.first.n_jobs * self.workload.requests

    @property
    def per_image(self) -> dict[str, float]:
        """Rows, circuit executions (a row in one basis) and shots of an image, at most."""
        w = self.workload
        return {
            "rows": w.rows / self.n,
            "executions": w.rows * w.bases / self.n,
            "shots": w.total_shots / self.n,
        }


def plan_sampling(model: Generator, n: int, *, condition: Sequence[int] | None = None) -> SamplingPlan:
    """The plan of ``model.sample(n)``.

    Args:
        model: bound to a `PlanningSession`.
        n: how many images.
        condition: classes in turn.

    Raises:
        ConfigurationError: another kind of session, or no images.
        CapabilityError: no device of the chain can run the model's circuit.
        DataError: a class that the model does not know.
    """
    if not isinstance(model.session, PlanningSession):
        raise ConfigurationError("a plan wants a model of a PlanningSession: in others sampling would begin")
    if n < 1:
        raise ConfigurationError(f"wanted 1 image or more, got {n}")
    workload, first = model.workload(n), None
    if workload.requests:
        try:
            model.sample(n, condition=condition)
        except _Stopped as stopped:
            first = stopped.plan
    return SamplingPlan(n=n, workload=workload, first=first, cost=_total(workload, first))


def _total(workload: Workload, first: Plan | None) -> Cost:
    """Requests times the first one's upper bound, which is of a full batch; the lower bound goes by rows."""
    if first is None:
        return Cost.free("nothing runs on a device")
    cost, rows = first.cost, first.request.rows
    low = None if cost.low is None else cost.low * Decimal(workload.rows) / Decimal(rows)
    high = None if cost.high is None else cost.high * workload.requests
    if low is not None and high is not None:
        low = min(low, high)
    return evolve(cost, low=low, high=high)
