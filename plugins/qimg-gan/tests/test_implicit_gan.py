"""`implicit-gan`: a pixel against a numpy statevector, grids of any size, arms, training."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.testing.reference import expectation, statevector
from qimg_core.verdict import Verdict
from qimg_gan.implicit import ImplicitConfig, ImplicitGan, places

TINY = ImplicitConfig(
    size=8, classes=3, features=2, layers=2, latent=4, hidden=8, waves=2, batch=4, critic_width=4, critic_steps=2
)


def model(config=TINY, seed=3, **kw):
    return ImplicitGan(Session(None, seed=seed, **kw), config)


def halves(n=24):
    """Class 0: the upper half is bright; class 1: the lower; class 2: the left."""
    y = np.arange(n) % 3
    pixels = np.full((n, 8, 8, 1), 0.05, dtype=np.float32)
    for i, c in enumerate(y):
        where = [np.s_[:4], np.s_[4:], np.s_[:, :4]][c]
        pixels[i][where] = 0.9
    return ArraySource(name="halves", pixels=pixels, labels=y)


def test_a_pixel_is_the_chance_that_the_colour_reads_1():
    m = model()
    noise = np.array([[0.3, -1.0, 0.0, 2.0]], dtype=np.float32)
    pixels = m.sample(1, noise=noise, condition=[1]).pixels[0, :, :, 0]
    net, q = m.net, m.quantum
    with torch.no_grad():
        style = torch.cat([torch.from_numpy(noise), torch.tensor([[0.0, 1.0, 0.0]])], 1)
        angles = torch.pi * torch.tanh(net.angles(net.place(places(8, 2)) + net.style(style)))
        inputs = q.encoder.features(angles, q.encoder_parameters).double().numpy()
    weights = q.weights.detach().double().numpy()
    for at in (0, 9, 63):
        state = statevector(q.circuit, q.circuit.values(inputs[at : at + 1], weights)[0])
        wanted = (1 - expectation(state, [(0, "Z")])) / 2
        assert pixels[at // 8, at % 8] == pytest.approx(wanted, abs=2e-5)


def test_before_training_images_are_as_bright_as_asked():
    for wanted in (0.15, 0.5):
        m = model(evolve(TINY, brightness=wanted, layers=4, features=3))
        assert m.sample(6).pixels.mean() == pytest.approx(wanted, abs=0.1)
        assert m.twin().sample(6).pixels.mean() == pytest.approx(wanted, abs=0.1)


def test_the_image_has_no_grid_of_its_own():
    m = model()
    noise, y = torch.randn(2, 4), torch.tensor([0, 1])
    with torch.no_grad():
        coarse, fine = m.net.drawn(noise, y, 8), m.net.drawn(noise, y, 16)
    torch.testing.assert_close(fine[:, :, ::2, ::2], coarse, atol=1e-5, rtol=0)


def test_the_label_reaches_the_sampler():
    m = model()
    noise = np.zeros((2, 4), dtype=np.float32)
    a, b = m.sample(2, condition=[0, 1], noise=noise).pixels
    assert np.abs(a - b).max() > 1e-4


def test_arms():
    m = model()
    a, twin = m.parameters, m.twin().parameters
    assert a.circuit == 1 + 2 * (4 * 2 + 3)
    assert a.layer == a.circuit + 2 * 2 * 3 * 2
    assert (twin.layer, twin.total, twin.circuit) == (a.layer, a.total, 0)
    assert m.separable().parameters == a
    assert m.frozen().parameters.circuit == 0
    assert m.bypass().parameters.layer == 3 * 2 + 1
    assert m.workload(5).rows == 5 * 64
    # without its two-wire gates nothing is written onto the colour: all pixels are alike
    assert np.ptp(m.separable().sample(3).pixels) < 1e-5
    assert np.ptp(m.sample(3).pixels) > 1e-2


def test_counts_of_the_default_by_hand():
    p = model(ImplicitConfig()).parameters
    assert p.layer == 1 + 6 * 15 + 2 * 6 * 9
    assert p.total == p.layer + 23 * 64 + 27 * 64 + 65 * 64 + 65 * 9


@pytest.mark.parametrize("arm", list(Arm))
def test_training_goes_on_where_it_was_stopped(arm):
    config = evolve(TINY, arm=arm)
    whole = model(config)
    list(whole.fit(halves(), steps=3))
    first = model(config)
    steps = first.fit(halves(), steps=3)
    next(steps)
    second = model(config)
    list(second.fit(halves(), steps=3, start=first.training_state()))
    for name, wanted in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], wanted, err_msg=name)


def test_training_learns_which_half_is_bright():
    config = evolve(TINY, batch=16, critic_rate=3e-3, rate=1e-2, average=0.9, penalty=1.0, hidden=16, layers=3)
    m = model(config)
    list(m.fit(halves(48), steps=150))
    a, b, c = (m.sample(8, condition=[k], seed=1).pixels.mean(0)[:, :, 0] for k in range(3))
    assert a[:4].mean() > a[4:].mean() + 0.3
    assert b[4:].mean() > b[:4].mean() + 0.3
    assert c[:, :4].mean() > c[:, 4:].mean() + 0.3


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": 10}, "multiple of 4"),
        ({"channels": 3}, "1 channel"),
        ({"features": 9}, "1 to 8"),
        ({"brightness": 1.0}, "between"),
    ],
)
def test_configurations_that_make_no_sense(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        evolve(TINY, **changes)


def test_the_kit_passes():
    changes = {"size": 8, "classes": 3, "features": 2, "layers": 2, "latent": 4, "hidden": 8, "waves": 2, "batch": 4}
    report = conformance.generator("implicit-gan", changes=changes)
    assert report.verdict is Verdict.PASS, report
