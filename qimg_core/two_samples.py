"""Do two sets of measured numbers come from one device? (floor 9; imports testing.statistics, measurement)

Each test is exact or conservative whatever the circuit is: a permutation test of G for counts, Fisher's exact
test for means of +-1, Hoeffding's bound where a mean's counts are not known. Effects are total variation distances.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.testing.statistics import detectable_effect, g_statistic

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from qimg_core.measurement import Measurement

    Counts = npt.NDArray[np.int64]

POWER = 0.9
_FEW, _BLOCK, _MOST, _ROWS = 2_000, 5_000, 1_000_000, 16


@frozen(kw_only=True)
class TwoSamples:
    """How two sets of numbers of one request compare.

    Args:
        method: "permutation test of G", "Fisher's exact test", "Hoeffding's bound", or why none applies.
        p: chance of a difference as large or larger from one device; None where no test applies.
        largest: total variation distance of the row, or of the +-1 variable, that differs most.
        detectable: the smallest distance that the test sees with a power of 0.9.
    """

    method: str
    p: float | None
    largest: float
    detectable: float


def holm(p: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p of a family (Holm, Scand. J. Stat. 6, 1979), in the order given."""
    order = sorted(range(len(p)), key=lambda i: p[i])
    out, largest = [0.0] * len(p), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p) - rank) * p[i]))
        out[i] = largest
    return tuple(out)


def compare(measurement: Measurement, was: Any, now: Any, *, shots: int, alpha: float, seed: int) -> TwoSamples:
    """Compare the results of two executions of one request.

    Args:
        measurement: says how the arrays are laid out.
        was: (rows, ...).
        now: of the same shape.
        shots: per row (and basis).
        alpha: size of the test of this request, after the share that a family of requests leaves it.
        seed: of the draws.
    """
    import numpy as np

    a, b = np.asarray(was), np.asarray(now)
    if isinstance(measurement, Samples):
        return _counted(*_codes(a, b), shots, alpha, seed)
    if isinstance(measurement, Probabilities):
        counts = [np.rint(x * shots) for x in (a, b)]
        if any(np.abs(c - x * shots).max() > 1e-6 * shots for c, x in zip(counts, (a, b), strict=True)):
            return TwoSamples(method="the numbers are no counts", p=None, largest=_tvd(a, b), detectable=math.inf)
        return _counted(counts[0].astype(np.int64), counts[1].astype(np.int64), shots, alpha, seed)
    if isinstance(measurement, Expectation):
        scale = np.array([t.coefficient for t in measurement.terms])
        used = (scale != 0) & np.array([bool(t.factors) for t in measurement.terms])
        return _means(a[:, used] / scale[used], b[:, used] / scale[used], shots, alpha)
    if isinstance(measurement, LocalStates):
        used = np.ones(a.shape[1], bool)
        used[list(measurement.offsets[:-1])] = False  # the identity of each window
        return _hoeffding(a[:, used], b[:, used], shots, alpha)
    return TwoSamples(method="states have no shots", p=None, largest=math.nan, detectable=math.inf)


def _tvd(a: Any, b: Any) -> float:
    import numpy as np

    return float((0.5 * np.abs(a - b).sum(-1)).max())


def _codes(a: Any, b: Any) -> tuple[Counts, Counts]:
    """Counts of the outcomes that occur, (rows, outcomes), of samples (rows, shots, wires)."""
    import numpy as np

    packed = [np.packbits(x, axis=-1) for x in (a, b)]
    rows, shots, size = packed[0].shape
    joint = np.concatenate([x.reshape(-1, size) for x in packed])
    _, codes = np.unique(joint, axis=0, return_inverse=True)
    codes = codes.reshape(2, rows, shots)
    k = int(codes.max()) + 1
    out = [np.stack([np.bincount(row, minlength=k) for row in half]) for half in codes]
    return out[0], out[1]


def _counted(a: Counts, b: Counts, shots: int, alpha: float, seed: int) -> TwoSamples:
    pool = (a + b) / (a + b).sum(1, keepdims=True)
    return TwoSamples(
        method="permutation test of G",
        p=same_rows(a, b, seed=seed, finest=alpha / 20),
        largest=_tvd(a / shots, b / shots),
        # the difference of two samples of n varies as one sample of n/2 around the truth
        detectable=detectable_effect(pool[:_ROWS], max(1, shots // 2), alpha, seed=seed, power=POWER, draws=400),
    )


def same_rows(a: Counts, b: Counts, *, seed: int, finest: float = 1e-4) -> float:
    """Chance that two sets of counts of the same distributions differ as much as these: a permutation test.

    G of both against their pool, summed over rows, is compared with random splits of each row's pool. 2,000
    splits decide that nothing is suspicious; where something is, so many decide that p can fall to ``finest``.

    Args:
        a: (rows, outcomes).
        b: of the same shape.
        seed: of the splits.
        finest: smallest p that is of interest; 1,000,000 splits at most.
    """
    p = _permuted(a, b, _FEW, seed)
    if p > 0.05:
        return p
    return _permuted(a, b, min(_MOST, max(20_000, math.ceil(1 / finest))), seed + 1)


def _permuted(a: Counts, b: Counts, draws: int, seed: int) -> float:
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(seed))
    kept = []
    for x, y in zip(a, b, strict=True):
        some = (x + y) > 0
        kept.append((x[some], x[some] + y[some]))

    def both(first: Any, pool: Any) -> Any:
        shared = pool / pool.sum()
        return g_statistic(first, shared) + g_statistic(pool - first, shared)

    seen = sum(float(both(x, pool)) for x, pool in kept)
    above = 0
    for start in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - start)
        total = np.zeros(size)
        for x, pool in kept:
            if len(pool) > 1:
                drawn = rng.multivariate_hypergeometric(pool, int(x.sum()), size=size, method="marginals")
                total += both(drawn, pool)
        above += int((total >= seen - 1e-9).sum())
    return (1 + above) / (1 + draws)


def _means(a: Any, b: Any, shots: int, alpha: float) -> TwoSamples:
    """Means of +-1 (rows, terms): Fisher's test of each, as one family (Bonferroni: terms may depend on each other)."""
    import numpy as np

    if not a.size:
        return TwoSamples(method="nothing but constants is measured", p=1.0, largest=0.0, detectable=0.0)
    plus = [np.rint((1 + x) / 2 * shots) for x in (a, b)]
    if any(np.abs(k - (1 + x) / 2 * shots).max() > 1e-6 * shots for k, x in zip(plus, (a, b), strict=True)):
        return _hoeffding(a, b, shots, alpha)
    pairs = zip(plus[0].ravel().astype(int), plus[1].ravel().astype(int), strict=True)
    p = min(fisher(int(x), int(y), shots) for x, y in pairs)
    z = NormalDist()
    share = alpha / a.size
    return TwoSamples(
        method="Fisher's exact test",
        p=min(1.0, a.size * p),
        largest=float(np.abs(a - b).max()) / 2,
        # widest at a mean of 0, by normal deviations
        detectable=(z.inv_cdf(1 - share / 2) + z.inv_cdf(POWER)) * math.sqrt(2 / shots) / 2,
    )


def fisher(x: int, y: int, shots: int) -> float:
    """Two-sided p of x of n against y of n (Fisher 1935): the sum of all splits as improbable as the one seen."""
    import numpy as np

    total = x + y
    low, high = max(0, total - shots), min(shots, total)
    log = [_choose(shots, k) + _choose(shots, total - k) for k in range(low, high + 1)]
    weights = np.exp(np.array(log) - max(log))
    return float(min(1.0, weights[weights <= weights[x - low] * (1 + 1e-7)].sum() / weights.sum()))


def _choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _hoeffding(a: Any, b: Any, shots: int, alpha: float) -> TwoSamples:
    """Means of at least ``shots`` outcomes +-1 each: P(|difference| >= d) <= 2 exp(-n d**2 / 4) (Hoeffding 1963)."""
    import numpy as np

    d = float(np.abs(a - b).max())
    share = alpha / a.size
    seen = 2 * math.sqrt(math.log(2 / share) / shots) + 2 * math.sqrt(math.log(1 / (1 - POWER)) / shots)
    return TwoSamples(
        method="Hoeffding's bound",
        p=min(1.0, a.size * 2 * math.exp(-shots * d * d / 4)),
        largest=d / 2,
        detectable=min(1.0, seen / 2),
    )
