"""The optimal general two-qubit gate: 15 weights, 3 CX (imports qimg_core)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_circuits.ansatzes.base import LayeredAnsatz, check_sizes
from qimg_core.circuit import CircuitBuilder

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit

_HALF = math.pi / 2


def canonical_block() -> Circuit:
    """N(a, b, c) = exp(-i pi/4) exp(i (a XX + b YY + c ZZ)) on two wires, 3 CX.

    Vatan and Williams 2004, "Optimal quantum circuits for general two-qubit gates"
    (arXiv:quant-ph/0308006). Weights a, b, c.
    """
    b = CircuitBuilder(2)
    _canonical(b)
    return b.build()


def general_block() -> Circuit:
    """(A1 x A2) N(a, b, c) (A3 x A4): every two-qubit gate up to a global phase, 15 weights, 3 CX.

    A_i = RZ RY RZ. Weights in the order of application: A3 (wire 0), A4 (wire 1), a, b, c, A1, A2.
    """
    b = CircuitBuilder(2)
    _locals(b, "before")
    _canonical(b)
    _locals(b, "after")
    return b.build()


def _locals(b: CircuitBuilder, when: str) -> None:
    for wire in (0, 1):
        for k, rotation in enumerate(("rz", "ry", "rz")):
            b.gate(rotation, wire, angles=(b.weight(f"{when}{wire}.{k}"),))


def _canonical(b: CircuitBuilder) -> None:
    xx, yy, zz = b.weight("a"), b.weight("b"), b.weight("c")
    b.rz(1, -_HALF).cx(1, 0)
    b.rz(0, zz * -2.0 + _HALF).ry(1, xx * 2.0 + -_HALF).cx(0, 1)
    b.ry(1, yy * -2.0 + _HALF).cx(1, 0).rz(0, _HALF)


@frozen
class TwoQubit(LayeredAnsatz):
    """`general_block` on two wires, or with ``core=True`` its three-weight middle, `canonical_block`.

    Args:
        core: only N(a, b, c).
        layers: how many; one is enough for every gate when ``core`` is False.
        spread: the start is uniform on [-spread, spread).
    """

    core: bool = False
    layers: int = 1
    spread: float = 0.5

    def __attrs_post_init__(self) -> None:
        check_sizes(2, self.layers)

    def layer(self, index: int) -> Circuit:
        return canonical_block() if self.core else general_block()
