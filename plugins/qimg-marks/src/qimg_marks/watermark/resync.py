"""The search for where a cropped, shifted or rescaled image once lay (imports numpy, scipy, pillow late, spread).

Every candidate says: the image at hand, brought to this size, lies at this place of a canvas of the original size.
All places of one size are ranked by one correlation with the pattern; the best are decided by the same statistic as an
image that was not cropped, with the rest of the canvas empty. Every candidate that was ranked counts as a try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from qimg_marks.watermark.spread import brightness, scaled, spatial, statistic, variance, whitened

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Array = npt.NDArray[np.float64]
    Bytes = npt.NDArray[np.uint8]

SMALLEST = 0.85
"""Share of a side that a crop has left."""
MARGIN = 4
"""Pixels by which an image may stick out of the canvas: a shift that lost a border."""
KEPT = 24
"""Candidates that are decided exactly."""


@frozen(kw_only=True)
class Place:
    """Where the image was found.

    Args:
        statistic: T there.
        size: height and width that it was brought to.
        top, left: of it on the canvas.
        tries: candidates in the search.
    """

    statistic: float
    size: tuple[int, int]
    top: int
    left: int
    tries: int

    def __str__(self) -> str:
        return f"brought to {self.size[0]}x{self.size[1]}, {self.top} down and {self.left} right"


def search(pixels: Bytes, signs: Array, *, smallest: float = SMALLEST) -> Place:
    """The best place of images that were all cropped alike.

    Args:
        pixels: uint8 (n, h, w, c).
        signs: of the canvas, see `qimg_marks.watermark.spread.pattern_signs`; its shape is the original's.
        smallest: share of a side that is left at least.
    """
    canvas = (signs.shape[0], signs.shape[1])
    grey, pattern = brightness(pixels), spatial(signs)
    ranked: list[tuple[float, int, int, int]] = []
    tries, patches = 0, []
    sizes = _sizes(canvas, (grey.shape[1], grey.shape[2]), smallest)
    for k, size in enumerate(sizes):
        images = [_resized(image, size) for image in grey]
        patches.append(np.sum([_flat(image) for image in images], 0))
        found = spatial(np.sum([whitened(image) for image in images], 0))
        scores = _correlated(found, pattern) / max(float(np.sqrt((found**2).sum())), 1e-12)
        tops = np.arange(-MARGIN, canvas[0] - size[0] + MARGIN + 1)
        lefts = np.arange(-MARGIN, canvas[1] - size[1] + MARGIN + 1)
        part = scores[np.ix_(tops % scores.shape[0], lefts % scores.shape[1])]
        tries += part.size
        for at in np.argsort(part, axis=None)[-KEPT:]:
            i, j = np.unravel_index(at, part.shape)
            ranked.append((float(part[i, j]), k, int(tops[i]), int(lefts[j])))
    best: tuple[float, int, int, int] | None = None
    for _, k, top, left in sorted(ranked)[-KEPT:]:
        t = statistic(scaled(_transformed(_placed(patches[k], canvas, top, left))), signs)
        if best is None or t > best[0]:
            best = (t, k, top, left)
    assert best is not None
    return Place(statistic=best[0], size=sizes[best[1]], top=best[2], left=best[3], tries=tries)


def _sizes(canvas: tuple[int, int], own: tuple[int, int], smallest: float) -> Sequence[tuple[int, int]]:
    """From the whole canvas down in steps of one pixel of the shorter side, and the size that the image has."""
    short = min(canvas)
    steps = int(short * (1 - smallest))
    sizes = [(round(canvas[0] * (short - s) / short), round(canvas[1] * (short - s) / short)) for s in range(steps + 1)]
    fits = own[0] <= canvas[0] and own[1] <= canvas[1]
    return [*sizes, own] if fits and own not in sizes else sizes


def _resized(image: Array, size: tuple[int, int]) -> Array:
    if image.shape == size:
        return image
    from PIL import Image

    picture = Image.fromarray(image.astype(np.float32))
    return np.asarray(picture.resize((size[1], size[0]), Image.Resampling.BICUBIC), np.float64)


def _flat(image: Array) -> Array:
    from scipy.ndimage import gaussian_filter

    from qimg_marks.watermark.spread import WINDOW

    out: Array = (image - gaussian_filter(image, WINDOW)) / variance(image)
    return out


def _correlated(image: Array, pattern: Array) -> Array:
    """sum_p image(p) pattern(p + d) for every displacement d, negative ones at the end of each axis."""
    from scipy.fft import irfft2, next_fast_len, rfft2

    shape = [next_fast_len(pattern.shape[i] + image.shape[i], real=True) for i in (0, 1)]
    out: Array = irfft2(rfft2(pattern, shape) * np.conj(rfft2(image, shape)), shape)
    return out


def _placed(patch: Array, canvas: tuple[int, int], top: int, left: int) -> Array:
    out = np.zeros(canvas)
    h, w = patch.shape
    y0, y1, x0, x1 = max(top, 0), min(top + h, canvas[0]), max(left, 0), min(left + w, canvas[1])
    out[y0:y1, x0:x1] = patch[y0 - top : y1 - top, x0 - left : x1 - left]
    return out


def _transformed(image: Array) -> Array:
    from scipy.fft import dctn

    out: Array = dctn(image, norm="ortho")
    return out
