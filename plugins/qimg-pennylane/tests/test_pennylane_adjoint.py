"""Adjoint derivatives against parameter shift on the reference device and against our simulator's backprop."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.capabilities import GradientMethod
from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
from qimg_core.circuit.gates import PARAMETRIC, UNITARY
from qimg_core.errors import CapabilityError, DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.gradients import by_occurrence, gather, shifted
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.testing.reference import ReferenceBackend
from qimg_pennylane.backend import PennyLaneBackend
from qimg_simulator.backend import SimulatorBackend

DEVICES = ["lightning.qubit", "default.qubit"]
MEASUREMENTS = [
    Expectation([pauli("Z0 Y2 X3", -0.7), pauli("Y1"), PauliString((), 1.5), pauli("Y1", 2.0)]),
    LocalStates([(3, 0), (2,), (0, 3), (1, 2, 0)]),
    Probabilities((2, 0, 1)),
]


def circuit(n: int = 4, seed: int = 0) -> Circuit:
    """Every gate in random order on random wires; shared, scaled and shifted inputs and weights, constants."""
    rng = np.random.default_rng(seed)
    b = CircuitBuilder(n)
    inputs = [b.input(f"x{k}") for k in range(4)]
    weights = [b.weight(f"w{k}") for k in range(4)]
    for q in range(n):
        b.ry(q, inputs[q % 4]).rz(q, weights[q % 4])
    for name in rng.permutation(sorted(UNITARY)):
        gate = GateName(str(name))
        choice = [*inputs, *weights, *(w * -0.6 + 0.2 for w in weights), inputs[0] * 1.7, Angle(offset=0.8)]
        angles = (choice[int(rng.integers(len(choice)))],) if gate.n_angles else ()
        b.gate(gate, *(int(w) for w in rng.permutation(n)[: gate.n_wires]), angles=angles)
    return b.build()


def request(c: Circuit, measurement: Any, rows: int = 3, *, by_row: bool = False, seed: int = 1) -> ExecutionRequest:
    rng = np.random.default_rng(seed)
    return ExecutionRequest(
        circuit=c,
        inputs=rng.uniform(-6, 6, (rows, c.n_inputs)),
        weights=rng.uniform(-6, 6, (rows, c.n_weights) if by_row else (c.n_weights,)),
        measurement=measurement,
    )


def cotangent(r: ExecutionRequest) -> Any:
    return np.random.default_rng(9).normal(size=(r.rows, r.measurement.width))


def by_shift(r: ExecutionRequest, c: Any) -> tuple[Any, Any]:
    plan = by_occurrence(r.circuit)
    _, jacobian = gather(ReferenceBackend().run(shifted(r, plan)).data, r.rows, plan)
    by_parameter = np.einsum("rw,rwp->rp", c, jacobian)
    weights = by_parameter[:, list(r.circuit.weight_indices)]
    return by_parameter[:, list(r.circuit.input_indices)], weights.sum(0) if r.weights.ndim == 1 else weights


def by_backprop(r: ExecutionRequest, c: Any) -> tuple[Any, Any]:
    x, w = torch.tensor(r.inputs, requires_grad=True), torch.tensor(r.weights, requires_grad=True)
    out = SimulatorBackend().run(evolve(r, inputs=x, weights=w)).data
    (out * torch.tensor(c)).sum().backward()
    zero = torch.zeros(())
    return tuple((zero.expand(a.shape) if a.grad is None else a.grad).numpy() for a in (x, w))  # type: ignore[return-value]


def agree(found: tuple[Any, Any], wanted: tuple[Any, Any]) -> None:
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == np.float64
        np.testing.assert_allclose(ours, theirs, atol=1e-8)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda m: m.kind.value)
@pytest.mark.parametrize("by_row", [False, True])
def test_every_gate_agrees_with_our_backprop(device: str, measurement: Any, by_row: bool) -> None:
    r = request(circuit(), measurement, by_row=by_row)
    agree(PennyLaneBackend(device).vjp(r, cotangent(r)), by_backprop(r, cotangent(r)))


@pytest.mark.parametrize("by_row", [False, True])
def test_it_agrees_with_parameter_shift(by_row: bool) -> None:
    r = request(circuit(3, 5), Expectation([pauli("Z0 X2"), pauli("Y1", -0.5)]), rows=2, by_row=by_row)
    agree(PennyLaneBackend().vjp(r, cotangent(r)), by_shift(r, cotangent(r)))


@pytest.mark.parametrize("name", sorted(PARAMETRIC))
def test_every_rotation_by_a_scaled_and_shared_parameter(name: GateName) -> None:
    b = CircuitBuilder(3)
    x, w = b.input("x"), b.weight("w")
    for q in range(3):
        b.h(q).ry(q, 0.3 + q)
    wires = (2, 0)[: name.n_wires]
    b.gate(name, *wires, angles=(x * 1.7 + 0.2,)).gate(name, *wires, angles=(w * -0.5,)).cx(0, 1).rx(1, x).ry(0, w)
    r = request(b.build(), Expectation([pauli("Z0"), pauli("X1 Y2", 0.7)]), rows=2)
    agree(PennyLaneBackend().vjp(r, cotangent(r)), by_shift(r, cotangent(r)))


@pytest.mark.parametrize("measurement", MEASUREMENTS, ids=lambda m: m.kind.value)
@pytest.mark.parametrize("complex_state", [False, True])
def test_amplitudes_are_differentiated_too(measurement: Any, complex_state: bool) -> None:
    """Registers of inputs, two of the same weights, a wire that is not prepared; amplitudes are free numbers."""
    size = 8 if complex_state else 4
    names = [*(Parameter(f"a{k}", "input") for k in range(size)), Parameter("c", "weight"), Parameter("s", "weight")]
    names += [Parameter("w", "weight")]
    gates = (
        Gate("prepare", (3, 1), [Angle(k) for k in range(size)]),
        Gate("prepare", (0,), [Angle(size, -1.0), Angle(size + 1)]),
        Gate("prepare", (4,), [Angle(size + 1), Angle(size)]),
        Gate("cry", (4, 2), [Angle(offset=1.2)]),
        Gate("ry", (2,), [Angle(size + 2, 1.3)]),
        Gate("sx", (3,)),
        Gate("crx", (1, 2), [Angle(size + 2)]),
        Gate("cx", (0, 3)),
        Gate("rzz", (3, 2), [Angle(offset=0.4)]),
        Gate("t", (0,)),
        Gate("ryy", (0, 1), [Angle(size + 2, -0.7)]),
    )
    x = np.random.default_rng(0).normal(size=(2, size))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    r = ExecutionRequest(
        circuit=Circuit(5, gates, names), inputs=x, weights=np.array([0.6, 0.8, 0.4]), measurement=measurement
    )
    agree(PennyLaneBackend().vjp(r, cotangent(r)), by_backprop(r, cotangent(r)))


def test_windows_of_four_wires_and_many_rows() -> None:
    """More rows than are held at once; one adjoint pass a row for 2 * 256 numbers."""
    c = CircuitBuilder(5)
    for q in range(5):
        c.ry(q, c.input(f"x{q}")).gate("crz", q, (q + 1) % 5, angles=(c.weight(f"w{q}"),))
    r = request(c.build(), LocalStates([(4, 0, 2, 1), (1, 3, 2, 0)]), rows=70)
    agree(PennyLaneBackend().vjp(r, cotangent(r)), by_backprop(r, cotangent(r)))


def test_rows_without_a_cotangent_and_circuits_without_parameters_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    r = request(circuit(), MEASUREMENTS[0])
    c = cotangent(r)
    c[1] = 0
    inputs, weights = PennyLaneBackend().vjp(r, c)
    assert not inputs[1].any() and inputs[0].any() and weights.any()
    monkeypatch.setattr("qimg_pennylane.executing.Runner.derivatives", lambda *_: pytest.fail("a device was asked"))
    inputs, weights = PennyLaneBackend().vjp(r, np.zeros_like(c))
    assert not inputs.any() and not weights.any()
    plain = ExecutionRequest(
        circuit=CircuitBuilder(1).h(0).build(),
        inputs=np.zeros((2, 0)),
        weights=np.zeros(0),
        measurement=Expectation([pauli("X0")]),
    )
    inputs, weights = PennyLaneBackend().vjp(plain, np.ones((2, 1)))
    assert inputs.shape == (2, 0) and weights.shape == (0,)


def test_only_exact_expectation_values_on_devices_that_claim_it() -> None:
    r = request(circuit(), MEASUREMENTS[0])
    assert PennyLaneBackend().capabilities.gradients == {GradientMethod.ADJOINT}
    assert PennyLaneBackend("default.mixed").capabilities.gradients == frozenset()
    with pytest.raises(CapabilityError, match="adjoint"):
        PennyLaneBackend("default.mixed").vjp(r, cotangent(r))
    with pytest.raises(CapabilityError, match="gradient"):
        PennyLaneBackend().vjp(evolve(r, shots=10), cotangent(r))
    with pytest.raises(CapabilityError, match="gradient"):
        PennyLaneBackend().vjp(evolve(r, measurement=State()), np.zeros((3, 0)))
    with pytest.raises(CapabilityError, match="gradient|shots"):
        PennyLaneBackend().vjp(evolve(r, measurement=Samples((0,)), shots=4), np.zeros((3, 1)))
    with pytest.raises(DataError, match=r"wanted \(3, 4\)"):
        PennyLaneBackend().vjp(r, cotangent(r)[:, :2])
