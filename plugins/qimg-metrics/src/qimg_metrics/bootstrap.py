"""Intervals: the `Estimate` that every image metric returns, and the few ways an interval is made (numpy, scipy).

Three kinds, named in `Estimate.method`:

- *percentile*: quantiles of the statistic over resampled rows (Efron 1979). For means and medians.
- *centred*: the same spread, moved so that its mean is the value. For statistics that are biased in N (Frechet
  distance, k-nearest-neighbour metrics, divergences), whose resamples hold repeated rows and so sit beside the value.
  Such an interval speaks of the metric *at this N*, not of its limit for infinitely many images.
- *Clopper-Pearson* (exact) and *Wilson*: for proportions of independent images.
"""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING

import attrs
import numpy as np
from scipy import stats

from qimg_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

LEVEL = 0.95
RESAMPLES = 500


@attrs.frozen(kw_only=True)
class Estimate:
    """A number with its interval and its N.

    Args:
        name: of the metric, e.g. ``"kid"``.
        value: the point estimate.
        low: lower end of the interval.
        high: upper end.
        level: how often such intervals hold the true value, were the assumptions of `method` met.
        n: images it was computed from.
        n_reference: real images it was compared with, 0 for none.
        method: how the interval was made.
        note: what a reader must know to read the number.
    """

    name: str
    value: float = attrs.field(converter=float)  # a numpy scalar would be written as np.float64(...)
    low: float = attrs.field(converter=float)
    high: float = attrs.field(converter=float)
    level: float = LEVEL
    n: int
    n_reference: int = 0
    method: str
    note: str = ""

    def __str__(self) -> str:
        against = f" v {self.n_reference}" if self.n_reference else ""
        ends = f"{number(self.low)}, {number(self.high)}"
        return f"{self.name} {number(self.value)} [{ends}] ({self.level:.0%} interval, N = {self.n}{against})"

    def to_json(self) -> dict[str, str | int]:
        """A plain dict whose reals are shortest round-trip strings, so that a ledger entry can hold it."""
        fields = attrs.asdict(self)
        return {k: repr(v) if isinstance(v, float) else v for k, v in fields.items()}


def number(value: float) -> str:
    """Four decimals, or an exponent where those would hide the number."""
    return f"{value:.4f}" if value == 0 or 1e-3 <= abs(value) < 1e4 else f"{value:.2e}"


def generator(seed: int, name: str) -> np.random.Generator:
    """The random generator of one purpose: SHA-256 of seed and name, so the order of calls does not matter."""
    digest = hashlib.sha256(f"qimg-metrics/1:{seed}:{name}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def resample_counts(
    n: int, resamples: int, rng: np.random.Generator, strata: NDArray[np.int64] | None = None
) -> NDArray[np.float64]:
    """How often each of `n` rows is drawn in each resample of size n.

    Args:
        n: rows.
        resamples: how many.
        rng: where the draws come from.
        strata: group of each row (n,); each group then keeps its size in every resample, as in the data.

    Returns:
        Counts of shape (resamples, n), every row of which sums to n.

    Raises:
        ConfigurationError: fewer than 20 resamples.
    """
    if resamples < 20:
        raise ConfigurationError(f"wanted at least 20 resamples for an interval, got {resamples}")
    groups = [np.arange(n)] if strata is None else [np.flatnonzero(strata == g) for g in np.unique(strata)]
    counts = np.empty((resamples, n))
    for rows in groups:
        counts[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1.0 / len(rows)), size=resamples)
    return counts


def percentile_interval(draws: ArrayLike, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of `draws`.

    Raises:
        ConfigurationError: `level` is not between 0 and 1.
        DataError: no draws, or NaN among them.
    """
    values = np.asarray(draws, dtype=np.float64).ravel()
    if not 0.0 < level < 1.0:
        raise ConfigurationError(f"wanted a level between 0 and 1, got {level}")
    if values.size == 0 or not np.isfinite(values).all():
        raise DataError("no finite draws to make an interval from")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def centred_interval(
    value: float,
    draws: ArrayLike,
    level: float = LEVEL,
    *,
    least: float = -math.inf,
    most: float = math.inf,
) -> tuple[float, float]:
    """The spread of `draws` around their own mean, put around `value` and cut to what the metric can be.

    The result always holds `value`: where skewed draws would leave it outside, the nearer end is moved to it.

    Raises:
        ConfigurationError, DataError: as `percentile_interval`.
    """
    values = np.asarray(draws, dtype=np.float64).ravel()
    low, high = percentile_interval(values - values.mean() + value if values.size else values, level)
    return max(min(low, value), least), min(max(high, value), most)


def bootstrap(
    values: ArrayLike,
    statistic: Callable[[NDArray[np.float64]], float],
    *,
    seed: int,
    name: str = "bootstrap",
    resamples: int = RESAMPLES,
    level: float = LEVEL,
) -> tuple[float, float]:
    """Percentile interval of `statistic` over rows drawn with replacement.

    Args:
        values: one row per independent image.
        statistic: from rows to a number.
        seed: of the draws.
        name: of the purpose, so that two metrics with one seed draw independently.
        resamples: how many.
        level: of the interval.

    Raises:
        DataError: fewer than two rows.
    """
    rows = np.asarray(values, dtype=np.float64)
    if len(rows) < 2:
        raise DataError(f"wanted at least two rows to resample, got {len(rows)}")
    rng = generator(seed, name)
    draws = [statistic(rows[rng.integers(0, len(rows), len(rows))]) for _ in range(resamples)]
    return percentile_interval(draws, level)


def clopper_pearson(right: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Exact interval of a proportion (Clopper and Pearson, Biometrika 26, 1934): covers at least `level`.

    Raises:
        DataError: n is 0, or not 0 <= right <= n.
    """
    _check_proportion(right, n)
    tail = (1 - level) / 2
    low = 0.0 if right == 0 else float(stats.beta.ppf(tail, right, n - right + 1))
    high = 1.0 if right == n else float(stats.beta.ppf(1 - tail, right + 1, n - right))
    return low, high


def wilson(right: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Score interval of a proportion (Wilson, JASA 22, 1927): covers `level` on average, shorter than the exact one.

    Raises:
        DataError: n is 0, or not 0 <= right <= n.
    """
    _check_proportion(right, n)
    z = float(stats.norm.ppf((1 + level) / 2))
    p, z2 = right / n, z * z
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    # At the ends the two terms are equal but for rounding.
    return (0.0 if right == 0 else max(0.0, centre - half)), (1.0 if right == n else min(1.0, centre + half))


def _check_proportion(right: int, n: int) -> None:
    if n < 1 or not 0 <= right <= n:
        raise DataError(f"wanted 0 <= successes <= trials and at least one trial, got {right} of {n}")
