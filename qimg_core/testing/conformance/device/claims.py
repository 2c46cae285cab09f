"""C13: what is not claimed is refused before anything is sent (floor 8; imports the bench, session)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from qimg_core.capabilities import GradientMethod, MeasurementKind
from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.gates import PARAMETRIC, UNITARY, GateName
from qimg_core.circuit.ir import Circuit, Gate
from qimg_core.errors import CapabilityError, QimgError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Measurement, Probabilities, Samples, State
from qimg_core.noise import NoiseModel, NoiseRule, depolarizing
from qimg_core.routing import plan_for
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.circuits import lone_x, words
from qimg_core.testing.conformance.road import new_session, watched
from qimg_core.testing.server import FakeServer, Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

_ALL: dict[MeasurementKind, Measurement] = {
    MeasurementKind.EXPECTATION: Expectation(words((0,))),
    MeasurementKind.LOCAL_STATES: LocalStates([(0,)]),
    MeasurementKind.PROBABILITIES: Probabilities((0,)),
    MeasurementKind.SAMPLES: Samples((0,)),
    MeasurementKind.STATE: State(),
}


@frozen
class Beyond:
    """A request that passes what a device claims, and the field that has to be named in the refusal."""

    what: str
    field: str
    request: ExecutionRequest


def _request(circuit: Circuit, measurement: Measurement, **changes: Any) -> ExecutionRequest:
    import numpy as np

    return ExecutionRequest(
        circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=measurement, **changes
    )


def beyond(bench: Bench) -> Iterator[Beyond]:
    """One request beyond each claim."""
    import numpy as np

    caps, one = bench.caps, lone_x(1, 0)
    view, plain = bench.view((0,)), bench.request(one, bench.view((0,)))
    sampled = {"shots": plain.shots, "seed": plain.seed}
    n = caps.max_wires
    yield Beyond(f"{n + 1} wires", "wires", _request(lone_x(n + 1, n), view, **sampled))
    for kind, measurement in _ALL.items():
        if kind not in caps.measurements:
            shots = (
                sampled
                if kind is not MeasurementKind.SAMPLES
                else {"shots": 1 if caps.shots is None else bench.shots()}
            )
            yield Beyond(kind.value, "measurement", _request(one, measurement, **shots))
    if MeasurementKind.LOCAL_STATES in caps.measurements and caps.max_window < n:
        window = tuple(range(caps.max_window + 1))
        yield Beyond(
            f"a window of {len(window)} wires", "window", _request(lone_x(n, 0), LocalStates([window]), **sampled)
        )
    if not caps.analytic:
        yield Beyond("exact numbers", "shots", _request(one, view))
    if caps.shots is None:
        yield Beyond("100 shots", "shots", _request(one, view, shots=100))
    elif caps.shots[0] > 1:
        yield Beyond(f"{caps.shots[0] - 1} shots", "shots", _request(one, view, shots=caps.shots[0] - 1))
    if not caps.noise:
        yield Beyond(
            "noise", "noise", _request(one, view, noise=NoiseModel((NoiseRule(depolarizing(0.1)),)), **sampled)
        )
    if not caps.contracts and MeasurementKind.LOCAL_STATES in caps.measurements:
        readout = (np.eye(2, dtype=complex)[None],)
        yield Beyond("a contracted read-out", "readout", _request(one, LocalStates([(0,)]), readout=readout, **sampled))
    if not caps.seeded and caps.shots is not None:
        yield Beyond("a required seed", "seed", _request(one, view, shots=bench.shots(), seed=1, require_seed=True))
    for name in (GateName.MEASURE, GateName.RESET):
        if name not in caps.gates:
            yield Beyond(name.value, "gates", _request(Circuit(1, (Gate(name, (0,)),)), view, **sampled))


@case("C13.unclaimed", "what is not claimed is refused with both sides named, and nothing reaches the driver")
def _unclaimed(bench: Bench, checks: Checks) -> None:
    tried = []
    with bench.site() as site:
        driver = site.driver
        calls = watched(driver)
        before = _seen(site.server)
        for b in beyond(bench):
            tried.append(b.what)
            for way in ("plan_for", "Session"):
                _refused(bench, checks, b, way, driver)
        checks.that("nothing was submitted", not calls, f"{len(calls)} submissions")
        sent = _seen(site.server) - before
        checks.that("nothing was sent", sent == 0, f"{sent} submissions reached the provider")
    checks.evidence["beyond"] = tried
    checks.says = f"{len(tried)} requests beyond the claims, each refused twice"


def _refused(bench: Bench, checks: Checks, b: Beyond, way: str, driver: Any) -> None:
    try:
        if way == "plan_for":
            plan_for(driver, b.request)
        else:
            new_session(bench, driver).execute(b.request)  # not closed: the driver is used again
    except CapabilityError as error:
        named = {m.field for m in error.mismatches}
        checks.that(f"{b.what} by {way}", b.field in named, f"wanted {b.field} among {sorted(named)}")
    except QimgError as error:
        checks.fail(f"{b.what} by {way}: wanted a CapabilityError, got {type(error).__name__}: {error.message}")
    else:
        checks.fail(f"{b.what} by {way}: it is not claimed and was not refused")


def _seen(server: Any) -> int:
    """Submissions that a fake provider on a port has seen; a fake in memory has its jobs counted elsewhere."""
    if not isinstance(server, FakeServer):
        return 0
    asked = [Request(s.method, s.path.partition("?")[0], s.path.partition("?")[2], {}, s.body) for s in server.seen]
    return sum(server.stage(r) == "submit" for r in asked)


@case("C13.gates", "a gate that is not claimed is written with claimed ones, or refused by name")
def _lowered(bench: Bench, checks: Checks) -> None:
    names = {"rewritten": [], "refused": []}  # type: dict[str, list[str]]
    with bench.site() as site:
        driver = site.driver
        for name in sorted(UNITARY - bench.caps.gates):
            k = name.n_wires or 1
            if k > bench.caps.max_wires:
                continue
            b = CircuitBuilder(k).gate(name, *range(k), angles=(0.3,) if name in PARAMETRIC else ())
            try:
                plan = plan_for(driver, bench.request(b.build(), bench.view((0,))))
            except CapabilityError as error:
                names["refused"].append(name.value)
                checks.that(f"{name} refused", any("gates" in m.field for m in error.mismatches), error.message)
                continue
            names["rewritten"].append(name.value)
            used = {g.name for g in plan.lowered.circuit.gates}
            checks.that(f"{name} rewritten", used <= bench.caps.gates, f"{sorted(used - bench.caps.gates)} in the plan")
            checks.that(f"{name}: the plan says so", any(name.value in d for d in plan.decisions), str(plan.decisions))
    checks.evidence |= names
    if not names["rewritten"] and not names["refused"]:
        checks.that("every gate is claimed", bench.caps.gates >= UNITARY or bench.caps.max_wires < 3)
        checks.says = "every gate is claimed"


@case("C13.limits", "more rows or shots than a job takes are cut into jobs that take them")
def _cut(bench: Bench, checks: Checks) -> None:
    caps = bench.caps
    if caps.max_rows is None and (caps.shots is None or caps.shots[1] is None):
        raise NotApplicable("no limit of rows or shots is claimed")
    import numpy as np

    with bench.site() as site:
        driver = site.driver
        if caps.max_rows is not None:
            rows = min(3 * caps.max_rows + 1, 100_000)
            request = evolve(bench.request(lone_x(1, 0), bench.view((0,))), inputs=np.zeros((rows, 0)))
            plan = plan_for(driver, request)
            checks.that("rows of a job", max(plan.rows_per_job) <= caps.max_rows, str(plan.rows_per_job[:4]))
            checks.that("rows in all", sum(plan.rows_per_job) == rows, str(sum(plan.rows_per_job)))
        if caps.shots is not None and caps.shots[1] is not None:
            most = caps.shots[1]
            plan = plan_for(driver, _request(lone_x(1, 0), bench.view((0,)), shots=2 * most + 1))
            checks.that("shots of a job", max(plan.shots_per_job) <= most, str(plan.shots_per_job))
            checks.that("shots in all", sum(plan.shots_per_job) == 2 * most + 1, str(plan.shots_per_job))
    checks.evidence |= {"max_rows": caps.max_rows, "shots": caps.shots}


@case("C13.gradients", "no gradient method is offered that is not claimed")
def _gradients(bench: Bench, checks: Checks) -> None:
    import numpy as np

    with bench.site() as site:
        driver = site.driver
        request = bench.request(lone_x(1, 0), bench.view((0,)))
        if GradientMethod.ADJOINT not in bench.caps.gradients:
            try:
                driver.vjp(request, np.zeros((1, max(1, request.measurement.width))))
            except CapabilityError:
                checks.that("adjoint gradients are refused", True)
            else:
                checks.fail("adjoint gradients are not claimed and were not refused")
    if not checks.count and not checks.failures:
        checks.that("adjoint gradients are claimed, see C21", True)


CASES = (_unclaimed, _lowered, _cut, _gradients)
