"""The denoising trace: on a solver whose every state is known, and on a real flow generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from qimg_core.errors import ConfigurationError
from qimg_core.generator import Generator
from qimg_core.images import Images
from qimg_core.session import Session
from qimg_metrics.features import FeatureNetwork, train_feature_network
from qimg_metrics.image.kid import kid
from qimg_metrics.image.trace import denoising_trace


def halves(labels: NDArray[np.int64], seed: int) -> NDArray[np.float32]:
    """Class 0 is bright above, class 1 below."""
    images = 0.3 * np.random.default_rng(seed).random((len(labels), 8, 8, 1), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 0.6
    return images


class Fading:
    """Mixes from grey to the image in four steps, two batches; its own idea of pixels is x / 2."""

    name = "fading"

    def __init__(self) -> None:
        self.trace: Callable[[int, float, torch.Tensor], None] | None = None
        self.calls = 0

    def to_pixels(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        assert len(x) == len(labels)
        return x / 2

    def sample(self, n: int, *, condition: Any = None, seed: int | None = None) -> Images:
        self.calls += 1
        labels = np.resize(condition, n)
        end = torch.from_numpy(2 * halves(labels, 5))
        for part in torch.split(end, 30):
            for step in range(5):
                t = step / 4
                if self.trace is not None:
                    self.trace(step, t, (1 - t) * torch.ones_like(part) + t * part)
        return Images(pixels=end.numpy() / 2, labels=labels, quantum=False, simulated=False)


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    labels = np.arange(600) % 2
    return train_feature_network(halves(labels, 0), labels, seed=0, epochs=4)


def test_every_state_is_measured_against_the_end(network: FeatureNetwork) -> None:
    model = Fading()
    real = network.features(halves(np.arange(60) % 2, 7))
    images, points = denoising_trace(
        cast("Generator", model), network, n=50, condition=[0, 1], real_features=real, seed=3
    )
    assert model.calls == 1 and model.trace is None
    assert [p.step for p in points] == [0, 1, 2, 3, 4] and [p.t for p in points] == [0, 0.25, 0.5, 0.75, 1]
    pixels = images.pixels.astype(np.float64)
    for p in points:
        state = (1 - p.t) / 2 + p.t * pixels
        assert p.to_end.value == pytest.approx(np.sqrt(((state - pixels) ** 2).mean()), abs=1e-6)
        assert p.to_end.low <= p.to_end.value <= p.to_end.high
        assert p.kid is not None
        assert p.kid.value == pytest.approx(kid(network.features(state), real).value, rel=1e-3, abs=1e-5)
    first, last = points[0], points[-1]
    assert last.to_end.value == 0
    assert last.class_accuracy is not None and last.class_accuracy.value == 1.0
    assert first.class_accuracy is not None and first.class_accuracy.value == 0.5  # one grey for both classes
    assert all(not isinstance(v, float) for v in first.to_json().values())


def test_the_trace_is_put_back_even_where_sampling_fails(network: FeatureNetwork) -> None:
    class Failing(Fading):
        def sample(self, n: int, *, condition: Any = None, seed: int | None = None) -> Images:
            raise RuntimeError("no device")

    model = Failing()
    with pytest.raises(RuntimeError, match="no device"):
        denoising_trace(cast("Generator", model), network, n=8)
    assert model.trace is None


def test_a_generator_without_time_steps_is_refused(network: FeatureNetwork) -> None:
    class AtOnce:
        name = "at-once"

    with pytest.raises(ConfigurationError, match="shows no time steps"):
        denoising_trace(cast("Generator", AtOnce()), network)


def test_a_flow_generator_of_ours_is_traced(network: FeatureNetwork) -> None:
    pytest.importorskip("qimg_diffusion")
    with Session(None, seed=1) as session:
        model = session.generator(
            "hybrid-unet", arm="bypass", size=8, classes=2, width=8, sample_steps=3, sample_batch=5
        )
        images, points = denoising_trace(model, network, n=8, condition=[0, 1], seed=4)
        plain = model.sample(8, condition=[0, 1], seed=4)
    assert images.digest == plain.digest  # looking on changes nothing
    assert len(points) == 4 and points[-1].to_end.value == pytest.approx(0, abs=1e-6)
    assert points[0].to_end.value > 0
