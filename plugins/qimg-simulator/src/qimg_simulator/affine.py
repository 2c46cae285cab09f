"""Affine angles for all gates at once, with the gradient by hand (imports qimg_core, torch)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.circuit.ir import Angle


class Affine:
    """``scale * parameter + offset`` for a list of angles.

    Args:
        angles: in order; None stands for 0.
        column: row of the source in which each parameter lies.
        like: a tensor of the real dtype on the device.
        factor: multiplies everything (half angles are what most formulas want).
    """

    def __init__(
        self, angles: Sequence[Angle | None], column: Mapping[int, int], like: Tensor, *, factor: float = 1.0
    ) -> None:
        self.size = len(angles)
        moving = [a is not None and a.parameter is not None for a in angles]
        self.constant = not any(moving)
        index = [column[a.parameter] if a is not None and a.parameter is not None else 0 for a in angles]
        scale = [a.scale if a is not None and m else 0.0 for a, m in zip(angles, moving, strict=True)]
        offset = [0.0 if a is None else a.offset for a in angles]

        def real(numbers: list[float]) -> Tensor:
            return torch.tensor([factor * v for v in numbers], dtype=like.dtype, device=like.device)[:, None]

        self._index = torch.tensor(index, dtype=torch.long, device=like.device)
        self._scale, self._offset = real(scale), real(offset)
        # a slice of the source as it stands: nothing to pick
        first = index[0] if index else 0
        self._slice: slice | None = None
        if all(moving) and index == list(range(first, first + len(index))) and factor == 1.0:
            if all(s == 1.0 for s in scale) and not any(offset):
                self._slice = slice(first, first + len(index))

    def evaluate(self, source: Tensor) -> Tensor:
        """(size, W) from a matrix (parameters, W)."""
        if self._slice is not None:
            return source[self._slice]
        if self.constant:
            return self._offset.expand(-1, source.shape[1])
        return torch.addcmul(self._offset, source.index_select(0, self._index), self._scale)

    def pull(self, cotangent: Tensor, into: Tensor) -> None:
        """Add the gradient (size, W) to that of the source (parameters, W)."""
        if self._slice is not None:
            into[self._slice].add_(cotangent)
        elif not self.constant:
            into.index_add_(0, self._index, cotangent * self._scale)
