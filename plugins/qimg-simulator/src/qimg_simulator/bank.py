"""All 2x2 matrices that the rows share, and the Kronecker blocks made of them (imports torch).

A run of rotations on one wire is linear in the monomials of cos(a/2) and sin(a/2) of its angles: with
one constant table a run, all runs of a circuit are one batched product. The derivative of a monomial
by an angle is another monomial, so the way back is one product too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from qimg_core.circuit.gates import GateName, matrix
from qimg_simulator.affine import Affine
from qimg_simulator.primitives import Fixed, Rotation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    Array = npt.NDArray[np.complex128]

Run = tuple[Fixed | Rotation, ...]
LONGEST = 5
"""Rotations in a run; 2**5 monomials."""

_SINE: dict[str, Array] = {"g": 1j * np.eye(2, dtype=complex)}
_SINE.update({a: -1j * matrix(GateName(a)) for a in ("x", "y", "z")})
"""What sin(a/2) multiplies, by axis; cos(a/2) multiplies the identity. ``g`` is exp(i a/2)."""


def varies(run: Run) -> bool:
    """Whether a run has an angle that names a parameter."""
    return any(isinstance(f, Rotation) for f in run)


def product(run: Run) -> Array:
    """The matrix of a run without rotations."""
    out = np.eye(2, dtype=complex)
    for factor in run:
        assert isinstance(factor, Fixed)
        out = factor.array @ out
    return out


def _monomials(run: Run, k: int) -> Array:
    """(2**k, 2, 2): the matrix that each monomial multiplies; bit j counts from the left, 1 for the sine."""
    out = np.eye(2, dtype=complex)[None]
    used = 0
    for factor in run:
        if isinstance(factor, Fixed):
            out = factor.array @ out
        else:
            parts = np.stack([np.eye(2), _SINE[factor.axis]])
            out = (parts @ out[:, None]).reshape(-1, 2, 2)
            used += 1
    padded = np.zeros((2**k, 2, 2), dtype=complex)
    padded[:: 2 ** (k - used)] = out
    return padded


@frozen(eq=False)
class Made:
    """What `Bank.evaluate` leaves for `Bank.pull`.

    Args:
        runs: (R, G, 2, 2), every run's matrix.
        blocks: by wires, (blocks, G, d, d).
        monomials: (R * G, 2**k).
        factors: by wires, the runs of each block, (wires, blocks * G, 2, 2), in the order of `folding`.
        trees: by wires, the factors of each level of the Kronecker products.
    """

    runs: Tensor
    blocks: dict[int, Tensor]
    monomials: Tensor
    factors: dict[int, Tensor]
    trees: dict[int, Tree]


class Bank:
    """Shared matrices of a circuit.

    Args:
        runs: gates on one wire in order of time, each at most `LONGEST` rotations.
        blocks: Kronecker products of runs (by number), first run most significant.
        shared: where each parameter lies.
        like: a tensor of the real dtype on the device.
        real: matrices are real.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        blocks: Sequence[tuple[int, ...]],
        shared: Mapping[int, int],
        like: Tensor,
        *,
        real: bool,
    ) -> None:
        self._real, device = real, like.device
        angles = [[f.angle for f in run if isinstance(f, Rotation)] for run in runs]
        self._k = k = max(map(len, angles), default=0)
        self._n = len(runs)
        padded = [a for found in angles for a in [*found, *[None] * (k - len(found))]]
        self.angles = Affine(padded, shared, like, factor=0.5)
        self._ones = torch.ones((len(padded), 1), dtype=like.dtype, device=device)
        table = np.array([_monomials(run, k) for run in runs]).reshape(len(runs), 2**k, 4)
        pairs = table.real if real else np.stack([table.real, table.imag], -1).reshape(len(runs), 2**k, 8)
        self._table = torch.tensor(pairs, dtype=like.dtype, device=device)
        self._table_t = self._table.transpose(1, 2)
        m = np.arange(2**k)
        bits = np.array([(m >> (k - 1 - j)) & 1 for j in range(k)]).reshape(k, 2**k)
        self._factors = torch.tensor((2 * np.arange(k)[:, None] + bits).reshape(-1), device=device)
        moved = np.array([m ^ (1 << (k - 1 - j)) for j in range(k)]).reshape(-1)
        self._moved = torch.tensor(moved, dtype=torch.long, device=device)
        # by the half angle: cos -> -sin, sin -> cos; column j sums the monomials moved by angle j
        slopes = np.zeros((k, 2**k, k))
        for j in range(k):
            slopes[j, :, j] = 2 * bits[j] - 1
        self._slopes = torch.tensor(slopes.reshape(k * 2**k, k), dtype=like.dtype, device=device)
        self.where: list[tuple[int, int]] = []
        by_size: dict[int, list[tuple[int, ...]]] = {}
        for block in blocks:
            same = by_size.setdefault(len(block), [])
            self.where.append((len(block), len(same)))
            same.append(block)
        self._picks = {
            size: torch.tensor([[b[w] for b in same] for w in folding(size)], device=device).reshape(-1)
            for size, same in by_size.items()
        }
        unitary = [all(_unitary(f) for f in run if isinstance(f, Fixed)) for run in runs]
        self._traces = {
            size: torch.tensor(_traces(size), dtype=like.dtype, device=device).to(_dtype(like, real=real))
            for size, same in by_size.items()
            if size > 1 and all(unitary[r] for b in same for r in b)
        }

    def evaluate(self, shared: Tensor) -> Made:
        """The matrices at weights (n_weights, G)."""
        g, n, k = shared.shape[1], self._n, self._k
        if k:
            half = self.angles.evaluate(shared)
            waves = torch.view_as_real(torch.polar(self._ones.expand_as(half), half))
            flat = waves.view(n, 2 * k) if g == 1 else waves.view(n, k, g, 2).transpose(1, 2).reshape(n * g, 2 * k)
            monomials = flat if k == 1 else flat.index_select(1, self._factors).view(n * g, k, -1).prod(1)
        else:
            monomials = self._table.new_ones((n * g, 1))
        entries = torch.bmm(monomials.view(n, g, -1), self._table)
        runs = entries.view(n, g, 2, 2) if self._real else torch.view_as_complex(entries.view(n, g, 2, 2, 2))
        blocks, factors, trees = {}, {}, {}
        for size, picks in self._picks.items():
            factors[size] = runs.index_select(0, picks).view(size, -1, 2, 2)
            whole, trees[size] = fold(factors[size], _kron)
            blocks[size] = whole.view(-1, g, *whole.shape[2:])
        return Made(runs, blocks, monomials, factors, trees)

    def pull(self, made: Made, for_blocks: Mapping[int, Tensor], for_runs: Tensor | None, into: Tensor) -> None:
        """Add to the gradient of the weights (n_weights, G).

        Args:
            made: of the same weights.
            for_blocks: conjugated cotangents of ``made.blocks``, where there are any.
            for_runs: of ``made.runs``, or None; it is overwritten.
            into: where to.
        """
        n, g, k = self._n, into.shape[1], self._k
        if not k:
            return
        total = torch.zeros_like(made.runs) if for_runs is None else for_runs
        for size, cotangent in for_blocks.items():
            if size in self._traces:
                apart = self._apart(size, made, cotangent)
            else:
                apart = unfold(cotangent.view(1, -1, *cotangent.shape[2:]), made.trees[size], _kron_pull).conj()
            total.index_add_(0, self._picks[size], apart.reshape(-1, g, 2, 2))
        entries = total.view(n, g, 4) if self._real else torch.view_as_real(total).view(n, g, 8)
        slopes = torch.bmm(entries, self._table_t).view(n * g, 1, -1)
        moved = made.monomials.index_select(1, self._moved).view(n * g, k, -1)
        by_angle = (moved * slopes).view(n * g, -1) @ self._slopes
        turned = by_angle.view(n * k, 1) if g == 1 else by_angle.view(n, g, k).transpose(1, 2).reshape(n * k, g)
        self.angles.pull(turned, into)

    def _apart(self, size: int, made: Made, cotangent: Tensor) -> Tensor:
        """Cotangents of the runs of blocks, (wires, blocks * G, 2, 2), as far as unitary matrices can move.

        A run U moves by U A, so its block K by K (1 x A x 1): what counts is the partial trace Y of K^dag cotangent
        over the other wires, and U Y is a cotangent of U. No Kronecker product is taken apart.
        """
        k = made.blocks[size].flatten(0, 1)
        moves = torch.bmm(k.mT, cotangent.flatten(0, 1)).flatten(1)
        traces = (moves @ self._traces[size]).view(-1, size, 2, 2).transpose(0, 1)
        return made.factors[size] @ traces.conj()


def _dtype(like: Tensor, *, real: bool) -> torch.dtype:
    return like.dtype if real else torch.promote_types(like.dtype, torch.complex32)


def _unitary(factor: Fixed) -> bool:
    return bool(np.abs(factor.array @ factor.array.conj().T - np.eye(2)).max() < 1e-9)


def _traces(size: int) -> npt.NDArray[np.float64]:
    """(4**size, size * 4): the partial traces of a matrix on each wire, wires in the order of `folding`."""
    i = np.arange(2**size)
    out = np.zeros((2**size, 2**size, size, 2, 2))
    for row, wire in enumerate(folding(size)):
        shift = size - 1 - wire
        own, rest = (i >> shift) & 1, i & ~(1 << shift)
        a, b = np.nonzero(rest[:, None] == rest[None, :])
        out[a, b, row, own[a], own[b]] = 1
    return out.reshape(4**size, -1)


Tree = list[tuple[Tensor, Tensor]]


def folding(count: int) -> list[int]:
    """The order in which `fold` wants its factors: halves are neighbours after halving again and again."""
    whole = 1 << (count.bit_length() - 1)
    order = list(range(whole))
    bits = whole.bit_length() - 1
    order = [int(format(i, f"0{bits}b")[::-1], 2) if bits else 0 for i in order]
    return order + list(range(whole, count))


def fold(x: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tree]:
    """Join factors x[0], x[1], ... (in the order of `folding`) into one; and the factors of each join.

    Args:
        x: (count, ...).
        join: of (m, ...) and (m, ...), factor by factor.
    """
    count = x.shape[0]
    half = whole = 1 << (count.bit_length() - 1)
    rest, steps = x, Tree()
    if count > whole:  # a view less where the wires halve evenly
        x, rest = x[:whole], x[whole:]
    while half > 1:
        half //= 2
        a, b = x[:half], x[half:]
        steps.append((a, b))
        x = join(a, b)
    for j in range(count - whole):
        b = rest[j : j + 1]
        steps.append((x, b))
        x = join(x, b)
    return x, steps


def unfold(g: Tensor, steps: Tree, part: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """Cotangents of the factors, in the order of `folding`, from that of the whole.

    Args:
        g: (1, ...).
        steps: from `fold`.
        part: the cotangents of both factors of a join.
    """
    rest: list[Tensor] = []
    for a, b in reversed(steps):
        for_a, for_b = part(g, a, b)
        if a.shape[1:] != b.shape[1:]:
            rest.append(for_b)
            g = for_a
        else:
            g = torch.cat([for_a, for_b])
    return torch.cat([g, *reversed(rest)]) if rest else g


def _kron(a: Tensor, b: Tensor) -> Tensor:
    """Kronecker products of (m, N, p, p) and (m, N, q, q)."""
    m, count, p, q = *a.shape[:3], b.shape[2]
    return (a.view(m, count, p, 1, p, 1) * b.view(m, count, 1, q, 1, q)).view(m, count, p * q, p * q)


def _kron_pull(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Conjugated cotangents of both factors."""
    m, count, p, q = *a.shape[:3], b.shape[2]
    apart = g.view(m * count, p, q, p, q).transpose(2, 3).reshape(m * count, p * p, q * q)
    for_a = torch.bmm(apart, b.reshape(m * count, q * q, 1))
    for_b = torch.bmm(a.reshape(m * count, 1, p * p), apart)
    return for_a.view(a.shape), for_b.view(b.shape)
