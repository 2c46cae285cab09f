"""Frechet distance of two feature sets taken as Gaussians (imports numpy, scipy).

    d = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017 (there on Inception features, which this is
not: values compare only within one feature network). The estimate is biased upwards by about 1/N, so it is reported
beside the floor (`qimg_metrics.image.floor`): what real training images get at the same N.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, centred_interval, generator, resample_counts
from qimg_metrics.image.arrays import checked_labels, checked_pair

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

SMALLEST = 1000
"""Below this many images on either side the bias is as large as most differences."""


def gaussian_frechet(
    mean1: ArrayLike,
    covariance1: ArrayLike,
    mean2: ArrayLike,
    covariance2: ArrayLike,
) -> float:
    """The distance of two Gaussians given by mean (d,) and covariance (d, d).

    Raises:
        DataError: shapes that do not fit, or values that are not finite.
    """
    m1, c1, m2, c2 = (np.asarray(a, dtype=np.float64) for a in (mean1, covariance1, mean2, covariance2))
    if m1.ndim != 1 or m1.shape != m2.shape or c1.shape != (len(m1), len(m1)) or c2.shape != c1.shape:
        raise DataError(f"wanted means (d,) and covariances (d, d), got {m1.shape} {c1.shape} {m2.shape} {c2.shape}")
    if not all(np.isfinite(a).all() for a in (m1, c1, m2, c2)):
        raise DataError("NaN or infinite values in a mean or covariance")
    return _distance(m1, c1, m2, _root(c2), float(np.trace(c2)))


def frechet_distance(
    generated: ArrayLike,
    reference: ArrayLike,
    *,
    strata: ArrayLike | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    allow_small: bool = False,
) -> Estimate:
    """Frechet distance of generated features (n, d) from reference features (m, d).

    The interval is a centred bootstrap over the generated rows: it says how far the value would move with other images
    from the same generator, at the same N. The reference is held fixed, as it is for every arm and for the floor.

    Args:
        generated: one row per generated image.
        reference: one row per real image.
        strata: class that each generated image was asked to be (n,); resamples then keep the number of each class,
            which did not come about by chance either.
        seed: of the resamples.
        resamples: how many.
        level: of the interval.
        allow_small: go on below 1,000 rows.

    Raises:
        DataError: bad arrays, or fewer than 1,000 rows on a side without `allow_small`.
    """
    left, right = checked_pair(generated, reference)
    groups = None if strata is None else checked_labels(strata, len(left), "strata")
    value, draws = distance_and_draws(
        left, right, strata=groups, seed=seed, resamples=resamples, allow_small=allow_small
    )
    return distance_estimate(
        value, draws, n=len(left), n_reference=len(right), by_class=groups is not None, level=level
    )


def distance_estimate(
    value: float,
    draws: NDArray[np.float64],
    *,
    n: int,
    n_reference: int,
    by_class: bool,
    level: float = LEVEL,
) -> Estimate:
    """The estimate from a distance and its draws, both from `distance_and_draws`."""
    low, high = centred_interval(value, draws, level, least=0.0)
    return Estimate(
        name="frechet",
        value=value,
        low=low,
        high=high,
        level=level,
        n=n,
        n_reference=n_reference,
        method=f"centred bootstrap over generated rows{' by class' if by_class else ''}, {len(draws)} resamples",
        note="biased upwards by about 1/N: compare with the floor at the same N",
    )


def distance_and_draws(
    generated: NDArray[np.float64],
    reference: NDArray[np.float64],
    *,
    strata: NDArray[np.int64] | None = None,
    seed: int,
    resamples: int,
    allow_small: bool = False,
) -> tuple[float, NDArray[np.float64]]:
    """The distance, and the distances of resampled generated rows (uncentred).

    Raises:
        DataError: fewer than 1,000 rows on a side without `allow_small`.
    """
    check_size(min(len(generated), len(reference)), allow_small)
    mean, root, trace = fixed_moments(reference)
    value = distance_to(generated, mean, root, trace, allow_small=allow_small)
    n = len(generated)
    draws = np.empty(resamples)
    for i, counts in enumerate(resample_counts(n, resamples, generator(seed, "frechet"), strata)):
        m = counts @ generated / n
        c = ((generated * counts[:, None]).T @ generated - n * np.outer(m, m)) / (n - 1)
        draws[i] = _distance(m, c, mean, root, trace)
    return value, draws


def check_size(n: int, allow_small: bool) -> None:
    """Raise DataError where a Frechet distance would be mostly bias; every way to one asks this first."""
    if n < SMALLEST and not allow_small:
        raise DataError(
            f"a Frechet distance from {n} images is mostly bias: wanted at least {SMALLEST} on both sides",
            hint="sample more images, or pass allow_small=True and do not compare the number with others",
        )


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))


def distance_to(
    rows: NDArray[np.float64],
    mean: NDArray[np.float64],
    root: NDArray[np.float64],
    trace: float,
    *,
    allow_small: bool = False,
) -> float:
    """Distance of feature rows (n, d) from a reference given by `fixed_moments`.

    Raises:
        DataError: fewer than 1,000 rows without `allow_small`.
    """
    check_size(len(rows), allow_small)
    return _distance(*_moments(rows), mean, root, trace)


def fixed_moments(reference: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Mean (d,), square root of the covariance (d, d) and its trace: what every distance from one reference shares."""
    mean, covariance = _moments(reference)
    return mean, _root(covariance), float(np.trace(covariance))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    return root


def _distance(
    m1: NDArray[np.float64],
    c1: NDArray[np.float64],
    m2: NDArray[np.float64],
    root2: NDArray[np.float64],
    trace2: float,
) -> float:
    # (C1 C2)^(1/2) has the eigenvalues of (R C1 R)^(1/2) with R = C2^(1/2), which is symmetric: no complex rounding.
    cross = np.sqrt(np.clip(np.linalg.eigvalsh(root2 @ c1 @ root2), 0.0, None)).sum()
    # Rounding of the cross term can leave -1e-15 for equal sets.
    return max(0.0, float(((m1 - m2) ** 2).sum() + np.trace(c1) + trace2 - 2 * cross))
