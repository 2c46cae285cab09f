"""Group commit: many callers, one transaction and one head; and retry keys."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import pytest
import rfc8785

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger import Draft, MemoryLedger, SQLiteLedger, verify_folder
from qimg_core.ledger.entry import Entry, ends_as
from qimg_core.ledger.gathering import Gathering
from qimg_core.ledger.merkle import Frontier
from qimg_core.ledger.note import Checkpoint, open_note

TIME = "2026-01-01T00:00:00.000000Z"


@pytest.fixture(params=["memory", "disk"])
def ledger(request, tmp_path):
    with MemoryLedger() if request.param == "memory" else SQLiteLedger.open(tmp_path / "log") as opened:
        yield opened


class Held:
    """Work of a gathering that stops until it is let go."""

    def __init__(self):
        self.begun, self.go, self.batches = threading.Event(), threading.Event(), []

    def __call__(self, items):
        self.batches.append(list(items))
        self.begun.set()
        assert self.go.wait(30)
        return [error if isinstance(error := item, Exception) else item * 2 for item in items]


def callers(gathering, items):
    results = {}

    def call(number, item):
        try:
            results[number] = gathering.do(item)
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=call, args=pair) for pair in enumerate(items)]
    return threads, results


def wait_for(gathering, count):
    while len(gathering._waiting) < count:
        threading.Event().wait(0.001)


def test_those_who_come_while_one_works_are_done_together():
    work = Held()
    gathering = Gathering(work, most=40)
    fault = ValueError("mine")
    threads, results = callers(gathering, [*range(99), fault])
    threads[0].start()
    assert work.begun.wait(30)
    for thread in threads[1:]:
        thread.start()
    wait_for(gathering, 99)
    work.go.set()
    for thread in threads:
        thread.join(30)
    assert [len(batch) for batch in work.batches] == [1, 40, 40, 19]
    assert results == {**{i: 2 * i for i in range(99)}, 99: fault}
    assert gathering.do(4) == 8  # nobody leads now: the next caller does


def test_what_the_work_raises_goes_to_all():
    work = Held()
    real = StorageError("full")

    def failing(items):
        work(items)
        raise real

    gathering = Gathering(failing)
    threads, results = callers(gathering, [1, 2, 3])
    for thread in threads:
        thread.start()
    work.go.set()
    for thread in threads:
        thread.join(30)
    assert results == {0: real, 1: real, 2: real}


def test_an_interrupted_leader_leaves_nobody_waiting():
    work = Held()

    def interrupted(items):
        if len(work.batches) == 1:
            work(items)
            raise KeyboardInterrupt
        return work(items)

    gathering = Gathering(interrupted)
    first, _ = callers(gathering, [0])
    first[0].start()
    assert work.begun.wait(30)
    threads, results = callers(gathering, [1, 2, 3])
    for thread in threads:
        thread.start()
    wait_for(gathering, 3)
    hooks, threading.excepthook = threading.excepthook, lambda _: None
    try:
        work.go.set()
        for thread in (*first, *threads):
            thread.join(30)
    finally:
        threading.excepthook = hooks
    assert all(isinstance(error, LedgerError) for error in list(results.values())[1:])
    assert len(results) >= 2  # the leader of the second batch was interrupted itself
    assert gathering.do(5) == 10


def test_a_caller_that_leaves_while_it_waits():
    """An interrupt while waiting: not begun, it is withdrawn; begun, the chain of wakings goes past it."""
    work = Held()
    gathering = Gathering(work)
    threads, results = callers(gathering, [0, 1, 2, 3])
    threads[0].start()
    assert work.begun.wait(30)
    from qimg_core.ledger.gathering import _Caller

    gone = _Caller(99)
    gathering._waiting.append(gone)
    for thread in threads[1:]:
        thread.start()
    wait_for(gathering, 4)
    gathering._leave(gone)
    wait_for(gathering, 3)
    assert gone not in gathering._waiting
    late = _Caller(98)
    gathering._waiting.insert(1, late)
    late.gone = True  # as `_leave` marks one whose batch has begun
    work.go.set()
    for thread in threads:
        thread.join(30)
    assert results == {0: 0, 1: 2, 2: 4, 3: 6}


def test_sealed_entries_are_covered_by_the_note(ledger):
    sealed = ledger.seal([Draft("a", facts={"i": i}) for i in range(5)])
    head = Checkpoint.parse(open_note(sealed.note, ledger.keys).text)
    assert [entry.index for entry in sealed.entries] == list(range(5))
    assert head == Checkpoint(ledger.origin, 5, Frontier(entry.leaf for entry in sealed.entries).root())
    assert ledger.checkpoint() == sealed.note
    assert ledger.seal([]).note == sealed.note
    assert ledger.verify().ok


def test_threads_share_a_head(ledger, monkeypatch):
    """64 callers of 20 entries each; a malformed draft among them touches nobody else."""
    sealed, refused = {}, []

    def work(n):
        for i in range(20):
            sealed[n, i] = ledger.seal([Draft("step", run=f"r{n}", facts={"i": i})])
            if n == 7:
                with pytest.raises(ConfigurationError, match="more than 65,535"):
                    ledger.seal([Draft("step", facts={"x": "y" * 70_000})])
                refused.append(i)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert len(sealed) == len(ledger) == 64 * 20
    assert len(refused) == 20
    assert len(ledger.checkpoints()) < 64 * 20
    for (n, i), one in sealed.items():
        assert (one.entries[0].run, one.entries[0].facts) == (f"r{n}", {"i": i})
        assert Checkpoint.parse(open_note(one.note, ledger.keys).text).size > one.entries[0].index
    found = ledger.verify(strict=True)
    assert found.ok
    assert found.notes == ()


def test_a_failing_commit_signs_nothing(tmp_path):
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        first = ledger.seal([Draft("a", facts={})])
        (limit,) = ledger._db.execute("PRAGMA page_count").fetchone()
        ledger._db.execute(f"PRAGMA max_page_count={limit}")
        with pytest.raises(StorageError, match="full"):
            ledger.seal([Draft("x", facts={"pad": "p" * 60_000})] * 20)
        assert (len(ledger), ledger.checkpoints()) == (1, (first.note,))
        ledger._db.execute("PRAGMA max_page_count=100000")
        assert ledger.seal([Draft("b", facts={})]).entries[0].index == 1
        assert ledger.verify().ok


def test_a_retry_key_gives_the_entry_it_gave(ledger):
    draft = Draft("a", run="r", facts={"x": 1}, claims={"by": "me"}, key="upload-7")
    first = ledger.extend([draft])[0]
    assert (first.key, json.loads(first.body)["key"]) == ("upload-7", "upload-7")
    assert first.body == rfc8785.dumps(json.loads(first.body))
    assert ledger.extend([Draft("b", facts={}), draft, draft])[1:] == (first, first)
    sealed = ledger.seal([draft])
    assert sealed.entries == (first,)
    assert ledger.append("a", run="r", facts={"x": 1}, claims={"by": "me"}, key="upload-7") == first
    assert len(ledger) == 2
    for other in (Draft("a", run="r", facts={"x": 2}, claims={"by": "me"}, key="upload-7"), Draft("a", key="upload-7")):
        with pytest.raises(ConfigurationError, match="says something else"):
            ledger.extend([Draft("c", facts={}), other])
        with pytest.raises(ConfigurationError, match="says something else"):
            ledger.seal([other])
    twice = [Draft("c", facts={"x": 1}, key="k"), Draft("c", facts={"x": 2}, key="k")]
    with pytest.raises(ConfigurationError, match="says something else"):
        ledger.extend(twice)
    for bad in ("", "k" * 256, 7):
        with pytest.raises(ConfigurationError, match="retry key"):
            ledger.append("a", facts={}, key=bad)
    assert len(ledger) == 2
    assert ledger.verify(strict=True).ok


RETRY = """
import random, sys
from qimg_core.ledger import Draft, SQLiteLedger
ledger = SQLiteLedger.open(sys.argv[1])
for i in range(int(sys.argv[2]), 100000):
    drafts = [Draft("step", facts={"i": i, "k": k}, key=f"{i}-{k}") for k in range(3)]
    (ledger.seal if i % 2 else ledger.extend)(drafts)
    print(i, flush=True)
"""


def test_a_retry_after_a_kill_makes_no_second_entry(tmp_path):
    done = -1
    for trial in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", RETRY, str(tmp_path / "log"), str(done + 1)], stdout=subprocess.PIPE, text=True
        ) as writer:
            for _ in range(5 + trial):
                writer.stdout.readline()
            writer.kill()
            rest = [line for line in writer.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        done += 5 + trial + len(rest)  # what was acknowledged; the next round retries from there on
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        for i in range(done + 3):
            ledger.extend([Draft("step", facts={"i": i, "k": k}, key=f"{i}-{k}") for k in range(3)])
        facts = [(entry.facts["i"], entry.facts["k"]) for entry in ledger.entries()]
        assert facts == [(i, k) for i in range(done + 3) for k in range(3)]
        ledger.checkpoint()
    assert verify_folder(tmp_path / "log", strict=True).ok


def test_a_retry_key_that_the_store_has_wrong_is_noticed(tmp_path):
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        ledger.extend([Draft("a", facts={}), Draft("b", facts={}, key="k")])
        ledger._db.execute("UPDATE retry SET idx = 0")
        with pytest.raises(LedgerCorrupt, match="retry key"):
            ledger.append("b", facts={}, key="k")


def test_a_store_without_retry_keys_refuses_them():
    from qimg_core.ledger.log import StoredLedger

    class Plain(MemoryLedger):
        _find = StoredLedger._find

    with Plain() as ledger, pytest.raises(LedgerError, match="keeps no retry keys"):
        ledger.append("a", facts={}, key="k")


@pytest.mark.parametrize("key", [None, "k", 'a"\\,"index":7,"kind":"x', "é\U0001f600"])
@pytest.mark.parametrize("run", [None, "r", 'ü"\\'])
def test_the_end_of_a_body_says_what_its_columns_say(run, key):
    facts = {"index": 6, "key": "x", "kind": "k", "z": ',"index":6'}
    body = Entry.of(Draft("k", run=run, facts=facts, key=key), index=5, time=TIME).body
    assert body == rfc8785.dumps(json.loads(body))
    assert Entry.parse(body).key == key
    assert ends_as(body, 5, run, "k", TIME)
    for other in (
        (6, run, "k", TIME),
        (55, run, "k", TIME),
        (5, "q", "k", TIME),
        (5, run, "x", TIME),
        (5, run, "k", ""),
    ):
        assert not ends_as(body, *other)
