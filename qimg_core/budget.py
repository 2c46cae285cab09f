"""What one run may spend, and the interface of budgets that several runs share (floor 3; imports errors, execution)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import BudgetExceeded, PolicyError, UnknownCost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from decimal import Decimal

    from qimg_core.admission import Context
    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import Plan
    from qimg_core.job import JSON, Cost, Intent
    from qimg_core.jobs.outbox import Finished
    from qimg_core.ledger.base import Ledger


@frozen(kw_only=True)
class Budget:
    """Upper bounds of one run; None means no bound.

    Args:
        max_cost: in the provider's own unit.
        max_jobs: jobs sent to devices that are not free.
        max_shots: shots over all requests.
        max_depth, max_two_qubit_gates: of any circuit, as the device executes it.
        allow_unknown_cost: go on although a device publishes no price.
    """

    max_cost: Decimal | None = None
    max_jobs: int | None = None
    max_shots: int | None = None
    max_depth: int | None = None
    max_two_qubit_gates: int | None = None
    allow_unknown_cost: bool = False

    def to_json(self) -> dict[str, object]:
        return {
            "max_cost": None if self.max_cost is None else str(self.max_cost),
            "max_jobs": self.max_jobs,
            "max_shots": self.max_shots,
            "max_depth": self.max_depth,
            "max_two_qubit_gates": self.max_two_qubit_gates,
            "allow_unknown_cost": self.allow_unknown_cost,
        }


class Spending:
    """The running sum of one run. Each plan's upper bound is reserved before it is sent."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.cost: Decimal | int = 0
        self.jobs = 0
        self.shots = 0

    def reserve(self, plan: Plan) -> None:
        """Count the plan's upper bound. Raises as `check`; nothing is counted then."""
        self.check(plan)
        self.cost, self.jobs, self.shots = (
            self.cost + (plan.cost.high or 0),
            self.jobs + (0 if plan.cost.is_free else plan.n_jobs),
            self.shots + plan.total_shots,
        )

    def check(self, plan: Plan) -> None:
        """Would the plan's upper bound fit?

        Raises:
            UnknownCost: the price is not known and the budget does not allow that.
            BudgetExceeded: a bound would be passed.
        """
        budget, cost = self.budget, plan.cost
        if cost.high is None and not budget.allow_unknown_cost:
            raise UnknownCost(
                f"{plan.backend}: the price is not known ({cost.basis})",
                hint="set Budget(allow_unknown_cost=True), or --allow-unknown-cost, to go on",
            )
        jobs = 0 if cost.is_free else plan.n_jobs
        self._within("cost", self.cost + (cost.high or 0), budget.max_cost, cost)
        self._within("jobs", self.jobs + jobs, budget.max_jobs, cost)
        self._within("shots", self.shots + plan.total_shots, budget.max_shots, cost)

    def release(self, plan: Plan) -> None:
        """Take a reserved plan back, of which nothing was sent."""
        self.cost -= plan.cost.high or 0
        self.jobs -= 0 if plan.cost.is_free else plan.n_jobs
        self.shots -= plan.total_shots

    def reconcile(self, estimated: Cost, billed: Sequence[Cost]) -> None:
        """Put what was billed in the place of what was reserved, where every bill is known in the same unit."""
        if estimated.high is None or any(b.high is None or b.unit != estimated.unit for b in billed):
            return
        self.cost += sum((b.high for b in billed if b.high is not None), -estimated.high)

    @staticmethod
    def _within(what: str, wanted: Decimal | int, bound: Decimal | int | None, cost: Cost) -> None:
        if bound is not None and wanted > bound:
            unit = f" {cost.unit}" if what == "cost" else ""
            raise BudgetExceeded(f"{what}: this would make {wanted}{unit}, the budget allows {bound}{unit}")


@frozen(kw_only=True, eq=False)
class Spend:
    """An admitted plan that is about to be sent, as the hook ``qimg_reserve`` sees it; never free work in this process.

    Args:
        plan: its ``cost.high`` is the upper bound of all jobs together.
        capabilities: of the device.
        context: of the run.
        intents: one per job, in order; not in the ledger yet.
        ledger: the run's log.
        record: appends an entry of the run, durable on return.
        resumed: an earlier process of this run may have sent some of these jobs.
    """

    plan: Plan
    capabilities: Capabilities
    context: Context
    intents: tuple[Intent, ...]
    ledger: Ledger = field(repr=False)
    record: Callable[[str, Mapping[str, JSON]], object] = field(repr=False)
    resumed: bool = False


@frozen(kw_only=True, eq=False)
class Forecast:
    """Work that is only planned, as the hook ``qimg_foresee`` sees it; never free work in this process.

    Args:
        plan: of the first request.
        cost: of all requests; ``cost.high`` is the upper bound.
        jobs, rows: of all requests, at most.
        ledger: the log that the run would write, for reading; None where it does not exist yet.
    """

    plan: Plan
    cost: Cost
    jobs: int
    rows: int
    ledger: Ledger | None = field(repr=False)


@frozen(kw_only=True, eq=False)
class Outlook:
    """What a shared budget says of a `Forecast`; nothing is reserved.

    Args:
        name: of the budget, for people.
        refused: what the road would raise; None where the work fits.
        warnings: soft limits that it would pass.
        lines: what is left, as pairs for people.
        facts: the same for ``--json``.
    """

    name: str
    refused: PolicyError | None = None
    warnings: tuple[str, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    facts: Mapping[str, object] = field(factory=dict)


class Reservation(ABC):
    """What a shared budget holds for one plan, until its jobs have ended. One of the two is called, once."""

    @abstractmethod
    def finished(self, finished: Sequence[Finished]) -> None:
        """Every job has its result, which is in the ledger."""

    @abstractmethod
    def interrupted(self, error: BaseException) -> None:
        """Something went wrong on the way; the ledger has what is known of each job. Uncertain money stays reserved."""
