"""Values and derivatives of the compiled kernel against numpy and a gate-by-gate autograd oracle."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter
from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, PARAMETRIC, UNITARY, matrix
from qimg_core.testing.reference import statevector
from qimg_simulator.plan import compile_plan

kernels = pytest.importorskip("qimg_kernels", reason="the compiled kernels are not installed")
program = pytest.importorskip("qimg_kernels.program", reason="the compiled kernels are not installed")

LEVELS = kernels.levels()
REAL = ["ry", "cry", "h", "x", "z", "cx", "cz", "swap", "ccx"]
BATCHES = (1, 15, 17, 33, 4)


def random_circuit(n, n_gates, seed, *, first=(), parameters=(), names=None):
    """Every gate in turn on random wires; angles are inputs, weights or constants, scaled and shifted."""
    rng = np.random.default_rng(seed)
    names = [g for g in (names or sorted(UNITARY)) if (GateName(g).n_wires or 1) <= n]
    parameters, gates = list(parameters), []
    for name in (names[i] for i in rng.permutation(n_gates) % len(names)):
        wires = tuple(int(w) for w in rng.permutation(n)[: GateName(name).n_wires])
        angles = ()
        if GateName(name).n_angles:
            role = rng.integers(4)
            if role == 3:
                angles = (Angle(offset=rng.uniform(-6, 6)),)
            else:
                again = len(parameters) > 0 and rng.random() < 0.3
                if not again:
                    parameters.append(Parameter(f"p{len(parameters)}", "input" if role == 0 else "weight"))
                index = int(rng.integers(len(parameters))) if again else len(parameters) - 1
                angles = (Angle(index, *(rng.uniform(-2, 2, 2) if rng.random() < 0.5 else ())),)
        gates.append(Gate(name, wires, angles))
    return Circuit(n, tuple(first) + tuple(gates), tuple(parameters))


def numbers(circuit, rows, seed, *, by_row=False):
    rng = np.random.default_rng(seed)
    shape = (rows, circuit.n_weights) if by_row else (circuit.n_weights,)
    span = 2 * np.pi
    return rng.uniform(-span, span, (rows, circuit.n_inputs)), rng.uniform(-span, span, shape)


def program_of(circuit, *, by_row=False, level=None, dtype=torch.float64):
    plan = compile_plan(circuit, weights_by_row=by_row)
    return program.KernelProgram(plan, torch.empty(0, dtype=dtype), level=level)


def numpy_states(circuit, x, w):
    """(2**n, rows) from the reference device."""
    return np.stack([statevector(circuit, v) for v in circuit.values(x, w)], 1)


def oracle(circuit, x, w):
    """(2**n, rows), gate by gate with torch autograd in complex128."""
    n, rows = circuit.n_wires, len(x)
    values = torch.empty((rows, len(circuit.parameters)), dtype=torch.float64)
    columns = [None] * len(circuit.parameters)
    for k, p in enumerate(circuit.input_indices):
        columns[p] = x[:, k]
    for k, p in enumerate(circuit.weight_indices):
        columns[p] = w[..., k].expand(rows)
    values = torch.stack(columns, 1) if columns else values
    psi = torch.zeros((rows,) + (2,) * n, dtype=torch.complex128)
    psi[(slice(None), *(0,) * n)] = 1
    for gate in circuit.gates:
        angles = [a.offset + (0 if a.parameter is None else a.scale * values[:, a.parameter]) for a in gate.angles]
        angles = [torch.as_tensor(a, dtype=torch.float64).expand(rows) for a in angles]
        k = len(gate.wires)
        axes = [w + 1 for w in gate.wires]
        moved = psi.movedim(axes, list(range(1, k + 1)))
        flat = moved.reshape(rows, 2**k, -1)
        if gate.name is GateName.PREPARE:
            real = torch.stack(angles[: 2**k], 1)
            imaginary = torch.stack(angles[2**k :], 1) if len(angles) > 2**k else torch.zeros_like(real)
            flat = torch.complex(real, imaginary)[:, :, None] * flat[:, :1]
        else:
            flat = _matrix(gate.name, angles) @ flat
        psi = flat.reshape(moved.shape).movedim(list(range(1, k + 1)), axes)
    return psi.reshape(rows, -1).T


def _matrix(name, angles):
    """Any gate is A + B cos + C sin of (half) its angle."""
    if name not in PARAMETRIC:
        return torch.tensor(matrix(name))
    still = np.zeros_like(matrix(name, 0.0))
    angle = angles[0] / 2
    zero, quarter = 0.0, math.pi
    if name in CONTROLLED_ROTATIONS:
        still[:2, :2] = np.eye(2)
    if name is GateName.P:
        still[0, 0], angle, quarter = 1, angles[0], math.pi / 2
    at_zero, at_quarter = (torch.tensor(matrix(name, a) - still) for a in (zero, quarter))
    return torch.tensor(still) + angle.cos()[:, None, None] * at_zero + angle.sin()[:, None, None] * at_quarter


def leaves(*arrays, dtype=torch.float64):
    return [torch.tensor(a, dtype=dtype, requires_grad=True) for a in arrays]


def signs(n, masks):
    i = np.arange(2**n)[:, None]
    return torch.tensor(1.0 - 2 * (np.bitwise_count(i & np.array(masks)) & 1).astype(float))


def gradients(value, cotangent, *tensors):
    loss = (value * cotangent.conj()).real.sum() if value.is_complex() else (value * cotangent).sum()
    return torch.autograd.grad(loss, tensors)


def check(circuit, seed, *, rows, by_row, level, dtype, scale=1.0):
    """State, squares and signed sums, each with its derivatives."""
    exact, rough = (1e-12, 1e-9) if dtype == torch.float64 else (1e-5, 1e-4)
    x, w = numbers(circuit, rows, seed, by_row=by_row)
    if dtype == torch.float32:
        x, w = x.astype(np.float32), w.astype(np.float32)
    found = program_of(circuit, by_row=by_row, level=level, dtype=dtype)
    mine, theirs = leaves(x, w, dtype=dtype), leaves(x, w)
    psi = oracle(circuit, *theirs)
    rng = np.random.default_rng(seed)
    masks = tuple(int(m) for m in rng.integers(0, 2**circuit.n_wires, 4))
    singles = tuple(1 << k for k in range(circuit.n_wires))
    squares = psi.real**2 + psi.imag**2
    cases = [
        (found.state(*mine), psi),
        (found.squares(*mine), squares),
        (found.signed(*mine, masks), squares.T @ signs(circuit.n_wires, masks)),
        (found.signed(*mine, (0, *singles)), squares.T @ signs(circuit.n_wires, (0, *singles))),
    ]
    for value, wanted in cases:
        assert value.shape == wanted.shape
        np.testing.assert_allclose(value.detach(), wanted.detach(), rtol=exact, atol=exact)
        c = torch.tensor(rng.normal(size=tuple(wanted.shape)))
        if wanted.is_complex():
            c = torch.complex(c, torch.tensor(rng.normal(size=tuple(wanted.shape))))
        got = gradients(value, c.to(value.dtype), *mine)
        for one, other in zip(
            got,
            torch.autograd.grad(
                (wanted * c.conj()).real.sum() if wanted.is_complex() else (wanted * c).sum(),
                theirs,
                retain_graph=True,
                allow_unused=True,
                materialize_grads=True,
            ),
            strict=True,
        ):
            size = max(1.0, float(other.abs().max())) if other.numel() else 1.0
            np.testing.assert_allclose(one / size, other / size, rtol=0, atol=rough)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize("seed", range(8))
def test_random_circuits(seed, dtype, level):
    circuit = random_circuit(1 + seed % 5, 10 + 5 * seed, seed)
    check(circuit, seed, rows=BATCHES[seed % 5], by_row=seed % 3 == 1, level=level, dtype=dtype)


@pytest.mark.slow
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(100, 160))
def test_many_random_circuits(seed, level):
    circuit = random_circuit(1 + seed % 7, 10 + seed % 50, seed)
    check(circuit, seed, rows=BATCHES[seed % 5], by_row=seed % 3 == 1, level=level, dtype=torch.float64)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("seed", range(6))
def test_real_circuits(seed, level):
    circuit = random_circuit(2 + seed % 4, 30, seed, names=REAL)
    check(circuit, seed, rows=BATCHES[seed % 5], by_row=seed % 2 == 1, level=level, dtype=torch.float64)


@pytest.mark.parametrize("name", sorted(UNITARY))
@pytest.mark.parametrize("role", ["input", "weight"])
def test_each_gate_between_layers(name, role):
    k = GateName(name).n_wires
    angles = (Angle(0, 0.7, 0.3),) if GateName(name).n_angles else ()
    around = random_circuit(3, 12, 5, names=["rx", "ry", "cx", "rz"], parameters=[Parameter("a", role)])
    gates = (*around.gates, Gate(name, (2, 0, 1)[:k], angles), *around.gates)
    circuit = Circuit(3, gates, around.parameters)
    check(circuit, 3, rows=5, by_row=False, level=None, dtype=torch.float64)


@pytest.mark.parametrize("rows", BATCHES)
@pytest.mark.parametrize("by_row", [False, True])
def test_deep_circuit_on_many_wires(rows, by_row):
    b = CircuitBuilder(8)
    for q in range(8):
        b.rx(q, b.input(f"x{q}"))
    for layer in range(3):
        for q in range(8):
            for k, name in enumerate(("rz", "ry", "rz" if layer else "rx")):
                b.gate(name, q, angles=(b.weight(f"w{layer}.{q}.{k}"),))
        for q in range(8):
            b.cx(q, (q + layer + 1) % 8)
    circuit = b.build()
    x, w = numbers(circuit, rows, 1, by_row=by_row)
    value = program_of(circuit, by_row=by_row).state(torch.tensor(x), torch.tensor(w))
    np.testing.assert_allclose(value, numpy_states(circuit, x, w), rtol=0, atol=1e-13)


def test_only_rotations_and_permutations_keep_their_scale():
    """RY and CX rings alone: no diagonal is in between that would take the scales in by itself."""
    b = CircuitBuilder(5)
    for layer in range(12):
        for q in range(5):
            b.ry(q, b.weight(f"w{layer}.{q}"))
        for q in range(5):
            b.cx(q, (q + 1) % 5)
    check(b.build(), 2, rows=9, by_row=False, level=None, dtype=torch.float64)
    check(b.build(), 2, rows=9, by_row=False, level=None, dtype=torch.float32)


def test_phases_by_row_between_rotations_that_lack_their_scale():
    b = CircuitBuilder(3)
    for layer in range(3):
        for q in range(3):
            b.ry(q, b.weight(f"w{layer}.{q}"))
        b.gate("rzz", 0, 1, angles=(b.input(f"x{layer}"),)).gate("crz", 1, 2, angles=(b.input(f"y{layer}"),))
        b.gate("p", 0, angles=(b.input(f"z{layer}"),)).cx(0, 2)
    for by_row in (False, True):
        check(b.build(), 6, rows=11, by_row=by_row, level=None, dtype=torch.float64)


@pytest.mark.parametrize("exact", [0.0, math.pi, -math.pi, 2 * math.pi, math.pi / 2])
def test_angles_at_which_a_factor_vanishes(exact):
    circuit = random_circuit(3, 40, 11)
    x, w = numbers(circuit, 3, 4)
    x, w = np.full_like(x, exact), np.full_like(w, exact)
    mine, theirs = leaves(x, w), leaves(x, w)
    value, wanted = program_of(circuit).state(*mine), oracle(circuit, *theirs)
    np.testing.assert_allclose(value.detach(), wanted.detach(), rtol=0, atol=1e-12)
    c = torch.tensor(np.random.default_rng(0).normal(size=tuple(wanted.shape)) * (1 + 0.5j))
    for one, other in zip(gradients(value, c, *mine), gradients(wanted, c, *theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("role", ["input", "weight"])
@pytest.mark.parametrize("level", LEVELS)
def test_prepared_registers(complex_, role, level):
    size = 8 if complex_ else 4
    parameters = [Parameter(f"a{i}", role) for i in range(size)]
    first = (
        Gate("prepare", (3, 1), tuple(Angle(i, 0.5) for i in range(size))),
        Gate("prepare", (2,), (Angle(offset=0.6), Angle(offset=-0.8))),
    )
    circuit = random_circuit(4, 25, 3, first=first, parameters=parameters)
    rng = np.random.default_rng(1)
    x, w = numbers(circuit, 7, 2)
    target = x if role == "input" else w
    a = rng.normal(size=(*target.shape[:-1], size))
    target[..., :size] = 2 * a / np.linalg.norm(a, axis=-1, keepdims=True)
    mine, theirs = leaves(x, w), leaves(x, w)
    value, wanted = program_of(circuit, level=level).state(*mine), oracle(circuit, *theirs)
    np.testing.assert_allclose(value.detach(), numpy_states(circuit, x, w), rtol=0, atol=1e-12)
    c = torch.tensor(rng.normal(size=tuple(wanted.shape)) * (1 - 0.5j))
    for one, other in zip(gradients(value, c, *mine), gradients(wanted, c, *theirs), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-9)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize("size", [1.0, 50.0, 1000.0, 1e6])
def test_angles_by_row_are_accurate_however_large(size, dtype, level):
    """<Z> of RY(a)|0> is cos a, and its derivative -sin a."""
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).build()
    x = torch.linspace(-size, size, 999, dtype=dtype)[:, None].requires_grad_()
    value = program_of(circuit, level=level, dtype=dtype).signed(x, torch.empty(0, dtype=dtype), (1,))
    (slope,) = torch.autograd.grad(value.sum(), x)
    tight = 4 * torch.finfo(dtype).eps
    half = (x.detach() / 2).double()
    np.testing.assert_allclose(value.detach(), (2 * half).cos(), rtol=0, atol=tight)
    np.testing.assert_allclose(slope, -(2 * half).sin(), rtol=0, atol=tight)
