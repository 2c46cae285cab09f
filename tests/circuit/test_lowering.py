"""Lowering a request: the states stay the same, the parameters stay in order, the words say what happened."""

from __future__ import annotations

import numpy as np
import pytest

from qimg_core.circuit import CircuitBuilder, GateName
from qimg_core.circuit.gates import UNITARY
from qimg_core.circuit.multiplex import preparation_angles, preparation_gates
from qimg_core.circuit.rewrite import MINIMAL
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.lowering import lower
from qimg_core.measurement import Probabilities, State

G = GateName


def states(request, unitary):
    values = request.circuit.values(np.asarray(request.inputs), np.asarray(request.weights))
    return np.stack([unitary(request.circuit, row)[:, 0] for row in values])


def prepare_request(n, amplitudes, wires=None, *, extra=True):
    """prepare, then a rotation of a shared input, an own input and a weight."""
    wires = wires or tuple(range(n))
    is_complex = np.iscomplexobj(amplitudes)
    flat = np.concatenate([amplitudes.real, amplitudes.imag], axis=1) if is_complex else amplitudes
    b = CircuitBuilder(n)
    first = b.input("first")
    angles = tuple(b.input(f"a{k}") for k in range(flat.shape[1]))
    b.gate("prepare", *wires, angles=angles)
    if extra:
        b.rx(0, first).ry(n - 1, b.weight("w")).rz(0, angles[1]).gate("crx", 0, n - 1, angles=(b.weight("v"),))
    inputs = np.concatenate([np.linspace(0.2, 1.4, len(flat))[:, None], flat], axis=1)
    weights = np.array([0.3, -1.1]) if extra else np.zeros(0)
    return ExecutionRequest(circuit=b.build(), inputs=inputs, weights=weights, measurement=State())


def normalised(a):
    return a / np.linalg.norm(a, axis=1, keepdims=True)


@pytest.mark.parametrize("is_complex", [False, True])
@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_prepare_gives_the_amplitudes(n, is_complex, unitary, rng, same_up_to_phase):
    rows = rng.normal(size=(5, 2**n)) + (1j * rng.normal(size=(5, 2**n)) if is_complex else 0)
    rows[1, : 2**n // 2] = 0  # zeros, which have no phase and no angle
    rows[2] = 0
    rows[2, -1] = -1
    request = prepare_request(n, normalised(rows), extra=False)
    lowered, words = lower(request, MINIMAL)
    assert {g.name for g in lowered.circuit.gates} <= {G.RY, G.RZ, G.CX}
    for got, wanted in zip(states(lowered, unitary), normalised(rows), strict=True):
        same_up_to_phase(got, wanted)
    assert len(words) == 1
    assert "prepare" in words[0]


def test_real_states_have_no_phase_at_all(unitary, rng):
    rows = normalised(rng.normal(size=(4, 8)))
    lowered, _ = lower(prepare_request(3, rows, extra=False), MINIMAL)
    got = states(lowered, unitary)
    sign = np.sign((got * rows).sum(axis=1).real)
    np.testing.assert_allclose(got * sign[:, None], rows, atol=1e-12)


@pytest.mark.parametrize("wires", [(2, 0, 1), (1, 2, 0)])
def test_the_rest_of_the_circuit_is_kept(wires, unitary, rng, same_up_to_phase):
    rows = normalised(rng.normal(size=(3, 8)) + 1j * rng.normal(size=(3, 8)))
    request = prepare_request(3, rows, wires)
    lowered, words = lower(request, MINIMAL)
    assert {g.name for g in lowered.circuit.gates} <= MINIMAL
    for got, wanted in zip(states(lowered, unitary), states(request, unitary), strict=True):
        same_up_to_phase(got, wanted)
    names = [p.name for p in lowered.circuit.parameters]
    assert names[:4] == ["first", "a1", "w", "v"]  # a1 is still read by the rz; the other amplitudes are not
    assert lowered.circuit.n_inputs == lowered.inputs.shape[1] == 2 + 14
    assert any("crx" in w for w in words)


def test_the_structure_does_not_depend_on_the_data(rng):
    a = lower(prepare_request(3, normalised(rng.normal(size=(2, 8)))), MINIMAL)[0]
    b = lower(prepare_request(3, np.eye(8)[:2]), MINIMAL)[0]
    assert a.circuit.digest == b.circuit.digest


def test_weights_may_be_amplitudes_and_constants_stay_constants(unitary, same_up_to_phase):
    b = CircuitBuilder(2)
    b.gate("prepare", 0, angles=(0.6, -0.8)).gate("prepare", 1, angles=(b.weight("c"), b.weight("s")))
    circuit = b.rx(0, b.weight("w")).build()
    weights = np.array([[0.28, 0.96, 1.0], [1.0, 0.0, 2.0]])
    request = ExecutionRequest(circuit=circuit, inputs=np.zeros((2, 0)), weights=weights, measurement=State())
    lowered, _ = lower(request, MINIMAL)
    assert (lowered.circuit.n_inputs, lowered.circuit.n_weights) == (1, 1)
    for got, wanted in zip(states(lowered, unitary), states(request, unitary), strict=True):
        same_up_to_phase(got, wanted)


def test_random_requests_keep_their_state(make_random, unitary, rng, same_up_to_phase):
    circuit = make_random(rng, 4, sorted(UNITARY), 50)
    weights = rng.uniform(-6, 6, circuit.n_weights)
    request = ExecutionRequest(circuit=circuit, inputs=np.zeros((1, 0)), weights=weights, measurement=State())
    lowered, words = lower(request, MINIMAL)
    same_up_to_phase(states(lowered, unitary)[0], states(request, unitary)[0])
    assert lowered.weights is weights
    assert len(words) == len({g.name for g in circuit.gates} - MINIMAL)


def test_nothing_to_do_is_the_same_object():
    circuit = CircuitBuilder(2).cx(0, 1).build()
    request = ExecutionRequest(
        circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Probabilities((0,))
    )
    lowered, words = lower(request, MINIMAL)
    assert lowered is request
    assert words == ()


def test_amplitudes_without_norm_one_are_refused():
    with pytest.raises(DataError, match="row 1"):
        lower(prepare_request(1, np.array([[0.6, 0.8], [0.6, 0.6]]), extra=False), MINIMAL)


def test_a_device_that_cannot_entangle_keeps_prepare_for_the_check():
    request = prepare_request(2, np.eye(4)[:1])
    lowered, _ = lower(request, frozenset({G.RX, G.RZ}))
    assert G.PREPARE in {g.name for g in lowered.circuit.gates}


def test_tensors(unitary, rng, same_up_to_phase):
    torch = pytest.importorskip("torch")
    from attrs import evolve

    request = prepare_request(2, normalised(rng.normal(size=(3, 4))))
    tensors = evolve(
        request,
        inputs=torch.tensor(request.inputs, dtype=torch.float32),
        weights=torch.tensor(request.weights, dtype=torch.float32),
    )
    lowered, _ = lower(tensors, MINIMAL)
    assert lowered.inputs.dtype == torch.float32
    exact, _ = lower(request, MINIMAL)
    np.testing.assert_allclose(lowered.inputs.numpy(), exact.inputs, atol=1e-6)
    with pytest.raises(ConfigurationError, match="gradient"):
        lower(evolve(tensors, weights=tensors.weights.requires_grad_()), MINIMAL)


def test_against_qiskits_state_preparation(rng):
    """Qiskit's Operator of our rotations prepares the vector (Qiskit is little-endian)."""
    qiskit = pytest.importorskip("qiskit")
    from qiskit.quantum_info import Statevector

    from qimg_core.circuit import Angle

    vector = normalised(rng.normal(size=(1, 8)) + 1j * rng.normal(size=(1, 8)))
    angles = [Angle(offset=float(v)) for v in preparation_angles(vector)[0]]
    circuit = qiskit.QuantumCircuit(3)
    for gate in preparation_gates((0, 1, 2), angles, complex_state=True):
        getattr(circuit, gate.name.value)(*[a.offset for a in gate.angles], *gate.wires)
    got = Statevector(circuit.reverse_bits()).data
    assert abs(np.vdot(got, vector[0])) == pytest.approx(1.0, abs=1e-12)
