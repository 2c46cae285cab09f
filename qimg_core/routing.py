"""Which device runs a request: the one asked for, or the next of an explicit chain (floor 5).

Fallback is off unless the caller names a chain. A surrogate is used only where it is named, and the
record says what was asked, what ran and why.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from qimg_core.capabilities import Billing, Capabilities, GradientMethod, Mismatch
from qimg_core.chunks import split, split_shots
from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    CapabilityError,
    ConfigurationError,
    DeadlinePassed,
    FallbackExhausted,
    JobFailed,
    PluginError,
    QimgError,
    SubmissionRejected,
    UnknownName,
)
from qimg_core.execution import Footprint, Plan, is_tensor
from qimg_core.job import Cost

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from qimg_core.backend import Backend
    from qimg_core.budget import Budget
    from qimg_core.execution import ExecutionRequest

_HOP = re.compile(r"(?P<name>[^\[\]]+)(\[(?P<limits>[^\[\]]*)\])?")


@frozen
class Hop:
    """One device of a chain, with the bounds after which the next one is asked.

    Args:
        backend: name of the device.
        within: seconds for the jobs of one request; then they are cancelled and the chain goes on.
        rows: most rows of a request.
        wires: most wires of its circuit.
    """

    backend: str
    within: float | None = None
    rows: int | None = None
    wires: int | None = None

    @classmethod
    def parse(cls, text: str) -> Hop:
        """Read ``ibm:ibm_fez[within=600,rows=64,wires=12]``, the bounds optional.

        Raises:
            ConfigurationError: an unknown bound or a number that is none.
        """
        match = _HOP.fullmatch(text.strip())
        if match is None:
            raise ConfigurationError(f"wanted a device such as ibm:ibm_fez[within=600,rows=64], got {text!r}")
        found: dict[str, float] = {}
        for item in filter(None, (i.strip() for i in (match["limits"] or "").split(","))):
            name, _, value = item.partition("=")
            if name not in ("within", "rows", "wires") or not re.fullmatch(r"\d+(\.\d+)?", value):
                raise ConfigurationError(
                    f"{text!r}: wanted within=SECONDS, rows=NUMBER or wires=NUMBER in the brackets, got {item!r}"
                )
            found[name] = float(value)
        return cls(
            match["name"].strip(),
            found.get("within"),
            int(found["rows"]) if "rows" in found else None,
            int(found["wires"]) if "wires" in found else None,
        )

    def check(self, request: ExecutionRequest) -> None:
        """Refuse what passes this hop's size limits.

        Raises:
            CapabilityError
        """
        found = []
        if self.rows is not None and request.rows > self.rows:
            found.append(Mismatch("rows", str(request.rows), f"up to {self.rows} by the chain's limit"))
        if self.wires is not None and request.circuit.n_wires > self.wires:
            found.append(Mismatch("wires", str(request.circuit.n_wires), f"up to {self.wires} by the chain's limit"))
        if found:
            raise CapabilityError(self.backend, found)


@frozen(eq=False)
class Route:
    """A plan and the driver it is for, with the reason where it is not the device asked for.

    Args:
        plan: for that device.
        backend: its driver.
        fallback_reason: why not the device asked for.
        hop: index into the chain.
        failures: one error per device tried before.
    """

    plan: Plan
    backend: Backend
    fallback_reason: str | None = None
    hop: int = 0
    failures: tuple[QimgError, ...] = ()


def plan_for(
    backend: Backend,
    request: ExecutionRequest,
    gradient: GradientMethod | None = None,
    budget: Budget | None = None,
) -> Plan:
    """Make a request concrete for one device. Pure: sends nothing, writes nothing.

    Args:
        backend: the driver.
        request: what to run.
        gradient: goes into the plan.
        budget: its bounds of depth and two-qubit gates hold for the circuit as the device executes it.

    Raises:
        CapabilityError: the device cannot run it, even lowered; or its circuit is over the budget's bounds.
    """
    caps = backend.capabilities
    lowered, decisions = _lower(request, caps)
    if is_tensor(request.inputs) and GradientMethod.BACKPROP not in caps.gradients:
        raise CapabilityError(backend.name, [Mismatch("arrays", "torch tensors", "numpy arrays")])
    pieces = split_shots(request.shots, caps.shots[1] if caps.shots else None)
    checked = evolve(lowered, shots=max(pieces)) if pieces else lowered
    if mismatches := caps.check(checked):
        raise CapabilityError(backend.name, mismatches)
    rows = split(request.rows, backend.rows_per_job(lowered))
    if len(rows) > 1:
        decisions = (*decisions, f"{request.rows} rows in {len(rows)} jobs of at most {rows[0]}")
    if pieces:
        decisions = (*decisions, f"{request.shots} shots in {len(pieces)} pieces of at most {max(pieces)}")
    if pieces and is_tensor(request.inputs):
        raise CapabilityError(backend.name, [Mismatch("shots", str(request.shots), f"up to {max(pieces)} at once")])
    draft = Plan(
        request=request,
        lowered=lowered,
        backend=backend.name,
        gradient=gradient,
        rows_per_job=rows,
        shots_per_job=pieces,
        cost=Cost.free() if caps.billing is Billing.FREE else Cost.unknown("draft"),
        decisions=decisions,
        footprint=_footprint(backend, lowered, caps, budget),
    )
    here = caps.billing is Billing.FREE and not caps.remote
    return draft if here else evolve(draft, cost=backend.estimate(draft))


def route(
    request: ExecutionRequest,
    chain: Sequence[Hop],
    open_backend: Callable[[str], Backend],
    gradient: GradientMethod | None = None,
    budget: Budget | None = None,
    *,
    start: int = 0,
    failures: Sequence[QimgError] = (),
) -> Route:
    """The first device of the chain, from ``start`` on, that can run the request.

    Args:
        request: what to run.
        chain: the device asked for, then the fallbacks that the caller allowed.
        open_backend: gives the driver of a name, or raises `BackendUnavailable` for one that is left alone.
        gradient: goes into the plan.
        budget: bounds of depth and two-qubit gates.
        start: first hop to try.
        failures: why the hops before it failed.

    Raises:
        CapabilityError, BackendUnavailable: the only device of the chain cannot.
        FallbackExhausted: none of several can; holds one error per device.
    """
    tried = list(failures)
    for index in range(start, len(chain)):
        hop = chain[index]
        try:
            hop.check(request)
            backend = open_backend(hop.backend)
            if (larger := successor(backend, request)) is not None:
                found = _handed_over(backend.name, request, larger, open_backend, gradient, budget)
                if not tried:
                    return evolve(found, hop=index)
                backend, plan = found.backend, found.plan
            else:
                plan = plan_for(backend, request, gradient, budget)
        except (CapabilityError, BackendUnavailable, AuthenticationError) as cause:
            tried.append(cause)
            continue
        if not tried:
            return Route(plan, backend, hop=index)
        reason = "; ".join(f.message for f in tried)
        note = f"fell back from {chain[0].backend} to {hop.backend}: {reason}"
        return Route(evolve(plan, decisions=(*plan.decisions, note)), backend, reason, index, tuple(tried))
    if len(tried) == 1 and len(chain) == 1:
        raise tried[0]
    raise FallbackExhausted(f"none of {', '.join(h.backend for h in chain)} can run this request", tried)


def successor(backend: Backend, request: ExecutionRequest) -> str | None:
    """The device that takes a circuit of more wires than this one does, if it names one."""
    caps = backend.capabilities
    return caps.successor if request.circuit.n_wires > caps.max_wires else None


def _handed_over(
    asked: str,
    request: ExecutionRequest,
    larger: str,
    open_backend: Callable[[str], Backend],
    gradient: GradientMethod | None,
    budget: Budget | None,
) -> Route:
    first = open_backend(asked).capabilities
    reason = f"{asked} takes {first.max_wires} wires, the circuit has {request.circuit.n_wires}"
    try:
        backend = open_backend(larger)
    except (UnknownName, PluginError) as missing:
        wires = Mismatch("wires", str(request.circuit.n_wires), f"up to {first.max_wires}")
        hint = f"larger circuits are handed over to {larger}, which is not installed here: qimg plugin list"
        raise CapabilityError(asked, [wires], hint=hint) from missing
    plan = plan_for(backend, request, gradient, budget)
    note = f"handed over from {asked} to {larger}: {reason}"
    return Route(evolve(plan, decisions=(*plan.decisions, note)), backend, reason)


def may_fall_back(error: QimgError) -> bool:
    """May a chain go on after this? Only where no accepted job is left open, and none is uncertain."""
    if isinstance(error, (DeadlinePassed, JobFailed)):
        return True
    safe = isinstance(error, (BackendUnavailable, AuthenticationError, SubmissionRejected))
    return safe and not error.facts.get("accepted")


def _footprint(
    backend: Backend, lowered: ExecutionRequest, caps: Capabilities, budget: Budget | None
) -> Footprint | None:
    bounded = budget is not None and (budget.max_depth is not None or budget.max_two_qubit_gates is not None)
    found = backend.footprint(lowered) if caps.compiles else None
    if found is None and (bounded or caps.remote):
        from qimg_core.circuit.resources import resources

        r = resources(lowered.circuit)
        found = Footprint(wires=r.wires, depth=r.depth, two_qubit_gates=r.two_qubit_gates)
    if found is not None and budget is not None and bounded:
        over = [
            Mismatch(name, f"{value} ({found.basis})", f"up to {most} by the budget")
            for name, value, most in (
                ("depth", found.depth, budget.max_depth),
                ("two-qubit gates", found.two_qubit_gates, budget.max_two_qubit_gates),
            )
            if most is not None and value > most
        ]
        if over:
            raise CapabilityError(
                backend.name, over, hint="fewer layers, a device with better connectivity, or a larger budget"
            )
    return found


def _lower(request: ExecutionRequest, caps: Capabilities) -> tuple[ExecutionRequest, tuple[str, ...]]:
    if not caps.groups:
        request = request.by_row()
    if all(g.name in caps.gates for g in request.circuit.gates) or is_tensor(request.inputs):
        return request, ()
    from qimg_core.lowering import lower

    lowered, decisions = lower(request, caps.gates)
    return lowered, tuple(decisions)
