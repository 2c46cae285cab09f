"""Resizing in exact integer arithmetic (floor 4; imports numpy, errors, source).

8-bit images give 8-bit images, rounded once, and the same on every machine: weights and sums are
whole numbers held exactly in float64 (all below 2**53), so that no summation order can change a
pixel and the digest of a resized dataset can be compared anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.datasets.source import ArraySource, ImageSource
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    import numpy.typing as npt

LARGEST = 4096


def weights(old: int, new: int) -> tuple[npt.NDArray[np.float64], int]:
    """Whole-number weights (new, old) of one axis and the number that each row sums to.

    Smaller: the average over the area that a new pixel covers, parts of pixels counted by their
    part. Larger: linear between pixel centres, edges repeated (half-pixel centres, as PIL and
    torch with ``align_corners=False``).
    """
    out = np.zeros((new, old))
    if new == old:
        return np.eye(old), 1
    if new < old:  # a new pixel is [j*old, (j+1)*old) and an old one [i*new, (i+1)*new), on a common ruler
        for j in range(new):
            for i in range(j * old // new, -(-(j + 1) * old // new)):
                out[j, i] = min((j + 1) * old, (i + 1) * new) - max(j * old, i * new)
        return out, old
    for j in range(new):
        low, part = divmod((2 * j + 1) * old - new, 2 * new)
        out[j, max(low, 0)] += 2 * new - part
        out[j, min(low + 1, old - 1)] += part
    return out, 2 * new


def resize(pixels: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[Any]:
    """Images (n, h, w, c) at another (height, width): area average down, bilinear up, by axis.

    Args:
        pixels: uint8 or float32.
        size: (height, width) wanted.

    Returns:
        (n, height, width, c), the type of ``pixels``; 8-bit values rounded half up.
    """
    n, height, width, channels = pixels.shape
    rows, row_sum = weights(height, size[0])
    columns, column_sum = weights(width, size[1])
    total = row_sum * column_sum
    out = np.empty((n, *size, channels), pixels.dtype)
    some = max(1, (1 << 22) // max(height * width * channels, size[0] * size[1] * channels))
    for at in range(0, n, some):
        part = pixels[at : at + some].astype(np.float64).transpose(0, 3, 1, 2)
        summed = (rows @ part @ columns.T).transpose(0, 2, 3, 1)
        if pixels.dtype == np.uint8:
            out[at : at + some] = (2 * summed.astype(np.int64) + total) // (2 * total)
        else:
            out[at : at + some] = np.clip(summed / total, 0, 1)
    return out


def resized(source: ImageSource, size: int | tuple[int, int]) -> ImageSource:
    """The same images at another size; the source itself if it already has it.

    Args:
        source: any source.
        size: (height, width), or one number for both.

    Raises:
        ConfigurationError: a size below 1 or above 4096.
    """
    wanted = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(wanted) != 2 or not all(isinstance(s, int) and 1 <= s <= LARGEST for s in wanted):
        raise ConfigurationError(f"a size is a number from 1 to {LARGEST}, or (height, width), got {size!r}")
    height, width = wanted
    if source.shape[:2] == (height, width):
        return source
    held = source if isinstance(source, ArraySource) else ArraySource(name=source.name, pixels=source.all())
    return ArraySource(
        name=f"{source.name}@{height}x{width}",
        pixels=resize(held.pixels, (height, width)),
        labels=source.labels,
        provenance={
            **source.provenance,
            "resized": {"from": source.digest, "height": height, "width": width, "by": "area down, bilinear up"},
        },
    )
