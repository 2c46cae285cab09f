"""Paired statistics over seeds: tests, intervals, equivalence, what would have been seen (imports numpy, scipy, attrs).

A *difference* is first arm minus second arm at one seed. All functions take differences of shape (n,), one per pair,
and know nothing of metrics, arms or verdicts.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from attrs import field, frozen
from scipy import optimize, special, stats

from qimg_core.errors import DataError
from qimg_core.seeds import derive_seed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]

ALPHA = 0.05
LEVEL = 0.95
POWER = 0.8
RESAMPLES = 2000
EXACT = 16
"""Up to so many pairs all sign patterns are tried; beyond, 2**EXACT random ones."""


def _draws(values: ArrayLike) -> Floats:
    return np.asarray(values, dtype=np.float64).ravel()


@frozen(kw_only=True, eq=False)
class Score:
    """One metric of one arm at one seed.

    Args:
        arm: its name in the plan.
        seed: the paired seed.
        metric: its name.
        value: the point estimate.
        draws: bootstrap draws of the metric over the images of that seed, shape (r,); may be empty.
    """

    arm: str
    seed: int
    metric: str
    value: float
    draws: Floats = field(default=(), converter=_draws)


@frozen(kw_only=True, eq=False)
class Pairs:
    """Two arms at the same seeds.

    Args:
        seeds: (n,), ascending.
        first, second: values of each arm (n,).
        noise: centred draws of the difference at each seed, (n, r); r is 0 where either arm gives none.
    """

    seeds: tuple[int, ...]
    first: Floats
    second: Floats
    noise: Floats

    @property
    def differences(self) -> Floats:
        """The first arm's minus the second's, (n,)."""
        return np.asarray(self.first - self.second)


def paired(scores: Iterable[Score], first: str, second: str, metric: str) -> Pairs:
    """The scores of two arms, seed by seed; seeds that only one of them has are left out.

    Raises:
        DataError: an arm has two scores at one seed, a score is not finite, or fewer than two seeds are common.
    """
    found: dict[str, dict[int, Score]] = {first: {}, second: {}}
    for s in scores:
        if s.metric != metric or s.arm not in found:
            continue
        if s.seed in found[s.arm]:
            raise DataError(f"two scores of {metric} for arm {s.arm!r} at seed {s.seed}")
        if not (math.isfinite(s.value) and np.isfinite(s.draws).all()):
            raise DataError(f"{metric} of arm {s.arm!r} at seed {s.seed} is not finite")
        found[s.arm][s.seed] = s
    common = sorted(found[first].keys() & found[second].keys())
    if len(common) < 2:
        raise DataError(f"{first!r} and {second!r} share {len(common)} seeds of {metric}, wanted two or more")
    left, right = ([found[arm][seed] for seed in common] for arm in (first, second))
    r = min(len(s.draws) for s in (*left, *right))
    noise = np.zeros((len(common), 0))
    if r:
        noise = np.stack([_centred(a.draws[:r]) - _centred(b.draws[:r]) for a, b in zip(left, right, strict=True)])
    return Pairs(
        seeds=tuple(common),
        first=np.array([s.value for s in left]),
        second=np.array([s.value for s in right]),
        noise=noise,
    )


def _centred(draws: Floats) -> Floats:
    return np.asarray(draws - draws.mean())


@lru_cache(maxsize=32)
def _signs(n: int) -> Floats:
    """Half of all sign patterns (2**(n - 1), n): the others mirror them."""
    index = np.arange(2 ** (n - 1))
    return np.asarray(1.0 - 2.0 * ((index[:, None] >> np.arange(n)) & 1), dtype=np.float64)


def sign_flip_p(differences: ArrayLike, *, seed: int = 0) -> float:
    """Two-sided p of the sign-flip test: how often random signs give a mean at least as far from 0.

    Exact over all 2**n patterns for n <= 16 (Fisher 1935; Pitman 1937): valid at any n for differences that are
    symmetric about 0 under the hypothesis. Beyond, 2**16 random patterns with the observed one among them (Phipson and
    Smyth, SAGMB 9, 2010).

    Raises:
        DataError: no differences, or not finite.
    """
    d = _checked(differences, least=1)
    n = len(d)
    seen = abs(float(d.sum()))
    slack = 1e-12 * float(np.abs(d).sum())
    if n <= EXACT:
        sums = np.abs(_signs(n) @ d)
        return float((sums >= seen - slack).mean())
    rng = np.random.default_rng(derive_seed(seed, "sign flips"))
    count = total = 0
    for _ in range(16):
        signs = rng.integers(0, 2, (2**EXACT // 16, n)) * 2.0 - 1.0
        count += int((np.abs(signs @ d) >= seen - slack).sum())
        total += len(signs)
    return (count + 1) / (total + 1)


def least_pairs(alpha: float = ALPHA) -> int:
    """Fewest pairs with which the sign-flip test can reach ``alpha``: 2**(1 - n) <= alpha, so 6 for 0.05."""
    return math.ceil(1 - math.log2(alpha))


def bootstrap_means(
    differences: ArrayLike, noise: ArrayLike | None = None, *, seed: int = 0, resamples: int = RESAMPLES
) -> Floats:
    """Means of the differences over resampled seeds, with one centred image draw for each, shape (resamples,).

    The values already hold the noise of their images once, so adding a draw makes the spread too wide rather than too
    narrow: up to sqrt(2)-fold where that noise is all there is, more where a metric's own interval is too wide.

    Args:
        differences: (n,).
        noise: centred draws (n, r) of each difference, or None.
        seed: of the resamples.
        resamples: how many.

    Raises:
        DataError: fewer than two differences, not finite, or noise of another length.
    """
    d = _checked(differences, least=2)
    extra = np.zeros((len(d), 0)) if noise is None else np.asarray(noise, dtype=np.float64)
    if extra.ndim != 2 or len(extra) != len(d):
        raise DataError(f"wanted noise of shape ({len(d)}, r), got {extra.shape}")
    rng = np.random.default_rng(derive_seed(seed, "hierarchical bootstrap"))
    rows = rng.integers(0, len(d), (resamples, len(d)))
    values = d[rows]
    if extra.shape[1]:
        values = values + extra[rows, rng.integers(0, extra.shape[1], rows.shape)]
    return np.asarray(values.mean(axis=1))


def expanded_interval(means: ArrayLike, n: int, *, level: float = LEVEL) -> tuple[float, float]:
    """Percentile interval with quantiles moved outwards for few pairs (Hesterberg, Am. Stat. 69, 2015, section 4.1).

    Plain percentiles of n values are too narrow, by sqrt((n - 1) / n) and by normal in place of Student quantiles.
    """
    tail = _tail(n, level)
    low, high = np.quantile(np.asarray(means, dtype=np.float64), [tail, 1 - tail])
    return float(low), float(high)


@lru_cache(maxsize=256)
def _tail(n: int, level: float) -> float:
    return float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf((1 + level) / 2, n - 1)))


def equivalence_p(differences: ArrayLike, margin: float) -> float:
    """The p of two one-sided t tests that the mean difference lies within +- margin (Schuirmann 1987).

    Raises:
        DataError: fewer than two differences, not finite, or a margin that is negative or not finite.
    """
    d = _checked(differences, least=2)
    if not (math.isfinite(margin) and margin >= 0):
        raise DataError(f"an equivalence margin is a finite number from 0 up, got {margin}")
    n, mean, spread = len(d), float(d.mean()), float(d.std(ddof=1))
    if spread <= 1e-12 * float(np.abs(d).max()):  # one value, but for rounding
        return 0.0 if abs(mean) < margin * (1 - 1e-12) else 1.0
    return float(special.stdtr(n - 1, (abs(mean) - margin) / (spread / math.sqrt(n))))


def detectable_effect(spread: float, n: int, *, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """The smallest mean difference that n pairs would show with the given power; None where no effect could be shown.

    From the non-central t distribution, which the sign-flip test follows closely: 1.00 x spread at n = 10 and 0.66 at
    n = 20 for 80 %.

    Args:
        spread: standard deviation of the paired differences.
        n: pairs.
        alpha: of the two-sided test.
        power: wanted.
    """
    return None if n < least_pairs(alpha) else spread * _standard_effect(n, alpha, power)


@lru_cache(maxsize=256)
def _standard_effect(n: int, alpha: float, power: float) -> float:
    bound = float(stats.t.ppf(1 - alpha / 2, n - 1))

    def lack(d: float) -> float:
        shift = d * math.sqrt(n)
        return float(stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift)) - power

    return float(optimize.brentq(lack, 1e-6, (2 * bound + 3) / math.sqrt(n)))  # nct is NaN far out


def _checked(differences: ArrayLike, *, least: int) -> Floats:
    d = np.asarray(differences, dtype=np.float64)
    if d.ndim != 1 or len(d) < least or not np.isfinite(d).all():
        raise DataError(f"wanted {least} or more finite differences (n,), got {d.shape}")
    return d
