"""Products of one Pauli vector per wire, as states and as observables, with their gradients (imports torch).

A product has as many columns C as it needs: one for each row of the batch or term of the read-out, or
a single one where nothing differs. Everything here is batch first: (C, 4**n).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qimg_simulator.affine import Affine
from qimg_simulator.channels import ROTATIONS
from qimg_simulator.noisy_runs import slopes
from qimg_simulator.primitives import Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_simulator.noisy_plan import NoisyPlan
    from qimg_simulator.noisy_runs import RunBank


def product(u: Tensor, tape: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Kronecker product over the first axis, (m, C, d) -> (C, d**m); ``tape`` gets what `factors` needs."""
    if len(u) == 1:
        return u[0]
    if len(u) % 2 == 0:
        tape.append((u[0::2], u[1::2]))
        return product(outer(u[0::2], u[1::2]), tape)
    rest = product(u[1:], tape)[None]
    tape.append((u[:1], rest))
    return outer(u[:1], rest)[0]


def factors(g: Tensor, m: int, tape: list[tuple[Tensor, Tensor]]) -> Tensor:
    """The gradient (m, C, d) of the factors of `product` from that of the product; empties the tape."""
    if m == 1:
        return g[None]
    if m % 2 == 0:
        g = factors(g, m // 2, tape)
        return torch.stack(outer_back(g, *tape.pop()), 1).flatten(0, 1)
    first, rest = outer_back(g[None], *tape.pop())
    return torch.cat([first, factors(rest[0], m - 1, tape)])


def outer(a: Tensor, b: Tensor) -> Tensor:
    """(m, C, p), (m, C, q) -> (m, C, pq)."""
    return (a[..., :, None] * b[..., None, :]).flatten(2)


def outer_back(g: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of both factors of `outer`."""
    g = g.reshape(*g.shape[:2], a.shape[2], b.shape[2])
    return (g * b[:, :, None]).sum(3), torch.matmul(a[:, :, None], g)[:, :, 0]


def _ground(runs: Tensor) -> Tensor:
    """What runs (m, 4, 4) make of |0>, which is (1, 0, 0, 1): (m, 4)."""
    return runs[:, :, 0] + runs[:, :, 3]


class Start:
    """The product state before the first stage.

    A wire's part is a shared run, then rounds of one rotation by row and one shared run; wires with
    fewer rounds than others get the identity. Prepared registers are multiplied on at the end.

    Args:
        plan: the circuit.
        rows: where parameters lie that differ by row.
        bank: gets the runs; frozen before `freeze` is called.
    """

    def __init__(self, plan: NoisyPlan, rows: Mapping[int, int], bank: RunBank) -> None:
        n = plan.circuit.n_wires
        self._bank, self._rows = bank, rows
        in_register = [w for gate in plan.prepared for w in gate.wires]
        self._singles = [w for w in range(n) if w not in in_register]
        self._order = self._singles + in_register
        self.n = n
        self._turns: list[list[Rotation]] = []
        self._runs: list[list[int]] = []
        for wire in self._singles:
            turns: list[Rotation] = []
            runs: list[list[Any]] = [[]]
            for factor in plan.start[wire]:
                if isinstance(factor, Rotation) and factor.angle.parameter in rows:
                    turns.append(factor)
                    runs.append([])
                else:
                    runs[-1].append(factor)
            self._turns.append(turns)
            self._runs.append([bank.run(tuple(run)) for run in runs])
        self._rounds = max(map(len, self._turns), default=0)
        self.by_row = self._rounds > 0

    def freeze(self, like: Tensor) -> None:
        """Build the tables. ``like`` gives the real dtype and the device."""
        device = like.device

        def pick(j: int) -> Tensor | None:
            numbers = [r[j] if j < len(r) else self._bank.identity for r in self._runs]
            if j > 0 and all(number == self._bank.identity for number in numbers):
                return None
            return torch.tensor([self._bank.place[number] for number in numbers], device=device)

        self._picks = [pick(j) for j in range(self._rounds + 1)]
        self._angles: list[Affine] = []
        self._tables: list[Tensor] = []
        for j in range(self._rounds):
            spare = next(turns[j].angle for turns in self._turns if len(turns) > j)  # its table does not look at it
            angles = [turns[j].angle if j < len(turns) else spare for turns in self._turns]
            tables = np.zeros((len(self._singles), 3, 4, 4))
            tables[:, 0] = np.eye(4)
            for i, turns in enumerate(self._turns):
                if j < len(turns):
                    tables[i] = ROTATIONS[turns[j].axis]
            self._angles.append(Affine(angles, self._rows, like))
            self._tables.append(torch.tensor(tables.reshape(-1, 12, 4), dtype=like.dtype, device=device))
        # nothing trained before the first rotation by row, as in most encodings: its parts are constants
        self._spread: Tensor | None = None
        if self._rounds and all(self._bank.is_constant(r[0]) for r in self._runs):
            self._spread = self._parts(self._bank.constants_of([r[0] for r in self._runs]))
        self._back: Tensor | None = None
        if self._order != list(range(self.n)):
            axes = np.arange(4**self.n).reshape((4,) * self.n).transpose([self._order.index(w) for w in range(self.n)])
            self._back = torch.tensor(axes.reshape(-1).copy(), device=device)
            self._forth = torch.empty_like(self._back)
            self._forth[self._back] = torch.arange(4**self.n, device=device)

    def evaluate(self, runs: Tensor, rows: Tensor, registers: Sequence[Tensor]) -> tuple[Tensor, list[Any]]:
        """(C, 4**n), and what `pull` needs.

        Args:
            runs: of the bank.
            rows: parameters by row (parameters, B).
            registers: Pauli vectors (B, 4**k) of the prepared wires.
        """
        tape: list[Any] = []
        out: Tensor | None = None
        if self._singles:
            tree: list[tuple[Tensor, Tensor]] = []
            out = product(self._vectors(runs, rows, tape), tree)
            tape.append(tree)
        for vector in registers:
            if out is not None:
                out = out.expand(len(vector), -1)
                tape.append((out, vector))
                out = outer(out[None], vector[None])[0]
            else:
                out = vector
        assert out is not None
        return (out if self._back is None else out.index_select(1, self._back)), tape

    def _vectors(self, runs: Tensor, rows: Tensor, tape: list[Any]) -> Tensor:
        first = self._picks[0]
        assert first is not None
        if self._rounds == 0:
            return _ground(runs.index_select(0, first))[:, None]
        for j in range(self._rounds):
            angle = self._angles[j].evaluate(rows)
            turns = torch.stack([angle.cos(), angle.sin()], -1)
            if j == 0:  # the same in every row so far
                spread = self._parts(runs.index_select(0, first)) if self._spread is None else self._spread
                u = torch.baddbmm(spread[:, :1], turns, spread[:, 1:])
            else:
                spread = torch.bmm(u, self._tables[j].transpose(1, 2)).view(*u.shape[:2], 3, 4)
                u = spread[:, :, 0] + torch.matmul(turns[:, :, None], spread[:, :, 1:])[:, :, 0]
            pick = self._picks[j + 1]
            factor = None if pick is None else runs.index_select(0, pick)
            tape.append((turns, spread, u, factor))
            if factor is not None:
                u = torch.bmm(u, factor.transpose(1, 2))
        return u

    def _parts(self, runs: Tensor) -> Tensor:
        """(singles, 3, 4): what goes with 1, cos and sin of the first rotations, after the first runs."""
        return torch.matmul(self._tables[0], _ground(runs)[..., None]).view(-1, 3, 4)

    def pull(
        self, tape: list[Any], g: Tensor, rows: Tensor, runs: Tensor | None, by_row: Tensor | None
    ) -> list[Tensor]:
        """Add the gradient of the runs to ``runs`` and that of the rows to ``by_row``; return the registers'."""
        tape = list(tape)
        if self._back is not None:
            g = g.index_select(1, self._forth)
        registers: list[Tensor] = []
        while tape and isinstance(tape[-1], tuple) and len(tape[-1]) == 2:
            out, vector = tape.pop()
            left, right = outer_back(g[None], out[None], vector[None])
            registers.insert(0, right[0])
            g = left[0]
        if not self._singles:
            return [g, *registers]
        tree = list(tape.pop())
        columns = 1 if self._rounds == 0 else rows.shape[1]
        if g.shape[0] != columns:
            g = g.sum(0, keepdim=True)
        if runs is not None or by_row is not None:
            self._pull_vectors(tape, factors(g, len(self._singles), tree), rows, runs, by_row)
        return registers

    def _pull_vectors(
        self, tape: list[Any], g: Tensor, rows: Tensor, runs: Tensor | None, by_row: Tensor | None
    ) -> None:
        for j in range(self._rounds - 1, -1, -1):
            turns, spread, after, chosen = tape.pop()
            pick = self._picks[j + 1]
            if chosen is not None and pick is not None:
                if runs is not None:
                    runs.index_add_(0, pick, torch.bmm(g.transpose(1, 2), after))
                g = torch.bmm(g, chosen)
            if by_row is not None:
                if j == 0:
                    turned = torch.bmm(g, spread[:, 1:].transpose(1, 2))
                else:
                    turned = torch.matmul(spread[:, :, 1:], g[..., None])[..., 0]
                self._angles[j].pull(slopes(turns, turned), by_row)
            if j == 0 and self._spread is not None:
                return
            if j == 0:
                moved = torch.cat([g.sum(1, keepdim=True), torch.bmm(turns.transpose(1, 2), g)], 1)
                g = torch.matmul(moved.view(len(g), 1, 12), self._tables[0])
            else:
                moved = torch.cat([g[:, :, None], turns[..., None] * g[:, :, None]], 2)
                g = torch.bmm(moved.view(*g.shape[:2], 12), self._tables[j])
        first = self._picks[0]
        if runs is not None and first is not None:
            column = g[:, 0]
            nothing = torch.zeros_like(column)
            runs.index_add_(0, first, torch.stack([column, nothing, nothing, column], 2))


class Rows:
    """Observables that are products of rows of runs: what Pauli strings become before a layer of runs.

    Args:
        letters: digit 0..3 of each term on each wire, (terms, n).
        places: the row of each wire's run in the bank.
    """

    def __init__(self, letters: np.ndarray[Any, Any], places: Sequence[int], device: torch.device) -> None:
        self.terms, self.n = letters.shape
        flat = 4 * np.array(places)[:, None] + letters.T
        self._index = torch.tensor(flat.reshape(-1), device=device)

    def evaluate(self, runs: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """(terms, 4**n), and what `pull` needs."""
        tape: list[tuple[Tensor, Tensor]] = []
        u = runs.view(-1, 4).index_select(0, self._index).view(self.n, self.terms, 4)
        return product(u, tape), tape

    def pull(self, tape: list[tuple[Tensor, Tensor]], g: Tensor, runs: Tensor) -> None:
        """Add the gradient of the runs to ``runs``."""
        u = factors(g, self.n, list(tape))
        runs.view(-1, 4).index_add_(0, self._index, u.reshape(-1, 4))
