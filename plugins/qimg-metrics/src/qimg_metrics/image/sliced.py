"""Sliced Wasserstein distance: a distance of pixels that needs no network (imports numpy).

    SW = sqrt( mean over directions u of W2(u.x, u.y)^2 )

Rabin et al., SSVM 2011; Bonneel et al., J. Math. Imaging Vis. 51, 2015. On one axis W2 is the distance of the quantile
functions, found exactly for any two sizes. For two isotropic normals SW^2 = |m1 - m2|^2 / d + (s1 - s2)^2.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np

from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.bootstrap import LEVEL, Estimate, centred_interval, generator, resample_counts
from qimg_metrics.image.arrays import checked_features

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

DIRECTIONS = 128


@attrs.frozen(eq=False)
class Slices:
    """Reference rows seen from fixed random directions: made once, used for every arm.

    Args:
        directions: unit vectors (d, p), uniform on the sphere.
        values: the projected reference rows, sorted (p, m).
    """

    directions: NDArray[np.float64]
    values: NDArray[np.float64]


def make_slices(reference: ArrayLike, *, directions: int = DIRECTIONS, seed: int = 0) -> Slices:
    """Project reference rows (m, d) on random directions.

    Raises:
        DataError: bad rows.
        ConfigurationError: no directions.
    """
    rows = checked_features(reference, "reference rows")
    if directions < 1:
        raise ConfigurationError(f"wanted one direction or more, got {directions}")
    vectors = generator(seed, "sliced_directions").standard_normal((rows.shape[1], directions))
    vectors /= np.linalg.norm(vectors, axis=0)
    return Slices(vectors, np.sort((rows @ vectors).T, axis=1))


def wasserstein(x: NDArray[np.float64], y: NDArray[np.float64], *, order: int = 2) -> NDArray[np.float64]:
    """W_order(x, y)^order of each pair of samples on a line, exact for any sizes.

    Args:
        x: sorted samples (..., n).
        y: sorted samples (..., m).
        order: the power of the distance.

    Returns:
        (...): the mean over u in (0, 1) of |quantile_x(u) - quantile_y(u)|^order.
    """
    n, m = x.shape[-1], y.shape[-1]
    # Both quantile functions are constant between these points, kept as whole multiples of 1 / (n m): no rounding.
    ends = np.union1d(np.arange(1, n + 1) * m, np.arange(1, m + 1) * n)
    widths = np.diff(ends, prepend=0) / (n * m)
    gap = np.abs(x[..., (ends - 1) // m] - y[..., (ends - 1) // n])
    out: NDArray[np.float64] = (gap**order) @ widths
    return out


def sliced_distance(rows: NDArray[np.float64], slices: Slices) -> float:
    """The distance of rows (n, d) from the reference, without an interval."""
    return float(np.sqrt(wasserstein(np.sort((rows @ slices.directions).T, axis=1), slices.values).mean()))


def sliced_wasserstein(
    generated: ArrayLike,
    slices: Slices,
    *,
    seed: int = 0,
    resamples: int = 100,
    level: float = LEVEL,
) -> Estimate:
    """Sliced Wasserstein distance of generated rows (n, d) from the reference; larger than 0 for real rows too.

    Args:
        generated: one row per image, e.g. its pixels.
        slices: from `make_slices`; values compare only within the same ones.
        seed: of the resamples.
        resamples: of the generated rows.
        level: of the centred interval, at this N.

    Raises:
        DataError: bad rows, or another width.
    """
    rows = checked_features(generated, "generated rows")
    if rows.shape[1] != len(slices.directions):
        raise DataError(f"wanted rows of width {len(slices.directions)}, got {rows.shape[1]}")
    n = len(rows)
    seen = (rows @ slices.directions).T
    order = np.argsort(seen, axis=1)
    seen = np.take_along_axis(seen, order, axis=1)
    value = float(np.sqrt(wasserstein(seen, slices.values).mean()))
    draws = np.empty(resamples)
    for i, counts in enumerate(resample_counts(n, resamples, generator(seed, "sliced"))):
        # Every direction repeats the same images, so each row below has n values again, still sorted.
        drawn = np.repeat(seen.ravel(), counts.astype(np.int64)[order].ravel()).reshape(seen.shape)
        draws[i] = np.sqrt(wasserstein(drawn, slices.values).mean())
    low, high = centred_interval(value, draws, level, least=0.0)
    return Estimate(
        name="sliced_wasserstein",
        value=value,
        low=low,
        high=high,
        level=level,
        n=n,
        n_reference=slices.values.shape[1],
        method=f"centred bootstrap over generated rows, {resamples} resamples",
        note=f"{slices.values.shape[0]} directions; compare with the floor at the same N",
    )
