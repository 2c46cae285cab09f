"""A plan made ready for one device and precision: `Program.state` computes it (imports torch)."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qimg_simulator.angles import AngleTable, columns
from qimg_simulator.evolve import evolve
from qimg_simulator.matrices import AMPLITUDES, MatrixBank
from qimg_simulator.preparation import Preparation
from qimg_simulator.primitives import Diagonal, Fixed, Permutation, Rotation, WireOp
from qimg_simulator.stages import Dense, Gather, Phase, Step, Terms

if TYPE_CHECKING:
    from qimg_simulator.plan import Plan, Stage


def groups(n: int) -> list[tuple[int, int]]:
    """(start, size) of the Kronecker blocks on n wires: as even as can be, of 3 to 5 wires.

    A block of 4 costs least per amplitude and wire; 5 where that saves a block.
    """
    count = max(1, -(-n // 5) if n in (5, 10, 15, 20) else -(-n // 4))
    base, more = divmod(n, count)
    out, start = [], 0
    for i in range(count):
        size = base + (i < more)
        out.append((start, size))
        start += size
    return out


def permuted(items: list[Permutation], n: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Index with new[i] = old[index[i]] for permutations applied in order."""
    out = np.arange(2**n)
    for item in reversed(items):
        bits = [(out >> (n - 1 - w)) & 1 for w in item.wires]
        if item.name == "swap":
            differ = bits[0] ^ bits[1]
            flip = (differ << (n - 1 - item.wires[0])) | (differ << (n - 1 - item.wires[1]))
        else:
            on = reduce(np.bitwise_and, bits[:-1])
            flip = on << (n - 1 - item.wires[-1])
        out = out ^ flip
    return out


class Program:
    """Tables for one plan, dtype and device; no state between calls.

    Args:
        plan: a compiled circuit.
        like: any tensor of the real dtype (float32 or float64) on the device.
    """

    def __init__(self, plan: Plan, like: Tensor) -> None:
        self.plan, self.n = plan, plan.circuit.n_wires
        self._like = torch.empty(0, dtype=like.dtype, device=like.device)
        self._rows, self._shared = columns(plan.circuit, weights_by_row=plan.weights_by_row)
        self._bank = MatrixBank(AMPLITUDES)
        self._shared_angles: list[Diagonal] = []
        self._row_angles: list[Diagonal] = []
        self._high, self._phases = self.n // 2, 0
        drafts: list[tuple[int, int, int] | Step] = []
        for stage in plan.stages:
            drafts.extend(self._stage(stage))
        self._bank.freeze(self._shared, self._like)
        self._steps = [self._dense(*d) if isinstance(d, tuple) else d for d in drafts]
        self._shared_table = AngleTable([d.angle for d in self._shared_angles], self._shared, self._like)
        self._row_table = AngleTable([d.angle for d in self._row_angles], self._rows, self._like)
        self._preparation = Preparation(plan, self._shared, self._rows, self._like)

    def _stage(self, stage: Stage) -> list[tuple[int, int, int] | Step]:
        if stage.kind == "permutation":
            moves = [i for i in stage.items if isinstance(i, Permutation)]
            return [Gather(torch.tensor(permuted(moves, self.n), device=self._like.device))]
        if stage.kind == "phase":
            return [self._phase([i for i in stage.items if isinstance(i, Diagonal)])]
        runs: dict[int, list[Fixed | Rotation]] = {}
        for item in stage.items:
            assert isinstance(item, WireOp)
            runs.setdefault(item.wire, []).append(item.factor)
        number = {w: self._bank.run(tuple(run)) for w, run in runs.items()}
        out: list[tuple[int, int, int] | Step] = []
        for start, size in groups(self.n):
            wires = range(start, start + size)
            used = [w for w in wires if w in number]
            if used:  # leave out idle wires at both ends of the block
                first, last = used[0], used[-1]
                block = self._bank.block([number.get(w, 0) for w in range(first, last + 1)])
                out.append((first, last - first + 1, block))
        return out

    def _dense(self, start: int, size: int, block: int) -> Dense:
        kind, index = self._bank.where[block]
        return Dense(2**start, 2**size, size, index, self._bank.constant_blocks[index] if kind == 0 else None)

    def _phase(self, items: list[Diagonal]) -> Phase:
        low = self.n - self._high
        split = (2**self._high, 2**low)
        sorts: dict[str, list[Diagonal]] = {}
        for item in items:
            above = [w < self._high for w in item.wires]
            if item.angle.parameter is None:
                sort = "constant"
            elif not self.plan.by_row(item.angle):
                sort = "shared"
            else:
                sort = "high" if all(above) else "across" if any(above) else "low"
            sorts.setdefault(sort, []).append(item)
        constant: Tensor | None = None
        parts: dict[str, Terms] = {}
        for sort, members in sorts.items():
            high = self._columns(members, 0, self._high)
            bottom = self._columns(members, self._high, low)
            scale = np.array([d.coefficient for d in members])
            if sort == "constant":
                angle = np.array([d.angle.offset for d in members])
                constant = self._tensor((high * scale * angle) @ bottom.T)
                continue
            table = self._shared_angles if sort == "shared" else self._row_angles
            if sort == "low":
                bottom = bottom * scale
            else:
                high = high * scale
            parts[sort] = Terms(self._tensor(high), self._tensor(bottom), len(table))
            table.extend(members)
        self._phases += 1
        return Phase(self._phases, split, parts, constant)

    def _columns(
        self, items: list[Diagonal], start: int, count: int
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """(2**count, len(items)): the product of the factors on wires start .. start + count - 1."""
        i = np.arange(2**count)
        out = np.ones((len(i), len(items)))
        for column, item in enumerate(items):
            for wire, factor in zip(item.wires, item.factors, strict=True):
                if start <= wire < start + count:
                    bit = (i >> (count - 1 - (wire - start))) & 1
                    out[:, column] *= bit if factor == "bit" else 1 - 2 * bit
        return out

    def _tensor(self, array: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Tensor:
        return torch.tensor(array, dtype=self._like.dtype, device=self._like.device)

    def state(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """(2**n, B) amplitudes; B is 1 where nothing differs from row to row.

        Args:
            inputs: (rows, n_inputs).
            weights: (n_weights,), or (rows, n_weights) for a plan with ``weights_by_row``.
        """
        if self.plan.weights_by_row:
            rows, shared = torch.cat([inputs, weights], 1).t().contiguous(), weights.new_empty(0)
        else:
            rows, shared = inputs.t().contiguous(), weights
        psi = self._preparation.evaluate(shared, rows)
        if self._row_table.size and psi.shape[1] == 1:
            psi = psi.expand(-1, rows.shape[1])
        blocks = dict(zip(self._bank.sizes, self._bank.evaluate(shared), strict=True))
        row_angles = self._row_table.evaluate(rows) if self._row_table.size else rows[:0]
        shared_angles = self._shared_table.evaluate(shared) if self._shared_table.size else shared[:0]
        return evolve(psi, self._steps, blocks, shared_angles, row_angles)
