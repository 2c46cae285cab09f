"""From stages to sweeps over physical amplitudes (imports numpy, qimg_kernels.schedule, runs).

Amplitudes stay where they are. A permutation changes only the table that says where amplitude i lies,
so a sweep over wires is a list of groups of positions, and a diagonal is a table by position.
"""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
from attrs import Factory, define, frozen

from qimg_kernels.runs import TO_X, Run, split

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle
    from qimg_kernels.runs import Pair
    from qimg_kernels.schedule import Controlled, Factor, OneWire, Schedule, Stage
    from qimg_simulator.plan import Plan
    from qimg_simulator.primitives import Diagonal, Permutation

    Ints = npt.NDArray[np.int64]

MOST_SCALES = 24
"""A rotation is applied as (1, -t; t, 1) with |t| <= 1 and its scale >= 2**-1/2 goes into a table before it."""
RADIX = 3
"""Wires that one sweep turns at most: 8 amplitudes fit the registers."""


@define
class Tree:
    """Phases of single wires under one labelling: entries (wire, run, 1 for the phases before the rotation)."""

    index: Ints
    entries: list[tuple[int, int, int]] = Factory(list)


@define
class Phase:
    """A product of diagonals by position; ``scale`` lists runs whose scales it takes in."""

    constant: npt.NDArray[np.complex128]
    trees: list[Tree] = Factory(list)
    shared: list[tuple[Angle, float, Ints]] = Factory(list)
    rows: list[tuple[Angle, float, Ints]] = Factory(list)
    scale: list[int] = Factory(list)

    @property
    def table(self) -> bool:
        """Whether there is anything but phases by row."""
        return bool(self.trees or self.shared or self.scale or np.any(self.constant != 1))

    @property
    def real(self) -> bool:
        """Whether the table is certainly real."""
        return not (self.trees or self.shared or np.any(self.constant.imag))


@frozen
class Turned:
    """One rotation of a sweep: a run, or an angle (by row; or shared, under a control)."""

    wire: int
    run: int = -1
    angle: Angle | None = None
    wanted: int = 1


@frozen
class Sweep:
    """Real rotations on up to `RADIX` wires; ``index`` (groups, 2**k) are positions, first wire most significant."""

    turns: tuple[Turned, ...]
    index: Ints
    by_row: bool = False
    controlled: bool = False


Op = Phase | Sweep


def permuted(items: Sequence[Permutation], n: int) -> Ints:
    """Index with new[i] = old[index[i]] for permutations applied in order."""
    out = np.arange(2**n)
    for item in reversed(items):
        bits = [(out >> (n - 1 - w)) & 1 for w in item.wires]
        if item.name == "swap":
            differ = bits[0] ^ bits[1]
            flip = (differ << (n - 1 - item.wires[0])) | (differ << (n - 1 - item.wires[1]))
        else:
            flip = reduce(np.bitwise_and, bits[:-1]) << (n - 1 - item.wires[-1])
        out = out ^ flip
    return out


class Lowered:
    """Everything the kernel's tables are made of.

    Attributes are ``prefix`` (per wire, steps: a run's number or a factor by row), ``registers``,
    ``runs``, ``ops``, ``root`` (runs whose scales the product state takes in) and ``where`` (position of
    each amplitude at the end).
    """

    def __init__(self, plan: Plan, found: Schedule) -> None:
        self.plan, self.real, self.n = plan, found.real, plan.circuit.n_wires
        self.runs: list[Run] = []
        self.ops: list[Op] = []
        self.root: list[int] = []
        self.registers = found.registers
        held = [w for gate in found.registers for w in gate.wires]
        self.singles = [w for w in range(self.n) if w not in held]
        self.prefix = [self._prefix(found.prefix[w]) for w in self.singles]
        order = self.singles + held
        i = np.arange(2**self.n)
        self.where: Ints = np.zeros_like(i)  # position of amplitude i
        for position, wire in enumerate(order):
            self.where |= ((i >> (self.n - 1 - wire)) & 1) << (self.n - 1 - position)
        for stage in found.stages:
            self._stage(stage)
        self._scales()
        self.ops = [op for op in self.ops if not isinstance(op, Phase) or op.table or op.rows]

    def _run(self, run: Run) -> int:
        self.runs.append(run)
        return len(self.runs) - 1

    def _prefix(self, factors: Sequence[Factor]) -> list[int | Factor]:
        out: list[int | Factor] = []
        for shared, part in _cut(factors):
            out += [self._run(Run("matrix", tuple(part)))] if shared else part
        return out

    def _phase(self) -> Phase:
        if not self.ops or not isinstance(self.ops[-1], Phase):
            self.ops.append(Phase(np.ones(2**self.n, dtype=complex)))
        last = self.ops[-1]
        assert isinstance(last, Phase)
        return last

    def _inverse(self) -> Ints:
        inverse = np.empty_like(self.where)
        inverse[self.where] = np.arange(len(self.where))
        return inverse

    def _stage(self, stage: Stage) -> None:
        if stage.kind == "permutation":
            self.where = self.where[permuted(stage.items, self.n)]
        elif stage.kind == "phase":
            for item in stage.items:
                self._diagonal(item)
        elif stage.kind == "control":
            for item in stage.items:
                self._controlled(item)
        else:
            self._dense(stage.items)

    def _diagonal(self, item: Diagonal) -> None:
        i = self._inverse()  # amplitude at each position
        f = np.ones_like(i)
        for wire, factor in zip(item.wires, item.factors, strict=True):
            bit = (i >> (self.n - 1 - wire)) & 1
            f *= bit if factor == "bit" else 1 - 2 * bit
        phase = self._phase()
        if item.angle.parameter is None:
            turn = np.exp(1j * item.coefficient * item.angle.offset * f)
            near = np.round(turn)  # exp(i pi) is -1
            phase.constant = phase.constant * np.where(abs(turn - near) < 1e-15, near, turn)
        else:
            by_row = self.plan.by_row(item.angle)
            (phase.rows if by_row else phase.shared).append((item.angle, item.coefficient, f))

    def _controlled(self, item: Controlled) -> None:
        on, bit = (1 << (self.n - 1 - w) for w in (item.control, item.target))
        i = np.arange(2**self.n)
        base = i[((i & on) != 0) & ((i & bit) == 0)]
        index = np.stack([self.where[base], self.where[base | bit]], 1)
        turn = Turned(item.target, angle=item.angle)
        by_row = item.angle.parameter is not None and self.plan.by_row(item.angle)
        self.ops.append(Sweep((turn,), index, by_row=by_row, controlled=True))

    def _dense(self, items: Sequence[OneWire]) -> None:
        gates: dict[int, list[Factor]] = {}
        for item in items:
            gates.setdefault(item.wire, []).append(item.factor)
        # per wire, columns of (phases before, turn), with phases after the last turn
        columns: list[list[Turned]] = []
        sides: list[list[tuple[int, int | None, int, Pair]]] = [[]]
        for wire, factors in gates.items():
            depth = 0
            for shared, part in _cut(factors):
                if not shared:
                    (factor,) = part
                    one: Pair = (1, 1)
                    before, after = ((1, 1j), (1, -1j)) if factor.letter == "x" else (one, one)
                    turn: Turned | None = Turned(wire, angle=factor.angle)
                    number = None
                    moving = [(False, before), (False, after)]
                else:
                    run = split(part)
                    number = self._run(run)
                    moving = [run.side(True), run.side(False)]
                    wanted = min(run.wanted, 1 if self.real else 2)
                    turn = None if run.form == "diagonal" else Turned(wire, number, wanted=wanted)
                while len(sides) <= depth + 1:
                    sides.append([])
                    columns.append([])
                self._side(sides[depth], wire, number, 1, moving[0])
                if turn is not None:
                    columns[depth].append(turn)
                    depth += 1
                self._side(sides[depth], wire, number, 0, moving[1])
        for depth, side in enumerate(sides):
            self._sides(side)
            if depth < len(columns):
                self._sweeps(columns[depth])

    @staticmethod
    def _side(
        out: list[tuple[int, int | None, int, Pair]],
        wire: int,
        number: int | None,
        first: int,
        found: tuple[bool, Pair],
    ) -> None:
        if found[0] or found[1] != (1, 1):
            out.append((wire, number if found[0] else None, first, found[1]))

    def _sides(self, found: list[tuple[int, int | None, int, Pair]]) -> None:
        if not found:
            return
        inverse, phase = self._inverse(), self._phase()
        tree = Tree(inverse)
        for wire, number, first, constant in found:
            if number is None:
                bit = (inverse >> (self.n - 1 - wire)) & 1
                phase.constant = phase.constant * np.array(constant)[bit]
            else:
                tree.entries.append((wire, number, first))
        if tree.entries:
            phase.trees.append(tree)

    def _sweeps(self, turns: Sequence[Turned]) -> None:
        for by_row in (False, True):
            chosen = [t for t in turns if (t.angle is not None) == by_row]
            count = -(-len(chosen) // RADIX)
            for part in np.array_split(np.arange(len(chosen)), count) if count else []:
                some = tuple(chosen[j] for j in part)
                self.ops.append(Sweep(some, self._groups([t.wire for t in some]), by_row=by_row))

    def _groups(self, wires: Sequence[int]) -> Ints:
        bits = [1 << (self.n - 1 - w) for w in wires]
        i = np.arange(2**self.n)
        base = i[(i & sum(bits)) == 0]
        k = len(wires)
        offsets = [sum(b for j, b in enumerate(bits) if m >> (k - 1 - j) & 1) for m in range(2**k)]
        index: Ints = self.where[base[:, None] | np.array(offsets)]
        return np.asarray(index[np.argsort(index.min(1))])

    def _scales(self) -> None:
        out: list[Op] = []
        into = self.root
        for op in self.ops:
            if isinstance(op, Phase):
                if op.table:
                    into = op.scale
            elif not op.by_row and not op.controlled:
                if len(into) + len(op.turns) > MOST_SCALES:
                    extra = Phase(np.ones(2**self.n, dtype=complex))
                    out.append(extra)
                    into = extra.scale
                into += [t.run for t in op.turns]
            out.append(op)
        self.ops = out


def _cut(factors: Sequence[Factor]) -> list[tuple[bool, list[Factor]]]:
    """Runs of factors that rows share, and single factors by row."""
    out: list[tuple[bool, list[Factor]]] = []
    for factor in factors:
        if not factor.by_row and out and out[-1][0]:
            out[-1][1].append(factor)
        else:
            out.append((not factor.by_row, [factor]))
    return out


__all__ = ["TO_X", "Lowered", "Op", "Phase", "Run", "Sweep", "Tree", "Turned", "permuted"]
