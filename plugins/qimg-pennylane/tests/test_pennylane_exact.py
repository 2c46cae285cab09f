"""Exact numbers of PennyLane's devices against the dense reference device, gate by gate."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from qimg_core.capabilities import MeasurementKind
from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
from qimg_core.circuit.gates import UNITARY
from qimg_core.errors import CapabilityError, DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.testing.reference import ReferenceBackend
from qimg_pennylane.backend import PennyLaneBackend
from qimg_pennylane.devices import facts_of

DEVICES = ["lightning.qubit", "default.qubit", "default.mixed"]
TERMS = (pauli("Z0 Y2 X3", -0.7), pauli("Y1"), PauliString((), 1.5), pauli("Y1", 2.0), pauli("X0 X1 Z2 Y3"))
MEASUREMENTS = [
    Expectation(TERMS),
    Expectation([PauliString((), -2.0)]),
    LocalStates([(3, 0, 1), (2, 1), (0,)]),
    Probabilities((2, 0, 1)),
    Probabilities((3, 0, 1, 2)),
    State(),
]
CLAIMED = [(d, m) for d in DEVICES for m in MEASUREMENTS if d != "default.mixed" or not isinstance(m, State)]


def agree(device: str, request: ExecutionRequest, atol: float = 1e-10) -> Any:
    ours = PennyLaneBackend(device).run(request).data
    wanted = ReferenceBackend().run(request).data
    assert ours.shape == wanted.shape and ours.dtype == wanted.dtype
    np.testing.assert_allclose(ours, wanted, atol=atol)
    return ours


def started(n: int) -> CircuitBuilder:
    """A product state that no symmetry hides, by three inputs a wire: each row is another input state."""
    b = CircuitBuilder(n)
    for q in range(n):
        b.ry(q, b.input(f"a{q}")).rz(q, b.input(f"b{q}")).rx(q, b.input(f"c{q}"))
    return b


def zoo(n: int, seed: int, *, layers: int = 2) -> Circuit:
    """Every gate on random wires; angles are inputs, weights and constants, shared and scaled."""
    rng = np.random.default_rng(seed)
    b = started(n)
    weights = [b.weight(f"w{k}") for k in range(5)]
    x = b.input("x")
    for _ in range(layers):
        for name in rng.permutation(sorted(g for g in UNITARY if (g.n_wires or 1) <= n)):
            gate = GateName(str(name))
            wires = [int(w) for w in rng.permutation(n)[: gate.n_wires]]
            choice = [x * 0.5 + 0.3, *(w * float(rng.uniform(-2, 2)) for w in weights), Angle(offset=0.9)]
            angles = (choice[int(rng.integers(len(choice)))],) if gate.n_angles else ()
            b.gate(gate, *wires, angles=angles)
    return b.build()


def numbers(circuit: Circuit, rows: int, seed: int = 0, *, by_row: bool = False) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    shape = (rows, circuit.n_weights) if by_row else (circuit.n_weights,)
    return rng.uniform(-6, 6, (rows, circuit.n_inputs)), rng.uniform(-6, 6, shape)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(UNITARY))
def test_every_gate_from_three_input_states(device: str, name: GateName) -> None:
    b = started(3)
    wires = (2, 0, 1)[: name.n_wires]
    b.gate(name, *wires, angles=(b.weight("w") * 0.7 + 0.4,) if name.n_angles else ())
    circuit = b.build()
    x, w = numbers(circuit, 3)
    everything = LocalStates([(0, 1, 2)]) if device == "default.mixed" else State()
    agree(device, ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=everything))


@pytest.mark.parametrize(("device", "measurement"), CLAIMED, ids=lambda v: getattr(getattr(v, "kind", v), "value", v))
@pytest.mark.parametrize("by_row", [False, True])
def test_every_measurement_of_a_circuit_of_every_gate(device: str, measurement: Any, by_row: bool) -> None:
    circuit = zoo(4, 1)
    x, w = numbers(circuit, 3, by_row=by_row)
    whole = agree(device, ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement))
    one = ExecutionRequest(circuit=circuit, inputs=x[1:2], weights=w[1:2] if by_row else w, measurement=measurement)
    np.testing.assert_allclose(PennyLaneBackend(device).run(one).data, whole[1:2], atol=1e-12)


@pytest.mark.parametrize("device", DEVICES)
def test_orders_of_wires_that_are_not_their_own_inverse(device: str) -> None:
    for n, order in ((3, (2, 0, 1)), (5, (3, 0, 1, 4))):
        circuit = zoo(n, n, layers=1)
        x, w = numbers(circuit, 2)
        for measurement in (Probabilities(order), LocalStates([order])):
            request = ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement)
            agree(device, request)
        right = ReferenceBackend().run(evolve(request, measurement=Probabilities(order))).data
        for other in (order[::-1], tuple(np.argsort(order)) if n == 3 else tuple(sorted(order))):
            wrong = ReferenceBackend().run(evolve(request, measurement=Probabilities(other))).data
            assert np.abs(wrong - right).max() > 0.01  # the circuit can tell the orders apart


@pytest.mark.parametrize("device", DEVICES)
def test_idle_wires_are_kept_and_equal_rows_repeated(device: str) -> None:
    circuit = CircuitBuilder(4).h(2).cx(2, 0).build()
    request = ExecutionRequest(
        circuit=circuit, inputs=np.zeros((3, 0)), weights=np.zeros(0), measurement=Probabilities((3, 2, 1, 0))
    )
    assert agree(device, request).shape == (3, 16)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("complex_state", [False, True])
def test_prepared_registers_of_inputs_and_weights(device: str, complex_state: bool) -> None:
    """Two registers on interleaved wires, one of inputs and one of a shared weight pair, gates before the second."""
    size = 8 if complex_state else 4
    names = [*(Parameter(f"x{i}", "input") for i in range(size)), Parameter("c", "weight"), Parameter("s", "weight")]
    gates = (
        Gate("prepare", (3, 1), [Angle(i) for i in range(size)]),
        Gate("ry", (2,), [Angle(offset=0.7)]),
        Gate("prepare", (0,), [Angle(size, -1.0), Angle(size + 1)]),
        Gate("crx", (1, 2), [Angle(offset=1.1)]),
        Gate("cx", (0, 3)),
    )
    circuit = Circuit(4, gates, names)
    x = np.random.default_rng(0).normal(size=(3, size))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    everything = LocalStates([(0, 1, 2), (1, 3), (0, 3)]) if device == "default.mixed" else State()
    for weights in (np.array([0.6, 0.8]), np.array([[0.6, 0.8], [-0.8, 0.6], [0.0, 1.0]])):
        agree(device, ExecutionRequest(circuit=circuit, inputs=x, weights=weights, measurement=everything))


def test_amplitudes_without_norm_and_late_preparations_are_refused() -> None:
    b = CircuitBuilder(2)
    b.gate("prepare", 0, angles=(b.input("a"), b.input("b")))
    request = ExecutionRequest(
        circuit=b.build(), inputs=np.array([[0.6, 0.9]]), weights=np.zeros(0), measurement=Probabilities((0,))
    )
    for device in DEVICES:
        with pytest.raises(DataError, match="norm 1"):
            PennyLaneBackend(device).run(request)
    late = Circuit(2, (Gate("h", (0,)), Gate("prepare", (1, 0), [Angle(offset=0.5)] * 4)))
    with pytest.raises(CapabilityError, match="first gate"):
        PennyLaneBackend().run(evolve(request, circuit=late, inputs=np.zeros((1, 0))))


def test_local_states_as_words_where_a_device_gives_no_state() -> None:
    circuit = zoo(4, 1)
    x, w = numbers(circuit, 3)
    r = ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=LocalStates([(3, 0, 1), (2, 1), (0,)]))
    for device in ("lightning.qubit", "default.qubit"):
        backend = PennyLaneBackend(device, facts=evolve(facts_of(device), state=None))
        assert MeasurementKind.STATE not in backend.capabilities.measurements
        np.testing.assert_allclose(backend.run(r).data, ReferenceBackend().run(r).data, atol=1e-10)


@pytest.mark.parametrize("device", DEVICES)
def test_many_rows_are_cut_into_blocks_in_order(device: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With room for five rows at a time the result is the same, row by row."""
    size = 2 ** (3 * (2 if device == "default.mixed" else 1))
    monkeypatch.setattr("qimg_pennylane.executing._AMPLITUDES", 5 * size)
    circuit = zoo(3, 2, layers=1)
    x, w = numbers(circuit, 13)
    for measurement in (Expectation([pauli("Z0 X1"), pauli("Y2")]), Probabilities((1, 2)), LocalStates([(2, 0)])):
        agree(device, ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement))


@pytest.mark.parametrize("device", DEVICES)
def test_what_is_not_claimed_is_refused(device: str) -> None:
    backend = PennyLaneBackend(device)
    caps = backend.capabilities
    circuit = CircuitBuilder(2).h(0).build()
    base = ExecutionRequest(
        circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Expectation([pauli("Z0")])
    )
    for measurement, shots in itertools.product(
        (State(), Samples((0,)), Probabilities((1,)), LocalStates([(0,)])), (None, 10)
    ):
        request = evolve(base, measurement=measurement, shots=shots)
        sense = not (measurement.kind is MeasurementKind.STATE and shots) and not (
            measurement.kind is MeasurementKind.SAMPLES and not shots
        )
        if measurement.kind in caps.measurements and sense:
            assert backend.run(request).shots == shots
        else:
            with pytest.raises(CapabilityError, match="measurement|shots"):
                backend.run(request)
    with pytest.raises(CapabilityError, match=f"up to {caps.max_wires}"):
        backend.run(evolve(base, circuit=CircuitBuilder(caps.max_wires + 1).h(0).build()))
    with pytest.raises(CapabilityError, match="gates"):
        backend.run(evolve(base, circuit=Circuit(2, (Gate("reset", (0,)),))))
    with pytest.raises(DataError, match="one term or window"):
        backend.run(evolve(base, measurement=Expectation(())))
    with pytest.raises(CapabilityError, match="readout"):
        backend.run(evolve(base, measurement=LocalStates([(0,)]), readout=(np.zeros((1, 2, 2)),)))


def test_torch_tensors_are_refused() -> None:
    torch = pytest.importorskip("torch")
    request = ExecutionRequest(
        circuit=CircuitBuilder(1).h(0).build(),
        inputs=torch.zeros((1, 0)),
        weights=torch.zeros(0),
        measurement=Probabilities((0,)),
    )
    with pytest.raises(CapabilityError, match="numpy arrays"):
        PennyLaneBackend().run(request)
