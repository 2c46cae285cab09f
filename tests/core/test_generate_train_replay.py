"""Generating, training, resuming and replaying on the toy generator: one road, and a record that holds."""

import numpy as np
import pytest

from qimg_core import Registry, Session, hookimpl
from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, DataError, LedgerError, UnknownName, WeightsError
from qimg_core.images import read_images
from qimg_core.ledger import SQLiteLedger
from qimg_core.noise import parse_noise
from qimg_core.replay import replay_images, replay_training
from qimg_core.testing.toy import ToyPlugin
from qimg_core.training import state_path, train
from qimg_core.weights import load_weights, save_weights


@pytest.fixture
def registry():
    r = Registry(discover=False)
    r.register(ToyPlugin(), "toy")
    return r


@pytest.fixture
def source():
    rng = np.random.default_rng(3)
    labels = np.arange(30) % 3
    pixels = (np.eye(4)[labels] * 0.8 + 0.1 * rng.random((30, 4))).reshape(30, 2, 2, 1).astype(np.float32)
    return ArraySource(name="three corners", pixels=pixels, labels=labels, provenance={"made": "by this test"})


def open_session(registry, ledger=None, seed=7, **more):
    return Session(ledger, seed=seed, backend="reference", registry=registry, **more)


def trained(registry, source, tmp_path, steps=12, name="w.safetensors", **more):
    with open_session(registry, tmp_path / "runs", activity="train", **more) as session:
        model = session.generator("toy")
        return train(session, model, source, steps=steps, out=tmp_path / name)


def test_images_name_their_run_and_the_entry_holds_their_digest(registry, source, tmp_path):
    done = trained(registry, source, tmp_path)
    with open_session(registry, tmp_path / "runs", activity="generate") as session:
        images = session.generator("toy", weights=done.weights).sample(6, seed=11)
        images.save(tmp_path / "six.png")
    again, text = read_images(tmp_path / "six.png")
    assert text["qimg:run"] == session.run
    with SQLiteLedger.open(tmp_path / "runs", read_only=True) as ledger:
        entry = ledger.entry(int(text["qimg:entry"]))
        assert entry.facts["pixels"] == again.digest == images.digest
        assert entry.facts["weights"] == done.digest
        assert entry.facts["condition"] == [0, 1, 2, 0, 1, 2]
        assert entry.facts["quantum"] is True
        assert entry.facts["simulated"] is True
        assert ledger.verify().ok


def test_same_seed_same_images_whatever_the_run_and_the_batch(registry):
    with open_session(registry) as a, open_session(registry) as b:
        first = a.generator("toy").sample(5, seed=3)
        second = b.generator("toy").sample(9, seed=3)[:5]
        other = b.generator("toy").sample(5, seed=4)
    assert first.digest == second.digest
    assert first.digest != other.digest
    assert a.run != b.run


@pytest.mark.parametrize("arm", ["twin", "bypass"])
def test_a_classical_arm_is_not_called_quantum(registry, arm):
    with open_session(registry) as session:
        images = session.generator("toy", arm=arm).sample(2)
    assert not images.quantum
    assert not any(e.kind == "executions" for e in session.ledger.entries())


def test_replay_is_equal_to_the_byte_and_leaves_a_record(registry, source, tmp_path):
    done = trained(registry, source, tmp_path)
    noise = parse_noise("readout=0")
    for more in ({}, {"shots": 100}, {"shots": 50, "seed": 99}):
        with open_session(registry, tmp_path / "runs", activity="generate", **more) as session:
            session.generator("toy", weights=done.weights).sample(4, seed=5)
        with SQLiteLedger.open(tmp_path / "runs") as ledger:
            replay = replay_images(ledger, run=session.run, registry=registry)
            assert replay.verdict == "pass", replay
            assert replay.environment == ()
            last = list(ledger.entries(run=replay.new_run, kind="replay.compared"))[0]
            assert last.facts["of"] == session.run
    assert noise.readout == (0.0, 0.0)


def test_a_replay_states_what_the_run_stated(registry, source, tmp_path):
    done = trained(registry, source, tmp_path)
    stated = {"purpose": "teaching", "sensitivity": "public"}
    with open_session(registry, tmp_path / "runs", activity="generate", context=stated) as session:
        session.generator("toy", weights=done.weights).sample(2, seed=5)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        new = replay_images(ledger, run=session.run, registry=registry).new_run
        started = next(iter(ledger.entries(run=new, kind="run.started")))
    assert dict(started.claims) == stated


def test_replay_of_supplied_noise(registry, source, tmp_path):
    done = trained(registry, source, tmp_path)
    noise = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    with open_session(registry, tmp_path / "runs") as session:
        session.generator("toy", weights=done.weights).sample(3, noise=noise, condition=[2])
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        assert replay_images(ledger, run=session.run, registry=registry).verdict == "pass"


def test_a_changed_engine_fails_the_replay_and_is_named(registry, source, tmp_path, monkeypatch):
    done = trained(registry, source, tmp_path)
    with open_session(registry, tmp_path / "runs") as session:
        session.generator("toy", weights=done.weights).sample(4, seed=5)
    from qimg_core.testing import reference

    real = reference.expectation
    monkeypatch.setattr(reference, "expectation", lambda state, factors: 0.98 * real(state, factors))
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        replay = replay_images(ledger, run=session.run, registry=registry)
    assert replay.verdict == "fail"
    assert replay.first_difference.startswith("image ")


def test_training_replays_to_the_same_weights(registry, source, tmp_path):
    done = trained(registry, source, tmp_path)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        replay = replay_training(ledger, done.run, source, registry=registry)
        assert replay.verdict == "pass"
        assert replay.first_difference is None
        other = ArraySource(name="other", pixels=source.all()[::-1].copy(), labels=source.labels, provenance={})
        with pytest.raises(ConfigurationError, match="learned data"):
            replay_training(ledger, done.run, other, registry=registry)


def test_a_resumed_training_equals_an_uninterrupted_one(registry, source, tmp_path):
    whole = trained(registry, source, tmp_path, name="whole.safetensors")
    out = tmp_path / "cut.safetensors"

    def stop(step):
        if step.step == 7:
            raise KeyboardInterrupt

    with open_session(registry, tmp_path / "runs", activity="train") as session:
        first = train(session, session.generator("toy"), source, steps=12, out=out, progress=stop)
    assert first.weights is None
    assert first.steps == 7
    assert first.state == state_path(out)
    assert not out.exists()
    with open_session(registry, tmp_path / "runs", activity="train") as session:
        second = train(session, session.generator("toy"), source, steps=12, out=out, resume=True)
    a, b = load_weights(whole.weights), load_weights(second.weights)
    np.testing.assert_array_equal(a.arrays["weights"], b.arrays["weights"])
    assert not state_path(out).exists()
    csv = out.with_name("cut.loss.csv").read_text()
    assert csv == whole.weights.with_name("whole.loss.csv").read_text()
    with SQLiteLedger.open(tmp_path / "runs", read_only=True) as ledger:
        resumed = list(ledger.entries(run=second.run, kind="training.started"))[0]
        assert resumed.facts["resumes"] == first.run
        assert resumed.facts["from_step"] == 7
        assert ledger.verify().ok


def test_a_training_goes_on_from_weights_and_replays(registry, source, tmp_path):
    first = trained(registry, source, tmp_path, name="first.safetensors")
    out = tmp_path / "second.safetensors"

    def stop(step):
        if step.step == 5:
            raise KeyboardInterrupt

    whole = {"steps": 9, "weights": first.weights}
    with open_session(registry, tmp_path / "runs", activity="train", seed=3) as session:
        straight = train(session, session.generator("toy"), source, **whole, out=tmp_path / "straight.safetensors")
    with open_session(registry, tmp_path / "runs", activity="train", seed=3) as session:
        train(session, session.generator("toy"), source, **whole, out=out, progress=stop)
    with open_session(registry, tmp_path / "runs", activity="train", seed=3) as session:
        done = train(session, session.generator("toy"), source, steps=9, out=out, resume=True)
        fresh = train(session, session.generator("toy"), source, steps=9, out=tmp_path / "fresh.safetensors")
    made = {k: load_weights(v.weights).arrays["weights"] for k, v in (("one", straight), ("two", done), ("new", fresh))}
    np.testing.assert_array_equal(made["one"], made["two"])
    assert np.abs(made["one"] - made["new"]).max() > 1e-3
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        for run in (straight.run, done.run):
            saved = next(ledger.entries(run=run, kind="weights.saved"))
            assert saved.facts["from_weights"] == first.digest
            began = next(ledger.entries(run=run, kind="training.started"))
            assert began.facts["from_weights"] == first.digest
        first.weights.unlink()
        assert replay_training(ledger, straight.run, source, registry=registry).first_difference is None
        assert ledger.verify().ok


def test_weights_to_begin_with_are_checked(registry, source, tmp_path):
    out = tmp_path / "w.safetensors"
    with open_session(registry, tmp_path / "runs", activity="train") as session:
        model = session.generator("toy")
        with pytest.raises(UnknownName, match="nowhere"):
            train(session, model, source, steps=3, out=out, weights="nowhere")
        type(model).fine_tunes = False
        try:
            with pytest.raises(ConfigurationError, match="drawn weights"):
                train(session, model, source, steps=3, out=out, weights="nowhere")
        finally:
            type(model).fine_tunes = True
    assert not out.exists()


def test_a_training_state_of_another_training_is_refused(registry, source, tmp_path):
    out = tmp_path / "w.safetensors"

    def stop(step):
        raise KeyboardInterrupt

    with open_session(registry, activity="train") as session:
        train(session, session.generator("toy"), source, steps=12, out=out, progress=stop)
    with open_session(registry, activity="train", seed=8) as session:
        with pytest.raises(WeightsError, match="seed"):
            train(session, session.generator("toy"), source, steps=12, out=out, resume=True)
        with pytest.raises(ConfigurationError, match="unfinished"):
            train(session, session.generator("toy"), source, steps=12, out=out)


def test_bad_input_to_training_writes_nothing(registry, source, tmp_path):
    wrong = ArraySource(name="big", pixels=np.zeros((3, 5, 5, 1), np.float32), labels=None, provenance={})
    with open_session(registry, activity="train") as session:
        with pytest.raises(ConfigurationError):
            train(session, session.generator("toy"), source, steps=0, out=tmp_path / "w.safetensors")
        with pytest.raises(ConfigurationError, match="nothing to resume"):
            train(session, session.generator("toy"), source, steps=3, out=tmp_path / "w.safetensors", resume=True)
        with pytest.raises(DataError, match="2x2"):
            train(session, session.generator("toy"), wrong, steps=3, out=tmp_path / "w.safetensors")
        assert not session.log.started
    assert list(tmp_path.iterdir()) == []


def test_weights_files_are_checked(registry, source, tmp_path):
    done = trained(registry, source, tmp_path)
    data = done.weights.read_bytes()
    bad = tmp_path / "bad.safetensors"
    session = open_session(registry)
    for content, word in [
        (data[: len(data) // 2], "not a whole safetensors file"),
        (b"", "not a whole safetensors file"),
        (b"PK\x03\x04 not weights at all", "not a whole safetensors file"),
    ]:
        bad.write_bytes(content)
        with pytest.raises(WeightsError, match=word):
            session.generator("toy", weights=bad)
    save_weights(bad, {"weights": np.zeros((3, 4))}, format="other/1", facts={})
    with pytest.raises(WeightsError, match="wanted 'toy/1'"):
        session.generator("toy", weights=bad)
    facts = load_weights(done.weights).facts
    save_weights(bad, {"weights": np.zeros((3, 5))}, format="toy/1", facts=facts)
    with pytest.raises(WeightsError, match="shape"):
        session.generator("toy", weights=bad)
    save_weights(bad, {"weights": np.full((3, 4), np.nan)}, format="toy/1", facts=facts)
    with pytest.raises(WeightsError, match="NaN"):
        session.generator("toy", weights=bad)
    with pytest.raises(WeightsError, match="another configuration"):
        session.generator("toy", weights=done.weights, arm="twin")
    with pytest.raises(UnknownName):
        session.generator("toy", weights="nothing-here")
    with pytest.raises(UnknownName, match="did you mean 'spread'"):
        session.generator("toy", spreed=1)


@pytest.mark.parametrize("condition", [[3], [-1], []])
def test_unknown_classes_are_refused(registry, condition):
    with open_session(registry) as session:
        with pytest.raises(DataError):
            session.generator("toy").sample(2, condition=condition)
    assert not session.log.started


def test_unsaved_models_cannot_be_replayed(registry, tmp_path):
    with open_session(registry, tmp_path / "runs") as session:
        session.generator("toy").sample(2)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        with pytest.raises(LedgerError, match="no weights"):
            replay_images(ledger, run=session.run, registry=registry)


def test_sampling_settings_may_differ_from_the_trained_ones(registry, source, tmp_path, monkeypatch):
    from qimg_core.testing.toy import ToyGenerator
    from qimg_core.weights import retune

    done = trained(registry, source, tmp_path)
    monkeypatch.setattr(ToyGenerator, "sampling_settings", frozenset({"spread"}))
    new = tmp_path / "calm.safetensors"
    with pytest.raises(WeightsError, match="not a sampling setting"):
        retune(done.weights, new, {"rate": "0.1"}, ToyGenerator.sampling_settings)
    retune(done.weights, new, {"spread": "0.0"}, ToyGenerator.sampling_settings)
    session = open_session(registry)
    calm = session.generator("toy", weights=new)
    assert calm.config.spread == 0
    assert calm.saved.facts["retuned_from"] == done.digest
    same = session.generator("toy", weights=done.weights, spread=0.0)
    assert calm.sample(3, seed=1).digest == same.sample(3, seed=1).digest
    np.testing.assert_array_equal(calm.weights, session.generator("toy", weights=done.weights).weights)
    session.close()


def test_marks_are_chained_recorded_and_replayed(registry, source, tmp_path):
    done = trained(registry, source, tmp_path)

    class Corner:
        @hookimpl
        def qimg_mark(self, pixels):
            pixels[0, 0] = 255
            return pixels

    class Index:
        @hookimpl
        def qimg_mark(self, pixels, record):
            assert pixels[0, 0, 0] == 255  # the first plugin has been there
            pixels[1, 1] = record["index"]
            return pixels

    registry.register(Corner(), "corner")
    registry.register(Index(), "index")
    with open_session(registry, tmp_path / "runs") as session:
        images = session.generator("toy", weights=done.weights).sample(3, seed=5)
    marked = images.to_uint8()
    assert (marked[:, 0, 0] == 255).all()
    assert marked[:, 1, 1, 0].tolist() == [0, 1, 2]
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        entry = ledger.entry(images.entry)
        assert entry.facts["marks"] == ["corner", "index"]
        assert entry.facts["pixels"] == images.digest
        assert replay_images(ledger, run=session.run, registry=registry).verdict == "pass"
        registry.hooks.unregister(name="index")
        found = replay_images(ledger, run=session.run, registry=registry)
    assert found.verdict == "inconclusive"  # not a fail: the settings of marks are not part of a run
    assert "marks: recorded ['corner', 'index'], now ['corner']" in found.first_difference


def test_a_mark_of_another_shape_is_refused(registry):
    class Wrong:
        @hookimpl
        def qimg_mark(self, pixels):
            return pixels[:1]

    registry.register(Wrong(), "wrong")
    with open_session(registry) as session:
        with pytest.raises(DataError, match="wrong marked an image"):
            session.generator("toy").sample(1)


def test_a_stopped_training_says_so(registry, source, tmp_path):
    def stop(step):
        raise KeyboardInterrupt

    with open_session(registry, tmp_path / "runs", activity="train") as session:
        train(session, session.generator("toy"), source, steps=12, out=tmp_path / "w.safetensors", progress=stop)
    with SQLiteLedger.open(tmp_path / "runs", read_only=True) as ledger:
        assert next(ledger.entries(run=session.run, kind="run.finished")).facts["status"] == "interrupted"
