"""The floor: the Frechet distance that real training images have from the test images at the same N (numpy, scipy).

A Frechet distance is biased by about 1/N and no generator can be expected to do better than other real images, so a
report gives the distance over this floor. 1 means as good as real, within the interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, Estimate, centred_interval, generator
from qimg_metrics.image.arrays import checked_labels, checked_pair
from qimg_metrics.image.frechet import check_size, distance_to, fixed_moments

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def floor_draws(
    train_features: ArrayLike,
    test_features: ArrayLike,
    *,
    n: int = 2000,
    draws: int = 10,
    seed: int = 0,
    allow_small: bool = False,
) -> NDArray[np.float64]:
    """Distances of `draws` disjoint random sets of `n` training rows from all test rows, shape (draws,).

    Raises:
        DataError: fewer than n * draws training rows: the draws would overlap; or fewer than 1,000 rows in a draw or in
            the test set without `allow_small`.
    """
    train, test = checked_pair(train_features, test_features)
    check_size(min(n, len(test)), allow_small)
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
    allow_small: bool = False,
) -> NDArray[np.float64]:
    """As `floor_draws`, each draw with the given number of images of each class.

    The class shares of a random draw vary, and in features that keep classes far apart this alone can be half of its
    distance (MNIST, N = 2,000). A conditional generator is asked for fixed shares, so this is the floor that is fair
    to it.

    Args:
        train_features: (n_train, d).
        train_labels: classes (n_train,).
        test_features: (n_test, d).
        counts: images of each class in a draw, as asked of the generator.
        draws: how many at most; fewer where a class has not enough images for so many disjoint draws.
        seed: of the choice of rows.
        allow_small: go on below 1,000 rows.

    Raises:
        DataError: bad arrays, a class without enough images for two disjoint draws, or fewer than 1,000 rows in a draw
            or in the test set without `allow_small`.
    """
    train, test = checked_pair(train_features, test_features)
    labels, wanted = checked_labels(train_labels, len(train), "training labels"), np.asarray(counts, dtype=np.int64)
    check_size(min(int(wanted.sum()), len(test)), allow_small)
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
    allow_small: bool = False,
) -> Estimate:
    """What real images reach: the mean over disjoint draws of training images against the test images.

    Args:
        train_features: features of the training images (n_train, d), from the same frozen network as everything else.
        test_features: features of the test images (n_test, d).
        n: images in a draw; must equal the N of what is compared with the floor.
        draws: how many.
        seed: of the choice of rows.
        level: of the Student interval of the mean over draws.
        allow_small: go on below 1,000 rows.

    Raises:
        DataError: as `floor_draws`.
    """
    values = floor_draws(train_features, test_features, n=n, draws=draws, seed=seed, allow_small=allow_small)
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
    mean, root, trace = fixed_moments(test)
    return np.array([distance_to(train[rows], mean, root, trace, allow_small=True) for rows in picked])  # was checked
