"""Ensembles against closed forms, states as images, scrambling against matrix exponentials, depolarising."""

import numpy as np
import pytest
from attrs import evolve
from scipy.linalg import expm

from qimg_core.datasets.opening import open_images
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_diffusion.quddpm import ensembles, forward
from qimg_diffusion.quddpm.config import QuDDPMConfig
from qimg_diffusion.quddpm.states import StateEnsemble, States

X, Y, Z, ONE = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1]), np.eye(2)


def mean(states):
    return np.einsum("ni,nj->ij", states, states.conj()) / len(states)


@pytest.mark.parametrize(("wires", "published"), [(1, 0.9876), (2, 0.9792)])
def test_clusters_have_the_published_fidelity(wires, published):
    data = ensembles.cluster(4000, wires, seed=3)
    f = np.abs(data.states[:, 0]) ** 2
    assert np.isclose(f.mean(), published, atol=2e-3)
    assert data.wires == wires
    assert data.shape == (2**wires, 2**wires, 3)


def test_circle_is_real_and_uniform():
    states = ensembles.circle(4000, seed=1).states
    assert np.array_equal(states.imag, np.zeros_like(states.imag))
    bloch = np.stack([np.einsum("ni,ij,nj->n", states.conj(), p, states).real for p in (X, Z)])
    assert np.abs(bloch.mean(1)).max() < 0.06
    assert np.allclose((bloch**2).mean(1), 0.5, atol=0.03)


@pytest.mark.parametrize("wires", [4, 5])
def test_ising_ground_states_have_the_energy_of_free_fermions(wires):
    """Pfeuty 1970: E = -sum_k sqrt(1 + g^2 - 2 g cos k), k = odd multiples of pi / wires."""
    g = 0.3
    data = ensembles.ising(2, wires, low=g, high=g)
    k = np.pi * (2 * np.arange(wires) + 1) / wires
    hamiltonian = ensembles.ising_hamiltonian(wires, g)
    got = np.einsum("ni,ij,nj->n", data.states.conj(), hamiltonian, data.states).real
    assert np.allclose(got, -np.sqrt(1 + g * g - 2 * g * np.cos(k)).sum())


def test_named_ensembles_open_and_are_drawn_apart():
    registered = {s: (lambda split, s=s: Registry().load("dataset", s)(split)) for s in ("states-cluster-2",)}
    train, test = (open_images("states-cluster-2", split=s, registered=registered) for s in ("train", "test"))
    assert (train.n, test.n) == (500, 1000)
    assert train.digest != test.digest
    assert not np.isclose(np.abs(train.states @ test.states[:500].conj().T), 1, atol=1e-9).any()
    for name in ("states-cluster-1", "states-circle", "states-ising-4"):
        assert Registry().load("dataset", name)("train").n == 500


def test_a_picture_is_the_density_matrix_whatever_the_phase():
    psi = ensembles.haar(3, 2, np.random.default_rng(0))
    a, b = States.of(psi), States.of(psi * np.exp(0.7j))
    rho = psi[:, :, None] * psi[:, None].conj()
    assert np.allclose(a.pixels[..., 0] * 2 - 1, rho.real, atol=1e-6)
    assert np.allclose(a.pixels[..., 1] * 2 - 1, rho.imag, atol=1e-6)
    assert np.allclose(a.pixels[..., 2], np.abs(rho), atol=1e-6)
    assert np.allclose(a.pixels, b.pixels, atol=1e-6)


def test_some_of_the_states_keep_their_pictures():
    states = States.of(ensembles.haar(5, 1, np.random.default_rng(0)))
    for which, rows in ((slice(1, 4, 2), [1, 3]), ([4, 0], [4, 0]), (-1, [4])):
        some = states[which]
        assert np.array_equal(some.amplitudes, states.amplitudes[rows])
        assert np.array_equal(some.pixels, states.pixels[rows])
    assert len(list(states)) == 5
    with pytest.raises(IndexError):
        states[5]
    with pytest.raises(DataError):
        States(amplitudes=states.amplitudes[:2], pixels=states.pixels, quantum=False, simulated=False)


@pytest.mark.parametrize(
    "bad", [np.ones((2, 3)), np.ones((2, 2)), np.full((1, 2), np.nan), np.ones((0, 2)), np.ones(2)]
)
def test_what_is_no_state_is_refused(bad):
    with pytest.raises(DataError):
        StateEnsemble(title="bad", states=bad)


def on(matrix, wire, wires):
    return np.kron(np.kron(np.eye(2**wire), matrix), np.eye(2 ** (wires - wire - 1)))


def test_one_scrambling_step_is_the_product_of_exponentials():
    config = QuDDPMConfig(timesteps=2, first=1.5, last=2.5)
    psi = ensembles.haar(3, 2, np.random.default_rng(5))
    got = forward.forward(Session(None, seed=1), config, psi, seed=11)
    assert got.shape == (3, 3, 4)
    assert np.allclose(got[0], psi)
    rng, now = np.random.Generator(np.random.PCG64(11)), psi
    for t, h in ((1, 1.5), (2, 2.5)):
        turns = rng.uniform(-np.pi / 8, np.pi / 8, (3, 6)) * h
        bonds = rng.uniform(0.4, 0.6, (3, 1)) * h / (2 * np.sqrt(2))
        out = []
        for row in range(3):
            u = np.eye(4)
            for wire in range(2):
                for k, p in enumerate((Z, Y, Z)):
                    u = expm(-0.5j * turns[row, 3 * wire + k] * on(p, wire, 2)) @ u
            out.append(expm(-0.5j * bonds[row, 0] * np.kron(Z, Z)) @ u @ now[row])
        now = np.array(out)
        assert np.allclose(got[t], now, atol=1e-10)


def test_scrambling_ends_near_the_maximally_mixed_state_and_runs_on_the_road():
    session, config = Session(None, seed=1), QuDDPMConfig()
    got = forward.forward(session, config, ensembles.cluster(300, 2).states, seed=3)
    assert session.log.recorder.tally.executions == 20
    distance = [np.abs(np.linalg.eigvalsh(mean(s) - np.eye(4) / 4)).sum() / 2 for s in got]
    assert distance[0] > 0.7
    assert distance[-1] < 0.1
    assert np.allclose(np.linalg.norm(got, axis=2), 1, atol=1e-12)


def test_depolarising_has_the_channels_mean_state():
    config = QuDDPMConfig(forward="depolarising", timesteps=4)
    session = Session(None, seed=1)
    psi = ensembles.cluster(20_000, 1).states
    got = forward.forward(session, config, psi, seed=3)
    assert session.log.recorder.tally.executions == 0
    for t, a in enumerate(np.cos(np.pi * np.arange(5) / 8) ** 2):
        wanted = a * mean(psi) + (1 - a) * np.eye(2) / 2
        assert np.allclose(mean(got[t]), wanted, atol=0.015)
    kept = [np.isclose(np.abs((g.conj() * psi).sum(1)), 1).mean() for g in got]
    assert np.allclose(kept, np.cos(np.pi * np.arange(5) / 8) ** 2, atol=0.015)


def test_strengths_of_the_published_schedules():
    assert np.allclose(forward.strengths(QuDDPMConfig()), np.linspace(0.5, 4, 20))
    circle = QuDDPMConfig(wires=1, timesteps=40, schedule="quadratic", last=1.6)
    assert np.allclose(forward.strengths(circle), 1e-3 * np.arange(1, 41) ** 2)


def test_bad_settings_are_refused():
    for wrong in (
        {"wires": 0}, {"ancillas": 9}, {"layers": 0}, {"rate": 0.0}, {"batch": 1}, {"loss": "mse"}, {"forward": "none"},
        {"loss": "wasserstein"},
    ):  # fmt: skip
        with pytest.raises(ConfigurationError):
            QuDDPMConfig(**wrong)
    assert evolve(QuDDPMConfig(), loss="wasserstein", outcomes="sampled").loss == "wasserstein"
    for wrong in ({"wires": 2}, {"wires": 4, "low": 0.0}):
        with pytest.raises(ConfigurationError):
            ensembles.ising(2, **wrong)
