"""Distances of ensembles: closed forms, blindness of the plain MMD, slopes by finite differences."""

import itertools

import numpy as np
import pytest
import torch

from qimg_core.errors import DataError
from qimg_diffusion.quddpm.distances import (
    between,
    mean_state,
    mmd,
    sinkhorn,
    trace_distance,
    transport,
    wasserstein,
)
from qimg_diffusion.quddpm.ensembles import circle, haar


def rng(seed=0):
    return np.random.default_rng(seed)


def branches(m=3, k=2, d=4, seed=1):
    """Random states with weights, as tensors and as one flat list of (probability, state)."""
    x = torch.from_numpy(haar(m * k, 2, rng(seed)).reshape(m, k, d))
    w = torch.from_numpy(rng(seed + 1).random((m, k)))
    w = w / w.sum(1, keepdim=True)
    return x, w


def density(x, w):
    p = (w / len(x)).flatten().numpy()
    return sum(q * np.outer(v, v.conj()) for q, v in zip(p, x.flatten(0, 1).numpy(), strict=True))


def test_mmd_of_fidelities_is_the_hilbert_schmidt_distance_of_the_mean_states():
    x, w = branches()
    y = torch.from_numpy(haar(5, 2, rng(9)))
    difference = density(x, w) - density(y[:, None], torch.ones(5, 1))
    assert np.isclose(float(mmd(x, w, y)), (np.abs(difference) ** 2).sum())
    values = np.linalg.svd(difference, compute_uv=False)
    assert np.isclose(float(trace_distance(x, w, y)), values.sum() / 2)
    assert np.allclose(mean_state(x, w).numpy(), density(x, w))


def test_mmd_of_squared_fidelities_is_that_of_two_copies():
    x, w = branches()
    y = torch.from_numpy(haar(5, 2, rng(9)))
    xx, yy = (torch.einsum("...i,...j->...ij", v, v).flatten(-2) for v in (x, y))
    difference = density(xx, w) - density(yy[:, None], torch.ones(5, 1))
    assert np.isclose(float(mmd(x, w, y, powers=(2,))), (np.abs(difference) ** 2).sum())
    both = (float(mmd(x, w, y)) + float(mmd(x, w, y, powers=(2,)))) / 2
    assert np.isclose(float(mmd(x, w, y, powers=(1, 2))), both)


def test_on_the_circle_the_plain_mmd_sees_nothing_and_the_others_do():
    """Haar-random states, data on a great circle: both have the mean state I/2, by hand E F^2 differs.

    Two states of the circle have F = cos^2(a / 2): E F^2 = 3/8. Two Haar-random ones: 1/3; one of each: 1/3.
    So the squared MMD of F^2 is 3/8 + 1/3 - 2/3 = 1/24, that of F is 0.
    """
    data, same, other = circle(2000, seed=1).states, circle(2000, seed=2).states, haar(2000, 1, rng(3))
    assert abs(between(other, data, unbiased=True)) < 2e-3
    assert np.isclose(between(other, data, unbiased=True, powers=(2,)), 1 / 24, atol=6e-3)
    assert abs(between(same, data, unbiased=True, powers=(2,))) < 6e-3
    assert transport(other[:300], data[:300]) > 5 * transport(same[:300], data[:300])


def test_biased_mmd_of_two_samples_of_one_distribution():
    # Haar-random: mean F = 1/4, so (1 - 1/4) (1/20 + 1/30) on average
    values = [between(haar(20, 2, rng(i)), haar(30, 2, rng(1000 + i))) for i in range(200)]
    assert np.isclose(np.mean(values), 0.75 * (1 / 20 + 1 / 30), rtol=0.05)
    unbiased = [between(haar(20, 2, rng(i)), haar(30, 2, rng(1000 + i)), unbiased=True) for i in range(200)]
    assert abs(np.mean(unbiased)) < 4 * np.std(unbiased) / 14


def test_wasserstein_is_the_best_of_all_matchings():
    x, y = haar(5, 2, rng(1)), haar(5, 2, rng(2))
    cost = 1 - np.abs(x.conj() @ y.T) ** 2
    best = min(np.mean([cost[i, p[i]] for i in range(5)]) for p in itertools.permutations(range(5)))
    assert np.isclose(transport(x, y), best)
    with pytest.raises(DataError):
        transport(x, y[:4])


def test_sinkhorn_tends_to_wasserstein_and_is_0_for_equal_ensembles():
    x, y = (torch.from_numpy(haar(12, 1, rng(i))) for i in (1, 2))
    one = torch.ones(12, 1, dtype=torch.float64)
    smooth = float(sinkhorn(x[:, None], one, y, smoothing=1e-3, rounds=3000))
    assert np.isclose(smooth, float(wasserstein(x, y)), atol=2e-3)
    assert abs(float(sinkhorn(x[:, None], one, x, smoothing=0.05))) < 1e-9


@pytest.mark.parametrize(
    "loss",
    [
        lambda x, w, y: mmd(x, w, y, unbiased=True),
        lambda x, w, y: mmd(x, w, y, powers=(1, 2)),
        trace_distance,
        lambda x, w, y: sinkhorn(x, w, y, smoothing=0.1, rounds=500),
        lambda x, w, y: wasserstein(x[:, 0], y[: len(x)]),
    ],
    ids=["mmd", "mmd2", "trace", "sinkhorn", "wasserstein"],
)
def test_slopes_equal_finite_differences(loss):
    """Along a random direction of states and weights, both staying normalised."""
    x, w = branches()
    y = torch.from_numpy(haar(5, 2, rng(9)))
    dx, dw = torch.from_numpy(haar(6, 2, rng(5)).reshape(3, 2, 4)), torch.tensor([[1.0, -1.0]] * 3).double()

    def at(s):
        moved = x + s * dx
        return loss(moved / torch.linalg.vector_norm(moved, dim=2, keepdim=True), w + 0.1 * s * dw, y)

    s = torch.zeros((), dtype=torch.float64, requires_grad=True)
    slope = torch.autograd.grad(at(s), s)[0]
    h = 1e-5
    assert np.isclose(float(slope), float(at(torch.tensor(h)) - at(torch.tensor(-h))) / (2 * h), rtol=1e-4, atol=1e-7)
