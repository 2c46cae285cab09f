"""From a plan to steps, matrices and angles on one device and precision (imports torch, numpy)."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING

import numpy as np
import torch

from qimg_simulator.affine import Affine
from qimg_simulator.angles import columns
from qimg_simulator.bank import LONGEST, Bank, product, varies
from qimg_simulator.block import Block, first_run
from qimg_simulator.primitives import Diagonal, Fixed, Permutation, RealTurn, Rotation, WireOp
from qimg_simulator.product import Product, alone
from qimg_simulator.steps import Dense, Gather, Linear, Phase, Step, Terms, Turn

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from torch import Tensor

    from qimg_simulator.bank import Run
    from qimg_simulator.plan import Plan, Stage
    from qimg_simulator.product import Alone

    Draft = tuple[int, tuple[int, ...]]

UNKEPT = 17
"""From so many wires on, the table of a linear permutation is made anew each time."""


def groups(n: int, largest: int | None = None) -> list[tuple[int, int]]:
    """(start, size) of the Kronecker blocks on n wires: as even as can be, of 3 to 5 wires.

    A block of 4 costs least per amplitude and wire; 5 where that saves a block.

    Args:
        n: wires.
        largest: of the blocks, if not as above.
    """
    largest = largest or (5 if n in (5, 10) else 4)
    count = max(1, -(-n // largest))
    base, more = divmod(n, count)
    out, start = [], 0
    for i in range(count):
        size = base + (i < more)
        out.append((start, size))
        start += size
    return out


def permuted(items: list[Permutation], n: int, at: Sequence[int] | None = None) -> npt.NDArray[np.int64]:
    """Index with new[i] = old[index[i]] for permutations applied in order; of some i alone if ``at`` says so."""
    out = np.arange(2**n) if at is None else np.array(at)
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


def _cut(run: list[Fixed | Rotation]) -> list[Run]:
    """A run in pieces of at most `LONGEST` rotations."""
    out: list[list[Fixed | Rotation]] = [[]]
    for factor in run:
        if isinstance(factor, Rotation) and sum(isinstance(f, Rotation) for f in out[-1]) == LONGEST:
            out.append([])
        out[-1].append(factor)
    return [tuple(piece) for piece in out]


class Assembly:
    """The parts of a program.

    Args:
        plan: a compiled circuit.
        like: a tensor of the real dtype on the device.
        owns: for the regime of `block.Block`, from `block.features`.
        largest: wires of a Kronecker block, see `groups`.
    """

    def __init__(
        self, plan: Plan, like: Tensor, owns: Sequence[Alone] | None = None, *, largest: int | None = None
    ) -> None:
        self.plan, self.n, self.like = plan, plan.circuit.n_wires, like
        rows, shared = columns(plan.circuit, weights_by_row=plan.weights_by_row)
        self._groups = groups(self.n, largest)
        self._runs: dict[Run, int] = {(): 0}
        self._blocks: dict[tuple[int, ...], int] = {}
        self._high, self._phases = self.n // 2, 0
        self._shared_angles: list[Diagonal] = []
        self._row_angles: list[tuple[float, Diagonal | RealTurn]] = []
        self._gathers: dict[tuple[Permutation, ...], Gather] = {}
        drafts: list[Draft | Step] = []
        if owns is None:
            for wire in range(self.n):
                for run in alone(plan, wire)[0].runs:
                    self._run(run)
        else:
            firsts = [first_run(own) for own in owns]
            starts = [tuple(self._run(r) for r in firsts[at : at + size]) for at, size in self._groups]
            for numbers in starts:
                self._blocks.setdefault(numbers, len(self._blocks))
        for stage in plan.stages:
            drafts.extend(self._stage(stage))
        self.bank = Bank(list(self._runs), list(self._blocks), shared, like, real=plan.real)
        self.steps = tuple(self._dense(*d) if isinstance(d, tuple) else d for d in drafts)
        self.shared_angles = Affine([d.angle for d in self._shared_angles], shared, like)
        scaled = [d.angle * factor for factor, d in self._row_angles]
        self.row_angles = Affine(scaled, rows, like)
        self.block: Block | None = None
        if owns is not None:
            where = [self.bank.where[self._blocks[numbers]] for numbers in starts]
            self.block = Block(owns, where, rows, like, real=plan.real)
            return
        self.product = Product(plan, self._runs, shared, rows, like)
        # a register may mix inputs and shared weights: its table reads [rows, shared] stacked
        stacked = {**rows, **{p: c + len(rows) for p, c in shared.items()}}
        self.registers = [(Affine(g.angles, stacked, like), 2 ** len(g.wires)) for g in plan.prepared]
        self.mixed = any(
            a.parameter in shared for gate in plan.prepared for a in gate.angles if a.parameter is not None
        )
        order = self.product.wires + [w for gate in plan.prepared for w in gate.wires]
        self.back: Gather | None = None
        if order != list(range(self.n)):
            # the product has its axes in `order`; put wire w at axis w
            axes = np.arange(2**self.n).reshape((2,) * self.n).transpose([order.index(w) for w in range(self.n)])
            self.back = Gather(torch.tensor(axes.reshape(-1).copy(), device=like.device))

    def _run(self, run: Run) -> int:
        return self._runs.setdefault(run, len(self._runs))

    def _stage(self, stage: Stage) -> list[Draft | Step]:
        if stage.kind == "permutation":
            moves = [i for i in stage.items if isinstance(i, Permutation)]
            return [self._gather(moves)]
        if stage.kind == "phase":
            return [self._phase([i for i in stage.items if isinstance(i, Diagonal)])]
        if stage.kind == "turn":
            return [self._turn(i) for i in stage.items if isinstance(i, RealTurn)]
        runs: dict[int, list[Fixed | Rotation]] = {}
        for item in stage.items:
            assert isinstance(item, WireOp)
            runs.setdefault(item.wire, []).append(item.factor)
        pieces = {w: _cut(run) for w, run in runs.items()}
        out: list[Draft | Step] = []
        for turn in range(max(map(len, pieces.values()))):
            now = {w: found[turn] for w, found in pieces.items() if turn < len(found)}
            for start, size in self._groups:
                used = [w for w in range(start, start + size) if w in now]
                if used:  # leave out idle wires at both ends of the block
                    block = [now.get(w, ()) for w in range(used[0], used[-1] + 1)]
                    out.append(self._draft(used[0], block))
        return out

    def _gather(self, moves: list[Permutation]) -> Gather:
        key = tuple(moves)
        found = self._gathers.get(key)
        if found is None:
            device = self.like.device
            if self.n >= UNKEPT and all(len(m.wires) == 2 for m in moves):
                bits = [1 << k for k in range(self.n)]
                columns, inverse = permuted(moves, self.n, bits), permuted(moves[::-1], self.n, bits)
                found = Linear(columns.tolist(), inverse.tolist(), device)
            else:
                found = Gather(torch.tensor(permuted(moves, self.n), device=device))
            self._gathers[key] = found
        return found

    def _draft(self, start: int, block: list[Run]) -> Draft | Step:
        if not any(varies(run) for run in block):
            whole = np.eye(1, dtype=complex)
            for run in block:
                whole = np.asarray(np.kron(whole, product(run)))
            left, dim = 2**start, len(whole)
            return Dense(left, dim, len(block), 0, self._tensor(whole)[None])
        numbers = tuple(self._run(run) for run in block)
        self._blocks.setdefault(numbers, len(self._blocks))
        return start, numbers

    def _dense(self, start: int, numbers: tuple[int, ...]) -> Dense:
        size, index = self.bank.where[self._blocks[numbers]]
        return Dense(2**start, 2**size, size, index, None)

    def _turn(self, item: RealTurn) -> Step:
        self._row_angles.append((0.5, item))
        return Turn(2**item.wire, len(self._row_angles) - 1)

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
                turn = np.exp(1j * ((high * scale * angle) @ bottom.T))
                signs = np.abs(turn.imag).max() < 1e-12
                constant = self._tensor(np.round(turn.real) if signs else turn, real=bool(signs))[None, ..., None]
                continue
            if sort == "low":
                bottom = bottom * scale
            else:
                high = high * scale
            at = len(self._shared_angles if sort == "shared" else self._row_angles)
            parts[sort] = Terms(self._tensor(high, real=True), self._tensor(bottom, real=True), at)
            if sort == "shared":
                self._shared_angles.extend(members)
            else:
                self._row_angles.extend((1.0, d) for d in members)
        self._phases += 1
        return Phase(self._phases, split, parts, constant)

    def _columns(self, items: list[Diagonal], start: int, count: int) -> npt.NDArray[np.float64]:
        """(2**count, len(items)): the product of the factors on wires start .. start + count - 1."""
        i = np.arange(2**count)
        out = np.ones((len(i), len(items)))
        for column, item in enumerate(items):
            for wire, factor in zip(item.wires, item.factors, strict=True):
                if start <= wire < start + count:
                    bit = (i >> (count - 1 - (wire - start))) & 1
                    out[:, column] *= bit if factor == "bit" else 1 - 2 * bit
        return out

    def _tensor(self, array: npt.NDArray[np.complex128] | npt.NDArray[np.float64], *, real: bool = False) -> Tensor:
        real = real or self.plan.real
        dtype = self.like.dtype if real else torch.promote_types(self.like.dtype, torch.complex32)
        return torch.tensor(array.real if real else array, dtype=dtype, device=self.like.device)
