"""Mode collapse: planted in arrays, planted in a training, absent where there is none."""

import logging

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import DataError
from qimg_core.session import Session
from qimg_gan import adversarial
from qimg_gan.collapse import LEAST_ENTROPY, LEAST_SPREAD, diversity
from qimg_gan.patch import PatchConfig, PatchGan

TINY = PatchConfig(size=8, patches=8, classes=3, layers=3, batch=8, critic_width=4, critic_steps=3)


def images(n=96, classes=4, seed=0, spread=0.3):
    """Classes have centres 10 apart; images differ around them."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % classes
    return 10.0 * np.eye(classes, 20)[y] + spread * rng.standard_normal((n, 20)), y


def test_images_as_real_ones_are_show_no_sign():
    real, y = images(seed=1)
    made, _ = images(seed=2)
    found = diversity(made, real, y, y)
    assert found.signs == ()
    assert found.spread == pytest.approx(1, abs=0.05)
    assert found.entropy == 1


def test_spread_by_hand():
    real = np.array([[0.0], [2.0], [4.0], [6.0]])
    found = diversity(real / 4, real, np.zeros(4, dtype=int), None)
    assert (found.spread, found.entropy) == (0.25, None)


@pytest.mark.parametrize(
    ("planted", "sign"),
    [
        (lambda made, y: np.repeat(made[:1], len(made), 0), "as far apart"),  # one image
        (lambda made, y: made[y], "as far apart"),  # one image for each class
        (lambda made, y: images(len(made), 1)[0], "entropy"),  # a class' images, whatever was asked
    ],
)
def test_planted_collapses_are_seen(planted, sign):
    real, y = images(seed=1)
    made, _ = images(seed=2)
    found = diversity(planted(made, y), real, y, y)
    assert any(sign in s for s in found.signs), found


def test_entropy_by_hand_and_without_classes_in_the_model():
    real, y = images(n=96, classes=4, seed=1)
    made, _ = images(n=96, classes=2, seed=2)  # only the first two classes
    found = diversity(made, real, np.zeros(96, dtype=int), y)
    assert found.entropy == pytest.approx(0.5)  # ln 2 over ln 4
    assert found.entropy < LEAST_ENTROPY


def test_batches_that_do_not_fit_are_refused():
    real, y = images()
    with pytest.raises(DataError, match="as many"):
        diversity(real[:5], real, y, y)
    with pytest.raises(DataError, match="two or more"):
        diversity(real[:1], real[:1], y[:1], None)


def rows(n=48):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    pixels = rng.random((n, 8, 8, 1)).astype(np.float32)
    return ArraySource(name="rows", pixels=pixels, labels=y)


def trained(monkeypatch, net):
    """A short training whose generator is ``net`` of (noise, labels) and never learns."""
    monkeypatch.setattr(adversarial, "WATCH", 2)
    m = PatchGan(Session(None, seed=1), evolve(TINY, arm="bypass"))
    own = m.net.forward
    m.net.forward = lambda noise, labels: net(noise, labels) + 0 * own(noise, labels)
    metrics = [dict(s.metrics) for s in m.fit(rows(), steps=6)]
    return m, metrics


def test_a_collapsed_generator_is_warned_of_once_and_recorded(monkeypatch, caplog):
    with caplog.at_level(logging.WARNING, "qimg"):
        m, metrics = trained(monkeypatch, lambda noise, labels: torch.full((len(noise), 1, 8, 8), 0.5))
    assert [("spread" in x) for x in metrics] == [False, True, False, True, False, True]
    assert metrics[-1]["spread"] < LEAST_SPREAD
    assert [r.message for r in caplog.records if "mode collapse" in r.message] == [caplog.records[0].message]
    (entry,) = m.session.ledger.entries(kind="training.warned")
    assert (entry.facts["step"], entry.facts["warning"]) == (2, "mode collapse")
    assert entry.facts["signs"]
    assert m.describe()["collapse"]


def test_a_diverse_generator_is_not(monkeypatch, caplog):
    def noisy(noise, labels):
        state = torch.Generator().manual_seed(int(noise.abs().sum() * 1000))
        return torch.rand((len(noise), 1, 8, 8), generator=state)

    with caplog.at_level(logging.WARNING, "qimg"):
        m, metrics = trained(monkeypatch, noisy)
    assert metrics[-1]["spread"] == pytest.approx(1, abs=0.25)
    assert not caplog.records
    assert not list(m.session.ledger.entries(kind="training.warned"))
    assert m.describe()["collapse"] == []
