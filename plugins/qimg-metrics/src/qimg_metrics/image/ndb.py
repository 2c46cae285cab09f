"""Number of statistically different bins: are the modes of the data there, in their shares? (imports numpy, scipy).

Richardson and Weiss, "On GANs and GMMs", NeurIPS 2018: k-means on the real rows gives bins; in each, the share of
generated rows is compared with that of real rows by a two-proportion z test with the pooled variance; NDB / K is the
share of bins that differ. With real rows it is about the level of the test, 0.05, not 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import numpy as np
from scipy import stats
from scipy.spatial.distance import cdist

from qimg_core.errors import DataError
from qimg_metrics.bootstrap import LEVEL, RESAMPLES, Estimate, centred_interval, generator
from qimg_metrics.image.arrays import CHUNK, checked_features

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

BINS = 100
"""As in the paper."""
_ROUNDS = 100


@attrs.frozen(eq=False)
class Bins:
    """Cells of real rows: made once, used for every arm.

    Args:
        centres: (k, d); a row belongs to the nearest one.
        counts: real rows in each (k,).
    """

    centres: NDArray[np.float64]
    counts: NDArray[np.int64]

    def count(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        """How many of the rows (n, d) lie in each bin, shape (k,)."""
        return np.bincount(_nearest(rows, self.centres), minlength=len(self.centres))


def make_bins(reference: ArrayLike, *, k: int = BINS, seed: int = 0) -> Bins:
    """Lloyd's k-means from k random rows, until no row changes its bin or 100 rounds are done.

    Args:
        reference: real rows (m, d), features or flattened pixels.
        k: bins; at most a tenth of the rows, so that each can hold some.
        seed: of the rows that it starts from.

    Raises:
        DataError: bad rows, fewer than two bins, or fewer than ten rows a bin.
    """
    rows = checked_features(reference, "reference rows")
    if not 2 <= k <= len(rows) // 10:
        raise DataError(
            f"wanted two bins or more and ten real rows for each, got {k} bins of {len(rows)} rows",
            hint=f"k = {max(2, len(rows) // 20)} would do",
        )
    start = generator(seed, "ndb_bins").choice(len(rows), k, replace=False)
    centres, own = rows[np.sort(start)], np.full(len(rows), -1)
    for _ in range(_ROUNDS):
        nearest = _nearest(rows, centres)
        if np.array_equal(nearest, own):
            break
        own = nearest
        counts = np.bincount(own, minlength=k)
        sums = np.zeros_like(centres)
        np.add.at(sums, own, rows)
        full = counts > 0  # a bin that lost all its rows stays where it is
        centres = np.where(full[:, None], sums / np.maximum(counts, 1)[:, None], centres)
    return Bins(centres, np.bincount(_nearest(rows, centres), minlength=k))


def ndb(
    generated: ArrayLike,
    bins: Bins,
    *,
    alpha: float = 0.05,
    seed: int = 0,
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> Estimate:
    """Share of the bins in which generated rows differ from real ones: 0.05 is as good as real, 1 is the worst.

    Args:
        generated: rows (n, d) of the kind that the bins were made of.
        bins: from `make_bins`.
        alpha: level of each bin's two-sided test.
        seed: of the resamples.
        resamples: of the generated rows.
        level: of the centred interval: more rows find smaller differences, so the value holds at this N.

    Raises:
        DataError: bad rows, another width, or no alpha between 0 and 1.
    """
    rows = checked_features(generated, "generated rows")
    if rows.shape[1] != bins.centres.shape[1] or not 0 < alpha < 1:
        raise DataError(
            f"wanted rows of width {bins.centres.shape[1]} and alpha between 0 and 1, got {rows.shape[1]} and {alpha}"
        )
    n, k = len(rows), len(bins.centres)
    counts = bins.count(rows)
    value = float(_different(counts, n, bins, alpha))
    draws = generator(seed, "ndb").multinomial(n, counts / n, size=resamples)
    low, high = centred_interval(value, _different(draws, n, bins, alpha), level, least=0.0, most=1.0)
    return Estimate(
        name="ndb",
        value=value,
        low=low,
        high=high,
        level=level,
        n=n,
        n_reference=int(bins.counts.sum()),
        method=f"centred bootstrap over generated rows, {resamples} resamples",
        note=f"share of {k} bins that differ at {alpha:g}; real rows: about {alpha:g}",
    )


def _different(counts: NDArray[np.int64], n: int, bins: Bins, alpha: float) -> NDArray[np.float64]:
    """Share of bins over the last axis of counts (..., k) that differ."""
    m = int(bins.counts.sum())
    pooled = (counts + bins.counts) / (n + m)
    error = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    gap = np.abs(counts / n - bins.counts / m)
    share: NDArray[np.float64] = (gap > stats.norm.ppf(1 - alpha / 2) * error).mean(axis=-1)  # an empty bin has 0 > 0
    return share


def _nearest(rows: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.int64]:
    parts = [cdist(rows[at : at + CHUNK], centres, "sqeuclidean").argmin(axis=1) for at in range(0, len(rows), CHUNK)]
    return np.concatenate(parts)
