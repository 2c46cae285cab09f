"""Images of a pixel-space flow back to their noise: a field that is solved by hand, and what is refused."""

import numpy as np
import pytest
import torch

from qimg_core.errors import DataError
from qimg_core.images import Images
from qimg_core.session import Session
from qimg_diffusion.hybrid_unet import HybridUNet, HybridUNetConfig
from qimg_diffusion.inversion import estimate_noise

TINY = HybridUNetConfig(size=8, classes=3, width=4, wires=2, layers=1, observables=1, sample_steps=40, sample_batch=4)


def images(n=5, size=8, labels=None):
    pixels = np.random.default_rng(0).random((n, size, size, 1)).astype(np.float32)
    return Images(pixels=pixels, labels=labels, quantum=False, simulated=False)


@pytest.fixture
def model():
    return HybridUNet(Session(None, seed=1), TINY)


def test_a_linear_field_is_undone_as_by_hand(model, monkeypatch):
    # dx/dt = k x, k = 0.5 + label: each step takes Heun's increment (hk + (hk)^2 / 2) x off again; label 3 is "any"
    monkeypatch.setattr(HybridUNet, "velocity", lambda self, x, t, y: (0.5 + y.to(x.dtype)).reshape(-1, 1, 1, 1) * x)
    data = np.moveaxis(images().pixels, 3, 1) * 2 - 1
    for labels in ((0, 1, 2, 1, 0), None):
        k = 0.5 + np.array(labels or (3,) * 5, np.float64)[:, None, None, None]
        found = estimate_noise(model, images(labels=labels))
        assert np.allclose(found, data * (1 - k / 40 - (k / 40) ** 2 / 2) ** 40, atol=1e-5)
        exact, fine = data * np.exp(-k), estimate_noise(model, images(labels=labels), steps=400)
        assert (
            np.abs(fine - exact).max() < 0.15 * np.abs(found - exact).max()
        )  # ten times the steps, a tenth of the error


def test_an_image_has_one_answer_in_any_batch(model):
    with torch.no_grad():
        model.net.head.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    model.optimiser.restart()
    given = images(labels=(0, 1, 2, 1, 0))
    whole = model.invert(given)
    assert whole.shape == (5, 1, 8, 8)
    assert np.allclose(whole[4:], model.invert(given[4]), atol=1e-5)
    assert not np.allclose(whole, model.invert(images()), atol=1e-4)


def test_what_the_model_cannot_have_made_is_refused(model):
    with pytest.raises(DataError, match=r"\(8, 8, 1\)"):
        model.invert(images(size=12))
    with pytest.raises(DataError, match="class 3"):
        model.invert(images(labels=(0, 1, 2, 3, 0)))
