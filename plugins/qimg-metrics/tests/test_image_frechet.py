"""Frechet distance against closed forms, and what a floor must be."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from qimg_core.errors import DataError
from qimg_metrics.image.floor import floor_draws, floor_draws_of_classes, frechet_floor, frechet_ratio
from qimg_metrics.image.frechet import (
    distance_and_draws,
    distance_to,
    fixed_moments,
    frechet_distance,
    gaussian_frechet,
)


def test_two_normals_on_a_line() -> None:
    # Univariate closed form: (m1 - m2)^2 + (s1 - s2)^2.
    assert gaussian_frechet([1.0], [[4.0]], [3.0], [[9.0]]) == pytest.approx(4.0 + 1.0, abs=1e-12)


def test_commuting_covariances_are_a_sum_over_axes() -> None:
    rng = np.random.default_rng(1)
    rotation, _ = np.linalg.qr(rng.standard_normal((5, 5)))
    s1, s2 = rng.uniform(0.1, 3, 5), rng.uniform(0.1, 3, 5)
    m1, m2 = rng.standard_normal(5), rng.standard_normal(5)
    c1, c2 = rotation @ np.diag(s1**2) @ rotation.T, rotation @ np.diag(s2**2) @ rotation.T
    wanted = ((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum()
    assert gaussian_frechet(m1, c1, m2, c2) == pytest.approx(wanted, rel=1e-10)


def test_general_covariances_agree_with_scipy_sqrtm() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.standard_normal((6, 6)), rng.standard_normal((6, 6))
    c1, c2 = a @ a.T, b @ b.T
    wanted = np.trace(c1 + c2 - 2 * np.real(sqrtm(c1 @ c2)))
    assert gaussian_frechet(np.zeros(6), c1, np.zeros(6), c2) == pytest.approx(wanted, rel=1e-8)


def test_singular_covariance_is_no_obstacle() -> None:
    # A point mass against N(0, I): |m|^2 + d.
    assert gaussian_frechet([2.0, 0.0], np.zeros((2, 2)), [0.0, 0.0], np.eye(2)) == pytest.approx(6.0, abs=1e-12)


def test_identical_sets_are_at_zero_and_the_distance_is_symmetric() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((1200, 8)), 2 * rng.standard_normal((1500, 8)) + 1
    assert frechet_distance(x, x, resamples=20).value == pytest.approx(0.0, abs=1e-9)
    there = frechet_distance(x, y, resamples=20).value
    assert there == pytest.approx(frechet_distance(y, x, resamples=20).value, rel=1e-9)
    assert there == pytest.approx(8 * (1 + 1), rel=0.1)


def test_interval_holds_the_mean_at_this_n_most_of_the_time() -> None:
    rng = np.random.default_rng(4)
    reference = rng.standard_normal((4000, 3))

    def sample() -> NDArray[np.float64]:
        return rng.standard_normal((150, 3)) * 1.3 + 0.4

    values = [frechet_distance(sample(), reference, allow_small=True, resamples=20).value for _ in range(400)]
    expected = np.mean(values)
    hits = 0
    for i in range(100):
        e = frechet_distance(sample(), reference, allow_small=True, resamples=200, seed=i)
        assert e.low <= e.value <= e.high
        hits += e.low <= expected <= e.high
    assert hits >= 85  # 95 wanted; 85 is four standard errors of 100 trials below


def test_interval_by_class_holds_the_mean_for_fixed_shares_and_is_shorter() -> None:
    rng = np.random.default_rng(10)
    classes = np.repeat([0, 1], 100)
    reference = rng.standard_normal((4000, 2)) + 6 * (np.arange(4000) % 2)[:, None]

    def sample() -> NDArray[np.float64]:
        return 1.3 * rng.standard_normal((200, 2)) + 6 * classes[:, None]

    expected = np.mean(
        [frechet_distance(sample(), reference, allow_small=True, resamples=20).value for _ in range(300)]
    )
    hits, shorter = 0, 0
    for i in range(100):
        x = sample()
        kept = frechet_distance(x, reference, strata=classes, seed=i, allow_small=True, resamples=100)
        free = frechet_distance(x, reference, seed=i, allow_small=True, resamples=100)
        hits += kept.low <= expected <= kept.high
        shorter += kept.high - kept.low < 0.6 * (free.high - free.low)
    assert hits >= 85 and shorter >= 80


def test_fewer_than_a_thousand_is_refused_unless_asked_for() -> None:
    x = np.random.default_rng(5).standard_normal((999, 4))
    with pytest.raises(DataError, match="999 images is mostly bias"):
        frechet_distance(x, np.tile(x, (2, 1)))
    with pytest.raises(DataError, match="999"):
        frechet_distance(np.tile(x, (2, 1)), x)
    assert frechet_distance(x, x, allow_small=True, resamples=20).n == 999


def test_no_public_way_to_a_frechet_distance_or_floor_goes_below_a_thousand_unasked() -> None:
    small, large = np.random.default_rng(5).standard_normal((2, 4000, 4))
    small, labels = small[:999], np.arange(4000) % 2
    mean, root, trace = fixed_moments(large)
    ways = [
        lambda **flag: frechet_distance(small, large, resamples=20, **flag).value,
        lambda **flag: distance_and_draws(small, large, seed=0, resamples=20, **flag)[0],
        lambda **flag: distance_and_draws(large, small, seed=0, resamples=20, **flag)[0],
        lambda **flag: distance_to(small, mean, root, trace, **flag),
        lambda **flag: frechet_floor(large, large + 1, n=999, draws=2, **flag).value,
        lambda **flag: frechet_floor(large, small, n=1000, draws=2, **flag).value,
        lambda **flag: floor_draws(large, large + 1, n=999, draws=2, **flag).mean(),
        lambda **flag: floor_draws_of_classes(large, labels, large + 1, counts=[500, 499], **flag).mean(),
        lambda **flag: floor_draws_of_classes(large, labels, small, counts=[500, 500], **flag).mean(),
    ]
    for way in ways:
        with pytest.raises(DataError, match="999 images is mostly bias"):
            way()
        assert way(allow_small=True) > 0


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((0, 4)),
        np.zeros((1200,)),
        np.full((1200, 4), np.nan),
        np.zeros((1200, 3)),
        np.full((1200, 4), np.inf),
        np.array([["a"] * 4] * 1200),
    ],
)
def test_bad_features_are_refused(bad: NDArray[np.float64]) -> None:
    with pytest.raises(DataError):
        frechet_distance(bad, np.random.default_rng(0).standard_normal((1200, 4)))


def test_floor_draws_are_disjoint_and_shrink_with_n() -> None:
    rng = np.random.default_rng(6)
    train, test = rng.standard_normal((6000, 6)), rng.standard_normal((5000, 6))
    small, large = (
        frechet_floor(train, test, n=200, draws=10, allow_small=True),
        frechet_floor(train, test, n=2000, draws=3),
    )
    assert small.value > 2 * large.value > 0
    assert small.low < small.value < small.high
    assert "10 disjoint draws" in small.method
    with pytest.raises(DataError, match="disjoint"):
        frechet_floor(train, test, n=2000, draws=4)


def test_every_training_image_is_used_once_at_most() -> None:
    # Row i is a_i times the i-th unit vector and the test set a point at 0: the distance of distinct rows is the sum of
    # their a_i^2 times (1/n + 1/n^2), so all draws together give the sum over all rows only where none is used twice.
    a = np.random.default_rng(1).uniform(1, 2, 60)
    draws = floor_draws(np.diag(a), np.zeros((5, 60)), n=6, draws=10, seed=3, allow_small=True)
    assert draws.sum() == pytest.approx((a**2).sum() * (1 / 6 + 1 / 36), rel=1e-10)
    labels = np.arange(60) % 3
    by_class = floor_draws_of_classes(
        np.diag(a), labels, np.zeros((5, 60)), counts=[2, 0, 4], draws=10, allow_small=True
    )
    assert len(by_class) == 5  # 20 images of class 2, 4 to a draw
    used = (a[labels == 2] ** 2).sum() * (1 / 6 + 1 / 36)
    assert used < by_class.sum() < (a[labels != 1] ** 2).sum() * (1 / 6 + 1 / 36)
    with pytest.raises(DataError, match="two disjoint draws"):
        floor_draws_of_classes(np.diag(a), labels, np.zeros((5, 60)), counts=[2, 0, 11], allow_small=True)


def test_fixed_class_shares_lower_the_floor_where_classes_lie_apart() -> None:
    rng = np.random.default_rng(9)
    labels = rng.integers(0, 2, 20_000)
    train = rng.standard_normal((20_000, 2)) + 20 * labels[:, None]
    test = rng.standard_normal((5000, 2)) + 20 * (np.arange(5000) % 2)[:, None]
    fixed = floor_draws_of_classes(train, labels, test, counts=[500, 500])
    assert fixed.mean() < 0.2 * floor_draws(train, test, n=1000).mean()


def test_ratio_of_a_further_real_draw_is_about_one() -> None:
    rng = np.random.default_rng(7)
    train, test, more = (rng.standard_normal((n, 5)) for n in (11_000, 4000, 1000))
    floor = floor_draws(train, test, n=1000, draws=10, seed=0)
    own = frechet_distance(more, test, resamples=200)
    spread = np.random.default_rng(0).normal(own.value, 0.002, 200)
    ratio = frechet_ratio(own.value, spread, floor, n=1000, n_reference=4000)
    assert ratio.value == pytest.approx(own.value / floor.mean())
    assert 0.4 < ratio.low < ratio.value < ratio.high < 2.5
    with pytest.raises(DataError, match="floor is 0"):
        frechet_ratio(1.0, spread, np.zeros(10), n=1000, n_reference=4000)


def test_same_seed_same_interval() -> None:
    x, y = np.random.default_rng(8).standard_normal((2, 1000, 3))
    assert frechet_distance(x, y, seed=4) == frechet_distance(x, y, seed=4)
    assert frechet_distance(x, y, seed=4).high != frechet_distance(x, y, seed=5).high
