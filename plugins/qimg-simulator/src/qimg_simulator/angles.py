"""Tables of affine angles, evaluated for all gates at once (imports qimg_core, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.circuit.ir import Angle, Circuit


def columns(circuit: Circuit, *, weights_by_row: bool) -> tuple[dict[int, int], dict[int, int]]:
    """Where each parameter's value lies: (parameter -> row of the by-row matrix, -> shared vector).

    The by-row matrix holds the inputs, then the weights if those differ by row.
    """
    rows = {p: i for i, p in enumerate(circuit.input_indices)}
    shared = {p: i for i, p in enumerate(circuit.weight_indices)}
    if not weights_by_row:
        return rows, shared
    return {**rows, **{p: len(rows) + i for p, i in shared.items()}}, {}


class AngleTable:
    """``scale * parameter + offset`` for a list of angles.

    Args:
        angles: what to evaluate, in order; constants are allowed.
        column: where each parameter lies in the source.
    """

    def __init__(self, angles: Sequence[Angle], column: Mapping[int, int], like: Tensor) -> None:
        constant = [a.parameter is None for a in angles]
        self.size = len(angles)
        index = [0 if a.parameter is None else column[a.parameter] for a in angles]
        scale = [0.0 if c else a.scale for a, c in zip(angles, constant, strict=True)]
        self._index = torch.tensor(index, dtype=torch.long, device=like.device)
        self._scale = torch.tensor(scale, dtype=like.dtype, device=like.device)
        self._offset = torch.tensor([a.offset for a in angles], dtype=like.dtype, device=like.device)
        self._all_constant = all(constant)
        self._plain = all(s == 1.0 for s in scale) and not any(a.offset for a in angles)

    def evaluate(self, source: Tensor) -> Tensor:
        """(size,) from a vector of parameters, (size, B) from a matrix (parameters, B)."""
        shape = (-1,) + (1,) * (source.ndim - 1)
        if self._all_constant:
            return self._offset.view(shape).expand(self.size, *source.shape[1:])
        picked = source.index_select(0, self._index)
        return picked if self._plain else picked * self._scale.view(shape) + self._offset.view(shape)

    def pull(self, cotangent: Tensor, source: Tensor) -> Tensor:
        """The gradient of a source from that of the angles: shaped like the source."""
        out = torch.zeros_like(source)
        if self._all_constant:
            return out
        scale = self._scale.view((-1,) + (1,) * (source.ndim - 1))
        return out.index_add_(0, self._index, cotangent if self._plain else cotangent * scale)
