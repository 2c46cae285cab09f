"""From gates to stages of four kinds (imports qimg_core, qimg_simulator.primitives, numpy).

The kernel knows turns of one wire (any 2x2 matrix is two phases around a real rotation), turns of one
wire under a control, diagonals, and permutations of basis states; permutations cost nothing, because
they only change which number is which amplitude. Every gate is written in these: RXX is an RX between
two CX, CRX is a controlled RY between two fixed phases.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import Factory, define, frozen

from qimg_core.circuit.gates import UNITARY, GateName, matrix
from qimg_core.circuit.ir import Angle, Gate
from qimg_simulator.primitives import Diagonal, Permutation

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from qimg_core.circuit.ir import Circuit
    from qimg_simulator.plan import Plan

G = GateName
COVERED = UNITARY | {G.PREPARE}
Letter = Literal["m", "x", "y", "z", "p"]
StageKind = Literal["dense", "control", "phase", "permutation"]
REAL = frozenset({G.RY, G.CRY, G.H, G.X, G.Z, G.CX, G.CZ, G.SWAP, G.CCX})
"""Gates that keep real amplitudes real."""


@frozen
class Factor:
    """One gate on one wire: a constant matrix (``m``), RX, RY, RZ (``x y z``) or P (``p``)."""

    letter: Letter
    angle: Angle = Factory(Angle)
    entries: tuple[complex, ...] = ()
    by_row: bool = False

    @classmethod
    def constant(cls, array: npt.NDArray[Any]) -> Factor:
        """A matrix (2, 2)."""
        return cls("m", entries=tuple(complex(v) for v in array.reshape(-1)))

    @property
    def array(self) -> npt.NDArray[np.complex128]:
        return np.array(self.entries, dtype=complex).reshape(2, 2)

    @property
    def diagonal(self) -> bool:
        """Whether the matrix is diagonal."""
        if self.letter == "m":
            return abs(self.entries[1]) + abs(self.entries[2]) < 1e-15
        return self.letter in "zp"


@frozen
class OneWire:
    """A factor on a wire."""

    wire: int
    factor: Factor


@frozen
class Controlled:
    """RY on ``target`` where ``control`` is 1."""

    control: int
    target: int
    angle: Angle


Piece = OneWire | Controlled | Diagonal | Permutation


@define
class Stage:
    """Pieces of one kind that are applied together, in order where they share wires."""

    kind: StageKind
    wires: set[int] = Factory(set)
    items: list[Any] = Factory(list)


@frozen
class Schedule:
    """What a circuit does, in order.

    Args:
        prefix: per wire, its gates before it meets another wire.
        registers: the ``prepare`` gates.
        stages: everything else.
        real: every amplitude is real all the time.
    """

    prefix: tuple[tuple[Factor, ...], ...]
    registers: tuple[Gate, ...]
    stages: tuple[Stage, ...]
    real: bool


def is_real(circuit: Circuit) -> bool:
    """Whether every amplitude is real between any two gates."""
    return all(g.name in REAL or (g.name is G.PREPARE and len(g.angles) == 2 ** len(g.wires)) for g in circuit.gates)


def schedule(plan: Plan) -> Schedule:
    """Sort the gates of a plan's circuit. The plan has checked that ``prepare`` comes first."""
    circuit = plan.circuit
    prefix: list[list[Factor]] = [[] for _ in range(circuit.n_wires)]
    alone = [True] * circuit.n_wires
    registers: list[Gate] = []
    stages: list[Stage] = []
    for gate in circuit.gates:
        by_row = any(plan.by_row(a) for a in gate.angles)
        if gate.name is G.PREPARE:
            registers.append(gate)
        elif len(gate.wires) == 1 and alone[gate.wires[0]]:
            prefix[gate.wires[0]].append(_factor(gate.name, gate.angles, by_row=by_row))
            continue
        else:
            for piece in _pieces(gate, by_row=by_row):
                _place(stages, piece)
        for wire in gate.wires:
            alone[wire] = False
    return Schedule(tuple(map(tuple, prefix)), tuple(registers), tuple(stages), is_real(circuit))


def _factor(name: GateName, angles: tuple[Angle, ...], *, by_row: bool) -> Factor:
    if not angles:
        return Factor.constant(matrix(name))
    if angles[0].parameter is None:
        return Factor.constant(matrix(name, angles[0].offset))
    letter: dict[GateName, Letter] = {G.RX: "x", G.RY: "y", G.RZ: "z", G.P: "p"}
    return Factor(letter[name], angles[0], by_row=by_row)


def _one(wire: int, name: GateName, angles: tuple[Angle, ...] = (), *, by_row: bool = False) -> Piece:
    factor = _factor(name, angles, by_row=by_row)
    if factor.by_row and factor.letter == "z":
        return Diagonal((wire,), ("sign",), -0.5, factor.angle)
    if factor.by_row and factor.letter == "p":
        return Diagonal((wire,), ("bit",), 1.0, factor.angle)
    return OneWire(wire, factor)


def _pieces(gate: Gate, *, by_row: bool) -> Iterator[Piece]:
    name, wires = gate.name, gate.wires
    if len(wires) == 1:
        yield _one(wires[0], name, gate.angles, by_row=by_row)
    elif name in (G.CX, G.CCX):
        yield Permutation("x", wires)
    elif name is G.SWAP:
        yield Permutation("swap", wires)
    elif name is G.CZ:
        yield Diagonal(wires, ("bit", "bit"), 1.0, Angle(offset=math.pi))
    elif name is G.RZZ:
        yield Diagonal(wires, ("sign", "sign"), -0.5, gate.angle)
    elif name is G.CRZ:
        yield Diagonal(wires, ("bit", "sign"), -0.5, gate.angle)
    elif name in (G.RXX, G.RYY):
        before, after = ((G.SDG,), (G.S,)) if name is G.RYY else ((), ())
        for wire in wires:
            for fixed in before:
                yield _one(wire, fixed)
        yield Permutation("x", wires)
        yield _one(wires[0], G.RX, gate.angles, by_row=by_row)
        yield Permutation("x", wires)
        for wire in wires:
            for fixed in after:
                yield _one(wire, fixed)
    elif name is G.CRY:
        yield Controlled(wires[0], wires[1], gate.angle)
    elif name is G.CRX:  # RX = S^dag RY S
        yield _one(wires[1], G.S)
        yield Controlled(wires[0], wires[1], gate.angle)
        yield _one(wires[1], G.SDG)
    else:
        raise ValueError(f"{name} is not covered")


def _place(stages: list[Stage], piece: Piece) -> None:
    """Join the earliest stage of its kind that can be reached past stages on other wires."""
    kind: StageKind
    if isinstance(piece, OneWire):
        wires, kind = {piece.wire}, "dense"
    elif isinstance(piece, Controlled):
        wires, kind = {piece.control, piece.target}, "control"
    elif isinstance(piece, Diagonal):
        wires, kind = set(piece.wires), "phase"
    else:
        wires, kind = set(piece.wires), "permutation"
    found: Stage | None = None
    for stage in reversed(stages):
        if stage.kind == kind:
            found = stage
        if stage.wires & wires:
            break
    if found is None:
        found = Stage(kind)
        stages.append(found)
    found.wires |= wires
    found.items.append(piece)
