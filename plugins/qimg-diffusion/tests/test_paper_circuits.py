"""The circuits against PennyLane, written as the released code writes them, and against closed forms."""

import numpy as np
import pytest
import torch

from qimg_core.execution import ExecutionRequest
from qimg_core.ledger import MemoryLedger
from qimg_core.measurement import State
from qimg_core.session import Session
from qimg_diffusion.paper_2602 import circuits
from qimg_diffusion.paper_2602.bottleneck import QuantumBottleneck
from qimg_diffusion.paper_2602.config import PaperConfig

qml = pytest.importorskip("pennylane")


def released_layer(params, n):
    """`_layer_ansatz` of the released code: ConvUnit on the ring, then PhaseMixing."""
    at = 0
    for a, b in [(i, (i + 1) % n) for i in (*range(0, n - 1, 2), *range(1, n, 2))]:
        gamma, alpha, beta = params[at : at + 3]
        at += 3
        qml.RZ(-np.pi / 2, wires=b)
        qml.CNOT(wires=[b, a])
        qml.RZ(-2 * gamma + np.pi / 2, wires=a)
        qml.RY(-np.pi / 2 + 2 * alpha, wires=b)
        qml.CNOT(wires=[a, b])
        qml.RY(-2 * beta + np.pi / 2, wires=b)
        qml.CNOT(wires=[b, a])
        qml.RZ(np.pi / 2, wires=a)
    for i in range(n):
        qml.Hadamard(wires=i)
    for i in range(n - 1):
        qml.CZ(wires=[i, i + 1])
    for i in range(n):
        qml.RX(params[at + i], wires=i)


def released_order(weights, n, reps):
    """Our a, b, c per pair -> the released c, a, b; the four mixing angles stay."""
    out = weights.reshape(reps, 4 * n).copy()
    for k in range(n):
        out[:, 3 * k : 3 * k + 3] = weights.reshape(reps, 4 * n)[:, [3 * k + 2, 3 * k, 3 * k + 1]]
    return out


def unitary(weights, n, reps):
    def all_layers():
        for row in released_order(weights, n, reps):
            released_layer(row, n)

    return np.asarray(qml.matrix(all_layers, wire_order=range(n))())


def unit(rng, n, *, real=False):
    v = rng.normal(size=2**n) + (0 if real else 1j * rng.normal(size=2**n))
    return v / np.linalg.norm(v)


@pytest.fixture
def session():
    with Session(MemoryLedger(), seed=3, backend="simulator") as s:
        yield s


def test_the_released_sizes():
    front, back = circuits.front(4, 10), circuits.back(4, 10)
    assert (front.n_wires, front.n_inputs, front.n_weights) == (5, 16, 320)
    assert (back.n_wires, back.n_inputs, back.n_weights) == (4, 32, 160)
    assert circuits.ring_pairs(4) == ((0, 1), (2, 3), (1, 2), (3, 0))
    assert PaperConfig().angles == 480


@pytest.mark.parametrize("n", [2, 4])
def test_front_and_back_are_the_released_circuits(session, n):
    rng = np.random.default_rng(n)
    reps = 2
    w1, w2, w3 = rng.uniform(-6, 6, (3, reps * 4 * n))
    x = unit(rng, n, real=True)
    request = ExecutionRequest(
        circuit=circuits.front(n, reps), inputs=x[None], weights=np.concatenate([w1, w2]), measurement=State()
    )
    joint = session.execute(request).data[0]

    @qml.qnode(qml.device("default.qubit", wires=n + 1))
    def qnode2(state):
        qml.StatePrep(state, wires=range(n))
        qml.Hadamard(wires=n)
        for row in released_order(w2, n, reps):
            qml.ctrl(released_layer, control=[n])(row, n)
        qml.Hadamard(wires=n)
        return qml.expval(qml.PauliZ(n)), qml.state()

    psi = unitary(w1, n, reps) @ x
    z, state = qnode2(psi)
    phase = np.vdot(state, joint)
    assert abs(abs(phase) - 1) < 1e-10
    np.testing.assert_allclose(joint, phase * np.asarray(state), atol=1e-10)
    ours = (abs(joint[::2]) ** 2).sum() - (abs(joint[1::2]) ** 2).sum()
    assert abs(ours - float(z)) < 1e-10
    assert abs(ours - np.vdot(psi, unitary(w2, n, reps) @ psi).real) < 1e-10

    # what the released code calls a projection, s0 + s1 after the last Hadamard, is psi itself
    s0, s1 = np.asarray(state)[::2], np.asarray(state)[1::2]
    np.testing.assert_allclose(s0 + s1, psi, atol=1e-10)
    np.testing.assert_allclose(s0, (psi + unitary(w2, n, reps) @ psi) / 2, atol=1e-10)

    phi = unit(rng, n)
    inputs = np.concatenate([phi.real, phi.imag])[None]
    request = ExecutionRequest(circuit=circuits.back(n, reps), inputs=inputs, weights=w3, measurement=State())
    after, wanted = session.execute(request).data[0], unitary(w3, n, reps) @ phi
    assert abs(abs(np.vdot(wanted, after)) - 1) < 1e-10


@pytest.mark.parametrize("middle", ["released", "projected"])
@pytest.mark.parametrize("activation", [True, False])
def test_bottleneck_is_its_closed_form(session, middle, activation):
    config = PaperConfig(qubits=2, reps=2, timesteps=3, classes=4, middle=middle, activation=activation)
    torch.manual_seed(0)
    layer = QuantumBottleneck(session, config).double()
    rng = np.random.default_rng(1)
    x = np.stack([unit(rng, 2, real=True) for _ in range(5)])
    t, y = np.array([0, 1, 2, 2, 0]), np.array([3, 0, 1, 2, 3])
    found = layer(torch.from_numpy(x), torch.from_numpy(t), torch.from_numpy(y)).detach().numpy()
    m = layer.observables.detach().numpy()
    m = m[..., 0] + 1j * m[..., 1]
    for i in range(5):
        w1, w2, w3 = layer.angles[t[i], y[i]].detach().numpy().reshape(3, -1)
        psi = unitary(w1, 2, 2) @ x[i]
        moved = unitary(w2, 2, 2) @ psi
        wanted = [np.vdot(psi, moved).real]
        v = psi if middle == "released" else psi + moved
        v = v / np.linalg.norm(v)
        if activation:  # the phase of a simulated state is its own; ours is the gates' exact one
            v = np.where(v.real > 0, v.real, 0.01 * v.real) + 1j * np.where(v.imag > 0, v.imag, 0.01 * v.imag)
            v = v / np.linalg.norm(v)
        v = unitary(w3, 2, 2) @ v
        wanted = [np.vdot(v, (h + h.conj().T) / 2 @ v).real for h in m] + wanted
        np.testing.assert_allclose(found[i], wanted, atol=1e-6)


def test_contracted_and_state_read_out_agree(session, monkeypatch):
    from attrs import evolve

    layer = QuantumBottleneck(session, PaperConfig(qubits=2, reps=1, timesteps=2, classes=2)).double()
    args = torch.eye(4, dtype=torch.float64), torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 1, 1])
    contracted = layer(*args)
    backend = session.backend()
    poorer = evolve(backend.capabilities, contracts=False)
    monkeypatch.setattr(type(backend), "capabilities", property(lambda self: poorer))
    torch.testing.assert_close(layer(*args), contracted, atol=1e-10, rtol=0)


def test_separable_has_no_entangling_gate_and_the_same_weights():
    for build in (circuits.front, circuits.back):
        with_, without = build(4, 2), build(4, 2, entangling=False)
        assert {len(g.wires) for g in without.gates if g.name != "prepare"} == {1}
        assert without.n_weights == with_.n_weights


def test_separable_ancilla_reads_one(session):
    layer = QuantumBottleneck(session, PaperConfig(arm="separable", qubits=2, reps=2, timesteps=1, classes=1))
    out = layer(torch.eye(4), torch.zeros(4, dtype=torch.long), torch.zeros(4, dtype=torch.long))
    torch.testing.assert_close(out[:, -1], torch.ones(4), atol=1e-5, rtol=0)


def test_gradients_reach_every_number_of_the_layer(session):
    for middle, blocks in (("released", {0, 1, 2}), ("projected", {0, 1, 2})):
        config = PaperConfig(qubits=2, reps=2, timesteps=1, classes=1, middle=middle)
        layer = QuantumBottleneck(session, config)
        zero = torch.zeros(3, dtype=torch.long)
        x = torch.nn.functional.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=1)
        layer(x, zero, zero).square().sum().backward()
        parts = layer.angles.grad.view(3, -1).abs().amax(1)
        assert {k for k in range(3) if parts[k] > 1e-6} == blocks
        assert (layer.observables.grad.abs().amax((1, 2, 3)) > 0).all()


def test_released_middle_reaches_the_output_through_the_ancilla_alone(session):
    layer = QuantumBottleneck(session, PaperConfig(qubits=2, reps=2, timesteps=1, classes=1))
    zero = torch.zeros(3, dtype=torch.long)
    x = torch.nn.functional.normalize(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    layer(x, zero, zero)[:, :-1].square().sum().backward()
    assert layer.angles.grad.view(3, -1)[1].abs().max() < 1e-5
    assert layer.angles.grad.view(3, -1)[0].abs().max() > 1e-3
