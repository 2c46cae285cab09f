"""A lowered circuit as two flat arrays, the order of which `plan.c` reads (imports numpy, lowering)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_kernels.lowering import Lowered, Phase, Sweep

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle, Gate
    from qimg_kernels.runs import Run
    from qimg_kernels.schedule import Factor

FORMS = {"diagonal": 0, "simple": 1, "general": 2, "matrix": 3}
LETTERS = {"m": 0, "x": 1, "y": 2, "z": 3, "p": 4}
CONSTANT, INPUT, WEIGHT = 0, 1, 2


class Flat:
    """Integers and reals in the order in which they are read."""

    def __init__(self, lowered: Lowered) -> None:
        self._plan = lowered.plan
        circuit = self._plan.circuit
        self._column: dict[int, tuple[int, int]] = {}
        for source, indices in ((INPUT, circuit.input_indices), (WEIGHT, circuit.weight_indices)):
            self._column.update({p: (source, c) for c, p in enumerate(indices)})
        self._shared: dict[tuple[int, float, float], int] = {}
        self._rows: dict[tuple[int, int, float, float], int] = {}
        self._ints: list[int] = []
        self._reals: list[float] = []
        self._body(lowered)
        body = self._ints, self._reals
        self._ints, self._reals = [], []
        self._angles()
        planes = 1 if lowered.real else 2
        head = [circuit.n_wires, planes, circuit.n_inputs, circuit.n_weights, int(self._plan.weights_by_row)]
        self.ints: npt.NDArray[np.int32] = np.array(head + self._ints + body[0], dtype=np.int32)
        self.reals: npt.NDArray[np.float64] = np.array(self._reals + body[1], dtype=np.float64)

    def _angles(self) -> None:
        self._ints.append(len(self._shared))
        for column, scale, offset in self._shared:
            self._ints.append(column)
            self._reals += [scale, offset]
        self._ints.append(len(self._rows))
        for source, column, scale, offset in self._rows:
            self._ints += [source, column]
            self._reals += [scale, offset]

    def _angle(self, angle: Angle, factor: float) -> int:
        """Number of ``factor * angle`` in the table of shared angles, or of those by row."""
        scale, offset = factor * angle.scale, factor * angle.offset
        if angle.parameter is None:  # under a control
            return self._shared.setdefault((-1, 0.0, offset), len(self._shared))
        source, column = self._column[angle.parameter]
        if self._plan.by_row(angle):
            return self._rows.setdefault((source, column, scale, offset), len(self._rows))
        return self._shared.setdefault((column, scale, offset), len(self._shared))

    def _complexes(self, numbers: Iterable[complex]) -> None:
        for number in numbers:
            self._reals += [complex(number).real, complex(number).imag]

    def _body(self, lowered: Lowered) -> None:
        self._ints.append(len(lowered.runs))
        for run in lowered.runs:
            self._run(run)
        self._ints.append(len(lowered.singles) + len(lowered.registers))
        for steps in lowered.prefix:
            self._ints += [0, len(steps)]
            for step in steps:
                if isinstance(step, int):
                    self._ints += [0, step]
                else:
                    self._ints += [LETTERS[step.letter], self._step_angle(step)]
        for gate in lowered.registers:
            self._register(gate)
        self._list(lowered.root)
        self._ints.append(len(lowered.ops))
        for op in lowered.ops:
            if isinstance(op, Phase):
                self._phase(op, lowered)
            else:
                self._sweep(op)
        self._ints += lowered.where.tolist()

    def _list(self, numbers: list[int]) -> None:
        self._ints += [len(numbers), *numbers]

    def _step_angle(self, factor: Factor) -> int:
        return self._angle(factor.angle, 1.0 if factor.letter == "p" else 0.5)

    def _run(self, run: Run) -> None:
        self._ints += [FORMS[run.form], run.turn, len(run.factors)]
        for factor in run.factors:
            self._ints += [LETTERS[factor.letter], -1 if factor.letter == "m" else self._step_angle(factor)]
            self._complexes(factor.entries if factor.letter == "m" else ())

    def _register(self, gate: Gate) -> None:
        size = 2 ** len(gate.wires)
        self._ints += [1, size, int(len(gate.angles) > size)]
        for angle in gate.angles:
            source, column = (CONSTANT, 0) if angle.parameter is None else self._column[angle.parameter]
            self._ints += [source, column]
            self._reals += [0.0 if angle.parameter is None else angle.scale, angle.offset]

    def _phase(self, op: Phase, lowered: Lowered) -> None:
        table = (1 if op.real or lowered.real else 2) if op.table else 0
        wanted = bool(op.shared) or any(
            not first or lowered.runs[run].form == "simple" for tree in op.trees for _, run, first in tree.entries
        )
        constant = bool(np.any(op.constant != 1))
        self._ints += [0, table, int(wanted and not lowered.real), int(constant)]
        if constant:
            self._complexes(op.constant)
        self._list(op.scale)
        self._ints.append(len(op.trees))
        for tree in op.trees:
            self._ints += tree.index.tolist()
            self._ints.append(len(tree.entries))
            for entry in tree.entries:
                self._ints += entry
        for terms in (op.shared, op.rows):
            self._ints.append(len(terms))
            for angle, coefficient, f in terms:
                self._ints += [self._angle(angle, coefficient), *f.tolist()]

    def _sweep(self, op: Sweep) -> None:
        kind = 3 if op.controlled and not op.by_row else 2 if op.by_row else 1
        wanted = max(t.wanted for t in op.turns)
        self._ints += [kind, len(op.turns), wanted]
        for turn in op.turns:
            self._ints.append(turn.run if turn.angle is None else self._angle(turn.angle, 0.5))
        self._ints.append(len(op.index))
        self._ints += op.index.reshape(-1).tolist()
