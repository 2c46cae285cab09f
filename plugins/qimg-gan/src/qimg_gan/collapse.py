"""Do the made images still differ as real ones do? Watching for mode collapse (imports numpy, attrs, errors).

Two signs, on a batch of made and real images of the same classes: images of a class lie far nearer to each other than
real ones do; or the classes of the nearest real images are fewer than those that were asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_core.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    Points = npt.NDArray[np.floating]
    Labels = npt.NDArray[np.int64]

LEAST_SPREAD = 0.35
"""Of real images' distances. After short trainings on MNIST models of ours had 0.6 or more, a collapsed one 0."""

LEAST_ENTROPY = 0.6
"""Of the entropy of the classes asked."""

LEAST_PAIRS = 16
"""Of one class; below, all pairs are compared."""


@frozen(kw_only=True)
class Diversity:
    """What a batch showed.

    Args:
        n: images, made and real each.
        spread: mean distance of two made images of a class, over that of two real ones.
        entropy: of the classes of the real images that lie nearest to the made ones, over that of the classes of all
            real ones; None where there are no classes.
    """

    n: int
    spread: float
    entropy: float | None

    @property
    def signs(self) -> tuple[str, ...]:
        """What speaks of a collapse, in words; empty where nothing does."""
        found = []
        if self.spread < LEAST_SPREAD:
            found.append(f"made images lie {self.spread:.2f} times as far apart as real ones, wanted {LEAST_SPREAD}")
        if self.entropy is not None and self.entropy < LEAST_ENTROPY:
            found.append(f"the entropy of their classes is {self.entropy:.2f} of the asked, wanted {LEAST_ENTROPY}")
        return tuple(found)

    def to_json(self) -> dict[str, Any]:
        """For the record, without floats."""
        entropy = None if self.entropy is None else repr(self.entropy)
        return {"n": self.n, "spread": repr(self.spread), "entropy": entropy, "signs": list(self.signs)}


def diversity(made: Points, real: Points, asked: Labels, known: Labels | None) -> Diversity:
    """Compare a batch of made images with one of real images.

    Args:
        made: (n, ...) images, or vectors of them.
        real: as many real ones; row i has the class that was asked of row i of ``made``.
        asked: (n,) what the model was told of both; all alike where it knows no classes.
        known: (n,) classes of ``real``, or None.

    Raises:
        DataError: fewer than two, or shapes that do not fit.
    """
    if len(made) < 2 or made.shape != real.shape or len(asked) != len(made):
        raise DataError(f"wanted two or more made images and as many real ones, got {made.shape} and {real.shape}")
    a, b = (np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in (made, real))
    pairs = np.triu(np.ones((len(a), len(a)), dtype=bool), 1)
    alike = pairs & (asked[:, None] == asked[None, :])
    chosen = alike if alike.sum() >= LEAST_PAIRS else pairs
    of_real = float(distances(b, b)[chosen].mean())
    spread = float(distances(a, a)[chosen].mean()) / of_real if of_real else 1.0
    ratio = None
    if known is not None and (whole := _entropy(known)) > 0:
        ratio = _entropy(known[distances(a, b).argmin(1)]) / whole
    return Diversity(n=len(a), spread=spread, entropy=ratio)


def distances(a: Points, b: Points) -> Points:
    """Euclidean distances (n, m) of two sets of vectors (n, d) and (m, d)."""
    squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None, :] - 2 * a @ b.T
    out: Points = np.sqrt(np.maximum(squares, 0))
    return out


def _entropy(labels: Labels) -> float:
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return abs(float((share * np.log(share)).sum()))
