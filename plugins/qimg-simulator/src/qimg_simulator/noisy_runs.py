"""Runs of gates on one wire as 4x4 matrices, Kronecker blocks of them, and their gradients (imports torch).

A rotation is linear in 1, cos and sin of its angle, so all rotations of a circuit, with the constants
between them, come out of one batched product with a constant table; a run is their product. Gradients
are written by hand: these matrices are so small that the number of calls is what they cost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from qimg_simulator.affine import Affine
from qimg_simulator.channels import ROTATIONS
from qimg_simulator.primitives import Fixed, Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle

    Array = npt.NDArray[np.float64]

Run = tuple[Fixed | Rotation, ...]


@frozen(eq=False)
class RunValues:
    """What `RunBank.evaluate` found.

    Args:
        runs: all matrices, (runs, 4, 4).
        turns: cos and sin of the angles (links, 1, 2); None where nothing varies.
        links: the factors of the runs (links, 4, 4).
        partial: the product before each position of the chains.
    """

    runs: Tensor
    turns: Tensor | None = None
    links: Tensor | None = None
    partial: tuple[Tensor, ...] = ()


def link_tables(run: Run) -> tuple[list[tuple[Angle, Array]], Array]:
    """A run as links, each a rotation with the constants after it, first link with those before it.

    Returns:
        angles with tables (3, 4, 4) of the parts that go with 1, cos and sin; and the constant matrix of
        a run without rotations.
    """
    links: list[tuple[Angle, Array]] = []
    constant = np.eye(4)
    for factor in run:
        if isinstance(factor, Rotation):
            parts = ROTATIONS[factor.axis]
            links.append((factor.angle, parts @ constant if not links else parts))
        elif links:
            angle, table = links[-1]
            links[-1] = angle, factor.array.real @ table
        else:
            constant = factor.array.real @ constant
    return links, constant


class RunBank:
    """Every run of gates of a circuit whose angles the rows share, evaluated together.

    Add every run, then `freeze`, then `evaluate` as often as the weights change.
    """

    def __init__(self) -> None:
        self._numbers: dict[Run, int] = {}
        self.identity = self.run(())

    def run(self, run: Run) -> int:
        """The number of a run; equal runs have one number."""
        return self._numbers.setdefault(run, len(self._numbers))

    def freeze(self, shared: Mapping[int, int], like: Tensor) -> None:
        """Build the tables. ``like`` gives the real dtype and the device."""
        found = [link_tables(run) for run in self._numbers]
        varying = sorted((i for i, (links, _) in enumerate(found) if links), key=lambda i: -len(found[i][0]))
        constant = [i for i, (links, _) in enumerate(found) if not links]
        self.place = {number: row for row, number in enumerate([*varying, *constant])}
        self.varying = len(varying)
        # links lie position by position; chains are sorted by length, so a position is a slice of runs
        longest = max((len(found[i][0]) for i in varying), default=0)
        at = [[found[i][0][j] for i in varying if len(found[i][0]) > j] for j in range(longest)]
        self._counts = [len(links) for links in at]
        self._starts = [sum(self._counts[:j]) for j in range(longest)]
        flat = [link for links in at for link in links]
        self._angles = Affine([angle for angle, _ in flat], shared, like)

        def tensor(array: Array) -> Tensor:
            return torch.tensor(array, dtype=like.dtype, device=like.device)

        if flat:
            table = np.stack([t for _, t in flat]).reshape(len(flat), 3, 16)
            self._still, self._moving = tensor(table[:, :1]), tensor(table[:, 1:])
            self._moving_t = self._moving.transpose(1, 2).contiguous()
        self.constants = tensor(np.stack([found[i][1] for i in constant]))

    def is_constant(self, number: int) -> bool:
        """Whether a run has no rotation."""
        return self.place[number] >= self.varying

    def constants_of(self, numbers: Sequence[int]) -> Tensor:
        """The matrices (m, 4, 4) of runs without rotations."""
        return torch.stack([self.constants[self.place[number] - self.varying] for number in numbers])

    def evaluate(self, weights: Tensor) -> RunValues:
        """All runs at these shared weights (n_weights,); run ``number`` is ``runs[place[number]]``."""
        if not self.varying:
            return RunValues(self.constants)
        angle = self._angles.evaluate(weights[:, None])[:, 0]
        turns = torch.stack([angle.cos(), angle.sin()], -1)[:, None]
        links = torch.baddbmm(self._still, turns, self._moving).view(-1, 4, 4)
        product, partial = links[: self._counts[0]], []
        for start, count in zip(self._starts[1:], self._counts[1:], strict=True):
            partial.append(product)
            longer = torch.bmm(links[start : start + count], product[:count])
            product = longer if count == len(product) else torch.cat([longer, product[count:]])
        return RunValues(torch.cat([product, self.constants]), turns, links, tuple(partial))

    def pull(self, values: RunValues, cotangent: Tensor, weights: Tensor) -> Tensor:
        """The gradient of the weights from that of all runs (runs, 4, 4)."""
        if values.turns is None or values.links is None:
            return torch.zeros_like(weights)
        g, parts = cotangent[: self.varying], []
        for j in range(len(self._counts) - 1, 0, -1):
            start, count = self._starts[j], self._counts[j]
            parts.append(torch.bmm(g[:count], values.partial[j - 1][:count].transpose(1, 2)))
            shorter = torch.bmm(values.links[start : start + count].transpose(1, 2), g[:count])
            g = shorter if count == len(g) else torch.cat([shorter, g[count:]])
        links = torch.cat([g, *reversed(parts)]).view(-1, 1, 16)
        turned = torch.bmm(links, self._moving_t)
        out = torch.zeros_like(weights)
        self._angles.pull(slopes(values.turns, turned), out[:, None])
        return out


def slopes(turns: Tensor, cotangent: Tensor) -> Tensor:
    """The gradient of an angle from that of (cos, sin), both (..., 2) -> (...)."""
    cos, sin = turns.unbind(-1)
    of_cos, of_sin = cotangent.unbind(-1)
    return torch.addcmul(cos * of_sin, sin, of_cos, value=-1)


def kron(a: Tensor, b: Tensor) -> Tensor:
    """Kronecker products (m, p, p), (m, q, q) -> (m, pq, pq)."""
    m, side = len(a), a.shape[1] * b.shape[1]
    return (a[:, :, None, :, None] * b[:, None, :, None, :]).view(m, side, side)


class Kron:
    """Kronecker blocks of runs.

    Args:
        blocks: run numbers of each block, first wire first.
        bank: frozen.
    """

    def __init__(self, blocks: Sequence[tuple[int, ...]], bank: RunBank) -> None:
        self._fixed: list[Tensor | None] = []
        self.varies: list[bool] = []
        sizes: dict[int, list[int]] = {}
        for i, block in enumerate(blocks):
            constant = all(bank.is_constant(r) for r in block)
            self.varies.append(not constant)
            if constant:
                parts = bank.constants_of(block)
                out = parts[-1:]
                for k in range(len(block) - 2, -1, -1):
                    out = kron(parts[k : k + 1], out)
                self._fixed.append(out[0].contiguous())
            else:
                self._fixed.append(None)
                sizes.setdefault(len(block), []).append(i)
        device = bank.constants.device
        self._groups = []
        for size, members in sizes.items():
            picks = [[bank.place[blocks[i][k]] for i in members] for k in range(size)]
            self._groups.append((members, [torch.tensor(p, device=device) for p in picks]))

    def evaluate(self, runs: Tensor) -> tuple[list[Tensor], list[Any]]:
        """The matrices in order, and what `pull` needs."""
        out = list(self._fixed)
        kept = []
        for members, picks in self._groups:
            factors = [runs.index_select(0, pick) for pick in picks]
            products = factors[-1:]
            for factor in factors[-2::-1]:
                products.append(kron(factor, products[-1]))
            kept.append((factors, products))
            for i, matrix in zip(members, products[-1].unbind(0), strict=True):
                out[i] = matrix
        return [m for m in out if m is not None], kept

    def pull(self, kept: list[Any], cotangents: Sequence[Tensor | None], into: Tensor) -> None:
        """Add the gradient of the runs to ``into``; every varying block has a cotangent."""
        for (members, picks), (factors, products) in zip(self._groups, kept, strict=True):
            g = torch.stack([c for c in (cotangents[i] for i in members) if c is not None])
            for k in range(len(picks) - 1):
                a, b = factors[k], products[-2 - k]
                view = g.view(len(g), 4, b.shape[1], 4, b.shape[1])
                into.index_add_(0, picks[k], (view * b[:, None, :, None, :]).sum((2, 4)))
                g = (view * a[:, :, None, :, None]).sum((1, 3))
            into.index_add_(0, picks[-1], g)
