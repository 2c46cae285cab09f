"""`hybrid-unet` at a tiny size: arms, seeds, resuming, weights, the record."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generator import Arm
from qimg_core.session import Session
from qimg_diffusion.hybrid_unet import HybridUNet, HybridUNetConfig

TINY = HybridUNetConfig(
    size=8, classes=3, width=4, wires=3, layers=2, observables=2, batch=8, rate=0.01, sample_steps=3, sample_batch=4
)


def source(n=24, size=8, classes=3, labels=True):
    """Bright rows, one place per class."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % classes
    pixels = rng.random((n, size, size, 1)).astype(np.float32) * 0.2
    for i, c in enumerate(y):
        pixels[i, 2 * c : 2 * c + 2] = 0.9
    return ArraySource(name="rows", pixels=pixels, labels=y if labels else None)


def model(config=TINY, seed=3, **kw):
    return HybridUNet(Session(None, seed=seed, **kw), config)


def trained(steps=3, **kw):
    m = model(**kw)
    list(m.fit(source(), steps=steps))
    return m


@pytest.mark.parametrize("config", [TINY, HybridUNetConfig()], ids=["tiny", "default"])
def test_twin_has_as_many_parameters_within_two_percent(config):
    m = model(config)
    a, b = m.parameters, m.twin().parameters
    assert abs(b.layer - a.layer) <= 0.02 * a.layer
    assert abs(b.total - a.total) <= 0.02 * a.total
    assert b.circuit == b.observable == 0


def test_default_counts_by_hand():
    # angles 320 -> 12, scales and shifts 2 x 3 x 12, gates 3 x 6 x 3, observables 16 x 4^6 + 15 x 4^2, out 31 -> 128
    p = model(HybridUNetConfig()).parameters
    observables = 16 * 4**6 + 15 * 4**2
    assert (p.circuit, p.observable) == (54, observables)
    assert p.layer == 321 * 12 + 72 + 54 + observables + 32 * 128


def test_arms():
    m = model()
    assert m.separable().parameters == m.parameters
    assert not [g for g in m.separable().layer.quantum.circuit.gates if len(g.wires) > 1]
    assert [g for g in m.layer.quantum.circuit.gates if len(g.wires) > 1]
    assert m.frozen().parameters.circuit == 0
    assert m.frozen().parameters.layer == m.parameters.layer - m.parameters.circuit
    assert m.bypass().layer is None
    assert m.bypass().parameters.total == m.parameters.total - m.parameters.layer
    others = {k: v for k, v in m.state().items() if not k.startswith("middle.")}
    for arm in Arm:
        theirs = m.with_arm(arm).state()
        assert all(np.array_equal(theirs[k], v) for k, v in others.items()), f"{arm} starts elsewhere"


def test_frozen_circuit_stays_and_the_others_move():
    def moved(arm):
        m = model(evolve(TINY, arm=arm))
        before = m.layer.quantum.weights.detach().clone()
        list(m.fit(source(), steps=3))
        return not torch.equal(before, m.layer.quantum.weights)

    assert moved("quantum")
    assert moved("separable")
    assert not moved("frozen")


def test_fixed_observables_stay_and_gates_move():
    m = model(evolve(TINY, train_observables=False))
    quantum = m.layer.quantum
    gates, entries = quantum.weights.detach().clone(), quantum.observable_parameters.detach().clone()
    list(m.fit(source(), steps=3))
    assert torch.equal(entries, quantum.observable_parameters) and not torch.equal(gates, quantum.weights)
    assert m.parameters.observable == 0 and m.parameters.circuit == model().parameters.circuit
    assert abs(m.twin().parameters.layer - m.parameters.layer) <= 0.02 * m.parameters.layer


def test_without_skips_everything_goes_past_the_layer():
    """Features of the coarsest scale that are 0 leave nothing of the image; with skips the image is still seen."""

    def seen(skips):
        net = model(evolve(TINY, skips=skips, arm="bypass")).net
        torch.nn.init.normal_(net.head.weight)
        for p in net.down3.parameters():
            torch.nn.init.zeros_(p)
        x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            a, b = net(x, torch.full((2,), 0.5), torch.zeros(2, dtype=torch.long))
        return not torch.equal(a, b)

    assert seen(True)
    assert not seen(False)


def test_images_have_shape_range_and_labels():
    images = model().sample(5, seed=1)
    assert images.pixels.shape == (5, 8, 8, 1)
    assert 0 <= images.pixels.min() <= images.pixels.max() <= 1
    assert images.labels == (0, 1, 2, 0, 1)


def test_same_seed_same_images_and_another_seed_others():
    m = trained()
    a, b, c = m.sample(3, seed=1), m.sample(3, seed=1), m.sample(3, seed=2)
    assert a.digest == b.digest != c.digest


def test_an_image_does_not_depend_on_the_batch_it_is_made_in():
    m = trained()
    whole = m.sample(6, seed=1).pixels
    m.config = evolve(m.config, sample_batch=6)
    assert np.allclose(whole, m.sample(6, seed=1).pixels, atol=1e-5)
    assert np.allclose(whole[:2], m.sample(2, seed=1).pixels, atol=1e-5)


def test_the_condition_reaches_the_net():
    m = trained(steps=10)
    seen = set()
    inner = m.net.forward

    def forward(x, t, labels):
        seen.update(labels.tolist())
        return inner(x, t, labels)

    m.net.forward = forward
    noise = np.repeat(np.random.default_rng(0).standard_normal((1, *m.noise_shape)), 3, 0)
    pixels = m.sample(3, condition=[0, 1, 2], noise=noise).pixels
    assert seen == {0, 1, 2, 3}  # and "any class", 3, for guidance
    assert np.abs(pixels[0] - pixels[1]).max() > 1e-3
    assert np.abs(pixels[1] - pixels[2]).max() > 1e-3


def test_resumed_training_equals_uninterrupted_training_bit_for_bit():
    whole = trained(steps=6)
    first = model()
    for step in first.fit(source(), steps=6):
        if step.step == 3:
            break
    second = model()
    steps = [s.step for s in second.fit(source(), steps=6, start=first.training_state())]
    assert steps == [4, 5, 6]
    a, b = whole.training_state(), second.training_state()
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[k], b[k]) for k in a)


def test_loss_falls_on_a_small_set():
    losses = [s.metrics["loss"] for s in model().fit(source(), steps=60)]
    assert np.mean(losses[-10:]) < 0.5 * np.mean(losses[:5])


def test_weights_go_round_and_others_are_refused():
    a, b = trained(), model(seed=9)
    b.load(a.state())
    assert a.sample(2, seed=1).digest == b.sample(2, seed=1).digest
    state = a.state()
    name = next(iter(state))
    with pytest.raises(WeightsError, match="lack"):
        b.load({k: v for k, v in state.items() if k != name})
    with pytest.raises(WeightsError, match="NaN"):
        b.load({**state, name: np.full_like(state[name], np.nan)})
    with pytest.raises(WeightsError):
        b.twin().load(state)


def test_noise_is_taken_back_from_images():
    m = model(evolve(TINY, method="heun", guidance=1.0, sample_steps=20))
    with torch.no_grad():
        m.net.head.weight.normal_(std=0.02, generator=torch.Generator().manual_seed(0))  # small: nothing is clipped
    m.optimiser.restart()
    noise = np.random.default_rng(0).standard_normal((4, *m.noise_shape)).astype(np.float32) * 0.2
    images = m.sample(4, noise=noise)
    assert images.pixels.min() > 0
    assert images.pixels.max() < 1
    assert np.abs(np.moveaxis(images.pixels, 3, 1) * 2 - 1 - noise).max() > 0.05
    back = m.invert(images)
    assert np.abs(back - noise).max() < 0.2 * np.abs(np.moveaxis(images.pixels, 3, 1) * 2 - 1 - noise).max()


def test_bad_data_is_refused_before_training():
    nan = source()
    bad = nan.pixels.copy()
    bad[5, 0, 0, 0] = np.nan
    broken = evolve_source(nan, bad)
    for wrong, match in (
        (source(size=12), "learns images"),
        (source(labels=False), "no labels"),
        (source(classes=4), "classes=4"),
        (broken, "NaN"),
    ):
        m = model()
        with pytest.raises(DataError, match=match):
            m.fit(wrong, steps=1)
    with pytest.raises(ConfigurationError, match="1 step"):
        model().fit(source(), steps=0)


def evolve_source(good, pixels):
    """A source whose own checks were passed by: only the model stands between NaN and the weights."""

    class Broken(type(good)):
        def images(self, indices):
            return pixels[np.asarray(indices)]

    return Broken(name=good.name, pixels=good.pixels, labels=good.labels)


def test_bad_requests_and_settings_are_refused():
    m = model()
    with pytest.raises(DataError, match="class 7"):
        m.sample(1, condition=[7])
    with pytest.raises(DataError, match="noise"):
        m.sample(2, noise=np.zeros((1, *m.noise_shape)))
    with pytest.raises(ConfigurationError):
        HybridUNetConfig(wires=9)
    with pytest.raises(ConfigurationError):
        HybridUNetConfig(size=10)


def test_workload_bounds_what_sampling_asks():
    m = model()
    before = m.session.log.recorder.tally
    m.sample(6, seed=1)
    after, bound = m.session.log.recorder.tally, m.workload(6)
    assert after.executions - before.executions == bound.requests
    assert after.rows - before.rows == bound.rows
    assert m.twin().workload(6).requests == 0
    shots = model(shots=100).workload(6)
    assert shots.bases == 3**3 + 3 * 3**2


def test_the_record_names_what_ran():
    images = trained().sample(2, seed=1)
    assert images.quantum
    assert images.simulated
    assert images.record["model"]["circuit"]["wires"] == 3
    twin = model().twin().sample(2, seed=1)
    assert not twin.quantum
    assert twin.record["model"]["circuit"] is None


def test_every_step_is_in_the_record():
    m = trained(steps=3)
    m.session.flush()
    entries = [e for e in m.session.ledger.entries() if e.kind == "executions"]
    assert sum(e.facts["steps"] for e in entries) == 3
    assert sum(e.facts["count"] for e in entries) == 3
    assert m.session.device_kinds == {"simulator"}


def test_making_a_model_leaves_torchs_own_random_state_alone():
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    model()
    assert torch.equal(torch.rand(3), wanted)
