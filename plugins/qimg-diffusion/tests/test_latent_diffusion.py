"""`latent-diffusion` at a tiny size: training, class conditioning, arms, weights, the kit."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, WeightsError
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.verdict import Verdict
from qimg_diffusion.denoise import NoiseField, noise_loss
from qimg_diffusion.latent_diffusion import LatentDiffusion, LatentDiffusionConfig
from qimg_diffusion.layers import LinearMap
from qimg_diffusion.schedule import cosine, mixed

TINY = LatentDiffusionConfig(
    size=8, classes=3, compressor="pca", compressor_width=4, compressor_batch=8, latent=4, embedding=2, wires=4,
    layers=2, batch=16, times=50, sample_steps=4, sample_batch=4, start_layers=1, pool=64, depth=3,
)  # fmt: skip
CIRCUIT = evolve(TINY, start="circuit", start_share=0.5)


def source(n=48):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    pixels = rng.random((n, 8, 8, 1)).astype(np.float32) * 0.2
    for i, c in enumerate(y):
        pixels[i, 2 * c : 2 * c + 2] = 0.9
    return ArraySource(name="rows", pixels=pixels, labels=y)


def model(config=TINY, seed=3, **kw):
    return LatentDiffusion(Session(None, seed=seed, **kw), config)


def trained(steps=6, config=TINY):
    m = model(config)
    list(m.fit(source(), steps=steps))
    return m


@pytest.mark.parametrize("config", [TINY, CIRCUIT, LatentDiffusionConfig()], ids=["tiny", "circuit", "default"])
def test_the_twin_has_exactly_as_many_parameters(config):
    m = model(config)
    a, b = m.parameters, m.twin().parameters
    assert (b.layer, b.total) == (a.layer, a.total)
    assert b.circuit == b.observable == 0
    assert a.circuit > 0
    assert m.frozen().parameters.total == a.total - a.circuit


def test_default_counts_by_hand():
    # embedding 11 x 8; 33 numbers -> 5 x 16 angles; gates 5 x 8 x 3; 28 pairs x 4^2; 28 -> 16
    p = model(LatentDiffusionConfig()).parameters
    assert (p.circuit, p.observable) == (120, 448)
    assert p.total == 88 + 34 * 80 + 120 + 448 + 29 * 16
    diagonal = model(LatentDiffusionConfig(readout="diagonal")).parameters
    assert diagonal.observable == 28 * 4


def test_the_field_is_the_closed_form_of_normal_latents_where_the_map_is_zero():
    layer = LinearMap(4 + 2 + 9, 4)
    torch.nn.init.zeros_(layer.linear.weight)
    torch.nn.init.zeros_(layer.linear.bias)
    net = NoiseField(times=20, embedding=2, classes=3, layer=layer)
    x, labels = torch.randn(5, 4), torch.arange(5) % 4
    t = torch.tensor([1, 5, 10, 19, 20])
    # E[noise | x_t] of two independent standard normals
    assert torch.allclose(net(x, t, labels), (1 - cosine(20)[t].float()).sqrt()[:, None] * x)


@pytest.mark.parametrize("t", [1, 25, 49])
def test_velocity_weighting_is_the_squared_error_of_v(t):
    g = torch.Generator().manual_seed(1)
    data, noise, v = torch.randn(3, 6, 4, generator=g, dtype=torch.float64)
    a = cosine(50)[t].repeat(6)
    x = mixed(data, noise, a)
    guess = (1 - a).sqrt()[:, None] * x + a.sqrt()[:, None] * v
    want = (v - (a.sqrt()[:, None] * noise - (1 - a).sqrt()[:, None] * data)).square().mean()
    assert torch.allclose(noise_loss(guess, noise, a, "velocity"), want)
    assert torch.allclose(noise_loss(guess, noise, a, "noise"), (guess - noise).square().mean())


def test_the_asked_class_is_what_is_drawn():
    """Three classes, one bright row each: a sampler that forgets the label, or asks another, cannot pass."""
    m = trained(200, evolve(TINY, rate=0.02, observable_rate=0.05, sample_steps=10, average=0.9, sample_batch=24))
    asked = [0, 1, 2] * 8
    images = m.sample(24, condition=asked, seed=1)
    rows = images.pixels[:, :6, :, 0].reshape(24, 3, -1).mean(2)
    assert (rows.argmax(1) == asked).mean() > 0.9
    noise = np.repeat(np.random.default_rng(0).standard_normal((1, 4)), 3, 0)
    same = m.sample(3, condition=[0, 1, 2], noise=noise).pixels
    assert min(np.abs(same[i] - same[j]).max() for i, j in ((0, 1), (0, 2), (1, 2))) > 0.2


def test_every_label_of_a_batch_reaches_the_net(monkeypatch):
    """Guidance asks with the class and without; nothing else, at every step."""
    m, asked = model(), []
    velocity = m.velocity

    def spied(x, t, labels):
        asked.append(labels.tolist())
        return velocity(x, t, labels)

    monkeypatch.setattr(m, "velocity", spied)
    m.sample(3, condition=[2, 0, 1], seed=1)
    assert asked == [[2, 0, 1, 3, 3, 3]] * 4


@pytest.mark.parametrize("config", [TINY, CIRCUIT], ids=["noise", "circuit"])
def test_it_learns(config):
    """The first losses of the denoiser, and the last; with a circuit's strings its own come before."""
    first = 0 if config is TINY else 100
    config = evolve(config, rate=0.02, observable_rate=0.05, batch=64)
    losses = [s.metrics["loss"] for s in model(config).fit(source(), steps=first + 100)]
    assert np.mean(losses[-20:]) < 0.85 * np.mean(losses[first : first + 10])


@pytest.mark.parametrize("stop", [2, 4, 5])
@pytest.mark.parametrize("config", [TINY, evolve(TINY, compressor="vae"), evolve(CIRCUIT, compressor="vae")])
def test_resumed_training_equals_uninterrupted_training_bit_for_bit(config, stop):
    config = evolve(config, compressor_share=0.3)
    whole, first, second = trained(6, config), model(config), model(config)
    for step in first.fit(source(), steps=6):
        if step.step == stop:
            break
    state = first.training_state()
    assert [s.step for s in second.fit(source(), steps=6, start=state)] == list(range(stop + 1, 7))
    a, b = whole.state(), second.state()
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[k], b[k]) for k in a)


def test_sampling_is_ddim_of_the_averaged_weights_and_its_trace_ends_in_the_images():
    m, seen = trained(8), []
    m.trace = lambda k, t, x: seen.append((k, t, x.clone()))
    noise = np.random.default_rng(0).standard_normal((2, 4)).astype(np.float32)
    images = m.sample(2, condition=[0, 1], noise=noise)
    assert [k for k, _, _ in seen] == [0, 1, 2, 3, 4]
    assert np.array_equal(seen[0][2].numpy(), noise)
    with torch.no_grad():
        last = m.to_pixels(seen[-1][2], torch.tensor([0, 1])).numpy()
    assert np.array_equal(images.pixels, last)


def test_inverting_gives_noise_that_correlates():
    m = trained(40, evolve(TINY, rate=0.02, sample_steps=25, guidance=1.0, sample_batch=24))
    noise = np.random.default_rng(0).standard_normal((24, 4)).astype(np.float32)
    images = m.sample(24, noise=noise)
    back = m.invert(images)
    assert back.shape == noise.shape
    assert np.corrcoef(back.ravel(), noise.ravel())[0, 1] > 0.5


@pytest.mark.parametrize("config", [TINY, CIRCUIT, evolve(TINY, compressor="vae")])
def test_weights_go_round_and_others_are_refused(config):
    a, b = trained(config=config), model(config, seed=9)
    b.load(a.state())
    assert a.sample(3, seed=1).digest == b.sample(3, seed=1).digest
    for lacking in ("compressor/", "label", "start/" if config.start == "circuit" else "layer"):
        with pytest.raises(WeightsError):
            b.load({k: v for k, v in a.state().items() if not k.startswith(lacking)})


@pytest.mark.parametrize("config", [TINY, CIRCUIT], ids=["noise", "circuit"])
def test_arms_share_what_they_do_not_exchange(config):
    m = model(config)
    for arm in ("twin", "separable", "frozen", "bypass"):
        other = m.with_arm(arm)
        assert other.sample(3, seed=1).pixels.shape == (3, 8, 8, 1)
        mine, theirs = m.state(), other.state()
        same = {k for k in mine if k.startswith("compressor/") or k == "label.weight"}
        if config is CIRCUIT:
            same |= {k for k in mine if k.startswith("layer.")}
        assert len(same) > 2
        assert all(np.array_equal(mine[k], theirs[k]) for k in same)
        circuit = None if other.quantum is None else other.quantum.circuit
        assert (circuit is None) == (arm in ("twin", "bypass"))
        if arm == "separable":
            assert not [g for g in circuit.gates if len(g.wires) > 1]


def test_what_runs_is_announced_and_recorded():
    m = model()
    images = m.sample(6, seed=1)
    tally = m.session.log.recorder.tally
    assert (tally.executions, tally.rows) == (m.workload(6).requests, m.workload(6).rows) == (8, 48)
    assert images.quantum
    assert images.record["settings"]["steps"] == 4
    assert images.record["model"]["start"] == "noise"
    diagonal = model(evolve(TINY, readout="diagonal"), shots=20)
    assert diagonal.workload(6).bases == 1
    assert model(shots=20).workload(6).bases == 6 * 9


def test_bad_settings_are_refused():
    wrong = [
        {"compressor": "gzip"}, {"frames": "each"}, {"start": "here"}, {"weighting": "none"}, {"wires": 1},
        {"readout": "all"}, {"readout": "global"}, {"sample_steps": 2000}, {"start_share": 0.0},
        {"start": "circuit", "latent": 17}, {"start": "circuit", "depth": 0}, {"observables": 2},
    ]  # fmt: skip
    for changes in wrong:
        with pytest.raises(ConfigurationError):
            LatentDiffusionConfig(**changes)


SMALL = {"sample_steps": 3, "times": 20, "wires": 3, "layers": 1, "batch": 4, "size": 8, "latent": 4}


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [{}, {"readout": "diagonal"}, {"start": "circuit", "pool": 64, "depth": 4, "start_layers": 1}]
)
def test_it_passes_the_kit(more):
    report = conformance.generator("latent-diffusion", changes={**SMALL, "compressor_batch": 4, **more})
    assert {r.case: r.outcome.reason for r in report.results if r.verdict is not Verdict.PASS} == {}
