"""A writer that is killed: nothing that it acknowledged is lost, and the log goes on."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from qimg_core.ledger import SQLiteLedger, verify_folder

WRITER = """
import random, sys
from qimg_core.ledger import Draft, SQLiteLedger
rng = random.Random(int(sys.argv[2]))
ledger = SQLiteLedger.open(sys.argv[1])
while True:
    size = rng.choice([1, 1, 1, 5, 50])
    digest = ledger.put(rng.randbytes(rng.randint(1, 5000)))
    facts = {"artefacts": {"a": digest}}
    entries = ledger.extend([Draft("step", run=f"r{rng.randint(0, 3)}", facts=facts) for _ in range(size)])
    if rng.random() < 0.4:
        note = ledger.checkpoint()
        print("signed", note.split(b"\\n")[1].decode(), flush=True)
    print("stored", entries[-1].index, digest, flush=True)
"""


def kills(folder, count):
    rng = random.Random(17)
    written = 0
    for trial in range(count):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(trial)], stdout=subprocess.PIPE, text=True
        ) as writer:
            lines = [writer.stdout.readline() for _ in range(rng.randint(0, 25))]
            writer.kill()  # SIGKILL: at some point of what it was doing
            rest = writer.stdout.read()
        lines += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        assert writer.returncode == -9
        if not (folder / "ledger.db").exists():
            continue
        stored = [line.split() for line in lines if line.startswith("stored")]
        signed = [int(line.split()[1]) for line in lines if line.startswith("signed")]
        with SQLiteLedger.open(folder) as ledger:  # the lock went with the writer
            assert len(ledger) > max((int(index) for _, index, _ in stored), default=-1)
            for _, index, digest in stored:
                assert ledger.entry(int(index)).artefacts == {"a": digest}
                ledger.get(digest)
            sizes = [int(note.split(b"\n")[1]) for note in ledger.checkpoints()]
            assert set(signed) <= set(sizes)
            ledger.append("resumed", facts={"trial": trial})
        found = verify_folder(folder)
        assert found.ok, found
        written = found.entries
    assert written > count


def test_10_kills(tmp_path):
    kills(tmp_path / "log", 10)


@pytest.mark.slow
def test_60_kills(tmp_path):
    kills(tmp_path / "log", 60)
