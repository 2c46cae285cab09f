"""Writers with 32 threads, killed: what any thread was told is in the log, whole, and the next writer goes on."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from qimg_core.ledger import Draft, SQLiteLedger, verify_folder

WRITER = """
import os, sys, threading
from qimg_core.ledger import Draft, SQLiteLedger
ledger = SQLiteLedger.open(sys.argv[1])
def work(number):
    step = 0
    while True:
        digest = ledger.put(b"%d %d" % (number, step // 5))
        facts = {"step": step, "text": "x" * (step * 37 % 900), "artefacts": {"a": digest}}
        sealed = ledger.seal([Draft("step", run=f"r{number}", facts=facts)] * (1 + step % 3))
        size = sealed.note.split(b"\\n")[1].decode()
        lines = "".join(f"{entry.index} {entry.leaf.hex()} {size} {digest}\\n" for entry in sealed.entries)
        os.write(1, lines.encode())  # shorter than PIPE_BUF: whole or not at all
        step += 1
for number in range(32):
    threading.Thread(target=work, args=(number,)).start()
"""
LOGS = 20  # kills of one log


def kills(tmp_path, count, seed):
    """Kill that many writers. Gives how many entries were acknowledged, and how many were written unacknowledged."""
    rng = random.Random(seed)
    acknowledged = unsaid = 0
    for trial in range(count):
        folder = tmp_path / f"log-{trial // LOGS}"
        before = len_of(folder)
        with subprocess.Popen([sys.executable, "-c", WRITER, str(folder)], stdout=subprocess.PIPE) as writer:
            lines = [writer.stdout.readline() for _ in range(rng.choice([1, 2, 30, 100, rng.randint(1, 200)]))]
            writer.kill()  # SIGKILL: at some point of what its threads were doing
            lines += writer.stdout.read().splitlines(keepends=True)
        assert writer.returncode == -9
        assert all(line.endswith(b"\n") for line in lines)
        said = [line.decode().split() for line in lines]
        told = len({index for index, *_ in said})
        acknowledged += told
        with SQLiteLedger.open(folder) as ledger:  # the lock went with the writer
            sizes = {int(note.split(b"\n")[1]) for note in ledger.checkpoints()}
            for index, leaf, size, digest in said:
                assert before <= int(index) < int(size)
                entry = ledger.entry(int(index))
                assert (entry.leaf.hex(), entry.artefacts) == (leaf, {"a": digest})
                assert int(size) in sizes
                ledger.get(digest)
            assert len(ledger) in sizes  # a seal is entries and head, or neither
            unsaid += len(ledger) - before - told
            sealed = ledger.seal([Draft("resumed", facts={"trial": trial})])
            assert sealed.entries[0].index == len(ledger) - 1
        found = verify_folder(folder)
        assert found.ok, found
    return acknowledged, unsaid


def len_of(folder):
    if not (folder / "ledger.db").exists():
        return 0
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        return len(ledger)


def test_10_writers_of_32_threads_are_killed(tmp_path):
    acknowledged, _ = kills(tmp_path, 10, 1)
    assert acknowledged > 300


@pytest.mark.slow
def test_200_writers_of_32_threads_are_killed(tmp_path):
    acknowledged, unsaid = kills(tmp_path, 200, 2)
    print(f"200 kills: {acknowledged} entries acknowledged, none lost; {unsaid} written and not yet acknowledged")
    assert acknowledged > 5_000
    assert unsaid > 0  # writers were hit between a commit and its acknowledgement
