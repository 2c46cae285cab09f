"""The linear maps on Pauli vectors that a noisy circuit is made of (imports torch).

A state is (C, 4**n): one column of numbers for each row of the batch, or term of the read-out, first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from attrs import Factory, define
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence


@define(eq=False)
class Numbers:
    """What the steps of one run look up, and where their gradients go.

    Args:
        blocks: matrices of `Block`, by number.
        angles: of `Turn`, (turns, B).
        of_blocks: gradients, None where not yet found; empty if nobody wants them.
        of_angles: gradients; None if nobody wants them.
    """

    blocks: Sequence[Tensor]
    angles: Tensor
    of_blocks: list[Tensor | None] = Factory(list)
    of_angles: Tensor | None = None

    def wanted(self, *, blocks: bool, angles: bool) -> None:
        """Make room for gradients."""
        self.of_blocks = [None] * len(self.blocks) if blocks else []
        self.of_angles = torch.zeros_like(self.angles) if angles else None


class Step(ABC):
    """A linear map of the state.

    ``by_row``: it differs from row to row. ``learns``: `learn` needs the state before.
    """

    by_row = False
    learns = False

    @abstractmethod
    def push(self, x: Tensor, numbers: Numbers) -> Tensor:
        """The state after."""

    @abstractmethod
    def pull(self, x: Tensor, numbers: Numbers) -> Tensor:
        """The transposed map: how observables and cotangents travel."""

    def learn(self, x: Tensor, g: Tensor, pulled: Tensor, numbers: Numbers) -> None:
        """Note the gradient of the step's own numbers in the form <g, push(x)>; ``pulled`` is pull(g)."""


class Block(Step):
    """A matrix on neighbouring wires, the same for every row.

    Args:
        dim: side of the matrix.
        right: how many combinations the wires after it have.
        number: which of the blocks; no other step has it.
        varies: it has a gradient.
    """

    def __init__(self, dim: int, right: int, number: int, *, varies: bool) -> None:
        self.dim, self.right, self.number, self.learns = dim, right, number, varies

    def _times(self, k: Tensor, x: Tensor) -> Tensor:
        if self.right == 1:
            return (x.view(-1, self.dim) @ k.t()).view(x.shape)
        return torch.matmul(k, x.view(-1, self.dim, self.right)).view(x.shape)

    def push(self, x: Tensor, numbers: Numbers) -> Tensor:
        return self._times(numbers.blocks[self.number], x)

    def pull(self, x: Tensor, numbers: Numbers) -> Tensor:
        return self._times(numbers.blocks[self.number].t(), x)

    def learn(self, x: Tensor, g: Tensor, pulled: Tensor, numbers: Numbers) -> None:
        if not (self.learns and numbers.of_blocks):
            return
        if self.right == 1:
            found = g.view(-1, self.dim).t() @ x.view(-1, self.dim)
        else:
            shape = (-1, self.dim, self.right)
            found = torch.bmm(g.view(shape), x.view(shape).transpose(1, 2)).sum(0)
        numbers.of_blocks[self.number] = found


class Scatter(Step):
    """new[i] = scale[i] * old[index[i]]: Clifford gates and Pauli noise together."""

    def __init__(self, index: Tensor, scale: Tensor) -> None:
        self.index, self.scale = index, scale
        self.inverse = torch.empty_like(index)
        self.inverse[index] = torch.arange(len(index), device=index.device)
        self.inverse_scale = scale.index_select(0, self.inverse)

    def push(self, x: Tensor, numbers: Numbers) -> Tensor:
        return x.index_select(1, self.index).mul_(self.scale)

    def pull(self, x: Tensor, numbers: Numbers) -> Tensor:
        return x.index_select(1, self.inverse).mul_(self.inverse_scale)


class Turn(Step):
    """A rotation by an angle of its own in each row: digit p of a wire towards digit q.

    Args:
        digits: (p, q).
        right: combinations of the wires after it.
        at: which of the angles.
    """

    by_row = True
    learns = True

    def __init__(self, digits: tuple[int, int], right: int, at: int) -> None:
        self.p, self.q = digits
        self.right, self.at = right, at

    def _turned(self, x: Tensor, angle: Tensor) -> Tensor:
        c, s = angle.cos()[:, None, None], angle.sin()[:, None, None]
        out = x.clone()
        to, old = (t.view(len(x), -1, 4, self.right) for t in (out, x))
        p, q = old[:, :, self.p], old[:, :, self.q]
        to[:, :, self.p].mul_(c).sub_(s * q)
        to[:, :, self.q].mul_(c).add_(s * p)
        return out

    def push(self, x: Tensor, numbers: Numbers) -> Tensor:
        return self._turned(x, numbers.angles[self.at])

    def pull(self, x: Tensor, numbers: Numbers) -> Tensor:
        return self._turned(x, -numbers.angles[self.at])

    def learn(self, x: Tensor, g: Tensor, pulled: Tensor, numbers: Numbers) -> None:
        # d/da <g, R x> = g_q (R x)_p - g_p (R x)_q, and turning both back by R changes no such product
        if numbers.of_angles is None:
            return
        a, b = (t.view(len(x), -1, 4, self.right) for t in (x, pulled))
        found = b[:, :, self.q] * a[:, :, self.p] - b[:, :, self.p] * a[:, :, self.q]
        numbers.of_angles[self.at] += found.sum((1, 2))


class Anywhere(Step):
    """A constant matrix on any wires, in the order given."""

    def __init__(self, matrix: Tensor, wires: Sequence[int], n: int) -> None:
        self.matrix, self.n = matrix, n
        self.order = [*(1 + w for w in wires), 0, *(1 + w for w in range(n) if w not in wires)]
        self.back = [self.order.index(axis) for axis in range(n + 1)]

    def _times(self, m: Tensor, x: Tensor) -> Tensor:
        moved = x.view(-1, *(4,) * self.n).permute(self.order)
        done = (m @ moved.reshape(len(m), -1)).view(moved.shape)
        return done.permute(self.back).reshape(x.shape)

    def push(self, x: Tensor, numbers: Numbers) -> Tensor:
        return self._times(self.matrix, x)

    def pull(self, x: Tensor, numbers: Numbers) -> Tensor:
        return self._times(self.matrix.t(), x)


def at_digits(vector: Tensor, wires: Sequence[int]) -> Tensor:
    """The Pauli vectors (B, 4**k) of ``wires`` inside those of all wires (4**n, B)."""
    n = (vector.shape[0].bit_length() - 1) // 2
    return vector.t().index_select(1, _entries(tuple(wires), n, vector.device))


@lru_cache(maxsize=256)
def _entries(wires: tuple[int, ...], n: int, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # it outlives the mode of the first caller
        index = torch.zeros(1, dtype=torch.long, device=device)
        digits = torch.arange(4, device=device)
        for wire in wires:
            index = (index[:, None] + (digits << (2 * (n - 1 - wire)))[None]).flatten()
        return index
