"""Images as states of eight qubits, and back (imports qimg_core, torch).

A state is a complex vector of 256 amplitudes, row by row of the image. An image becomes real
amplitudes; a sample becomes pixels by its absolute values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from qimg_core.datasets.resize import resize
from qimg_core.errors import DataError
from qimg_diffusion.paper_2602.config import DIMENSION, SIZE

if TYPE_CHECKING:
    import numpy.typing as npt


def to_states(pixels: npt.NDArray[np.float32], preprocessing: str) -> torch.Tensor:
    """Pixels (n, h, w, 1) in [0, 1] -> float32 amplitudes (n, 256).

    Args:
        pixels: of one channel.
        preprocessing: see `PaperConfig`. "released" leaves norms near 16 / h; "resize-first" gives norm 1.

    Raises:
        DataError: another shape, NaN, or an all-black image, which is no state.
    """
    if pixels.ndim != 4 or pixels.shape[3] != 1 or pixels.shape[0] < 1:
        raise DataError(f"wanted images (n, h, w, 1), got shape {pixels.shape}", hint="convert colour images to grey")
    if not np.isfinite(pixels).all():
        raise DataError("images hold NaN or infinite values")
    x = np.asarray(pixels, dtype=np.float32)
    if preprocessing == "resize-first":
        x = resize(x, (SIZE, SIZE))
    norms = np.sqrt(np.square(x, dtype=np.float64).sum((1, 2, 3)))
    if not norms.all():
        raise DataError(f"image {int(np.argmin(norms))} is all black, and a zero vector is no quantum state")
    unit = torch.from_numpy((x / norms[:, None, None, None]).astype(np.float32)).movedim(3, 1)
    if unit.shape[2:] != (SIZE, SIZE):
        unit = torch.nn.functional.interpolate(unit, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return unit.reshape(-1, DIMENSION)


def from_noise(noise: Any) -> torch.Tensor:
    """Real noise (n, 2, 16, 16), real and imaginary parts -> unit states (n, 256): Haar-random for normal noise."""
    parts = torch.from_numpy(np.array(noise, dtype=np.float32)).flatten(2)
    return unit_norm(torch.complex(parts[:, 0].contiguous(), parts[:, 1].contiguous()))


def to_pixels(states: torch.Tensor, rescale: str) -> torch.Tensor:
    """|amplitude| (n, 256) -> pixels (n, 16, 16, 1) in [0, 1], each image by itself.

    Args:
        states: complex.
        rescale: "minmax": (a - min) / (max - min); "max": a / max.
    """
    a = states.abs()
    low = a.amin(1, keepdim=True) if rescale == "minmax" else torch.zeros_like(a[:, :1])
    high = a.amax(1, keepdim=True)
    return ((a - low) / (high - low + 1e-8)).clamp(0, 1).reshape(-1, SIZE, SIZE, 1)


def unit_norm(states: torch.Tensor) -> torch.Tensor:
    """Each row divided by its norm (plus 1e-8, as released)."""
    out: torch.Tensor = states / (torch.linalg.vector_norm(states, dim=-1, keepdim=True) + 1e-8)
    return out
