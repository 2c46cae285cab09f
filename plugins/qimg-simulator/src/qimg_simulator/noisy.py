"""The density-matrix engine: a circuit with noise on real Pauli vectors (imports torch).

Gates and channels on one wire are merged into 4x4 matrices per wire and applied as Kronecker blocks;
Clifford gates on two wires, with Pauli noise after them, are one signed and scaled gather. What comes
before the first gate on two wires and after the last is never applied to 4**n numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qimg_simulator.affine import Affine
from qimg_simulator.angles import columns
from qimg_simulator.channels import AXIS_DIGITS, confusion_transfer
from qimg_simulator.noisy_evolve import Path, run
from qimg_simulator.noisy_plan import Stage, compile_noisy, gather_of
from qimg_simulator.noisy_product import Rows, Start
from qimg_simulator.noisy_runs import Kron, RunBank
from qimg_simulator.noisy_steps import Anywhere, Block, Scatter, Step, Turn
from qimg_simulator.pauli_basis import pauli_vector
from qimg_simulator.primitives import Fixed, Rotation
from qimg_simulator.register import register

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle, Circuit
    from qimg_core.circuit.pauli import PauliString
    from qimg_core.noise import NoiseModel

_PATHS = 16
_OBSERVABLES = 2**20


def groups(n: int) -> list[tuple[int, int]]:
    """(start, size) of the Kronecker blocks on n wires: pairs, and three wires first where n is odd.

    A pair costs least per number and wire; the larger block is first, where its products are longest.
    """
    first = n if n <= 3 else 2 + n % 2
    return [(0, first)] + [(start, 2) for start in range(first, n, 2)]


class NoisyProgram:
    """A circuit with a noise model, made ready for one precision and device.

    Args:
        circuit: unitary gates, and ``prepare`` first on its wires.
        noise: its rules, and the read-out errors, which concern `expectation` only.
        weights_by_row: the weights will be (rows, n_weights).
        like: any tensor of the real dtype on the device.

    Raises:
        CapabilityError: ``prepare`` after another gate of its wires.
    """

    def __init__(self, circuit: Circuit, noise: NoiseModel, *, weights_by_row: bool, like: Tensor) -> None:
        plan = compile_noisy(circuit, noise, weights_by_row=weights_by_row)
        self.n, self._by_row = circuit.n_wires, weights_by_row
        self._like = torch.empty(0, dtype=like.dtype, device=like.device)
        self._rows, self._shared = columns(circuit, weights_by_row=weights_by_row)
        self._bank = RunBank()
        self._start = Start(plan, self._rows, self._bank)
        self._stages = plan.stages
        self._measured = self._with_readout(plan.stages, noise)
        self._runs = {id(s): self._runs_of(s) for s in (*self._stages, *self._measured) if s.kind == "runs"}
        self._bank.freeze(self._shared, self._like)
        self._start.freeze(self._like)
        self._gathers = {id(s): gather_of(s, self.n) for s in plan.stages if s.kind == "map"}
        angles: list[Angle] = []
        self._steps = {id(s): self._steps_of(s, angles) for s in plan.stages if s.kind != "runs"}
        self._turns = Affine(angles, self._rows, self._like)
        stacked = {**self._shared, **{p: c + len(self._shared) for p, c in self._rows.items()}}
        self._registers = [(Affine(g.angles, stacked, self._like), 2 ** len(g.wires)) for g in plan.prepared]
        self._whole: Path | None = None
        self._paths: dict[object, Path] = {}
        # columns of the state: one for each row as soon as anything differs by row
        self._varied = bool(self._registers or angles) or self._start.by_row

    # ---- compiling

    def _with_readout(self, stages: Sequence[Stage], noise: NoiseModel) -> tuple[Stage, ...]:
        """The stages that Pauli strings are read after: read-out errors are one more matrix on each wire."""
        errors = [noise.readout_of(w) for w in range(self.n)]
        if all(e is None for e in errors):
            return tuple(stages)
        before = list(stages[-1].items) if stages and stages[-1].kind == "runs" else []
        kept = stages[:-1] if before else stages
        wrong = [((w,), Fixed.from_array(confusion_transfer(e))) for w, e in enumerate(errors) if e is not None]
        return (*kept, Stage("runs", set(range(self.n)), [*before, *wrong]))

    def _runs_of(self, stage: Stage) -> list[int]:
        runs: list[list[Fixed | Rotation]] = [[] for _ in range(self.n)]
        for wires, factor in stage.items:
            assert isinstance(factor, Fixed | Rotation)
            runs[wires[0]].append(factor)
        return [self._bank.run(tuple(r)) for r in runs]

    def _steps_of(self, stage: Stage, angles: list[Angle]) -> list[Step]:
        if stage.kind == "map":
            index, scale = self._gathers[id(stage)]
            return [Scatter(torch.tensor(index, device=self._like.device), self._tensor(scale))]
        out: list[Step] = []
        for wires, what in stage.items:
            if isinstance(what, Rotation):
                out.append(Turn(AXIS_DIGITS[what.axis], 4 ** (self.n - 1 - wires[0]), len(angles)))
                angles.append(what.angle)
            else:
                assert isinstance(what, Fixed)
                out.append(Anywhere(self._tensor(what.array.real), wires, self.n))
        return out

    def _tensor(self, array: npt.NDArray[np.float64]) -> Tensor:
        return torch.tensor(array, dtype=self._like.dtype, device=self._like.device)

    def _blocks(self, stage: Stage, blocks: list[tuple[int, ...]]) -> list[Step]:
        numbers, idle = self._runs[id(stage)], self._bank.identity
        out: list[Step] = []
        for start, size in groups(self.n):
            used = [w for w in range(start, start + size) if numbers[w] != idle]
            if used:  # leave out idle wires at both ends of the block
                block = tuple(numbers[used[0] : used[-1] + 1])
                varies = not all(self._bank.is_constant(r) for r in block)
                right = 4 ** (self.n - 1 - used[-1])
                out.append(Block(4 ** len(block), right, len(blocks), varies=varies))
                blocks.append(block)
        return out

    def _lowered(self, stages: Sequence[Stage], blocks: list[tuple[int, ...]]) -> list[Step]:
        out: list[Step] = []
        for stage in stages:
            out.extend(self._blocks(stage, blocks) if stage.kind == "runs" else self._steps[id(stage)])
        return out

    def _path_to(self, terms: Sequence[PauliString], *, products: bool, pull: bool) -> Path:
        """How these terms are read.

        Args:
            terms: Pauli strings.
            products: read them as products of rows of the last runs, if those come last.
            pull: let the observables go through the steps, as far as nothing there differs by row.
        """
        digits = [{w: "IXYZ".index(p) for w, p in t.factors} for t in terms]
        at = np.array([sum(d << (2 * (self.n - 1 - w)) for w, d in term.items()) for term in digits])
        scale = np.array([t.coefficient for t in terms])
        stages = list(self._measured)
        while stages and stages[-1].kind == "map":  # a Pauli string becomes another
            index, factor = self._gathers[id(stages.pop())]
            at, scale = index[at], scale * factor[at]
        blocks: list[tuple[int, ...]] = []
        if not (products and stages and stages[-1].kind == "runs"):
            steps = self._lowered(stages, blocks)
            entries = torch.tensor(at, device=self._like.device)
            return self._path(blocks, tuple(steps), read=entries, scale=self._tensor(scale))
        places = [self._bank.place[r] for r in self._runs[id(stages.pop())]]
        letters = (at[:, None] >> (2 * np.arange(self.n - 1, -1, -1))) & 3
        read = Rows(letters, places, self._like.device)
        steps = self._lowered(stages, blocks)
        cut = len(steps)
        while pull and cut and not steps[cut - 1].by_row:
            cut -= 1
        return self._path(blocks, tuple(steps[:cut]), tuple(steps[cut:]), read=read, scale=self._tensor(scale))

    def _path(
        self,
        blocks: list[tuple[int, ...]],
        pushed: tuple[Step, ...],
        pulled: tuple[Step, ...] = (),
        *,
        read: Rows | Tensor | None = None,
        scale: Tensor | None = None,
    ) -> Path:
        kron = Kron(blocks, self._bank)
        return Path(
            self._bank, self._start, self._turns, kron, pushed, pulled, read, self._like if scale is None else scale
        )

    # ---- running

    def state(self, inputs: Tensor, weights: Tensor) -> Tensor:
        """Pauli vectors (4**n, B) before any read-out error; B is 1 where nothing differs from row to row.

        Raises:
            DataError: amplitudes whose norm is not 1.
        """
        if self._whole is None:
            blocks: list[tuple[int, ...]] = []
            self._whole = self._path(blocks, tuple(self._lowered(self._stages, blocks)))
        return self._run(self._whole, inputs, weights).t()

    def expectation(self, inputs: Tensor, weights: Tensor, terms: Sequence[PauliString]) -> Tensor:
        """(B, len(terms)) with coefficients and read-out errors; B is 1 where nothing differs from row to row.

        Raises:
            DataError: amplitudes whose norm is not 1.
        """
        count, width = len(terms), len(inputs) if self._varied else 1
        # reading a product costs its 4**n numbers, reading single entries one more layer of runs for each row
        products = count <= 8 * self.n and (count <= 4 * width or count * 4**self.n <= _OBSERVABLES)
        key = (tuple(terms), products, count < width)
        path = self._paths.get(key)
        if path is None:
            while len(self._paths) >= _PATHS:
                self._paths.pop(next(iter(self._paths)), None)
            path = self._paths[key] = self._path_to(terms, products=products, pull=count < width)
        return self._run(path, inputs, weights)

    def _run(self, path: Path, inputs: Tensor, weights: Tensor) -> Tensor:
        if self._by_row:
            rows, shared = torch.cat([inputs, weights], 1).t(), weights.new_empty(0)
        else:
            rows, shared = inputs.t(), weights
        if not self._registers:
            return run(path, shared, rows)
        stacked = torch.cat([shared[:, None].expand(-1, rows.shape[1]), rows])
        vectors = []
        for table, size in self._registers:
            psi = register(table.evaluate(stacked), size, real=False).t()
            vectors.append(pauli_vector(psi[:, :, None] * psi.conj()[:, None, :]))
        return run(path, shared, rows, vectors)
