"""``ibm:aer`` against the numpy oracle, and with noise against density matrices written out here."""

import numpy as np
import pytest
from attrs import evolve

from qimg_core.circuit import CircuitBuilder
from qimg_core.circuit.gates import PARAMETRIC, TWO_WIRE, UNITARY, GateName, matrix
from qimg_core.circuit.pauli import PauliString
from qimg_core.errors import CapabilityError, UnknownName
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.noise import NoiseModel, NoiseRule, amplitude_damping, depolarizing
from qimg_core.plugins import Registry
from qimg_core.settings import bound
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.statistics import multinomial_test
from qimg_ibm.aer import AerBackend
from qimg_ibm.devices import open_device


def request(circuit, measurement, rows=2, numbers=0, **more):
    rng = np.random.default_rng(numbers)
    return ExecutionRequest(
        circuit=circuit,
        inputs=rng.normal(size=(rows, circuit.n_inputs)),
        weights=rng.normal(size=circuit.n_weights),
        measurement=measurement,
        **more,
    )


def zoo(n=5):
    """Every gate after asymmetric rotations of every wire, so that no order, sign or operand can hide."""
    b = CircuitBuilder(n)
    for wire in range(n):
        b.ry(wire, b.input(f"x{wire}") * 2 + 0.1).rz(wire, b.weight(f"w{wire}")).rx(wire, b.input(f"y{wire}"))
    for k, name in enumerate(sorted(UNITARY)):
        wires = [(k + j) % n for j in ((0, 2, 1) if n > 2 else (0, 1))][: name.n_wires]
        angles = (b.weight(f"a{name}") * 0.7 + 0.3,) if name in PARAMETRIC else ()
        b.gate(name, *wires, angles=angles)
    for wire in range(n):
        b.rx(wire, b.input(f"z{wire}"))
    return b.build()


@pytest.mark.parametrize("name", sorted(UNITARY))
def test_each_gate_has_its_matrix(name):
    n = name.n_wires
    b = CircuitBuilder(n)
    for wire in range(n):
        b.ry(wire, 0.4 + wire).rz(wire, 1.1 - wire)
    b.gate(name, *reversed(range(n)), angles=(b.weight("a") * 1.5 + 0.2,) if name in PARAMETRIC else ())
    wanted = request(b.build(), State(), rows=1)
    assert np.abs(AerBackend().run(wanted).data - ReferenceBackend().run(wanted).data).max() < 1e-12


@pytest.mark.parametrize(
    "measurement",
    [
        Probabilities((2, 0, 1)),
        Probabilities((3, 0, 1, 4)),
        LocalStates([(0, 1), (3, 1, 4), (2,)]),
        Expectation([PauliString(((0, "X"), (3, "Y")), 0.5), PauliString(((2, "Z"),)), PauliString((), 2.0)]),
        State(),
    ],
    ids=lambda m: m.kind.value,
)
def test_exact_numbers_agree_with_the_oracle(measurement):
    wanted = request(zoo(), measurement, rows=3)
    assert np.abs(AerBackend().run(wanted).data - ReferenceBackend().run(wanted).data).max() < 1e-12


def dense(circuit, model, wires):
    """Distribution over ``wires`` of a bound circuit with noise: Kraus operators on a density matrix, by hand."""
    n = circuit.n_wires
    rho = np.zeros((2**n, 2**n), complex)
    rho[0, 0] = 1

    def on(m, at):
        k = len(at)
        whole = np.kron(m, np.eye(2 ** (n - k))).reshape((2,) * (2 * n))
        order = [*at, *(w for w in range(n) if w not in at)]
        back = [order.index(w) for w in range(n)]
        return whole.transpose([*back, *(n + b for b in back)]).reshape(2**n, 2**n)

    paulis = [np.eye(2), matrix(GateName.X), matrix(GateName.Y), matrix(GateName.Z)]
    for gate in circuit.gates:
        u = on(matrix(gate.name, gate.angles[0].offset if gate.angles else None), gate.wires)
        rho = u @ rho @ u.conj().T
        for rule in model.rules:
            c = rule.channel
            kraus = [np.array(k) for k in c.kraus] or [np.sqrt(p) * m for p, m in zip(c.pauli, paulis, strict=True)]
            for wire in gate.wires if not rule.gates or gate.name in rule.gates else ():
                rho = sum(on(k, (wire,)) @ rho @ on(k, (wire,)).conj().T for k in kraus)
    p = np.moveaxis(rho.diagonal().real.reshape((2,) * n), wires, range(len(wires)))
    p = p.reshape(2 ** len(wires), -1).sum(1)
    if model.readout:
        p10, p01 = model.readout
        confuse = np.array([[1.0]])
        for _ in wires:
            confuse = np.kron(confuse, np.array([[1 - p10, p01], [p10, 1 - p01]]))
        p = confuse @ p
    return p


NOISE = NoiseModel(
    (
        NoiseRule(depolarizing(0.1)),
        NoiseRule(amplitude_damping(0.2), ["cx", "crx"]),
        NoiseRule(depolarizing(0.3), ["y"]),
    ),
    (0.02, 0.11),
)


def noisy_request(measurement, **more):
    b = CircuitBuilder(3)
    for wire in range(3):
        b.ry(wire, b.input(f"x{wire}"))
    b.cx(0, 1).gate("crx", 2, 0, angles=(b.weight("a"),)).gate("y", 1).gate("rzz", 1, 2, angles=(b.weight("b"),)).h(2)
    return request(b.build(), measurement, noise=NOISE, **more)


def test_noise_is_the_same_channels_in_the_same_places():
    wanted = noisy_request(Probabilities((2, 0, 1)))
    values = wanted.circuit.values(wanted.inputs, wanted.weights)
    by_hand = [dense(bound(wanted.circuit, row), NOISE, (2, 0, 1)) for row in values]
    assert np.abs(AerBackend().run(wanted).data - by_hand).max() < 1e-12


def test_turning_a_basis_makes_no_noise_of_its_own():
    circuit = CircuitBuilder(2).ry(0, 0.7).cx(0, 1).rx(1, 0.4).build()
    everywhere = NoiseModel((NoiseRule(depolarizing(0.2)),), (0.02, 0.11))
    wanted = request(circuit, Expectation([PauliString(((1, "X"),))]), rows=1, noise=everywhere)
    not_the_turn = evolve(everywhere, rules=(NoiseRule(depolarizing(0.2), ["ry", "cx", "rx"]),))
    p = dense(circuit.then(CircuitBuilder(2).h(1).build()), not_the_turn, (1,))
    assert abs(AerBackend().run(wanted).data[0, 0] - (p[0] - p[1])) < 1e-12


def test_samples_fit_the_noisy_distribution_and_not_the_clean_one():
    wanted = noisy_request(Probabilities((2, 0, 1)), shots=4000, seed=5)
    counts = np.rint(AerBackend().run(wanted).data * 4000).astype(int)
    exact = AerBackend().run(evolve(wanted, shots=None)).data
    clean = AerBackend().run(evolve(wanted, shots=None, noise=None)).data
    assert multinomial_test(counts, exact, seed=1).p_value > 1e-3
    assert multinomial_test(counts, clean, seed=1).p_value < 1e-3


def test_samples_have_the_measured_wires_in_their_columns():
    wanted = request(zoo(), Samples((2, 0, 1)), rows=2, shots=3000, seed=3)
    bits = AerBackend().run(wanted).data
    index = bits @ np.array([4, 2, 1])
    counts = np.stack([np.bincount(row, minlength=8) for row in index])
    exact = ReferenceBackend().run(evolve(wanted, shots=None, measurement=Probabilities((2, 0, 1)))).data
    assert bits.shape == (2, 3000, 3)
    assert multinomial_test(counts, exact, seed=2).p_value > 1e-3


def test_the_same_seed_gives_the_same_samples_and_rows_are_independent():
    same = evolve(request(zoo(3), Probabilities((0, 1, 2)), rows=2, shots=500, seed=9), inputs=np.ones((2, 9)))
    first, again = AerBackend().run(same), AerBackend().run(same)
    other = AerBackend().run(evolve(same, seed=10))
    assert (first.data == again.data).all()
    assert first.raw_digest == again.raw_digest != other.raw_digest
    assert (first.data[0] != first.data[1]).any(), "two equal rows were drawn from one stream"


@pytest.mark.parametrize(
    "wanted",
    [
        request(CircuitBuilder(21).h(0).build(), Probabilities((0,)), rows=1),
        request(CircuitBuilder(11).h(0).build(), Probabilities((0,)), rows=1, noise=NOISE),
        request(CircuitBuilder(1).h(0).build(), Samples((0,)), rows=1),
        request(CircuitBuilder(1).h(0).build(), State(), rows=1, shots=5),
        request(CircuitBuilder(1).gate("reset", 0).build(), Probabilities((0,)), rows=1),
    ],
    ids=["wires", "noisy wires", "samples without shots", "state with shots", "reset"],
)
def test_what_it_cannot_do_is_refused(wanted):
    with pytest.raises(CapabilityError):
        AerBackend().run(wanted)


def test_names():
    registry = Registry()
    assert registry.open_backend("ibm").name == registry.open_backend("ibm:aer").name == "ibm:aer"
    with pytest.raises(UnknownName, match="ibm:fake_NAME"):
        open_device("eagle")
    assert set(TWO_WIRE) <= AerBackend().capabilities.gates
