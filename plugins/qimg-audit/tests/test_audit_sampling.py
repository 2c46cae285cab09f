"""Drawing and estimating: against enumeration, closed forms and scipy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from qimg_audit.sampling import draw, estimate, probabilities
from qimg_core.errors import ConfigurationError


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(0.1, 50), min_size=1, max_size=30), st.data())
def test_chances_are_proportional_capped_and_sum_to_n(sizes, data):
    n = data.draw(st.integers(1, len(sizes)))
    chances = probabilities(sizes, n)
    assert chances.sum() == pytest.approx(n)
    assert ((chances > 0) & (chances <= 1 + 1e-9)).all()
    free = chances < 1 - 1e-9
    if free.sum() > 1:
        ratio = chances[free] / np.asarray(sizes)[free]
        assert ratio == pytest.approx(np.full(free.sum(), ratio[0]))
    drawn = draw(chances, 7)
    assert len(set(drawn)) == n
    assert drawn == draw(chances, 7)
    assert set(np.flatnonzero(chances >= 1 - 1e-12)) <= set(drawn)


def test_items_are_drawn_as_often_as_it_is_said():
    chances = probabilities([1, 1, 2, 4, 9, 1, 3], 3)
    counts = np.zeros(7)
    trials = 4000
    for seed in range(trials):
        counts[list(draw(chances, seed))] += 1
    spread = np.sqrt(chances * (1 - chances) / trials)
    assert (np.abs(counts / trials - chances) <= 5 * spread + 1e-9).all()


def test_the_estimate_is_unbiased():
    rng = np.random.default_rng(1)
    sizes = rng.uniform(1, 6, 40)
    fails = rng.random(40) < np.where(sizes > 4, 0.5, 0.1)
    chances = probabilities(sizes, 12)
    found = []
    covered = 0
    for seed in range(1500):
        chosen = list(draw(chances, seed))
        e = estimate(chances[chosen], fails[chosen], 40)
        found.append(e.share)
        covered += e.low - 1e-12 <= fails.mean() <= e.high + 1e-12
    assert np.mean(found) == pytest.approx(fails.mean(), abs=5 * np.std(found) / np.sqrt(1500))
    assert covered / 1500 >= 0.93


@pytest.mark.parametrize("failed", [0, 3, 10])
def test_equal_chances_give_clopper_and_pearson(failed):
    outcomes = [True] * failed + [False] * (10 - failed)
    found = estimate([0.1] * 10, outcomes, 100)
    assert found.share == pytest.approx(failed / 10)
    if failed in (0, 10):  # no spread is seen: the exact interval of 10 draws
        wanted = stats.binomtest(failed, 10).proportion_ci(method="exact")
        assert (found.low, found.high) == pytest.approx((wanted.low, wanted.high))
        assert found.effective == pytest.approx(10)
    else:
        assert found.low < 0.3 < found.high


def test_looking_at_everything_estimates_nothing():
    found = estimate([1.0] * 4, [True, False, False, False], 4)
    assert (found.low, found.share, found.high) == (0.25, 0.25, 0.25)


def test_wrong_orders_are_refused():
    for sizes, n in (([1, 2], 3), ([1, 2], 0), ([0.0, 1], 1), ([float("nan"), 1], 1)):
        with pytest.raises(ConfigurationError):
            probabilities(sizes, n)
    with pytest.raises(ConfigurationError):
        estimate([0.5], [], 3)
