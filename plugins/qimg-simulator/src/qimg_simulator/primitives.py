"""The few primitives that every gate of the IR is rewritten into (imports qimg_core and numpy).

- `WireOp`: a 2x2 matrix on one wire, fixed or a rotation by an angle;
- `Diagonal`: exp(i * coefficient * angle * f(bits)), f a product of one factor per wire;
- `Permutation`: of basis states.

A rotation about X or Y whose angle differs from row to row is a Z rotation between two fixed basis
changes, so that all the work that a row causes is a multiplication by phases:
RX(t) = H RZ(t) H and RY(t) = S H RZ(t) H S^dag. Two-qubit rotations are treated the same way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import frozen

from qimg_core.circuit.gates import GateName, matrix
from qimg_core.circuit.ir import Angle, Gate

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

Axis = Literal["x", "y", "z", "g"]
"""``g`` is the global phase exp(i angle / 2), which only a wire's own P gate is split into."""
Factor = Literal["sign", "bit"]
G = GateName


@frozen
class Fixed:
    """A constant square matrix, row by row; hashable, so that equal runs of gates are found."""

    entries: tuple[complex, ...]

    @classmethod
    def of(cls, name: GateName, angle: float | None = None) -> Fixed:
        """A one-qubit gate."""
        return cls.from_array(matrix(name, angle))

    @classmethod
    def from_array(cls, array: npt.NDArray[Any]) -> Fixed:
        return cls(tuple(complex(v) for v in array.reshape(-1)))

    @property
    def array(self) -> npt.NDArray[np.complex128]:
        side = math.isqrt(len(self.entries))
        return np.array(self.entries, dtype=complex).reshape(side, side)


@frozen
class Rotation:
    """exp(-i angle P / 2) on one wire; the angle names a parameter."""

    axis: Axis
    angle: Angle


@frozen
class WireOp:
    """A 2x2 matrix on one wire."""

    wire: int
    factor: Fixed | Rotation


@frozen
class Diagonal:
    """Multiply amplitude i by exp(1j * coefficient * angle * prod_w f_w(bit w of i)).

    f is ``sign`` (+1, -1) or ``bit`` (0, 1), one for each of ``wires``.
    """

    wires: tuple[int, ...]
    factors: tuple[Factor, ...]
    coefficient: float
    angle: Angle


@frozen
class Permutation:
    """``x`` on the last wire, controlled by the others; or ``swap``. Its own inverse."""

    name: Literal["x", "swap"]
    wires: tuple[int, ...]


@frozen
class RealTurn:
    """RY on one wire by an angle that differs from row to row, of a state that is real."""

    wire: int
    angle: Angle


Primitive = WireOp | Diagonal | Permutation | RealTurn

FIXED = (G.H, G.X, G.Y, G.Z, G.S, G.SDG, G.T, G.TDG, G.SX)
TO_Z: dict[Axis, tuple[GateName, ...]] = {"x": (G.H,), "y": (G.SDG, G.H), "z": ()}
FROM_Z: dict[Axis, tuple[GateName, ...]] = {"x": (G.H,), "y": (G.H, G.S), "z": ()}
"""Gates, in order of time, that turn an axis to Z and back."""


def axis_of(name: GateName) -> Axis:
    """The Pauli that generates a rotation gate."""
    letter = name.value[-1]
    if letter not in ("x", "y", "z"):
        raise ValueError(f"{name} is no rotation about an axis")
    return letter  # type: ignore[return-value]


def _basis(names: tuple[GateName, ...], wires: tuple[int, ...]) -> Iterator[Primitive]:
    for name in names:
        for wire in wires:
            yield WireOp(wire, Fixed.of(name))


def _conjugated(axis: Axis, turned: tuple[int, ...], core: Primitive) -> Iterator[Primitive]:
    yield from _basis(TO_Z[axis], turned)
    yield core
    yield from _basis(FROM_Z[axis], turned)


def primitives(gate: Gate, *, by_row: bool, real: bool = False) -> Iterator[Primitive]:
    """The primitives of one unitary gate, in order of time.

    Args:
        gate: any gate of ``qimg_core.circuit.gates.UNITARY``.
        by_row: its angle differs from row to row of the batch.
        real: of a circuit whose states are real.
    """
    name, wires = gate.name, gate.wires
    if name in FIXED:
        yield WireOp(wires[0], Fixed.of(name))
    elif name in (G.RX, G.RY, G.RZ):
        axis = axis_of(name)
        if by_row and real:
            yield RealTurn(wires[0], gate.angle)
        elif by_row:
            yield from _conjugated(axis, wires, Diagonal(wires, ("sign",), -0.5, gate.angle))
        elif gate.angle.parameter is None:
            yield WireOp(wires[0], Fixed.of(name, gate.angle.offset))
        else:
            yield WireOp(wires[0], Rotation(axis, gate.angle))
    elif name is G.P:
        yield Diagonal(wires, ("bit",), 1.0, gate.angle)
    elif name in (G.CX, G.CCX):
        yield Permutation("x", wires)
    elif name is G.SWAP:
        yield Permutation("swap", wires)
    elif name is G.CZ:
        yield Diagonal(wires, ("bit", "bit"), 1.0, Angle(offset=math.pi))
    elif name in (G.CRX, G.CRY, G.CRZ):
        core = Diagonal(wires, ("bit", "sign"), -0.5, gate.angle)
        yield from _conjugated(axis_of(name), wires[1:], core)
    elif name in (G.RXX, G.RYY, G.RZZ):
        yield from _conjugated(axis_of(name), wires, Diagonal(wires, ("sign", "sign"), -0.5, gate.angle))
    else:
        raise ValueError(f"{name} is not a unitary gate")
