"""The noiseless engine against Qiskit's and PennyLane's, on random circuits of every gate."""

from __future__ import annotations

import itertools
import operator
import warnings
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
from qimg_core.circuit.gates import UNITARY, matrix
from qimg_core.errors import CapabilityError, DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_simulator.backend import SimulatorBackend

GATES = sorted(UNITARY)
PAULI = {
    "I": np.eye(2, dtype=complex),
    **{p.upper(): matrix(GateName(p)) for p in "xyz"},
}


def random_circuit(n: int, n_gates: int, seed: int, *, first: tuple[Gate, ...] = ()) -> Circuit:
    """Every gate in turn on random wires; angles are inputs, weights or constants, scaled and shifted."""
    rng = np.random.default_rng(seed)
    names = [g for g in GATES if (GateName(g).n_wires or 1) <= n]
    order = [names[i] for i in rng.permutation(n_gates) % len(names)]
    parameters: list[Parameter] = []
    gates = []
    for name in order:
        wires = tuple(int(w) for w in rng.permutation(n)[: GateName(name).n_wires])
        angles: tuple[Angle, ...] = ()
        if GateName(name).n_angles:
            role = rng.integers(4)
            if role == 3:
                angles = (Angle(offset=rng.uniform(-6, 6)),)
            else:
                again = parameters and rng.random() < 0.3
                if not again:
                    parameters.append(Parameter(f"p{len(parameters)}", "input" if role == 0 else "weight"))
                index = int(rng.integers(len(parameters))) if again else len(parameters) - 1
                angles = (Angle(index, *(rng.uniform(-2, 2, 2) if rng.random() < 0.5 else ())),)
        gates.append(Gate(name, wires, angles))
    return Circuit(n, first + tuple(gates), tuple(parameters))


def numbers(circuit: Circuit, rows: int, seed: int, *, by_row: bool = False) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    shape = (rows, circuit.n_weights) if by_row else (circuit.n_weights,)
    return rng.uniform(-2 * np.pi, 2 * np.pi, (rows, circuit.n_inputs)), rng.uniform(-2 * np.pi, 2 * np.pi, shape)


def run(circuit: Circuit, x: Any, w: Any, measurement: Any, **more: Any) -> Any:
    return (
        SimulatorBackend("torch")
        .run(ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement, **more))
        .data
    )


def qiskit_states(circuit: Circuit, x: Any, w: Any) -> Any:
    """Each row through Qiskit's own gates and Statevector; its qubits are little-endian."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    out = []
    for row in circuit.values(x, w):
        qc = QuantumCircuit(circuit.n_wires)
        for gate in circuit.gates:
            values = [a.offset + (0 if a.parameter is None else a.scale * row[a.parameter]) for a in gate.angles]
            if gate.name is GateName.PREPARE:
                size = 2 ** len(gate.wires)
                vector = np.array(values[:size]) + (1j * np.array(values[size:]) if len(values) > size else 0)
                qc.initialize(vector, list(gate.wires)[::-1])
            else:
                getattr(qc, gate.name.value)(*values, *gate.wires)
        state = Statevector(np.eye(2**circuit.n_wires)[0])
        if circuit.gates and circuit.gates[0].name is GateName.PREPARE:
            state = Statevector.from_instruction(_plain(qc))
        else:
            state = state.evolve(qc)
        out.append(state.reverse_qargs().data)
    return np.array(out)


def _plain(qc: Any) -> Any:
    """`initialize` without its reset, so that it is a unitary from |0>."""
    from qiskit.circuit.library import StatePreparation

    out = qc.copy_empty_like()
    for item in qc.data:
        operation = item.operation
        if operation.name == "initialize":
            operation = StatePreparation(np.array(operation.params))
        out.append(operation, item.qubits)
    return out


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize(
    ("n", "n_gates", "seed"), [(1, 30, 0), (2, 60, 1), (3, 70, 2), (4, 80, 3), (5, 90, 4), (6, 90, 5)]
)
def test_states_agree_with_qiskit(n: int, n_gates: int, seed: int, by_row: bool) -> None:
    circuit = random_circuit(n, n_gates, seed)
    x, w = numbers(circuit, 3, seed, by_row=by_row)
    ours = run(circuit, x, w, State())
    assert ours.dtype == np.complex128
    np.testing.assert_allclose(ours, qiskit_states(circuit, x, w), atol=1e-10)


@pytest.mark.parametrize("complex_amplitudes", [False, True])
@pytest.mark.parametrize(("n", "on"), [(3, (0, 1, 2)), (4, (2, 0, 3)), (5, (4, 1)), (3, (1,))])
def test_prepare_on_any_wires_in_any_order(n: int, on: tuple[int, ...], complex_amplitudes: bool) -> None:
    size = 2 ** len(on) * (2 if complex_amplitudes else 1)
    body = random_circuit(n, 25, 11 + n)
    parameters = tuple(Parameter(f"a{i}", "input") for i in range(size)) + body.parameters
    shifted = [
        Gate(
            g.name,
            g.wires,
            [Angle(None if a.parameter is None else a.parameter + size, a.scale, a.offset) for a in g.angles],
        )
        for g in body.gates
    ]
    circuit = Circuit(n, (Gate("prepare", on, [Angle(i) for i in range(size)]), *shifted), parameters)
    x, w = numbers(circuit, 4, 3)
    x[:, :size] /= np.linalg.norm(x[:, :size], axis=1, keepdims=True)
    np.testing.assert_allclose(run(circuit, x, w, State()), qiskit_states(circuit, x, w), atol=1e-10)


def test_two_prepared_registers_and_a_weight_as_amplitude() -> None:
    """Registers of shared weights and of inputs on interleaved wires are the Kronecker product."""
    names = [Parameter("w0", "weight"), Parameter("w1", "weight"), *(Parameter(f"x{i}", "input") for i in range(4))]
    gates = (Gate("prepare", (1,), [Angle(0), Angle(1)]), Gate("prepare", (2, 0), [Angle(i) for i in range(2, 6)]))
    x = np.array([[0.5, 0.5, -0.5, 0.5], [1.0, 0, 0, 0]])
    w = np.array([0.6, 0.8])
    out = run(Circuit(3, gates, tuple(names)), x, w, State()).reshape(2, 2, 2, 2)
    expected = np.einsum("rca,b->rabc", x.reshape(2, 2, 2), w)
    np.testing.assert_allclose(out, expected, atol=1e-14)


def test_prepare_refuses_what_it_cannot_mean() -> None:
    late = CircuitBuilder(1).h(0).gate("prepare", 0, angles=(1.0, 0.0)).build()
    with pytest.raises(CapabilityError, match="first gate"):
        run(late, np.zeros((1, 0)), np.zeros(0), State())
    b = CircuitBuilder(1)
    loose = b.gate("prepare", 0, angles=(b.input("a"), b.input("b"))).build()
    with pytest.raises(DataError, match="norm 1"):
        run(loose, np.array([[1.0, 1.0]]), np.zeros(0), State())


def random_terms(n: int, count: int, seed: int) -> list[PauliString]:
    rng = np.random.default_rng(seed)
    out = [PauliString(()), PauliString(((0, "Z"),), -1.5)]
    for _ in range(count):
        word = rng.choice(list("IXYZ"), n)
        out.append(PauliString([(i, p) for i, p in enumerate(word) if p != "I"], float(rng.normal())))
    return out


def dense_pauli(term: PauliString, n: int) -> Any:
    letters = dict(term.factors)
    out = np.ones((1, 1), dtype=complex)
    for wire in range(n):
        out = np.kron(out, PAULI[letters.get(wire, "I")])
    return term.coefficient * out


@pytest.mark.parametrize(("n", "seed"), [(1, 0), (3, 1), (5, 2), (6, 3)])
def test_expectations_agree_with_dense_matrices(n: int, seed: int) -> None:
    circuit = random_circuit(n, 40, seed)
    x, w = numbers(circuit, 3, seed)
    terms = random_terms(n, 20, seed)
    states = qiskit_states(circuit, x, w)
    expected = [[np.vdot(s, dense_pauli(t, n) @ s).real for t in terms] for s in states]
    np.testing.assert_allclose(run(circuit, x, w, Expectation(terms)), expected, atol=1e-9)


@pytest.mark.parametrize("wires", [(2, 0, 1), (1, 2, 0), (0, 1, 2, 3), (3,), (3, 1), (2, 3, 0, 1)])
def test_probabilities_follow_the_wires_in_the_order_given(wires: tuple[int, ...]) -> None:
    from qiskit.quantum_info import Statevector

    circuit = random_circuit(4, 50, 7)
    x, w = numbers(circuit, 2, 7)
    ours = run(circuit, x, w, Probabilities(wires))
    for row, state in zip(ours, qiskit_states(circuit, x, w), strict=True):
        theirs = Statevector(state).reverse_qargs().probabilities(list(wires)[::-1])
        np.testing.assert_allclose(row, theirs, atol=1e-12)


WINDOWS = ((2, 0), (1,), (0, 1, 2, 3), (3, 4, 1), (4, 0), (5, 2), (3, 0, 4, 2, 1), (5, 0, 3, 1, 4, 2), (2, 4))


def test_local_states_agree_with_qiskits_partial_trace() -> None:
    from qiskit.quantum_info import DensityMatrix, Pauli, Statevector, partial_trace

    circuit = random_circuit(6, 90, 9)
    x, w = numbers(circuit, 2, 9)
    measurement = LocalStates(WINDOWS[:7])
    ours = run(circuit, x, w, measurement)
    assert ours.shape == (2, measurement.width)
    for row, state in zip(ours, qiskit_states(circuit, x, w), strict=True):
        full = Statevector(state).reverse_qargs()
        for i, window in enumerate(measurement.windows):
            block = row[measurement.offsets[i] : measurement.offsets[i + 1]]
            kept = sorted(window)
            rho: DensityMatrix = partial_trace(full, [q for q in range(6) if q not in window])
            for entry, letters in zip(block, itertools.product("IXYZ", repeat=len(window)), strict=True):
                # our first wire is the window's first; Qiskit's label runs from its last qubit down
                label = "".join(letters[window.index(q)] for q in reversed(kept))
                assert abs(rho.expectation_value(Pauli(label)) - entry) < 1e-9


@pytest.mark.parametrize("windows", [WINDOWS, tuple(itertools.combinations(range(6), 2)), ((0, 1, 2, 3, 4, 5),)])
def test_contracted_readout_equals_the_pauli_vector_route(windows: tuple[tuple[int, ...], ...]) -> None:
    rng = np.random.default_rng(5)
    circuit = random_circuit(6, 90, 10)
    x, w = numbers(circuit, 3, 10)
    readout = []
    for i, window in enumerate(windows):
        shape = (1 + i % 3, 2 ** len(window), 2 ** len(window))
        m = rng.normal(size=shape) + 1j * rng.normal(size=shape)
        readout.append((m + m.conj().transpose(0, 2, 1)) / 2)
    direct = run(circuit, x, w, LocalStates(windows), readout=tuple(readout))
    measurement = LocalStates(windows)
    vectors = run(circuit, x, w, measurement)
    expected = []
    for i, (window, h) in enumerate(zip(windows, readout, strict=True)):
        block = vectors[:, measurement.offsets[i] : measurement.offsets[i + 1]]
        paulis = [_kron_all(letters) for letters in itertools.product("IXYZ", repeat=len(window))]
        coefficients = np.array([[np.trace(m @ p).real for p in paulis] for m in h]) / 2 ** len(window)
        expected.append(block @ coefficients.T)
    np.testing.assert_allclose(direct, np.concatenate(expected, 1), atol=1e-9)


def _kron_all(letters: tuple[str, ...]) -> Any:
    out = np.ones((1, 1), dtype=complex)
    for letter in letters:
        out = np.kron(out, PAULI[letter])
    return out


def test_a_batch_is_its_rows_one_by_one() -> None:
    circuit = random_circuit(5, 60, 12)
    for by_row in (False, True):
        x, w = numbers(circuit, 5, 12, by_row=by_row)
        whole = run(circuit, x, w, Probabilities((0, 1, 2, 3, 4)))
        for i in range(5):
            one = run(circuit, x[i : i + 1], w[i : i + 1] if by_row else w, Probabilities((0, 1, 2, 3, 4)))
            np.testing.assert_allclose(whole[i], one[0], atol=1e-13)


def test_a_circuit_without_parameters_gives_every_row() -> None:
    circuit = CircuitBuilder(2).h(0).cx(0, 1).build()
    out = run(circuit, np.zeros((3, 0)), np.zeros(0), Probabilities((0, 1)))
    np.testing.assert_allclose(out, np.tile([0.5, 0, 0, 0.5], (3, 1)), atol=1e-15)


def pennylane_gradients(
    circuit: Circuit, x: Any, w: Any, terms: list[PauliString], cotangent: Any
) -> tuple[Any, Any, Any]:
    """Values and gradients through default.qubit and torch backprop."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import pennylane as qml

    names = {"sdg": qml.adjoint(qml.S), "tdg": qml.adjoint(qml.T), "p": qml.PhaseShift, "ccx": qml.Toffoli}
    names |= {"cx": qml.CNOT, "cz": qml.CZ, "h": qml.Hadamard, "x": qml.PauliX, "y": qml.PauliY, "z": qml.PauliZ}
    names |= {"rxx": qml.IsingXX, "ryy": qml.IsingYY, "rzz": qml.IsingZZ}
    device = qml.device("default.qubit", wires=circuit.n_wires)

    @qml.qnode(device, interface="torch", diff_method="backprop")
    def node(row: Any) -> Any:
        for gate in circuit.gates:
            angles = [a.offset + (0 if a.parameter is None else a.scale * row[a.parameter]) for a in gate.angles]
            make = names.get(gate.name.value) or getattr(qml, gate.name.value.upper())
            make(*angles, wires=list(gate.wires))
        return [qml.expval(_qml_word(qml, t)) for t in terms]

    xt, wt = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    rows = []
    for i in range(len(x)):
        values: list[Any] = [None] * len(circuit.parameters)
        for column, p in enumerate(circuit.input_indices):
            values[p] = xt[i, column]
        for column, p in enumerate(circuit.weight_indices):
            values[p] = wt[column] if wt.ndim == 1 else wt[i, column]
        rows.append(torch.stack([torch.as_tensor(v, dtype=torch.float64) for v in node(values)]))
    out = torch.stack(rows) * torch.tensor([t.coefficient for t in terms])
    (out * torch.tensor(cotangent)).sum().backward()
    return out.detach().numpy(), xt.grad, wt.grad


def _qml_word(qml: Any, term: PauliString) -> Any:
    letters = {"X": qml.PauliX, "Y": qml.PauliY, "Z": qml.PauliZ}
    if not term.factors:
        return qml.Identity(0)
    return reduce(operator.matmul, [letters[p](w) for w, p in term.factors])


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize(("n", "seed"), [(3, 20), (4, 21), (5, 22)])
def test_gradients_agree_with_pennylane(n: int, seed: int, by_row: bool) -> None:
    circuit = random_circuit(n, 66, seed)
    x, w = numbers(circuit, 2, seed, by_row=by_row)
    terms = random_terms(n, 6, seed)
    cotangent = np.random.default_rng(seed).normal(size=(2, len(terms)))
    value, gx, gw = pennylane_gradients(circuit, x, w, terms, cotangent)
    xt, wt = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    out = run(circuit, xt, wt, Expectation(terms))
    (out * torch.tensor(cotangent)).sum().backward()
    np.testing.assert_allclose(out.detach().numpy(), value, atol=1e-9)
    np.testing.assert_allclose(xt.grad, gx, atol=1e-6)
    np.testing.assert_allclose(wt.grad, gw, atol=1e-6)


def _finite_difference(circuit: Circuit, x: Any, w: Any, value: Any, step: float = 1e-5) -> tuple[Any, Any]:
    grads = []
    for which in (0, 1):
        gradient = np.zeros_like((x, w)[which])
        for at in np.ndindex(gradient.shape):
            ends = []
            for sign in (1, -1):
                moved = [x.copy(), w.copy()]
                moved[which][at] += sign * step
                ends.append(value(*moved))
            gradient[at] = (ends[0] - ends[1]) / (2 * step)
        grads.append(gradient)
    return grads[0], grads[1]


@pytest.mark.parametrize("kind", ["probabilities", "local_states", "readout", "state"])
def test_gradients_of_every_measurement_against_finite_differences(kind: str) -> None:
    """Central differences have an error of about 1e-9 here; angles lie in (-2 pi, 2 pi)."""
    circuit = random_circuit(4, 60, 30)
    x, w = numbers(circuit, 2, 30)
    rng = np.random.default_rng(1)
    windows = ((1, 0), (3, 2, 1), (0, 1, 2, 3), (2,))
    measurement: Any = {"probabilities": Probabilities((2, 0, 1)), "state": State()}.get(kind, LocalStates(windows))
    readout = None
    if kind == "readout":
        matrices = [rng.normal(size=(2, 2 ** len(v), 2 ** len(v), 2)) @ [1, 1j] for v in windows]
        readout = tuple((m + m.conj().transpose(0, 2, 1)) / 2 for m in matrices)
    shape = run(circuit, x, w, measurement, readout=readout).shape
    c = rng.normal(size=shape) + (1j * rng.normal(size=shape) if kind == "state" else 0)

    def value(a: Any, b: Any) -> Any:
        return (run(circuit, a, b, measurement, readout=readout) * c).real.sum()

    xt, wt = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    ht = None if readout is None else tuple(torch.tensor(h, requires_grad=True) for h in readout)
    out = run(circuit, xt, wt, measurement, readout=ht)
    (out * torch.tensor(c)).real.sum().backward()
    gx, gw = _finite_difference(circuit, x, w, value)
    np.testing.assert_allclose(xt.grad, gx, atol=1e-6)
    np.testing.assert_allclose(wt.grad, gw, atol=1e-6)
    if readout is not None and ht is not None:
        direction = tuple(np.conj(h) for h in readout)  # Hermitian too
        step = 1e-5
        ends = [
            (
                run(
                    circuit,
                    x,
                    w,
                    measurement,
                    readout=tuple(h + s * step * d for h, d in zip(readout, direction, strict=True)),
                )
                * c
            ).sum()
            for s in (1, -1)
        ]
        slope = sum(float((h.grad.conj() * torch.tensor(d)).real.sum()) for h, d in zip(ht, direction, strict=True))
        assert abs(slope - (ends[0] - ends[1]) / (2 * step)) < 1e-6


def test_the_reversible_path_has_the_same_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    import qimg_simulator.pure as module

    circuit = random_circuit(5, 80, 31)
    x, w = numbers(circuit, 3, 31)
    grads = []
    for saved in (10, 0):
        monkeypatch.setattr(module, "SAVED_WIRES", saved)
        xt, wt = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
        run(circuit, xt, wt, Expectation([pauli("Z0 X2"), pauli("Y4")])).square().sum().backward()
        grads.append((xt.grad, wt.grad))
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-12)


def test_single_precision_follows_double_to_1e_5() -> None:
    circuit = random_circuit(6, 60, 32)
    x, w = numbers(circuit, 4, 32)
    terms = random_terms(6, 5, 32)
    out = {}
    for dtype in (torch.float64, torch.float32):
        xt, wt = (torch.tensor(a, dtype=dtype, requires_grad=True) for a in (x, w))
        value = run(circuit, xt, wt, Expectation(terms))
        assert value.dtype == dtype
        value.sum().backward()
        out[dtype] = [value.detach(), xt.grad, wt.grad]
    for a, b in zip(out[torch.float64], out[torch.float32], strict=True):
        np.testing.assert_allclose(a, b, atol=3e-5)
    state = run(circuit, torch.tensor(x, dtype=torch.float32), torch.tensor(w, dtype=torch.float32), State())
    assert state.dtype == torch.complex64
    np.testing.assert_allclose(state, run(circuit, x, w, State()), atol=1e-5)


def test_a_wide_circuit_keeps_norm_and_closed_form() -> None:
    """RY(t) on wire 0, then a chain of CX to wire 15: <Z15> = cos t and d/dt = -sin t."""
    b = CircuitBuilder(16)
    t = b.input("t")
    b.ry(0, t)
    for q in range(15):
        b.cx(q, q + 1)
    angles = torch.tensor([[0.3], [-4.0]], dtype=torch.float64, requires_grad=True)
    out = run(b.build(), angles, torch.zeros(0, dtype=torch.float64), Expectation([pauli("Z15")]))
    out.sum().backward()
    np.testing.assert_allclose(out.detach()[:, 0], np.cos([0.3, -4.0]), atol=1e-12)
    assert angles.grad is not None
    np.testing.assert_allclose(angles.grad[:, 0], -np.sin([0.3, -4.0]), atol=1e-12)


WAYS = {"every state": (30, 0), "states before layers": (0, 2**40), "a few states": (0, 2**18), "none": (0, 0)}
"""What is kept for the way back: `pure.SAVED_WIRES`, `reversible.KEPT`."""


@pytest.mark.parametrize(("n", "rows", "groups"), [(11, 1, None), (12, 3, None), (12, 4, 2), (13, 1, None), (13, 3, 3)])
def test_every_way_back_agrees_with_pennylane(
    n: int, rows: int, groups: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Groups: PennyLane gets a weight vector a row, and the gradient of a group's is the sum over its rows."""
    import qimg_simulator.by_states as by_states
    import qimg_simulator.pure as module
    import qimg_simulator.reversible as reversible

    circuit = random_circuit(n, 66, n + rows)
    x, w = numbers(circuit, rows, n)
    if groups is not None:
        w = np.random.default_rng(n).uniform(-2 * np.pi, 2 * np.pi, (groups, circuit.n_weights))
    terms = [PauliString(((q, "Z"),), 1.0 + q) for q in range(n)] + [PauliString(((0, "Z"), (n - 1, "Z")))]
    cotangent = np.random.default_rng(1).normal(size=(rows, len(terms)))
    each = w if groups is None else np.repeat(w, rows // groups, 0)
    value, gx, gw = pennylane_gradients(circuit, x, each, terms, cotangent)
    if groups is not None:
        gw = gw.reshape(groups, rows // groups, -1).sum(1)
    for way, (saved, kept) in WAYS.items():
        monkeypatch.setattr(module, "SAVED_WIRES", saved)
        monkeypatch.setattr(reversible, "KEPT", kept)
        trails: list[reversible.Trail] = []

        def watched(trail: reversible.Trail, *rest: Any, seen: list[reversible.Trail] = trails) -> Any:
            seen.append(trail)
            return reversible.back(trail, *rest)

        monkeypatch.setattr(by_states, "back", watched)
        xt, wt = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
        out = run(circuit, xt, wt, Expectation(terms))
        (out * torch.tensor(cotangent)).sum().backward()
        assert len(trails) == (way != "every state")
        if trails:
            varying = sum(any(s.varies for s in layer) for layer in trails[0].layers)
            most = {"states before layers": varying, "none": 1}.get(way, varying - 1)
            assert len(trails[0].kept) <= most, way
        np.testing.assert_allclose(out.detach(), value, atol=1e-9, err_msg=way)
        np.testing.assert_allclose(xt.grad, gx, atol=1e-8, err_msg=way)
        np.testing.assert_allclose(wt.grad, gw, atol=1e-8, err_msg=way)


def test_a_way_back_can_be_gone_twice_and_repeats_bit_for_bit() -> None:
    circuit = random_circuit(12, 66, 40)
    x, w = (torch.tensor(a) for a in numbers(circuit, 2, 40))
    grads = []
    for _ in range(2):
        xt, wt = x.clone().requires_grad_(), w.clone().requires_grad_()
        loss = run(circuit, xt, wt, Expectation([pauli("Z0 Z3"), pauli("Z11")])).sum()
        for again in (True, False):
            grads.append(torch.autograd.grad(loss, (xt, wt), retain_graph=again))
    for found in grads[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found, grads[0], strict=True))


def test_twenty_wires_follow_the_closed_form() -> None:
    """RX(x_q) on every wire, a chain of CX, RY(u_q), the chain there and back, RY(v_q), two SWAP.

    The chain turns Z_q into Z_0 ... Z_q, and X has no expectation after RX, so that before the SWAP
    <Z_q> = cos(u_q + v_q) prod_{j <= q} cos x_j.
    """
    n = 20
    b = CircuitBuilder(n)
    x, u, v = [
        [getattr(b, kind)(f"{name}{q}") for q in range(n)]
        for kind, name in (("input", "x"), ("weight", "u"), ("weight", "v"))
    ]
    for q in range(n):
        b.rx(q, x[q])
    for q in range(n - 1):
        b.cx(q, q + 1)
    for q in range(n):
        b.ry(q, u[q])
    for q in [*range(n - 1), *reversed(range(n - 1))]:
        b.cx(q, q + 1)
    for q in range(n):
        b.ry(q, v[q])
    b.gate("swap", 0, 19).gate("swap", 3, 7)
    rng = np.random.default_rng(3)
    xs, ws = rng.uniform(-1, 1, (1, n)), rng.uniform(-2 * np.pi, 2 * np.pi, 2 * n)
    c = rng.normal(size=n)
    xt, wt = (torch.tensor(a, dtype=torch.float32, requires_grad=True) for a in (xs, ws))
    out = run(b.build(), xt, wt, Expectation([pauli(f"Z{q}") for q in range(n)]))
    (out * torch.tensor(c, dtype=torch.float32)).sum().backward()
    x64, w64 = torch.tensor(xs[0], requires_grad=True), torch.tensor(ws, requires_grad=True)
    z = torch.cos(w64[:n] + w64[n:]) * torch.cumprod(torch.cos(x64), 0)
    order = list(range(n))
    order[0], order[19], order[3], order[7] = 19, 0, 7, 3
    (z[order] * torch.tensor(c)).sum().backward()
    np.testing.assert_allclose(out.detach()[0], z.detach()[order], atol=2e-5)
    np.testing.assert_allclose(xt.grad[0], x64.grad, atol=2e-4)
    np.testing.assert_allclose(wt.grad, w64.grad, atol=2e-4)


def test_linear_permutations_need_no_table() -> None:
    from qimg_simulator.assembling import permuted
    from qimg_simulator.primitives import Permutation
    from qimg_simulator.reading import carried
    from qimg_simulator.steps import Gather, Linear, Values

    n, rng = 7, np.random.default_rng(5)
    moves = []
    for _ in range(12):
        a, b = (int(q) for q in rng.permutation(n)[:2])
        moves.append(Permutation("swap" if rng.random() < 0.3 else "x", (a, b)))
    index = permuted(moves, n)
    bits = [1 << k for k in range(n)]
    linear = Linear(permuted(moves, n, bits).tolist(), permuted(moves[::-1], n, bits).tolist(), torch.device("cpu"))
    assert linear.index.tolist() == index.tolist()
    psi = torch.randn(2, 2**n, 3)
    values = Values({}, torch.zeros(0, 1), torch.zeros(0, 1, 1))
    table = Gather(torch.tensor(index))
    for way in ("forward", "adjoint", "transpose"):
        outs = [torch.empty_like(psi) for _ in range(2)]
        linear.write(psi, outs[0], values, way)
        table.write(psi, outs[1], values, way)
        assert torch.equal(*outs)
    assert torch.equal(linear.transposed(linear.apply(psi, values), values), psi)
    masks = [int(m) for m in rng.integers(2**n, size=20)]
    moved = carried(masks, index)
    assert moved is not None
    for old, new in zip(masks, moved, strict=True):
        assert all((new & int(index[i])).bit_count() % 2 == (old & i).bit_count() % 2 for i in range(2**n))
    assert carried(masks, permuted([Permutation("x", (0, 1, 2))], n)) is None


def test_requests_outside_the_claims_are_refused() -> None:
    measured = CircuitBuilder(1).gate("measure", 0).build()
    with pytest.raises(CapabilityError, match="gates"):
        run(measured, np.zeros((1, 0)), np.zeros(0), State())
    with pytest.raises(CapabilityError, match="wires"):
        run(CircuitBuilder(23).h(0).build(), np.zeros((1, 0)), np.zeros(0), State())
    with pytest.raises(CapabilityError, match="window"):
        run(CircuitBuilder(7).h(0).build(), np.zeros((1, 0)), np.zeros(0), LocalStates([range(7)]))
    with pytest.raises(DataError, match="one term or window"):
        run(CircuitBuilder(1).h(0).build(), np.zeros((1, 0)), np.zeros(0), Expectation(()))
    with pytest.raises(DataError, match="float32 or float64"):
        run(CircuitBuilder(1).h(0).build(), torch.zeros((1, 0), dtype=torch.float16), torch.zeros(0), State())


def test_inputs_and_weights_are_of_one_kind() -> None:
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).rz(0, b.weight("w")).build()
    x, w = torch.zeros((1, 1)), torch.zeros(1, dtype=torch.float64)
    with pytest.raises(DataError, match="same kind"):
        run(circuit, x, w, State())
    with pytest.raises(DataError, match="same kind"):
        run(circuit, x, np.zeros(1), State())


@pytest.mark.parametrize("n", [5, 8, 16])
def test_every_window_lies_in_one_block_and_blocks_are_shared(n: int) -> None:
    from qimg_simulator.cover import cover

    windows = [*itertools.combinations(range(n), 2), (3, 1, 2), (4, 3, 2, 1), (4, 0)]
    blocks = cover(windows, n)
    assert sorted(i for _, numbers in blocks for i in numbers) == list(range(len(windows)))
    assert all(set(windows[i]) <= set(block) for block, numbers in blocks for i in numbers)
    # a block of four holds at most six pairs; sharing well means at most twice the fewest possible
    assert len(blocks) <= 2 * -(-len(windows) // 6)
