"""Ansatzes: unitaries against closed forms, PennyLane's templates and Qiskit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.linalg import expm

from qimg_circuits.ansatzes import (
    RYCZ,
    Alternating,
    ClusterMixing,
    Convolution,
    HadamardTest,
    HardwareEfficient,
    StronglyEntangling,
    TwoQubit,
    canonical_block,
    general_block,
    hadamard_test,
)
from qimg_circuits.encoders import DenseAngleEncoder
from qimg_core.circuit.gates import GateName
from qimg_core.errors import ConfigurationError

X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
LAYERED = [
    HardwareEfficient(3, 2, ("rx", "rz"), "cz", "chain"),
    StronglyEntangling(4, 3),
    TwoQubit(layers=2),
    TwoQubit(core=True),
    Convolution(4, 2, "core"),
    Convolution(3, 1, tied=True),
    ClusterMixing(4, 2),
    RYCZ(5, 2),
    Alternating((Convolution(4, 3, "core"), ClusterMixing(4, 3))),
]


@pytest.mark.parametrize("ansatz", [*LAYERED, HadamardTest(RYCZ(2, 2))], ids=lambda a: type(a).__name__)
def test_contract(ansatz):
    circuit = ansatz.circuit
    assert circuit.n_inputs == 0
    start = ansatz.initial(7)
    assert start.shape == (circuit.n_weights,)
    np.testing.assert_array_equal(start, ansatz.initial(7))
    assert not np.array_equal(start, ansatz.initial(8))
    assert np.abs(start).max() <= 0.5
    report = ansatz.resources()
    assert (report.wires, report.parameters) == (circuit.n_wires, circuit.n_weights)


@pytest.mark.parametrize("ansatz", LAYERED, ids=lambda a: type(a).__name__)
def test_circuit_is_its_layers_in_order(ansatz, unitary, rng):
    w = rng.normal(size=ansatz.circuit.n_weights)
    wanted, at = 1.0, 0
    for index in range(ansatz.layers):
        layer = ansatz.layer(index)
        wanted = unitary(layer, w[at : at + layer.n_weights]) @ (np.eye(2**layer.n_wires) if index == 0 else wanted)
        at += layer.n_weights
    assert at == len(w)
    np.testing.assert_allclose(unitary(ansatz.circuit, w), wanted, atol=1e-12)


def pennylane_matrix(n, queue):
    qml = pytest.importorskip("pennylane")
    return qml.matrix(queue, wire_order=range(n))()


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_strongly_entangling_is_pennylanes(n, unitary, rng):
    qml = pytest.importorskip("pennylane")
    w = rng.uniform(-2 * np.pi, 2 * np.pi, (5, n, 3))

    def queue():
        qml.StronglyEntanglingLayers(w, wires=range(n))

    got = unitary(StronglyEntangling(n, 5).circuit, w.ravel())
    np.testing.assert_allclose(got, pennylane_matrix(n, queue), atol=1e-10)


@pytest.mark.parametrize("n", [2, 4])
def test_hardware_efficient_is_pennylanes_basic_entangler(n, unitary, rng):
    qml = pytest.importorskip("pennylane")
    w = rng.uniform(-6, 6, (2, n))

    def queue():
        qml.BasicEntanglerLayers(w, wires=range(n), rotation=qml.RX)

    got = unitary(HardwareEfficient(n, 2, ("rx",)).circuit, w.ravel())
    np.testing.assert_allclose(got, pennylane_matrix(n, queue), atol=1e-10)


def test_ry_cz_and_hardware_efficient_against_qiskit(unitary, rng):
    qiskit = pytest.importorskip("qiskit")
    from qiskit.quantum_info import Operator

    n, w = 4, rng.uniform(-6, 6, (2, 4))
    circuit = qiskit.QuantumCircuit(n)
    for layer in w:
        for wire in range(n):
            circuit.ry(layer[wire], wire)
        for wire in range(n - 1):
            circuit.cz(wire, wire + 1)
    wanted = Operator(circuit.reverse_bits()).data
    np.testing.assert_allclose(unitary(RYCZ(n, 2).circuit, w.ravel()), wanted, atol=1e-10)
    same = HardwareEfficient(n, 2, ("ry",), "cz", "chain").circuit
    np.testing.assert_allclose(unitary(same, w.ravel()), wanted, atol=1e-10)


def test_canonical_block_is_the_exponential_with_its_phase(unitary, rng):
    for a, b, c in rng.uniform(-4, 4, (5, 3)):
        wanted = np.exp(-0.25j * np.pi) * expm(1j * (a * np.kron(X, X) + b * np.kron(Y, Y) + c * np.kron(Z, Z)))
        np.testing.assert_allclose(unitary(canonical_block(), [a, b, c]), wanted, atol=1e-12)


def test_two_qubit_resources():
    assert TwoQubit().resources().two_qubit_gates == 3
    assert TwoQubit().circuit.n_weights == 15
    assert {g.name for g in general_block().gates} == {GateName.RZ, GateName.RY, GateName.CX}


def test_general_block_spans_su4(unitary, rng):
    """The Jacobian of U^dag dU, traceless part, has full rank 15."""
    circuit, p = general_block(), rng.uniform(0, 2 * np.pi, 15)
    u = unitary(circuit, p)
    columns = []
    for k in range(15):
        step = np.eye(15)[k] * 1e-6
        tangent = u.conj().T @ (unitary(circuit, p + step) - unitary(circuit, p - step)) / 2e-6
        tangent -= np.trace(tangent) / 4 * np.eye(4)
        columns.append(np.concatenate([tangent.real.ravel(), tangent.imag.ravel()]))
    assert np.linalg.matrix_rank(np.array(columns).T, tol=1e-5) == 15


def test_general_block_reaches_a_random_gate(unitary):
    """Qiskit's KAK angles of a Haar-random gate, put into our block, give that gate."""
    pytest.importorskip("qiskit")
    from qiskit.quantum_info import random_unitary
    from qiskit.synthesis import OneQubitEulerDecomposer, TwoQubitWeylDecomposition

    target = random_unitary(4, seed=3).data
    kak = TwoQubitWeylDecomposition(target)  # (K1l x K1r) exp(i(aXX + bYY + cZZ)) (K2l x K2r)
    euler = OneQubitEulerDecomposer("ZYZ")

    def zyz(u):
        theta, phi, lam = euler.angles(u)
        return [lam, theta, phi]

    middle = [kak.a, kak.b, kak.c]
    w = [*zyz(kak.K2l), *zyz(kak.K2r), *middle, *zyz(kak.K1l), *zyz(kak.K1r)]
    assert abs(np.trace(target.conj().T @ unitary(general_block(), w))) / 4 == pytest.approx(1.0, abs=1e-9)


def test_convolution_pairs_are_the_published_ones():
    assert Convolution(4).pairs == ((0, 1), (2, 3), (1, 2), (3, 0))
    assert Convolution(4, topology="chain").pairs == ((0, 1), (2, 3), (1, 2))
    assert Convolution(2).pairs == ((0, 1),)
    assert Convolution(5).pairs == ((0, 1), (2, 3), (4, 0), (1, 2), (3, 4))
    layer = Alternating((Convolution(4, 10, "core"), ClusterMixing(4, 10)))
    assert layer.layer(0).n_weights == 16


def test_convolution_multiplies_blocks(unitary, rng):
    w = rng.normal(size=(3, 15))
    wanted = np.eye(8)
    for pair, angles in zip(((0, 1), (1, 2)), w, strict=False):
        wanted = unitary(general_block().on(pair, 3), angles) @ wanted
    got = unitary(Convolution(3, topology="chain").circuit, w[:2].ravel())
    np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_cluster_state_stabilisers(unitary):
    """Z_{j-1} X_j Z_{j+1} leaves the state of phi = 0 as it is."""
    n = 5
    psi = unitary(ClusterMixing(n).circuit, np.zeros(n))[:, 0]
    for j in range(n):
        full = np.eye(1)
        for w in range(n):
            full = np.kron(full, X if w == j else Z if abs(w - j) == 1 else np.eye(2))
        np.testing.assert_allclose(full @ psi, psi, atol=1e-12)


@pytest.mark.parametrize("imaginary", [False, True])
@pytest.mark.parametrize(
    "of", [TwoQubit(), Convolution(3, 1, "core"), ClusterMixing(3)], ids=lambda a: type(a).__name__
)
def test_hadamard_test_reads_the_overlap(of, imaginary, unitary, states, rng):
    n = of.circuit.n_wires
    encoder = DenseAngleEncoder(n)
    x, w = rng.uniform(-3, 3, (3, 2 * n)), rng.uniform(-3, 3, of.circuit.n_weights)
    test, measurement = hadamard_test(of.circuit, imaginary=imaginary)
    assert measurement.terms[0].factors == ((n, "Z"),)
    psi = states(encoder.circuit, x)
    whole = states(encoder.circuit.on(range(n), n + 1).then(test), x, w)
    ancilla = np.abs(whole.reshape(3, 2**n, 2)) ** 2
    overlap = np.einsum("ri,ij,rj->r", psi.conj(), unitary(of.circuit, w), psi)
    wanted = overlap.imag if imaginary else overlap.real
    np.testing.assert_allclose(ancilla[:, :, 0].sum(1) - ancilla[:, :, 1].sum(1), wanted, atol=1e-12)


def test_refusals():
    with pytest.raises(ConfigurationError, match="rotations"):
        HardwareEfficient(2, rotations=("rxx",))
    with pytest.raises(ConfigurationError, match="cx, cz"):
        HardwareEfficient(2, entangler="swap")
    with pytest.raises(ConfigurationError, match="n_wires"):
        Convolution(1)
    with pytest.raises(ConfigurationError, match="layers"):
        RYCZ(2, 0)
    with pytest.raises(ConfigurationError, match="equal"):
        Alternating((RYCZ(2, 1), RYCZ(2, 2)))
