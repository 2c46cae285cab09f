"""The kit's dense oracle against Qiskit's density matrices, and its circuits against known faults."""

import itertools

import numpy as np
import pytest
from attrs import evolve

from qimg_core.circuit import CircuitBuilder, Gate, GateName, pauli
from qimg_core.circuit.gates import PARAMETRIC, UNITARY
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_core.noise import NoiseModel, NoiseRule, amplitude_damping, dephasing, depolarizing
from qimg_core.testing.conformance.circuits import ORDER3, ORDER5, spread, zoo
from qimg_core.testing.conformance.dense import contracted, density_matrix, distribution, expected, pauli_coefficients
from qimg_core.testing.conformance.device.wires import SEED3, SEED5

G = GateName


def qiskit_density_matrix(circuit, values, noise):
    """Qiskit's own gates and Kraus channels; big-endian."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import DensityMatrix, Kraus
    from qiskit.quantum_info import Pauli as QiskitPauli

    rho = DensityMatrix.from_label("0" * circuit.n_wires)
    for gate in circuit.gates:
        angles = [a.offset + (0 if a.parameter is None else a.scale * values[a.parameter]) for a in gate.angles]
        one = QuantumCircuit(len(gate.wires))
        getattr(one, gate.name.value)(*angles, *range(len(gate.wires)))
        rho = rho.evolve(one, qargs=list(gate.wires))
        for rule in noise.rules:
            if rule.gates and gate.name not in rule.gates:
                continue
            if rule.channel.pauli is None:
                kraus = [np.array(k) for k in rule.channel.kraus]
            else:
                kraus = [
                    np.sqrt(p) * QiskitPauli(l).to_matrix() for p, l in zip(rule.channel.pauli, "IXYZ", strict=True)
                ]
            for wire in gate.wires:
                rho = rho.evolve(Kraus(kraus), qargs=[wire])
    return rho.reverse_qargs().data


NOISE = NoiseModel(
    (
        NoiseRule(depolarizing(0.1)),
        NoiseRule(amplitude_damping(0.2), ("cx", "ry")),
        NoiseRule(dephasing(0.15), ("rxx",)),
    ),
    (0.1, 0.03),
)


def test_density_matrices_are_qiskits():
    circuit = zoo(3, 5, inputs=False)
    assert {g.name for g in circuit.gates} == UNITARY
    got = density_matrix(circuit, np.zeros(0), NOISE)
    np.testing.assert_allclose(got, qiskit_density_matrix(circuit, np.zeros(0), NOISE), atol=1e-10)


def request(measurement, noise=NOISE, **more):
    circuit = zoo(3, 5, inputs=False)
    return ExecutionRequest(
        circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=measurement, noise=noise, **more
    )


def test_noisy_results_by_hand_from_the_density_matrix():
    """Read-out errors are applied to outcomes that are enumerated one by one."""
    rho = expected(request(State()))[0]
    one, zero = NOISE.readout
    confusion = np.array([[1 - one, zero], [one, 1 - zero]])
    diagonal = rho.diagonal().real.reshape(2, 2, 2)
    wanted = np.zeros((2, 2))
    for a, b, c in itertools.product(range(2), repeat=3):
        for x, y in itertools.product(range(2), repeat=2):
            wanted[x, y] += confusion[x, c] * confusion[y, a] * diagonal[a, b, c]
    np.testing.assert_allclose(expected(request(Probabilities((2, 0))))[0], wanted.reshape(-1), atol=1e-12)
    parity = wanted[0, 0] - wanted[0, 1] - wanted[1, 0] + wanted[1, 1]
    got = expected(request(Expectation([pauli("Z0 Z2", -2.0), pauli("I", 3.0)])))[0]
    np.testing.assert_allclose(got, [-2 * parity, 3.0], atol=1e-12)
    vector = expected(request(LocalStates([(2, 0)])))[0]
    np.testing.assert_allclose(vector[[0, 15]], [1.0, parity], atol=1e-12)


def test_a_contracted_readout_is_the_trace():
    rho = expected(request(State(), noise=NoiseModel()))[0].reshape((2,) * 6)
    window = np.einsum("abcdbf->cafd", rho).reshape(4, 4)  # wire 2, then wire 0
    rng = np.random.default_rng(3)
    h = rng.normal(size=(4, 4)) + 1j * rng.normal(size=(4, 4))
    h = h + h.conj().T
    measurement = LocalStates([(2, 0)])
    vectors = expected(request(measurement, noise=None))
    got = contracted(vectors, measurement, [h[None]])
    np.testing.assert_allclose(got, [[np.trace(window @ h).real]], atol=1e-10)
    rebuilt = sum(
        c * np.kron(a, b) for c, (a, b) in zip(pauli_coefficients(h), itertools.product(LETTERS, repeat=2), strict=True)
    )
    np.testing.assert_allclose(rebuilt, h, atol=1e-12)


LETTERS = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]


def renamed(a, b):
    return lambda g: [evolve(g, name=b)] if g.name is a else [g]


def scaled(names, factor):
    return lambda g: [evolve(g, angles=tuple(x * factor for x in g.angles))] if g.name in names else [g]


def dropped(name):
    return lambda g: [] if g.name is name else [g]


def reversed_wires(*names):
    return lambda g: [evolve(g, wires=g.wires[::-1])] if g.name in names else [g]


FAULTS = {
    "control and target swapped": reversed_wires(G.CX),
    "controlled rotations swapped": reversed_wires(G.CRX, G.CRY),
    "angles negated": scaled(PARAMETRIC, -1),
    "rx negated": scaled({G.RX}, -1),
    "ry negated": scaled({G.RY}, -1),
    "rz negated": scaled({G.RZ}, -1),
    "rxx half": scaled({G.RXX}, 0.5),
    "rxx twice": scaled({G.RXX}, 2),
    "ryy twice": scaled({G.RYY}, 2),
    "rzz twice": scaled({G.RZZ}, 2),
    "turns": scaled(PARAMETRIC, 2 * np.pi),
    "t is tdg": lambda g: [evolve(g, name={G.T: G.TDG, G.TDG: G.T}.get(g.name, g.name))],
    "sdg is s": renamed(G.SDG, G.S),
    "sx is x": renamed(G.SX, G.X),
    "y is x": renamed(G.Y, G.X),
    "rxx is ryy": renamed(G.RXX, G.RYY),
    "crz is rzz": renamed(G.CRZ, G.RZZ),
    "p dropped": dropped(G.P),
    "ccx dropped": dropped(G.CCX),
    "swap dropped": dropped(G.SWAP),
    "cz dropped": dropped(G.CZ),
}


def moved(req, wires, fault):
    """Mean distance between the distributions with and without a fault of the circuit."""
    gates = tuple(g for gate in req.circuit.gates for g in fault(gate))
    faulty = evolve(req, circuit=evolve(req.circuit, gates=gates))
    return 0.5 * np.abs(distribution(req, wires) - distribution(faulty, wires)).sum(1).mean()


def reordered(req, wires, other):
    return 0.5 * np.abs(distribution(req, wires) - distribution(req, other)).sum(1).mean()


def inverse(wires):
    straight = sorted(wires)
    return tuple(straight[wires.index(w)] for w in straight)


@pytest.mark.parametrize(("n", "seed", "order"), [(3, SEED3, ORDER3), (5, SEED5, ORDER5)])
def test_every_known_fault_moves_the_zoo(n, seed, order):
    """By 0.08 in total variation at least, for the very inputs of the kit; most by a multiple."""
    from qimg_core.testing import ReferenceBackend
    from qimg_core.testing.conformance import Options
    from qimg_core.testing.conformance.bench import Bench

    bench = Bench(ReferenceBackend, Options())
    circuit, rng = zoo(n, seed), bench.rng("zoo", n)
    inputs, weights = spread(rng, bench.rows, circuit.n_inputs), spread(rng, 1, circuit.n_weights)[0]
    req = bench.request(circuit, Probabilities(order), inputs, weights)
    seen = {name: moved(req, order, fault) for name, fault in FAULTS.items()}
    seen |= {"reversed": reordered(req, order, order[::-1]), "inverse": reordered(req, order, inverse(order))}
    assert {k: round(v, 3) for k, v in seen.items() if v < 0.08} == {}
    assert len({order, order[::-1], inverse(order), tuple(sorted(order))}) == 4, "a fault would not show in this order"


def test_bell_and_ghz_states_hardly_find_anything():
    """Why the kit does not use them."""
    b = CircuitBuilder(4).h(0).cx(0, 1).cx(1, 2).cx(2, 3)
    req = ExecutionRequest(
        circuit=b.build(), inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Probabilities(range(4))
    )
    blind = [name for name, fault in FAULTS.items() if moved(req, (0, 1, 2, 3), fault) < 1e-9]
    assert len(blind) == len(FAULTS) - 1
    assert reordered(req, (3, 0, 1, 2), (2, 1, 0, 3)) < 1e-9


def test_the_zoo_has_every_gate_and_a_part_of_it_where_asked():
    assert {g.name for g in zoo(5, 1).gates} == UNITARY
    few = zoo(4, 1, only={G.CX, G.T})
    assert {g.name for g in few.gates} == {G.RX, G.RY, G.RZ, G.CX, G.T}
    assert isinstance(few.gates[0], Gate)
