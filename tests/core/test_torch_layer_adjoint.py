"""The torch layer on devices with adjoint gradients: an oracle that is nothing else, and PennyLane's lightning."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core import CircuitBuilder, Encoder, Expectation, LocalStates, Observable, Registry, Session, pauli
from qimg_core.capabilities import GradientMethod
from qimg_core.gradients import by_occurrence, gather, shifted
from qimg_core.mitigation import Mitigation
from qimg_core.testing import ReferenceBackend
from qimg_core.torch_layer import QuantumLayer


class Angles(Encoder):
    """Two features, each an RY, the first used twice; one trained scale."""

    n_features = 2
    n_parameters = 1

    @property
    def circuit(self) -> Any:
        b = CircuitBuilder(2)
        x = b.input("x0")
        return b.ry(0, x).ry(1, b.input("x1")).rz(0, x * 0.5).build()

    def features(self, batch: Any, parameters: Any = None) -> Any:
        return batch * (1 + parameters)


class Readout(Observable):
    """A window's Pauli vector and a trained read-out of it."""

    measurement = LocalStates([(1, 0)])
    n_features = 2
    n_parameters = 32

    def initial(self, seed: int) -> Any:
        return np.random.default_rng(seed).normal(size=32)

    def reduce(self, data: Any, parameters: Any = None) -> Any:
        return data @ parameters.reshape(16, 2)


class TwoWords(Observable):
    """Nothing trained."""

    measurement = Expectation([pauli("Z0 X1", -2.0), pauli("Y1")])
    n_features = 2

    def reduce(self, data: Any, parameters: Any = None) -> Any:
        return data


class AdjointOracle(ReferenceBackend):
    """The reference device with a vector-Jacobian product, by parameter shift on itself."""

    name = "oracle"

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0
        self.products: list[Any] = []

    @property
    def capabilities(self) -> Any:
        return evolve(super().capabilities, gradients=frozenset({GradientMethod.ADJOINT}))

    def run(self, request: Any) -> Any:
        self.runs += 1
        return super().run(request)

    def vjp(self, request: Any, cotangent: Any) -> Any:
        self.products.append(cotangent)
        plan = by_occurrence(request.circuit)
        _, jacobian = gather(super().run(shifted(request, plan)).data, request.rows, plan)
        by_parameter = np.einsum("rw,rwp->rp", cotangent, jacobian)
        c = request.circuit
        weights = by_parameter[:, list(c.weight_indices)]
        return by_parameter[:, list(c.input_indices)], weights.sum(0) if request.weights.ndim == 1 else weights


def layer(session: Session, observable: Observable | None = None, **more: Any) -> QuantumLayer:
    b = CircuitBuilder(2)
    w = b.weight("b")
    b.cx(0, 1).ry(0, b.weight("a")).rz(1, w).gate("crx", 1, 0, angles=(w * -1.5,)).ry(1, b.weight("c"))
    circuit = Angles().circuit.then(b.build())
    initial = np.array([0.3, -1.1, 2.0])
    return QuantumLayer(session, Angles(), circuit, observable or Readout(), initial=initial, seed=0, **more)


@pytest.fixture
def double() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def session_on(backend: Any, **more: Any) -> Session:
    return Session(None, seed=1, backend=backend, registry=Registry(discover=False), **more)


BATCH = [[0.2, -3.1], [4.0, 1.0], [-1.0, 0.4]]


def test_gradcheck_of_batch_weights_and_encoder(double: None) -> None:
    with session_on(AdjointOracle()) as session:
        model = layer(session)

        def loss(x: torch.Tensor, *parameters: torch.Tensor) -> torch.Tensor:
            names = ("weights", "encoder_parameters")
            out: torch.Tensor = torch.func.functional_call(model, dict(zip(names, parameters, strict=True)), (x,))
            return out

        x = torch.tensor(BATCH[:2], requires_grad=True)
        assert torch.autograd.gradcheck(loss, (x, model.weights, model.encoder_parameters), atol=1e-6)


def test_a_step_is_one_execution_and_one_product_and_the_record_says_adjoint() -> None:
    device = AdjointOracle()
    with session_on(device) as session:
        out = layer(session)(torch.tensor(BATCH))
        assert out.dtype == torch.float32 and device.runs == 1 and not device.products
        out.sum().backward()
        assert device.runs == 1 and len(device.products) == 1
        assert device.products[0].shape == (3, 16) and device.products[0].dtype == np.float64
        assert session.log.recorder.tally.executions == 2
        session.flush()
        admitted = [e for e in session.ledger.entries() if e.kind == "plan.admitted"]
        assert [e.facts["gradient"] for e in admitted] == ["adjoint"]


def test_sampling_asks_for_no_derivative() -> None:
    device = AdjointOracle()
    with session_on(device) as session:
        model = layer(session, TwoWords(), frozen=True)
        with torch.no_grad():
            assert not model(torch.tensor(BATCH)).requires_grad
        model.encoder_parameters.requires_grad_(False)
        assert not model(torch.tensor(BATCH)).requires_grad
        assert device.runs == 2 and not device.products
        session.flush()
        admitted = [e for e in session.ledger.entries() if e.kind == "plan.admitted"]
        assert [e.facts["gradient"] for e in admitted] == [None]


def test_weights_changed_between_the_passes_do_not_change_the_derivative(double: None) -> None:
    """The derivative belongs to the values of the forward pass."""
    with session_on(AdjointOracle()) as session:
        model = layer(session, TwoWords())
        model(torch.tensor(BATCH)).sum().backward()
        wanted, model.weights.grad = model.weights.grad, None
        out = model(torch.tensor(BATCH)).sum()
        with torch.no_grad():
            model.weights += 1.0
        out.backward()
        torch.testing.assert_close(model.weights.grad, wanted, atol=1e-12, rtol=0)


def test_second_derivatives_are_refused_aloud() -> None:
    with session_on(AdjointOracle()) as session:
        x = torch.tensor(BATCH, requires_grad=True)
        (first,) = torch.autograd.grad(layer(session)(x).square().sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="once_differentiable"):
            first.sum().backward()


def test_shots_go_by_parameter_shift() -> None:
    device = AdjointOracle()
    with session_on(device, shots=50) as session:
        layer(session)(torch.tensor(BATCH)).sum().backward()
    assert device.runs == 1 and not device.products


@pytest.mark.parametrize("shots", [None, 20])
def test_the_sessions_mitigation_is_asked_where_there_is_something_to_mitigate(shots: int | None) -> None:
    asked = []

    class Watching(Session):
        def execute(self, request: Any, **more: Any) -> Any:
            asked.append(request.mitigation)
            return super().execute(evolve(request, mitigation=None), **more)

    wanted = Mitigation(readout=True)
    with Watching(
        None, seed=1, backend=AdjointOracle(), registry=Registry(discover=False), shots=shots, mitigation=wanted
    ) as session:
        layer(session, TwoWords())(torch.tensor(BATCH))
    assert asked == [None if shots is None else wanted]


@pytest.mark.parametrize("observable", [Readout(), TwoWords()])
def test_training_on_lightning_equals_training_on_the_simulator(double: None, observable: Observable) -> None:
    """Adjoint on one device, backprop on the other: the same losses and weights after twelve steps of Adam."""
    ends = []
    target = torch.tensor([[0.3, -0.2], [0.1, 0.4], [-0.5, 0.0]])
    for backend, method in (("pennylane", GradientMethod.ADJOINT), ("simulator", GradientMethod.BACKPROP)):
        with Session(None, seed=1, backend=backend) as session:
            model = torch.nn.Sequential(torch.nn.Linear(2, 2), layer(session, observable))
            with torch.no_grad():
                model[0].weight.copy_(torch.tensor([[0.9, -0.3], [0.2, 1.1]]))
                model[0].bias.copy_(torch.tensor([0.1, -0.4]))
            optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
            losses = []
            for _ in range(12):
                optimiser.zero_grad()
                loss = (model(torch.tensor(BATCH)) - target).square().mean()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            session.flush()
            admitted = [e for e in session.ledger.entries() if e.kind == "plan.admitted"]
            assert {e.facts["gradient"] for e in admitted} == {method.value}
            ends.append((losses, [p.detach().numpy().copy() for p in model.parameters()]))
    (adjoint, theirs), (backprop, ours) = ends
    assert adjoint[-1] < 0.9 * adjoint[0]
    np.testing.assert_allclose(adjoint, backprop, atol=1e-8)
    for one, other in zip(theirs, ours, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
