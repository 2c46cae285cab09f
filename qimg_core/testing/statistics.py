"""Do counts come from a distribution? Exact Monte-Carlo tests, and what they can see (floor 8; imports attrs).

The null distribution of a statistic is simulated and not taken from an asymptotic formula, because counts of
quantum circuits are sparse: with 256 outcomes and 200 shots a perfect sampler has a fidelity of about 0.75, and
pooled chi-squared tests are wrong in size. A fixed bound on a distance says nothing without the number of shots,
so every test here reports the smallest effect that it would have seen.
"""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

_FEW, _MANY, _BLOCK = 2_000, 200_000, 20_000


@frozen(kw_only=True, eq=False)
class Fit:
    """How counts fit a distribution.

    Args:
        shots: of each row.
        outcomes: that each row distinguishes.
        rows: independent rows, tested together.
        statistic: G = 2 sum c log(c / (n p)), summed over the rows.
        p_value: chance of a G as large or larger from a right sampler.
        too_good: chance of a chi-squared as small or smaller: counts that were made up from the
            probabilities fit too well.
        tvd: largest total variation distance of a row.
        expected_tvd: its mean for a right sampler, of the same row (`expected_tvd`).
        impossible: counts of outcomes whose probability is 0.
    """

    shots: int
    outcomes: int
    rows: int
    statistic: float
    p_value: float
    too_good: float
    tvd: float
    expected_tvd: float
    impossible: int

    def to_json(self) -> dict[str, Any]:
        from attrs import asdict

        return asdict(self)


def g_statistic(counts: npt.NDArray[np.int64], probabilities: Floats) -> Floats:
    """G = 2 sum c log(c / (n p)) over the last axis; infinite where an impossible outcome was counted."""
    import numpy as np

    n = counts.sum(-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(counts > 0, counts * (np.log(counts) - np.log(n * probabilities)), 0.0)
    return np.asarray(2 * terms.sum(-1))


def chi_squared(counts: npt.NDArray[np.int64], probabilities: Floats) -> Floats:
    """Pearson's sum (c - n p)**2 / (n p) over the last axis, outcomes of probability 0 left out."""
    import numpy as np

    n = counts.sum(-1, keepdims=True)
    expected = n * probabilities
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(probabilities > 0, (counts - expected) ** 2 / expected, 0.0)
    return np.asarray(terms.sum(-1))


def multinomial_test(
    counts: npt.NDArray[np.int64], probabilities: Floats, *, seed: int, suspicious: float = 0.01
) -> Fit:
    """The exact multinomial G-test and the test for counts that are too good, by Monte Carlo.

    p-values are (1 + draws as extreme) / (1 + draws). 2,000 draws decide that nothing is suspicious; where
    something is, 200,000 decide, so p-values go down to 5e-6.

    Args:
        counts: (rows, outcomes), or (outcomes,).
        probabilities: of the same shape; rows sum to 1.
        seed: of the draws.
        suspicious: p-values up to this one are computed again with more draws.
    """
    import numpy as np

    c, p = _rows(counts), _rows(probabilities)
    p = p / p.sum(1, keepdims=True)
    n = c.sum(1)
    possible = p > 1e-14
    impossible = int(c[~possible].sum())
    g, x = float(g_statistic(c, p).sum()), float(chi_squared(c, p).sum())
    upper = lower = 0.0
    if not impossible:
        upper, lower = _tails(g, x, n, p, _FEW, seed)
        if min(upper, lower) <= suspicious:
            upper, lower = _tails(g, x, n, p, _MANY, seed)
    distance = 0.5 * np.abs(c / n[:, None] - p).sum(1)
    worst = int(distance.argmax())
    return Fit(
        shots=int(n[0]),
        outcomes=int(p.shape[1]),
        rows=len(p),
        statistic=g,
        p_value=upper,
        too_good=1.0 if impossible else lower,
        tvd=float(distance[worst]),
        expected_tvd=expected_tvd(p[worst], int(n[worst])),
        impossible=impossible,
    )


def _rows(array: Any) -> Any:
    import numpy as np

    a = np.asarray(array)
    return a[None] if a.ndim == 1 else a


def _tails(g: float, x: float, shots: npt.NDArray[np.int64], p: Floats, draws: int, seed: int) -> tuple[float, float]:
    """(chance of G >= g, chance of chi-squared <= x) for right samplers."""
    import numpy as np

    rng = np.random.Generator(np.random.PCG64(seed))
    above = below = 0
    for start in range(0, draws, _BLOCK):
        size = min(_BLOCK, draws - start)
        gs, xs = np.zeros(size), np.zeros(size)
        for n, row in zip(shots, p, strict=True):
            drawn = rng.multinomial(int(n), row, size=size)
            gs += g_statistic(drawn, row)
            xs += chi_squared(drawn, row)
        above += int((gs >= g - 1e-9).sum())
        below += int((xs <= x + 1e-9).sum())
    return (1 + above) / (1 + draws), (1 + below) / (1 + draws)


def expected_tvd(probabilities: Floats, shots: int) -> float:
    """Mean total variation distance of a right sampler: 0.5 sum sqrt(2 p (1 - p) / (pi n)), by normal deviations."""
    import numpy as np

    p = np.asarray(probabilities)
    return float(0.5 * np.sqrt(2 * p * (1 - p) / (math.pi * shots)).sum())


def tvd_bound(outcomes: int, shots: int, alpha: float) -> float:
    """A total variation distance that a right sampler passes with probability alpha at most (Weissman et al. 2003)."""
    k = float(outcomes)
    log_sets = math.log(2**k - 2) if 1 < k < 60 else k * math.log(2)
    return 0.5 * math.sqrt(2 * (log_sets + math.log(1 / alpha)) / shots)


def mean_bound(shots: int, alpha: float) -> float:
    """How far a mean of ``shots`` outcomes +-1 strays with probability alpha at most (Hoeffding 1963), two-sided."""
    return math.sqrt(2 * math.log(2 / alpha) / shots)


def detectable_mean(shots: int, alpha: float, power: float = 0.9) -> float:
    """The smallest error of a mean that a test with `mean_bound` sees with this power (Hoeffding again)."""
    return mean_bound(shots, alpha) + math.sqrt(2 * math.log(1 / (1 - power)) / shots)


def detectable_effect(
    probabilities: Floats, shots: int, alpha: float, *, seed: int, power: float = 0.9, draws: int = 2_000
) -> float:
    """The smallest fault that `multinomial_test` sees with this power, as a total variation distance.

    The fault mixes the distribution with the uniform one, which is what depolarising noise does. Its power is
    simulated; the bound of G comes from simulated moments (a scaled chi-squared, Wilson and Hilferty 1931).

    Args:
        probabilities: (rows, outcomes) or (outcomes,), tested together.
        shots: of each row.
        alpha: the size of the test.
        seed: of the simulation.
        power: chance of seeing it.
        draws: for each point of the search.

    Returns:
        mean distance of the rows; infinite where even uniform noise is not seen.
    """
    import numpy as np

    p = _rows(probabilities)
    p = p / p.sum(1, keepdims=True)
    k = p.shape[1]
    distance = float((0.5 * np.abs(p - 1 / k).sum(1)).mean())
    rng = np.random.Generator(np.random.PCG64(seed))

    def simulated(weight: float) -> Floats:
        total = np.zeros(draws)
        for row in p:
            total += g_statistic(rng.multinomial(shots, (1 - weight) * row + weight / k, size=draws), row)
        return total

    null = simulated(0.0)
    bound = _upper(float(null.mean()), float(null.var()), alpha)

    def seen(weight: float) -> float:
        return float((simulated(weight) > bound).mean())

    weight = _smallest(seen, power)
    return math.inf if weight is None or distance == 0 else weight * distance


def _upper(mean: float, variance: float, alpha: float) -> float:
    """Upper quantile of a variable of these moments, as a scaled chi-squared one."""
    if variance == 0:
        return mean
    scale, degrees = variance / (2 * mean), 2 * mean**2 / variance
    z = NormalDist().inv_cdf(1 - alpha)
    return scale * degrees * (1 - 2 / (9 * degrees) + z * math.sqrt(2 / (9 * degrees))) ** 3


def _smallest(seen: Callable[[float], float], power: float) -> float | None:
    low, high = 0.0, 1.0
    if seen(high) < power:
        return None
    for _ in range(8):
        middle = (low + high) / 2
        if seen(middle) >= power:
            high = middle
        else:
            low = middle
    return high


def same_distribution(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64], *, seed: int, draws: int = 20_000) -> float:
    """Chance that two sets of counts of one distribution differ as much as these: an exact permutation test.

    Args:
        a: (outcomes,).
        b: of the same outcomes; another number of shots if need be.
        seed: of the draws.
        draws: permutations.
    """
    import numpy as np

    a, b = np.asarray(a), np.asarray(b)
    pool = a + b
    if (pool > 0).sum() < 2:
        return 1.0
    rng = np.random.Generator(np.random.PCG64(seed))
    drawn = rng.multivariate_hypergeometric(pool, int(a.sum()), size=draws)
    shared = pool / pool.sum()

    def both(first: Any) -> Any:
        return g_statistic(first, shared) + g_statistic(pool - first, shared)

    return float((1 + (both(drawn) >= both(a) - 1e-9).sum()) / (1 + draws))


def explained_by(counts: npt.NDArray[np.int64], candidates: Floats) -> Floats:
    """Log-likelihood of counts under each candidate mixed with as much uniform noise as fits best.

    Args:
        counts: (outcomes,).
        candidates: (candidates, outcomes), each summing to 1.

    Returns:
        (candidates,); natural logarithms, so a difference of 14 is odds of a million to one.
    """
    import numpy as np

    c, p = np.asarray(counts, dtype=float), np.asarray(candidates)
    weights = np.linspace(0.001, 1.0, 400)[:, None, None]
    mixed = (1 - weights) * p[None] + weights / p.shape[1]
    return np.asarray((c * np.log(mixed)).sum(-1).max(0))
