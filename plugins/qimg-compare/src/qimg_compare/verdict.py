"""From paired scores to words out of a closed set (imports statistics, scales).

The words never say more than the test did. With fewer pairs than the exact test needs (6 at 5 %), the only verdict is
that nothing can be said.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

import numpy as np
from attrs import evolve, frozen

from qimg_compare import statistics
from qimg_compare.scales import Better, scale_of
from qimg_core.two_samples import holm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from qimg_compare.statistics import Pairs


class Verdict(StrEnum):
    """What a comparison of a quantum arm with a classical one can end with."""

    QUANTUM = "quantum arm better"
    CLASSICAL = "classical arm better"
    EQUIVALENT = "equivalent within margin"
    INCONCLUSIVE = "inconclusive"


class Attribute(StrEnum):
    """What a reader must know beside the verdict."""

    SINGLE_DATASET = "single dataset"
    SIMULATED = "simulated"
    NO_ENTANGLEMENT_BENEFIT = "no entanglement benefit detected"
    SURROGATE_MATCHES = "surrogate matches"
    NOT_PRE_REGISTERED = "not pre-registered"


class Outcome(StrEnum):
    """How the first of two arms did."""

    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"


VERDICTS = {
    Outcome.BETTER: Verdict.QUANTUM,
    Outcome.WORSE: Verdict.CLASSICAL,
    Outcome.EQUIVALENT: Verdict.EQUIVALENT,
    Outcome.INCONCLUSIVE: Verdict.INCONCLUSIVE,
}
"""Of the primary comparison, whose first arm is quantum and whose second is classical."""


@frozen(kw_only=True)
class Comparison:
    """One metric of two arms.

    Args:
        metric: its name; for one that is best near 1 the differences are of its distance from 1.
        first, second: arms.
        pairs: common seeds.
        difference: mean of first - second.
        low, high: 95 % interval of it.
        spread: standard deviation of the paired differences.
        p: of the sign-flip test, after Holm where the comparison is one of a family.
        margin: differences up to this are of no interest.
        p_equivalence: of the two one-sided tests, after Holm likewise.
        detectable: smallest difference seen in 80 % of repetitions; None: none could be.
        outcome: how the first arm did.
        adjusted: whether p was adjusted.
    """

    metric: str
    first: str
    second: str
    pairs: int
    difference: float
    low: float
    high: float
    spread: float
    p: float
    margin: float
    p_equivalence: float
    detectable: float | None
    outcome: Outcome
    adjusted: bool = False


def compare(
    pairs: Pairs,
    *,
    metric: str,
    first: str,
    second: str,
    margin: float,
    seed: int = 0,
    alpha: float = statistics.ALPHA,
    resamples: int = statistics.RESAMPLES,
) -> Comparison:
    """Test one metric of two arms.

    Args:
        pairs: from `statistics.paired`.
        metric: decides which direction is better.
        first: name of the arm that the outcome is about.
        second: name of the other.
        margin: for equivalence, in the metric's units.
        seed: of the bootstrap.
        alpha: of each test.
        resamples: of the bootstrap, which makes the interval and decides nothing.

    Raises:
        UnknownName, DataError.
    """
    d = turned(metric, pairs.first) - turned(metric, pairs.second)
    # near 1 the image draws cannot be carried over to |v - 1| without each arm's own draws: seeds alone are resampled
    noise = None if scale_of(metric) is Better.NEAR_ONE else pairs.noise
    means = statistics.bootstrap_means(d, noise, seed=seed, resamples=resamples)
    low, high = statistics.expanded_interval(means, len(d))
    mean, spread = float(d.mean()), float(d.std(ddof=1))
    made = Comparison(
        metric=metric,
        first=first,
        second=second,
        pairs=len(d),
        difference=mean,
        low=min(low, mean),
        high=max(high, mean),
        spread=spread,
        p=statistics.sign_flip_p(d, seed=seed),
        margin=margin,
        p_equivalence=statistics.equivalence_p(d, margin),
        detectable=statistics.detectable_effect(spread, len(d), alpha=alpha),
        outcome=Outcome.INCONCLUSIVE,
    )
    return evolve(made, outcome=outcome_of(made, alpha))


def turned(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Values in which the difference of two arms is taken: as they are, or their distance from 1."""
    return np.abs(values - 1) if scale_of(metric) is Better.NEAR_ONE else values


def outcome_of(comparison: Comparison, alpha: float = statistics.ALPHA) -> Outcome:
    """What its two tests say. A difference shown to lie within the margin is equivalent even where it is not 0."""
    c = comparison
    if c.pairs < statistics.least_pairs(alpha):
        return Outcome.INCONCLUSIVE
    if c.p_equivalence <= alpha:
        return Outcome.EQUIVALENT
    if c.p > alpha:
        return Outcome.INCONCLUSIVE
    lower_is_better = scale_of(c.metric) is not Better.LARGER
    return Outcome.BETTER if (c.difference < 0) == lower_is_better else Outcome.WORSE


def adjust(family: Sequence[Comparison], alpha: float = statistics.ALPHA) -> tuple[Comparison, ...]:
    """The same comparisons judged as one family: both tests' p adjusted after Holm."""
    p = holm([c.p for c in family])
    same = holm([c.p_equivalence for c in family])
    adjusted = (evolve(c, p=a, p_equivalence=b, adjusted=True) for c, a, b in zip(family, p, same, strict=True))
    return tuple(evolve(c, outcome=outcome_of(c, alpha)) for c in adjusted)
