"""Kernel distance against its definition, and that it is unbiased."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.image.kid import kid, mmd2_unbiased


def test_equals_the_double_sum_of_the_definition() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((5, 3)), rng.standard_normal((4, 3)) + 1

    def k(a: object, b: object) -> float:
        return float((np.dot(np.asarray(a), np.asarray(b)) / 3 + 1) ** 3)

    xx = sum(k(a, b) for a, b in itertools.permutations(x, 2)) / (5 * 4)
    yy = sum(k(a, b) for a, b in itertools.permutations(y, 2)) / (4 * 3)
    xy = sum(k(a, b) for a, b in itertools.product(x, y)) / (5 * 4)
    assert mmd2_unbiased(x, y) == pytest.approx(xx + yy - 2 * xy, rel=1e-12)


def test_chunks_do_not_change_the_sum() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.standard_normal((4500, 4)), rng.standard_normal((2100, 4))

    def whole(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / 4 + 1) ** 3

    n, m = len(x), len(y)
    xx, yy = whole(x, x), whole(y, y)
    wanted = (xx.sum() - np.trace(xx)) / (n * (n - 1)) + (yy.sum() - np.trace(yy)) / (m * (m - 1))
    assert mmd2_unbiased(x, y) == pytest.approx(wanted - 2 * whole(x, y).mean(), rel=1e-9)


def test_mean_over_equal_distributions_is_zero_even_for_few_rows() -> None:
    rng = np.random.default_rng(2)
    values = np.array([mmd2_unbiased(rng.standard_normal((12, 3)), rng.standard_normal((20, 3))) for _ in range(3000)])
    assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values))
    assert (values < 0).any()  # the biased estimate never is


def test_known_value_of_shifted_normals() -> None:
    # d = 1, x ~ N(0, 1), y ~ N(a, 1), k = (xy + 1)^3:
    # the squared MMD is the sum over p of binom(3, p) (E x^p - E y^p)^2.
    a = 0.7
    moments_x, moments_y = (1, 0, 1, 0), (1, a, 1 + a * a, a**3 + 3 * a)
    exact = sum(b * (p - q) ** 2 for b, p, q in zip((1, 3, 3, 1), moments_x, moments_y, strict=True))
    rng = np.random.default_rng(3)
    e = kid(rng.standard_normal((6000, 1)) + a, rng.standard_normal((6000, 1)), subsets=100)
    assert e.value == pytest.approx(exact, rel=0.15)
    assert e.low < exact < e.high


def test_interval_covers_at_and_away_from_equality() -> None:
    rng = np.random.default_rng(4)
    for shift, exact in ((0.0, 0.0), (0.5, None)):
        sets = [(rng.standard_normal((200, 2)) + shift, rng.standard_normal((400, 2))) for _ in range(80)]
        truth = exact if exact is not None else float(np.mean([mmd2_unbiased(x, y) for x, y in sets]))
        hits = 0
        for i, (x, y) in enumerate(sets):
            e = kid(x, y, seed=i, subsets=100)
            hits += e.low <= truth <= e.high
        assert hits >= 68, (shift, hits)  # 76 wanted


def test_bad_input_is_refused() -> None:
    x = np.random.default_rng(5).standard_normal((50, 3))
    for bad in (x[:4], x[:, :2], np.full((50, 3), np.nan), x[0]):
        with pytest.raises(DataError):
            kid(bad, x)
    with pytest.raises(ConfigurationError):
        kid(x, x, subset_size=50)
