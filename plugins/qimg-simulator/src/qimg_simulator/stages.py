"""One class per kind of stage: apply it, its adjoint, its gradient (imports torch).

A state is (2**n, B): the batch is the last axis, wire 0 is the most significant bit of the first.
Gradients follow torch: for a real loss, the cotangent of a complex z is dL/dRe z + i dL/dIm z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor


class Step(ABC):
    """A linear map of the state; `evolve` strings them together."""

    @abstractmethod
    def apply(self, psi: Tensor, values: Values) -> Tensor:
        """The new state."""

    @abstractmethod
    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        """The adjoint map: the state before, if the step is unitary; and how cotangents travel."""

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Values) -> None:
        """Add the gradient of the step's own numbers to ``grads``."""


class Values:
    """The numbers of a run: matrix blocks by size, shared angles (m,), by-row angles (m, B)."""

    def __init__(self, blocks: dict[int, Tensor], shared: Tensor, rows: Tensor) -> None:
        self.blocks, self.shared, self.rows = blocks, shared, rows
        self.phases: dict[int, Tensor] = {}  # kept from the forward pass, by Phase.number

    def zeros(self) -> Values:
        """Room for the gradient of each."""
        blocks = {size: torch.zeros_like(k) for size, k in self.blocks.items()}
        return Values(blocks, torch.zeros_like(self.shared), torch.zeros_like(self.rows))


class Dense(Step):
    """A matrix on neighbouring wires, the same for every row.

    Args:
        left: how many combinations the wires before have.
        dim: how many those of the block have.
        size: wires of the block.
        constant: the matrix, or None: then it is ``values.blocks[size][index]``.
    """

    def __init__(self, left: int, dim: int, size: int, index: int, constant: Tensor | None) -> None:
        self.left, self.dim, self.size, self.index, self.constant = left, dim, size, index, constant

    def _matrix(self, values: Values) -> Tensor:
        return values.blocks[self.size][self.index] if self.constant is None else self.constant

    def _times(self, k: Tensor, psi: Tensor) -> Tensor:
        if self.left == 1:
            return (k @ psi.view(self.dim, -1)).view_as(psi)
        if self.left * self.dim == psi.numel():
            return (psi.view(self.left, self.dim) @ k.t()).view_as(psi)
        return torch.matmul(k, psi.view(self.left, self.dim, -1)).view_as(psi)

    def apply(self, psi: Tensor, values: Values) -> Tensor:
        return self._times(self._matrix(values), psi)

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return self._times(self._matrix(values).mH.resolve_conj(), psi)

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Values) -> None:
        if self.constant is not None:
            return
        lam, x = cotangent.view(self.left, self.dim, -1), before.view(self.left, self.dim, -1)
        if self.left == 1:
            gradient = lam[0] @ x[0].mH
        elif x.shape[2] == 1:
            gradient = lam[..., 0].t() @ x[..., 0].conj()
        else:
            gradient = torch.bmm(lam, x.mH).sum(0)
        grads.blocks[self.size][self.index] += gradient


class Gather(Step):
    """new[i] = old[index[i]]."""

    def __init__(self, index: Tensor) -> None:
        self.index = index
        self.inverse = torch.empty_like(index)
        self.inverse[index] = torch.arange(len(index), device=index.device)

    def apply(self, psi: Tensor, values: Values) -> Tensor:
        return psi.index_select(0, self.index)

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return psi.index_select(0, self.inverse)


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
        constant: exponent of the constant part (2**h, 2**l), or None.
    """

    def __init__(
        self,
        number: int,
        split: tuple[int, int],
        parts: dict[str, Terms],
        constant: Tensor | None,
    ) -> None:
        self.number, self.split, self.parts, self.constant = number, split, parts, constant

    def _factors(self, values: Values) -> list[Tensor]:
        out = []
        fixed = self.constant
        if "shared" in self.parts:
            t = self.parts["shared"]
            exponent = (t.high * values.shared[t.slice]) @ t.low.t()
            fixed = exponent if fixed is None else fixed + exponent
        if fixed is not None:
            out.append(_turn(fixed[:, :, None]))
        if "high" in self.parts:
            t = self.parts["high"]
            out.append(_turn(t.high @ values.rows[t.slice])[:, None])
        if "low" in self.parts:
            t = self.parts["low"]
            out.append(_turn(t.low @ values.rows[t.slice])[None])
        if "across" in self.parts:
            t = self.parts["across"]
            out.append(_turn(torch.matmul(t.low, t.high[:, :, None] * values.rows[t.slice][None])))
        return out

    def _phase(self, values: Values, *, keep: bool) -> Tensor:
        found = values.phases.get(self.number)
        if found is None:
            factors = self._factors(values)
            found = factors[0]
            for factor in factors[1:]:
                found = found * factor
            if keep:
                values.phases[self.number] = found
        return found

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        return (psi.view(*self.split, -1) * self._phase(values, keep=keep)).view_as(psi)

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return (psi.view(*self.split, -1) * self._phase(values, keep=False).conj()).view_as(psi)

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Values) -> None:
        if not self.parts:
            return
        # d exp(i phi) psi = i dphi after, so dL/dphi = Im(conj(after) cotangent)
        d = (after.conj() * cotangent).imag.reshape(*self.split, -1)
        if "shared" in self.parts:
            t = self.parts["shared"]
            grads.shared[t.slice] += (t.high * (d.sum(2) @ t.low)).sum(0)
        if "high" in self.parts:
            t = self.parts["high"]
            grads.rows[t.slice] += t.high.t() @ d.sum(1)
        if "low" in self.parts:
            t = self.parts["low"]
            grads.rows[t.slice] += t.low.t() @ d.sum(0)
        if "across" in self.parts:
            t = self.parts["across"]
            grads.rows[t.slice] += (torch.matmul(t.low.t(), d) * t.high[:, :, None]).sum(0)


def _turn(exponent: Tensor) -> Tensor:
    return torch.complex(exponent.cos(), exponent.sin())
