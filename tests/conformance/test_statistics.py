"""The statistics against scipy, closed forms and repeated sampling."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from qimg_core.testing.statistics import (
    chi_squared,
    detectable_effect,
    detectable_mean,
    expected_tvd,
    explained_by,
    g_statistic,
    mean_bound,
    multinomial_test,
    same_distribution,
    tvd_bound,
)

RNG = np.random.default_rng(20_260_203)
P8 = RNG.dirichlet(np.full(8, 1.0))


def test_the_statistics_are_scipys():
    counts = RNG.multinomial(900, P8)
    for name, mine in (("log-likelihood", g_statistic), ("pearson", chi_squared)):
        wanted = stats.power_divergence(counts, 900 * P8, lambda_=name).statistic
        assert mine(counts, P8) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize("quantile", [0.3, 0.9, 0.995])
def test_p_values_are_the_asymptotic_ones_where_those_hold(quantile):
    """Many counts in each of 8 outcomes: G is chi-squared with 7 degrees of freedom."""
    n = 200_000
    e = n * P8
    step = np.array([1, -1] * 4) * math.sqrt(stats.chi2.ppf(quantile, 7) / (1 / e).sum())
    fit = multinomial_test(np.rint(e + step).astype(int), P8, seed=1)
    assert fit.p_value == pytest.approx(1 - quantile, abs=0.03)
    assert fit.too_good == pytest.approx(quantile, abs=0.03)


def test_exact_p_value_of_a_small_case():
    """Three shots, two outcomes: all four results can be written down."""
    p = np.array([0.2, 0.8])
    probability = {k: math.comb(3, k) * 0.2**k * 0.8 ** (3 - k) for k in range(4)}
    g = {k: float(g_statistic(np.array([k, 3 - k]), p)) for k in range(4)}
    for k in range(4):
        wanted = sum(probability[j] for j in range(4) if g[j] >= g[k] - 1e-9)
        assert multinomial_test(np.array([k, 3 - k]), p, seed=4).p_value == pytest.approx(wanted, abs=0.035)


def test_false_alarms_are_as_rare_as_said_for_sparse_counts():
    """64 outcomes, 40 shots: pooled asymptotic tests are wrong here."""
    p = RNG.dirichlet(np.full(64, 0.3))
    found = [multinomial_test(RNG.multinomial(40, p), p, seed=s, suspicious=0.0) for s in range(120)]
    right, left = ([getattr(f, name) for f in found] for name in ("p_value", "too_good"))
    for values in (right, left):
        alarms = sum(v <= 0.05 for v in values)
        assert stats.binom.cdf(alarms - 1, 120, 0.05) < 0.999, alarms
    assert 0.2 < np.mean(right) < 0.8


def test_impossible_outcomes_and_several_rows():
    p = np.array([0.5, 0.5, 0.0, 0.0])
    fit = multinomial_test(np.array([50, 49, 1, 0]), p, seed=0)
    assert (fit.p_value, fit.impossible) == (0.0, 1)
    rows = np.stack([RNG.multinomial(500, P8) for _ in range(3)])
    fit = multinomial_test(rows, np.tile(P8, (3, 1)), seed=0)
    assert fit.rows == 3
    assert fit.statistic == pytest.approx(sum(float(g_statistic(r, P8)) for r in rows))
    assert fit.p_value > 1e-3


def test_made_up_counts_are_too_good():
    made_up = np.rint(2003 * P8).astype(int)
    assert multinomial_test(made_up, P8, seed=1).too_good < 1e-4
    assert multinomial_test(made_up, P8, seed=1).p_value > 0.5


def test_the_expected_distance_and_its_bound():
    distances = 0.5 * np.abs(RNG.multinomial(400, P8, size=4000) / 400 - P8).sum(1)
    assert distances.mean() == pytest.approx(expected_tvd(P8, 400), rel=0.03)
    assert (distances > tvd_bound(8, 400, 0.05)).mean() < 0.05
    assert tvd_bound(8, 400, 0.05) < 3 * distances.mean()


def test_the_bound_of_a_mean_holds_and_what_it_sees():
    shots, alpha = 500, 0.01
    means = 2 * RNG.binomial(shots, 0.5, size=20_000) / shots - 1
    assert (np.abs(means) > mean_bound(shots, alpha)).mean() < alpha
    off = detectable_mean(shots, alpha)
    moved = 2 * RNG.binomial(shots, (1 + off) / 2, size=5_000) / shots - 1
    assert (np.abs(moved) > mean_bound(shots, alpha)).mean() > 0.9


def test_the_detectable_effect_is_detected():
    """At the effect that is printed the test rejects nine times of ten; at a quarter of it hardly ever."""
    shots, alpha = 1000, 1e-3
    effect = detectable_effect(P8, shots, alpha, seed=2)
    full = 0.5 * np.abs(P8 - 1 / 8).sum()

    def power(distance):
        weight = distance / full
        drawn = RNG.multinomial(shots, (1 - weight) * P8 + weight / 8, size=4000)
        return (g_statistic(drawn, P8) > stats.chi2.ppf(1 - alpha, 7)).mean()  # asymptotic, which holds here

    assert 0.8 < power(effect) < 0.97
    assert power(effect / 4) < 0.2
    assert detectable_effect(P8, 10 * shots, alpha, seed=2) < effect / 2
    assert detectable_effect(np.full(4, 0.25), 100, alpha, seed=2) == math.inf


def test_two_samples_of_one_and_of_two_distributions():
    other = RNG.dirichlet(np.full(8, 1.0))
    pairs = [(RNG.multinomial(300, P8), RNG.multinomial(200, P8)) for _ in range(200)]
    p = [same_distribution(a, b, seed=1, draws=500) for a, b in pairs]
    assert stats.binom.cdf(sum(v <= 0.05 for v in p) - 1, 200, 0.05) < 0.999
    assert same_distribution(RNG.multinomial(300, P8), RNG.multinomial(200, other), seed=1) < 1e-3
    assert same_distribution(np.array([9, 0]), np.array([5, 0]), seed=1) == 1.0


def test_the_right_candidate_explains_noisy_counts_best():
    tensor = P8.reshape(2, 2, 2)
    orders = list(itertools.permutations(range(3)))
    candidates = np.stack([tensor.transpose(o).reshape(-1) for o in orders])
    noisy = 0.8 * candidates[3] + 0.2 / 8
    likelihood = explained_by(RNG.multinomial(4000, noisy), candidates)
    assert likelihood.argmax() == 3
    assert np.sort(likelihood)[-1] - np.sort(likelihood)[-2] > 14
