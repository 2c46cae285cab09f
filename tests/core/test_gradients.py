"""Parameter shift against finite differences on the reference device, and the torch layer on it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core import CircuitBuilder, Encoder, ExecutionRequest, Expectation, Observable, Registry, Session, pauli
from qimg_core.circuit import GateName
from qimg_core.circuit.gates import PARAMETRIC
from qimg_core.errors import CapabilityError
from qimg_core.gradients import by_occurrence, gather, shifted
from qimg_core.testing import ReferenceBackend


def device(request):
    return ReferenceBackend().run(request).data


def shift_gradient(request):
    plan = by_occurrence(request.circuit)
    return gather(device(shifted(request, plan)), request.rows, plan)


def finite(request, step=1e-5):
    from attrs import evolve

    columns = []
    for index in request.circuit.input_indices + request.circuit.weight_indices:
        out = []
        for sign in (1, -1):
            x, w = (
                request.inputs.copy(),
                np.broadcast_to(request.weights, (request.rows, request.circuit.n_weights)).copy(),
            )
            if index in request.circuit.input_indices:
                x[:, request.circuit.input_indices.index(index)] += sign * step
            else:
                w[:, request.circuit.weight_indices.index(index)] += sign * step
            out.append(device(evolve(request, inputs=x, weights=w)))
        columns.append((index, (out[0] - out[1]) / (2 * step)))
    return dict(columns)


@pytest.mark.parametrize("name", sorted(PARAMETRIC))
@given(seed=st.integers(0, 10_000))
@settings(max_examples=5, deadline=None)
def test_every_parametric_gate(name, seed):
    rng = np.random.default_rng(seed)
    b = CircuitBuilder(3)
    x, w = b.input("x"), b.weight("w")
    for wire in range(3):
        b.h(wire).ry(wire, 0.3 + wire)
    wires = (2, 0)[: GateName(name).n_wires]
    b.gate(name, *wires, angles=(x * 1.7 + 0.2,)).gate(name, *wires, angles=(w * -0.5,)).rx(1, x).cx(0, 1).ry(0, w)
    request = ExecutionRequest(
        circuit=b.build(),
        inputs=rng.uniform(-6, 6, (2, 1)),
        weights=rng.uniform(-6, 6, 1),
        measurement=Expectation([pauli("Z0"), pauli("X1 Y2", 0.7)]),
    )
    values, jacobian = shift_gradient(request)
    np.testing.assert_allclose(values, device(request), atol=1e-12)
    for index, expected in finite(request).items():
        np.testing.assert_allclose(jacobian[:, :, index], expected, atol=1e-7)


def test_prepare_has_no_shift_rule():
    b = CircuitBuilder(1)
    b.gate("prepare", 0, angles=(b.input("a"), b.input("b")))
    with pytest.raises(CapabilityError, match="prepare"):
        by_occurrence(b.build())


class AngleOnly(Encoder):
    """Two features, each an RY; nothing trained."""

    @property
    def circuit(self):
        b = CircuitBuilder(2)
        return b.ry(0, b.input("x0")).ry(1, b.input("x1")).build()

    n_features = 2

    def features(self, batch, parameters=None):
        return batch


class TwoZ(Observable):
    measurement = Expectation([pauli("Z0"), pauli("Z0 Z1")])
    n_features = 2

    def reduce(self, data, parameters=None):
        return data


def layer(session):
    from qimg_core.torch_layer import QuantumLayer

    b = CircuitBuilder(2)
    ansatz = b.cx(0, 1).ry(0, b.weight("a")).rz(1, b.weight("b")).cx(1, 0).ry(1, b.weight("c")).build()
    circuit = AngleOnly().circuit.then(ansatz)
    return QuantumLayer(session, AngleOnly(), circuit, TwoZ(), initial=np.array([0.3, -1.1, 2.0]), seed=0)


def test_torch_layer_by_parameter_shift_passes_gradcheck():
    torch.set_default_dtype(torch.float64)
    try:
        session = Session(None, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False))
        model = layer(session)
        x = torch.tensor([[0.2, -3.1], [4.0, 1.0]], requires_grad=True)
        assert torch.autograd.gradcheck(model, (x,), atol=1e-6)
        model(x).sum().backward()
        analytic = model.weights.grad.clone()
        for k in range(3):
            with torch.no_grad():
                moved = []
                for sign in (1, -1):
                    model.weights[k] += sign * 1e-5
                    moved.append(model(x).sum().item())
                    model.weights[k] -= sign * 1e-5
            assert abs((moved[0] - moved[1]) / 2e-5 - analytic[k].item()) < 1e-7
        session.close()
    finally:
        torch.set_default_dtype(torch.float32)


def test_a_training_step_by_shift_is_one_request():
    session = Session(None, seed=1, backend=ReferenceBackend(), registry=Registry(discover=False))
    model = layer(session)
    model(torch.tensor([[0.2, -3.1]])).sum().backward()
    assert session.log.recorder.tally.executions == 1
    with torch.no_grad():
        model(torch.tensor([[0.2, -3.1]]))
    assert session.log.recorder.tally.rows == (1 + 2 * 5) + 1
    session.close()
