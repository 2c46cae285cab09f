"""How far distributions of bit strings and images are from those of exact simulation (imports numpy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[np.float64]


def total_variation(p: Array, q: Array) -> Array:
    """Half the sum of absolute differences: (rows, outcomes) twice -> (rows,).

    Raises:
        DataError: of different shapes.
    """
    if p.shape != q.shape:
        raise DataError(f"total variation: wanted distributions of one shape, got {p.shape} and {q.shape}")
    found: Array = np.abs(p - q).sum(1) / 2
    return found


def sampling_floor(p: Array, shots: int, *, seed: int, draws: int = 200) -> Array:
    """Total variation between ``p`` and as many shots of ``p`` itself, its mean over ``draws``: (rows,).

    A device cannot be measured to be closer than this with so many shots.
    """
    rng = np.random.default_rng(seed)
    safe = np.clip(p, 0, None)
    safe = safe / safe.sum(1, keepdims=True)
    return np.array([np.abs(rng.multinomial(shots, row, size=draws) / shots - row).sum(1).mean() / 2 for row in safe])


def pixel_distance(images: Array, exact: Array) -> Array:
    """Mean absolute difference of the pixels of each image, (n,), on the scale of [0, 1].

    Raises:
        DataError: of different shapes.
    """
    if images.shape != exact.shape:
        raise DataError(f"wanted images of one shape, got {images.shape} and {exact.shape}")
    found: Array = np.abs(np.asarray(images, float) - exact).reshape(len(images), -1).mean(1)
    return found
