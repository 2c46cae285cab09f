"""Noise that belongs to wires: against Kraus operators written out in full, against Aer, and its gradients."""

from __future__ import annotations

import itertools
from functools import reduce
from typing import Any

import numpy as np
import pytest
import torch

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
from qimg_core.circuit.gates import UNITARY, matrix
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_core.noise import NoiseModel, NoiseRule, amplitude_damping, bit_flip, dephasing, depolarizing
from qimg_simulator.backend import SimulatorBackend
from qimg_simulator.noisy import NoisyProgram

EYE = np.eye(2, dtype=complex)
PAULIS = [EYE, *(matrix(GateName(p)) for p in "xyz")]
RULES = (
    NoiseRule(depolarizing(0.04), {"cx", "crz"}, (0, 1)),
    NoiseRule(amplitude_damping(0.2), {"cx", "crz", "swap"}, (2, 0), (2,)),
    NoiseRule(dephasing(0.1), {"cx", "cz"}, None, (1,)),
    NoiseRule(bit_flip(0.05), {"ry", "h"}, (1,)),
    NoiseRule(amplitude_damping(0.07), (), (2,)),
    NoiseRule(depolarizing(0.03), {"ccx"}, (2, 1, 0), (0, 2)),
)
READOUT = ((0, 0.02, 0.09), (2, 0.11, 0.0))
MODEL = NoiseModel(RULES, (0.03, 0.05), READOUT)


def circuit_of(n: int, n_gates: int, seed: int) -> tuple[Circuit, Any, Any]:
    rng = np.random.default_rng(seed)
    names = ["cx", "crz", "swap", "cz", "ccx", "ry", "h", "rx", "rz", "sx", "cx", "rzz"]
    parameters: list[Parameter] = []
    gates = []
    for i in range(n_gates):
        name = GateName(names[i % len(names)])
        angles: tuple[Angle, ...] = ()
        if name.n_angles:
            parameters.append(Parameter(f"p{len(parameters)}", "input" if rng.random() < 0.5 else "weight"))
            angles = (Angle(len(parameters) - 1, rng.uniform(-2, 2), rng.uniform(-2, 2)),)
        gates.append(Gate(name, tuple(int(w) for w in rng.permutation(n)[: name.n_wires or 1]), angles))
    circuit = Circuit(n, gates, parameters)
    return circuit, rng.uniform(-6, 6, (2, circuit.n_inputs)), rng.uniform(-6, 6, circuit.n_weights)


def full(small: Any, wires: tuple[int, ...], n: int) -> Any:
    """A matrix on some wires as one on all, entry by entry from the bits of rows and columns."""
    k, out = len(wires), np.zeros((2**n, 2**n), dtype=complex)
    for row in range(2**n):
        for col in range(2**n):
            bits = [((row >> (n - 1 - w)) & 1, (col >> (n - 1 - w)) & 1) for w in range(n)]
            if all(a == b for w, (a, b) in enumerate(bits) if w not in wires):
                i = sum(bits[w][0] << (k - 1 - p) for p, w in enumerate(wires))
                j = sum(bits[w][1] << (k - 1 - p) for p, w in enumerate(wires))
                out[row, col] = small[i, j]
    return out


def kraus_of(rule: NoiseRule) -> list[Any]:
    if rule.channel.pauli is not None:
        return [np.sqrt(p) * s for p, s in zip(rule.channel.pauli, PAULIS, strict=True)]
    return [np.array(k, dtype=complex) for k in rule.channel.kraus]


def wanted(rule: NoiseRule, gate: Gate) -> list[int]:
    """The documented meaning, said once more in other words than `NoiseRule.targets`."""
    if len(rule.gates) > 0 and gate.name.value not in [g.value for g in rule.gates]:
        return []
    if rule.wires is not None and sorted(rule.wires) != sorted(gate.wires):
        return []
    return list(gate.wires) if rule.on is None else [w for w in range(20) if w in rule.on and w in gate.wires]


def dense(circuit: Circuit, row: Any, rules: tuple[NoiseRule, ...]) -> Any:
    n = circuit.n_wires
    rho = np.zeros((2**n, 2**n), dtype=complex)
    rho[0, 0] = 1
    for gate in circuit.gates:
        angle = next((a.offset + (0 if a.parameter is None else a.scale * row[a.parameter]) for a in gate.angles), None)
        u = full(matrix(gate.name, angle), gate.wires, n)
        rho = u @ rho @ u.conj().T
        for rule in rules:
            for wire in wanted(rule, gate):
                rho = sum(full(k, (wire,), n) @ rho @ full(k, (wire,), n).conj().T for k in kraus_of(rule))
    return rho


def run(circuit: Circuit, x: Any, w: Any, measurement: Any, noise: NoiseModel, **more: Any) -> Any:
    request = ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement, noise=noise, **more)
    return SimulatorBackend().run(request).data


@pytest.mark.parametrize(("n_gates", "seed"), [(24, 0), (36, 1)])
def test_rules_act_on_their_wires_only(n_gates: int, seed: int) -> None:
    circuit, x, w = circuit_of(3, n_gates, seed)
    ours = run(circuit, x, w, State(), MODEL)
    for rho, row in zip(ours, circuit.values(x, w), strict=True):
        np.testing.assert_allclose(rho, dense(circuit, row, RULES), atol=1e-12)
    everywhere = NoiseModel(tuple(NoiseRule(r.channel, r.gates) for r in RULES))
    assert abs(run(circuit, x, w, State(), everywhere) - ours).max() > 0.01  # the wires make a difference


def test_readout_by_wire_replaces_the_readout_of_all() -> None:
    circuit, x, w = circuit_of(3, 24, 2)
    clean = run(circuit, x, w, Probabilities((2, 0, 1)), NoiseModel(RULES))
    errors = {0: (0.02, 0.09), 1: (0.03, 0.05), 2: (0.11, 0.0)}
    confusion = reduce(np.kron, [np.array([[1 - a, b], [a, 1 - b]]) for a, b in (errors[q] for q in (2, 0, 1))])
    expected = clean @ confusion.T
    np.testing.assert_allclose(run(circuit, x, w, Probabilities((2, 0, 1)), MODEL), expected, atol=1e-12)
    signs = reduce(np.kron, [np.array([1, -1]), np.array([1, 1]), np.array([1, -1])])  # Z2 Z1
    np.testing.assert_allclose(
        run(circuit, x, w, Expectation([pauli("Z1 Z2", 0.5)]), MODEL)[:, 0], 0.5 * expected @ signs, atol=1e-12
    )
    block = run(circuit, x, w, LocalStates([(1, 2)]), MODEL)
    np.testing.assert_allclose(block[:, 15], expected @ signs, atol=1e-12)
    shots = run(circuit, x, w, Probabilities((2, 0, 1)), MODEL, shots=400_000, seed=3)
    assert abs(shots - expected).max() < 5 * np.sqrt(0.25 / 400_000)


def test_one_wire_with_readout_error_leaves_the_others_alone() -> None:
    circuit = CircuitBuilder(4).x(3).build()
    model = NoiseModel((), None, ((3, 0.0, 0.25),))
    out = run(circuit, np.zeros((1, 0)), np.zeros(0), Expectation([pauli("Z3"), pauli("Z0")]), model)
    np.testing.assert_allclose(out, [[-0.5, 1.0]], atol=1e-14)


def test_agrees_with_aer_qubit_by_qubit() -> None:
    pytest.importorskip("qiskit_aer")
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import DensityMatrix
    from qiskit_aer import AerSimulator
    from qiskit_aer.noise import NoiseModel as AerNoise
    from qiskit_aer.noise import kraus_error

    pair = NoiseRule(depolarizing(0.06), {"cx"}, (0, 1))
    one = NoiseRule(amplitude_damping(0.15), {"cx"}, (2, 1), (1,))
    single = NoiseRule(bit_flip(0.04), {"ry"}, (2,))
    model = AerNoise()
    both = kraus_error(kraus_of(pair))
    for qubits in ([0, 1], [1, 0]):
        model.add_quantum_error(both.tensor(both), ["cx"], qubits)
    damp, rest = kraus_error(kraus_of(one)), kraus_error([EYE])
    model.add_quantum_error(damp.tensor(rest), ["cx"], [2, 1])  # Aer: the last factor is the first qubit
    model.add_quantum_error(rest.tensor(damp), ["cx"], [1, 2])
    model.add_quantum_error(kraus_error(kraus_of(single)), ["ry"], [2])
    rng = np.random.default_rng(4)
    b, qc = CircuitBuilder(3), QuantumCircuit(3)
    for _ in range(4):
        for q in range(3):
            angle = rng.uniform(-3, 3)
            b.ry(q, angle)
            qc.ry(angle, q)
        for pair_of in ((0, 1), (2, 1), (1, 0), (1, 2), (0, 2)):
            b.cx(*pair_of)
            qc.cx(*pair_of)
    qc.save_density_matrix()
    rho = AerSimulator(method="density_matrix", noise_model=model).run(qc).result().data()["density_matrix"]
    ours = run(b.build(), np.zeros((1, 0)), np.zeros(0), State(), NoiseModel((pair, one, single)))
    np.testing.assert_allclose(ours[0], DensityMatrix(rho).reverse_qargs().data, atol=1e-9)


def test_gradients_are_those_of_the_dense_oracle() -> None:
    circuit, x, w = circuit_of(3, 24, 5)
    x = x[:1]
    terms = [pauli("Z0 X1"), pauli("Y2"), pauli("Z1")]
    weigh = np.array([1.0, -2.0, 0.5])
    xt, wt = torch.tensor(x, requires_grad=True), torch.tensor(w, requires_grad=True)
    (run(circuit, xt, wt, Expectation(terms), MODEL) @ torch.tensor(weigh)).sum().backward()
    assert xt.grad is not None
    assert wt.grad is not None

    def loss(inputs: Any, weights: Any) -> float:
        rho = dense(circuit, circuit.values(inputs, weights)[0], RULES)
        total = 0.0
        for factor, term in zip(weigh, terms, strict=True):
            observable = np.eye(8, dtype=complex)
            for wire, letter in term.factors:  # a read-out error turns P into (1 - p10 - p01) P + (p01 - p10)
                one, zero = {0: (0.02, 0.09), 1: (0.03, 0.05), 2: (0.11, 0.0)}[wire]
                noisy = (1 - one - zero) * matrix(GateName(letter.lower())) + (zero - one) * EYE
                observable = observable @ full(noisy, (wire,), 3)
            total += factor * np.trace(observable @ rho).real
        return total

    step = 1e-5
    for array, grad in ((x, xt.grad.numpy()), (w, wt.grad.numpy())):
        for at in np.ndindex(array.shape):
            kept = array[at]
            array[at] = kept + step
            up = loss(x, w)
            array[at] = kept - step
            down = loss(x, w)
            array[at] = kept
            assert grad[at] == pytest.approx((up - down) / (2 * step), abs=2e-9)


def test_every_gate_has_targets_or_none() -> None:
    """A rule without wires follows every unitary gate on each wire, as it did before rules had wires."""
    rule = NoiseRule(dephasing(0.1))
    for name in UNITARY:
        wires = tuple(range(name.n_wires or 1))
        assert rule.targets(name, wires) == wires
    assert rule.targets(GateName.PREPARE, (0, 1)) == ()
    assert NoiseRule(dephasing(0.1), (), (1, 0)).targets(GateName.CX, (0, 1)) == (0, 1)
    assert NoiseRule(dephasing(0.1), (), (1, 0), (0,)).targets(GateName.CX, (1, 0)) == (0,)
    assert NoiseRule(dephasing(0.1), (), (1, 2)).targets(GateName.CX, (0, 1)) == ()


# ---- Pauli strings read on the way: the state and the observables meet in the middle of the circuit


def differentiable(circuit: Circuit, values: Any, model: NoiseModel, terms: Any) -> Any:
    """<P> (rows, terms) from 2**n x 2**n density matrices in torch's own autograd; ``values`` (rows, parameters)."""
    n, eye = circuit.n_wires, torch.eye(2**circuit.n_wires, dtype=torch.complex128)
    rho = torch.zeros(len(values), 2**n, 2**n, dtype=torch.complex128)
    rho[:, 0, 0] = 1
    for gate in circuit.gates:
        name = gate.name.value
        angles = [a.offset + (0.0 if a.parameter is None else a.scale * values[:, a.parameter]) for a in gate.angles]
        if name == "prepare":  # these circuits have it on all wires, in some order
            order = [gate.wires.index(w) for w in range(n)]
            psi = torch.stack(angles).view(*(2,) * n, -1).permute(n, *order).flatten(1).to(torch.complex128)
            rho = psi[:, :, None] * psi[:, None]
            continue
        if not angles:
            u = torch.tensor(full(matrix(gate.name), gate.wires, n))
        else:
            letters = name[1:] if name[0] == "r" else name[2:]
            wires = gate.wires if name[0] == "r" else gate.wires[1:]
            string = torch.tensor(
                reduce(np.matmul, [full(matrix(GateName(p)), (w,), n) for p, w in zip(letters, wires, strict=True)])
            )
            half = angles[0][:, None, None] / 2
            u = half.cos() * eye - 1j * half.sin() * string
            if name[0] == "c":
                one = torch.tensor(full(np.diag([0, 1]).astype(complex), gate.wires[:1], n))
                u = (eye - one) + one @ u
        rho = u @ rho @ u.mH
        for rule in model.rules:
            for wire in wanted(rule, gate):
                parts = [torch.tensor(full(k, (wire,), n)) for k in kraus_of(rule)]
                rho = sum(k @ rho @ k.mH for k in parts)
    out = []
    for term in terms:
        observable = eye
        for wire, letter in term.factors:
            one, zero = model.readout_of(wire) or (0.0, 0.0)
            noisy = (1 - one - zero) * matrix(GateName(letter.lower())) + (zero - one) * EYE
            observable = observable @ torch.tensor(full(noisy, (wire,), n))
        out.append(term.coefficient * torch.einsum("ij,rji->r", observable, rho).real)
    return torch.stack(out, 1)


DEPOLARIZING = NoiseModel((NoiseRule(depolarizing(0.05)),))
WITH_READOUT = NoiseModel((NoiseRule(depolarizing(0.05)),), (0.03, 0.01))
TERMS = [pauli("Z0"), pauli("X1 Y2", -0.7), PauliString((), 2.0), pauli("Y0 Z1 X2")]


def layers(*kinds: str, n: int = 3) -> Circuit:
    """x, w: RX by inputs, RX RY RZ by weights, on every wire; r: a ring of CX; d, c, t, p: one gate of another kind."""
    b = CircuitBuilder(n)
    for count, kind in enumerate(kinds):
        if kind == "p":
            b.gate("prepare", *range(n - 1, -1, -1), angles=tuple(b.input(f"a{i}") for i in range(2**n)))
        elif kind == "t":
            b.gate("ccx", 2, 0, 1)
        elif kind == "c":
            b.gate("crx", 2, 0, angles=(b.weight(f"c{count}") * 1.5,))
        elif kind == "d":
            b.gate("rzz", 0, 2, angles=(b.input(f"d{count}"),))
        elif kind == "r":
            for q in range(n):
                b.cx(q, (q + 1) % n)
        else:
            for q in range(n):
                if kind == "x":
                    b.rx(q, b.input(f"x{count}{q}") * 0.8 + 0.1)
                else:
                    for name in ("rx", "ry", "rz"):
                        b.gate(name, q, angles=(b.weight(f"{name}{count}{q}"),))
    return b.build()


SHAPES = {
    "ends free": ("x", "w", "r", "w", "r", "w", "r"),
    "ends in runs": ("x", "w", "r", "w", "r", "w"),
    "by row in the middle": ("w", "r", "w", "d", "x", "w", "r", "w", "r", "w"),
    "by row at the end": ("x", "r", "w", "r", "x"),
    "constant at the end": ("x", "w", "r", "w", "t"),
    "two-wire weights": ("x", "w", "c", "w", "c"),
    "prepared": ("p", "w", "r", "w"),
    "no entangling": ("x", "w", "x"),
    "weights before inputs": ("w", "x", "w", "x", "r", "w"),
    "nothing by row": ("w", "r", "w", "r", "w"),
    "no weights": ("x", "r", "x", "r"),
}


@pytest.mark.parametrize("rows", [2, 6])
@pytest.mark.parametrize("model", [DEPOLARIZING, WITH_READOUT, MODEL], ids=["pauli", "readout", "kraus"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pauli_strings_and_their_gradients_are_those_of_the_density_matrix(
    shape: str, model: NoiseModel, rows: int
) -> None:
    """With 4 terms: 2 rows push the state, 6 rows pull the observables; both meet torch's autograd."""
    circuit = layers(*SHAPES[shape])
    rng = np.random.default_rng(rows)
    x = rng.normal(size=(rows, circuit.n_inputs))
    if shape == "prepared":
        x /= np.linalg.norm(x, axis=1, keepdims=True)
    else:
        x *= 3
    xt = torch.tensor(x, requires_grad=True)
    wt = torch.tensor(rng.uniform(-6, 6, circuit.n_weights), requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=(rows, len(TERMS))))
    program = NoisyProgram(circuit, model, weights_by_row=False, like=xt)
    ours = program.expectation(xt, wt, TERMS).expand(rows, -1)
    values: list[Any] = [None] * len(circuit.parameters)
    for column, p in enumerate(circuit.input_indices):
        values[p] = xt[:, column]
    for column, p in enumerate(circuit.weight_indices):
        values[p] = wt[column].expand(rows)
    expected = differentiable(circuit, torch.stack(values, 1), model, TERMS)
    torch.testing.assert_close(ours, expected, atol=1e-12, rtol=0)
    leaves = [t for t in (xt, wt) if t.numel()]
    found = torch.autograd.grad(ours, leaves, cotangent, retain_graph=True, materialize_grads=True)
    wanted_gradients = torch.autograd.grad(expected, leaves, cotangent, materialize_grads=True)
    torch.testing.assert_close(found, wanted_gradients, atol=1e-11, rtol=0)
    again = torch.autograd.grad(ours, leaves, cotangent, materialize_grads=True)
    assert all(torch.equal(a, b) for a, b in zip(found, again, strict=True))
    with torch.no_grad():
        assert torch.equal(program.expectation(xt, wt, TERMS).expand(rows, -1), ours)


@pytest.mark.parametrize("n", [1, 2, 4, 5])
def test_reading_strings_agrees_with_reading_the_whole_state(n: int) -> None:
    """Sizes that group wires differently, in float32 too; more strings than products would pay for."""
    names = [word for i, word in enumerate(itertools.product("IXYZ", repeat=n)) if i % max(1, 4**n // 50) == 0]
    terms = [PauliString(tuple((w, p) for w, p in enumerate(word) if p != "I")) for word in names]
    circuit, x, w = circuit_of(n, 30, n) if n > 2 else (layers("x", "w", "x", *("r", "w") * (n - 1), n=n), None, None)
    if x is None:
        rng = np.random.default_rng(n)
        x, w = rng.uniform(-3, 3, (2, circuit.n_inputs)), rng.uniform(-3, 3, circuit.n_weights)
    at = [sum("IXYZ".index(p) << (2 * (n - 1 - q)) for q, p in enumerate(word)) for word in names]
    for dtype, near in ((torch.float64, 1e-12), (torch.float32, 2e-6)):
        xt, wt = torch.tensor(x, dtype=dtype), torch.tensor(w, dtype=dtype)
        program = NoisyProgram(circuit, DEPOLARIZING, weights_by_row=False, like=xt)
        state = program.state(xt, wt).t()[:, at]
        assert state.dtype == dtype
        for count in (1, 3, len(terms)):
            some = program.expectation(xt, wt, terms[:count])
            torch.testing.assert_close(some, state[:, :count].expand_as(some), atol=near, rtol=0)


def test_weights_by_row_have_gradients_by_row() -> None:
    circuit = layers("x", "w", "r", "w", "c")
    rng = np.random.default_rng(3)
    x = torch.tensor(rng.uniform(-3, 3, (5, circuit.n_inputs)))
    w = torch.tensor(rng.uniform(-3, 3, (5, circuit.n_weights)), requires_grad=True)
    program = NoisyProgram(circuit, WITH_READOUT, weights_by_row=True, like=x)
    (whole,) = torch.autograd.grad(program.expectation(x, w, TERMS).sum(), w)
    one = NoisyProgram(circuit, WITH_READOUT, weights_by_row=False, like=x)
    for i in range(5):
        row = w[i].detach().requires_grad_()
        (alone,) = torch.autograd.grad(one.expectation(x[i : i + 1], row, TERMS).sum(), row)
        torch.testing.assert_close(whole[i], alone, atol=1e-12, rtol=0)
