"""The hook ``qimg_check_data``: what a plugin's answer does to a training, however wrong it is."""

import numpy as np
import pytest

from qimg_core import Registry, Session
from qimg_core.admission import Decision
from qimg_core.datasets import ArraySource
from qimg_core.errors import AdmissionDenied, ConfigurationError, DataError
from qimg_core.hooks import hookimpl
from qimg_core.testing.toy import ToyPlugin
from qimg_core.training import train


def answering(answer):
    class Plugin:
        @hookimpl
        def qimg_check_data(self, given, images):
            if isinstance(answer, Exception):
                raise answer
            return answer(images, given) if callable(answer) else answer

    return Plugin()


@pytest.fixture
def fit(tmp_path):
    source = ArraySource(name="six", pixels=np.random.default_rng(3).random((6, 2, 2)), labels=np.arange(6) % 3)

    def call(*answers, **named):
        registry = Registry(discover=False)
        registry.register(ToyPlugin(), "toy")
        for i, answer in enumerate(answers):
            registry.register(answering(answer), f"plugin-{i}")
        session = Session(None, seed=3, backend="reference", registry=registry, activity="train")
        kinds = []
        try:
            train(session, session.generator("toy"), source, steps=1, out=tmp_path / "w.safetensors", **named)
        finally:
            kinds += [(e.kind, e.facts) for e in session.ledger.entries()]
            session.close()
        return dict(kinds), session

    return call


REFUSING = {
    "deny": Decision(verdict="deny", policy="p", reasons=("no",)),
    "needs_approval": Decision(verdict="needs_approval", policy="p"),
    "broken": RuntimeError("secret text"),
    "refused input": DataError("bad data"),
    "true": True,
    "text": "allow",
}


@pytest.mark.parametrize("name", REFUSING)
def test_whatever_is_no_allow_refuses_and_is_recorded(name, fit, tmp_path):
    allow = Decision(verdict="allow", policy="q")
    with pytest.raises(AdmissionDenied) as refused:
        fit(allow, REFUSING[name])
    assert "secret" not in str(refused.value) and not (tmp_path / "w.safetensors").exists()


def test_a_refusal_is_an_entry_before_any_of_the_training(tmp_path):
    registry = Registry(discover=False)
    registry.register(ToyPlugin(), "toy")
    registry.register(answering(REFUSING["deny"]), "p")
    source = ArraySource(name="six", pixels=np.zeros((6, 2, 2)), labels=np.arange(6) % 3)
    with Session(None, seed=3, backend="reference", registry=registry, activity="train") as session:
        with pytest.raises(AdmissionDenied):
            train(session, session.generator("toy"), source, steps=1, out=tmp_path / "w.safetensors")
        assert [e.kind for e in session.ledger.entries()] == ["run.started", "data.refused"]


def test_an_allow_gives_facts_to_the_record_and_words_to_the_context(fit):
    seen = []
    record = {"manifest": "sha256:" + "0" * 64, "licence": "MIT", "stated": {"manifest": "verified", "run": "forged"}}

    def look(images, given):
        seen.append(given["data"])
        return Decision(verdict="allow", policy="p", record=record, artefacts={"subjects": b"[]"})

    kinds, session = fit(look, None, data="here")
    assert seen == ["here"] and session.context.manifest == "verified" and session.context.run == session.run
    assert kinds["training.started"]["data"]["licence"] == "MIT"
    assert "subjects" in kinds["data.checked"]["artefacts"]


def test_a_manifest_that_nobody_checks_is_an_error_and_none_changes_nothing(fit):
    with pytest.raises(ConfigurationError, match="checks manifests"):
        fit(None, manifest="m.json")
    kinds, _ = fit(None)
    assert "data.checked" not in kinds and set(kinds["training.started"]["data"]) == {"name", "digest", "n", "shape"}
