"""The compiled kernel as a component: levels, errors, strides, threads, NaN, entry point."""

from __future__ import annotations

import importlib.metadata
import threading

import numpy as np
import pytest
import torch

from qimg_core.circuit import Angle, CircuitBuilder, Gate
from qimg_core.circuit.ir import Circuit
from qimg_core.errors import DataError
from qimg_simulator.plan import compile_plan

kernels = pytest.importorskip("qimg_kernels", reason="the compiled kernels are not installed")
program = pytest.importorskip("qimg_kernels.program", reason="the compiled kernels are not installed")


def layered(n=4):
    b = CircuitBuilder(n)
    x = [b.input(f"x{q}") for q in range(n)]
    for layer in range(2):
        for q in range(n):
            b.rx(q, x[q]).rz(q, b.weight(f"w{layer}.{q}")).ry(q, b.weight(f"v{layer}.{q}"))
        for q in range(n):
            b.cx(q, (q + 1) % n)
    return b.build()


def made(circuit, *, by_row=False, dtype=torch.float64, **more):
    return program.KernelProgram(compile_plan(circuit, weights_by_row=by_row), torch.empty(0, dtype=dtype), **more)


def values(circuit, rows, dtype=torch.float64):
    g = torch.Generator().manual_seed(3)
    return (
        torch.randn((rows, circuit.n_inputs), generator=g, dtype=dtype),
        torch.randn(circuit.n_weights, generator=g, dtype=dtype),
    )


def step(found, x, w, masks=(8, 4, 2, 1)):
    x, w = x.clone().requires_grad_(), w.clone().requires_grad_()
    out = found.signed(x, w, masks)
    (out * torch.arange(1, out.numel() + 1, dtype=out.dtype).view_as(out)).sum().backward()
    return out.detach(), x.grad, w.grad


def test_entry_point_names_the_program():
    (found,) = importlib.metadata.entry_points(group="qimg_simulator.kernels", name="c")
    assert found.load() is program.KernelProgram


def test_level_is_the_highest_or_what_the_variable_names(monkeypatch):
    monkeypatch.delenv("QIMG_KERNELS_LEVEL", raising=False)
    assert kernels.level() == kernels.levels()[-1]
    monkeypatch.setenv("QIMG_KERNELS_LEVEL", "0")
    assert kernels.level() == 0
    assert made(layered()).level == 0
    monkeypatch.setenv("QIMG_KERNELS_LEVEL", "7")
    with pytest.raises(ValueError, match="QIMG_KERNELS_LEVEL: wanted one of 0"):
        kernels.level()


def test_a_level_the_processor_lacks_is_refused():
    with pytest.raises(ValueError, match="level: wanted one of 0"):
        made(layered(), level=9)


def test_levels_agree():
    circuit = layered()
    x, w = values(circuit, 21)
    first, *others = [step(made(circuit, level=level), x, w) for level in kernels.levels()]
    for other in others:
        for a, b in zip(first, other, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_supports():
    plan = compile_plan(layered(), weights_by_row=False)
    supports = program.KernelProgram.supports
    assert supports(plan, torch.empty(0))
    assert supports(plan, torch.empty(0, dtype=torch.float64))
    assert not supports(plan, torch.empty(0, dtype=torch.float16))
    assert not supports(plan, torch.empty(0, device="meta"))
    wide = compile_plan(layered(program.MAX_WIRES + 1), weights_by_row=False)
    assert not supports(wide, torch.empty(0))
    with pytest.raises(ValueError, match="wanted at most"):
        program.KernelProgram(wide, torch.empty(0))


def test_same_numbers_same_bits_and_any_strides():
    circuit = layered()
    found = made(circuit, dtype=torch.float32)
    x, w = values(circuit, 37, torch.float32)
    wide = torch.zeros((circuit.n_inputs, 80)).t()[::2][:37]
    wide.copy_(x)
    assert not wide.is_contiguous()
    spread = torch.zeros(3 * circuit.n_weights)[::3]
    spread.copy_(w)
    for a, b in zip(step(found, x, w), step(found, x, w), strict=True):
        assert torch.equal(a, b)
    plain, strided = found.signed(x, w, (1, 3)), found.signed(wide, spread, (1, 3))
    assert torch.equal(plain, strided)


def test_expanded_and_conjugated_cotangents():
    circuit = layered()
    found = made(circuit)
    x, w = (t.requires_grad_() for t in values(circuit, 5))
    (by_sum,) = torch.autograd.grad(found.signed(x, w, (1, 2)).sum(), w)
    (by_ones,) = torch.autograd.grad(found.signed(x, w, (1, 2)), w, torch.ones(5, 2, dtype=torch.float64))
    assert torch.equal(by_sum, by_ones)
    c = torch.randn((16, 5), dtype=torch.complex128, generator=torch.Generator().manual_seed(1))
    (lazy,) = torch.autograd.grad(found.state(x, w), w, c.conj())
    (made_real,) = torch.autograd.grad(found.state(x, w), w, c.conj().resolve_conj())
    assert torch.equal(lazy, made_real)


def test_backward_twice_gives_the_same():
    circuit = layered()
    x, w = (t.requires_grad_() for t in values(circuit, 5))
    out = made(circuit).state(x, w).abs().sum()
    first = torch.autograd.grad(out, (x, w), retain_graph=True)
    for a, b in zip(first, torch.autograd.grad(out, (x, w)), strict=True):
        assert torch.equal(a, b)


def test_only_one_gradient_wanted():
    circuit = layered()
    found = made(circuit)
    x, w = values(circuit, 5)
    both = step(found, x, w)
    for wanted in (0, 1):
        pair = [x.clone(), w.clone()]
        pair[wanted].requires_grad_()
        out = found.signed(*pair, (8, 4, 2, 1))
        (out * torch.arange(1, 21, dtype=out.dtype).view_as(out)).sum().backward()
        assert torch.equal(pair[wanted].grad, both[1 + wanted])
        assert pair[1 - wanted].grad is None


def test_nothing_is_kept_without_gradients():
    circuit = layered()
    found = made(circuit)
    x, w = values(circuit, 5)
    with torch.no_grad():
        value = found.signed(x.requires_grad_(), w, (1,))
    assert value.grad_fn is None
    assert torch.equal(value, found.signed(x, w, (1,)).detach())


def test_no_rows_and_no_parameters():
    circuit = layered()
    empty = made(circuit).state(torch.empty((0, circuit.n_inputs), dtype=torch.float64), values(circuit, 0)[1])
    assert empty.shape == (16, 0)
    bell = CircuitBuilder(2).h(0).cx(0, 1).build()
    state = made(bell).state(torch.empty((3, 0), dtype=torch.float64), torch.empty(0, dtype=torch.float64))
    np.testing.assert_allclose(state, np.tile([[0.5**0.5], [0], [0], [0.5**0.5]], 3), atol=1e-15)


def test_nan_stays_in_its_row_and_a_nan_weight_is_everywhere():
    circuit = layered()
    found = made(circuit)
    x, w = values(circuit, 20)
    clean = found.signed(x, w, (8, 1))
    x[7, 0] = float("nan")
    dirty = found.signed(x, w, (8, 1))
    assert dirty[7].isnan().all()
    rest = [i for i in range(20) if i != 7]
    assert torch.equal(dirty[rest], clean[rest])
    x[7, 0], w[0] = 0.0, float("nan")
    assert found.signed(x, w, (8, 1)).isnan().all()


def test_amplitudes_of_another_norm_are_refused():
    b = CircuitBuilder(2)
    circuit = Circuit(2, (Gate("prepare", (0, 1), tuple(b.input(f"x{i}") for i in range(4))),), b.build().parameters)
    found = made(circuit)
    x = torch.full((20, 4), 0.5, dtype=torch.float64)
    none = torch.empty(0, dtype=torch.float64)
    np.testing.assert_allclose(found.squares(x, none), np.full((4, 20), 0.25))
    x[19, 2] = 0.6
    with pytest.raises(DataError, match=r"a row's squared norm is off by 0\.11"):
        found.squares(x, none)
    x[19, 2], x[0, 0] = 0.5, float("nan")
    with pytest.raises(DataError, match="off by nan"):
        found.squares(x, none)


def test_wrong_shapes_dtypes_and_masks_are_refused():
    circuit = layered()
    found = made(circuit)
    x, w = values(circuit, 5)
    with pytest.raises(DataError, match=r"wanted \(rows, 4\) and \(16\), got \(5, 3\)"):
        found.state(x[:, :3], w)
    with pytest.raises(DataError, match="wanted"):
        found.state(x, w[None].expand(5, -1))
    with pytest.raises(DataError, match=r"made for torch\.float64"):
        found.state(x.float(), w.float())
    with pytest.raises(ValueError, match="masks: wanted numbers from 0 to 15"):
        found.signed(x, w, (16,))


def test_two_threads_give_the_same_numbers():
    circuit = layered()
    found = made(circuit)
    x, w = values(circuit, 200)
    wanted = step(found, x, w)
    same = []

    def work():
        for _ in range(20):
            same.append(all(torch.equal(a, b) for a, b in zip(step(found, x, w), wanted, strict=True)))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert same == [True] * 40


def test_constant_controlled_rotation_needs_no_weights():
    circuit = Circuit(2, (Gate("x", (0,)), Gate("cry", (0, 1), (Angle(offset=1.0),))))
    state = made(circuit).state(torch.empty((1, 0), dtype=torch.float64), torch.empty(0, dtype=torch.float64))
    np.testing.assert_allclose(state[:, 0], [0, 0, np.cos(0.5), np.sin(0.5)], atol=1e-15)
