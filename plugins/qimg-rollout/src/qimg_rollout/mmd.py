"""Two sets of vectors: a permutation test of the maximum mean discrepancy, and what it would see (imports numpy only).

MMD with a Gaussian kernel (Gretton, Borgwardt, Rasch, Schölkopf, Smola, JMLR 13, 2012), its bandwidth the median
distance of the pooled rows. The pool does not change under permutation, so the test is exact for any sample size as
long as the rows are exchangeable, i.e. independent draws of one distribution.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

from qimg_core.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

POWER = 0.9
LEAST, MOST = 999, 199_999
"""Bounds of the number of permutations."""
_BLOCK, _TRIALS, _STEPS, _FARTHEST = 2_000, 40, 7, 8.0


def rows(values: ArrayLike, name: str) -> Floats:
    """A set as float64 (n, d).

    Raises:
        DataError: fewer than two rows, or numbers that are not finite.
    """
    found = np.asarray(values, dtype=np.float64)
    if found.ndim < 2 or len(found) < 2 or not np.isfinite(found).all():
        raise DataError(f"{name}: wanted two rows or more of finite numbers, got the shape {found.shape}")
    return found.reshape(len(found), -1)


@frozen(eq=False, slots=False)
class Pair:
    """Two sets (n, d) and (m, d), pooled.

    Args:
        first: the baseline.
        second: what is compared with it.
    """

    first: Floats
    second: Floats

    @classmethod
    def of(cls, first: ArrayLike, second: ArrayLike) -> Pair:
        """Check both.

        Raises:
            DataError: as `rows`, or rows of different lengths.
        """
        a, b = rows(first, "the baseline"), rows(second, "the new set")
        if a.shape[1] != b.shape[1]:
            raise DataError(f"the baseline has {a.shape[1]} numbers in a row, the new set has {b.shape[1]}")
        return cls(a, b)

    @cached_property
    def _pool(self) -> Floats:
        return np.concatenate([self.first, self.second])

    @cached_property
    def _squared(self) -> Floats:
        norms = (self._pool**2).sum(1)
        return np.asarray(np.maximum(norms[:, None] + norms[None] - 2 * self._pool @ self._pool.T, 0.0))

    @cached_property
    def _width(self) -> float:
        """Twice the squared bandwidth."""
        upper = self._squared[np.triu_indices(len(self._pool), 1)]
        median = float(np.median(upper))
        return 2 * median if median > 0 else max(2 * float(upper.mean()), 1e-300)

    @cached_property
    def _kernel(self) -> Floats:
        return np.exp(-self._squared / self._width)

    def _statistics(self, first: NDArray[np.bool_]) -> Floats:
        """MMD**2 (biased form) of splits (splits, n + m)."""
        n = len(self.first)
        w = np.where(first, 1 / n, -1 / len(self.second))
        return np.asarray(((w @ self._kernel) * w).sum(1))

    @property
    def mmd2(self) -> float:
        """Squared discrepancy of the two sets, biased form: 0 to 2."""
        split = np.arange(len(self._pool)) < len(self.first)
        return float(self._statistics(split[None])[0])

    def _null(self, draws: int, seed: int) -> Floats:
        rng = np.random.Generator(np.random.PCG64(seed))
        found = []
        for start in range(0, draws, _BLOCK):
            order = rng.random((min(_BLOCK, draws - start), len(self._pool))).argsort(1)
            found.append(self._statistics(order < len(self.first)))
        return np.concatenate(found)

    def p_value(self, *, finest: float, seed: int) -> float:
        """Chance of a discrepancy as large or larger from one distribution: (1 + as large) / (1 + permutations).

        Args:
            finest: the smallest level that p is compared with; there are 20 permutations for each unit of 1/finest.
            seed: of the permutations.
        """
        seen = self.mmd2
        few = self._null(LEAST, seed)
        p = (1 + int((few >= seen - 1e-12).sum())) / (1 + LEAST)
        wanted = min(MOST, math.ceil(20 / finest))
        if p > 0.1 or wanted <= LEAST:
            return p
        many = self._null(wanted, seed + 1)
        return (1 + int((many >= seen - 1e-12).sum())) / (1 + wanted)

    def detectable(self, alpha: float, *, seed: int, power: float = POWER) -> float:
        """About the smallest shift that the test sees, simulated: a move of every row of the second set.

        The move is along the direction in which the pool varies most, in units of its standard deviation there. The
        pool is split at random, one part moved, and the discrepancy compared with the (1 - alpha) quantile of
        unmoved splits; 40 splits, and the kernel's width is kept.

        Args:
            alpha: level of the test.
            seed: of the splits.
            power: chance of seeing it.

        Returns:
            standard deviations; infinite where 8 are not seen or nothing varies.
        """
        centred = self._pool - self._pool.mean(0)
        along, spread = _first_direction(centred)
        if spread == 0 or alpha <= 0:
            return math.inf
        null = np.sort(self._null(min(MOST, max(LEAST, math.ceil(2 / alpha))), seed))
        bound = float(null[min(len(null) - 1, math.ceil((1 - alpha) * len(null)))])
        rng = np.random.Generator(np.random.PCG64(seed + 1))
        n, kernel = len(self.first), self._kernel
        within, squared, apart = [], [], []
        for _ in range(_TRIALS):
            order = rng.permutation(len(self._pool))
            a, b = order[:n], order[n:]
            within.append(kernel[np.ix_(a, a)].mean() + kernel[np.ix_(b, b)].mean())
            squared.append(self._squared[np.ix_(a, b)])
            apart.append(along[a][:, None] - along[b][None])
        inside, distances, gaps = np.array(within), np.array(squared), np.array(apart)

        def seen(move: float) -> float:
            """Share of the splits in which a move is seen: |x - y - move u|**2 is all that changes."""
            cross = np.exp(-(distances + move**2 - 2 * move * gaps) / self._width).mean((1, 2))
            return float((inside - 2 * cross > bound).mean())

        low, high = 0.0, _FARTHEST
        if seen(high * spread) < power:
            return math.inf
        for _ in range(_STEPS):
            middle = (low + high) / 2
            if seen(middle * spread) >= power:
                high = middle
            else:
                low = middle
        return high


def _first_direction(centred: Floats) -> tuple[Floats, float]:
    """Coordinates along the first principal axis, and their standard deviation."""
    gram = centred @ centred.T if centred.shape[0] < centred.shape[1] else centred.T @ centred
    values, vectors = np.linalg.eigh(gram)
    if values[-1] <= 1e-12:
        return np.zeros(len(centred)), 0.0
    axis = vectors[:, -1]
    along = axis * math.sqrt(values[-1]) if centred.shape[0] < centred.shape[1] else centred @ axis
    return along, float(along.std())
