"""Did a distribution change? Exact tests of samples against a pinned baseline (imports mmd, sets).

Each test is a permutation test, exact when the samples are independent draws. One answer for all of them keeps the
chance of any false alarm at ``alpha`` (Holm, Scand. J. Stat. 6, 1979). Every test says what it would have seen.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import evolve, frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.seeds import derive_seed
from qimg_core.two_samples import holm, same_rows
from qimg_core.verdict import Verdict
from qimg_rollout.mmd import POWER, Pair

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qimg_rollout.sets import Sets

MINIMUM = 20
"""Fewer samples of a distribution than this are no ground for an answer."""
COUNTED = 8
"""Bit strings of up to so many wires are compared by counts, longer ones by their discrepancy."""
DEVIATIONS, DISTANCE = "standard deviations along the main axis", "total variation distance"


@frozen(kw_only=True)
class Finding:
    """One distribution, tested.

    Args:
        what: ``images``, ``images of class 3``, ``recognised as asked``, ``bits``, ``latents``.
        method: of the test.
        was, now: sample sizes.
        p: of this test; None where there are too few samples.
        adjusted: p by Holm over all tests of the check.
        effect: what was measured: squared discrepancy, or total variation distance.
        detectable: the smallest effect seen with a power of 0.9, in ``unit``; None where it was not asked.
        unit: of ``detectable``.
    """

    what: str
    method: str
    was: int
    now: int
    p: float | None = None
    adjusted: float | None = None
    effect: float = 0.0
    detectable: float | None = None
    unit: str = DEVIATIONS

    def to_json(self) -> dict[str, Any]:
        """For an entry: numbers as strings."""

        def text(value: float | None) -> str | None:
            return None if value is None else f"{value:.6g}"

        return {
            "what": self.what,
            "method": self.method,
            "was": self.was,
            "now": self.now,
            "p": text(self.p),
            "adjusted": text(self.adjusted),
            "effect": text(self.effect),
            "detectable": text(self.detectable),
            "unit": self.unit,
        }


@frozen(kw_only=True)
class Drift:
    """A check: fail where a distribution changed, inconclusive where too little was seen to tell."""

    verdict: Verdict
    alpha: float
    findings: tuple[Finding, ...]
    reason: str

    def to_json(self) -> dict[str, Any]:
        """For an entry."""
        return {
            "verdict": self.verdict.value,
            "alpha": f"{self.alpha:g}",
            "reason": self.reason,
            "findings": [f.to_json() for f in self.findings],
        }


Test = tuple[Finding, "Callable[[float, int], Finding] | None"]


def check_drift(
    was: Sets,
    now: Sets,
    *,
    alpha: float = 0.01,
    seed: int,
    tolerance: float | None = None,
    minimum: int = MINIMUM,
    power: bool = True,
) -> Drift:
    """Compare samples with a baseline.

    Args:
        was: the baseline.
        now: of each distribution that both have, one test; of images with classes, one for each class as well.
        alpha: chance of a false alarm of the whole check, up to 0.1.
        seed: of permutations and simulations.
        tolerance: shift (standard deviations) that must have been seen if it were there; else the verdict is
            inconclusive instead of pass. It applies to images and latents as a whole.
        minimum: fewest samples of a distribution.
        power: compute what each test would have seen, where nothing was.

    Raises:
        ConfigurationError: alpha out of range.
        DataError: nothing in common, or rows of different lengths.
    """
    if not 0 < alpha <= 0.1:
        raise ConfigurationError(f"alpha: wanted more than 0 and up to 0.1, got {alpha}")
    tests = list(_tests(was, now, minimum))
    if not tests:
        raise DataError(f"nothing to compare: the baseline has {_words(was)}, the new sample {_words(now)}")
    share = alpha / len(tests)
    done = [f if run is None else run(share, derive_seed(seed, "drift", f.what)) for f, run in tests]
    tested = [f for f in done if f.p is not None]
    adjusted = iter(holm([f.p for f in tested if f.p is not None]))
    done = [evolve(f, adjusted=next(adjusted)) if f.p is not None else f for f in done]
    if power and all(f.adjusted is None or f.adjusted > alpha for f in done):
        done = [_with_power(f, was, now, share, seed) for f in done]
    judged = _judged(tuple(done), alpha, tolerance, minimum)
    apart = _too_small(was, now, minimum)
    return evolve(judged, reason=f"{judged.reason} ({apart})") if apart else judged


def _judged(findings: tuple[Finding, ...], alpha: float, tolerance: float | None, minimum: int) -> Drift:
    changed = [f for f in findings if f.adjusted is not None and f.adjusted <= alpha]
    if changed:
        reason = "; ".join(f"{f.what}: adjusted p = {f.adjusted:.2g}" for f in changed)
        return Drift(verdict=Verdict.FAIL, alpha=alpha, findings=findings, reason=reason)
    few = [f for f in findings if f.p is None]
    if few:
        reason = "; ".join(f"{f.what}: {f.now} samples against {f.was}, wanted {minimum} of each" for f in few)
        return Drift(verdict=Verdict.INCONCLUSIVE, alpha=alpha, findings=findings, reason=reason)
    blind = [
        f
        for f in findings
        if tolerance is not None and f.what in ("images", "latents") and (f.detectable or math.inf) > tolerance
    ]
    if blind:
        reason = "; ".join(f"{f.what}: would see a shift of {f.detectable:.2g}, not {tolerance:g}" for f in blind)
        return Drift(verdict=Verdict.INCONCLUSIVE, alpha=alpha, findings=findings, reason=reason)
    return Drift(verdict=Verdict.PASS, alpha=alpha, findings=findings, reason="no distribution changed")


def _tests(was: Sets, now: Sets, minimum: int) -> Iterator[Test]:
    if was.images is not None and now.images is not None:
        yield _by_discrepancy("images", was.images / 255, now.images / 255, minimum)
        if was.classes is not None and now.classes is not None:
            shared = sorted(set(was.classes.tolist()) & set(now.classes.tolist()))
            for k in shared if len(shared) > 1 else []:
                a, b = was.images[was.classes == k] / 255, now.images[now.classes == k] / 255
                if min(len(a), len(b)) >= minimum:
                    yield _by_discrepancy(f"images of class {k}", a, b, minimum)
    a, b = _recognised(was), _recognised(now)
    if a is not None and b is not None and a.shape == b.shape:
        yield _by_counts("recognised as asked", a, b, minimum)
    if was.latents is not None and now.latents is not None:
        yield _by_discrepancy("latents", was.latents, now.latents, minimum)
    if was.bits is not None and now.bits is not None:
        if was.bits.shape[1] != now.bits.shape[1]:
            raise DataError(f"bits: the baseline has {was.bits.shape[1]} wires, the new sample {now.bits.shape[1]}")
        if was.bits.shape[1] <= COUNTED:
            yield _by_counts("bits", _counts(was.bits), _counts(now.bits), minimum)
        else:
            yield _by_discrepancy("bits", was.bits, now.bits, minimum)


def _too_small(was: Sets, now: Sets, minimum: int) -> str:
    """The classes that have no test of their own."""
    if was.images is None or now.images is None or was.classes is None or now.classes is None:
        return ""
    sizes = {k: min(int((was.classes == k).sum()), int((now.classes == k).sum())) for k in set(now.classes.tolist())}
    few = sorted(k for k, n in sizes.items() if n < minimum)
    return f"too few images for a test of their own: classes {', '.join(map(str, few))}" if few else ""


def _by_discrepancy(what: str, a: Any, b: Any, minimum: int) -> Test:
    found = Finding(what=what, method="permutation test of the MMD", was=len(a), now=len(b))
    if min(len(a), len(b)) < minimum:
        return found, None
    pair = Pair.of(a, b)

    def run(share: float, seed: int) -> Finding:
        return evolve(found, p=pair.p_value(finest=share, seed=seed), effect=pair.mmd2)

    return found, run


def _by_counts(what: str, a: Any, b: Any, minimum: int) -> Test:
    sizes = int(a.sum()), int(b.sum())
    found = Finding(what=what, method="permutation test of G", was=sizes[0], now=sizes[1], unit=DISTANCE)
    if min(sizes) < minimum:
        return found, None
    shares = [x.sum(0) / x.sum() for x in (a, b)]
    distance = float(0.5 * np.abs(shares[0] - shares[1]).sum())

    def run(share: float, seed: int) -> Finding:
        return evolve(found, p=same_rows(a, b, seed=seed, finest=share / 20), effect=distance)

    return found, run


def _with_power(found: Finding, was: Sets, now: Sets, share: float, seed: int) -> Finding:
    if found.p is None:
        return found
    draw = derive_seed(seed, "power", found.what)
    if found.what in ("images", "latents"):
        pair = Pair.of(getattr(was, found.what), getattr(now, found.what))
        return evolve(found, detectable=pair.detectable(share, seed=draw))
    if found.what == "bits" and found.unit == DISTANCE:
        from qimg_core.testing.statistics import detectable_effect

        assert was.bits is not None
        assert now.bits is not None
        pool = (_counts(was.bits) + _counts(now.bits)).astype(float)
        # the difference of samples of n and m varies as one sample of nm/(n + m) around the truth
        shots = max(1, found.was * found.now // (found.was + found.now))
        seen = detectable_effect(pool / pool.sum(), shots, share, seed=draw, power=POWER, draws=400)
        return evolve(found, detectable=seen)
    return found


def _recognised(sets: Sets) -> Any:
    """(classes, 2): images that the classifier finds to be what was asked for, and the others."""
    if sets.found is None or sets.classes is None:
        return None
    size = int(sets.classes.max()) + 1
    right = sets.found == sets.classes
    return np.stack([np.bincount(sets.classes[w], minlength=size) for w in (right, ~right)], axis=1)


def _counts(bits: Any) -> Any:
    """(1, 2**wires) of outcomes, the first wire the highest bit."""
    codes = bits.astype(np.int64) @ (1 << np.arange(bits.shape[1])[::-1])
    return np.bincount(codes, minlength=1 << bits.shape[1])[None]


def _words(sets: Sets) -> str:
    return ", ".join(f"{n} {name}" for name, n in sets.sizes.items()) or "nothing"
