"""Traps: where an engine with a way back written by hand goes wrong without a word."""

from __future__ import annotations

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from qimg_core.circuit import Angle, Circuit, Gate, Parameter, pauli
from qimg_core.errors import DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_core.testing.reference import expectation, statevector
from qimg_simulator import pure
from qimg_simulator.backend import SimulatorBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

X, Y, U, V = range(4)
PARAMETERS = (Parameter("x", "input"), Parameter("y", "input"), Parameter("u", "weight"), Parameter("v", "weight"))
MIXED = Circuit(
    3,
    [
        Gate("ry", (0,), [Angle(X)]),
        Gate("rx", (0,), [Angle(U)]),
        Gate("rz", (1,), [Angle(Y, 0.5, 0.25)]),
        Gate("sx", (2,)),
        Gate("cx", (0, 1)),
        Gate("rzz", (1, 2), [Angle(U)]),
        Gate("crx", (2, 0), [Angle(V)]),
        Gate("ry", (1,), [Angle(X, -1.0)]),
        Gate("rxx", (0, 2), [Angle(Y)]),
        Gate("ry", (2,), [Angle(V, 1.5)]),
    ],
    PARAMETERS,
)
"""Every kind of step: shared and by row, alone and after wires have met."""
REAL = Circuit(
    3,
    [
        Gate("ry", (0,), [Angle(X)]),
        Gate("ry", (1,), [Angle(U)]),
        Gate("cx", (0, 1)),
        Gate("ry", (1,), [Angle(Y)]),
        Gate("cz", (1, 2)),
        Gate("ry", (2,), [Angle(V)]),
        Gate("ry", (0,), [Angle(V)]),
        Gate("cx", (2, 0)),
        Gate("ry", (0,), [Angle(X)]),
    ],
    PARAMETERS,
)
BLOCK = Circuit(
    2,
    [
        Gate("ry", (0,), [Angle(X)]),
        Gate("rx", (1,), [Angle(Y)]),
        Gate("rz", (0,), [Angle(U)]),
        Gate("cx", (0, 1)),
        Gate("rzz", (0, 1), [Angle(V)]),
        Gate("ry", (1,), [Angle(V)]),
    ],
    PARAMETERS,
)
CIRCUITS = {"mixed": MIXED, "real": REAL, "block": BLOCK}
TERMS = Expectation((pauli("Z0"), pauli("Z0 Z1", -0.5)))
LETTERS = Expectation((pauli("X0 Y1"), pauli("Z1")))
WINDOWS = LocalStates(((0,), (1, 0)))
MEASUREMENTS = {
    "z": TERMS,
    "pauli": LETTERS,
    "probabilities": Probabilities((1, 0)),
    "windows": WINDOWS,
    "readout": WINDOWS,
    "state": State(),
}


@pytest.fixture(params=["saved", "reversible"], scope="module")
def backend(request: pytest.FixtureRequest) -> Iterator[SimulatorBackend]:
    """With both ways to have the states on the way back; its programs live on from test to test, as a user's do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pure, "SAVED_WIRES", 10 if request.param == "saved" else 0)
        yield SimulatorBackend("torch")


@pytest.fixture
def tapes(monkeypatch: pytest.MonkeyPatch) -> list[weakref.ref[Any]]:
    """Weak references to all that forward passes kept."""
    found: list[weakref.ref[Any]] = []
    forward = pure.PureProgram.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        out = forward(*args, **kwargs)
        found.append(weakref.ref(out[1]))
        return out

    monkeypatch.setattr(pure.PureProgram, "forward", watched)
    return found


@pytest.fixture
def without_collector() -> Iterator[None]:
    """What only the garbage collector would free stays."""
    gc.disable()
    yield
    gc.enable()


def numbers(rows: int = 20, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    x, w = rng.uniform(-2 * np.pi, 2 * np.pi, (rows, 2)), rng.uniform(-2 * np.pi, 2 * np.pi, 2)
    return torch.tensor(x, dtype=dtype), torch.tensor(w, dtype=dtype)


def matrices(dtype: torch.dtype = torch.complex128) -> tuple[Any, ...]:
    rng = np.random.default_rng(5)
    return tuple(torch.tensor(rng.normal(size=(2, d, d, 2)) @ [1, 1j], dtype=dtype) for d in (2, 4))


def run(
    device: SimulatorBackend, circuit: Circuit, x: Any, w: Any, measurement: Any = TERMS, readout: Any = None
) -> Any:
    request = ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement, readout=readout)
    return device.run(request).data


def loss(out: Any) -> Any:
    """A real number that treats no two entries alike."""
    size = out.numel()
    c = torch.linspace(-1.0, 1.3, size, dtype=torch.float64).reshape(out.shape).to(out.real.dtype)
    return (out.real * c).sum() + ((out.imag * c.flip(0)).sum() if out.is_complex() else 0)


def gradients(device: SimulatorBackend, circuit: Circuit, x: Any, w: Any, measurement: Any = TERMS) -> Any:
    """(values, gradient of inputs, of weights)."""
    x, w = x.detach().clone().requires_grad_(), w.detach().clone().requires_grad_()
    out = run(device, circuit, x, w, measurement)
    return out.detach(), *torch.autograd.grad(loss(out), (x, w))


def same(found: Any, wanted: Any) -> None:
    for a, b in zip(found, wanted, strict=True):
        assert torch.equal(a, b)


def close(found: Any, wanted: Any, tolerance: float = 1e-13) -> None:
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=tolerance)


# -- angles whose half has a negative cosine (`torch.polar` has the wrong slope by a negative modulus)

TURNS: dict[str, Callable[[str, int], list[Gate]]] = {
    "alone": lambda axis, p: [Gate(axis, (0,), [Angle(p)])],
    "second": lambda axis, p: [Gate(axis, (0,), [Angle(p, 0.5)]), Gate(axis, (0,), [Angle(p, 0.5)])],
    "apart": lambda axis, p: [
        Gate(axis, (0,), [Angle(p, 0.5)]),
        Gate(axis, (0,), [Angle(X if p == U else U, 0.0)]),
        Gate(axis, (0,), [Angle(p, 0.5)]),
    ],
    "late": lambda axis, p: [Gate("cx", (1, 0)), Gate(axis, (0,), [Angle(p)])],
    "controlled": lambda axis, p: [Gate("x", (1,)), Gate("c" + axis, (1, 0), [Angle(p)])],
}


@pytest.mark.parametrize("rows", [5, 33])
@pytest.mark.parametrize("where", TURNS)
@pytest.mark.parametrize("axis", ["rx", "ry"])
@pytest.mark.parametrize("by", [X, U], ids=["input", "weight"])
def test_slopes_where_half_angles_have_a_negative_cosine(
    backend: SimulatorBackend, by: int, axis: str, where: str, rows: int
) -> None:
    """A turn by a about X or Y has <Z> = cos a, so the slope -sin a, for a in (-2 pi, 2 pi)."""
    circuit = Circuit(2, TURNS[where](axis, by), PARAMETERS)
    angles = torch.linspace(-6.25, 6.2, rows, dtype=torch.float64)
    for a in [angles] if by == X else angles[:: max(1, rows // 5)]:
        x, w = torch.zeros((rows, 2), dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
        (x if by == X else w)[..., 0] = a
        x.requires_grad_()
        w.requires_grad_()
        out = run(backend, circuit, x, w, Expectation((pauli("Z0"),)))
        grads = torch.autograd.grad(out.sum(), (x, w), allow_unused=True)
        np.testing.assert_allclose(out.detach()[:, 0], a.cos() * torch.ones(rows), atol=1e-14)
        wanted = -a.sin() if by == X else -rows * a.sin()
        np.testing.assert_allclose(grads[by // 2][..., 0], wanted, atol=1e-13 * rows)


def test_amplitudes_as_trainable_inputs_have_a_finite_and_right_slope(backend: SimulatorBackend) -> None:
    """<Z0> of amplitudes a is sum z_i a_i**2, also where most are zero."""
    n, rng = 5, np.random.default_rng(0)
    names = [Parameter(f"a{i}", "input") for i in range(2**n)]
    circuit = Circuit(n, [Gate("prepare", range(n), [Angle(i) for i in range(2**n)])], names)
    a = rng.normal(size=(4, 2**n))
    a[1] = np.eye(2**n)[3]
    a[2, 1:] = 0
    a /= np.linalg.norm(a, axis=1, keepdims=True)
    x = torch.tensor(a, requires_grad=True)
    out = run(backend, circuit, x, torch.zeros(0, dtype=torch.float64), Expectation((pauli("Z0"),)))
    out.sum().backward()
    z = np.repeat([1.0, -1.0], 2 ** (n - 1))
    np.testing.assert_allclose(out.detach()[:, 0], (a**2) @ z, atol=1e-14)
    np.testing.assert_allclose(x.grad, 2 * a * z, atol=1e-14)


# -- more than one way back


@pytest.mark.parametrize("kind", MEASUREMENTS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_a_way_back_taken_twice_is_the_same(backend: SimulatorBackend, name: str, kind: str) -> None:
    x, w = (a.requires_grad_() for a in numbers())
    h = tuple(m.requires_grad_() for m in matrices()) if kind == "readout" else None
    value = loss(run(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind], h))
    leaves = (x, w, *(h or ()))
    first = torch.autograd.grad(value, leaves, retain_graph=True)
    same(torch.autograd.grad(value, leaves, retain_graph=True), first)
    same(torch.autograd.grad(value, leaves), first)


def test_a_way_back_after_the_graph_was_freed_is_refused(backend: SimulatorBackend) -> None:
    x, w = (a.requires_grad_() for a in numbers())
    out = run(backend, MIXED, x, w)
    out.backward(torch.ones_like(out))
    with pytest.raises(RuntimeError, match="second time"):
        out.backward(torch.ones_like(out))


@pytest.mark.parametrize("name", CIRCUITS)
def test_ways_back_in_another_order(backend: SimulatorBackend, name: str) -> None:
    """Three runs of one program, of two sizes; the last is taken back first."""
    batches = [numbers(20, 1), numbers(20, 2), numbers(3, 3)]
    alone = [gradients(SimulatorBackend("torch"), CIRCUITS[name], *b)[1:] for b in batches]
    leaves = [tuple(a.requires_grad_() for a in b) for b in batches]
    outs = [run(backend, CIRCUITS[name], *b) for b in leaves]
    for i in (2, 0, 1):
        same(torch.autograd.grad(loss(outs[i]), leaves[i]), alone[i])


def test_gradients_that_were_given_stay(backend: SimulatorBackend) -> None:
    x, w = numbers(1)
    first = gradients(backend, MIXED, x, w)
    copies = [t.clone() for t in first]
    gradients(backend, MIXED, x + 1, w - 1)
    same(first, copies)


def test_second_derivatives_are_refused(backend: SimulatorBackend) -> None:
    x, w = (a.requires_grad_() for a in numbers())
    for linear in (True, False):  # the cotangent of a linear loss has no derivative of its own
        value = loss(run(backend, MIXED, x, w))
        (slope,) = torch.autograd.grad(value if linear else value.square(), w, create_graph=True)
        penalty = slope.square().sum() + w.sum()
        with pytest.raises(RuntimeError, match="once_differentiable"):
            penalty.backward()


# -- tensors of every kind


def test_inputs_and_weights_in_any_layout(backend: SimulatorBackend) -> None:
    x, w = numbers(20)
    wanted = gradients(backend, MIXED, x, w)
    wide = torch.full((20, 5), 9.0, dtype=torch.float64)
    wide[:, 1:5:3] = x
    layouts = [x.t().contiguous().t(), wide[:, 1:5:3], x.repeat_interleave(2, 0)[::2]]
    for layout in layouts:
        assert not layout.is_contiguous()
        leaf, spread = layout.detach().requires_grad_(), torch.stack([w, w], 1)[:, 0].detach().requires_grad_()
        out = run(backend, MIXED, leaf, spread)
        close([out.detach(), *torch.autograd.grad(loss(out), (leaf, spread))], wanted)


def test_expanded_inputs_and_weights_sum_their_gradients(backend: SimulatorBackend) -> None:
    x, w = numbers(1)
    values, gx, gw = gradients(backend, MIXED, x.repeat(6, 1), w.repeat(6, 1))
    x, w = x.requires_grad_(), w.requires_grad_()
    out = run(backend, MIXED, x.expand(6, -1), w.expand(6, -1))
    grads = torch.autograd.grad(loss(out), (x, w))
    close([out.detach(), *grads], [values, gx.sum(0, keepdim=True), gw.sum(0)])


@pytest.mark.parametrize("kind", MEASUREMENTS)
@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("rows", [1, 20])
def test_cotangents_in_any_layout(backend: SimulatorBackend, name: str, kind: str, rows: int) -> None:
    x, w = (a.requires_grad_() for a in numbers(rows))
    h = tuple(m.requires_grad_() for m in matrices()) if kind == "readout" else None
    out = run(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind], h)
    leaves = (x, w, *(h or ()))
    one = torch.tensor(0.7, dtype=out.dtype)
    plain = torch.autograd.grad(out, leaves, torch.full_like(out, 0.7), retain_graph=True)
    close(torch.autograd.grad(out, leaves, one.expand(out.shape), retain_graph=True), plain, 1e-12)
    c = torch.linspace(0, 1, out.numel(), dtype=torch.float64).to(out.dtype).reshape(out.shape)
    plain = torch.autograd.grad(out, leaves, c, retain_graph=True)
    turned = c.t().contiguous().t()
    close(torch.autograd.grad(out, leaves, turned, retain_graph=True), plain, 1e-12)
    before = turned.clone()
    torch.autograd.grad(out, leaves, turned)
    assert torch.equal(turned, before)  # whoever gave it may still need it


@pytest.mark.parametrize("name", CIRCUITS)
def test_only_what_asks_for_a_gradient_gets_one(backend: SimulatorBackend, name: str) -> None:
    (x, w), h = numbers(), matrices()
    everything = tuple(t.clone().requires_grad_() for t in (x, w, *h))
    loss(run(backend, CIRCUITS[name], *everything[:2], WINDOWS, everything[2:])).backward()
    for i in range(4):
        leaves = [t.clone().requires_grad_(i == j) for j, t in enumerate((x, w, *h))]
        loss(run(backend, CIRCUITS[name], *leaves[:2], WINDOWS, tuple(leaves[2:]))).backward()
        for j, leaf in enumerate(leaves):
            assert (leaf.grad is not None) == (i == j)
        assert torch.equal(leaves[i].grad, everything[i].grad)  # type: ignore[arg-type]


def test_inputs_of_which_some_columns_are_trained(backend: SimulatorBackend) -> None:
    x, w = numbers()
    _, gx, _ = gradients(backend, MIXED, x, w)
    latent = x[:, 1:].clone().requires_grad_()
    loss(run(backend, MIXED, torch.cat([x[:, :1], latent], 1), w)).backward()
    assert torch.equal(latent.grad, gx[:, 1:])  # type: ignore[arg-type]


@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("single", [False, True])
def test_matrices_of_another_dtype_get_gradients_of_theirs(backend: SimulatorBackend, name: str, single: bool) -> None:
    dtype = torch.float32 if single else torch.float64
    x, w = numbers(dtype=dtype)
    h = matrices()
    wanted = [t.clone().requires_grad_() for t in h]
    loss(run(backend, CIRCUITS[name], *numbers(), WINDOWS, tuple(wanted))).backward()
    for cast in (torch.complex64, torch.complex128):
        leaves = tuple(t.to(cast, copy=True).requires_grad_() for t in h)
        loss(run(backend, CIRCUITS[name], x, w, WINDOWS, leaves)).backward()
        for a, b in zip(leaves, wanted, strict=True):
            assert a.grad is not None
            assert a.grad.dtype == cast
            np.testing.assert_allclose(a.grad, b.grad, atol=1e-4)  # type: ignore[arg-type]
    real = tuple(t.real.clone().requires_grad_() for t in h)
    out = run(backend, CIRCUITS[name], x, w, WINDOWS, real)
    exact = run(backend, CIRCUITS[name], *numbers(), WINDOWS, tuple(t.detach().real.to(torch.complex128) for t in h))
    np.testing.assert_allclose(out.detach(), exact, atol=1e-4)
    loss(out).backward()
    for a, b in zip(real, wanted, strict=True):
        np.testing.assert_allclose(a.grad, b.grad.real, atol=1e-4)  # type: ignore[arg-type, union-attr]


@pytest.mark.parametrize("name", CIRCUITS)
def test_one_row_is_the_first_of_many(backend: SimulatorBackend, name: str) -> None:
    x, w = numbers(20)
    values = run(backend, CIRCUITS[name], x, w)
    for weights in (w, w[None]):
        one, _, slope = gradients(backend, CIRCUITS[name], x[:1], weights)
        assert slope.shape == weights.shape
        close([one], [values[:1]])


@pytest.mark.parametrize("rows", [1, 20])
def test_rows_of_a_circuit_without_inputs(backend: SimulatorBackend, rows: int) -> None:
    circuit = Circuit(
        2, [Gate("ry", (0,), [Angle(0)]), Gate("cx", (0, 1)), Gate("rx", (1,), [Angle(1)])], PARAMETERS[2:]
    )
    x = torch.zeros((rows, 0), dtype=torch.float64)
    w = torch.tensor([0.3, -4.0], dtype=torch.float64, requires_grad=True)
    out = run(backend, circuit, x, w)
    assert out.shape == (rows, 2)
    out.sum().backward()  # <Z0> = cos a, <Z0 Z1> = cos b
    np.testing.assert_allclose(out.detach(), np.tile([np.cos(0.3), -0.5 * np.cos(4.0)], (rows, 1)), atol=1e-14)
    np.testing.assert_allclose(w.grad, [-rows * np.sin(0.3), 0.5 * rows * np.sin(-4.0)], atol=1e-13)


def test_no_rows_are_refused(backend: SimulatorBackend) -> None:
    x, w = numbers(0)
    with pytest.raises(DataError, match="rows >= 1"):
        run(backend, MIXED, x, w)


# -- changes in place


@pytest.mark.parametrize("changed", ["inputs", "weights", "matrices"])
@pytest.mark.parametrize("name", CIRCUITS)
@pytest.mark.parametrize("rows", [1, 20])
def test_a_change_in_place_before_the_way_back_is_an_error(
    backend: SimulatorBackend, name: str, changed: str, rows: int
) -> None:
    """Not a gradient of which one part is of the old numbers and one of the new."""
    (x, w), h = (a.requires_grad_() for a in numbers(rows)), tuple(m.requires_grad_() for m in matrices())
    value = loss(run(backend, CIRCUITS[name], x, w, WINDOWS, h))
    with torch.no_grad():
        {"inputs": x, "weights": w, "matrices": h[1]}[changed].mul_(2)
    with pytest.raises(RuntimeError, match="inplace"):
        value.backward()


@pytest.mark.parametrize("kind", MEASUREMENTS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_a_result_changed_in_place_leaves_the_gradient_alone_or_is_refused(
    backend: SimulatorBackend, name: str, kind: str
) -> None:
    h = matrices() if kind == "readout" else None
    grads = []
    for in_place in (False, True):
        x, w = (a.requires_grad_() for a in numbers())
        out = run(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind], h)
        try:
            out = out.mul_(3) if in_place else out * 3
        except RuntimeError as refused:  # torch's own refusal
            assert "inplace" in str(refused)
            return
        loss(out).backward()
        grads.append((x.grad, w.grad))
    same(*grads)


def test_a_result_changed_in_place_leaves_the_program_alone(backend: SimulatorBackend) -> None:
    """The state of one wire without gates is a constant of the program."""
    idle, nothing = Circuit(1), np.zeros(0)
    for _ in range(2):
        out = run(backend, idle, np.zeros((1, 0)), nothing, State())
        np.testing.assert_array_equal(out, [[1, 0]])
        out *= 7
        out = run(backend, idle, torch.zeros((1, 0)), torch.zeros(0), State())
        np.testing.assert_array_equal(out, [[1, 0]])
        out *= 7


# -- memory


def test_nothing_is_kept_without_a_gradient(
    backend: SimulatorBackend, tapes: list[weakref.ref[Any]], without_collector: None
) -> None:
    x, w = numbers()
    outs = [run(backend, MIXED, x, w)]
    w.requires_grad_()
    with torch.no_grad():
        outs.append(run(backend, MIXED, x, w))
    with torch.inference_mode():
        outs.append(run(backend, MIXED, x, w))
    assert [out.grad_fn for out in outs] == [None] * 3
    assert [tape() for tape in tapes] == [None] * 3


@pytest.mark.parametrize("kind", MEASUREMENTS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_what_is_kept_dies_with_the_result_or_the_way_back(
    backend: SimulatorBackend, tapes: list[weakref.ref[Any]], without_collector: None, name: str, kind: str
) -> None:
    x, w = (a.requires_grad_() for a in numbers())
    h = tuple(m.requires_grad_() for m in matrices()) if kind == "readout" else None
    out = run(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind], h)
    assert tapes[0]() is not None
    del out
    assert tapes[0]() is None
    out = run(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind], h)
    value = loss(out)
    value.backward(retain_graph=True)
    assert tapes[1]() is not None
    value.backward()
    assert tapes[1]() is None  # though `out` and `value` live on, as in a list of losses


# -- the same numbers again


@pytest.mark.parametrize("kind", [k for k in MEASUREMENTS if k != "readout"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_runs_are_equal_to_the_bit(backend: SimulatorBackend, name: str, kind: str) -> None:
    x, w = numbers(dtype=torch.float32)
    first = gradients(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind])
    same(gradients(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind]), first)
    same(gradients(SimulatorBackend("torch"), CIRCUITS[name], x, w, MEASUREMENTS[kind]), first)
    same([run(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind])], first[:1])


def test_two_threads_of_torch_compute_what_one_does(backend: SimulatorBackend) -> None:
    names = [*PARAMETERS]
    layers = [Gate("ry", (q,), [Angle(X + q % 2)]) for q in range(10)]
    layers += [Gate("rx", (q,), [Angle(U + q % 2)]) for q in range(10)]
    layers += [Gate("cx", (q, (q + 1) % 10)) for q in range(10)] + [Gate("crz", (0, 7), [Angle(Y)])]
    wide = Circuit(10, [*layers, *layers], names)
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found.append(gradients(backend, wide, *numbers(32)))
    finally:
        torch.set_num_threads(before)
    close(*found, 1e-12)


def test_callers_in_two_threads_do_not_meet(backend: SimulatorBackend) -> None:
    batches = [numbers(20, seed) for seed in range(8)]
    wanted = [gradients(SimulatorBackend("torch"), MIXED, *b) for b in batches]
    with ThreadPoolExecutor(2) as pool:
        for a, b in zip(pool.map(lambda b: gradients(backend, MIXED, *b), batches), wanted, strict=True):
            same(a, b)


@pytest.mark.parametrize("kind", [k for k in MEASUREMENTS if k != "readout"])
@pytest.mark.parametrize("name", CIRCUITS)
def test_autocast_does_not_reach_the_engine(backend: SimulatorBackend, name: str, kind: str) -> None:
    x, w = numbers(dtype=torch.float32)
    wanted = gradients(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind])
    for outer in (torch.bfloat16, torch.float16):
        with torch.autocast("cpu", dtype=outer):
            found = gradients(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind])
        assert found[0].dtype == wanted[0].dtype
        same(found, wanted)


@pytest.mark.parametrize("kind", MEASUREMENTS)
@pytest.mark.parametrize("name", CIRCUITS)
def test_a_program_made_in_inference_mode_trains_all_the_same(name: str, kind: str) -> None:
    backend = SimulatorBackend("torch")
    h = matrices() if kind == "readout" else None
    x, w = numbers()
    with torch.inference_mode():
        values = run(backend, CIRCUITS[name], x, w, MEASUREMENTS[kind], h)
        inner = x.clone()  # an inference tensor: the output of a frozen encoder
    fresh = SimulatorBackend("torch")
    grads = []
    for device, inputs in ((backend, x), (fresh, x), (backend, inner)):
        leaf = w.clone().requires_grad_()
        out = run(device, CIRCUITS[name], inputs, leaf, MEASUREMENTS[kind], h)
        loss(out).backward()
        assert torch.equal(out.detach(), values)
        grads.append(leaf.grad)
    same(grads[1:], [grads[0], grads[0]])


@pytest.mark.parametrize("name", CIRCUITS)
def test_values_are_those_of_the_dense_reference(backend: SimulatorBackend, name: str) -> None:
    """So that all the comparisons above are of something right."""
    x, w = numbers(20)
    out = run(backend, CIRCUITS[name], x, w, LETTERS)
    for row, found in zip(CIRCUITS[name].values(x.numpy(), w.numpy()), out, strict=True):
        psi = statevector(CIRCUITS[name], row)
        np.testing.assert_allclose(found, [expectation(psi, t.factors) for t in LETTERS.terms], atol=1e-13)
