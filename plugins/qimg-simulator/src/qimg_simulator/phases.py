"""Diagonal steps of a pure circuit (imports torch, step)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from qimg_simulator.step import Step

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

    from qimg_simulator.step import Grads, Values, Way


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
            exponent = (t.high * values.shared[t.slice].t()[:, None]) @ t.low.t()  # (G, h, l)
            return _turn(exponent)[..., None]
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
            size = found.numel() * found.element_size()
            if keep or size <= values.room:
                values.phases[self.number] = found
                values.room -= 0 if keep else size
        return found

    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        if self._flat is not None:
            return psi * self._flat
        return (psi.view(psi.shape[0], *self.split, -1) * self._phase(values, keep=keep)).view(psi.shape)

    def transposed(self, conjugate: Tensor, values: Values) -> Tensor:
        return self.apply(conjugate, values)

    def write(self, psi: Tensor, out: Tensor, values: Values, way: Way = "forward") -> None:
        adjoint = way == "adjoint"
        if self._flat is not None and self._flat_conj is not None:
            torch.mul(psi, self._flat_conj if adjoint else self._flat, out=out)
            return
        phase = self._phase(values, keep=False)
        shape = (len(psi), *self.split, -1)
        torch.mul(psi.view(shape), phase.conj() if adjoint else phase, out=out.view(shape))

    def pull(self, before: Tensor, after: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        # d exp(i phi) psi = i dphi after, so dL/dphi = -Im(after conjugate)
        self.reduce(after, conjugate, values, grads)

    def reduce(self, before: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        # the phase drops out of after conjugate
        if self.parts:
            self._sum((before * conjugate).imag.neg_(), values, grads)

    def _sum(self, d: Tensor, values: Values, grads: Grads) -> None:
        d = d.reshape(len(d), *self.split, -1)
        for name, t in self.parts.items():
            if name == "shared":
                inner = d.sum(3) @ t.low  # (G, h, m)
                sums = (inner * t.high).sum(1).t()
                sums = sums.sum(1, keepdim=True) if values.shared.shape[1] == 1 else sums
                grads.shared[t.slice].add_(sums)
            elif name == "high":
                grads.rows[t.slice].add_(_rows(t.high, d.sum(2)))
            elif name == "low":
                grads.rows[t.slice].add_(_rows(t.low, d.sum(1)))
            else:
                inner = torch.matmul(t.low.t(), d)  # (G, h, m, B)
                grads.rows[t.slice].add_((inner * t.high[:, :, None]).sum(1).transpose(0, 1))

    @property
    def by_row(self) -> bool:
        return any(name != "shared" for name in self.parts)

    @property
    def varies(self) -> bool:
        return bool(self.parts)


def _rows(table: Tensor, d: Tensor) -> Tensor:
    """(k, m), (G, k, B) -> (m, G, B)."""
    return torch.matmul(table.t(), d).transpose(0, 1)


def _turn(exponent: Tensor) -> Tensor:
    return torch.polar(torch.ones_like(exponent), exponent)
