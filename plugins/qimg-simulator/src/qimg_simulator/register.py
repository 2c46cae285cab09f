"""Amplitudes of a ``prepare`` gate, checked (imports torch, errors)."""

from __future__ import annotations

import torch
from torch import Tensor

from qimg_core.errors import DataError


def register(values: Tensor, size: int, *, real: bool) -> Tensor:
    """(size, B) amplitudes of a ``prepare`` gate: real ones, or real and then imaginary parts.

    Args:
        values: (size, B), or (2 * size, B).
        size: 2**wires.
        real: keep real amplitudes real.

    Raises:
        DataError: amplitudes whose norm is not 1.
    """
    tolerance = 1e-3 if values.dtype == torch.float32 else 1e-6
    worst = float((values.detach().square().sum(0) - 1).abs().max())
    if not worst <= tolerance:
        raise DataError(
            f"prepare: amplitudes must have norm 1, a row's squared norm is off by {worst:.3g}",
            hint="normalise the amplitudes, or use an encoder, which does",
        )
    if len(values) == size:
        return values if real else values.to(torch.promote_types(values.dtype, torch.complex32))
    return torch.complex(values[:size], values[size:])
