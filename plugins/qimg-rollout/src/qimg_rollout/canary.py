"""A canary's analysis: pass, fail or inconclusive, with stated error rates (imports drift).

It is group-sequential. Looks at the images are fixed before the first (numbers of images); the level is spent over
them by the Pocock-type function of Lan and DeMets (Biometrika 70, 1983), a(t) = a log(1 + (e - 1) t). What a look
spends is the level of its exact tests, so the chance of any false alarm is at most the sum, by the union bound,
whatever the dependence between looks: conservative, and without an asymptotic formula. Runs that failed are watched
apart, at every run, by a test martingale. Each of the two has half of ``alpha``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError
from qimg_core.seeds import derive_seed
from qimg_core.verdict import Verdict
from qimg_rollout.drift import Drift, check_drift

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qimg_rollout.sets import Sets

LEAST = 10
"""Fewest images of a look, and of a class that is tested apart."""
_RATES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.99)


def _sizes(values: Iterable[int]) -> tuple[int, ...]:
    return tuple(values)


@frozen(kw_only=True)
class CanaryPlan:
    """What was settled before the first canary image.

    Args:
        alpha: chance that a canary without any change is rolled back; up to 0.1.
        looks: numbers of images after which there is an answer, rising; the last one ends the canary.
        tolerance: shift of the images, in standard deviations along their main axis, that has to be seen with a
            chance of 0.9 if it is there; a canary that would not have seen it does not pass.
        failing: share of failed runs that is tolerated.
        seed: of permutations.
    """

    alpha: float
    looks: tuple[int, ...] = field(converter=_sizes)
    tolerance: float
    failing: float
    seed: int

    def __attrs_post_init__(self) -> None:
        if not 0 < self.alpha <= 0.1:
            raise ConfigurationError(f"alpha: wanted more than 0 and up to 0.1, got {self.alpha:g}")
        if not self.looks or self.looks[0] < LEAST or list(self.looks) != sorted(set(self.looks)):
            raise ConfigurationError(f"looks: wanted rising numbers of images from {LEAST} on, got {self.looks}")
        if not 0 < self.failing < 1:
            raise ConfigurationError(f"failing: wanted a share above 0 and below 1, got {self.failing:g}")
        if not self.tolerance > 0:
            raise ConfigurationError(f"tolerance: wanted more than 0, got {self.tolerance:g}")

    def to_json(self) -> dict[str, Any]:
        """For an entry."""
        return {
            "alpha": repr(self.alpha),
            "looks": list(self.looks),
            "tolerance": repr(self.tolerance),
            "failing": repr(self.failing),
            "seed": str(self.seed),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> CanaryPlan:
        """What `to_json` gave."""
        return cls(
            alpha=float(facts["alpha"]),
            looks=facts["looks"],
            tolerance=float(facts["tolerance"]),
            failing=float(facts["failing"]),
            seed=int(facts["seed"]),
        )


@frozen(kw_only=True)
class Look:
    """One look: the level that it spent, and its tests."""

    n: int
    level: float
    drift: Drift

    def to_json(self) -> dict[str, Any]:
        return {"n": self.n, "level": f"{self.level:.6g}", **self.drift.to_json()}


@frozen(kw_only=True)
class Analysis:
    """How a canary stands.

    Args:
        verdict: pass: the last look saw no change and would have seen the tolerated one. fail: a distribution
            changed, or too many runs failed. inconclusive: too little was seen.
        reason: in words.
        images, runs, failed: what was seen.
        evidence: of the martingale against the tolerated share of failed runs; it rejects at 2 / alpha.
        looks: those that were reached.
    """

    verdict: Verdict
    reason: str
    images: int
    runs: int
    failed: int
    evidence: float
    looks: tuple[Look, ...]

    def to_json(self) -> dict[str, Any]:
        """For an entry."""
        return {
            "verdict": self.verdict.value,
            "reason": self.reason,
            "images": self.images,
            "runs": self.runs,
            "failed": self.failed,
            "evidence": f"{self.evidence:.6g}",
            "looks": [look.to_json() for look in self.looks],
        }


def spent(alpha: float, looks: Sequence[int]) -> tuple[float, ...]:
    """The level of each look; they sum to ``alpha``."""
    total = [alpha * math.log1p((math.e - 1) * n / looks[-1]) for n in looks]
    return tuple(b - a for a, b in zip([0.0, *total], total, strict=False))


def against(failures: Iterable[bool], share: float) -> float:
    """The largest value so far of a test martingale against "a run fails with a chance of at most ``share``".

    The mean of likelihood ratios for several larger chances. Under the hypothesis its expectation never grows, so it
    ever reaches 1/a with a chance of at most a (Ville 1939), however long and whenever one looks.
    """
    rates = [r for r in _RATES if r > share] or [(1 + share) / 2]
    logs, largest = [0.0] * len(rates), 0.0
    for failed in failures:
        for i, rate in enumerate(rates):
            logs[i] += math.log(rate / share) if failed else math.log((1 - rate) / (1 - share))
        top = max(logs)
        largest = max(largest, top + math.log(sum(math.exp(x - top) for x in logs) / len(logs)))
    return math.exp(min(largest, 700.0))


def analyse(plan: CanaryPlan, baseline: Sets, images: Sets | None, failures: Sequence[bool]) -> Analysis:
    """Judge what a canary has done so far. The same samples always give the same answer.

    Args:
        plan: settled before.
        baseline: pinned before.
        images: of the canary, in the order in which they were made; None for none yet.
        failures: one for each run that ended, in order: did it fail?
    """
    n = 0 if images is None or images.images is None else len(images.images)
    evidence = against(failures, plan.failing)
    looks: list[Look] = []

    def answer(verdict: Verdict, reason: str) -> Analysis:
        failed = sum(failures)
        return Analysis(
            verdict=verdict,
            reason=reason,
            images=n,
            runs=len(failures),
            failed=failed,
            evidence=evidence,
            looks=tuple(looks),
        )

    if evidence >= 2 / plan.alpha:
        share = f"{sum(failures)} of {len(failures)} runs failed, {plan.failing:g} is tolerated"
        return answer(Verdict.FAIL, f"{share} (evidence {evidence:.3g}, wanted under {2 / plan.alpha:g})")
    for size, level in zip(plan.looks, spent(plan.alpha / 2, plan.looks), strict=True):
        if images is None or n < size:
            break
        last = size == plan.looks[-1]
        drift = check_drift(
            baseline,
            images.first(size),
            alpha=level,
            seed=derive_seed(plan.seed, "look", size),
            tolerance=plan.tolerance if last else None,
            minimum=LEAST,
            power=last,
        )
        looks.append(Look(n=size, level=level, drift=drift))
        if drift.verdict is Verdict.FAIL:
            return answer(Verdict.FAIL, f"after {size} images: {drift.reason}")
        if last:
            return answer(drift.verdict, f"after {size} images: {drift.reason}")
    following = next(size for size in plan.looks if size > n)
    return answer(Verdict.INCONCLUSIVE, f"{n} images so far, the next look is at {following}")
