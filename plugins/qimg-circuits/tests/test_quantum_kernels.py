"""Kernels against dense statevectors and closed forms, alignment by hand, MMD against double sums."""

import numpy as np
import pytest
import torch

from qimg_circuits.encoders.amplitude import AmplitudeEncoder
from qimg_circuits.encoders.angle import AngleEncoder
from qimg_circuits.encoders.dense_angle import DenseAngleEncoder
from qimg_circuits.quantum_kernels import (
    alignment,
    fidelities,
    fidelity_kernel,
    projected_kernel,
    squared_mmd,
    target_kernel,
)
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.session import Session


@pytest.fixture
def session():
    return Session(None, seed=4)


def test_angle_kernel_is_a_product_of_cosines(session, rng):
    # RY(x)|0> has the overlap cos((x - y) / 2) with RY(y)|0>
    x, y = rng.normal(size=(4, 3)), rng.normal(size=(5, 3))
    encoder = AngleEncoder(3, "y")
    angles = [encoder.features(v) for v in (x, y)]
    wanted = np.prod(np.cos((angles[0][:, None] - angles[1][None]) / 2) ** 2, axis=2)
    np.testing.assert_allclose(fidelity_kernel(session, encoder, x, y), wanted, atol=1e-12)


@pytest.mark.parametrize("method", ["states", "overlaps"])
def test_fidelity_kernel_against_dense_states(session, states, rng, method):
    encoder = DenseAngleEncoder(2)
    x, y = rng.random((3, 4)), rng.random((4, 4))
    a, b = (states(encoder.circuit, encoder.features(v)) for v in (x, y))
    np.testing.assert_allclose(
        fidelity_kernel(session, encoder, x, y, method=method), np.abs(a.conj() @ b.T) ** 2, atol=1e-12
    )
    own = fidelity_kernel(session, encoder, x, method=method)
    np.testing.assert_allclose(own, np.abs(a.conj() @ a.T) ** 2, atol=1e-12)


def test_overlaps_are_frequencies_with_shots_and_half_as_many_circuits_for_one_batch(rng, monkeypatch):
    session, seen = Session(None, seed=4, shots=400), []
    run = type(session.backend()).run
    monkeypatch.setattr(type(session.backend()), "run", lambda self, r: (seen.append(r.rows), run(self, r))[1])
    encoder, x = AngleEncoder(2, "y"), rng.normal(size=(5, 2))
    kernel = fidelity_kernel(session, encoder, x, method="overlaps")
    assert seen == [10]
    np.testing.assert_allclose(kernel * 400, np.round(kernel * 400), atol=1e-9)
    exact = fidelity_kernel(Session(None, seed=4), encoder, x)
    assert np.abs(kernel - exact).max() < 5 * 0.5 / np.sqrt(400)
    assert np.array_equal(kernel, kernel.T) and np.array_equal(np.diag(kernel), np.ones(5))
    assert np.abs(kernel - exact).max() > 0


def test_projected_kernel_against_reduced_density_matrices(session, states, rng):
    encoder, gamma = AmplitudeEncoder(8), 0.7
    x, y = rng.normal(size=(3, 8)), rng.normal(size=(4, 8))

    def reduced(batch):
        psi = states(encoder.circuit, encoder.features(batch)).reshape(-1, 2, 2, 2)
        return [
            np.einsum("naxy,nbxy->nab", np.moveaxis(psi, 1 + q, 1), np.moveaxis(psi, 1 + q, 1).conj()) for q in range(3)
        ]

    distance = sum((np.abs(a[:, None] - b[None]) ** 2).sum((2, 3)) for a, b in zip(reduced(x), reduced(y), strict=True))
    got = projected_kernel(session, encoder, x, y, gamma=gamma)
    np.testing.assert_allclose(got, np.exp(-gamma * distance), atol=1e-10)
    np.testing.assert_allclose(np.diag(projected_kernel(session, encoder, x)), 1, atol=1e-10)


def test_kernels_differentiate(session, rng):
    encoder = AngleEncoder(2, "y")
    y = torch.from_numpy(rng.normal(size=(2, 2)))
    x = torch.from_numpy(rng.normal(size=(3, 2))).requires_grad_()
    for kernel in (fidelity_kernel, projected_kernel):
        assert torch.autograd.gradcheck(lambda v, k=kernel: k(session, encoder, v, y), (x,), atol=1e-6)


def test_alignment_by_hand():
    # K = [[2, 1], [1, 2]], T = [[1, -1], [-1, 1]]: <K, T> = 2, |K| = sqrt(10), |T| = 2
    k, t = np.array([[2.0, 1.0], [1.0, 2.0]]), target_kernel([0, 1])
    np.testing.assert_allclose(t, [[1, -1], [-1, 1]])
    np.testing.assert_allclose(alignment(k, t, centred=False), 2 / (np.sqrt(10) * 2))
    np.testing.assert_allclose(alignment(k, t), 1.0)  # centred, both are multiples of [[1, -1], [-1, 1]]
    np.testing.assert_allclose(alignment(k + 5, t), 1.0)


def test_alignment_of_centred_kernels_against_matrices(rng):
    a = rng.normal(size=(6, 6))
    k, labels = a @ a.T, [0, 1, 2, 0, 1, 2]
    t = target_kernel(labels)
    assert t[0, 3] == 1 and t[0, 1] == -0.5
    h = np.eye(6) - 1 / 6
    kc, tc = h @ k @ h, h @ t @ h
    wanted = np.trace(kc @ tc) / np.sqrt(np.trace(kc @ kc) * np.trace(tc @ tc))
    np.testing.assert_allclose(alignment(k, t), wanted)
    np.testing.assert_allclose(float(alignment(torch.from_numpy(k), t)), wanted)


def test_squared_mmd_against_double_sums(rng):
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(4, 2))
    w = rng.random((3, 2))
    w = (w / w.sum(1, keepdims=True) / 3).ravel()

    def k(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(2))

    xx, xy, yy = k(x, x), k(x, y), k(y, y)
    biased = xx.mean() + yy.mean() - 2 * xy.mean()
    np.testing.assert_allclose(squared_mmd(xx, xy, yy), biased)
    off = (xx.sum() - 6) / 30 + (yy.sum() - 4) / 12 - 2 * xy.mean()
    np.testing.assert_allclose(squared_mmd(xx, xy, yy, unbiased=True), off)
    # branches of three draws: pairs within a draw left out
    pairs = [(i, j) for i in range(6) for j in range(6) if i // 2 != j // 2]
    own = sum(w[i] * w[j] * xx[i, j] for i, j in pairs) / sum(w[i] * w[j] for i, j in pairs)
    wanted = own + (yy.sum() - 4) / 12 - 2 * (w @ xy).mean()
    got = squared_mmd(xx, xy, yy, unbiased=True, x_weights=w, group=2)
    np.testing.assert_allclose(got, wanted)
    tensors = [torch.from_numpy(v) for v in (xx, xy, yy, w)]
    got = squared_mmd(*tensors[:3], unbiased=True, x_weights=tensors[3], group=2)
    np.testing.assert_allclose(float(got), wanted)


def test_what_cannot_be_is_refused(session, rng):
    encoder, x = AngleEncoder(2, "y"), rng.normal(size=(2, 2))
    with pytest.raises(ConfigurationError, match="overlaps"):
        fidelity_kernel(session, encoder, x, method="guess")
    with pytest.raises(ConfigurationError, match="inverse"):
        fidelity_kernel(session, AmplitudeEncoder(4), rng.random((2, 4)), method="overlaps")
    with pytest.raises(ConfigurationError, match="gamma"):
        projected_kernel(session, encoder, x, gamma=0.0)
    with pytest.raises(DataError):
        fidelities(np.zeros((2, 4)), np.zeros((2, 8)))
    with pytest.raises(DataError):
        target_kernel([1, 1])
    with pytest.raises(DataError):
        alignment(np.ones((3, 3)), target_kernel([0, 1, 1]))
    with pytest.raises(DataError):
        squared_mmd(np.ones((2, 2)), np.ones((2, 3)), np.ones((2, 2)))
    with pytest.raises(DataError, match="unbiased"):
        squared_mmd(np.ones((1, 1)), np.ones((1, 3)), np.ones((3, 3)), unbiased=True)
