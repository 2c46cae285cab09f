"""Class accuracy, entropy and divergence against scipy and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from scipy.stats import binomtest, entropy

from qimg_core.errors import DataError
from qimg_metrics.image.classes import class_accuracies, class_accuracy, class_entropy, class_jsd

FOUND = np.array([0, 0, 1, 1, 2, 2, 2, 0])
ASKED = np.array([0, 0, 1, 2, 2, 2, 2, 1])


def test_accuracy_and_its_exact_interval() -> None:
    e = class_accuracy(FOUND, ASKED)
    exact = binomtest(6, 8).proportion_ci(0.95, method="exact")
    assert (e.value, e.n) == (6 / 8, 8)
    assert (e.low, e.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_each_class_by_hand() -> None:
    per = class_accuracies(FOUND, ASKED, n_classes=4)
    assert [(e.name, e.value, e.n) for e in per] == [
        ("class_accuracy[0]", 1.0, 2),
        ("class_accuracy[1]", 0.5, 2),
        ("class_accuracy[2]", 0.75, 4),
    ]
    score = binomtest(3, 4).proportion_ci(0.95, method="wilson")
    assert (per[2].low, per[2].high) == pytest.approx((score.low, score.high), abs=1e-12)


def test_entropy_and_divergence_agree_with_scipy() -> None:
    rng = np.random.default_rng(0)
    found, wanted = rng.choice(5, 700, p=[0.5, 0.2, 0.15, 0.15, 0.0]), rng.integers(0, 5, 900)
    p, q = np.bincount(found, minlength=5) / 700, np.bincount(wanted, minlength=5) / 900
    h, d = class_entropy(found, n_classes=5), class_jsd(found, wanted, n_classes=5)
    assert h.value == pytest.approx(entropy(p) / np.log(5), abs=1e-12)
    assert d.value == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)
    assert h.low < h.value < h.high and d.low < d.value < d.high


def test_extremes() -> None:
    equal = np.repeat(np.arange(10), 20)
    assert class_entropy(equal, n_classes=10).value == pytest.approx(1.0)
    assert class_jsd(equal, equal, n_classes=10).value == pytest.approx(0.0, abs=1e-12)
    one = np.zeros(200, dtype=int)
    assert class_entropy(one, n_classes=10).value == 0.0
    assert class_jsd(one, one + 1, n_classes=10).value == pytest.approx(1.0)


def test_bad_labels_are_refused() -> None:
    for found, asked in (([], []), ([1, 2], [1]), ([0.5, 1.0], [0, 1]), ([-1, 0], [0, 0]), ([[0, 1]], [0])):
        with pytest.raises(DataError):
            class_accuracy(np.array(found), np.array(asked))
    with pytest.raises(DataError, match=r"0 \.\. 2"):
        class_entropy(np.array([0, 3]), n_classes=3)
    with pytest.raises(DataError):
        class_entropy(np.array([], dtype=int), n_classes=3)
    with pytest.raises(DataError):
        class_jsd(np.array([0]), np.array([], dtype=int), n_classes=3)
