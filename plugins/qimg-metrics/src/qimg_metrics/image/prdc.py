"""Precision, recall, density and coverage from k-nearest-neighbour balls (imports numpy, scipy).

Around each real (generated) row lies the closed ball that reaches its k-th nearest other real (generated) row.

- precision: generated rows inside some real ball; recall: real rows inside some generated ball.
  Kynkaanniemi et al., "Improved precision and recall metric", NeurIPS 2019.
- density: real balls a generated row lies in, over k, on average; coverage: real balls that hold a generated row.
  Naeem et al., "Reliable fidelity and diversity metrics", ICML 2020.

They depend on both sizes. With n generated and m real rows of one distribution the expected coverage is
1 - m!/(m-k)! / ((m+n-1)!/(m+n-1-k)!): 0.969 for n = m and k = 5, 0.60 for n = m / 5. Give both sides the same number.
Precision alone is fooled by one mean image (recall 0), coverage is not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from scipy.spatial.distance import cdist

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, centred_interval, generator, resample_counts
from qimg_metrics.image.arrays import CHUNK, checked_pair

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


@attrs.frozen
class Prdc:
    """The four together: they are read as a vector, never one alone."""

    precision: Estimate
    recall: Estimate
    density: Estimate
    coverage: Estimate


def prdc(
    generated: ArrayLike,
    reference: ArrayLike,
    *,
    k: int = 5,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Prdc:
    """Precision, recall, density and coverage of generated features (n, d) against reference features (m, d).

    The intervals are centred bootstraps over the rows of both sides with the balls held fixed: repeated rows in a
    resample would otherwise shrink the balls to nothing.

    Args:
        generated: one row per generated image.
        reference: one row per real image; as many as generated ones, see above.
        k: neighbours; 5 is usual.
        seed: of the resamples.
        resamples: how many.
        level: of the intervals.

    Raises:
        DataError: bad arrays, k < 1, or not more than k rows on a side.
    """
    fake, real = checked_pair(generated, reference)
    if k < 1 or min(len(fake), len(real)) <= k:
        raise DataError(f"wanted more than k = {k} >= 1 rows on both sides, got {len(fake)} and {len(real)}")
    n, m = len(fake), len(real)
    counts_fake = resample_counts(n, resamples, generator(seed, "prdc_generated")).T.astype(np.float32)
    counts_real = resample_counts(m, resamples, generator(seed, "prdc_reference")).T.astype(np.float32)
    real_radius, fake_radius = _radii(real, k), _radii(fake, k)

    # Column 0 of every sum is the sample itself, the others are the resamples.
    weight_fake = np.concatenate([np.ones((n, 1), np.float32), counts_fake], axis=1)
    weight_real = np.concatenate([np.ones((m, 1), np.float32), counts_real], axis=1)
    balls_around = np.zeros((n, resamples + 1), np.float32)
    recall = np.zeros(resamples + 1)
    coverage = np.zeros(resamples + 1)
    for start in range(0, m, CHUNK):
        block = slice(start, start + CHUNK)
        distance = cdist(real[block], fake)
        in_real = (distance <= real_radius[block, None]).astype(np.float32)
        in_fake = (distance <= fake_radius[None, :]).astype(np.float32)
        coverage += (weight_real[block] * (in_real @ weight_fake > 0)).sum(axis=0, dtype=np.float64)
        recall += (weight_real[block] * (in_fake @ weight_fake > 0)).sum(axis=0, dtype=np.float64)
        balls_around += in_real.T @ weight_real[block]
    precision = (weight_fake * (balls_around > 0)).sum(axis=0, dtype=np.float64) / n
    density = (weight_fake * balls_around).sum(axis=0, dtype=np.float64) / (n * k)

    def estimate(name: str, values: NDArray[np.float64], most: float) -> Estimate:
        low, high = centred_interval(float(values[0]), values[1:], level, least=0.0, most=most)
        return Estimate(
            name=name,
            value=float(values[0]),
            low=low,
            high=high,
            level=level,
            n=n,
            n_reference=m,
            method=f"centred bootstrap over rows of both sides, balls fixed, {resamples} resamples",
            note=f"k = {k}",
        )

    return Prdc(
        estimate("precision", precision, 1.0),
        estimate("recall", recall / m, 1.0),
        estimate("density", density, np.inf),
        estimate("coverage", coverage / m, 1.0),
    )


def _radii(x: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Distance of each row to its k-th nearest other row, shape (n,)."""
    radii = np.empty(len(x))
    for start in range(0, len(x), CHUNK):
        distance = cdist(x[start : start + CHUNK], x)
        rows = np.arange(len(distance))
        distance[rows, start + rows] = -1.0  # the row itself comes first, even before exact copies of it
        radii[start : start + CHUNK] = np.partition(distance, k, axis=1)[:, k]
    return radii
