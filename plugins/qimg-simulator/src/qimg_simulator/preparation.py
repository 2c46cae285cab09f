"""The state before the first stage: a product of single wires and prepared registers (imports torch)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from qimg_core.errors import DataError
from qimg_simulator.angles import AngleTable
from qimg_simulator.plan import PhaseStep, Plan
from qimg_simulator.primitives import Fixed, Rotation


class Preparation:
    """Evaluates a plan's preparation. Wires with the same kinds of gates are computed together.

    Args:
        plan: what to prepare.
        shared, rows: where parameters lie (see `angles.columns`).
        like: a tensor of the real dtype on the device.
    """

    def __init__(self, plan: Plan, shared: dict[int, int], rows: dict[int, int], like: Tensor) -> None:
        self._like = like
        self._cdtype = torch.promote_types(like.dtype, torch.complex32)
        in_register = {w for gate in plan.prepared for w in gate.wires}
        forms: dict[tuple[str, ...], list[int]] = {}
        for wire in range(plan.circuit.n_wires):
            if wire not in in_register:
                forms.setdefault(tuple(_letter(s, plan) for s in plan.steps[wire]), []).append(wire)
        self._groups: list[tuple[list[int], list[tuple[str, AngleTable | Tensor]]]] = []
        for form, wires in forms.items():
            program: list[tuple[str, AngleTable | Tensor]] = []
            for j, letter in enumerate(form):
                members = [plan.steps[w][j] for w in wires]
                fixed = [f for f in members if isinstance(f, Fixed)]
                if fixed:
                    entries = np.array([f.entries for f in fixed]).reshape(-1, 4, 1)
                    program.append((letter, torch.tensor(entries, dtype=self._cdtype, device=like.device)))
                else:
                    angles = [f.angle for f in members if isinstance(f, Rotation | PhaseStep)]
                    column = rows if letter.isupper() else shared
                    program.append((letter, AngleTable(angles, column, like)))
            self._groups.append((wires, program))
        # a register may mix inputs and shared weights: its table reads [shared, rows] stacked
        stacked = {**shared, **{p: c + len(shared) for p, c in rows.items()}}
        self._registers = [(AngleTable(g.angles, stacked, like), 2 ** len(g.wires)) for g in plan.prepared]
        n = plan.circuit.n_wires
        self._singles = [w for w in range(n) if w not in in_register]
        order = self._singles + [w for gate in plan.prepared for w in gate.wires]
        self._back: Tensor | None = None
        if order != list(range(n)):
            # the product has its axes in `order`; put wire w at axis w
            axes = np.arange(2**n).reshape((2,) * n).transpose([order.index(w) for w in range(n)])
            self._back = torch.tensor(axes.reshape(-1).copy(), device=like.device)

    def evaluate(self, shared: Tensor, rows: Tensor) -> Tensor:
        """(2**n, B) or (2**n, 1) where nothing differs by row.

        Raises:
            DataError: amplitudes whose norm is not 1.
        """
        singles: dict[int, Tensor] = {}
        for wires, program in self._groups:
            vectors = self._vectors(len(wires), program, shared, rows).unbind(0)
            singles.update(zip(wires, vectors, strict=True))
        factors = [singles[w] for w in self._singles]
        if self._registers:
            stacked = torch.cat([shared[:, None].expand(-1, rows.shape[1]), rows])
            factors += [register(table, size, stacked) for table, size in self._registers]
        psi = _product(factors)
        return psi if self._back is None else psi.index_select(0, self._back)

    def _vectors(self, n: int, program: list[tuple[str, AngleTable | Tensor]], shared: Tensor, rows: Tensor) -> Tensor:
        """(n, 2, B or 1): the wires' states after their own gates, starting from |0>."""
        a = torch.ones((n, 1), dtype=self._cdtype, device=self._like.device)
        b = torch.zeros_like(a)
        for letter, table in program:
            if isinstance(table, Tensor):
                m = table
                a, b = m[:, 0] * a + m[:, 1] * b, m[:, 2] * a + m[:, 3] * b
                continue
            source = rows if letter.isupper() else shared[:, None]
            angle = table.evaluate(source)
            if letter in "pP":
                b = b * torch.complex(angle.cos(), angle.sin())
                continue
            c, s = (angle * 0.5).cos(), (angle * 0.5).sin()
            if letter in "yY":
                a, b = c * a - s * b, s * a + c * b
            elif letter in "zZ":
                turn = torch.complex(c, s)
                a, b = turn.conj() * a, turn * b
            else:
                i_s = torch.complex(torch.zeros_like(s), s)
                a, b = c * a - i_s * b, c * b - i_s * a
        width = max(a.shape[1], b.shape[1])
        return torch.stack([a.expand(n, width), b.expand(n, width)], 1)


def register(table: AngleTable, size: int, parameters: Tensor) -> Tensor:
    """(size, B) complex amplitudes of a ``prepare`` gate: real ones, or real and then imaginary parts.

    Raises:
        DataError: amplitudes whose norm is not 1.
    """
    values = table.evaluate(parameters)
    tolerance = 1e-3 if values.dtype == torch.float32 else 1e-6
    worst = float((values.detach().square().sum(0) - 1).abs().max())
    if not worst <= tolerance:
        raise DataError(
            f"prepare: amplitudes must have norm 1, a row's squared norm is off by {worst:.3g}",
            hint="normalise the amplitudes, or use an encoder, which does",
        )
    if len(values) == size:
        return values.to(torch.promote_types(values.dtype, torch.complex32))
    return torch.complex(values[:size], values[size:])


def _letter(step: object, plan: Plan) -> str:
    """One of x y z p for an angle that rows share, X Y Z P for one by row, c for a constant."""
    if isinstance(step, Fixed):
        return "c"
    assert isinstance(step, Rotation | PhaseStep)
    letter = step.axis if isinstance(step, Rotation) else "p"
    return letter.upper() if plan.by_row(step.angle) else letter


def _product(factors: list[Tensor]) -> Tensor:
    """Kronecker product of (d, B or 1) vectors, column by column, as a tree."""
    if len(factors) == 1:
        return factors[0]
    half = (len(factors) + 1) // 2
    a, b = _product(factors[:half]), _product(factors[half:])
    return (a[:, None] * b[None]).flatten(0, 1)
