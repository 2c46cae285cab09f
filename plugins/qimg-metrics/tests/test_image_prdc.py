"""Precision, recall, density and coverage on sets whose answer can be seen by eye."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qimg_core.errors import DataError
from qimg_metrics.image.prdc import Prdc, prdc


def values(four: Prdc) -> tuple[float, float, float, float]:
    return four.precision.value, four.recall.value, four.density.value, four.coverage.value


def test_points_on_a_line_with_one_neighbour() -> None:
    # Balls with k = 1: real 0 and 1 reach 1, real 3 reaches 2, real 10 reaches 7 (down to 3).
    real = np.array([[0.0], [1.0], [3.0], [10.0]])
    # Generated 0.5 lies in the balls of 0 and 1; 4 in those of 3 and 10; -9 in none.
    # Generated balls: 0.5 reaches 3.5 (to 4), 4 reaches 3.5 (.5 .. 7.5), -9 reaches 9.5 (-18.5 .. .5).
    fake = np.array([[0.5], [4.0], [-9.0]])
    precision, recall, density, coverage = values(prdc(fake, real, k=1))
    assert precision == pytest.approx(2 / 3)
    assert density == pytest.approx((2 + 2 + 0) / 3)
    assert recall == pytest.approx(3 / 4)  # 0, 1 and 3, not 10
    assert coverage == pytest.approx(1.0)  # each real ball holds a generated point


def test_second_neighbour_is_the_one_that_counts() -> None:
    real = np.array([[0.0], [1.0], [3.0]])  # k = 2: radii 3, 2, 3
    fake = np.array([[-2.5], [100.0], [101.0]])
    precision, recall, density, coverage = values(prdc(fake, real, k=2))
    assert precision == pytest.approx(1 / 3)  # -2.5 lies in the ball of 0 only
    assert density == pytest.approx(1 / (2 * 3))
    assert coverage == pytest.approx(1 / 3)
    assert recall == pytest.approx(1.0)  # the ball of -2.5 reaches 101, over everything


def test_two_dimensions_outlier_fools_precision_but_not_density() -> None:
    # Naeem et al., figure 1: one real outlier has a huge ball that takes in a far generated cluster.
    rng = np.random.default_rng(0)
    real = np.vstack([rng.normal(0, 0.1, (60, 2)), [[30.0, 0.0]]])
    fake = rng.normal([15.0, 0.0], 0.1, (60, 2))
    precision, _, density, coverage = values(prdc(fake, real, k=5))
    assert precision > 0.9
    assert density < 0.3
    assert coverage < 0.05


def test_copies_of_the_real_set_score_full() -> None:
    real = np.random.default_rng(1).standard_normal((80, 3))
    precision, recall, density, coverage = values(prdc(real.copy(), real, k=5))
    assert (precision, recall, coverage) == (1.0, 1.0, 1.0)
    # Each of m balls holds its centre and its k nearest: (k + 1) / k.
    assert density == pytest.approx(6 / 5)


def test_far_sets_score_nothing_and_a_mean_image_has_no_recall() -> None:
    real = np.random.default_rng(2).standard_normal((100, 4))
    assert values(prdc(real + 1e3, real)) == (0.0, 0.0, 0.0, 0.0)
    mean = np.repeat(real.mean(axis=0, keepdims=True), 100, axis=0)
    four = prdc(mean, real)
    assert four.precision.value == 1.0
    assert four.recall.value == 0.0 and four.recall.high == 0.0


@pytest.mark.parametrize(("n", "m"), [(300, 300), (100, 300)])
def test_expected_coverage_of_one_distribution(n: int, m: int) -> None:
    # Naeem et al., lemma 2: 1 - (m-1)...(m-k) / ((m+n-1)...(m+n-k)) with m real and n generated rows.
    rng = np.random.default_rng(3)
    k = 5
    expected = 1 - math.prod((m - i) / (m + n - i) for i in range(1, k + 1))
    found = [prdc(rng.standard_normal((n, 2)), rng.standard_normal((m, 2)), resamples=20) for _ in range(40)]
    coverages = [f.coverage.value for f in found]
    assert np.mean(coverages) == pytest.approx(expected, abs=4 * np.std(coverages) / math.sqrt(40))
    # And the expected density is 1.
    densities = [f.density.value for f in found]
    assert np.mean(densities) == pytest.approx(1.0, abs=4 * np.std(densities) / math.sqrt(40) + 0.01)


def test_intervals_hold_the_mean_at_this_n() -> None:
    rng = np.random.default_rng(4)
    found = []
    for i in range(80):
        found.append(prdc(rng.normal(0.5, 1.0, (200, 2)), rng.standard_normal((200, 2)), seed=i, resamples=100))
    for name in ("precision", "recall", "density", "coverage"):
        estimates = [getattr(f, name) for f in found]
        truth = np.mean([e.value for e in estimates])
        hits = sum(e.low <= truth <= e.high for e in estimates)
        assert hits >= 68, (name, hits)  # 76 wanted


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(5)
    fake, real = rng.standard_normal((70, 3)), rng.standard_normal((90, 3))
    whole = prdc(fake, real, resamples=20)
    monkeypatch.setattr("qimg_metrics.image.prdc.CHUNK", 32)
    assert values(prdc(fake, real, resamples=20)) == values(whole)


def test_bad_input_is_refused() -> None:
    x = np.random.default_rng(6).standard_normal((20, 3))
    for fake, real, k in ((x[:5], x, 5), (x, x[:5], 5), (x, x, 0), (x[:, :2], x, 5), (x * np.nan, x, 5)):
        with pytest.raises(DataError):
            prdc(fake, real, k=k)
