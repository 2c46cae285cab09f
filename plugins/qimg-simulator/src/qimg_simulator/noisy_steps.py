"""The steps that only Pauli vectors need (imports torch and `stages`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qimg_simulator.stages import Gather, Step, Values

if TYPE_CHECKING:
    from collections.abc import Sequence


class Scatter(Gather):
    """new[i] = scale[i] * old[index[i]]: Clifford gates and Pauli noise together."""

    def __init__(self, index: Tensor, scale: Tensor) -> None:
        super().__init__(index)
        self.scale = scale

    def apply(self, psi: Tensor, values: Values) -> Tensor:
        return super().apply(psi, values) * self.scale

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return super().adjoint(psi * self.scale, values)


class Turn(Step):
    """A rotation by an angle of its own in each row: digit p of a wire towards digit q.

    Args:
        digits: (p, q).
        left: combinations of the wires before.
        at: which of the by-row angles.
    """

    def __init__(self, digits: tuple[int, int], left: int, at: int) -> None:
        self.p, self.q = digits
        self.left, self.at = left, at

    def _turned(self, psi: Tensor, angle: Tensor) -> Tensor:
        c, s = angle.cos(), angle.sin()
        out = psi.view(self.left, 4, -1, psi.shape[1]).clone()
        before = psi.view_as(out)
        x, y = before[:, self.p], before[:, self.q]
        out[:, self.p] = c * x - s * y
        out[:, self.q] = s * x + c * y
        return out.view_as(psi)

    def apply(self, psi: Tensor, values: Values) -> Tensor:
        return self._turned(psi, values.rows[self.at])

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return self._turned(psi, -values.rows[self.at])

    def pull(self, before: Tensor, after: Tensor, cotangent: Tensor, values: Values, grads: Values) -> None:
        shape = (self.left, 4, -1, after.shape[1])
        a, g = after.view(shape), cotangent.view(shape)
        grads.rows[self.at] += (g[:, self.q] * a[:, self.p] - g[:, self.p] * a[:, self.q]).sum((0, 1))


class Anywhere(Step):
    """A constant matrix on any wires, in the order given."""

    def __init__(self, matrix: Tensor, wires: Sequence[int], n: int) -> None:
        self.matrix, self.n = matrix, n
        self.order = [*wires, *(w for w in range(n) if w not in wires), n]
        self.back = [self.order.index(w) for w in range(n + 1)]

    def _times(self, m: Tensor, psi: Tensor) -> Tensor:
        shape = (*(4,) * self.n, psi.shape[1])
        first = psi.view(shape).permute(self.order).reshape(len(m), -1)
        return (m @ first).view(shape).permute(self.back).reshape(psi.shape)

    def apply(self, psi: Tensor, values: Values) -> Tensor:
        return self._times(self.matrix, psi)

    def adjoint(self, psi: Tensor, values: Values) -> Tensor:
        return self._times(self.matrix.t(), psi)


def at_digits(vector: Tensor, wires: Sequence[int]) -> Tensor:
    """The Pauli vectors (B, 4**k) of ``wires`` inside those of all wires (4**n, B)."""
    n = (vector.shape[0].bit_length() - 1) // 2
    index = torch.zeros(1, dtype=torch.long, device=vector.device)
    digits = torch.arange(4, device=vector.device)
    for wire in wires:
        index = (index[:, None] + (digits << (2 * (n - 1 - wire)))[None]).flatten()
    return vector.index_select(0, index).t()
