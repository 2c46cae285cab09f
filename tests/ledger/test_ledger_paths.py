"""The fast and the strict way through a log find the same, except for form that the log's own key signed."""

from __future__ import annotations

import random
import sqlite3

import pytest

from qimg_core.ledger import Draft, MemoryLedger, SQLiteLedger, verify_folder
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.merkle import leaf_hash
from qimg_core.ledger.named import NamedArtefacts
from qimg_core.ledger.row_check import RowCheck
from qimg_core.ledger.verify import Findings, Row


def changed(rng, rows):
    """The rows with one thing changed: an edit, a loss, an insertion, a swap, another column."""
    rows, at = list(rows), rng.randrange(len(rows))
    row = rows[at]
    kind = rng.choice(["body", "leaf", "both", "drop", "twice", "swap", "cut", "run", "kind", "time", "index"])
    if kind in ("body", "both"):
        body = bytearray(row.body)
        body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        leaf = leaf_hash(bytes(body)) if kind == "both" else row.leaf
        rows[at] = Row(row.index, row.run, row.kind, row.time, bytes(body), leaf)
    elif kind == "leaf":
        rows[at] = Row(row.index, row.run, row.kind, row.time, row.body, row.leaf[::-1])
    elif kind == "drop":
        del rows[at]
    elif kind == "twice":
        rows.insert(at, row)
    elif kind == "swap":
        other = (at + rng.randrange(1, len(rows))) % len(rows)
        a, b = rows[at], rows[other]
        rows[at] = Row(a.index, b.run, b.kind, b.time, b.body, b.leaf)
        rows[other] = Row(b.index, a.run, a.kind, a.time, a.body, a.leaf)
    elif kind == "cut":
        del rows[at:]
    else:
        columns = {"index": row.index, "run": row.run, "kind": row.kind, "time": row.time}
        columns[kind] = columns[kind] + 1 if kind == "index" else f"{columns[kind]}x"
        rows[at] = Row(**columns, body=row.body, leaf=row.leaf)
    return kind, at, rows


def check(rows, heads, *, strict):
    found = Findings()
    with NamedArtefacts() as named:
        RowCheck(heads, named, found, strict=strict).run(rows)
        return found, dict(named.items())


@pytest.fixture
def log(fill):
    rng = random.Random(11)
    with MemoryLedger() as ledger:
        fill(ledger, rng, runs=8)
        ledger.extend([Draft("x", run="r", facts={"i": i}, key=f"k{i}") for i in range(5)])
        ledger.checkpoint()
        ledger.extend([Draft("unsigned", facts={"i": i}) for i in range(4)])
        heads = [ledger.history.open_head(note).checkpoint for note in ledger.checkpoints()]
        yield list(ledger.rows()), heads


@pytest.mark.parametrize("seed", range(3))
def test_both_find_every_change_and_name_the_same_entry(log, seed):
    rows, heads = log
    sizes = [0, *(head.size for head in heads)]
    rng = random.Random(seed)
    for _ in range(100):
        kind, at, spoilt = changed(rng, rows)
        if kind in ("cut", "both") and at >= heads[-1].size:
            continue  # what no head covers may be cut off or written anew: verify says how much that is
        fast, _ = check(spoilt, heads, strict=False)
        strict, _ = check(spoilt, heads, strict=True)
        assert fast.count, kind
        assert strict.count, kind
        if kind == "both":  # only a range is known, unless the new body is no entry any more
            assert {fast.first_bad, strict.first_bad} <= {at, max(s for s in sizes if s <= at)}
        else:
            assert fast.first_bad == strict.first_bad, kind


def test_a_sound_log_is_sound_and_names_its_artefacts(log):
    rows, heads = log
    wanted = {}
    for row in rows:
        for digest in Entry.parse(row.body).artefacts.values():
            wanted.setdefault(digest, row.index)
    for strict in (False, True):
        found, named = check(rows, heads, strict=strict)
        assert (found.count, found.first_bad) == (0, None)
        assert named == wanted
        assert wanted


def test_what_only_the_strict_way_finds(tmp_path):
    """A body in another spelling, hashed and signed by whoever holds the keys: its bytes are what was signed."""
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        entry = Entry.of(Draft("x", run="r", facts={"a": 1}), index=0, time="2026-01-01T00:00:00.000000Z")
        body = entry.body.replace(b'"a":1', b'"a":1.0')
        ledger._seal_all([()])  # an empty log has a head too
        foreign = Entry(0, entry.kind, entry.run, entry.time, body)
        foreign.__dict__["key"] = None
        ledger._store([foreign])
        ledger._grow(ledger._with([foreign]), [foreign])
        ledger.checkpoint()
    assert verify_folder(tmp_path / "log").ok
    strict = verify_folder(tmp_path / "log", strict=True)
    assert (strict.ok, strict.first_bad) == (False, 0)
    assert "float" in strict.problems[0].what


def test_the_connection_may_be_another(tmp_path):
    seen = []

    def connect(uri):
        seen.append(uri)
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)

    with SQLiteLedger.open(tmp_path / "log", connect=connect) as ledger:
        ledger.seal([Draft("x", facts={})])
    with SQLiteLedger.open(tmp_path / "log", read_only=True, connect=connect) as ledger:
        assert len(ledger) == 1
    path = (tmp_path / "log" / "ledger.db").resolve()
    assert seen == [f"file:{path}?mode=rwc", f"file:{path}?mode=ro"]
