"""One class per kind of step of a pure circuit: apply it, its adjoint, its gradient (imports torch, step, phases)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qimg_simulator.phases import Phase, Terms
from qimg_simulator.step import Grads, Step, Values, Way

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Dense", "Gather", "Grads", "Linear", "Phase", "Step", "Terms", "Turn", "Values", "Way"]

TALLY = 2**16
"""Entries of the products that are summed at a time into the gradient of a matrix."""
SLIM = 2**11
"""From so many basis states on, permutations are kept as 32 bit integers."""


class Dense(Step):
    """A matrix on neighbouring wires, the same for every row of a group.

    Args:
        left: how many combinations the wires before have.
        dim: how many those of the block have.
        size: wires of the block.
        index: which matrix of that size.
        constant: the matrix (1, d, d), or None: then it is ``values.blocks[size][index]``.
    """

    def __init__(self, left: int, dim: int, size: int, index: int, constant: Tensor | None) -> None:
        self.left, self.dim, self.size, self.index, self.constant = left, dim, size, index, constant

    def _matrix(self, values: Values) -> Tensor:
        return values.blocks[self.size][self.index] if self.constant is None else self.constant

    def _times(self, k: Tensor, psi: Tensor) -> Tensor:
        groups = psi.shape[0]
        if self.dim == psi.shape[1] and k.shape[0] == groups:
            return torch.bmm(k, psi)
        if k.shape[0] == 1:
            if groups == 1:
                if self.left == 1:
                    return (k[0] @ psi.view(self.dim, -1)).view_as(psi)
                if self.left * self.dim == psi.numel():
                    return (psi.view(self.left, self.dim) @ k[0].t()).view_as(psi)
            return torch.matmul(k[0], psi.view(groups * self.left, self.dim, -1)).view_as(psi)
        if self.left == 1:
            return torch.bmm(k, psi.view(groups, self.dim, -1)).view_as(psi)
        return torch.matmul(k[:, None], psi.view(groups, self.left, self.dim, -1)).view_as(psi)

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        return self._times(self._matrix(values), psi)

    def transposed(self, conjugate: Tensor, values: Values) -> Tensor:
        return self._times(self._matrix(values).mT, conjugate)

    def pull(self, before: Tensor, after: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        if self.constant is not None:
            return
        groups = conjugate.shape[0]
        if self.dim == conjugate.shape[1]:
            found = torch.bmm(conjugate, before.mT)
        elif self.left == 1:
            found = torch.bmm(conjugate.view(groups, self.dim, -1), before.view(groups, self.dim, -1).mT)
        else:
            shape = (groups * self.left, self.dim, -1)
            lam, x = conjugate.view(shape), before.view(shape)
            if lam.shape[2] == 1:
                lam, x = lam.view(groups, self.left, self.dim), x.view(groups, self.left, self.dim)
                found = torch.bmm(lam.mT, x)
            else:
                found = torch.bmm(lam, x.mT).view(groups, self.left, self.dim, self.dim).sum(1)
        self._add(found, values, grads)

    def _add(self, gradient: Tensor, values: Values, grads: Grads) -> None:
        if values.blocks[self.size].shape[1] == 1 and gradient.shape[0] > 1:
            gradient = gradient.sum(0, keepdim=True)
        grads.add_block(self.size, self.index, gradient)

    @property
    def varies(self) -> bool:
        return self.constant is None

    @property
    def mask(self) -> int:
        """A bit for each wire: 2**wire."""
        return (self.dim - 1) * self.left

    def write(self, psi: Tensor, out: Tensor, values: Values, way: Way = "forward") -> None:
        k = self._matrix(values)
        if way != "forward":
            k = k.mT if way == "transpose" else k.mH.resolve_conj()  # torch has no batched product with a conjugate
        left, dim = self.left, self.dim
        if len(k) == 1 and left > 1 and psi.shape[1] * psi.shape[2] > left * dim:
            shape = (len(psi) * left, dim, -1)
            torch.bmm(k.expand(len(psi) * left, -1, -1), psi.view(shape), out=out.view(shape))
            return
        for g in range(len(psi)):
            m = k[g if len(k) > 1 else 0]
            if left == 1:
                torch.mm(m, psi[g].view(dim, -1), out=out[g].view(dim, -1))
            elif psi[g].numel() == left * dim:
                torch.mm(psi[g].view(left, dim), m.t(), out=out[g].view(left, dim))
            else:
                shape = (left, dim, -1)
                torch.bmm(m.expand(left, -1, -1), psi[g].view(shape), out=out[g].view(shape))

    def reduce(self, before: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        shape = (self.left, self.dim, -1)
        found = [_traced(psi.view(shape), lam.view(shape)) for psi, lam in zip(before, conjugate, strict=True)]
        r = torch.stack(found) if len(found) > 1 else found[0][None]
        self._add((self._matrix(values) @ r.mH).conj(), values, grads)


def _traced(x: Tensor, y: Tensor) -> Tensor:
    """(d, d): sum_{l, r} x[l, a, r] y[l, b, r]."""
    left, dim, right = x.shape
    if left == 1:
        return x[0] @ y[0].t()
    if right == 1:
        return x[:, :, 0].t() @ y[:, :, 0]
    count = min(left, max(1, TALLY // dim**2))
    if count == left:
        return torch.bmm(x, y.mT).sum(0)
    products = x.new_empty(count, dim, dim)
    out = x.new_zeros(dim, dim)
    for at in range(0, left, count):  # powers of two all of them
        out += torch.bmm(x[at : at + count], y[at : at + count].mT, out=products).sum(0)
    return out


class Gather(Step):
    """new[i] = old[index[i]]."""

    def __init__(self, index: Tensor) -> None:
        inverse = torch.empty_like(index)
        inverse[index] = torch.arange(len(index), device=index.device)
        slim = len(index) >= SLIM
        self._tables = (index.int(), inverse.int()) if slim else (index, inverse)

    def _table(self, *, inverse: bool) -> Tensor:
        return self._tables[inverse]

    @property
    def index(self) -> Tensor:
        """As 64 bit integers."""
        return self._table(inverse=False).long()

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        return psi.index_select(1, self._table(inverse=False))

    def transposed(self, conjugate: Tensor, values: Values) -> Tensor:
        return conjugate.index_select(1, self._table(inverse=True))

    def write(self, psi: Tensor, out: Tensor, values: Values, way: Way = "forward") -> None:
        index = self._table(inverse=way != "forward")
        for old, new in zip(psi, out, strict=True):
            if old.shape[1] == 1:  # four times as fast without the second axis
                torch.index_select(old[:, 0], 0, index, out=new[:, 0])
            else:
                torch.index_select(old, 0, index, out=new)


class Linear(Gather):
    """A `Gather` whose index is linear in the bits of i, as that of any CX and SWAP is; its table is never kept.

    Args:
        columns: index[2**k], by k.
        inverse: of the inverse.
        device: where to.
    """

    def __init__(self, columns: Sequence[int], inverse: Sequence[int], device: torch.device) -> None:
        self._halves = tuple(
            tuple(_spanned(part, device) for part in (found[len(found) // 2 :], found[: len(found) // 2]))
            for found in (columns, inverse)
        )

    def _table(self, *, inverse: bool) -> Tensor:
        high, low = self._halves[inverse]
        return (high[:, None] ^ low).view(-1)


def _spanned(columns: Sequence[int], device: torch.device) -> Tensor:
    """(2**len(columns),): the exclusive or of the columns that the bits of i choose."""
    out = torch.zeros(1, dtype=torch.int32, device=device)
    for column in columns:
        out = torch.cat([out, out ^ column])
    return out


class Turn(Step):
    """RY by an angle of its own in each row, of a real state.

    Args:
        left: how many combinations the wires before have.
        at: which of the by-row angles; it holds half angles.
    """

    def __init__(self, left: int, at: int) -> None:
        self.left, self.at = left, at

    def _turned(self, psi: Tensor, half: Tensor, out: Tensor | None = None) -> Tensor:
        groups = psi.shape[0]
        view = psi.view(groups, self.left, 2, -1, psi.shape[2])
        c, s = half.cos()[:, None, None], half.sin()[:, None, None]
        x, y = view[:, :, 0], view[:, :, 1]
        to = torch.empty_like(view) if out is None else out.view_as(view)
        torch.sub(c * x, s * y, out=to[:, :, 0])
        torch.add(s * x, c * y, out=to[:, :, 1])
        return to.view_as(psi)

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        return self._turned(psi, values.rows[self.at])

    def transposed(self, conjugate: Tensor, values: Values) -> Tensor:
        return self._turned(conjugate, -values.rows[self.at])

    def pull(self, before: Tensor, after: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        shape = (after.shape[0], self.left, 2, -1, after.shape[2])
        a, g = after.view(shape), conjugate.view(shape)
        grads.rows[self.at].add_((g[:, :, 1] * a[:, :, 0] - g[:, :, 0] * a[:, :, 1]).sum((1, 2)))

    def write(self, psi: Tensor, out: Tensor, values: Values, way: Way = "forward") -> None:
        half = values.rows[self.at]
        self._turned(psi, half if way == "forward" else -half, out)

    def reduce(self, before: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        self.pull(before, before, conjugate, values, grads)  # the turn itself drops out of its derivative

    @property
    def varies(self) -> bool:
        return True

    @property
    def by_row(self) -> bool:
        return True
