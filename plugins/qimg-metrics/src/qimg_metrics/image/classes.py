"""Did it draw what was asked, and all classes alike? Judged by an independent classifier (imports numpy).

Takes the classes that `FeatureNetwork.classify` found, so that one pass over the images serves all metrics.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import (
    LEVEL,
    RESAMPLES,
    Estimate,
    centred_interval,
    clopper_pearson,
    generator,
    wilson,
)
from qimg_metrics.image.arrays import checked_labels

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


def class_accuracy(
    found: ArrayLike, asked: ArrayLike, *, name: str = "class_accuracy", level: float = LEVEL
) -> Estimate:
    """Share of images classified as the asked class, with its exact (Clopper-Pearson) interval.

    Args:
        found: class of each image as classified (n,).
        asked: class of each image as asked (n,).
        name: of the estimate.
        level: of the interval.

    Raises:
        DataError: no images, or not one whole number for each.
    """
    right, n = _right(found, asked)
    low, high = clopper_pearson(right, n, level)
    return Estimate(name=name, value=right / n, low=low, high=high, level=level, n=n, method="Clopper-Pearson")


def class_accuracies(
    found: ArrayLike, asked: ArrayLike, *, n_classes: int, level: float = LEVEL
) -> tuple[Estimate, ...]:
    """The same for each class that was asked for, named ``class_accuracy[c]``, with Wilson intervals.

    Raises:
        DataError: as `class_accuracy`, or a class that is not below `n_classes`.
    """
    _right(found, asked)
    wanted = checked_labels(asked, len(np.asarray(asked)), "asked classes", n_classes=n_classes)
    got = checked_labels(found, len(wanted), "found classes", n_classes=n_classes)
    out = []
    for c in np.unique(wanted):
        rows = wanted == c
        right, n = int((got[rows] == c).sum()), int(rows.sum())
        low, high = wilson(right, n, level)
        out.append(
            Estimate(
                name=f"class_accuracy[{c}]", value=right / n, low=low, high=high, level=level, n=n, method="Wilson"
            )
        )
    return tuple(out)


def class_entropy(
    found: ArrayLike,
    *,
    n_classes: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """Shannon entropy of the found classes over log(n_classes): 1 for equal shares, 0 for a single class.

    Noise can reach 1 as well: read it beside the other metrics.

    Raises:
        DataError: no images, fewer than two classes, or a class that is not below `n_classes`.
    """
    shares, draws, n = _shares(found, n_classes, seed, resamples, "class_entropy")
    value = float(_entropy(shares) / np.log(n_classes))
    low, high = centred_interval(value, _entropy(draws) / np.log(n_classes), level, least=0.0, most=1.0)
    return Estimate(
        name="class_entropy",
        value=value,
        low=low,
        high=high,
        level=level,
        n=n,
        method=f"centred bootstrap over images, {resamples} resamples",
        note=f"of {n_classes} classes, 1 = equal shares",
    )


def class_jsd(
    found: ArrayLike,
    wanted: ArrayLike,
    *,
    n_classes: int,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """Jensen-Shannon divergence (Lin 1991), in bits, of the found classes from the wanted ones: 0 equal, 1 disjoint.

    Args:
        found: class of each generated image (n,).
        wanted: classes whose shares are the target: those asked for, or the training labels.
        n_classes: how many there are.
        seed: of the resamples, over found classes only.
        resamples: how many.
        level: of the interval.

    Raises:
        DataError: as `class_entropy`.
    """
    shares, draws, n = _shares(found, n_classes, seed, resamples, "class_jsd")
    labels = checked_labels(wanted, len(np.asarray(wanted)), "wanted classes", n_classes=n_classes)
    if len(labels) == 0:
        raise DataError("wanted classes: none given")
    target = np.bincount(labels, minlength=n_classes) / len(labels)

    def divergence(p: NDArray[np.float64]) -> NDArray[np.float64]:
        bits: NDArray[np.float64] = (_entropy((p + target) / 2) - (_entropy(p) + _entropy(target)) / 2) / np.log(2)
        return np.clip(bits, 0.0, 1.0)  # rounding leaves -1e-17 for equal shares

    value = float(divergence(shares))
    low, high = centred_interval(value, divergence(draws), level, least=0.0, most=1.0)
    return Estimate(
        name="class_jsd",
        value=value,
        low=low,
        high=high,
        level=level,
        n=n,
        n_reference=len(labels),
        method=f"centred bootstrap over images, {resamples} resamples",
        note="bits",
    )


def _right(found: ArrayLike, asked: ArrayLike) -> tuple[int, int]:
    n = len(np.asarray(asked))
    if n == 0:
        raise DataError("asked classes: none given")
    wanted, got = checked_labels(asked, n, "asked classes"), checked_labels(found, n, "found classes")
    return int((wanted == got).sum()), n


def _shares(
    found: ArrayLike, n_classes: int, seed: int, resamples: int, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], int]:
    n = len(np.asarray(found))
    if n == 0 or n_classes < 2:
        raise DataError(f"wanted at least one image and two classes, got {n} and {n_classes}")
    got = checked_labels(found, n, "found classes", n_classes=n_classes)
    shares = np.bincount(got, minlength=n_classes) / n
    draws = generator(seed, name).multinomial(n, shares, size=resamples) / n
    return shares, draws, n


def _entropy(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    terms = np.where(shares > 0, -shares * np.log(np.where(shares > 0, shares, 1.0)), 0.0)
    total: NDArray[np.float64] = terms.sum(axis=-1)
    return total
