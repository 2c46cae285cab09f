"""Which device runs a request: the one asked for, or the next of an explicit chain (floor 5).

Fallback is off unless the caller names a chain. A surrogate is used only where it is named, and the
record says what was asked, what ran and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from qimg_core.capabilities import Billing, Capabilities, GradientMethod, Mismatch
from qimg_core.chunks import split
from qimg_core.errors import BackendUnavailable, CapabilityError, FallbackExhausted, QimgError
from qimg_core.execution import Plan, is_tensor
from qimg_core.job import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qimg_core.backend import Backend
    from qimg_core.execution import ExecutionRequest


@frozen(eq=False)
class Route:
    """A plan and the driver it is for, with the reason where it is not the device asked for."""

    plan: Plan
    backend: Backend
    fallback_reason: str | None = None


def plan_for(backend: Backend, request: ExecutionRequest, gradient: GradientMethod | None = None) -> Plan:
    """Make a request concrete for one device. Pure: sends nothing, writes nothing.

    Raises:
        CapabilityError: the device cannot run it, even lowered.
    """
    caps = backend.capabilities
    lowered, decisions = _lower(request, caps)
    if is_tensor(request.inputs) and GradientMethod.BACKPROP not in caps.gradients:
        raise CapabilityError(backend.name, [Mismatch("arrays", "torch tensors", "numpy arrays")])
    if mismatches := caps.check(lowered):
        raise CapabilityError(backend.name, mismatches)
    rows = split(request.rows, caps.max_rows)
    if len(rows) > 1:
        decisions = (*decisions, f"{request.rows} rows in {len(rows)} jobs of at most {caps.max_rows}")
    draft = Plan(
        request=request,
        lowered=lowered,
        backend=backend.name,
        gradient=gradient,
        rows_per_job=rows,
        cost=Cost.free() if caps.billing is Billing.FREE else Cost.unknown("draft"),
        decisions=decisions,
    )
    return draft if caps.billing is Billing.FREE else evolve(draft, cost=backend.estimate(draft))


def route(
    request: ExecutionRequest,
    chain: Sequence[str],
    open_backend: Callable[[str], Backend],
    gradient: GradientMethod | None = None,
) -> Route:
    """The first device of the chain that can run the request.

    Args:
        request: what to run.
        chain: the device asked for, then the fallbacks that the caller allowed.
        open_backend: gives the driver of a name.
        gradient: goes into the plan.

    Raises:
        CapabilityError, BackendUnavailable: the only device of the chain cannot.
        FallbackExhausted: none of several can; holds one error per device.
    """
    failures: list[QimgError] = []
    for name in chain:
        try:
            backend = open_backend(name)
            plan = plan_for(backend, request, gradient)
        except (CapabilityError, BackendUnavailable) as cause:
            failures.append(cause)
            continue
        if not failures:
            return Route(plan, backend)
        reason = "; ".join(f.message for f in failures)
        note = f"fell back from {chain[0]} to {name}: {reason}"
        return Route(evolve(plan, decisions=(*plan.decisions, note)), backend, reason)
    if len(failures) == 1:
        raise failures[0]
    raise FallbackExhausted(f"none of {', '.join(chain)} can run this request", failures)


def _lower(request: ExecutionRequest, caps: Capabilities) -> tuple[ExecutionRequest, tuple[str, ...]]:
    if all(g.name in caps.gates for g in request.circuit.gates) or is_tensor(request.inputs):
        return request, ()
    from qimg_core.lowering import lower

    lowered, decisions = lower(request, caps.gates)
    return lowered, tuple(decisions)
