"""C9: noise as its definition says (floor 8; imports the bench and the dense oracle)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.capabilities import MeasurementKind
from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.gates import PARAMETRIC, UNITARY, GateName
from qimg_core.circuit.pauli import pauli
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_core.noise import NoiseModel, NoiseRule, amplitude_damping, bit_flip, dephasing, depolarizing
from qimg_core.testing.conformance.case import NotApplicable, Undecided, case
from qimg_core.testing.conformance.circuits import turn
from qimg_core.testing.conformance.compare import agree

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit
    from qimg_core.measurement import Measurement
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

MODELS = {
    "depolarising after every gate": NoiseModel((NoiseRule(depolarizing(0.07)),)),
    "damping after ry and cx, dephasing after rz": NoiseModel(
        (NoiseRule(amplitude_damping(0.12), ("ry", "cx")), NoiseRule(dephasing(0.09), ("rz",)))
    ),
    "bit flips after cx, then damping of everything": NoiseModel(
        (NoiseRule(bit_flip(0.05), ("cx",)), NoiseRule(amplitude_damping(0.03)))
    ),
    "read-out errors, more of one kind": NoiseModel((), (0.11, 0.03)),
    "everything together": NoiseModel(
        (NoiseRule(depolarizing(0.02)), NoiseRule(amplitude_damping(0.06), ("cx", "rx"))), (0.02, 0.08)
    ),
}


def noisy_circuit() -> Circuit:
    """Rotations and CX on three wires, so that nothing has to be lowered."""
    b = CircuitBuilder(3)
    for w in range(3):
        turn(b, w, (0.7 + 0.2 * w, -0.5, 0.9 - 0.3 * w))
    b.cx(0, 1).cx(2, 0)
    for w in range(3):
        turn(b, w, (0.4, 0.6 + 0.1 * w, -0.8))
    return b.cx(1, 2).build()


def _ready(bench: Bench) -> Circuit:
    if not bench.caps.noise:
        raise NotApplicable("the device claims no noise models; C13.unclaimed shows that it refuses them")
    if bench.noisy:
        raise Undecided("a device with noise of its own: what is added to it cannot be told apart")
    bench.needs_wires(3)
    circuit = noisy_circuit()
    if missing := {g.name for g in circuit.gates} - bench.caps.gates:
        raise Undecided(f"the circuit of this case takes {', '.join(sorted(missing))}")
    return circuit


def _measurements(bench: Bench) -> list[Measurement]:
    found: list[Measurement] = []
    claimed = bench.caps.measurements
    if MeasurementKind.PROBABILITIES in claimed:
        found.append(Probabilities((2, 0)))
    if MeasurementKind.EXPECTATION in claimed:
        found.append(Expectation([pauli("Z0"), pauli("X1 Y2", -2.0), pauli("Z0 Z2"), pauli("Y0")]))
    if MeasurementKind.LOCAL_STATES in claimed:
        found.append(LocalStates([(2, 1)] if bench.caps.max_window > 1 else [(2,)]))
    return found


@case("C9.channels", "every channel after the gates that its rule names, and read-out errors, as defined")
def _channels(bench: Bench, checks: Checks) -> None:
    circuit = _ready(bench)
    with bench.site() as site:
        for what, noise in MODELS.items():
            for measurement in _measurements(bench):
                request = bench.request(circuit, measurement, noise=noise)
                data = bench.run(site.driver, request)
                agree(bench, checks, f"{what}: {measurement.kind}", request, data)
    checks.evidence["models"] = list(MODELS)


@case("C9.state", "with noise a state is the density matrix")
def _density(bench: Bench, checks: Checks) -> None:
    circuit = _ready(bench)
    bench.needs(MeasurementKind.STATE)
    request = bench.request(circuit, State(), noise=MODELS["damping after ry and cx, dephasing after rz"])
    with bench.site() as site:
        agree(bench, checks, "density matrix", request, bench.run(site.driver, request))


@case("C9.gates", "noise follows each claimed gate once on each of its wires")
def _every_gate(bench: Bench, checks: Checks) -> None:
    _ready(bench)
    noise = NoiseModel((NoiseRule(depolarizing(0.2)), NoiseRule(amplitude_damping(0.3))))
    names = sorted(bench.caps.gates & UNITARY)
    with bench.site() as site:
        for name in names[:: 4 if bench.options.quick else 1]:
            b = CircuitBuilder(3)
            k = GateName(name).n_wires or 1
            b.gate(name, *(2, 0, 1)[:k], angles=(0.8,) if name in PARAMETRIC else ())
            request = bench.request(b.build(), bench.view((2, 0, 1)), noise=noise)
            agree(bench, checks, name.value, request, bench.run(site.driver, request))


CASES = (_channels, _density, _every_gate)
