"""Which kernel fits labelled images: alignment with labels, chosen on one half, judged on the other (imports numpy).

Kernel-target alignment (Cristianini et al. 2001; centred: Cortes et al. 2012, arXiv:1203.0550) of quantum kernels of a
few widths, and of Gaussian kernels of the same. The best of each sort is chosen on half of the images and measured on
the others, so that looking at many does not flatter; intervals are of a delete-a-group jackknife over images, for the
difference with the same groups.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_circuits.quantum_kernels import alignment, target_kernel
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger.canonical import real
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from qimg_circuits.quantum_kernels_named import Kernel
    from qimg_core.session import Session

    Floats = NDArray[np.float64]

GROUPS = 20
"""Of the jackknife, and images of a half at least."""


@frozen(kw_only=True)
class Interval:
    """A value with its 95 % jackknife interval."""

    value: float
    low: float
    high: float

    def to_json(self) -> dict[str, str]:
        """Numbers as text."""
        return {"value": real(self.value), "low": real(self.low), "high": real(self.high)}

    def __str__(self) -> str:
        return f"{self.value:.4f} [{self.low:.4f}, {self.high:.4f}]"


@frozen(kw_only=True)
class Aligned:
    """What was found.

    Args:
        choosing: alignment of every kernel on the choosing half, in the order given.
        quantum, classical: the chosen kernels.
        of_quantum, of_classical: their alignments on the judging half.
        difference: quantum minus classical there.
        n: images of the judging half.
    """

    choosing: tuple[tuple[Kernel, float], ...]
    quantum: Kernel
    classical: Kernel
    of_quantum: Interval
    of_classical: Interval
    difference: Interval
    n: int

    @property
    def verdict(self) -> str:
        """In words: which is aligned better, where the interval of the difference says so."""
        if self.difference.low > 0:
            return "quantum kernel better aligned"
        return "classical kernel better aligned" if self.difference.high < 0 else "not told apart"

    def to_json(self) -> dict[str, Any]:
        """For an entry."""
        return {
            "verdict": self.verdict,
            "n": self.n,
            "choosing": [{"kernel": k.to_json(), "alignment": real(v)} for k, v in self.choosing],
            "quantum": {"kernel": self.quantum.to_json(), "alignment": self.of_quantum.to_json()},
            "classical": {"kernel": self.classical.to_json(), "alignment": self.of_classical.to_json()},
            "difference": self.difference.to_json(),
        }


def halves(
    images: ArrayLike, labels: ArrayLike, *, n: int, wires: int, seed: int
) -> tuple[tuple[Floats, NDArray[np.int64]], tuple[Floats, NDArray[np.int64]]]:
    """Two sets of n images with labels, each image as its first principal components: mean 0, spread 1.

    Components, means and spreads are those of the first set, so that the second is new to everything.

    Raises:
        DataError: fewer than 2 n images, or fewer numbers an image than wires.
        ConfigurationError: n below `GROUPS`.
    """
    x = np.asarray(images, dtype=np.float64).reshape(len(np.asarray(images)), -1)
    y = np.asarray(labels, dtype=np.int64)
    if n < GROUPS:
        raise ConfigurationError(f"n: wanted {GROUPS} or more, got {n}")
    if len(x) < 2 * n or len(y) != len(x) or x.shape[1] < wires:
        raise DataError(
            f"wanted {2 * n} labelled images of {wires} numbers or more, got {len(x)} of {x.shape[1]}, {len(y)} labels"
        )
    order = np.random.default_rng(derive_seed(seed, "alignment", "halves")).permutation(len(x))
    first, second = order[:n], order[n : 2 * n]
    centre = x[first].mean(0)
    _, _, axes = np.linalg.svd(x[first] - centre, full_matrices=False)
    spread = np.maximum(((x[first] - centre) @ axes[:wires].T).std(0), 1e-9)
    a, b = ((x[rows] - centre) @ axes[:wires].T / spread for rows in (first, second))
    return (a, y[first]), (b, y[second])


def align(
    session: Session,
    choosing: tuple[Floats, NDArray[np.int64]],
    judging: tuple[Floats, NDArray[np.int64]],
    kernels: Sequence[Kernel],
) -> Aligned:
    """Choose the best quantum and the best Gaussian kernel on one half, measure both on the other.

    Args:
        session: runs the circuits: one request for each quantum kernel, and one more for the chosen one.
        choosing: features (n, wires) and labels.
        judging: the same of other images.
        kernels: quantum and Gaussian ones.

    Raises:
        ConfigurationError: no kernel of either sort.
        DataError: fewer than two classes.
    """
    if {k.quantum for k in kernels} != {True, False}:
        raise ConfigurationError("wanted a quantum kernel or more, and a Gaussian one or more")
    wanted, target = target_kernel(choosing[1]), target_kernel(judging[1])
    found = tuple((k, float(alignment(k.matrix(session, choosing[0]), wanted))) for k in kernels)
    best = {sort: max((p for p in found if p[0].quantum is sort), key=lambda p: p[1])[0] for sort in (True, False)}
    matrices = [np.asarray(best[sort].matrix(session, judging[0]), dtype=np.float64) for sort in (True, False)]
    n = len(target)
    values = np.array([float(alignment(m, target)) for m in matrices])
    without = []
    for group in range(GROUPS):
        kept = np.flatnonzero(np.arange(n) % GROUPS != group)
        part = np.ix_(kept, kept)
        without.append([float(alignment(m[part], target[part])) for m in matrices])
    left = np.array(without)
    return Aligned(
        choosing=found,
        quantum=best[True],
        classical=best[False],
        of_quantum=jackknife(values[0], left[:, 0]),
        of_classical=jackknife(values[1], left[:, 1]),
        difference=jackknife(values[0] - values[1], left[:, 0] - left[:, 1]),
        n=n,
    )


def jackknife(value: float, without: ArrayLike) -> Interval:
    """The 95 % interval of a value from what it is without each of G equal groups.

    The variance is (G - 1) / G times the sum of squared deviations (Efron and Tibshirani 1993, chapter 11).
    """
    left = np.asarray(without, dtype=np.float64)
    error = math.sqrt((len(left) - 1) / len(left) * float(((left - left.mean()) ** 2).sum()))
    return Interval(value=float(value), low=float(value - 1.96 * error), high=float(value + 1.96 * error))
