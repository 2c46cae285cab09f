"""Nearest-training distances against scipy, and what copies look like."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from qimg_core.errors import DataError
from qimg_metrics.image.memorisation import authenticity, nearest_training, nn_ratio


def pictures(n: int, seed: int, side: int = 4) -> NDArray[np.float64]:
    return np.random.default_rng(seed).random((n, side, side, 1))


def test_distances_and_indices_are_those_of_a_tree_over_several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qimg_metrics.image.memorisation._ROWS", 7)
    images, train = pictures(40, 0), pictures(10_500, 1)
    distance, index = nearest_training(images, train)
    wanted, at = cKDTree(train.reshape(len(train), -1)).query(images.reshape(len(images), -1))
    np.testing.assert_allclose(distance, wanted, rtol=1e-12)
    np.testing.assert_array_equal(index, at)


def test_copies_are_at_exactly_zero() -> None:
    train = pictures(300, 2)
    estimate = nn_ratio(train[:100], train, pictures(100, 3))
    assert (estimate.value, estimate.low, estimate.high) == (0.0, 0.0, 0.0)
    assert "exact copies of a training image: 100" in estimate.note


def test_fresh_images_of_the_same_kind_are_at_one_and_others_are_not() -> None:
    train, held = pictures(2000, 4), pictures(500, 5)
    fresh = nn_ratio(pictures(500, 6), train, held)
    assert fresh.low < 1.0 < fresh.high and fresh.high - fresh.low < 0.1
    assert nn_ratio(0.97 * train[:500], train, held).high < 0.7
    assert nn_ratio(np.round(pictures(500, 7)), train, held).low > 1.2


def test_excluding_itself_finds_the_next_one() -> None:
    train = pictures(200, 8)
    distance, index = nearest_training(train, train, exclude=np.arange(200))
    wanted, at = cKDTree(train.reshape(200, -1)).query(train.reshape(200, -1), k=2)
    np.testing.assert_allclose(distance, wanted[:, 1], rtol=1e-12)
    np.testing.assert_array_equal(index, at[:, 1])


def test_authenticity_on_a_line() -> None:
    # Training pixels 0, .1, .5: nearest-other distances .1, .1, .4.
    train = np.array([0.0, 0.1, 0.5]).reshape(3, 1, 1, 1)
    # .25 is .15 from .1 (> .1: authentic); .08 is .02 from .1 (not); .8 is .3 from .5 (not); 1 is .5 from .5 (yes).
    images = np.array([0.25, 0.08, 0.8, 1.0]).reshape(4, 1, 1, 1)
    assert authenticity(images, train).value == pytest.approx(0.5)
    assert authenticity(train, train).value == 0.0


def test_bad_input_is_refused() -> None:
    good = pictures(20, 9)
    bad = [
        good[..., 0],
        good[:0],
        np.where(good > 0.5, np.nan, good),
        good + 1,
        (good * 255).astype(np.uint8),
        pictures(20, 9, side=5),
    ]
    for images in bad:
        with pytest.raises(DataError):
            nn_ratio(images, good, good + 0)
    with pytest.raises(DataError, match="copies of training images"):
        nn_ratio(good, good, good)
    with pytest.raises(DataError):
        authenticity(good, good[:1])
