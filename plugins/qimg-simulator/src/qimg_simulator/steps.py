"""One class per kind of step of a pure circuit: apply it, its adjoint, its gradient (imports torch).

A state is (G, 2**n, B): G groups of rows with weights of their own, wire 0 the most significant bit, the
batch last. Real or complex. Gradients follow torch: for a real loss, the cotangent of a complex z is
dL/dRe z + i dL/dIm z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping


class Values:
    """The numbers of a run.

    Args:
        blocks: by wires, (blocks, G, d, d).
        shared: angles that rows share, (m, G).
        rows: angles by row, (m, G, B).
    """

    def __init__(self, blocks: Mapping[int, Tensor], shared: Tensor, rows: Tensor) -> None:
        self.blocks, self.shared, self.rows = blocks, shared, rows
        self.phases: dict[int, Tensor] = {}  # kept from the forward pass, by Phase.number


class Grads:
    """Room for the gradient of each of `Values`."""

    def __init__(self, values: Values) -> None:
        self.blocks: dict[int, dict[int, Tensor]] = {size: {} for size in values.blocks}
        self.shared = torch.zeros_like(values.shared)
        self.rows = torch.zeros_like(values.rows)

    def add_block(self, size: int, index: int, gradient: Tensor) -> None:
        """To the matrix (G, d, d) of a block."""
        found = self.blocks[size].get(index)
        self.blocks[size][index] = gradient if found is None else found + gradient

    def stacked(self, values: Values) -> dict[int, Tensor]:
        """By wires, (blocks, G, d, d)."""
        out = {}
        for size, found in self.blocks.items():
            like = values.blocks[size]
            if found:
                out[size] = torch.stack(
                    [found[i] if i in found else torch.zeros_like(like[i]) for i in range(len(like))]
                )
        return out


class Step(ABC):
    """A unitary map of the state."""

    @abstractmethod
    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        """The new state; ``keep`` says that a gradient will be asked for."""

    @abstractmethod
    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        """The adjoint map: the state before, and how cotangents travel."""

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Grads) -> None:
        """Add the gradient of the step's own numbers to ``grads``."""

    @property
    def by_row(self) -> bool:
        """Whether it differs from row to row."""
        return False


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
        if self.dim == psi.shape[1] and len(k) == groups:
            return torch.bmm(k, psi)
        if len(k) == 1:
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

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return self._times(self._matrix(values).mH, psi)

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Grads) -> None:
        if self.constant is not None:
            return
        groups = cotangent.shape[0]
        if self.dim == cotangent.shape[1]:
            gradient = torch.bmm(cotangent, before.mH)
        elif self.left == 1:
            lam, x = cotangent.view(groups, self.dim, -1), before.view(groups, self.dim, -1)
            gradient = torch.bmm(lam, x.mH)
        else:
            shape = (groups * self.left, self.dim, -1)
            lam, x = cotangent.view(shape), before.view(shape)
            if lam.shape[2] == 1:
                lam, x = lam.view(groups, self.left, self.dim), x.view(groups, self.left, self.dim)
                gradient = torch.bmm(lam.mT, x.conj())
            else:
                gradient = torch.bmm(lam, x.mH).view(groups, self.left, self.dim, self.dim).sum(1)
        if values.blocks[self.size].shape[1] == 1 and groups > 1:
            gradient = gradient.sum(0, keepdim=True)
        grads.add_block(self.size, self.index, gradient)


class Gather(Step):
    """new[i] = old[index[i]]."""

    def __init__(self, index: Tensor) -> None:
        self.index = index
        self.inverse = torch.empty_like(index)
        self.inverse[index] = torch.arange(len(index), device=index.device)

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        return psi.index_select(1, self.index)

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return psi.index_select(1, self.inverse)


class Turn(Step):
    """RY by an angle of its own in each row, of a real state.

    Args:
        left: how many combinations the wires before have.
        at: which of the by-row angles; it holds half angles.
    """

    def __init__(self, left: int, at: int) -> None:
        self.left, self.at = left, at

    def _turned(self, psi: Tensor, half: Tensor) -> Tensor:
        groups = psi.shape[0]
        view = psi.view(groups, self.left, 2, -1, psi.shape[2])
        c, s = half.cos()[:, None, None], half.sin()[:, None, None]
        x, y = view[:, :, 0], view[:, :, 1]
        out = torch.empty_like(view)
        torch.sub(c * x, s * y, out=out[:, :, 0])
        torch.add(s * x, c * y, out=out[:, :, 1])
        return out.view_as(psi)

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        return self._turned(psi, values.rows[self.at])

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return self._turned(psi, -values.rows[self.at])

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Grads) -> None:
        shape = (after.shape[0], self.left, 2, -1, after.shape[2])
        a, g = after.view(shape), cotangent.view(shape)
        grads.rows[self.at] += (g[:, :, 1] * a[:, :, 0] - g[:, :, 0] * a[:, :, 1]).sum((1, 2))

    @property
    def by_row(self) -> bool:
        return True


class Terms:
    """Diagonals whose angles are a slice of a table: exponent = sum_m high[:, m] low[:, m] angle[m].

    Args:
        high: (2**h, m) over the leading wires, with the coefficient.
        low: (2**l, m) over the other wires.
        at: where the slice begins.
    """

    def __init__(self, high: Tensor, low: Tensor, at: int) -> None:
        self.high, self.low = high, low
        self.slice = slice(at, at + high.shape[1])


class Phase(Step):
    """A product of diagonals.

    Its parts: diagonals by row on the leading wires alone ("high"), on the others alone ("low"), on
    both ("across"), those that rows share ("shared"), and a constant.

    Args:
        number: tells the phases of a circuit apart.
        split: (2**h, 2**l).
        parts: see above.
        constant: the constant part, (1, 2**h, 2**l, 1): real where it is only signs; or None.
    """

    def __init__(
        self, number: int, split: tuple[int, int], parts: Mapping[str, Terms], constant: Tensor | None
    ) -> None:
        self.number, self.split, self.parts, self.constant = number, split, parts, constant
        # a constant alone needs no shape but the state's
        self._flat = None if parts or constant is None else constant.reshape(1, -1, 1)
        self._flat_conj = None if self._flat is None else self._flat.conj().resolve_conj()

    def _part(self, name: str, values: Values) -> Tensor:
        t = self.parts[name]
        if name == "shared":
            exponent = (t.high[:, None] * t.low[None]) @ values.shared[t.slice]  # (h, l, G)
            return _turn(exponent).permute(2, 0, 1)[..., None]
        rows = values.rows[t.slice]
        m, groups, width = rows.shape
        if name == "across":
            exponent = t.low @ (t.high[:, :, None] * rows.view(m, -1)[None])  # (h, l, G * B)
            return _turn(exponent).view(*self.split, groups, width).permute(2, 0, 1, 3)
        table = t.high if name == "high" else t.low
        turn = _turn(table @ rows.view(m, -1)).view(-1, groups, width).transpose(0, 1)
        return turn[:, :, None] if name == "high" else turn[:, None]

    def _phase(self, values: Values, *, keep: bool) -> Tensor:
        found = values.phases.get(self.number)
        if found is None:
            factors = [self._part(name, values) for name in self.parts]
            if self.constant is not None:
                factors.append(self.constant)
            found = factors[0]
            for factor in factors[1:]:
                found = found * factor
            if keep:
                values.phases[self.number] = found
        return found

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        if self._flat is not None:
            return psi * self._flat
        return (psi.view(len(psi), *self.split, -1) * self._phase(values, keep=keep)).view(psi.shape)

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        if self._flat_conj is not None:
            return psi * self._flat_conj
        return (psi.view(len(psi), *self.split, -1) * self._phase(values, keep=False).conj()).view(psi.shape)

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Grads) -> None:
        if not self.parts:
            return
        # d exp(i phi) psi = i dphi after, so dL/dphi = Im(conj(after) cotangent)
        d = (after.conj() * cotangent).imag.reshape(len(after), *self.split, -1)
        for name, t in self.parts.items():
            if name == "shared":
                sums = d.sum(3).permute(1, 2, 0)  # (h, l, G)
                sums = sums.sum(2, keepdim=True) if values.shared.shape[1] == 1 else sums
                grads.shared[t.slice] += torch.einsum("hm,lm,hlg->mg", t.high, t.low, sums)
            elif name == "high":
                grads.rows[t.slice] += _rows(t.high, d.sum(2))
            elif name == "low":
                grads.rows[t.slice] += _rows(t.low, d.sum(1))
            else:
                inner = torch.matmul(t.low.t(), d)  # (G, h, m, B)
                grads.rows[t.slice] += (inner * t.high[:, :, None]).sum(1).transpose(0, 1)

    @property
    def by_row(self) -> bool:
        return any(name != "shared" for name in self.parts)


def _rows(table: Tensor, d: Tensor) -> Tensor:
    """(k, m), (G, k, B) -> (m, G, B)."""
    return torch.matmul(table.t(), d).transpose(0, 1)


def _turn(exponent: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(exponent), exponent)
