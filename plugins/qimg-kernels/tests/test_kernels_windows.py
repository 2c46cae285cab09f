"""Matrices on windows of wires, read in the compiled kernel: against the reference device and torch autograd."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import DataError
from qimg_core.testing.reference import statevector
from qimg_simulator.compiled import CompiledProgram
from qimg_simulator.plan import compile_plan
from qimg_simulator.pure import PureProgram
from qimg_simulator.windows import Windows

kernels = pytest.importorskip("qimg_kernels", reason="the compiled kernels are not installed")
program = pytest.importorskip("qimg_kernels.program", reason="the compiled kernels are not installed")

LEVELS = kernels.levels()
COMPLEX = {torch.float32: torch.complex64, torch.float64: torch.complex128}


def circuit_of(n, *, real=False, layers=2):
    """Rotations by inputs and weights on all wires, then permutations of basis states."""
    names = ("ry",) if real else ("rx", "rz", "ry")
    b = CircuitBuilder(n)
    for layer in range(layers):
        for q in range(n):
            for name in names:
                own = b.input(f"x{layer}.{q}") if name == names[-1] and layer == 1 else b.weight(f"{name}{layer}.{q}")
                b.gate(name, q, angles=(own,))
        for q in range(n - 1):
            b.cx(q, q + 1)
        if n > 2:
            b.gate("ccx", 2, 0, 1)
    return b.build()


def state_of(circuit, x, w):
    """(2,) * n + (rows,), gate by gate in complex128, differentiable."""
    n = circuit.n_wires
    column = {p: x[:, k] for k, p in enumerate(circuit.input_indices)}
    column |= {p: w[..., k].expand(len(x)) for k, p in enumerate(circuit.weight_indices)}
    paulis = {"rx": [[0, 1], [1, 0]], "ry": [[0, -1j], [1j, 0]], "rz": [[1, 0], [0, -1]]}
    psi = torch.zeros((2,) * n + (len(x),), dtype=torch.complex128)
    psi[(0,) * n] = 1
    for gate in circuit.gates:
        name, wires = str(gate.name), gate.wires
        if name in paulis:
            half = column[gate.angles[0].parameter].double() / 2
            p = torch.tensor(paulis[name], dtype=torch.complex128)
            turned = torch.tensordot(p, psi, ([1], [wires[0]])).movedim(0, wires[0])
            psi = half.cos() * psi - 1j * half.sin() * turned
        else:
            *on, target = wires
            bits = torch.stack(torch.meshgrid(*[torch.arange(2)] * n, indexing="ij"))
            flips = torch.stack([bits[c] for c in on]).prod(0)
            bits[target] = bits[target] ^ flips
            psi = psi[tuple(bits)]
    return psi


def read(psi, windows, matrices):
    """Re <psi|H|psi>, (rows, sum K)."""
    out = []
    for wires, h in zip(windows, matrices, strict=True):
        v = psi.movedim(wires, tuple(range(len(wires)))).reshape(2 ** len(wires), -1, psi.shape[-1])
        out.append(torch.einsum("arb,kac,crb->bk", v.conj(), h.to(torch.complex128), v).real)
    return torch.cat(out, 1)


def leaf(array, dtype):
    return torch.tensor(array, dtype=dtype).requires_grad_()


def drawn(circuit, windows, heights, rows, seed, *, dtype=torch.float64, by_row=False, real_matrices=False):
    """Inputs, weights and matrices, none of them Hermitian."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-6, 6, (rows, circuit.n_inputs))
    w = rng.uniform(-6, 6, (rows, circuit.n_weights) if by_row else circuit.n_weights)
    out = [leaf(x, dtype), leaf(w, dtype)]
    for wires, k in zip(windows, heights, strict=True):
        h = rng.normal(size=(2, k, 2 ** len(wires), 2 ** len(wires)))
        out.append(leaf(h[0], dtype) if real_matrices else leaf(h[0] + 1j * h[1], COMPLEX[dtype]))
    return out


def made(circuit, *, by_row=False, dtype=torch.float64, level=None):
    plan = compile_plan(circuit, weights_by_row=by_row)
    return program.KernelProgram(plan, torch.empty(0, dtype=dtype), level=level)


def check(circuit, windows, heights, rows, seed, *, by_row=False, dtype=torch.float64, level=None, **more):
    """Values and all derivatives; then with only one of the tensors differentiated."""
    tolerance = 1e-11 if dtype == torch.float64 else 2e-4
    tensors = drawn(circuit, windows, heights, rows, seed, dtype=dtype, by_row=by_row, **more)
    found = made(circuit, by_row=by_row, dtype=dtype, level=level)
    psi = state_of(circuit, *tensors[:2])
    x, w = (t.detach().double().numpy() for t in tensors[:2])
    reference = np.stack([statevector(circuit, v) for v in circuit.values(x, w)], 1)
    np.testing.assert_allclose(psi.detach().reshape(reference.shape), reference, atol=1e-12)
    wanted = read(psi, windows, tensors[2:])
    value = found.windows(*tensors[:2], windows, tensors[2:])
    assert value.shape == (rows, sum(heights))
    assert value.dtype is dtype
    np.testing.assert_allclose(value.detach(), wanted.detach(), rtol=0, atol=tolerance)
    cotangent = torch.tensor(np.random.default_rng(seed).normal(size=(rows, sum(heights))))
    theirs = torch.autograd.grad((wanted * cotangent).sum(), tensors)
    mine = torch.autograd.grad((value * cotangent).sum(), tensors)
    for one, other in zip(mine, theirs, strict=True):
        assert one.dtype is other.dtype
        np.testing.assert_allclose(one, other, rtol=0, atol=tolerance * max(1, float(other.abs().max())))
    for chosen in ((0,), (1,), (2,), (0, 1), tuple(range(2, len(tensors)))):
        some = [t.detach().requires_grad_(i in chosen) for i, t in enumerate(tensors)]
        value = found.windows(*some[:2], windows, some[2:])
        (value * cotangent).sum().backward()
        for i, t in enumerate(some):
            if i not in chosen:
                assert t.grad is None
            else:
                np.testing.assert_allclose(t.grad, mine[i], rtol=0, atol=tolerance * max(1, float(mine[i].abs().max())))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["double", "single"])
@pytest.mark.parametrize("real", [False, True], ids=["complex", "real"])
@pytest.mark.parametrize("seed", range(6))
def test_random_windows(seed, real, dtype, level):
    rng = np.random.default_rng(seed)
    n = 1 + seed
    sizes = rng.integers(1, min(n, 4) + 1, 4)
    windows = tuple(tuple(int(q) for q in rng.permutation(n)[:k]) for k in sizes)
    heights = [int(k) for k in rng.integers(1, 4, 4)]
    circuit = circuit_of(n, real=real)
    rows = (1, 15, 17, 33, 4, 9)[seed]
    check(circuit, windows, heights, rows, seed, by_row=seed % 3 == 1, dtype=dtype, level=level)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("real", [False, True], ids=["complex", "real"])
def test_real_matrices(real, level):
    check(circuit_of(4, real=real), ((2, 0), (1,), (3, 0, 1)), [2, 1, 1], 5, 1, real_matrices=True, level=level)


@pytest.mark.parametrize("windows", [((4, 2, 0, 5, 1), (3,)), ((5, 0, 3, 1, 2, 4), (0, 1, 2, 3, 4, 5))])
def test_wide_windows(windows):
    check(circuit_of(6), windows, [2, 1], 7, 3)


def test_all_pairs_of_eight_wires():
    """Enough wires that the reduced states of pairs are kept, and windows of four beside them."""
    pairs = tuple((a, b) for a in range(8) for b in range(8) if a < b)
    check(circuit_of(8, layers=2), (*pairs, (7, 0, 1, 2)), [1] * 28 + [2], 19, 4)


def test_a_state_known_in_closed_form():
    """<Z>, <X>, <Y> and the expectation of |1><1| of RY(a)|0>."""
    b = CircuitBuilder(2)
    circuit = b.ry(1, b.input("a")).build()
    a = torch.linspace(-7, 7, 21, dtype=torch.float64)
    paulis = torch.tensor([[[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[0, 0], [0, 1]]])
    value = made(circuit).windows(a[:, None], torch.empty(0, dtype=torch.float64), ((1,),), [paulis.cdouble()])
    wanted = torch.stack([a.cos(), a.sin(), 0 * a, (1 - a.cos()) / 2], 1)
    np.testing.assert_allclose(value, wanted, rtol=0, atol=1e-14)


def test_any_strides_and_lazy_conjugates():
    circuit, windows = circuit_of(4), ((2, 0), (1, 3))
    x, w, *matrices = (t.detach() for t in drawn(circuit, windows, [2, 1], 9, 5))
    found = made(circuit)
    turned = [m.mH.mH for m in (m.mT.contiguous().mT for m in matrices)]
    lazy = [m.conj().resolve_conj().conj() for m in matrices]
    assert not turned[0].is_contiguous()
    assert lazy[0].is_conj()
    plain = found.windows(x, w, windows, matrices)
    assert torch.equal(found.windows(x, w, windows, turned), plain)
    assert torch.equal(found.windows(x, w, windows, lazy), plain)
    w.requires_grad_()
    (by_sum,) = torch.autograd.grad(found.windows(x, w, windows, matrices).sum(), w)
    (by_ones,) = torch.autograd.grad(found.windows(x, w, windows, matrices), w, torch.ones_like(plain))
    assert torch.equal(by_sum, by_ones)


def test_nothing_is_kept_without_gradients():
    circuit, windows = circuit_of(3), ((0, 2),)
    tensors = drawn(circuit, windows, [1], 5, 6)
    with torch.no_grad():
        value = made(circuit).windows(*tensors[:2], windows, tensors[2:])
    assert value.grad_fn is None
    assert torch.equal(value, made(circuit).windows(*tensors[:2], windows, tensors[2:]).detach())


def test_no_rows():
    circuit, windows = circuit_of(3), ((0, 2), (1,))
    x, w, *matrices = drawn(circuit, windows, [1, 2], 0, 6)
    value = made(circuit).windows(x, w, windows, matrices)
    assert value.shape == (0, 3)
    for t in torch.autograd.grad(value.sum(), (w, *matrices)):
        assert not t.any()


def test_a_row_that_is_nan_spoils_its_own_values_only():
    circuit, windows = circuit_of(3), ((0, 2),)
    x, w, h = (t.detach() for t in drawn(circuit, windows, [1], 11, 6))
    clean = made(circuit).windows(x, w, windows, [h])
    x[10, 0] = float("nan")
    dirty = made(circuit).windows(x, w, windows, [h])
    assert dirty[10].isnan().all()
    assert torch.equal(dirty[:10], clean[:10])


def test_what_it_refuses_and_what_it_leaves_to_torch():
    circuit = circuit_of(7, real=True)
    found = made(circuit)
    x, w, *_ = drawn(circuit, (), (), 2, 1)

    def asked(wires, *shape):
        return found.windows(x, w, (wires,), [torch.zeros(shape, dtype=torch.complex128)])

    assert asked(tuple(range(7)), 1, 128, 128) is NotImplemented
    assert asked((0, 1, 2, 3, 4), 17, 32, 32) is NotImplemented
    assert asked((0, 1, 2, 3, 4), 16, 32, 32).shape == (2, 16)
    with pytest.raises(DataError, match=r"wanted \(1, 4, 4\), got \(1, 8, 8\)"):
        asked((0, 1), 1, 8, 8)
    with pytest.raises(ValueError, match="window: wanted different wires from 0 to 6"):
        asked((0, 7), 1, 4, 4)
    with pytest.raises(ValueError, match="window: wanted different wires from 0 to 6"):
        asked((3, 3), 1, 4, 4)


def test_changed_matrices_and_second_derivatives_are_refused():
    circuit, windows = circuit_of(3), ((0, 2),)
    x, w, h = drawn(circuit, windows, [1], 5, 6)
    found = made(circuit)
    value = found.windows(x, w, windows, [h])
    with torch.no_grad():
        h.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.sum().backward()
    for out in (found.windows(x, w, windows, [h]), found.signed(x, w, (1,))):
        (slope,) = torch.autograd.grad(out.sum(), x, create_graph=True)  # linear: its cotangent has no derivative
        with pytest.raises(RuntimeError, match="once_differentiable"):
            slope.square().sum().backward()


def test_backward_twice_and_inference_tensors():
    circuit, windows = circuit_of(3), ((0, 2), (1,))
    x, w, *matrices = drawn(circuit, windows, [1, 2], 5, 6)
    found = made(circuit)
    out = found.windows(x, w, windows, matrices).square().sum()
    first = torch.autograd.grad(out, (x, w, *matrices), retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(out, (x, w, *matrices)), strict=True):
        assert torch.equal(a, b)
    with torch.inference_mode():
        inner = x.clone()
    for mine in (found.windows(inner, w, windows, matrices), found.signed(inner, w, (3, 1))):
        assert torch.autograd.grad(mine.sum(), w)[0].shape == w.shape


def test_two_threads_give_the_same_numbers():
    circuit, windows = circuit_of(5), ((0, 2), (1, 4, 3, 0))
    tensors = drawn(circuit, windows, [1, 2], 60, 6)
    found = made(circuit)

    def step():
        value = found.windows(*tensors[:2], windows, tensors[2:])
        return torch.autograd.grad(value.square().sum(), tensors)

    wanted, same = step(), []

    def work():
        same.extend(all(torch.equal(a, b) for a, b in zip(step(), wanted, strict=True)) for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert same == [True] * 20


@pytest.mark.parametrize("heights", [(1, 2), (1, 200)], ids=["kernel", "torch"])
def test_the_engine_reads_windows_with_it(heights, monkeypatch):
    """The same numbers as the torch engine; from the state only where the kernel says so."""
    circuit, windows = circuit_of(4), ((2, 0), (0, 1, 3, 2))
    tensors = drawn(circuit, windows, heights, 7, 8)
    plan = compile_plan(circuit, weights_by_row=False)
    like = torch.empty(0, dtype=torch.float64)
    compiled, pure = CompiledProgram(program.KernelProgram, plan, like), PureProgram(plan, like)
    asked = []
    state = compiled.kernel.state
    monkeypatch.setattr(compiled.kernel, "state", lambda *a: asked.append(1) or state(*a))
    found = []
    for one in (compiled, pure):
        make = lambda: Windows(4, windows, heights, torch.device("cpu"))  # noqa: E731
        value = one.run("key", make, *tensors[:2], tensors[2:])
        found.append((value, *torch.autograd.grad(value.square().sum(), tensors)))
    assert bool(asked) == (heights[1] == 200)
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a.detach(), b.detach(), rtol=0, atol=1e-10 * max(1, float(b.detach().abs().max())))
