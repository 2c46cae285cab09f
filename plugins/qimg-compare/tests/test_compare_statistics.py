"""The statistics against scipy, closed forms and by hand; planted truths for the verdicts."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from qimg_compare import statistics as st
from qimg_compare.statistics import Score, paired
from qimg_compare.verdict import Comparison, Outcome, adjust, compare
from qimg_core.errors import DataError, UnknownName
from qimg_core.two_samples import holm

SIGNAL = 1.3  # SD of the paired differences; stated in docs/how-to/compare.md
TRIALS = 1000
NOISE = np.random.default_rng(0).standard_normal(50)


@pytest.mark.parametrize("n", [3, 6, 10, 13])
def test_sign_flip_equals_scipy(n: int) -> None:
    for seed in range(3):
        d = np.random.default_rng(seed).normal(0.5, 1, n)
        there = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=np.inf)
        # scipy's two-sided p doubles the smaller tail, the same for a statistic that is symmetric
        assert st.sign_flip_p(d) == pytest.approx(there.pvalue, abs=1e-12)


def test_sign_flip_counts_ties_and_cannot_reach_five_percent_with_five() -> None:
    assert st.sign_flip_p([0.1, 0.2, 0.3]) == 2 / 8  # 0.1 + 0.2 - 0.3 is not exactly 0
    assert st.sign_flip_p([0.1, 0.2, -0.3]) == 1.0
    assert st.sign_flip_p(np.zeros(8)) == 1.0
    assert st.sign_flip_p(np.full(5, 9.0)) == 0.0625 and st.sign_flip_p(np.full(6, 9.0)) == 0.03125
    assert st.least_pairs() == 6 and st.least_pairs(0.01) == 8


def test_many_pairs_by_random_signs_agree_with_the_t_test() -> None:
    d = np.random.default_rng(1).normal(0.35, 1, 40)
    assert st.sign_flip_p(d) == pytest.approx(stats.ttest_1samp(d, 0).pvalue, rel=0.15)
    assert st.sign_flip_p(d) == st.sign_flip_p(d)
    assert st.sign_flip_p(np.full(40, 1.0)) == pytest.approx(1 / (2**16 + 1))


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.6, 0.7]) == (1.0, 1.0) and holm([]) == ()


def test_equivalence_equals_two_t_tests_of_scipy() -> None:
    d = np.random.default_rng(2).normal(0.1, 1, 12)
    for margin in (0.2, 0.8, 2.0):
        up = stats.ttest_1samp(d, -margin, alternative="greater").pvalue
        down = stats.ttest_1samp(d, margin, alternative="less").pvalue
        assert st.equivalence_p(d, margin) == pytest.approx(max(up, down), rel=1e-10)
    assert st.equivalence_p(np.full(6, 0.1), 0.2) == 0.0 and st.equivalence_p(np.full(6, 0.1), 0.1) == 1.0
    with pytest.raises(DataError, match="margin"):
        st.equivalence_p(d, -1)


@pytest.mark.parametrize(("n", "effect"), [(6, 1.43), (10, 1.00), (20, 0.66)])
def test_detectable_effect_is_what_is_detected(n: int, effect: float) -> None:
    """1.00 and 0.66 are the figures of an independent Monte Carlo study; the power is simulated here as well."""
    found = st.detectable_effect(2.0, n)
    assert found is not None and found / 2 == pytest.approx(effect, abs=0.02)
    d = np.random.default_rng(3).normal(found, 2.0, (4000, n))
    t = d.mean(1) / d.std(1, ddof=1) * np.sqrt(n)
    assert (np.abs(t) > stats.t.ppf(0.975, n - 1)).mean() == pytest.approx(0.8, abs=0.025)
    assert st.detectable_effect(1.0, 5) is None


@pytest.mark.parametrize("n", [6, 10])
def test_intervals_cover(n: int) -> None:
    rng = np.random.default_rng(4)
    held = 0
    for k in range(600):
        d = rng.normal(1.0, 1.0, n)
        low, high = st.expanded_interval(st.bootstrap_means(d, seed=k, resamples=800), n)
        held += low <= 1.0 <= high
    assert 0.92 <= held / 600 <= 0.985


def test_image_draws_widen_the_interval_by_their_share() -> None:
    rng = np.random.default_rng(5)
    d, noise = rng.normal(0, 1, 10), rng.normal(0, 2, (10, 400))
    alone, both = st.bootstrap_means(d, resamples=40000), st.bootstrap_means(d, noise, resamples=40000)
    assert alone.var() == pytest.approx(d.var() / 10, rel=0.03)
    assert both.var() == pytest.approx((d.var() + noise.var()) / 10, rel=0.03)


def test_pairs_follow_the_seeds_and_draws_are_centred() -> None:
    scores = [Score(arm="a", seed=s, metric="kid", value=float(s), draws=[5.0, 7.0]) for s in (3, 1, 2)]
    scores += [Score(arm="b", seed=s, metric="kid", value=10.0 * s, draws=[1.0, 1.0]) for s in (1, 3, 9)]
    scores += [Score(arm="b", seed=1, metric="recall", value=0.5)]
    found = paired(scores, "a", "b", "kid")
    assert found.seeds == (1, 3)
    assert found.differences.tolist() == [-9.0, -27.0]
    assert found.noise.tolist() == [[-1.0, 1.0], [-1.0, 1.0]]
    with pytest.raises(DataError, match="share 0 seeds"):
        paired(scores[2:], "a", "b", "kid")
    with pytest.raises(DataError, match="two scores"):
        paired([*scores, scores[0]], "a", "b", "kid")
    with pytest.raises(DataError, match="not finite"):
        paired([*scores[1:], Score(arm="a", seed=3, metric="kid", value=float("nan"))], "a", "b", "kid")


# -- planted truths -----------------------------------------------------------------------------


def planted(rng: np.random.Generator, seeds: int, effect: float, metric: str) -> Comparison:
    """Scores of two arms that share half of their variance over seeds; effect in SD of the paired differences."""
    common = rng.normal(0, 1, seeds)
    own = rng.normal(0, 1, (2, seeds))
    image = 0.3
    scores = []
    shifted = common + own[0] + effect * np.sqrt(2 + 2 * image**2)
    for name, values, noise in (("q", shifted, NOISE), ("c", common + own[1], NOISE[::-1])):
        for s in range(seeds):
            noisy = values[s] + rng.normal(0, image)
            scores.append(Score(arm=name, seed=s, metric=metric, value=noisy, draws=noisy + image * noise))
    pairs = paired(scores, "q", "c", metric)
    margin = 0.5 * float(pairs.second.std(ddof=1))
    return compare(pairs, metric=metric, first="q", second="c", margin=margin, seed=1, resamples=200)


@pytest.mark.parametrize(
    ("metric", "sign", "wanted", "trials"),
    [
        ("kid", -1, Outcome.BETTER, TRIALS),
        ("kid", 1, Outcome.WORSE, TRIALS // 4),
        ("coverage", 1, Outcome.BETTER, TRIALS // 4),
    ],
)
def test_a_planted_signal_is_found(metric: str, sign: int, wanted: Outcome, trials: int) -> None:
    rng = np.random.default_rng(6)
    found = [planted(rng, 10, sign * SIGNAL, metric) for _ in range(trials)]
    assert sum(c.outcome is wanted for c in found) >= 0.9 * trials
    low, high = np.array([c.low for c in found]), np.array([c.high for c in found])
    truth = sign * SIGNAL * np.sqrt(2 + 2 * 0.3**2)
    assert ((low <= truth) & (truth <= high)).mean() >= 0.92


def test_no_signal_rarely_gives_a_verdict_for_either_side() -> None:
    rng = np.random.default_rng(7)
    found = [planted(rng, 10, 0.0, "kid").outcome for _ in range(TRIALS)]
    assert sum(o in (Outcome.BETTER, Outcome.WORSE) for o in found) <= 65


@pytest.mark.parametrize(("effect", "trials"), [(0.0, 100), (SIGNAL, TRIALS), (50.0, 100)])
def test_three_seeds_say_nothing(effect: float, trials: int) -> None:
    rng = np.random.default_rng(8)
    found = [planted(rng, 3, effect, "kid") for _ in range(trials)]
    assert {c.outcome for c in found} == {Outcome.INCONCLUSIVE}
    assert {c.detectable for c in found} == {None}


def outcomes(rng: np.random.Generator, shift: float, margin: float) -> list[Outcome]:
    out = []
    for _ in range(TRIALS // 2):
        base = rng.normal(0, 1, 10)
        scores = [Score(arm="c", seed=s, metric="kid", value=v) for s, v in enumerate(base)]
        scores += [Score(arm="q", seed=s, metric="kid", value=v + rng.normal(shift, 0.3)) for s, v in enumerate(base)]
        pairs = paired(scores, "q", "c", "kid")
        out.append(compare(pairs, metric="kid", first="q", second="c", margin=margin, resamples=20).outcome)
    return out


def test_equivalence_is_said_inside_the_margin_and_rarely_at_its_edge() -> None:
    inside = outcomes(np.random.default_rng(9), 0.0, 0.5)
    edge = outcomes(np.random.default_rng(10), 0.5, 0.5)
    assert inside.count(Outcome.EQUIVALENT) >= 450
    assert edge.count(Outcome.EQUIVALENT) <= 39  # 25 expected


@pytest.mark.parametrize("n", [3, 5])
def test_few_seeds_are_not_even_equivalent(n: int) -> None:
    values = 1 + 1e-3 * np.random.default_rng(13).standard_normal((2, n))
    scores = [
        Score(arm=a, seed=s, metric="kid", value=v)
        for a, row in zip("qc", values, strict=True)
        for s, v in enumerate(row)
    ]
    found = compare(paired(scores, "q", "c", "kid"), metric="kid", first="q", second="c", margin=1.0)
    assert found.p_equivalence < 1e-4 and found.outcome is Outcome.INCONCLUSIVE


def test_a_family_is_judged_after_holm() -> None:
    rng = np.random.default_rng(11)
    false = 0
    for _ in range(100):
        family = adjust([planted(rng, 10, 0.0, "kid") for _ in range(8)])
        assert all(c.adjusted for c in family)
        false += any(c.outcome in (Outcome.BETTER, Outcome.WORSE) for c in family)
    assert false <= 12  # 5 expected at most; without Holm about 30


def near_one(values: NDArray[np.float64], arm: str) -> list[Score]:
    return [Score(arm=arm, seed=s, metric="nn_ratio", value=v) for s, v in enumerate(values)]


def test_a_ratio_is_best_near_one_from_either_side() -> None:
    rng = np.random.default_rng(12)
    good = 1 + 0.02 * rng.standard_normal(10)
    for bad in (0.6 + 0.02 * rng.standard_normal(10), 1.4 + 0.02 * rng.standard_normal(10)):
        pairs = paired([*near_one(good, "q"), *near_one(bad, "c")], "q", "c", "nn_ratio")
        found = compare(pairs, metric="nn_ratio", first="q", second="c", margin=0.01)
        assert found.outcome is Outcome.BETTER and found.difference < -0.3
    with pytest.raises(UnknownName, match="did you mean 'coverage'"):
        compare(pairs, metric="covrage", first="q", second="c", margin=0.01)
