"""Frechet distance of two feature sets taken as Gaussians, and the floor that real images reach (imports numpy).

    d = |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2))

Heusel et al., "GANs trained by a two time-scale update rule", NeurIPS 2017 (there on Inception features, which this is
not: values compare only within one feature network). The estimate is biased upwards by about 1/N, so it is reported
beside the floor: what real training images get at the same N.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, centred_interval, generator, resample_counts
from qimg_metrics.image.arrays import checked_labels, checked_pair

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
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
    allow_small: bool = False,
) -> Estimate:
    """Frechet distance of generated features (n, d) from reference features (m, d).

    The interval is a centred bootstrap over the generated rows: it says how far the value would move with other images
    from the same generator, at the same N. The reference is held fixed, as it is for every arm and for the floor.

    Raises:
        DataError: bad arrays, or fewer than 1,000 rows on a side without `allow_small`.
    """
    left, right = checked_pair(generated, reference)
    _check_size(min(len(left), len(right)), allow_small)
    value, draws = distance_and_draws(left, right, seed=seed, resamples=resamples)
    low, high = centred_interval(value, draws, level, least=0.0)
    return Estimate(
        name="frechet",
        value=value,
        low=low,
        high=high,
        level=level,
        n=len(left),
        n_reference=len(right),
        method=f"centred bootstrap over generated rows, {resamples} resamples",
        note="biased upwards by about 1/N: compare with the floor at the same N",
    )


def distance_and_draws(
    generated: NDArray[np.float64],
    reference: NDArray[np.float64],
    *,
    seed: int,
    resamples: int,
) -> tuple[float, NDArray[np.float64]]:
    """The distance, and the distances of resampled generated rows (uncentred)."""
    mean, root, trace = _fixed(reference)
    value = _distance(*_moments(generated), mean, root, trace)
    n = len(generated)
    draws = np.empty(resamples)
    for i, counts in enumerate(resample_counts(n, resamples, generator(seed, "frechet"))):
        m = counts @ generated / n
        c = ((generated * counts[:, None]).T @ generated - n * np.outer(m, m)) / (n - 1)
        draws[i] = _distance(m, c, mean, root, trace)
    return value, draws


def floor_draws(
    train_features: ArrayLike,
    test_features: ArrayLike,
    *,
    n: int = 2000,
    draws: int = 10,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Distances of `draws` disjoint random sets of `n` training rows from all test rows, shape (draws,).

    Raises:
        DataError: fewer than n * draws training rows: the draws would overlap.
    """
    train, test = checked_pair(train_features, test_features)
    if draws < 2 or n < 2 or n * draws > len(train):
        raise DataError(f"wanted {draws} (at least 2) disjoint draws of {n} from {len(train)} training images")
    picked = generator(seed, "frechet_floor").permutation(len(train))[: n * draws].reshape(draws, n)
    return _each(train, picked, test)


def floor_draws_of_classes(
    train_features: ArrayLike,
    train_labels: ArrayLike,
    test_features: ArrayLike,
    *,
    counts: ArrayLike,
    draws: int = 10,
    seed: int = 0,
) -> NDArray[np.float64]:
    """As `floor_draws`, each draw with the given number of images of each class.

    The class shares of a random draw vary, and in features that keep classes far apart this alone is half of its distance
    (MNIST, N = 2,000). A conditional generator is asked for fixed shares, so this is the floor that is fair to it.

    Args:
        train_features: (n_train, d).
        train_labels: classes (n_train,).
        test_features: (n_test, d).
        counts: images of each class in a draw, as asked of the generator.
        draws: how many at most; fewer where a class has not enough images for so many disjoint draws.
        seed: of the choice of rows.

    Raises:
        DataError: bad arrays, or a class without enough images for two disjoint draws.
    """
    train, test = checked_pair(train_features, test_features)
    labels, wanted = checked_labels(train_labels, len(train), "training labels"), np.asarray(counts, dtype=np.int64)
    have = np.bincount(labels, minlength=len(wanted))
    possible = min((int(have[c] // k) for c, k in enumerate(wanted) if k), default=0)
    draws = min(draws, possible)
    if draws < 2:
        raise DataError(f"wanted two disjoint draws with {wanted.tolist()} images of each class, have {have.tolist()}")
    rng = generator(seed, "frechet_floor_classes")
    per_class = [
        rng.permutation(np.flatnonzero(labels == c))[: draws * k].reshape(draws, k) for c, k in enumerate(wanted) if k
    ]
    return _each(train, np.concatenate(per_class, axis=1), test)


def frechet_floor(
    train_features: ArrayLike,
    test_features: ArrayLike,
    n: int = 2000,
    draws: int = 10,
    *,
    seed: int = 0,
    level: float = LEVEL,
) -> Estimate:
    """What real images reach: the mean over disjoint draws of training images against the test images.

    Args:
        train_features: features of the training images (n_train, d), from the same frozen network as everything else.
        test_features: features of the test images (n_test, d).
        n: images in a draw; must equal the N of what is compared with the floor.
        draws: how many.
        seed: of the choice of rows.
        level: of the Student interval of the mean over draws.

    Raises:
        DataError: bad arrays, or too few training rows for disjoint draws.
    """
    values = floor_draws(train_features, test_features, n=n, draws=draws, seed=seed)
    return floor_estimate(values, n=n, n_reference=len(np.asarray(test_features)), level=level)


def floor_estimate(
    values: NDArray[np.float64], *, n: int, n_reference: int, name: str = "frechet_floor", level: float = LEVEL
) -> Estimate:
    """Mean of floor draws, shape (draws,), with its Student interval; the spread of single draws is in the note."""
    mean, sd = float(values.mean()), float(values.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * sd / np.sqrt(len(values))
    return Estimate(
        name=name,
        value=mean,
        low=max(0.0, mean - half),
        high=mean + half,
        level=level,
        n=n,
        n_reference=n_reference,
        method=f"Student interval of the mean of {len(values)} disjoint draws of training images",
        note=f"one draw: sd {sd:.4f}, min {values.min():.4f}, max {values.max():.4f}",
    )


def frechet_ratio(
    value: float,
    draws: NDArray[np.float64],
    floor: NDArray[np.float64],
    *,
    n: int,
    n_reference: int,
    seed: int = 0,
    name: str = "frechet_ratio",
    level: float = LEVEL,
) -> Estimate:
    """Distance over floor, 1 for a generator whose images are as good as other real images.

    Args:
        value: the Frechet distance.
        draws: its bootstrap draws from `distance_and_draws`.
        floor: the floor's draws from `floor_draws`, at the same N.
        n: generated images.
        n_reference: reference images.
        seed: of the resampled floor.
        name: of the estimate.
        level: of the interval, which moves both the distance and the mean of the floor.

    Raises:
        DataError: the floor is 0, as when training and test images are the same.
    """
    if not floor.mean() > 0:
        raise DataError("the floor is 0: training and test images have the same features")
    rng = generator(seed, name)
    floors = floor[rng.integers(0, len(floor), (len(draws), len(floor)))].mean(axis=1)
    ratio = float(value / floor.mean())
    low, high = centred_interval(ratio, (draws - draws.mean() + value) / floors, level, least=0.0)
    return Estimate(
        name=name,
        value=ratio,
        low=low,
        high=high,
        level=level,
        n=n,
        n_reference=n_reference,
        method=f"centred bootstrap over generated rows and floor draws, {len(draws)} resamples",
        note="Frechet distance / floor at the same N",
    )


def _each(train: NDArray[np.float64], picked: NDArray[np.int64], test: NDArray[np.float64]) -> NDArray[np.float64]:
    mean, root, trace = _fixed(test)
    return np.array([_distance(*_moments(train[rows]), mean, root, trace) for rows in picked])


def _check_size(n: int, allow_small: bool) -> None:
    if n < SMALLEST and not allow_small:
        raise DataError(
            f"a Frechet distance from {n} images is mostly bias: wanted at least {SMALLEST} on both sides",
            hint="sample more images, or pass allow_small=True and do not compare the number with others",
        )


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False))


def _fixed(reference: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
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
