"""Poison suspects: labels that were flipped, and pictures that do not belong (imports errors, numpy).

A label is suspected by confident learning (C. Northcutt, L. Jiang, I. Chuang, JAIR 70 (2021) 1373) over class
probabilities that the k nearest other images vote, or where none of them has it and most agree on another. Outliers go
by the distance to the k-th nearest image of the same label (S. Ramaswamy, R. Rastogi, K. Shim, SIGMOD 2000).
Distances are Euclidean between pixels: right for small centred pictures; for photographs give the features of a network
instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from qimg_core.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Whole = npt.NDArray[np.int64]

NEIGHBOURS = 10


@frozen(kw_only=True, eq=False)
class Suspects:
    """What looks wrong, the worst first.

    Args:
        flips: images whose label their neighbours deny.
        wanted: the label that the neighbours have, for each of them.
        outliers: images that are far from all images of their label.
        scores: (n,) how far out each image is: distance to its k-th neighbour over the median of its label.
    """

    flips: tuple[int, ...]
    wanted: tuple[int, ...]
    outliers: tuple[int, ...]
    scores: Floats = field(repr=False)


def find_suspects(features: Any, labels: Any, *, neighbours: int = NEIGHBOURS, spread: float = 3.5) -> Suspects:
    """Flipped labels and outliers.

    Args:
        features: (n, ...) numbers, flattened.
        labels: (n,) classes from 0 up.
        neighbours: k.
        spread: an outlier is so many robust standard deviations (1.4826 MAD of the log score) above the median of its
            label.

    Raises:
        DataError: shapes that do not fit, or a class of fewer than k + 1 images.
    """
    x = np.asarray(features, dtype=np.float32)
    y = np.asarray(labels, dtype=np.int64)
    if not x.ndim or y.shape != (len(x),) or not len(x):
        raise DataError(f"suspects: wanted a label for each image, got images {x.shape} and labels {y.shape}")
    x = x.reshape(len(x), -1)
    counts = np.bincount(y)
    if counts[counts > 0].min() <= neighbours:
        raise DataError(f"suspects: a class has {int(counts[counts > 0].min())} images, wanted more than {neighbours}")
    votes, reach = _neighbours(x, y, neighbours)
    flips, wanted = _flips(votes, y)
    score = np.zeros(len(x))
    outliers: list[int] = []
    for c in np.flatnonzero(counts):
        mine = np.flatnonzero(y == c)
        log = np.log(np.maximum(reach[mine], 1e-12))
        middle = np.median(log)
        mad = 1.4826 * np.median(np.abs(log - middle))
        score[mine] = np.exp(log - middle)
        outliers += mine[log > middle + spread * max(float(mad), 1e-9)].tolist()
    outliers = sorted(set(outliers) - set(flips.tolist()), key=lambda i: -score[i])
    return Suspects(
        flips=tuple(int(i) for i in flips),
        wanted=tuple(int(c) for c in wanted),
        outliers=tuple(outliers),
        scores=score,
    )


def _neighbours(x: npt.NDArray[np.float32], y: Whole, k: int) -> tuple[Floats, Floats]:
    """Votes of the k nearest others, (n, classes); distance to the k-th of the same label, (n,)."""
    squares = (x * x).sum(1)
    classes = int(y.max()) + 1
    votes, reach = np.zeros((len(x), classes)), np.zeros(len(x))
    for at in range(0, len(x), 256):
        rows = np.arange(at, min(at + 256, len(x)))
        gap = np.maximum(squares[rows, None] + squares[None] - 2 * x[rows] @ x.T, 0)
        gap[np.arange(len(rows)), rows] = np.inf
        near = np.argpartition(gap, k, axis=1)[:, :k]
        for c in range(classes):
            votes[rows, c] = (y[near] == c).sum(1)
        own = np.where(y[rows, None] == y[None], gap, np.inf)
        reach[rows] = np.sqrt(np.partition(own, k - 1, axis=1)[:, k - 1])
    return votes, reach


def _flips(votes: Floats, y: Whole) -> tuple[Whole, Whole]:
    """Images whose label is denied, by their margin, and what the neighbours say.

    The confident joint takes an image to the class whose probability is at least the mean that the class's own images
    have; what is off its diagonal is suspected. Probabilities are votes with one more, spread evenly.
    """
    classes, k = votes.shape[1], int(votes[0].sum())
    probability = (votes + 1 / classes) / (k + 1)
    threshold = np.array([probability[y == c, c].mean() if (y == c).any() else np.inf for c in range(classes)])
    sure = np.where(probability >= threshold[None] - 1e-12, probability, -1.0)
    rows, best = np.arange(len(y)), votes.argmax(1)
    confident = (sure.max(1) > 0) & (sure.argmax(1) != y)
    alone = (votes[rows, y] == 0) & (2 * votes[rows, best] >= k)
    wanted = np.where(confident, sure.argmax(1), best)
    chosen = np.flatnonzero(confident | alone)
    margin = probability[chosen, wanted[chosen]] - probability[chosen, y[chosen]]
    order = np.argsort(-margin, kind="stable")
    return chosen[order], wanted[chosen][order]
