"""Drawing without replacement with stated chances, and what the draw says about the whole (numpy, scipy).

Systematic sampling of a randomly ordered list (Madow 1949; Hartley and Rao 1962): item i is drawn with probability
exactly n x_i / sum x, items for which that passes 1 are taken for certain. The share of failures is estimated by
Horvitz and Thompson (1952): the sum over drawn failures of 1 / probability, over the size of the population.

The interval is Korn and Graubard's (Survey Methodology 24, 1998): Clopper and Pearson's at an effective sample size.
The variance is Hajek's approximation. With no failure at all the variance is 0 and says nothing; Kish's effective size,
(sum w)**2 / sum w**2, is taken then, and wherever it is smaller.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen
from scipy import stats

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

LEVEL = 0.95


def probabilities(sizes: Sequence[float], n: int) -> Floats:
    """Chance of each item to be among n, proportional to its size, at most 1; they sum to n.

    Raises:
        ConfigurationError: not 1 <= n <= number of items, or a size that is not positive.
    """
    x = np.asarray(sizes, dtype=float)
    if not 1 <= n <= len(x):
        raise ConfigurationError(f"--n: wanted 1 to {len(x)}, the number of items in the record, got {n}")
    if not (np.isfinite(x).all() and (x > 0).all()):
        raise ConfigurationError("sizes are positive numbers")
    certain = np.zeros(len(x), bool)
    while True:
        left = n - int(certain.sum())
        rest = float(x[~certain].sum())
        out = np.where(certain, 1.0, left * x / rest if rest else 1.0)
        more = (out >= 1 - 1e-12) & ~certain
        if not more.any():
            return out
        certain |= more


def draw(chances: Floats, seed: int) -> tuple[int, ...]:
    """Positions of the drawn items, sorted; as many as the chances sum to.

    Args:
        chances: see `probabilities`.
        seed: of the order and of the beginning.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    order = rng.permutation(len(chances))
    n = round(float(chances.sum()))
    ends = np.cumsum(chances[order])
    ends *= n / ends[-1]  # but for rounding it is n already
    ticks = rng.random() + np.arange(n)
    found = np.minimum(np.searchsorted(ends, ticks, side="right"), len(chances) - 1)
    return tuple(sorted(int(order[i]) for i in found))


@frozen(kw_only=True)
class Estimate:
    """The share of items that fail, in the whole record.

    Args:
        share: Horvitz-Thompson; it can pass 1 and is not cut.
        low, high: its interval.
        level: how often such intervals hold the share, approximately.
        effective: sample size that the interval rests on.
        n, of: drawn and decided; items in the population.
    """

    share: float
    low: float
    high: float
    level: float
    effective: float
    n: int
    of: int


def estimate(chances: Sequence[float], failed: Sequence[bool], of: int, level: float = LEVEL) -> Estimate:
    """From a sample to the whole.

    Args:
        chances: of the drawn items.
        failed: of the same items.
        of: items in the population.
        level: of the interval.

    Raises:
        ConfigurationError: nothing was drawn, or lists of different lengths.
    """
    pi, y = np.asarray(chances, dtype=float), np.asarray(failed, dtype=float)
    n = len(pi)
    if n < 1 or len(y) != n or of < n:
        raise ConfigurationError(f"wanted the outcome of each drawn item, got {len(y)} for {n} of {of}")
    share = float((y / pi).sum()) / of
    if n == of:  # everything was looked at: nothing is estimated
        return Estimate(share=share, low=share, high=share, level=level, effective=float(n), n=n, of=of)
    w = 1 / pi
    kish = float(w.sum() ** 2 / (w**2).sum())
    c = 1 - pi
    variance = 0.0
    if n > 1 and c.sum() > 0:
        centre = float((c * y / pi).sum() / c.sum())
        variance = float((c * (y / pi - centre) ** 2).sum()) * n / (n - 1) / of**2
    p = min(1.0, max(0.0, share))
    size = min(kish, p * (1 - p) / variance) if variance > 0 and 0 < p < 1 else kish
    tail, hits = (1 - level) / 2, p * size
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(tail, hits, size - hits + 1))
    high = 1.0 if hits >= size else float(stats.beta.ppf(1 - tail, hits + 1, size - hits))
    return Estimate(share=share, low=low, high=high, level=level, effective=size, n=n, of=of)
