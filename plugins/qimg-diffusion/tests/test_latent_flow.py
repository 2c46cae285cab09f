"""`quantum-latent-flow` at a tiny size: compressors, two phases of training, arms, weights."""

import numpy as np
import pytest
import torch
from attrs import evolve
from sklearn.decomposition import PCA

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, WeightsError
from qimg_core.session import Session
from qimg_diffusion.autoencoder import Autoencoder, Principal
from qimg_diffusion.latent_flow import LatentFlow, LatentFlowConfig

TINY = LatentFlowConfig(
    size=8, classes=3, compressor_width=4, compressor_batch=8, latent=4, embedding=2, wires=4, layers=3, batch=8,
    sample_steps=3, sample_batch=4,
)  # fmt: skip


def source(n=48):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    pixels = rng.random((n, 8, 8, 1)).astype(np.float32) * 0.2
    for i, c in enumerate(y):
        pixels[i, 2 * c : 2 * c + 2] = 0.9
    return ArraySource(name="rows", pixels=pixels, labels=y)


def model(config=TINY, seed=3):
    return LatentFlow(Session(None, seed=seed), config)


def trained(steps=6, config=TINY):
    m = model(config)
    list(m.fit(source(), steps=steps))
    return m


@pytest.mark.parametrize("config", [TINY, LatentFlowConfig()], ids=["tiny", "default"])
def test_twin_has_as_many_parameters_within_two_percent(config):
    m = model(config)
    a, b = m.parameters, m.twin().parameters
    assert abs(b.layer - a.layer) <= 0.02 * a.layer
    assert abs(b.total - a.total) <= 0.02 * a.total


def test_default_counts_by_hand():
    # embedding 11 x 8; 33 numbers -> 5 x 16 angles; gates 5 x 8 x 3; 28 pairs x 4^2; 28 -> 16
    p = model(LatentFlowConfig()).parameters
    assert (p.circuit, p.observable) == (120, 448)
    assert p.total == 88 + 34 * 80 + 120 + 448 + 29 * 16


def test_principal_components_equal_scikit_learns():
    pixels = source().all()
    mine = Principal(size=8, channels=1, d=4)
    mine.fit_components(
        [torch.from_numpy(pixels[:20]).permute(0, 3, 1, 2), torch.from_numpy(pixels[20:]).permute(0, 3, 1, 2)]
    )
    theirs = PCA(4, svd_solver="full").fit(pixels.reshape(len(pixels), -1))
    overlap = np.abs((mine.components.numpy() * theirs.components_).sum(1))
    assert np.allclose(overlap, 1, atol=1e-4)
    raw = mine.raw(torch.from_numpy(pixels).permute(0, 3, 1, 2))
    again = mine.pixels(raw).numpy().reshape(len(pixels), -1)
    want = theirs.inverse_transform(theirs.transform(pixels.reshape(len(pixels), -1)))
    assert np.allclose(again, want, atol=1e-4)


@pytest.mark.parametrize("kind", ["vae", "pca"])
def test_latents_of_the_training_images_have_mean_zero_and_spread_one(kind):
    m = trained(config=evolve(TINY, compressor=kind))
    z = m.to_flow(source().all(), torch.tensor(np.array(source().labels))).detach()
    assert torch.allclose(z.mean(0), torch.zeros(4), atol=1e-4)
    assert torch.allclose(z.std(0), torch.ones(4), atol=1e-3)


def test_with_class_frames_the_latents_of_every_class_are_white_and_go_back():
    m = model(evolve(TINY, frames="class", latent=2, compressor="pca"))
    rng = np.random.default_rng(0)
    labels = torch.from_numpy(rng.integers(0, m.config.classes, 600))
    raw = torch.from_numpy(rng.standard_normal((600, 2)) @ [[1.0, 0.4], [0.0, 0.3]]).float() + labels[:, None]
    m.compressor.raw = lambda part: part
    z = m.compressor.fit_frames([raw[:250], raw[250:]], labels)
    for k in range(m.config.classes):
        own = z[labels == k].double().numpy()
        assert np.allclose(own.mean(0), 0, atol=1e-5)
        assert np.allclose(np.cov(own.T), np.eye(2), atol=1e-4)
    m.compressor.pixels = lambda found: found.clamp(-9, 99)
    back = torch.einsum("nij,nj->ni", m.compressor.root[labels], z) + m.compressor.mean[labels]
    assert torch.allclose(back, raw, atol=1e-5)


def test_frames_are_all_or_class():
    with pytest.raises(ConfigurationError, match="frames"):
        evolve(TINY, frames="each")


def test_the_prior_term_of_the_autoencoders_loss():
    net = Autoencoder(size=8, channels=1, d=3, width=4, kl=1.0)
    x = torch.rand(5, 1, 8, 8)
    mean, log_variance = net.encoder(x).chunk(2, 1)
    normal = torch.distributions.Normal(mean, (log_variance / 2).exp())
    divergence = torch.distributions.kl_divergence(normal, torch.distributions.Normal(0.0, 1.0)).sum()
    noise = torch.zeros(5, 3)
    with_prior = net.loss(x, noise)
    net.kl = 0.0
    assert torch.allclose((with_prior - net.loss(x, noise)) * x.numel(), divergence, rtol=1e-3, atol=1e-3)


def test_both_phases_learn():
    config = evolve(TINY, compressor_share=0.5, compressor_rate=0.02, rate=0.02)
    losses = [s.metrics["loss"] for s in model(config).fit(source(), steps=120)]
    assert np.mean(losses[50:60]) < 0.8 * np.mean(losses[:5])
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[60:65])


@pytest.mark.parametrize("stop", [2, 4, 5])
@pytest.mark.parametrize("kind", ["vae", "pca"])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(kind, stop):
    config = evolve(TINY, compressor=kind)  # of six steps the autoencoder has four
    whole, first, second = trained(6, config), model(config), model(config)
    for step in first.fit(source(), steps=6):
        if step.step == stop:
            break
    state = first.training_state()
    assert [s.step for s in second.fit(source(), steps=6, start=state)] == list(range(stop + 1, 7))
    a, b = whole.state(), second.state()
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("kind", ["vae", "pca"])
def test_weights_go_round(kind):
    config = evolve(TINY, compressor=kind)
    a, b = trained(config=config), model(config, seed=9)
    b.load(a.state())
    assert a.sample(3, seed=1).digest == b.sample(3, seed=1).digest
    with pytest.raises(WeightsError):
        b.load({k: v for k, v in a.state().items() if not k.startswith("compressor/")})


def test_every_arm_samples_and_shares_the_compressor():
    m = model()
    own = {k: v for k, v in m.state().items() if k.startswith("compressor/")}
    for arm in ("quantum", "twin", "separable", "frozen", "bypass"):
        other = m.with_arm(arm)
        images = other.sample(3, seed=1)
        assert images.pixels.shape == (3, 8, 8, 1)
        theirs = other.state()
        assert all(np.array_equal(theirs[k], v) for k, v in own.items())
        asked = other.workload(3)
        assert (asked.requests > 0) == (arm in ("quantum", "separable", "frozen"))
    assert m.bypass().parameters.circuit == 0


def test_the_condition_changes_the_image():
    m = trained(20, evolve(TINY, compressor="pca"))
    noise = np.repeat(np.random.default_rng(0).standard_normal((1, 4)), 3, 0)
    z = m.sample(3, condition=[0, 1, 2], noise=noise).pixels
    assert np.abs(z[0] - z[1]).max() > 1e-4
    assert np.abs(z[1] - z[2]).max() > 1e-4


def test_the_circuit_runs_through_the_session():
    m = model()
    images = m.sample(6, seed=1)
    tally = m.session.log.recorder.tally
    assert (tally.executions, tally.rows) == (m.workload(6).requests, m.workload(6).rows)
    assert images.quantum
    assert images.record["model"]["compressor"]["kind"] == "vae"


def test_bad_settings_are_refused():
    for wrong in ({"compressor": "gzip"}, {"wires": 1}, {"compressor_share": 1.0}):
        with pytest.raises(ConfigurationError):
            LatentFlowConfig(**wrong)
