"""The state before the first stage: a product of single wires and prepared registers (imports torch).

A wire's own gates are shared matrices (from the `Bank`) and rotations by row in turn, so its state is
M_d R_d ... M_1 R_1 M_0 |0> with R = cos(a/2) + sin(a/2) A. The first rotation by row acts on a vector
that all rows share; then everything but the angles is one small matrix product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from attrs import define, frozen
from torch import Tensor

from qimg_core.circuit.gates import GateName, matrix
from qimg_simulator.affine import Affine
from qimg_simulator.bank import LONGEST, fold, folding, unfold, varies
from qimg_simulator.plan import PhaseStep, Plan
from qimg_simulator.primitives import Fixed, Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.circuit.ir import Angle
    from qimg_simulator.bank import Run, Tree


@frozen
class Alone:
    """A wire's own gates: runs[0], then rotation 1 (None: none), runs[1], and so on."""

    runs: tuple[Run, ...]
    turns: tuple[Rotation | None, ...]


def alone(plan: Plan, wire: int) -> tuple[Alone, tuple[Angle, ...]]:
    """The gates of a wire before it meets another, and the angles of its global phases by row (half counts).

    P(a) is exp(i a/2) RZ(a).
    """
    runs: list[list[Fixed | Rotation]] = [[]]
    turns: list[Rotation | None] = []
    phases: list[Angle] = []

    def join(factor: Fixed | Rotation) -> None:
        if isinstance(factor, Rotation) and sum(isinstance(f, Rotation) for f in runs[-1]) == LONGEST:
            turns.append(None)
            runs.append([])
        runs[-1].append(factor)

    for step in plan.steps[wire]:
        if isinstance(step, Fixed):
            join(step)
            continue
        rotation = Rotation("z", step.angle) if isinstance(step, PhaseStep) else step
        if plan.by_row(rotation.angle):
            turns.append(rotation)
            runs.append([])
            if isinstance(step, PhaseStep):
                phases.append(step.angle)
        else:
            join(rotation)
            if isinstance(step, PhaseStep):
                join(Rotation("g", step.angle))
    return Alone(tuple(tuple(r) for r in runs), tuple(turns)), tuple(phases)


@define
class Tape:
    """What the way back needs."""

    levels: list[tuple[Tensor, ...]]
    tree: Tree
    phase: tuple[Tensor, Tensor] | None = None


class Product:
    """Evaluates a plan's preparation.

    Args:
        plan: what to prepare.
        numbers: of the runs in the bank.
        shared, rows: where parameters lie.
        like: a tensor of the real dtype on the device.
    """

    def __init__(
        self,
        plan: Plan,
        numbers: Mapping[Run, int],
        shared: Mapping[int, int],
        rows: Mapping[int, int],
        like: Tensor,
    ) -> None:
        self.n, self._like = plan.circuit.n_wires, like
        self._dtype = like.dtype if plan.real else torch.promote_types(like.dtype, torch.complex32)
        in_register = {w for gate in plan.prepared for w in gate.wires}
        self.wires = [w for w in range(self.n) if w not in in_register]
        order = folding(len(self.wires)) if self.wires else []
        self._width = len(order)
        found = [alone(plan, self.wires[i]) for i in order]
        members, phases = [f[0] for f in found], [a for f in found for a in f[1]]
        depth = max((len(m.turns) for m in members), default=0)
        self._runs: list[Tensor | None] = []
        self._moving: list[bool] = []
        self._turns: list[tuple[Affine, Tensor]] = []
        for d in range(depth + 1):
            runs = [m.runs[d] if d < len(m.runs) else () for m in members]
            picks = torch.tensor([numbers[r] for r in runs], dtype=torch.long, device=like.device)
            self._runs.append(picks if any(runs) else None)
            self._moving.append(any(varies(r) for r in runs))
            if d < depth:
                turns = [m.turns[d] if d < len(m.turns) else None for m in members]
                angles = Affine([None if t is None else t.angle for t in turns], rows, like, factor=0.5)
                sines = np.array([-1j * matrix(GateName(t.axis)) if t else np.zeros((2, 2)) for t in turns])
                self._turns.append((angles, self._tensor(sines)[:, None]))
        self._ones = torch.ones((self._width, 1), dtype=like.dtype, device=like.device)
        zero = np.zeros((self._width, 1, 2, 1), dtype=complex)
        zero[:, :, 0] = 1
        self._zero = self._tensor(zero)
        # [|0>, A|0>]: what the first rotation makes of |0> is this times (cos, sin)
        self._pair = torch.cat([self._zero, self._turns[0][1] @ self._zero], 3) if depth else self._zero
        self._phases = Affine(phases, rows, like, factor=0.5) if phases else None

    def _tensor(self, array: np.ndarray[tuple[int, ...], np.dtype[np.complex128]]) -> Tensor:
        return torch.tensor(
            array if self._dtype.is_complex else array.real, dtype=self._dtype, device=self._like.device
        )

    def evaluate(self, runs: Tensor, rows: Tensor, groups: int) -> tuple[Tensor, Tape]:
        """(G, 2**wires, B) of the wires outside registers, in order; B is 1 where nothing differs by row.

        Args:
            runs: (R, 1 or G, 2, 2) from the bank.
            rows: (parameters, G * B).
            groups: G.
        """
        tape = Tape([], [])
        if not self.wires:
            return self._zero.new_ones(1, 1, 1), tape
        v = self._zero if self._runs[0] is None else self._matrix(0, runs) @ self._zero
        for d, (angles, sines) in enumerate(self._turns, 1):
            half = angles.evaluate(rows)
            turn = torch.polar(self._ones.expand_as(half), half)  # cos + i sin
            waves = torch.view_as_real(turn).view(self._width, groups, -1, 2)
            if d == 1:
                pair = self._pair if self._runs[0] is None else torch.cat([v, sines @ v], 3)
                table = pair if self._runs[1] is None else self._matrix(1, runs) @ pair
                features = waves.to(self._dtype)
                v = table @ features.mT
                tape.levels.append((turn, features, table, pair))
                continue
            other = sines @ v
            c, s = waves[..., 0].unsqueeze(2), waves[..., 1].unsqueeze(2)
            u = c * v + s * other
            tape.levels.append((turn, v, other, u))
            v = u if self._runs[d] is None else self._matrix(d, runs) @ u
        if self._phases is not None:
            angle = self._phases.evaluate(rows).sum(0).view(1, groups, 1, -1)
            turn = torch.polar(torch.ones_like(angle), angle)
            v = torch.cat([v[:1] * turn, v[1:].expand(-1, groups, -1, angle.shape[3])])
            tape.phase = (turn, v[:1])
        psi, tape.tree = fold(v.contiguous(), _pairs)
        return psi[0], tape

    def _matrix(self, d: int, runs: Tensor) -> Tensor:
        picks = self._runs[d]
        assert picks is not None
        return runs.index_select(0, picks)

    def pull(self, tape: Tape, conjugate: Tensor, runs: Tensor, for_runs: Tensor, for_rows: Tensor) -> None:
        """Add to the cotangents of the bank's runs and of the rows' parameters.

        Args:
            tape: of the same evaluation.
            conjugate: of the cotangent, (G, 2**wires, B or 1).
            runs: as in `evaluate`.
            for_runs: (R, G, 2, 2), added to.
            for_rows: (parameters, G * B), added to.
        """
        if not self.wires:
            return
        g = unfold(conjugate[None], tape.tree, _pairs_pull)  # conjugated, as in `Step.transposed`
        if tape.phase is not None and self._phases is not None:
            turn, after = tape.phase
            by_row = -(after * g[:1]).sum((0, 2)).imag.reshape(1, -1)
            self._phases.pull(by_row.expand(self._phases.size, -1), for_rows)
            g = torch.cat([g[:1] * turn, g[1:]])
        for d in range(len(self._turns), 1, -1):
            turn, v, other, u = tape.levels[d - 1]
            g = self._matrix_pull(d, g, u, runs, for_runs)
            waves = torch.view_as_real(turn).view(self._width, g.shape[1], -1, 2)
            c, s = waves[..., 0].unsqueeze(2), waves[..., 1].unsqueeze(2)
            self._angles_pull(d, turn, torch.complex(_dot(v, g), _dot(other, g)), for_rows)
            g = c * g + self._turns[d - 1][1].mT @ (s * g)
        if self._turns:
            turn, features, table, pair = tape.levels[0]
            for_waves = table.mT @ g  # (wires, G, 2, B)
            by_wave = (for_waves.real if for_waves.is_complex() else for_waves).mT.contiguous()
            self._angles_pull(1, turn, torch.view_as_complex(by_wave), for_rows)
            if not (self._moving[0] or self._moving[1]):
                return
            both = self._matrix_pull(1, g @ features, pair, runs, for_runs, on=self._moving[0])
            if not self._moving[0]:
                return
            g = both[..., :1] + self._turns[0][1].mT @ both[..., 1:]
        self._matrix_pull(0, g, self._zero, runs, for_runs, on=False)

    def _matrix_pull(
        self, d: int, g: Tensor, inner: Tensor, runs: Tensor, for_runs: Tensor, *, on: bool = True
    ) -> Tensor:
        """Adds what the runs get; ``on`` asks for the conjugated cotangent before them."""
        picks = self._runs[d]
        if picks is None:
            return g
        if self._moving[d]:
            found = (g @ inner.mT).conj()
            for_runs.index_add_(0, picks, found if found.shape[1] == for_runs.shape[1] else found.sum(1, keepdim=True))
        return runs.index_select(0, picks).mT @ g if on else g

    def _angles_pull(self, d: int, turn: Tensor, for_waves: Tensor, for_rows: Tensor) -> None:
        # `turn` is exp(i h) of half angles h: dL/dh = cos ds - sin dc
        self._turns[d - 1][0].pull((turn.conj() * for_waves.view_as(turn)).imag, for_rows)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Re sum a b over the two entries: (n, G, 2, B) -> (n, G, B)."""
    out = a * b
    return (out.real if out.is_complex() else out).sum(2)


def _pairs(a: Tensor, b: Tensor) -> Tensor:
    """Outer products of (m, G, p, B) and (m, G, q, B), row by row."""
    return (a[:, :, :, None] * b[:, :, None]).flatten(2, 3)


def _pairs_pull(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Conjugated cotangents of both factors."""
    if g.shape[3] == 1:  # torch sums slowly over an axis whose neighbour is short
        rows = g.reshape(*g.shape[:2], a.shape[2], b.shape[2])
        return rows @ b, rows.mT @ a
    view = g.reshape(*g.shape[:2], a.shape[2], b.shape[2], g.shape[3])
    return (view * b[:, :, None]).sum(3), (view * a[:, :, :, None]).sum(2)
