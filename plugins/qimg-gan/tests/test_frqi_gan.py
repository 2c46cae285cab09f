"""`frqi-gan`: pixels against a numpy statevector, Z-order, the noise's modes, arms, training."""

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import ConfigurationError
from qimg_core.generator import Arm
from qimg_core.session import Session
from qimg_core.testing import conformance
from qimg_core.testing.reference import probabilities, statevector
from qimg_core.verdict import Verdict
from qimg_gan.frqi import FrqiConfig, FrqiGan, NoiseModes
from qimg_gan.frqi_circuits import z_order

TINY = FrqiConfig(size=4, classes=3, modes=2, layers=2, batch=4, critic_width=4, critic_steps=2)


def model(config=TINY, seed=3, **kw):
    return FrqiGan(Session(None, seed=seed, **kw), config)


def halves(n=24):
    """Class 0: the upper half is bright; class 1: the lower; class 2: the left."""
    y = np.arange(n) % 3
    pixels = np.full((n, 4, 4, 1), 0.05, dtype=np.float32)
    for i, c in enumerate(y):
        pixels[i][[np.s_[:2], np.s_[2:], np.s_[:, :2]][c]] = 0.9
    return ArraySource(name="halves", pixels=pixels, labels=y)


@pytest.mark.parametrize("address", ["still", "mixed"])
def test_a_pixel_is_the_chance_of_the_colour_at_its_address(address):
    m = model(evolve(TINY, address=address))
    noise = np.array([[0.9, 0.3, -1.0, 0.0, 2.0, 0.7]], dtype=np.float32)
    pixels = m.sample(1, noise=noise, condition=[2]).pixels[0, :, :, 0]
    q = m.quantum
    with torch.no_grad():
        # Phi(0.9) = 0.816: the second of two modes
        latents = m.net.modes.mean[2, 1] + m.net.modes.log_spread[2, 1].exp() * torch.from_numpy(noise[:, 1:])
        inputs = q.encoder.features(latents, q.encoder_parameters).double().numpy()
    state = statevector(q.circuit, q.circuit.values(inputs, q.weights.detach().double().numpy())[0])
    joint = probabilities(state, range(5)).reshape(2, 2, 2, 2, 2)  # y1 x1 y0 x0 colour
    chances = joint.sum(4)
    assert (np.ptp(chances) < 1e-12) == (address == "still")
    for y, x in ((0, 0), (1, 0), (0, 3), (2, 1), (3, 3)):
        dark, bright = joint[y >> 1, x >> 1, y & 1, x & 1]
        assert pixels[y, x] == pytest.approx(bright / (dark + bright), abs=2e-5)


def test_the_z_order_by_hand():
    assert z_order(4).reshape(4, 4).tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]
    assert sorted(z_order(16)) == list(range(256))


def test_the_first_number_chooses_the_mode_and_the_others_its_spread():
    torch.manual_seed(0)
    modes = NoiseModes(2, 4, 3)
    noise = torch.randn(20_000, 4)
    with torch.no_grad():
        drawn = modes(noise, torch.ones(20_000, dtype=torch.long))
        nearest = torch.cdist(drawn, modes.mean[1]).argmin(1)
        chosen = (torch.special.ndtr(noise[:, 0]) * 4).long()
        for k in range(4):
            own = drawn[chosen == k]
            assert len(own) == pytest.approx(5000, abs=300)
            torch.testing.assert_close(own.mean(0), modes.mean[1, k], atol=0.03, rtol=0)
            torch.testing.assert_close(own.std(0), torch.full((3,), 0.3679), atol=0.02, rtol=0)
        assert len(nearest.unique()) > 1


def test_before_training_and_without_noise_images_are_about_as_bright_as_asked():
    for wanted in (0.1, 0.5, 0.8):
        m = model(evolve(TINY, brightness=wanted, layers=8))
        with torch.no_grad():
            m.net.modes.mean.zero_()
            m.optimiser.restart()
        pixels = m.sample(3, noise=np.zeros((3, 6), dtype=np.float32)).pixels
        assert pixels.mean() == pytest.approx(wanted, abs=0.12)


def test_arms():
    assert model(evolve(TINY, address="mixed")).parameters.circuit == 1 + 2 * 20
    m = model()
    a, twin = m.parameters, m.twin().parameters
    assert a.circuit == 1 + 2 * 7
    assert a.layer == a.circuit + 2 * 2 * 5
    assert a.total == a.layer + 2 * 3 * 2 * 5
    assert (twin.layer, twin.total, twin.circuit) == (a.layer, a.total, 0)
    assert m.separable().parameters == a
    assert m.frozen().parameters.circuit == 0
    assert m.bypass().parameters.layer == 6 * 16
    assert (m.workload(65).requests, m.workload(65).rows) == (2, 65)
    # without its two-wire gates nothing links address and colour: all pixels of an image are alike
    assert np.ptp(m.separable().sample(3).pixels, axis=(1, 2)).max() < 1e-5
    assert np.ptp(m.sample(3).pixels, axis=(1, 2)).min() > 1e-2


def test_the_class_chooses_among_modes_of_its_own():
    m = model()
    a, b = m.sample(2, condition=[0, 1], noise=np.zeros((2, 6), dtype=np.float32)).pixels
    assert np.abs(a - b).max() > 1e-3


def test_shots_leave_some_places_dark_and_none_without_a_number():
    pixels = model(shots=5).sample(2, seed=1).pixels
    assert np.isfinite(pixels).all()
    assert set(np.unique(pixels.round(4))) <= {0.0, 0.25, 0.3333, 0.5, 0.6667, 0.75, 1.0, 0.2, 0.4, 0.6, 0.8}


@pytest.mark.parametrize("arm", list(Arm))
def test_training_goes_on_where_it_was_stopped(arm):
    config = evolve(TINY, arm=arm, size=8)
    source = ArraySource(
        name="n", pixels=np.random.default_rng(1).random((9, 8, 8, 1), np.float32), labels=np.arange(9) % 3
    )
    whole, first, second = model(config), model(config), model(config)
    list(whole.fit(source, steps=2))
    next(first.fit(source, steps=2))
    list(second.fit(source, steps=2, start=first.training_state()))
    for name, wanted in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], wanted, err_msg=name)


def test_training_learns_which_half_is_bright():
    config = evolve(TINY, batch=16, layers=3, critic_rate=3e-3, rate=2e-2, average=0.9, penalty=1.0)
    m = model(config)
    list(m.fit(halves(48), steps=150))
    a, b, c = (m.sample(8, condition=[k], seed=1).pixels.mean(0)[:, :, 0] for k in range(3))
    assert a[:2].mean() > a[2:].mean() + 0.2
    assert b[2:].mean() > b[:2].mean() + 0.2
    assert c[:, :2].mean() > c[:, 2:].mean() + 0.2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"size": 12}, "size of 4, 8"),
        ({"channels": 3}, "1 channel"),
        ({"modes": 0}, "1 or more"),
        ({"address": "loud"}, "still or mixed"),
        ({"brightness": 0.0}, "between 0 and 1"),
    ],
)
def test_configurations_that_make_no_sense(changes, says):
    with pytest.raises(ConfigurationError, match=says):
        evolve(TINY, **changes)


def test_the_kit_passes():
    changes = {"size": 8, "classes": 3, "modes": 2, "layers": 2, "batch": 4, "critic_width": 4}
    report = conformance.generator("frqi-gan", changes=changes)
    assert report.verdict is Verdict.PASS, report
