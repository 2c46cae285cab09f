"""What a usable image costs: accepted images, cost of each, latency (imports numpy, scipy).

Accepted is an image that the feature network takes for the asked class with a stated confidence, its softmax
probability. What was spent on all images (seconds, money, shots, requests) is then shared among the accepted ones.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats
from scipy.special import softmax

from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.bootstrap import LEVEL, Estimate, clopper_pearson
from qimg_metrics.image.arrays import checked_features, checked_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

CONFIDENCE = 0.9


def accepted(logits: ArrayLike, asked: ArrayLike, *, confidence: float = CONFIDENCE, level: float = LEVEL) -> Estimate:
    """Share of images that the network takes for the asked class with at least `confidence`.

    Args:
        logits: of the feature network (n, classes).
        asked: class of each image as asked (n,).
        confidence: least softmax probability of the asked class, above one half: then it is also the most probable.
        level: of the Clopper-Pearson interval.

    Raises:
        DataError: bad logits or classes.
        ConfigurationError: a confidence that is not in (0.5, 1).
    """
    if not 0.5 < confidence < 1:
        raise ConfigurationError(f"wanted a confidence above 0.5 and below 1, got {confidence}")
    scores = checked_features(logits, "logits", least=1)
    wanted = checked_labels(asked, len(scores), "asked classes", n_classes=scores.shape[1])
    sure = softmax(scores, axis=1)[np.arange(len(scores)), wanted]
    right, n = int((sure >= confidence).sum()), len(scores)
    low, high = clopper_pearson(right, n, level)
    return Estimate(
        name="accepted",
        value=right / n,
        low=low,
        high=high,
        level=level,
        n=n,
        method="Clopper-Pearson",
        note=f"judged to be the asked class with confidence {confidence:g} or more",
    )


def per_accepted(total: float, share: Estimate, *, name: str, unit: str) -> Estimate:
    """What each accepted image cost, where all `share.n` images together cost `total`.

    Args:
        total: spent on all images, accepted or not; measured, so it has no interval of its own.
        share: from `accepted`.
        name: of the estimate, e.g. ``seconds_per_accepted``.
        unit: of the total, for the note.

    Returns:
        total / (n * share), its interval that of the share; infinite where nothing (or perhaps nothing) is accepted.

    Raises:
        DataError: a total that is negative or not finite.
    """
    if not (math.isfinite(total) and total >= 0):
        raise DataError(f"{name}: wanted what was spent, 0 or more, got {total}")

    def each(fraction: float) -> float:
        return 0.0 if total == 0 else total / (share.n * fraction) if fraction > 0 else math.inf

    return Estimate(
        name=name,
        value=each(share.value),
        low=each(share.high),
        high=each(share.low),
        level=share.level,
        n=share.n,
        method=f"{share.method} of the accepted share",
        note=f"{unit}; {total:g} for {share.n} images, {share.note}",
    )


def latency(seconds: Sequence[float], *, quantile: float = 0.5, level: float = LEVEL) -> Estimate:
    """A quantile of measured times, e.g. 0.95 for p95, with its interval from order statistics.

    Args:
        seconds: of each call (n,).
        quantile: between 0 and 1.
        level: of the interval (Conover, Practical Nonparametric Statistics, 3.2): it assumes independent calls and
            nothing of their distribution. An end that so few calls cannot give is 0 or infinite.

    Raises:
        DataError: no times, or one that is negative or not finite.
        ConfigurationError: a quantile that is not between 0 and 1.
    """
    times = np.sort(np.asarray(seconds, dtype=np.float64).ravel())
    if times.size == 0 or not np.isfinite(times).all() or times[0] < 0:
        raise DataError("wanted at least one time, 0 seconds or more")
    if not 0 < quantile < 1:
        raise ConfigurationError(f"wanted a quantile between 0 and 1, got {quantile}")
    n, tail = len(times), (1 - level) / 2
    below = int(stats.binom.ppf(tail, n, quantile))  # P(at most below - 1 calls under the quantile) < tail
    above = int(stats.binom.ppf(1 - tail, n, quantile)) + 1
    return Estimate(
        name=f"latency_p{100 * quantile:g}",
        value=float(np.quantile(times, quantile)),
        low=float(times[below - 1]) if below >= 1 else 0.0,
        high=float(times[above - 1]) if above <= n else math.inf,
        level=level,
        n=n,
        method="order statistics",
        note="seconds",
    )
