"""Is it drawing or copying? Distances to the nearest training image, in pixel space (imports numpy).

`nn_ratio` = median distance of a generated image to its nearest training image over the same for held-out real images.
About 1 is good, below 0.7 copying, well above 1 noise; a blur moves it either way. Authenticity: Alaa et al., "How
faithful is your synthetic data?", ICML 2022.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, generator, percentile_interval, wilson
from qimg_metrics.image.arrays import checked_images

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

_ROWS = 500


def nearest_training(
    images: ArrayLike, train: ArrayLike, *, exclude: ArrayLike | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Euclidean distance to, and index of, the nearest training image of each image.

    Args:
        images: (n, h, w, c) in [0, 1].
        train: (m, h, w, c) in [0, 1].
        exclude: for each image, the index of one training image not to look at (itself), or None.

    Returns:
        Distances (n,), exactly 0 for an exact copy, and indices (n,).

    Raises:
        DataError: bad images or different shapes.
    """
    query, pool = checked_images(images), checked_images(train, "training images")
    if query.shape[1:] != pool.shape[1:]:
        raise DataError(f"images of shape {query.shape[1:]} against training images of shape {pool.shape[1:]}")
    skip = None if exclude is None else np.asarray(exclude, dtype=np.int64)
    if len(pool) < (1 if skip is None else 2):
        raise DataError("no other training image to compare with")
    n = len(query)
    flat = np.ascontiguousarray(query.reshape(n, -1), dtype=np.float32)
    best, index = np.full(n, np.inf, dtype=np.float32), np.zeros(n, dtype=np.int64)
    for start in range(0, len(pool), 10_000):
        part = np.ascontiguousarray(pool[start : start + 10_000].reshape(-1, flat.shape[1]), dtype=np.float32)
        half_norm = (part * part).sum(axis=1) / 2
        for row in range(0, n, _ROWS):
            score = half_norm - flat[row : row + _ROWS] @ part.T  # same order as the distance, one pass fewer
            if skip is not None:
                local = skip[row : row + _ROWS] - start
                inside = np.flatnonzero((local >= 0) & (local < len(part)))
                score[inside, local[inside]] = np.inf
            nearest = score.argmin(axis=1)
            value = score[np.arange(len(score)), nearest]
            better = value < best[row : row + _ROWS]
            best[row : row + _ROWS][better] = value[better]
            index[row : row + _ROWS][better] = nearest[better] + start
    # The search above loses digits by cancellation; the distance itself is computed anew, so that a copy is at 0.
    difference = query.reshape(n, -1).astype(np.float64) - pool[index].reshape(n, -1).astype(np.float64)
    return np.sqrt((difference * difference).sum(axis=1)), index


def nn_ratio(
    images: ArrayLike,
    train: ArrayLike,
    held_out: ArrayLike,
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """Median nearest-training distance of generated images over that of held-out real images.

    Args:
        images: generated (n, h, w, c) in [0, 1].
        train: all training images of the generator.
        held_out: real images that the generator never saw.
        seed: of the resamples.
        resamples: how many.
        level: of the percentile interval over both sets.

    Raises:
        DataError: bad images, different shapes, or held-out images that are copies of training images.
    """
    return ratio_of_distances(
        nearest_training(images, train)[0],
        nearest_training(held_out, train)[0],
        seed=seed,
        resamples=resamples,
        level=level,
    )


def ratio_of_distances(
    generated: NDArray[np.float64],
    held_out: NDArray[np.float64],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """`nn_ratio` from distances already found, shapes (n,) and (m,).

    Raises:
        DataError: the held-out images' median distance is 0: they were not held out.
    """
    below = float(np.median(held_out))
    if not below > 0:
        raise DataError("the held-out images are copies of training images: their median distance is 0")
    rng = generator(seed, "nn_ratio")
    draws = np.empty(resamples)
    for i in range(resamples):
        top = np.median(generated[rng.integers(0, len(generated), len(generated))])
        bottom = np.median(held_out[rng.integers(0, len(held_out), len(held_out))])
        draws[i] = top / bottom if bottom > 0 else np.nan
    low, high = percentile_interval(draws[np.isfinite(draws)], level)
    value = float(np.median(generated)) / below
    copies = int((generated == 0).sum())
    return Estimate(
        name="nn_ratio",
        value=value,
        low=low,
        high=high,
        level=level,
        n=len(generated),
        n_reference=len(held_out),
        method=f"percentile bootstrap over both sets, {resamples} resamples",
        note=f"pixel space; exact copies of a training image: {copies}",
    )


def authenticity(images: ArrayLike, train: ArrayLike, *, level: float = LEVEL) -> Estimate:
    """Share of generated images farther from their nearest training image than that one is from its own nearest.

    Raises:
        DataError: bad images, different shapes, or a single training image.
    """
    pool = checked_images(train, "training images")
    distance, index = nearest_training(images, pool)
    return authenticity_of(distance, index, pool, level=level)


def authenticity_of(
    distance: NDArray[np.float64], index: NDArray[np.int64], pool: NDArray[np.floating], *, level: float = LEVEL
) -> Estimate:
    """`authenticity` from what `nearest_training` found in the training images `pool`.

    Raises:
        DataError: a single training image.
    """
    unique, back = np.unique(index, return_inverse=True)
    own = nearest_training(pool[unique], pool, exclude=unique)[0][back]
    right, n = int((distance > own).sum()), len(distance)
    low, high = wilson(right, n, level)
    return Estimate(
        name="authenticity",
        value=right / n,
        low=low,
        high=high,
        level=level,
        n=n,
        n_reference=len(pool),
        method="Wilson",
        note="pixel space; 0 for copies",
    )
