"""Intervals against scipy and by their coverage."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.bootstrap import (
    Estimate,
    bootstrap,
    centred_interval,
    clopper_pearson,
    generator,
    percentile_interval,
    wilson,
)


@pytest.mark.parametrize(("right", "n"), [(0, 10), (10, 10), (3, 10), (991, 1000), (1, 1), (9950, 10_000)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_proportions_agree_with_scipy(right: int, n: int, level: float) -> None:
    test = stats.binomtest(right, n)
    exact, score = test.proportion_ci(level, method="exact"), test.proportion_ci(level, method="wilson")
    assert clopper_pearson(right, n, level) == pytest.approx((exact.low, exact.high), abs=1e-10)
    assert wilson(right, n, level) == pytest.approx((score.low, score.high), abs=1e-10)


def test_impossible_proportions_are_refused() -> None:
    for right, n in ((1, 0), (-1, 5), (6, 5)):
        for interval in (clopper_pearson, wilson):
            with pytest.raises(DataError):
                interval(right, n)


def test_bootstrap_of_a_mean_covers_as_student_does() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for i in range(300):
        x = rng.normal(2.0, 3.0, 80)
        low, high = bootstrap(x, lambda rows: float(rows.mean()), seed=i, resamples=200)
        hits += low <= 2.0 <= high
        student = 2 * 1.99 * x.std(ddof=1) / math.sqrt(80)
        assert 0.6 < (high - low) / student < 1.3
    assert 269 <= hits <= 298  # 285 wanted, less the little that a bootstrap at N = 80 lacks


def test_centred_interval_takes_out_the_bias_and_keeps_the_value_inside() -> None:
    draws = np.linspace(10.0, 11.0, 1001)
    assert centred_interval(0.0, draws) == pytest.approx((-0.475, 0.475), abs=1e-6)
    assert centred_interval(0.3, draws, least=0.0) == pytest.approx((0.0, 0.775), abs=1e-6)
    low, high = centred_interval(5.0, np.concatenate([np.zeros(999), [1e6]]))
    assert low <= 5.0 <= high


def test_seeds_are_by_name() -> None:
    one, two = generator(3, "a"), generator(3, "a")
    assert one.integers(1 << 40) == two.integers(1 << 40)
    assert generator(3, "a").integers(1 << 40) != generator(3, "b").integers(1 << 40)
    x = np.arange(50.0)
    mean = np.mean
    assert bootstrap(x, lambda r: float(mean(r)), seed=1) == bootstrap(x, lambda r: float(mean(r)), seed=1)


def test_estimate_says_its_n_and_interval_and_holds_no_floats_for_the_ledger() -> None:
    e = Estimate(name="kid", value=0.1, low=-0.02, high=0.3, n=2000, n_reference=10_000, method="m")
    assert str(e) == "kid 0.1000 [-0.0200, 0.3000] (95% interval, N = 2000 v 10000)"
    plain = e.to_json()
    assert plain["value"] == "0.1" and plain["n"] == 2000
    assert not any(isinstance(v, float) for v in plain.values())


def test_nothing_to_make_an_interval_from() -> None:
    for bad in ([], [1.0, math.nan]):
        with pytest.raises(DataError):
            percentile_interval(bad)
    with pytest.raises(DataError):
        bootstrap([1.0], lambda r: float(r.mean()), seed=0)
    with pytest.raises(ConfigurationError):
        percentile_interval([1.0, 2.0], level=1.0)
