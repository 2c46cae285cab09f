"""C6 and C13.widest: every claimed gate from several states, and as many wires as are claimed (floor 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from qimg_core.capabilities import MeasurementKind
from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.gates import PARAMETRIC, UNITARY, GateName
from qimg_core.circuit.pauli import PauliString
from qimg_core.errors import CapabilityError
from qimg_core.measurement import Expectation
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.circuits import one_gate, prepared, spread
from qimg_core.testing.conformance.compare import agree

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.circuit.ir import Gate
    from qimg_core.execution import ExecutionRequest
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

G = GateName
_MISTAKEN = {G.T: G.TDG, G.TDG: G.T, G.S: G.SDG, G.SDG: G.S, G.SX: G.X, G.Y: G.X, G.RXX: G.RYY, G.RYY: G.RXX}


@case("C6", "every claimed gate does what its matrix says, from several states and for angles of both signs")
def _gates(bench: Bench, checks: Checks) -> None:
    rows = 3 if bench.options.quick and not bench.noisy else 6
    tried: list[str] = []
    with bench.site() as site:
        for name in sorted(bench.caps.gates & UNITARY):
            circuit, wires = one_gate(name)
            if circuit.n_wires > bench.caps.max_wires:
                continue
            inputs = spread(bench.rng("gate", name.value), rows, circuit.n_inputs)
            order = wires if len(wires) > 1 else (1, 0)
            request = bench.request(circuit, bench.view(order), inputs)
            try:
                data = bench.run(site.driver, request)
            except NotApplicable as reason:
                checks.doubt(f"{name}: the states it is tried on cannot be made: {reason}")
                continue
            except CapabilityError as error:
                checks.fail(f"{name} is claimed and refused: {error.message}")
                continue
            tried.append(name.value)
            agree(bench, checks, name.value, request, data, _rivals(request, name) if bench.noisy else ())
    checks.evidence |= {"gates": tried, "states": rows}
    checks.says = f"{len(tried)} gates from {rows} states each" if tried else ""


def _rivals(request: ExecutionRequest, name: GateName) -> list[tuple[str, ExecutionRequest]]:
    """What adapters have made of this gate."""

    def changed(change: Callable[[Gate], tuple[Gate, ...]]) -> ExecutionRequest:
        gates = tuple(g for gate in request.circuit.gates for g in (change(gate) if gate.name is name else (gate,)))
        return evolve(request, circuit=evolve(request.circuit, gates=gates))

    def scaled(factor: float) -> ExecutionRequest:
        return changed(lambda g: (evolve(g, angles=tuple(a * factor for a in g.angles)),))

    found = [("the gate left out", changed(lambda _: ()))]
    if name in _MISTAKEN:
        other = _MISTAKEN[name]
        found.append((f"{other} in its place", changed(lambda g: (evolve(g, name=other),))))
    if (name.n_wires or 1) > 1:
        found.append(("its wires reversed", changed(lambda g: (evolve(g, wires=g.wires[::-1]),))))
    if name in PARAMETRIC:
        found += [(f"{f:g} times its angle", scaled(f)) for f in (-1, 0.5, 2)]
    return found


@case("C6.prepare", "a prepared state has the amplitudes that were given, first wire most significant")
def _prepare(bench: Bench, checks: Checks) -> None:
    if GateName.PREPARE not in bench.caps.gates:
        raise NotApplicable("the device does not claim prepare; the core writes it in rotations")
    bench.needs_wires(3)
    import numpy as np

    with bench.site() as site:
        for complex_state in (False, True):
            columns = 8 if complex_state else 4
            amplitudes = bench.rng("prepare", columns).normal(size=(bench.rows, columns))
            amplitudes /= np.linalg.norm(amplitudes, axis=1, keepdims=True)
            circuit = prepared(4, complex_state=complex_state)
            request = bench.request(circuit, bench.view((2, 0, 1)), amplitudes)
            what = "complex amplitudes" if complex_state else "real amplitudes"
            agree(bench, checks, what, request, bench.run(site.driver, request))


@case("C13.widest", "the widest circuit that is claimed runs")
def _widest(bench: Bench, checks: Checks) -> None:
    n = min(bench.caps.max_wires, bench.options.widest)
    import numpy as np

    b = CircuitBuilder(n).x(n - 1)
    if n > 2:
        b.ry(0, 0.7).cx(0, n // 2)
    claimed = bench.caps.measurements
    if MeasurementKind.EXPECTATION in claimed:
        ends = [PauliString(((0, "Z"),)), PauliString(((n - 1, "Z"),))]
        measurement, exact = Expectation(ends), [np.cos(0.7) if n > 2 else 1.0, -1.0]
        if n == 1:
            measurement, exact = Expectation(ends[:1]), [-1.0]
    else:
        raise NotApplicable("the device claims no expectation values, which the widest circuit is read by")
    request = bench.request(b.build(), measurement)
    with bench.site() as site:
        data = bench.run(site.driver, request)
    bench_tolerance = bench.options.tolerance if request.shots is None and not bench.noisy else 0.15
    checks.near(f"<Z> of the ends of {n} wires", data, [exact], max(bench_tolerance, 1e-12))
    checks.evidence |= {"wires": n, "claimed": bench.caps.max_wires}
    checks.says = f"{n} of {bench.caps.max_wires} claimed wires"


CASES = (_gates, _prepare, _widest)
