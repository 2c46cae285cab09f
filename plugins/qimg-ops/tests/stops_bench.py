"""For tests: fixtures of a ledger that a run in another process holds; loaded with `runpy`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from qimg_core.ledger import SQLiteLedger

PROGRAM = Path(__file__).with_name("stopped_run.py")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    SQLiteLedger.open("runs").close()
    return tmp_path / "runs"


@pytest.fixture
def running(folder):
    """Starts a run in a process of its own; `ask` makes one request of it."""
    begun = []

    def start(*chain):
        p = subprocess.Popen(
            [sys.executable, str(PROGRAM), "runs", *chain], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        begun.append(p)
        p.run = p.stdout.readline().strip()

        def ask(line="x"):
            p.stdin.write(line + "\n")
            p.stdin.flush()
            return p.stdout.readline().strip()

        p.ask = ask
        return p

    yield start
    for p in begun:
        p.stdin.close()
        p.stdout.close()
        p.wait()


@pytest.fixture
def run(qimg):
    def call(*argv, code=0):
        found, out, err = qimg(*argv, "--json")
        assert found == code, err
        return json.loads(out)

    return call


def opened(run):
    return run("incident", "open", "--title", "odd results")["id"]


def entries(kind):
    with SQLiteLedger.open("runs", read_only=True) as log:
        return list(log.entries(kind=kind))
