"""Runs of gates on one wire that all rows share, as phases around one real rotation (imports numpy).

Any unitary is diag(p0, p1) [[c, -s], [s, c]] diag(1, q1). Where at most one gate of a run is not
diagonal, the parts are read off and their derivatives with them ("simple"); else they are found
numerically, and derivatives go through the generators X, Y, Z ("general").
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import frozen

from qimg_kernels.schedule import Factor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

Form = Literal["diagonal", "simple", "general", "matrix"]
Pair = tuple[complex, complex]
TO_X = np.diag([1, 1j])
"""RX(a) = TO_X^dag RY(a) TO_X."""


@frozen
class Run:
    """Gates in order of time.

    Args:
        form: "diagonal": no rotation. "simple": one RY (or one constant rotation) at position ``turn``, the
            others diagonal. "general": any. "matrix": only the product is wanted.
        factors: RY, RZ, P, constant diagonals and one constant real rotation; any, in "general" and "matrix".
        turn: see above.
    """

    form: Form
    factors: tuple[Factor, ...]
    turn: int = 0

    def side(self, first: bool) -> tuple[bool, Pair]:
        """Whether the phases before (``first``) or after the rotation depend on weights; else what they are."""
        if self.form == "general":
            return True, (1, 1)
        if self.form == "diagonal":
            part = () if first else self.factors
        else:
            part = self.factors[: self.turn] if first else self.factors[self.turn + 1 :]
        if any(f.letter != "m" for f in part):
            return True, (1, 1)
        product = np.ones(2, dtype=complex)
        for factor in part:
            product = product * np.diag(factor.array)
        return False, (complex(product[0]), complex(product[1]))

    @property
    def wanted(self) -> int:
        """Generators whose cotangent is wanted at the rotation: 0 none, 1 Y, 2 X and Y."""
        if self.form == "general":
            return 2
        return int(self.form == "simple" and self.factors[self.turn].letter == "y")


def euler(u: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
    """(P, R, Q) with u = P R Q, P and Q diagonal phases, R = [[c, -s], [s, c]], c and s not negative."""
    c, s = abs(u[0, 0]), abs(u[1, 0])
    if c >= s:
        p0 = u[0, 0] / c
        p1 = u[1, 0] / s if s > 0 else 1.0
        q1 = u[1, 1] / (c * p1)
    else:
        p1 = u[1, 0] / s
        p0 = u[0, 0] / c if c > 0 else 1.0
        q1 = -u[0, 1] / (s * p0)
    return np.diag([p0, p1]), np.array([[c, -s], [s, c]], dtype=complex), np.diag([1, q1])


def joined(factors: Sequence[Factor]) -> list[Factor]:
    """The same with neighbouring constants multiplied; an identity is left out."""
    out: list[Factor] = []
    for factor in factors:
        if factor.letter == "m" and out and out[-1].letter == "m":
            out[-1] = Factor.constant(factor.array @ out[-1].array)
        else:
            out.append(factor)
    return [f for f in out if f.letter != "m" or not np.array_equal(f.array, np.eye(2))]


def split(factors: Sequence[Factor]) -> Run:
    """A run in the form that is cheapest to differentiate."""
    merged = joined(factors)
    turning = [i for i, f in enumerate(merged) if not f.diagonal]
    if not turning:
        return Run("diagonal", tuple(merged))
    if len(turning) > 1:
        return Run("general", tuple(merged))
    at = turning[0]
    turn = merged[at]
    if turn.letter == "y":
        return Run("simple", tuple(merged), at)
    if turn.letter == "x":
        after, middle, before = TO_X.conj(), Factor("y", turn.angle), TO_X
    else:
        after, rotation, before = euler(turn.array)
        middle = Factor.constant(rotation)
    whole = [*merged[:at], Factor.constant(before), middle, Factor.constant(after), *merged[at + 1 :]]
    return Run("simple", tuple(whole), at + 1)
