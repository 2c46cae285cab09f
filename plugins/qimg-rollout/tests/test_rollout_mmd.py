"""The permutation test of the MMD, and drift checks: against closed forms, against scipy, on planted changes."""

import itertools
import math

import numpy as np
import pytest
from scipy.stats import binomtest

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.verdict import Verdict
from qimg_rollout.drift import check_drift
from qimg_rollout.mmd import Pair
from qimg_rollout.sets import Sets


def sets(seed, n=60, *, move=0.0, shape=(4, 4, 1), classes=2):
    rng = np.random.default_rng(seed)
    asked = np.arange(n) % classes
    pixels = 90 + 60 * asked[:, None, None, None] + 20 * rng.normal(size=(n, *shape)) + move
    return Sets(images=np.clip(pixels, 0, 255).astype(np.uint8), classes=asked)


def test_discrepancy_is_the_definition():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(4, 3)) + 1
    pool = np.concatenate([x, y])
    median = np.median([((a - b) ** 2).sum() for a, b in itertools.combinations(pool, 2)])

    def mean(a, b):
        return np.mean([math.exp(-((p - q) ** 2).sum() / (2 * median)) for p in a for q in b])

    assert Pair.of(x, y).mmd2 == pytest.approx(mean(x, x) + mean(y, y) - 2 * mean(x, y), rel=1e-10)


def test_p_value_is_the_share_of_all_splits():
    rng = np.random.default_rng(4)
    x, y = rng.normal(size=(4, 2)), rng.normal(size=(4, 2)) + 0.8
    pool = np.concatenate([x, y])
    pair = Pair.of(x, y)
    splits = np.zeros((70, 8), bool)
    for i, chosen in enumerate(itertools.combinations(range(8), 4)):
        splits[i, list(chosen)] = True
    exact = np.mean([Pair.of(pool[s], pool[~s]).mmd2 >= pair.mmd2 - 1e-12 for s in splits])
    assert pair.p_value(finest=0.001, seed=1) == pytest.approx(exact, abs=0.02)


def test_size_of_the_test():
    """Of 200 checks without a change, no more than a binomial of the stated level allows are false alarms."""
    rng = np.random.default_rng(7)
    below = sum(Pair.of(rng.normal(size=(15, 4)), rng.normal(size=(12, 4))).p_value(finest=0.1, seed=i) <= 0.1
                for i in range(200))  # fmt: skip
    assert binomtest(below, 200, 0.1, alternative="greater").pvalue > 1e-3
    assert below > 5  # a test that never rejects has no size either


def test_detectable_shift_is_seen_and_a_tenth_of_it_is_not():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(60, 3)), rng.normal(size=(60, 3))
    shift = Pair.of(x, y).detectable(0.05, seed=1)
    assert 0.2 < shift < 3
    axis = np.linalg.svd(np.concatenate([x, y]) - np.concatenate([x, y]).mean(0))[2][0]
    seen = dict.fromkeys((0.1, 1.5), 0)
    for trial in range(20):
        draw = np.random.default_rng(100 + trial)
        for k in seen:
            moved = draw.normal(size=(60, 3)) + k * shift * axis
            seen[k] += Pair.of(draw.normal(size=(60, 3)), moved).p_value(finest=0.05, seed=trial) <= 0.05
    assert seen[1.5] >= 17
    assert seen[0.1] <= 5


def test_same_source_passes_and_says_what_it_would_see():
    done = check_drift(sets(1), sets(2), seed=5)
    assert done.verdict is Verdict.PASS
    assert [f.what for f in done.findings] == ["images", "images of class 0", "images of class 1"]
    assert 0 < done.findings[0].detectable < 8


def test_many_tests_are_one_family():
    """Each of 20 classes has p uniform under no change: without Holm every second check would raise an alarm."""
    alarms = 0
    for trial in range(20):
        was, now = sets(trial, n=200, classes=20), sets(1000 + trial, n=200, classes=20)
        done = check_drift(was, now, alpha=0.1, seed=trial, minimum=5, power=False)
        assert min(f.p for f in done.findings) <= min(f.adjusted for f in done.findings)
        alarms += done.verdict is Verdict.FAIL
    assert binomtest(alarms, 20, 0.1, alternative="greater").pvalue > 1e-3


def test_one_class_that_changes_is_named():
    was, now = sets(1, n=120, classes=4), sets(2, n=120, classes=4)
    pixels = now.images.copy()
    pixels[now.classes == 3] = 255 - pixels[now.classes == 3]
    done = check_drift(was, Sets(images=pixels, classes=now.classes), seed=5)
    assert done.verdict is Verdict.FAIL
    assert "images of class 3" in done.reason
    assert "images of class 1" not in done.reason


def test_recognition_that_gets_worse_for_one_class():
    was, now = sets(1, n=120), sets(2, n=120)
    good, bad = now.classes.copy(), now.classes.copy()
    bad[:60][now.classes[:60] == 1] = 0
    was = Sets(images=was.images, classes=was.classes, found=was.classes)
    assert check_drift(was, Sets(images=now.images, classes=now.classes, found=good), seed=1).verdict is Verdict.PASS
    done = check_drift(was, Sets(images=now.images, classes=now.classes, found=bad), seed=1)
    assert done.verdict is Verdict.FAIL
    assert "recognised as asked" in done.reason


@pytest.mark.parametrize("wires", [3, 12])
def test_bits(wires):
    rng = np.random.default_rng(wires)

    def draw(p):
        return Sets(bits=(rng.random((400, wires)) < p).astype(np.uint8))

    assert check_drift(draw(0.5), draw(0.5), seed=1).verdict is Verdict.PASS
    assert check_drift(draw(0.5), draw(0.62), seed=1).verdict is Verdict.FAIL


def test_latents_and_too_few_of_them():
    rng = np.random.default_rng(1)
    was = Sets(latents=rng.normal(size=(50, 5)))
    assert check_drift(was, Sets(latents=rng.normal(size=(50, 5)) + 1), seed=1).verdict is Verdict.FAIL
    assert check_drift(was, Sets(latents=rng.normal(size=(5, 5)) + 9), seed=1).verdict is Verdict.INCONCLUSIVE
    blind = check_drift(was, Sets(latents=rng.normal(size=(50, 5))), seed=1, tolerance=0.01)
    assert blind.verdict is Verdict.INCONCLUSIVE
    assert "would see a shift of" in blind.reason


def test_sets_survive_their_bytes_and_refuse_others():
    found = sets(3)
    again = Sets.from_bytes(found.to_bytes())
    assert np.array_equal(again.images, found.images)
    assert np.array_equal(again.classes, found.classes)
    assert found.to_bytes() == again.to_bytes()
    for bad in (b"", b"PK\x03\x04", found.to_bytes()[:200]):
        with pytest.raises(DataError):
            Sets.from_bytes(bad)


def test_bad_input():
    with pytest.raises(DataError, match="nothing to compare"):
        check_drift(sets(1), Sets(latents=np.zeros((30, 2))), seed=1)
    with pytest.raises(ConfigurationError, match="alpha"):
        check_drift(sets(1), sets(2), alpha=0.5, seed=1)
    with pytest.raises(DataError, match="numbers in a row"):
        check_drift(sets(1), sets(2, shape=(5, 4, 1)), seed=1)
    with pytest.raises(DataError, match="0 and 1"):
        Sets(bits=np.array([[0, 2]], np.uint8))
