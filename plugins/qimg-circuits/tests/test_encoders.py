"""Encoders: states against closed forms, PennyLane and Qiskit; gradients; refusals."""

from __future__ import annotations

import numpy as np
import pytest

from qimg_circuits.ansatzes import HardwareEfficient, StronglyEntangling, TwoQubit
from qimg_circuits.encoders import (
    AmplitudeEncoder,
    AngleEncoder,
    BasisEncoder,
    DenseAngleEncoder,
    PhaseEncoder,
    ReuploadEncoder,
    reuploading,
)
from qimg_core.ansatz import Ansatz
from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import ConfigurationError, DataError


def pennylane_states(n, queue, batch):
    qml = pytest.importorskip("pennylane")
    device = qml.device("default.qubit", wires=n)

    @qml.qnode(device)
    def run(row):
        queue(qml, row)
        return qml.state()

    return np.stack([run(row) for row in batch])


def assert_same_rays(got, wanted):
    overlaps = np.einsum("ri,ri->r", wanted.conj(), got)
    np.testing.assert_allclose(np.abs(overlaps), 1.0, atol=1e-10)
    np.testing.assert_allclose(got * (np.abs(overlaps) / overlaps)[:, None], wanted, atol=1e-10)


def test_basis_is_the_basis_state_with_no_phase(states):
    batch = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 1]])
    wanted = np.eye(8)[[0, 5, 3]]
    encoder = BasisEncoder(3)
    np.testing.assert_allclose(states(encoder.circuit, encoder.features(batch)), wanted, atol=1e-12)
    theirs = pennylane_states(3, lambda qml, row: qml.BasisEmbedding(row.astype(int), wires=range(3)), batch)
    np.testing.assert_allclose(theirs, wanted, atol=1e-12)
    with pytest.raises(DataError, match="0 or 1"):
        encoder.features(np.array([[0.0, 0.5, 1.0]]))


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_amplitude_against_pennylane(size, states, rng):
    encoder = AmplitudeEncoder(size)
    batch = rng.normal(size=(4, size))
    got = states(encoder.circuit, encoder.features(batch))
    n = encoder.n_wires

    def queue(qml, row):
        qml.AmplitudeEmbedding(row, wires=range(n), pad_with=0.0, normalize=True)

    np.testing.assert_allclose(got, pennylane_states(n, queue, batch), atol=1e-10)
    assert encoder.normalisation_loss == 1 / size
    assert encoder.resources().normalisation_loss == repr(1 / size)


@pytest.mark.parametrize("size", [3, 4])
def test_complex_amplitudes_either_way(size, states, rng):
    encoder = AmplitudeEncoder(size, complex_input=True)
    z = rng.normal(size=(3, size)) + 1j * rng.normal(size=(3, size))
    features = encoder.features(z)
    np.testing.assert_array_equal(features, encoder.features(np.concatenate([z.real, z.imag], axis=1)))
    wanted = np.zeros((3, 4), dtype=complex)
    wanted[:, :size] = z / np.linalg.norm(z, axis=1, keepdims=True)
    np.testing.assert_allclose(states(encoder.circuit, features), wanted, atol=1e-12)
    torch = pytest.importorskip("torch")
    np.testing.assert_allclose(encoder.features(torch.tensor(z)).numpy(), features, atol=1e-15)


def test_amplitude_refuses_zero_rows_and_unasked_complex():
    with pytest.raises(DataError, match="row of zeros"):
        AmplitudeEncoder(4).features(np.array([[1.0, 0, 0, 0], [0, 0, 0, 0]]))
    with pytest.raises(DataError, match="complex_input"):
        AmplitudeEncoder(2).features(np.array([[1.0, 1j]]))


@pytest.mark.parametrize("axis", ["x", "y", "z"])
def test_angle_against_pennylane(axis, states, rng):
    encoder = AngleEncoder(3, axis, 1.7)
    batch = rng.uniform(-2 * np.pi, 2 * np.pi, (4, 3))

    def queue(qml, row):
        qml.AngleEmbedding(1.7 * row, wires=range(3), rotation=axis.upper())

    wanted = pennylane_states(3, queue, batch)
    np.testing.assert_allclose(states(encoder.circuit, encoder.features(batch)), wanted, atol=1e-10)


def test_phase_is_its_formula(states, rng):
    batch = rng.uniform(-6, 6, (4, 2))
    encoder = PhaseEncoder(2, 0.5)
    one = np.stack([np.ones_like(batch), np.exp(0.5j * batch)], axis=2) / np.sqrt(2)
    wanted = np.einsum("ri,rj->rij", one[:, 0], one[:, 1]).reshape(4, 4)
    np.testing.assert_allclose(states(encoder.circuit, encoder.features(batch)), wanted, atol=1e-12)


def test_dense_angle_larose_is_its_formula(states, rng):
    batch = rng.uniform(0, 1, (4, 4))
    x, y = batch[:, 0::2], batch[:, 1::2]
    one = np.stack([np.cos(np.pi * x), np.exp(2j * np.pi * y) * np.sin(np.pi * x)], axis=2)
    wanted = np.einsum("ri,rj->rij", one[:, 0], one[:, 1]).reshape(4, 4)
    encoder = DenseAngleEncoder(2, "larose")
    np.testing.assert_allclose(states(encoder.circuit, encoder.features(batch)), wanted, atol=1e-12)


def test_dense_angle_half_against_qiskit(states, rng):
    qiskit = pytest.importorskip("qiskit")
    from qiskit.quantum_info import Statevector

    batch = rng.uniform(-6, 6, (4, 6))
    encoder = DenseAngleEncoder(3)
    got = states(encoder.circuit, encoder.features(batch))
    for row, psi in zip(batch, got, strict=True):
        circuit = qiskit.QuantumCircuit(3)
        for w in range(3):
            circuit.ry(row[2 * w], w)
            circuit.rz(row[2 * w + 1], w)
        np.testing.assert_allclose(psi, Statevector(circuit.reverse_bits()).data, atol=1e-10)


ENCODERS = [
    BasisEncoder(3),
    AmplitudeEncoder(3),
    AngleEncoder(3),
    PhaseEncoder(3),
    DenseAngleEncoder(2),
    ReuploadEncoder(AngleEncoder(3), 2),
    ReuploadEncoder(DenseAngleEncoder(2), 3, trainable=False),
]


@pytest.mark.parametrize("encoder", ENCODERS, ids=lambda e: type(e).__name__)
class TestEveryEncoder:
    def test_contract(self, encoder):
        circuit = encoder.circuit
        assert circuit.n_weights == 0
        batch = np.ones((5, encoder.n_features))
        parameters = encoder.initial(3)
        assert parameters.shape == (encoder.n_parameters,)
        np.testing.assert_array_equal(parameters, encoder.initial(3))
        assert encoder.features(batch, parameters).shape == (5, circuit.n_inputs)
        report = encoder.resources()
        assert (report.wires, report.parameters) == (circuit.n_wires, circuit.n_inputs)
        assert report.depth >= 1

    @pytest.mark.parametrize("bad", [(4,), (2, 9), (0, None)])
    def test_wrong_shapes(self, encoder, bad):
        shape = tuple(encoder.n_features if s is None else s for s in bad)
        with pytest.raises(DataError, match="wanted"):
            encoder.features(np.ones(shape), encoder.initial(0))

    def test_not_finite(self, encoder):
        batch = np.ones((2, encoder.n_features))
        batch[1, 0] = np.nan
        with pytest.raises(DataError, match="NaN"):
            encoder.features(batch, encoder.initial(0))

    def test_torch_equals_numpy(self, encoder):
        torch = pytest.importorskip("torch")
        batch, parameters = np.ones((2, encoder.n_features)), encoder.initial(5)
        got = encoder.features(torch.tensor(batch), torch.tensor(parameters))
        np.testing.assert_allclose(got.numpy(), encoder.features(batch, parameters), atol=1e-14)


@pytest.mark.parametrize("encoder", ENCODERS[1:], ids=lambda e: type(e).__name__)
def test_gradients_through_features(encoder, rng):
    """Autograd's derivative against central differences of the numpy path."""
    torch = pytest.importorskip("torch")
    batch, parameters = rng.normal(size=(2, encoder.n_features)), encoder.initial(1)
    probe = rng.normal(size=(2, encoder.circuit.n_inputs))
    x = torch.tensor(batch, requires_grad=True)
    p = torch.tensor(parameters, requires_grad=True)
    (encoder.features(x, p) * torch.tensor(probe)).sum().backward()
    moves = (
        (batch, x.grad, lambda step: (batch + step, parameters)),
        (parameters, p.grad, lambda step: (batch, parameters + step)),
    )
    for array, grad, moved in moves:
        for index in np.ndindex(array.shape):
            step = np.zeros(array.shape)
            step[index] = 1e-6
            up, down = ((encoder.features(*moved(sign * step)) * probe).sum() for sign in (1, -1))
            assert grad[index].item() == pytest.approx((up - down) / 2e-6, abs=1e-7)


def test_reuploading_is_scale_and_shift_layer_by_layer(states, unitary, rng):
    base = AngleEncoder(2, "x")
    ansatz = StronglyEntangling(2, 3)
    encoder = ReuploadEncoder(base, 3)
    circuit = encoder.weave(ansatz)
    x, p, w = rng.normal(size=(2, 2)), rng.normal(size=encoder.n_parameters), ansatz.initial(0)
    assert circuit.n_weights == len(w)
    got = states(circuit, encoder.features(x, p), w)
    scale_bias = p.reshape(3, 2, 2)
    for row, psi in zip(x, got, strict=True):
        wanted = np.eye(4)[:, 0]
        for l in range(3):
            wanted = unitary(base.circuit, scale_bias[l, 0] * row + scale_bias[l, 1]) @ wanted
            wanted = unitary(ansatz.layer(l), w.reshape(3, -1)[l]) @ wanted
        np.testing.assert_allclose(psi, wanted, atol=1e-12)


def test_weaving_shares_out_ansatz_layers(unitary, rng):
    base, ansatz = AngleEncoder(3), StronglyEntangling(3, 4)
    encoder = ReuploadEncoder(base, 2, trainable=False)
    circuit = encoder.weave(ansatz)
    x, w = rng.normal(size=(1, 3)), ansatz.initial(2)
    assert circuit.n_inputs == 3
    upload = unitary(base.circuit, x[0])
    layers = [unitary(ansatz.layer(k), w.reshape(4, -1)[k]) for k in range(4)]
    wanted = layers[3] @ layers[2] @ upload @ layers[1] @ layers[0] @ upload
    np.testing.assert_allclose(unitary(circuit, circuit.values(x, w)[0]), wanted, atol=1e-12)


def test_the_function_repeats_one_ansatz(unitary, rng):
    encoder, circuit = reuploading(DenseAngleEncoder(2), TwoQubit(), 2)
    assert (circuit.n_inputs, circuit.n_weights) == (encoder.circuit.n_inputs, 30)
    assert encoder.n_parameters == 2 * 2 * 4


def test_reuploading_refuses():
    with pytest.raises(ConfigurationError, match="amplitude"):
        ReuploadEncoder(AmplitudeEncoder(4), 2)
    with pytest.raises(ConfigurationError, match="no trained parameters of its own"):
        ReuploadEncoder(ReuploadEncoder(AngleEncoder(2), 2), 2)
    with pytest.raises(ConfigurationError, match="share 3"):
        ReuploadEncoder(AngleEncoder(2), 2).weave(HardwareEfficient(2, 3))
    with pytest.raises(DataError, match="trained parameters"):
        ReuploadEncoder(AngleEncoder(2), 2).features(np.ones((1, 2)))

    class Plain(Ansatz):
        circuit = CircuitBuilder(2).h(0).build()

        def initial(self, seed):
            return np.zeros(0)

    with pytest.raises(ConfigurationError, match="no layers"):
        ReuploadEncoder(AngleEncoder(2), 2).weave(Plain())


def test_wrong_words_are_refused():
    with pytest.raises(ConfigurationError, match="wanted one of x, y, z"):
        AngleEncoder(2, "w")
    with pytest.raises(ConfigurationError, match="half, larose"):
        DenseAngleEncoder(2, "full")
    with pytest.raises(ConfigurationError, match="1 or more"):
        PhaseEncoder(0)
