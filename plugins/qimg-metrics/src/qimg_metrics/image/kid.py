"""Kernel distance: the unbiased squared maximum mean discrepancy with a cubic kernel (imports numpy).

    k(x, y) = (x.y / d + 1)^3

Binkowski et al., "Demystifying MMD GANs", ICLR 2018; the estimator is MMD_u^2 of Gretton et al., JMLR 13, 2012. Its
mean is 0 for two samples of one distribution at any N (single values fall below 0), which is why it is reported first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import ConfigurationError
from qimg_metrics.bootstrap import LEVEL, Estimate, centred_interval, generator
from qimg_metrics.image.arrays import CHUNK, checked_pair

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def mmd2_unbiased(x: ArrayLike, y: ArrayLike) -> float:
    """Unbiased squared MMD of rows x (n, d) and y (m, d) with the cubic kernel; n, m >= 2.

    Raises:
        DataError: bad arrays or different widths.
    """
    left, right = checked_pair(x, y)
    return _mmd2(left, right)


def kid(
    generated: ArrayLike,
    reference: ArrayLike,
    *,
    seed: int = 0,
    subsets: int = 200,
    subset_size: int | None = None,
    level: float = LEVEL,
) -> Estimate:
    """Kernel distance of generated features (n, d) from reference features (m, d), using all rows once.

    The interval comes from random subsets of both sides drawn without repetition (Binkowski et al. report such
    subsets; Politis and Romano 1994 give the theory). Their spread is scaled from the subset's size b to n by
    sqrt(b / n) and, as subsets of one sample overlap, by 1 / sqrt(1 - b / n). Where both sides are alike the
    true rate is b / n, so the interval is then too wide rather than too narrow.

    Args:
        generated: one row per generated image.
        reference: one row per real image.
        seed: of the subsets.
        subsets: how many.
        subset_size: rows in a subset; a quarter of the smaller side unless given, 1,000 at most.
        level: of the interval.

    Raises:
        DataError: bad arrays, or fewer than 8 rows on a side.
        ConfigurationError: a subset that is not smaller than both sides, or fewer than 20 subsets.
    """
    left, right = checked_pair(generated, reference, least=8)
    smaller = min(len(left), len(right))
    size = min(1000, smaller // 4) if subset_size is None else subset_size
    if not 2 <= size < smaller or subsets < 20:
        raise ConfigurationError(f"wanted 20 or more subsets of 2 .. {smaller - 1} rows, got {subsets} of {size}")
    value = _mmd2(left, right)
    rng = generator(seed, "kid")
    draws = np.empty(subsets)
    for i in range(subsets):
        rows = rng.choice(len(left), size, replace=False)
        columns = rng.choice(len(right), size, replace=False)
        draws[i] = _mmd2(left[rows], right[columns])
    scale = np.sqrt(size / smaller) / np.sqrt(1.0 - size / smaller)
    low, high = centred_interval(value, (draws - draws.mean()) * scale, level)
    return Estimate(
        name="kid",
        value=value,
        low=low,
        high=high,
        level=level,
        n=len(left),
        n_reference=len(right),
        method=f"{subsets} subsets of {size} rows without repetition, spread scaled to N = {smaller}",
        note="unbiased: 0 on average for real images, single values may be negative",
    )


def _mmd2(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    n, m = len(x), len(y)
    within_x = (_kernel_sum(x, x) - _diagonal_sum(x)) / (n * (n - 1))
    within_y = (_kernel_sum(y, y) - _diagonal_sum(y)) / (m * (m - 1))
    return float(within_x + within_y - 2 * _kernel_sum(x, y) / (n * m))


def _kernel_sum(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    total = 0.0
    for start in range(0, len(x), CHUNK):
        k = x[start : start + CHUNK] @ y.T
        k /= x.shape[1]
        k += 1.0
        total += float((k * k * k).sum())
    return total


def _diagonal_sum(x: NDArray[np.float64]) -> float:
    return float((((x * x).sum(axis=1) / x.shape[1] + 1.0) ** 3).sum())
