"""Named kernels against closed forms, dense statevectors, and each other's curvature."""

import numpy as np
import pytest
import torch

from qimg_circuits.quantum_kernels_named import KINDS, Kernel, PairPhaseEncoder
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.session import Session


@pytest.fixture
def session():
    return Session(None, seed=4)


def test_encoding_is_diagonal_phases_on_a_superposition(states, rng):
    x, s = rng.normal(size=(3, 3)), 0.8
    encoder = PairPhaseEncoder(3, scale=s)
    z = np.array([[1 - 2 * (b >> k & 1) for k in (2, 1, 0)] for b in range(8)])  # eigenvalues of Z, first wire first
    pairs = z[:, :-1] * z[:, 1:]
    phase = s * (x @ z.T + (x[:, :-1] * x[:, 1:]) @ pairs.T)
    wanted = np.exp(-0.5j * phase) / np.sqrt(8)
    np.testing.assert_allclose(states(encoder.circuit, encoder.features(x)), wanted, atol=1e-12)


def test_separable_kernels_are_the_closed_forms_of_their_docstring(session, rng):
    x, y, s = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), 0.7
    half = s * (x[:, None] - y[None]) / 2
    wanted = {
        "fidelity": np.prod(np.cos(half) ** 2, axis=2),
        "projected": np.exp(-2 * 0.5 * (np.sin(half) ** 2).sum(2)),
        "gaussian": np.exp(-(half**2).sum(2)),
    }
    for kind in KINDS:
        k = Kernel(kind=kind, wires=3, scale=s, entangled=False)
        np.testing.assert_allclose(k.matrix(session, x, y), wanted[kind], atol=1e-10)
        many = Kernel(kind=kind, wires=3, scale=s, entangled=False, powers=(1, 3))
        np.testing.assert_allclose(many.matrix(session, x, y), (wanted[kind] + wanted[kind] ** 3) / 2, atol=1e-10)


def test_all_kinds_have_one_curvature_and_the_median_pair_the_usual_value(session, rng):
    near = np.array([[0.0, 0.0], [0.02, -0.01]])
    bends = [1 - Kernel(kind=k, wires=2, scale=1.3, entangled=False).matrix(session, near)[0, 1] for k in KINDS]
    np.testing.assert_allclose(bends, 1.3**2 * 5e-4 / 4, rtol=1e-3)
    x = rng.normal(size=(200, 6))
    for kind in KINDS:
        k = Kernel(kind=kind, wires=6, entangled=False).matrix(session, x)
        assert abs(np.median(k[np.triu_indices(200, 1)]) - np.exp(-0.5)) < 0.1


def test_the_gaussian_twin_takes_the_same_phases(session, rng):
    x, y, s = rng.normal(size=(4, 3)), rng.normal(size=(5, 3)), 0.7
    phases = [np.c_[v, v[:, 0] * v[:, 1], v[:, 1] * v[:, 2]] * s for v in (x, y)]
    wanted = np.exp(-((phases[0][:, None] - phases[1][None]) ** 2).sum(2) / 4)
    np.testing.assert_allclose(Kernel(kind="gaussian", wires=3, scale=s).matrix(session, x, y), wanted, atol=1e-12)


def test_entangling_phases_change_the_kernel_and_it_stays_one(session, rng):
    x = rng.normal(size=(20, 4))
    for kind in ("fidelity", "projected"):
        with_pairs = Kernel(kind=kind, wires=4).matrix(session, x)
        without = Kernel(kind=kind, wires=4, entangled=False).matrix(session, x)
        assert np.abs(with_pairs - without).max() > 0.05
        assert np.linalg.eigvalsh(with_pairs).min() > -1e-9
        np.testing.assert_allclose(np.diag(with_pairs), 1, atol=1e-9)


def test_gradients_against_finite_differences(session, rng):
    y = torch.from_numpy(rng.normal(size=(2, 2)))
    x = torch.from_numpy(rng.normal(size=(3, 2))).requires_grad_()
    for kind in KINDS:
        k = Kernel(kind=kind, wires=2, powers=(1, 2))
        assert torch.autograd.gradcheck(lambda v, k=k: k.matrix(session, v, y), (x,), atol=1e-6)


@pytest.mark.parametrize("shots", [None, 300])
@pytest.mark.parametrize("kind", ["fidelity", "projected"])
def test_the_planned_request_is_as_large_as_the_one_that_runs(kind, shots, rng, monkeypatch):
    session, seen = Session(None, seed=4, shots=shots), []
    run = type(session.backend()).run
    monkeypatch.setattr(type(session.backend()), "run", lambda self, r: (seen.append(r), run(self, r))[1])
    k = Kernel(kind=kind, wires=2)
    planned = k.request(session, 5)
    k.matrix(session, rng.normal(size=(5, 2)))
    assert len(seen) == 1
    for what in ("rows", "circuit", "measurement", "shots"):
        assert getattr(seen[0], what) == getattr(planned, what)
    assert Kernel(kind="gaussian", wires=2).request(session, 5) is None


def test_what_cannot_be_is_refused(session):
    for bad in (
        {"kind": "guess"},
        {"wires": 0},
        {"wires": 13},
        {"scale": 0.0},
        {"scale": float("nan")},
        {"powers": ()},
        {"powers": (0,)},
    ):
        with pytest.raises(ConfigurationError):
            Kernel(**bad)
    for kind in KINDS:
        with pytest.raises(DataError):
            Kernel(kind=kind, wires=3).matrix(session, np.zeros((4, 2)))
    with pytest.raises(ConfigurationError, match="two rows"):
        Kernel().request(session, 1)
