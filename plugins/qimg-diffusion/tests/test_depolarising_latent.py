"""`depolarising-latent` at a tiny size: the map between components and states, training, weights, the kit."""

import numpy as np
import pytest
import torch
from attrs import evolve
from sklearn.decomposition import PCA

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.verdict import Verdict
from qimg_diffusion.depolarising import DepolarisingConfig, DepolarisingLatent, components_of, states_of
from qimg_diffusion.quddpm.distances import transport
from qimg_diffusion.quddpm.ensembles import haar
from qimg_diffusion.quddpm.forward import depolarised

TINY = DepolarisingConfig(
    size=8, wires=2, ancillas=1, layers=5, timesteps=2, batch=16, pool=32, rate=0.05, sample_batch=4
)


def source(n=40):
    rng = np.random.default_rng(0)
    pixels = rng.random((n, 8, 8, 1)).astype(np.float32) * 0.2
    for i in range(n):
        pixels[i, 2 * (i % 3) : 2 * (i % 3) + 2] = 0.9
    return ArraySource(name="rows", pixels=pixels, labels=np.arange(n) % 3)


def model(config=TINY, seed=3, **kw):
    return DepolarisingLatent(Session(None, seed=seed, **kw), config)


def trained(steps=6, config=TINY, seed=3):
    m = model(config, seed)
    list(m.fit(source(), steps=steps))
    return m


def test_components_go_to_states_and_back_whatever_the_phase():
    z = np.random.default_rng(1).standard_normal((50, 7))
    psi = states_of(z)
    assert np.allclose(np.linalg.norm(psi, axis=1), 1)
    turned = psi * np.exp(1j * np.linspace(0, 6, 50))[:, None]
    assert np.allclose(components_of(turned), z, atol=1e-12)
    assert not np.allclose(components_of(states_of(-z)), z)  # the sign is kept
    # overlaps in closed form: (x.y + 7) / sqrt((|x|^2 + 7)(|y|^2 + 7))
    want = (z @ z.T + 7) / np.sqrt(np.outer((z**2).sum(1) + 7, (z**2).sum(1) + 7))
    assert np.allclose((psi @ psi.conj().T).real, want)
    assert np.abs(components_of(np.eye(8, dtype=complex))).max() <= 5


def test_the_mean_of_what_is_undone_is_the_depolarising_channel():
    psi = np.repeat(states_of(np.array([[1.0, -2.0, 0.5]])), 20_000, axis=0)
    a = np.array([1.0, 0.6, 0.0])
    for share, states in zip(a, depolarised(psi, a, np.random.default_rng(2)), strict=True):
        rho = np.einsum("ni,nj->ij", states, states.conj()) / len(states)
        want = share * np.outer(psi[0], psi[0].conj()) + (1 - share) * np.eye(4) / 4
        assert np.abs(rho - want).max() < 0.02


def test_the_states_that_are_learned_are_the_principal_components(monkeypatch):
    m, seen = model(), []
    steps = m._steps
    monkeypatch.setattr(m, "_steps", lambda data, n: seen.append(data) or steps(data, n))
    list(m.fit(source(), steps=2))
    flat = source().all().reshape(40, -1)
    theirs = PCA(3, svd_solver="full").fit_transform(flat)
    theirs = theirs / theirs.std(0, ddof=1)
    mine = components_of(seen[0].states)
    assert np.allclose(np.abs((mine * theirs).mean(0)), (theirs**2).mean(0), atol=0.02)


def test_training_brings_the_states_closer_to_the_data():
    m = model(evolve(TINY, batch=32, pool=64, layers=6, timesteps=3))
    list(m.fit(source(), steps=150))
    pixels = torch.from_numpy(source().all()).permute(0, 3, 1, 2)
    data = states_of(m.compressor.encode(pixels, torch.zeros(40, dtype=torch.int64)).double().numpy())
    x = haar(40, 2, np.random.default_rng(4))
    out = m._chain(x, np.random.default_rng(5).random((40, 3)))
    assert transport(out, data) < 0.75 * transport(x, data)


def test_weights_go_round_and_others_are_refused():
    a, b = trained(), model(seed=9)
    b.load(a.state())
    assert a.sample(3, seed=1).digest == b.sample(3, seed=1).digest
    for lacking in ("compressor/", "0."):
        with pytest.raises(WeightsError):
            b.load({k: v for k, v in a.state().items() if not k.startswith(lacking)})


def test_resumed_training_equals_uninterrupted_training_bit_for_bit():
    whole, first, second = trained(4), model(), model()
    steps = first.fit(source(), steps=4)
    for _ in range(3):
        next(steps)
    state = first.training_state()
    assert [s.step for s in second.fit(source(), steps=4, start=state)] == [4]
    a, b = whole.state(), second.state()
    assert all(np.array_equal(a[k], b[k]) for k in a)


def test_arms_and_counts():
    m = model()
    assert m.parameters.total == 2 * 2 * 3 * 5  # steps, RX and RY, wires, layers
    assert m.twin().parameters.total == m.parameters.total
    for arm in ("twin", "separable", "frozen", "bypass"):
        other = m.with_arm(arm)
        assert other.sample(2, seed=1).pixels.shape == (2, 8, 8, 1)
        assert (other.workload(2).requests > 0) == (arm in ("separable", "frozen"))


def test_bad_input_is_refused():
    m = model()
    with pytest.raises(DataError, match="no class"):
        m.sample(2, condition=[1])
    with pytest.raises(DataError, match="learns"):
        m.fit(ArraySource(name="small", pixels=np.zeros((3, 4, 4, 1), np.float32), labels=None), steps=1)
    with pytest.raises(DataError, match="zeros"):
        m.sample(1, noise=np.zeros((1, *m.noise_shape)))
    for wrong in ({"channels": 2}, {"size": 1}, {"examples": 1}, {"wires": 7}):
        with pytest.raises(ConfigurationError):
            DepolarisingConfig(**wrong)
    with pytest.raises(ConfigurationError, match="1 step"):
        m.fit(source(), steps=0)


@pytest.mark.slow
def test_it_passes_the_kit():
    changes = {"size": 8, "wires": 2, "ancillas": 1, "layers": 5, "timesteps": 2, "batch": 8, "pool": 12}
    report = conformance.generator("depolarising-latent", changes=changes)
    left = {r.outcome.reason for r in report.results if r.verdict is not Verdict.PASS}
    assert left <= {"the model has no classes"}
