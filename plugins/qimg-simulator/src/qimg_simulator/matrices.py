"""Every 2x2 run of gates of a circuit, and the Kronecker blocks made of them (imports torch, numpy).

A run of rotations about fixed axes is linear in the monomials of the cosines and sines of the half
angles, so all runs of the same form come out of one small matrix product with a constant table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from qimg_core.circuit.gates import GateName, matrix
from qimg_simulator.angles import AngleTable
from qimg_simulator.primitives import Fixed, Rotation

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle

Run = tuple[Fixed | Rotation, ...]
_LONGEST = 3
_PAULI = {"x": matrix(GateName.X), "y": matrix(GateName.Y), "z": matrix(GateName.Z)}


def _two_by_two(entries: tuple[complex, ...]) -> npt.NDArray[np.complex128]:
    return np.array(entries, dtype=complex).reshape(2, 2)


def _product(run: Sequence[Fixed]) -> Fixed:
    out = np.eye(2, dtype=complex)
    for factor in run:
        out = _two_by_two(factor.entries) @ out
    flat = [complex(v) for v in out.reshape(-1)]
    return Fixed((flat[0], flat[1], flat[2], flat[3]))


def _pieces(run: Run) -> list[Run]:
    """Cut a run so that a piece has at most `_LONGEST` rotations; neighbouring constants are merged."""
    merged: list[Fixed | Rotation] = []
    for factor in run:
        last = merged[-1] if merged else None
        if isinstance(factor, Fixed) and isinstance(last, Fixed):
            merged[-1] = _product([last, factor])
        else:
            merged.append(factor)
    out: list[Run] = []
    piece: list[Fixed | Rotation] = []
    for factor in merged:
        if isinstance(factor, Rotation) and sum(isinstance(f, Rotation) for f in piece) == _LONGEST:
            out.append(tuple(piece))
            piece = []
        piece.append(factor)
    return [*out, tuple(piece)]


def _table(form: tuple[str | Fixed, ...]) -> npt.NDArray[np.float64]:
    """(2**k, 8): for each choice of cosine or sine of k rotations, the 2x2 product as re, im pairs."""
    k = sum(isinstance(f, str) for f in form)
    rows = []
    for choice in range(2**k):
        out, j = np.eye(2, dtype=complex), 0
        for f in form:
            if isinstance(f, str):
                sine = (choice >> (k - 1 - j)) & 1
                out = (-1j * _PAULI[f] if sine else np.eye(2)) @ out
                j += 1
            else:
                out = _two_by_two(f.entries) @ out
        rows.append(np.stack([out.real, out.imag], -1).reshape(-1))
    return np.array(rows)


class MatrixBank:
    """Runs of gates on one wire, evaluated together.

    Add every run, then `freeze`, then `evaluate` as often as the weights change.
    """

    def __init__(self) -> None:
        self._runs: dict[Run, int] = {(): 0}
        self._blocks: dict[tuple[int, ...], int] = {}

    def run(self, run: Run) -> int:
        """The number of a run of gates (0 is the identity)."""
        return self._runs.setdefault(run, len(self._runs))

    def block(self, runs: Sequence[int]) -> int:
        """The number of the Kronecker product of runs, first run most significant."""
        return self._blocks.setdefault(tuple(runs), len(self._blocks))

    def freeze(self, shared: Mapping[int, int], like: Tensor) -> None:
        """Build the tables. ``like`` gives the real dtype and the device."""
        runs = list(self._runs)
        varies = [any(isinstance(f, Rotation) for f in run) for run in runs]
        cdtype = torch.promote_types(like.dtype, torch.complex32)
        forms: dict[tuple[str | Fixed, ...], list[Run]] = {}
        place: dict[Run, tuple[tuple[str | Fixed, ...], int]] = {}
        for run, v in zip(runs, varies, strict=True):
            for piece in _pieces(run) if v else ():
                if piece not in place:
                    form = tuple(f.axis if isinstance(f, Rotation) else f for f in piece)
                    place[piece] = (form, len(forms.setdefault(form, [])))
                    forms[form].append(piece)
        self._forms: list[tuple[Tensor, AngleTable, int]] = []
        base: dict[tuple[str | Fixed, ...], int] = {}
        at = 1
        for form, members in forms.items():
            base[form] = at
            at += len(members)
            angles: list[Angle] = [f.angle for piece in members for f in piece if isinstance(f, Rotation)]
            table = torch.tensor(_table(form), dtype=like.dtype, device=like.device)
            k = sum(isinstance(f, str) for f in form)
            self._forms.append((table, AngleTable(angles, shared, like), k))
        # every varying run as a product of pieces, padded with the identity at 0
        chains = [[base[place[p][0]] + place[p][1] for p in _pieces(run)] if v else [] for run, v in zip(runs, varies)]
        longest = max((len(c) for c in chains), default=0)
        self._varying = [i for i, v in enumerate(varies) if v]
        self._chain = [
            torch.tensor([c[j] if j < len(c) else 0 for i in self._varying for c in [chains[i]]], device=like.device)
            for j in range(longest)
        ]
        constants = [np.eye(2) if v else _two_by_two(_product(r).entries) for r, v in zip(runs, varies)]  # type: ignore[arg-type]
        self._eye = torch.eye(2, dtype=cdtype, device=like.device)[None]
        self._constants = torch.tensor(np.array(constants), dtype=cdtype, device=like.device)
        # blocks: constant ones are made now, the others by size, each from rows of [varying runs, all constants]
        row = {i: j for j, i in enumerate(self._varying)}
        self.where: list[tuple[int, int]] = []  # block -> (0, i): constant i; (size, i): varying block i of a size
        self.constant_blocks: list[Tensor] = []
        by_size: dict[int, list[list[int]]] = {}
        for block in self._blocks:
            if any(varies[r] for r in block):
                members_ = by_size.setdefault(len(block), [])
                self.where.append((len(block), len(members_)))
                members_.append([row[r] if varies[r] else len(row) + r for r in block])
            else:
                self.where.append((0, len(self.constant_blocks)))
                self.constant_blocks.append(_kron([self._constants[r] for r in block]))
        self._by_size = {
            size: [torch.tensor(column, device=like.device) for column in zip(*rows, strict=True)]
            for size, rows in sorted(by_size.items())
        }

    @property
    def sizes(self) -> tuple[int, ...]:
        """Wires per varying block, one tensor of `evaluate` each."""
        return tuple(self._by_size)

    def evaluate(self, weights: Tensor) -> list[Tensor]:
        """For each of `sizes`, complex (blocks, 2**size, 2**size) at these shared weights (n_weights,)."""
        if not self._by_size:
            return []
        parts = [self._eye]
        for table, angles, k in self._forms:
            half = angles.evaluate(weights).view(-1, k) * 0.5
            trig = torch.stack([half.cos(), half.sin()], -1)
            monomials = trig[:, 0, :]
            for j in range(1, k):
                monomials = (monomials[:, :, None] * trig[:, j, None, :]).flatten(1)
            parts.append(torch.view_as_complex((monomials @ table).view(-1, 2, 2, 2)))
        pieces = torch.cat(parts)
        runs = pieces.index_select(0, self._chain[0])
        for index in self._chain[1:]:
            runs = pieces.index_select(0, index) @ runs
        everything = torch.cat([runs, self._constants])
        return [_kron([everything.index_select(0, i) for i in columns]) for columns in self._by_size.values()]


def _kron(factors: Sequence[Tensor]) -> Tensor:
    """Kronecker product of (..., a, a) matrices, batched, as a tree."""
    if len(factors) == 1:
        return factors[0]
    half = (len(factors) + 1) // 2
    a, b = _kron(factors[:half]), _kron(factors[half:])
    return (a[..., :, None, :, None] * b[..., None, :, None, :]).flatten(-4, -3).flatten(-2, -1)
