"""What the audit tests share: a small record with two trainings, images and a replay."""

import numpy as np
import pytest

import qimg_audit.plugin
from qimg_core import Registry, Session
from qimg_core.cli import main
from qimg_core.datasets import ArraySource
from qimg_core.ledger import SQLiteLedger
from qimg_core.replay import replay_images
from qimg_core.testing.toy import ToyPlugin
from qimg_core.training import train


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(qimg_audit.plugin, "audit")
    return found


@pytest.fixture
def record(registry, tmp_path, monkeypatch):
    """The ledger's folder ``runs`` in the working folder, and the runs by name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    rng = np.random.default_rng(3)
    pixels = rng.random((6, 2, 2, 1)).astype(np.float32)
    source = ArraySource(name="six", pixels=pixels, labels=np.arange(6) % 3, provenance={"made": "by this test"})
    names = {}
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        with Session(ledger, seed=3, backend="reference", registry=registry, activity="train") as s:
            train(s, s.generator("toy"), source, steps=3, out=tmp_path / "w.safetensors")
        names["train"] = s.run
        for name, seed in (("one", 5), ("two", 6)):
            with Session(ledger, seed=seed, backend="reference", registry=registry, activity="generate") as s:
                made = s.generator("toy", weights=tmp_path / "w.safetensors").sample(4, seed=seed)
            names[name], names[f"entry {name}"] = s.run, made.entry
        names["replay"] = replay_images(ledger, run=names["one"], registry=registry).new_run
    return names


@pytest.fixture
def qimg(capsys, registry):
    """Calls ``qimg``: exit code, stdout, stderr."""

    def call(*argv):
        capsys.readouterr()
        code = main([str(a) for a in argv], registry=registry)
        captured = capsys.readouterr()
        return int(code), captured.out, captured.err

    return call
