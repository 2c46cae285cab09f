"""The further image metrics: what they must see, intervals that hold their value, and what they refuse."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.image.acceptance import accepted, latency, per_accepted
from qimg_metrics.image.convergence import convergence_steps, read_losses
from qimg_metrics.image.ndb import make_bins, ndb
from qimg_metrics.image.sliced import make_slices, sliced_distance, sliced_wasserstein
from qimg_metrics.image.structure import likeness_to_class, ssim, structural_coherence
from qimg_metrics.image.usefulness import make_exam, train_and_test


def rows(n: int, seed: int, d: int = 4) -> NDArray[np.float64]:
    return np.random.default_rng(seed).standard_normal((n, d))


def test_real_rows_differ_in_as_many_bins_as_the_level_says_and_a_lost_mode_in_more() -> None:
    bins = make_bins(rows(4000, 0), k=50)
    shares = [ndb(rows(1000, 10 + i), bins, resamples=20).value for i in range(40)]
    assert 0.03 < np.mean(shares) < 0.07
    lost = rows(1000, 1)
    lost[:, 0] = np.abs(lost[:, 0])  # half of the space is empty
    found = ndb(lost, bins)
    assert found.value > 0.6 and found.low <= found.value <= found.high
    assert ndb(np.zeros((1000, 4)), bins).value > 0.9


def test_bins_refuse_too_few_rows_and_another_width() -> None:
    with pytest.raises(DataError, match="ten real rows for each"):
        make_bins(rows(99, 0), k=10)
    with pytest.raises(DataError, match="width 4"):
        ndb(rows(50, 0, d=3), make_bins(rows(200, 1), k=4))
    with pytest.raises(DataError):
        ndb(np.full((50, 4), np.nan), make_bins(rows(200, 1), k=4))


def test_sliced_distance_is_zero_on_itself_and_grows_with_a_shift() -> None:
    real = rows(500, 2)
    slices = make_slices(real, directions=32, seed=1)
    assert sliced_wasserstein(real, slices, resamples=20).value == pytest.approx(0.0, abs=1e-12)
    near, far = (sliced_wasserstein(rows(500, 3) + by, slices, resamples=50) for by in (0.1, 1.0))
    assert near.high < far.low
    for e in (near, far):
        assert e.low <= e.value <= e.high
    assert sliced_wasserstein(rows(500, 3), slices, resamples=50, seed=4) == sliced_wasserstein(
        rows(500, 3), slices, resamples=50, seed=4
    )
    with pytest.raises(DataError, match="width 4"):
        sliced_wasserstein(rows(5, 0, d=3), slices)
    with pytest.raises(ConfigurationError, match="one direction"):
        make_slices(real, directions=0)


def test_sliced_interval_holds_the_mean_at_this_n_most_of_the_time() -> None:
    slices = make_slices(rows(200, 5), directions=8)
    expected = np.mean([sliced_distance(1.3 * rows(100, 50 + i), slices) for i in range(300)])
    found = [sliced_wasserstein(1.3 * rows(100, 400 + i), slices, seed=i) for i in range(60)]
    assert sum(e.low <= expected <= e.high for e in found) >= 48  # 57 wanted; five standard errors below


def bars(labels: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """One bright bar, upright or lying, at a random place, on faint noise."""
    rng = np.random.default_rng(seed)
    images = 0.1 * rng.random((len(labels), 12, 12, 1))
    for image, label in zip(images, labels, strict=True):
        at = rng.integers(1, 9)
        image[(slice(2, 10), slice(at, at + 3)) if label else (slice(at, at + 3), slice(2, 10))] += 0.8
    return images


def test_coherence_falls_with_noise_broken_strokes_and_the_wrong_class() -> None:
    labels, other = np.arange(200) % 2, np.arange(100) % 2
    train, held, fresh = bars(labels, 0), bars(other, 1), bars(other, 2)
    base = likeness_to_class(held, other, train, labels)

    def coherence(images: NDArray[np.float64], asked: NDArray[np.int64]) -> tuple[float, float, float]:
        e = structural_coherence(likeness_to_class(images, asked, train, labels), base)
        return e.low, e.value, e.high

    low, _, high = coherence(fresh, other)
    assert low < 1 < high and high - low < 0.2
    broken = fresh.copy()
    broken[:, 5:7] = 0.05  # a gap through every stroke
    noisy = np.clip(fresh + 0.3 * np.random.default_rng(3).standard_normal(fresh.shape), 0, 1)
    for images, asked in ((broken, other), (noisy, other), (fresh, 1 - other)):
        assert coherence(images, asked)[2] < low
    assert coherence(train[:100], other)[0] > high  # copies stand out above 1


def test_coherence_refuses_what_has_no_scale() -> None:
    images, labels = bars(np.zeros(10, np.int64), 4), np.zeros(10, np.int64)
    with pytest.raises(DataError, match="no training image of class 1"):
        likeness_to_class(images, labels + 1, images, labels)
    with pytest.raises(DataError, match="one shape"):
        ssim(images, images[:, :6])
    with pytest.raises(DataError, match="no scale"):
        structural_coherence(np.ones(5), np.zeros(5))


def test_learning_from_bad_images_teaches_less() -> None:
    labels, test_labels = np.arange(200) % 2, np.arange(300) % 2
    x, test = bars(labels, 5).reshape(200, -1), bars(test_labels, 6).reshape(300, -1)
    exam = make_exam(test, test_labels, x, n_classes=2)
    real = train_and_test(x, labels, exam, name="train_on_real")
    assert real.value > 0.9
    mean = np.repeat(x.mean(0)[None], 200, axis=0)  # all alike: the matrix is singular but for the ridge
    assert train_and_test(mean, labels, exam).value == pytest.approx(0.5, abs=0.1)
    assert train_and_test(x, 1 - labels, exam).high < 0.1
    assert train_and_test(x[:4], labels[:4], exam).high < real.low
    with pytest.raises(DataError, match="width"):
        train_and_test(x[:, 1:], labels, exam)
    with pytest.raises(DataError, match="all alike"):
        make_exam(test, test_labels, mean, n_classes=2)


def test_only_so_many_images_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qimg_metrics.image.usefulness.MOST", 50)
    labels = np.arange(120) % 2
    x = bars(labels, 7).reshape(120, -1)
    exam = make_exam(x, labels, x, n_classes=2)
    found = train_and_test(x, labels, exam, seed=1)
    assert found.n == 50 and found.n_reference == 120
    assert found == train_and_test(x, labels, exam, seed=1)


def test_nothing_accepted_costs_infinitely_much() -> None:
    logits = np.tile([9.0, 0.0], (20, 1))
    none = accepted(logits, np.ones(20, np.int64))
    cost = per_accepted(5.0, none, name="seconds_per_accepted", unit="s")
    assert none.value == 0 and cost.value == math.inf and 0 < cost.low < math.inf
    every = accepted(logits, np.zeros(20, np.int64))
    assert every.value == 1 and per_accepted(0.0, none, name="cost_per_accepted", unit="USD").value == 0
    for bad in (math.nan, -1.0, math.inf):
        with pytest.raises(DataError, match="0 or more"):
            per_accepted(bad, every, name="x", unit="s")
    for confidence in (0.5, 1.0):
        with pytest.raises(ConfigurationError, match="above 0.5"):
            accepted(logits, np.zeros(20, np.int64), confidence=confidence)
    with pytest.raises(DataError):
        accepted(logits, np.full(20, 2), confidence=0.9)


def test_latency_of_few_calls_says_what_it_cannot_know() -> None:
    few = latency([1.0, 2.0, 3.0], quantile=0.95)
    assert few.high == math.inf and few.value <= 3.0
    assert latency([2.0] * 100).low == latency([2.0] * 100).high == 2.0
    covered = 0
    for seed in range(200):
        e = latency(np.random.default_rng(seed).exponential(size=60).tolist())
        covered += e.low <= math.log(2) <= e.high
    assert covered >= 184  # 95 % or more
    for bad in ([], [-1.0], [math.nan]):
        with pytest.raises(DataError):
            latency(bad)
    with pytest.raises(ConfigurationError):
        latency([1.0], quantile=1.0)


def test_convergence_tells_a_faster_training_from_a_slower_one() -> None:
    rng = np.random.default_rng(8)
    steps = np.arange(3000)
    fast, slow = (1 + 2 * np.exp(-steps / tau) + 0.1 * rng.standard_normal(3000) for tau in (150, 500))
    one, two = convergence_steps(fast), convergence_steps(slow)
    assert one.high < two.low
    for e, tau in ((one, 150), (two, 500)):
        assert e.low <= e.value <= e.high
        assert e.low <= tau * math.log(10) + 60 and tau * math.log(10) * 0.8 <= e.high
    assert convergence_steps(slow, fraction=0.5).value < two.value
    hidden = 1 + 0.05 * np.exp(-steps / 150) + 0.5 * (-1.0) ** steps  # the means are clear, the band around them is not
    assert convergence_steps(hidden).value < 500 and convergence_steps(hidden).high == math.inf


def test_convergence_refuses_what_does_not_converge(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="did not fall"):
        convergence_steps(np.linspace(1, 2, 100))
    for bad in (np.ones(10), np.full(50, np.nan)):
        with pytest.raises(DataError, match="finite losses"):
            convergence_steps(bad)
    falling = np.linspace(2, 1, 100)
    for kwargs in ({"fraction": 1.0}, {"fraction": 0.0}, {"window": 1}, {"window": 51}):
        with pytest.raises(ConfigurationError):
            convergence_steps(falling, **kwargs)
    path = tmp_path / "m.loss.csv"
    path.write_text("step,loss\n" + "".join(f"{i + 1},{v!r}\n" for i, v in enumerate(falling.tolist())))
    np.testing.assert_array_equal(read_losses(path), falling)
    path.write_text("step,value\n1,2\n")
    with pytest.raises(DataError, match="called loss"):
        read_losses(path)
    path.write_text("step,loss\n1,low\n")
    with pytest.raises(DataError, match="called loss"):
        read_losses(path)
    with pytest.raises(DataError, match="cannot read"):
        read_losses(tmp_path / "none.csv")
