"""`WatermarkFinding` and the thresholds behind it (imports attrs, verdict; nothing heavy).

Every statistic here is T = sum(c e) / sqrt(sum(c^2)) where the signs e come from a key that knew nothing of the image,
and the numbers c from the image alone. Each e is then +1 or -1 with equal chance, independently, whatever the image is;
by Hoeffding's inequality (J. Am. Stat. Assoc. 58, 13, 1963, theorem 2) P(T >= t) <= exp(-t^2 / 2), with no
assumption about images. The decision is made on this bound. Among N patterns that were tried, the best one is judged
N times as strictly (Bonferroni).
"""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.verdict import Verdict

RATE = 1e-6
"""Default false-positive rate."""
POWER = 2.326
"""How far above the threshold a mark's expected statistic has to lie to be seen 99 times of 100."""


@frozen(kw_only=True)
class WatermarkFinding:
    """What a detector found.

    Args:
        verdict: ``pass``: the mark is there. ``fail``: it is not; one of usual strength would have been seen.
            ``inconclusive``: it was not seen, and might not have been.
        statistic: the best T that was found.
        threshold: what T had to reach.
        false_positive_rate: the bound on P(pass) for images that were not marked with this key.
        n_images: judged together.
        method: ``noise`` (Gaussian shading) or ``pixels`` (spread spectrum).
        key: id of the key.
        tries: patterns or positions that were tried, paid for in the threshold.
        expected: T of an unharmed mark in these images, an estimate.
        p_bound: the proven bound of the p-value, all tries counted, at most 1.
        where: which nonce or position gave the best T, in words; empty where there was one only.
    """

    verdict: Verdict
    statistic: float
    threshold: float
    false_positive_rate: float
    n_images: int
    method: str
    key: str
    tries: int
    expected: float
    p_bound: float
    where: str = ""

    def to_json(self) -> dict[str, Any]:
        """Without floats, for records and ``--json``."""
        return {
            "verdict": self.verdict.value,
            "method": self.method,
            "key": self.key,
            "n_images": self.n_images,
            "statistic": f"{self.statistic:.4f}",
            "threshold": f"{self.threshold:.4f}",
            "expected": f"{self.expected:.4f}",
            "false_positive_rate": repr(self.false_positive_rate),
            "p_bound": f"{self.p_bound:.3g}",
            "tries": self.tries,
            "where": self.where,
        }

    def __str__(self) -> str:
        tried = f", the best of {self.tries:,}" if self.tries > 1 else ""
        return (
            f"{self.verdict.value}: T = {self.statistic:.2f}, {self.threshold:.2f} needed at a false-positive rate of "
            f"{self.false_positive_rate:g}{tried} ({self.method}, {self.n_images} image(s), key {self.key})"
        )


def threshold(rate: float, tries: int = 1) -> float:
    """The t with tries * exp(-t^2 / 2) = rate: 5.26 for 1e-6.

    Raises:
        ConfigurationError: a rate outside (0, 1), or nothing tried.
    """
    if not 0 < rate < 1 or tries < 1:
        raise ConfigurationError(f"wanted a false-positive rate between 0 and 1 and a try, got {rate} and {tries}")
    return math.sqrt(2 * math.log(tries / rate))


def p_bound(statistic: float, tries: int = 1) -> float:
    """The bound min(1, tries * exp(-t^2 / 2)) for T = t; 1 for t <= 0."""
    return 1.0 if statistic <= 0 else min(1.0, tries * math.exp(-statistic * statistic / 2))


def judge(
    *,
    statistic: float,
    expected: float,
    rate: float,
    n_images: int,
    method: str,
    key: str,
    tries: int = 1,
    where: str = "",
) -> WatermarkFinding:
    """The finding for the best statistic of ``tries``; see `WatermarkFinding`."""
    needed = threshold(rate, tries)
    missed = Verdict.FAIL if expected - POWER >= needed else Verdict.INCONCLUSIVE
    return WatermarkFinding(
        verdict=Verdict.PASS if statistic >= needed else missed,
        statistic=statistic,
        threshold=needed,
        false_positive_rate=rate,
        n_images=n_images,
        method=method,
        key=key,
        tries=tries,
        expected=expected,
        p_bound=p_bound(statistic, tries),
        where=where,
    )
