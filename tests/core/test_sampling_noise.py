"""Noise that a plugin supplies: kept, named, repeated by a replay and by a resumed run, refused where it is bad."""

import io

import numpy as np
import pytest

from qimg_core import Registry, Session, hookimpl
from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, DataError, PluginLoadError
from qimg_core.hooks import SuppliedNoise
from qimg_core.ledger import SQLiteLedger
from qimg_core.replay import replay_images, replay_training
from qimg_core.testing.toy import ToyGenerator, ToyPlugin
from qimg_core.training import train


@pytest.fixture
def registry():
    r = Registry(discover=False)
    r.register(ToyPlugin(), "toy")
    return r


@pytest.fixture
def corners():
    pixels = np.random.default_rng(3).random((9, 2, 2, 1)).astype(np.float32)
    return ArraySource(name="corners", pixels=pixels, labels=np.arange(9) % 3, provenance={})


@pytest.fixture
def trained(registry, corners, tmp_path):
    with open_session(registry, tmp_path / "runs", activity="train") as session:
        return train(session, session.generator("toy"), corners, steps=2, out=tmp_path / "w.safetensors")


def open_session(registry, ledger=None, **more):
    return Session(ledger, seed=7, backend="reference", registry=registry, **more)


class Dice:
    """A source of noise whose numbers nobody gets twice."""

    def __init__(self):
        self.rng, self.contexts = np.random.default_rng(), []

    @hookimpl
    def qimg_noise(self, context):
        self.contexts.append(context)
        return self.rng.normal(size=(context["n"], *context["shape"]))


def test_noise_of_a_plugin_is_kept_named_and_replayed(registry, trained, tmp_path):
    dice = Dice()
    registry.register(dice, "dice")
    with open_session(registry, tmp_path / "runs", activity="generate") as session:
        model = session.generator("toy", weights=trained.weights)
        images = model.sample(3, seed=5)
        other = model.sample(3, seed=5)
    assert other.digest != images.digest
    assert [c["session"] for c in dice.contexts] == [session, session]
    assert {k: dice.contexts[0][k] for k in ("run", "source", "seed", "start", "n", "shape")} == {
        "run": session.run, "source": None, "seed": 5, "start": 0, "n": 3, "shape": (4,)
    }  # fmt: skip
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        facts, of = ledger.entry(images.entry).facts, ledger.entry(images.entry).facts["noise_source"]
        assert facts["seed"] is None
        assert (of["source"], of["plugin"], of["asked"], of["reason"]) == ("dice", "dice", None, None)
        assert ledger.entry(of["entry"]).facts["noise"] == facts["noise"]
        assert ledger.entry(of["entry"]).index < images.entry
        kept = np.load(io.BytesIO(ledger.get(facts["artefacts"]["noise"])))
        assert kept.dtype == np.float32
        with open_session(registry) as fresh:
            again = fresh.generator("toy", weights=trained.weights).sample(3, noise=kept)
        assert again.digest == images.digest
        assert len(dice.contexts) == 2
        for made in (images, other):
            replay = replay_images(ledger, entry=made.entry, registry=registry)
            assert replay.verdict == "pass", replay
        assert len(dice.contexts) == 2  # a replay asks nobody
        assert ledger.verify().ok


def test_a_seed_is_replayed_as_recorded_though_a_plugin_came_later(registry, trained, corners, tmp_path):
    with open_session(registry, tmp_path / "runs") as session:
        images = session.generator("toy", weights=trained.weights).sample(3, seed=5)
    assert images.record["noise_source"] is None
    registry.register(Dice(), "dice")
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        assert replay_images(ledger, run=session.run, registry=registry).verdict == "pass"
        assert replay_training(ledger, trained.run, corners, registry=registry).first_difference is None


def test_a_resumed_run_takes_the_noise_it_had_before(registry, trained, tmp_path, monkeypatch):
    dice = Dice()
    registry.register(dice, "dice")
    real, seen = ToyGenerator._pixels, []

    def cut(self, noise, classes):
        seen.append(noise)
        raise KeyboardInterrupt

    monkeypatch.setattr(ToyGenerator, "_pixels", cut)
    with pytest.raises(KeyboardInterrupt), open_session(registry, tmp_path / "runs") as first:
        first.generator("toy", weights=trained.weights).sample(3, seed=5)
    monkeypatch.setattr(ToyGenerator, "_pixels", real)
    with Session(tmp_path / "runs", resume=first.run, backend="reference", registry=registry) as second:
        model = second.generator("toy", weights=trained.weights)
        images = model.sample(3, seed=5)
        assert len(dice.contexts) == 1
        assert images.record["noise_source"]["plugin"] == "dice"
        assert images.digest == model.sample(3, noise=seen[0]).digest
        model.sample(3, seed=6)  # another noise: it was not there before
    assert len(dice.contexts) == 2


def test_a_source_may_name_itself_and_say_why_it_is_another(registry, tmp_path):
    class Other:
        @hookimpl
        def qimg_noise(self, context):
            values = np.zeros((context["n"], *context["shape"]))
            return SuppliedNoise(values=values, source="prng", reason="no answer", facts={"url": "x"})

    registry.register(Other(), "other")
    with open_session(registry, tmp_path / "runs") as session:
        images = session.generator("toy").sample(2)
    with SQLiteLedger.open(tmp_path / "runs", read_only=True) as ledger:
        made = ledger.entry(images.entry)
        assert made.facts["noise_source"]["source"] == "prng"
        assert made.facts["noise_source"]["plugin"] == "other"
        assert [g.reason for g in made.gaps if g.field == "noise"] == [
            "not from the source that was asked for: no answer"
        ]
        (supplied,) = ledger.entries(kind="noise.supplied")
        assert supplied.facts["more"] == {"url": "x"}


@pytest.mark.parametrize(
    ("value", "word"), [(np.zeros((2, 5)), "wanted shape"), (np.full((2, 4), np.nan), "NaN"), ("no", "no array")]
)
def test_bad_noise_of_a_plugin_is_refused_by_name(registry, value, word):
    class Bad:
        @hookimpl
        def qimg_noise(self):
            return value

    registry.register(Bad(), "bad")
    with open_session(registry) as session:
        with pytest.raises(DataError, match=f"plugin 'bad'.*{word}"):
            session.generator("toy").sample(2)
    assert not any(e.kind in ("noise.supplied", "plan.admitted") for e in session.ledger.entries())


def test_a_source_that_is_asked_for_has_to_answer(registry, monkeypatch):
    class Named:
        @hookimpl
        def qimg_noise(self, context):
            return np.ones((context["n"], *context["shape"])) if context["source"] == "ones" else None

    registry.register(Named(), "named")
    monkeypatch.setenv("QIMG_NOISE_SOURCE", "ones")
    with open_session(registry, activity="generate") as session:
        assert session.generator("toy").sample(2).record["noise_source"]["asked"] == "ones"
    monkeypatch.setenv("QIMG_NOISE_SOURCE", "twos")
    with open_session(registry, activity="generate") as session:
        with pytest.raises(ConfigurationError, match="'twos'"):
            session.generator("toy").sample(2)
    assert not session.log.started
    with open_session(registry) as session:  # the variable is for `qimg generate`
        assert session.generator("toy").sample(2).record["noise_source"] is None


def test_a_wrapper_is_refused(registry):
    class Wrapper:
        @hookimpl(wrapper=True)
        def qimg_noise(self, context):
            return (yield)

    registry.register(Wrapper(), "wrapper")
    with open_session(registry) as session, pytest.raises(PluginLoadError, match="'wrapper' is a wrapper"):
        session.generator("toy").sample(2)
