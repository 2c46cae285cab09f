"""Every run of gates on one wire of a circuit, and the Kronecker blocks made of them (imports torch).

A run of rotations about fixed axes is linear in the monomials of a few functions of its angles, so
all runs of the same form come out of one small matrix product with a constant table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from attrs import frozen
from torch import Tensor

from qimg_core.circuit.gates import GateName, matrix
from qimg_simulator.angles import AngleTable
from qimg_simulator.primitives import Axis, Fixed, Rotation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle

    Form = tuple[Axis | Fixed, ...]

Run = tuple[Fixed | Rotation, ...]
_LONGEST = 3


@frozen(eq=False)
class Algebra:
    """How a rotation is written as a sum of constant matrices times functions of its angle.

    Args:
        size: 2 for matrices on amplitudes, 4 for those on Pauli vectors.
        factors: per axis the matrices, one for each function.
        bloch: the functions are 1, cos(a), sin(a); else cos(a/2), sin(a/2).
    """

    size: int
    factors: Mapping[Axis, Sequence[npt.NDArray[np.complex128]]]
    bloch: bool

    def functions(self, angle: Tensor) -> Tensor:
        """(..., number of functions)."""
        if self.bloch:
            return torch.stack([torch.ones_like(angle), angle.cos(), angle.sin()], -1)
        return torch.stack([(angle * 0.5).cos(), (angle * 0.5).sin()], -1)


def _amplitudes() -> Algebra:
    axes: tuple[Axis, ...] = ("x", "y", "z")
    return Algebra(2, {a: (np.eye(2, dtype=complex), -1j * matrix(GateName(a))) for a in axes}, bloch=False)


AMPLITUDES = _amplitudes()


def _product(run: Sequence[Fixed], size: int) -> Fixed:
    out = np.eye(size, dtype=complex)
    for factor in run:
        out = factor.array @ out
    return Fixed.from_array(out)


def _pieces(run: Run, size: int) -> list[Run]:
    """Cut a run so that a piece has at most `_LONGEST` rotations; neighbouring constants are merged."""
    merged: list[Fixed | Rotation] = []
    for factor in run:
        last = merged[-1] if merged else None
        if isinstance(factor, Fixed) and isinstance(last, Fixed):
            merged[-1] = _product([last, factor], size)
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


def _table(form: Form, algebra: Algebra) -> npt.NDArray[np.complex128]:
    """(functions**k, size**2): for each choice of one function per rotation, the product of the matrices."""
    out = np.eye(algebra.size, dtype=complex)[None]
    for factor in form:
        parts = np.stack([factor.array] if isinstance(factor, Fixed) else algebra.factors[factor])
        out = np.concatenate([parts @ before for before in out])
    return np.asarray(out.reshape(len(out), -1))


class MatrixBank:
    """Runs of gates on one wire, evaluated together.

    After `freeze`, ``where[block]`` is (0, i) for ``constant_blocks[i]``, or (wires, i) for the i-th
    matrix of that size from `evaluate`.

    Add every run, then `freeze`, then `evaluate` as often as the weights change.
    """

    def __init__(self, algebra: Algebra) -> None:
        self._algebra = algebra
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
        size, device = self._algebra.size, like.device
        dtype = torch.promote_types(like.dtype, torch.complex32) if size == 2 else like.dtype

        def tensor(array: npt.NDArray[np.complex128]) -> Tensor:
            return torch.tensor(array if dtype.is_complex else array.real, dtype=dtype, device=device)

        runs = list(self._runs)
        pieces = [_pieces(r, size) if any(isinstance(f, Rotation) for f in r) else [] for r in runs]
        forms: dict[Form, dict[Run, int]] = {}
        for piece in (p for found in pieces for p in found):
            members = forms.setdefault(_form(piece), {})
            members.setdefault(piece, len(members))
        self._forms: list[tuple[Tensor, AngleTable, int]] = []
        place: dict[Run, int] = {}
        for form, members in forms.items():
            start = len(place) + 1  # 0 is the identity
            place.update({piece: start + i for piece, i in members.items()})
            angles: list[Angle] = [f.angle for piece in members for f in piece if isinstance(f, Rotation)]
            k = sum(not isinstance(f, Fixed) for f in form)
            table = tensor(_table(form, self._algebra))
            self._forms.append((table, AngleTable(angles, shared, like), k))
        # every varying run is a product of pieces, padded with the identity
        chains = [[place[p] for p in found] for found in pieces if found]
        longest = max(map(len, chains), default=0)
        padded = [chain + [0] * (longest - len(chain)) for chain in chains]
        self._chain = [torch.tensor(column, device=device) for column in zip(*padded, strict=True)]
        self._eye = torch.eye(size, dtype=dtype, device=device)[None]
        eye = np.eye(size, dtype=complex)
        constants = [
            eye if p else _product([f for f in r if isinstance(f, Fixed)], size).array
            for r, p in zip(runs, pieces, strict=True)
        ]
        self._constants = tensor(np.array(constants))
        # blocks: constant ones are made now; the others pick from [varying runs, all constants]
        row = {i: j for j, i in enumerate(i for i, found in enumerate(pieces) if found)}
        self.where: list[tuple[int, int]] = []
        self.constant_blocks: list[Tensor] = []
        by_size: dict[int, list[list[int]]] = {}
        for block in self._blocks:
            if any(r in row for r in block):
                same = by_size.setdefault(len(block), [])
                self.where.append((len(block), len(same)))
                same.append([row.get(r, len(row) + r) for r in block])
            else:
                self.where.append((0, len(self.constant_blocks)))
                self.constant_blocks.append(kron([self._constants[r] for r in block]))
        self._by_size = {
            wires: [torch.tensor(column, device=device) for column in zip(*picks, strict=True)]
            for wires, picks in sorted(by_size.items())
        }

    @property
    def sizes(self) -> tuple[int, ...]:
        """Wires per varying block, one tensor of `evaluate` each."""
        return tuple(self._by_size)

    def evaluate(self, weights: Tensor) -> list[Tensor]:
        """For each of `sizes`, (blocks, d**size, d**size) at these shared weights (n_weights,), d the algebra's."""
        if not self._by_size:
            return []
        side = self._algebra.size
        parts = [self._eye]
        for table, angles, k in self._forms:
            values = self._algebra.functions(angles.evaluate(weights).view(-1, k))
            monomials = values[:, 0, :]
            for j in range(1, k):
                monomials = (monomials[:, :, None] * values[:, j, None, :]).flatten(1)
            parts.append((monomials.to(table.dtype) @ table).view(-1, side, side))
        pieces = torch.cat(parts)
        runs = pieces.index_select(0, self._chain[0])
        for index in self._chain[1:]:
            runs = pieces.index_select(0, index) @ runs
        everything = torch.cat([runs, self._constants])
        return [kron([everything.index_select(0, i) for i in columns]) for columns in self._by_size.values()]


def _form(piece: Run) -> Form:
    return tuple(f.axis if isinstance(f, Rotation) else f for f in piece)


def kron(factors: Sequence[Tensor]) -> Tensor:
    """Kronecker product of (..., a, a) matrices, batched, as a tree."""
    if len(factors) == 1:
        return factors[0]
    half = (len(factors) + 1) // 2
    a, b = kron(factors[:half]), kron(factors[half:])
    return (a[..., :, None, :, None] * b[..., None, :, None, :]).flatten(-4, -3).flatten(-2, -1)
