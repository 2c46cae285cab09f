"""The block unitary: a small circuit on many rows as one matrix times the rows' features (imports torch).

Where rows differ in one rotation on each wire at most, before the wires meet, the state of a row is V f:
V (2**n, 2**n) is the same for all rows of a group, and f is the real product over wires of
(cos(a/2), sin(a/2)). V costs 2**n rows' worth of work once. Up to `WIRES` wires that is less than starting the
operations that it saves, whatever the number of rows; only with many weight vectors must rows outnumber it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qimg_core.circuit.gates import GateName, matrix
from qimg_simulator.affine import Affine
from qimg_simulator.bank import fold, folding, varies
from qimg_simulator.primitives import Fixed
from qimg_simulator.product import alone

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_simulator.bank import Run
    from qimg_simulator.plan import Plan
    from qimg_simulator.product import Alone
    from qimg_simulator.steps import Grads, Step, Values

WIRES = 6
LEAST, SHARE = 0.0, 1.5
"""V pays for more rows than so many for each basis state: with few weight vectors, and with many (`pure.FEW`)."""


def features(plan: Plan) -> list[Alone] | None:
    """The wires' own gates; None where there are registers, or a wire has more than one rotation by row, or
    shared angles before it.
    """
    if plan.prepared or plan.circuit.n_wires > WIRES:
        return None
    found = [alone(plan, w) for w in range(plan.circuit.n_wires)]
    if any(phases for _, phases in found) or any(len(a.turns) > 1 or None in a.turns for a, _ in found):
        return None
    if any(a.turns and varies(a.runs[0]) for a, _ in found):
        return None
    return [a for a, _ in found] if any(a.turns for a, _ in found) else None


def first_run(own: Alone) -> Run:
    """[R|0>, A R|0>] and then the shared gates after the rotation, as one run; R are fixed gates before it.

    A wire without a rotation by row has angle 0, so its second column does not matter.
    """
    before = np.array([1.0, 0.0], dtype=complex)
    for factor in own.runs[0] if own.turns else ():
        assert isinstance(factor, Fixed)
        before = factor.array @ before
    turn = own.turns[0] if own.turns else None
    sine = -1j * matrix(GateName(turn.axis)) if turn is not None else np.eye(2)
    return (Fixed.from_array(np.stack([before, sine @ before], 1)), *own.runs[-1])


class Block:
    """The regime for one circuit.

    Args:
        owns: from `features`.
        start: numbers, in the bank, of the Kronecker blocks of the wires' first runs: (size, index).
        steps: the rest of the circuit; none of them differs by row.
        rows: where by-row parameters lie.
        like: a tensor of the real dtype on the device.
        real: V is real.
    """

    def __init__(
        self,
        owns: Sequence[Alone],
        start: Sequence[tuple[int, int]],
        rows: Mapping[int, int],
        like: Tensor,
        *,
        real: bool,
    ) -> None:
        self.n, self.real, self.start = len(owns), real, tuple(start)
        n = self.n
        turns = [owns[w].turns[0] if owns[w].turns else None for w in folding(n)]
        self.angles = Affine([None if t is None else t.angle for t in turns], rows, like, factor=0.5)
        self._ones = torch.ones((n, 1), dtype=like.dtype, device=like.device)
        i = np.arange(2**n)
        self._moved = torch.tensor(np.concatenate([i ^ (1 << (n - 1 - w)) for w in folding(n)]), device=like.device)
        slopes = np.zeros((n, n, 2**n))
        for row, wire in enumerate(folding(n)):
            slopes[row, row] = 2 * ((i >> (n - 1 - wire)) & 1) - 1
        self._slopes = torch.tensor(slopes.reshape(n, -1), dtype=like.dtype, device=like.device)

    # -- the features of the rows

    def features(self, rows: Tensor) -> tuple[Tensor, Any]:
        """(width, 2**n) real, wire 0 most significant, of the rows' parameters (parameters, width)."""
        half = self.angles.evaluate(rows)
        turn = torch.polar(self._ones.expand_as(half), half)
        found = fold(torch.view_as_real(turn), _pairs)[0][0]
        return found, found

    def features_pull(self, features: Tensor, g: Tensor, for_rows: Tensor) -> None:
        """Add to the gradient of the rows' parameters (parameters, width).

        By the half angle of a wire cos turns into -sin and sin into cos, so the derivative of the product is the
        product itself with that wire's bit flipped and a sign.
        """
        width = features.shape[0]
        moved = features.index_select(1, self._moved).view(width, self.n, -1)
        self.angles.pull((self._slopes @ (moved * g[:, None]).view(width, -1).t()), for_rows)

    # -- the matrix

    def unitary(self, steps: Sequence[Step], values: Values) -> tuple[Tensor, list[Tensor]]:
        """V (G, 2**n, 2**n), and the matrices before each step."""
        v = values.blocks[self.start[0][0]][self.start[0][1]]
        for size, index in self.start[1:]:
            v = kron(v, values.blocks[size][index])
        states = []
        for step in steps:
            states.append(v)
            v = step.apply(v, values)
        return v, states

    def unitary_pull(
        self, steps: Sequence[Step], states: Sequence[Tensor], last: Tensor, g: Tensor, values: Values, grads: Grads
    ) -> None:
        """Carry ``g``, the conjugate of the cotangent of V, back to the matrices and shared angles."""
        after = last
        for i in range(len(steps) - 1, -1, -1):
            steps[i].pull(states[i], after, g, values, grads)
            g = steps[i].transposed(g, values)
            after = states[i]
        factors = [values.blocks[size][index] for size, index in self.start]
        for j in range(len(factors) - 1, 0, -1):
            before = factors[0]
            for f in factors[1:j]:
                before = kron(before, f)
            g, for_last = kron_pull(g, before, factors[j])
            grads.add_block(*self.start[j], for_last)
        grads.add_block(*self.start[0], g)


def _pairs(a: Tensor, b: Tensor) -> Tensor:
    """Outer products of (m, width, p) and (m, width, q), row by row."""
    m, width, p, q = *a.shape, b.shape[2]
    return (a.view(m, width, p, 1) * b.view(m, width, 1, q)).view(m, width, p * q)


def kron(a: Tensor, b: Tensor) -> Tensor:
    """Kronecker product of (..., p, p) and (..., q, q)."""
    return (a[..., :, None, :, None] * b[..., None, :, None, :]).flatten(-4, -3).flatten(-2, -1)


def kron_pull(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Conjugated cotangents of the factors (N, p, p) and (N, q, q) from that of the product."""
    p, q = a.shape[-1], b.shape[-1]
    apart = g.reshape(-1, p, q, p, q).transpose(2, 3).reshape(-1, p * p, q * q)
    for_a = (apart @ b.reshape(-1, q * q, 1)).view(a.shape)
    for_b = (apart.mT @ a.reshape(-1, p * p, 1)).view(b.shape)
    return for_a, for_b
