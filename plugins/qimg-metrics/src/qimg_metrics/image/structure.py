"""Structural coherence: do the parts of an image hang together as in real ones of its class? (imports numpy, scipy).

For each image: SSIM to its nearest real training image of the asked class; the mean, over the same mean for held-out
real images. 1 is as coherent as real images. Below: strokes are broken, blurred or noisy, or belong to another class.
Well above 1: nearer to the training images than real ones are, as copies and averages can be.

Why SSIM to the nearest real image, and not a count of connected strokes: it is defined for textures and grey images as
well, has no threshold to choose, and a class's own variety is in the denominator. What it cannot see: missing variety
(one good image repeated scores 1), for which there are recall and coverage. SSIM: Wang et al., IEEE Trans. Image
Process. 13, 2004, Gaussian window of standard deviation 1.5 cut to 11 x 11, K1 = 0.01, K2 = 0.03, range 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, generator, percentile_interval
from qimg_metrics.image.arrays import checked_images, checked_labels
from qimg_metrics.image.memorisation import nearest_training

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_C1, _C2 = 0.01**2, 0.03**2
_ROWS = 500


def ssim(x: ArrayLike, y: ArrayLike) -> NDArray[np.float64]:
    """Structural similarity of each pair of images (n, h, w, c), mean over pixels and channels: (n,), 1 for equal ones.

    Images are continued by reflection at their edges.

    Raises:
        DataError: bad images, or different shapes.
    """
    left, right = checked_images(x), checked_images(y)
    if left.shape != right.shape:
        raise DataError(f"wanted pairs of images of one shape, got {left.shape} and {right.shape}")
    parts = [_ssim(left[at : at + _ROWS], right[at : at + _ROWS]) for at in range(0, len(left), _ROWS)]
    return np.concatenate(parts)


def likeness_to_class(
    images: ArrayLike, classes: ArrayLike, train: ArrayLike, train_labels: ArrayLike
) -> NDArray[np.float64]:
    """SSIM of each image to its nearest (Euclidean) training image of its class, shape (n,).

    Args:
        images: (n, h, w, c) in [0, 1].
        classes: class of each, as asked (n,).
        train: training images (m, h, w, c).
        train_labels: their classes (m,).

    Raises:
        DataError: bad arrays, or a class of which there is no training image.
    """
    array, pool = checked_images(images), checked_images(train, "training images")
    wanted = checked_labels(classes, len(array), "asked classes")
    have = checked_labels(train_labels, len(pool), "training labels")
    out = np.empty(len(array))
    for c in np.unique(wanted):
        rows, own = np.flatnonzero(wanted == c), np.flatnonzero(have == c)
        if not len(own):
            raise DataError(f"no training image of class {c}")
        _, nearest = nearest_training(array[rows], pool[own])
        out[rows] = ssim(array[rows], pool[own[nearest]])
    return out


def structural_coherence(
    generated: NDArray[np.float64],
    held_out: NDArray[np.float64],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """Mean likeness of generated images over that of held-out real ones, both from `likeness_to_class`.

    Args:
        generated: (n,).
        held_out: (m,).
        seed: of the resamples.
        resamples: how many.
        level: of the percentile interval over both sets.

    Raises:
        DataError: held-out images that are on average not alike to training images at all.
    """
    below = float(held_out.mean())
    if not below > 0:
        raise DataError(f"held-out images have a mean SSIM of {below:.3g} to training images: no scale to measure by")
    rng = generator(seed, "structural_coherence")
    draws = []
    for _ in range(resamples):
        top = generated[rng.integers(0, len(generated), len(generated))].mean()
        draws.append(top / held_out[rng.integers(0, len(held_out), len(held_out))].mean())
    low, high = percentile_interval(draws, level)
    value = float(generated.mean()) / below
    return Estimate(
        name="structural_coherence",
        value=value,
        low=min(low, value),
        high=max(high, value),
        level=level,
        n=len(generated),
        n_reference=len(held_out),
        method=f"percentile bootstrap over both sets, {resamples} resamples",
        note="SSIM to the nearest training image of the asked class, over that of held-out real images",
    )


def _ssim(left: NDArray[np.floating], right: NDArray[np.floating]) -> NDArray[np.float64]:
    x, y = left.astype(np.float64), right.astype(np.float64)

    def blur(values: NDArray[np.float64]) -> NDArray[np.float64]:
        out: NDArray[np.float64] = gaussian_filter(values, sigma=(0, 1.5, 1.5, 0), truncate=3.5)  # radius 5
        return out

    mx, my = blur(x), blur(y)
    vx, vy, cov = blur(x * x) - mx * mx, blur(y * y) - my * my, blur(x * y) - mx * my
    score = (2 * mx * my + _C1) * (2 * cov + _C2) / ((mx * mx + my * my + _C1) * (vx + vy + _C2))
    mean: NDArray[np.float64] = score.mean(axis=(1, 2, 3))
    return mean
