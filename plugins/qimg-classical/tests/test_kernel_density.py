"""The kernel density against closed forms, scipy's and scikit-learn's, and as a generator with a record."""

import numpy as np
import pytest
from scipy.stats import gaussian_kde, norm
from sklearn.decomposition import PCA

from qimg_classical.circuitless import uniform
from qimg_classical.density import DensityConfig, left_out, scott
from qimg_classical.principal import principal
from qimg_core import Session
from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.generator import Arm
from qimg_core.ledger.opening import open_ledger
from qimg_core.replay import replay_images
from qimg_core.testing import conformance
from qimg_core.training import train
from qimg_core.verdict import Verdict

SMALL = {"size": 4, "classes": 2, "latent": 3}


def source(n=60, classes=2, seed=0, size=4):
    """Images of three hidden directions that differ by class, well inside [0, 1]."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    flat = 0.5 + 0.03 * rng.standard_normal((n, 3)) @ rng.standard_normal((3, size * size)) / 2
    flat += 0.05 * labels[:, None] * rng.standard_normal(size * size)
    pixels = np.clip(flat, 0, 1).reshape(n, size, size, 1).astype(np.float32)
    return ArraySource(name="planted", pixels=pixels, labels=labels, provenance={})


def fitted(session, images, steps=8, **changes):
    model = session.generator("kde", **{**SMALL, **changes})
    return model, [s.metrics["loss"] for s in model.fit(images, steps=steps)]


def test_uniform_is_the_normal_distribution_function():
    x = np.linspace(-6, 6, 101, dtype=np.float32)
    assert np.allclose(uniform(x), norm.cdf(x.astype(float)), rtol=1e-12, atol=0)
    assert uniform(np.array([-40.0]))[0] >= 0 and uniform(np.array([40.0]))[0] < 1


def test_components_are_those_of_scikit_learn():
    x = np.random.default_rng(1).standard_normal((50, 6)) @ np.random.default_rng(2).standard_normal((6, 6))
    centre, directions = principal(x, 4)
    theirs = PCA(4).fit(x)
    assert np.allclose(centre, theirs.mean_)
    assert np.allclose(np.abs(directions @ theirs.components_.T), np.eye(4), atol=1e-10)
    assert (directions[np.arange(4), np.abs(directions).argmax(1)] > 0).all()


def test_the_left_out_likelihood_is_scipys():
    """scipy's kernel has the covariance of the points: in units of the spread of uncorrelated ones, this one."""
    rng, h = np.random.default_rng(3), 0.4
    z = rng.standard_normal((40, 2))
    z = (z - z.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(z.T))).T  # covariance exactly 1
    near = ((z[:, None] - z[None]) ** 2).sum(-1)
    np.fill_diagonal(near, np.inf)
    n = len(z)
    whole = gaussian_kde(z.T, bw_method=h)(z.T)
    own = 1 / (2 * np.pi * h * h)  # each point's own kernel at itself
    assert left_out(near, 2, h) == pytest.approx(np.log((n * whole - own) / (n - 1)).mean(), rel=1e-10)


def test_scott_is_scipys():
    x = np.random.default_rng(4).standard_normal((3, 70))
    assert scott(np.array([70]), 3)[0] == pytest.approx(gaussian_kde(x).scotts_factor())


@pytest.mark.parametrize("rule", ["likelihood", "scott"])
def test_samples_have_the_moments_of_the_mixture(rule):
    """Mean and covariance of a mixture: those of its centres, and the kernel's covariance on top."""
    images, n = source(), 20_000
    with Session(None, seed=1) as session:
        model, _ = fitted(session, images, bandwidth=rule)
        made = model.sample(n, condition=[1], seed=5).pixels.reshape(n, -1).astype(float)
        state = model.state()
    own = images.pixels[images.labels == 1].reshape(30, -1).astype(float)
    points = (own - images.pixels.reshape(60, -1).mean(0)) @ state["components"].T
    width = state["bandwidths"][1] * points.std(0, ddof=1)
    directions = state["components"].astype(float)
    mean = images.pixels.reshape(60, -1).mean(0) + points.mean(0) @ directions
    covariance = directions.T @ (np.cov(points.T, bias=True) + np.diag(width**2)) @ directions
    error = np.sqrt(np.diag(covariance) / n)
    assert (np.abs(made.mean(0) - mean) < 5 * error + 1e-6).all()
    found = np.cov(made.T)
    scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
    assert np.abs(found - covariance).max() < 0.05 * scale.max()


def test_without_width_it_gives_training_images_back():
    images = source()
    with Session(None, seed=1) as session:
        model, _ = fitted(session, images, latent=16, spread=0.0)  # as many components as pixels: nothing is lost
        made = model.sample(200, condition=[0], seed=2).pixels.reshape(200, -1)
        projected, _ = fitted(session, images, latent=2, spread=0.0)
        shadow = projected.sample(50, condition=[1], seed=2).pixels.reshape(50, -1)
    own = images.pixels[images.labels == 0].reshape(30, -1)
    apart = np.abs(made[:, None] - own[None]).max(-1)
    assert apart.min(1).max() < 1e-5
    assert len(set(apart.argmin(1))) > 25  # each of the 30 has the same chance
    theirs = PCA(2).fit(images.pixels.reshape(60, -1).astype(float))
    seen = theirs.inverse_transform(theirs.transform(images.pixels[images.labels == 1].reshape(30, -1)))
    assert np.abs(shadow[:, None] - seen[None]).max(-1).min(1).max() < 1e-5


def test_the_likelihood_chooses_the_width_that_held_out_images_like():
    """Of normal data a wide kernel, of two narrow heaps a narrow one; and never a worse one than Scott's."""
    rng = np.random.default_rng(6)
    flat = 0.5 + 0.02 * rng.standard_normal((200, 16))
    heaps = 0.5 + 0.0005 * rng.standard_normal((200, 16)) + 0.1 * np.sign(rng.standard_normal((200, 1)))
    found = []
    for values in (flat, heaps):
        pixels = values.reshape(200, 4, 4, 1).astype(np.float32)
        images = ArraySource(name="heaps", pixels=pixels, labels=np.zeros(200, int), provenance={})
        with Session(None, seed=1) as session:
            model, losses = fitted(session, images, steps=30, classes=1, latent=1)
            _, plain = fitted(session, images, steps=3, classes=1, latent=1, bandwidth="scott")
            found.append(float(model.state()["bandwidths"][0]))
        assert losses == sorted(losses, reverse=True) and losses[0] == plain[0] == plain[-1] and losses[-1] <= plain[-1]
    assert found[0] > 0.15 and found[1] < 0.05


def test_every_other_arm_is_refused_with_what_helps():
    for arm in set(Arm) - {Arm.BYPASS}:
        with pytest.raises(ConfigurationError, match="has no circuit") as caught:
            DensityConfig(arm=arm)
        assert 'role = "best-classical"' in str(caught.value.hint)
    with Session(None, seed=1) as session:
        model = session.generator("kde", **SMALL)
        assert model.arm is Arm.BYPASS and model.bypass().arm is Arm.BYPASS
        with pytest.raises(ConfigurationError, match="no twin form"):
            model.twin()


@pytest.mark.parametrize(
    "changes",
    [{"latent": 17}, {"latent": 0}, {"bandwidth": "silverman"}, {"spread": -1.0}, {"channels": 2}, {"size": 100}],
)
def test_settings_that_cannot_be_are_refused(changes):
    with pytest.raises(ConfigurationError), Session(None, seed=1) as session:
        session.generator("kde", **{**SMALL, **changes})


def test_data_that_cannot_be_learned_is_refused():
    with Session(None, seed=1) as session:
        model = session.generator("kde", **SMALL)
        with pytest.raises(DataError, match="learns images"):
            model.fit(source(size=5), steps=1)
        with pytest.raises(DataError, match="3 classes"):
            model.fit(source(classes=3), steps=1)
        with pytest.raises(DataError, match="2 images of every class"):
            model.fit(source(n=3), steps=1)
        with pytest.raises(ConfigurationError, match="1 step"):
            model.fit(source(), steps=0)


def test_training_saving_and_replay_leave_a_record(tmp_path):
    with Session(tmp_path / "log", seed=4) as session:
        train(session, session.generator("kde", **SMALL), source(), steps=4, out=tmp_path / "w.safetensors")
        model = session.generator("kde", weights=tmp_path / "w.safetensors")
        images = model.sample(6, seed=3)
        narrow = session.generator("kde", weights=tmp_path / "w.safetensors", spread=0.5).sample(6, seed=3)
        assert images.digest != narrow.digest and not images.quantum and not images.simulated
        facts = session.ledger.entry(images.entry).facts
        assert facts["config"]["arm"] == "bypass" and facts["model"]["points"] == 60 and facts["device_kinds"] == []
        with pytest.raises(WeightsError, match="trained with another"):
            session.generator("kde", weights=tmp_path / "w.safetensors", latent=2)
    with open_ledger(tmp_path / "log", create=False) as log:
        assert replay_images(log, entry=images.entry).verdict is Verdict.PASS


def test_the_kit_of_generators_passes():
    report = conformance.generator("kde", changes=SMALL)
    shown = {
        r.case: r.outcome.reason for r in report.results if r.verdict not in (Verdict.PASS, Verdict.NOT_APPLICABLE)
    }
    assert shown == {}
