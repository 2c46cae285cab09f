"""What the tests of operations share: a toy record, and the program."""

import pytest

import qimg_ops.plugin
import qimg_rollout.plugin
from qimg_core import Registry, Session
from qimg_core.cli import main
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing.toy import ToyPlugin


@pytest.fixture
def registry():
    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(qimg_rollout.plugin, "rollout")
    found.register(qimg_ops.plugin, "ops")
    return found


@pytest.fixture
def record(registry, tmp_path, monkeypatch):
    """A ledger ``runs`` in the working folder with two runs of images; their ids."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    names = []
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        for seed in (5, 6):
            with Session(ledger, seed=seed, backend="reference", registry=registry, activity="generate") as session:
                session.generator("toy").sample(4, seed=seed)
            names.append(session.run)
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
