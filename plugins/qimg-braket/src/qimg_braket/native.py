"""Bound circuits in a QPU's native gates, for verbatim boxes (imports qimg_core, no SDK).

A family of native gates offers a few gates of the IR exactly (`Family.claims`); the core writes the others in
them. Z rotations are virtual: they turn the axes of the one-qubit gates that follow (McKay et al. 2017,
arXiv:1612.00858), commute with CZ and ZZ, and vanish before a measurement in Z.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_braket.qasm import number
from qimg_core.circuit.gates import GateName
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_core.circuit.ir import Gate

G = GateName
_HALF = math.pi / 2
_ENTANGLERS = ("cz", "zz", "cphaseshift", "iswap", "ms", "xx")
"""In order of preference; the native names of Braket."""


@frozen
class Native:
    """One native gate on physical qubits."""

    name: str
    qubits: tuple[int, ...]
    angles: tuple[float, ...] = ()

    def text(self) -> str:
        angles = f"({', '.join(map(number, self.angles))})" if self.angles else ""
        return f"{self.name}{angles} {', '.join(f'${q}' for q in self.qubits)};"


@frozen
class Family:
    """How one kind of device turns.

    Args:
        one: "prx" (any rotation about an axis in the plane), "gpi" (half and quarter turns about such an
            axis) or "rx" (half and quarter turns about X, with real Z rotations between them).
        two: the entangling gate, one of `_ENTANGLERS`.
        virtual: Z rotations are never executed.
    """

    one: str
    two: str
    virtual: bool

    @property
    def claims(self) -> frozenset[GateName]:
        """Gates of the IR that `translate` takes."""
        one = {G.RX, G.RY} if self.one == "prx" else {G.SX, G.X}
        two = {"zz": G.RZZ, "ms": G.RXX, "xx": G.RXX, "iswap": G.CX}.get(self.two, G.CZ)
        return frozenset({*one, G.RZ, two})


def family_of(native_gates: Iterable[str]) -> Family:
    """The family of a device's ``nativeGateSet``.

    Raises:
        ConfigurationError: none that is known here.
    """
    names = {n.lower() for n in native_gates}
    two = next((e for e in _ENTANGLERS if e in names), None)
    if two is not None:
        if "prx" in names and (two == "cz" or "rz" in names):
            return Family("prx", two, virtual=two == "cz")
        if {"gpi", "gpi2"} <= names and two in ("zz", "ms"):
            return Family("gpi", two, virtual=True)
        if {"rx", "rz"} <= names:
            return Family("rx", two, virtual=False)
    raise ConfigurationError(
        f"native gates {', '.join(sorted(names)) or 'none'}: no way is known here to write circuits in them",
        hint="known: prx with cz, gpi and gpi2 with zz or ms, rx and rz with cz, cphaseshift or iswap, prx, rz with xx",
    )


@frozen
class _Frames:
    """Z rotations not yet executed, in radians, by qubit."""

    angle: dict[int, float] = field(factory=dict)

    def of(self, qubit: int) -> float:
        return self.angle.get(qubit, 0.0)

    def take(self, qubit: int) -> float:
        return self.angle.pop(qubit, 0.0)


def translate(gates: Sequence[Gate], family: Family) -> list[Native]:
    """Bound gates of ``family.claims`` on physical qubits, up to Z rotations before the measurement.

    Raises:
        ConfigurationError: another gate.
    """
    frames, out = _Frames(), []
    for gate in gates:
        if gate.name not in family.claims:
            raise ConfigurationError(f"{gate.name} is none of {', '.join(sorted(family.claims))}")
        if gate.name is G.RZ:
            q = gate.wires[0]
            frames.angle[q] = frames.of(q) + gate.angle.offset
        elif len(gate.wires) == 1:
            out += _one(gate, family, frames)
        else:
            out += _two(gate, family, frames)
    return out


def _flush(frames: _Frames, qubits: Iterable[int]) -> list[Native]:
    """Execute the pending Z rotations of some qubits."""
    out = []
    for q in qubits:
        angle = math.remainder(frames.take(q), 2 * math.pi)
        if abs(angle) > 1e-15:
            out.append(Native("rz", (q,), (angle,)))
    return out


def _one(gate: Gate, family: Family, frames: _Frames) -> list[Native]:
    """A turn about an axis in the plane: R(axis) RZ(f) = RZ(f) R(axis - f)."""
    (q,) = gate.wires
    axis = _HALF if gate.name is G.RY else 0.0
    turn = {G.X: math.pi, G.SX: _HALF}.get(gate.name)
    if turn is None:
        turn = gate.angle.offset
    if not family.virtual:
        before = _flush(frames, (q,))
        if family.one == "prx":
            return [*before, Native("prx", (q,), (turn, axis))]
        return [*before, Native("rx", (q,), (turn,))]
    axis = math.remainder(axis - frames.of(q), 2 * math.pi)
    if family.one == "prx":
        return [Native("prx", (q,), (turn, axis))]
    return [Native("gpi" if gate.name is G.X else "gpi2", (q,), (axis,))]


def _two(gate: Gate, family: Family, frames: _Frames) -> list[Native]:
    a, b = gate.wires
    if family.two == "cz":
        return [Native("cz", (a, b))]
    if family.two == "cphaseshift":
        return [Native("cphaseshift", (a, b), (math.pi,))]
    if family.two == "zz":
        return [Native("zz", (a, b), (gate.angle.offset,))]
    if family.two == "ms":
        # exp(-i t/2 P(-f) P(-f')) is RXX(t) behind the frames
        axes = [math.remainder(-frames.of(q), 2 * math.pi) for q in (a, b)]
        return [Native("ms", (a, b), (*axes, gate.angle.offset))]
    if family.two == "xx":
        return [*_flush(frames, (a, b)), Native("xx", (a, b), (gate.angle.offset,))]
    return _cx_by_iswap(a, b, frames)


def _cx_by_iswap(c: int, t: int, frames: _Frames) -> list[Native]:
    """CX = (RZ(-pi/2) x RX(pi/2) RZ(pi/2)) iSWAP (RX(pi/2) x 1) iSWAP (1 x RZ(pi/2)), up to a global phase."""
    frames.angle[t] = frames.of(t) + _HALF
    out = [*_flush(frames, (c, t)), Native("iswap", (c, t)), Native("rx", (c,), (_HALF,)), Native("iswap", (c, t))]
    frames.angle[c] = -_HALF
    frames.angle[t] = _HALF
    return [*out, *_flush(frames, (t,)), Native("rx", (t,), (_HALF,))]
