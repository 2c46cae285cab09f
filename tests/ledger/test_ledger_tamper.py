"""Seeded random changes to a stored log: each is found, and the first bad entry is named."""

from __future__ import annotations

import random
import sqlite3

import pytest

from qimg_core.ledger import MemoryLedger, SQLiteLedger, verify_folder
from qimg_core.ledger.entry import Draft, Entry
from qimg_core.ledger.verify import Head, Row


@pytest.fixture
def log(tmp_path, fill):
    """A log whose triggers are gone, as an attacker would have it. Gives folder and entry -> digests."""
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        named = fill(ledger, random.Random(3), runs=6)
        assert ledger.verify().ok
    db = sqlite3.connect(tmp_path / "log" / "ledger.db", isolation_level=None)
    for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
        db.execute(f"DROP TRIGGER {name}")
    db.execute("PRAGMA synchronous=OFF")
    yield tmp_path / "log", named, db
    db.close()


def flip(rng, data):
    data = bytearray(data)
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return bytes(data)


def other_text(rng, text):
    return "other" if text is None else text + rng.choice("abc") if rng.random() < 0.5 else text[:-1]


def in_table(rng, db):
    """Change one stored value. Gives what was done, the first bad entry (None where no entry is hit), and the undo."""
    what = rng.choice(
        ["body", "leaf", "idx", "run", "kind", "time", "delete", "size", "root", "note", "origin", "keys"]
    )
    if what in ("origin", "keys"):
        (old,) = db.execute("SELECT value FROM meta WHERE name=?", (what,)).fetchone()
        db.execute("UPDATE meta SET value=? WHERE name=?", (old[:-3] + "x" + old[-2:], what))
        return what, None, lambda: db.execute("UPDATE meta SET value=? WHERE name=?", (old, what))
    if what in ("size", "root", "note"):
        head = rng.choice(db.execute("SELECT size, root, note FROM checkpoint").fetchall())
        sizes = {s for (s,) in db.execute("SELECT size FROM checkpoint")}
        size, root, note = head
        if what == "size":
            size = rng.choice([s for s in range(200) if s not in sizes])
        elif what == "root":
            root = flip(rng, root)
        else:
            note = flip(rng, note)
        db.execute("UPDATE checkpoint SET size=?, root=?, note=? WHERE size=?", (size, root, note, head[0]))
        undo = "UPDATE checkpoint SET size=?, root=?, note=? WHERE size=?"
        return what, None, lambda: db.execute(undo, (*head, size))
    row = rng.choice(db.execute("SELECT idx, run, kind, time, body, leaf FROM entry").fetchall())
    insert = "INSERT INTO entry VALUES(?,?,?,?,?,?)"
    db.execute("DELETE FROM entry WHERE idx=?", (row[0],))
    new = list(row)
    if what == "idx":
        (count,) = db.execute("SELECT count(*) + 1 FROM entry").fetchone()
        new[0] += count * rng.randint(1, 3)
    elif what in ("body", "leaf"):
        at = 4 if what == "body" else 5
        new[at] = flip(rng, row[at])
    elif what != "delete":
        at = {"run": 1, "kind": 2, "time": 3}[what]
        new[at] = other_text(rng, row[at])
    if what != "delete":
        db.execute(insert, new)

    def undo():
        db.execute("DELETE FROM entry WHERE idx=?", (new[0],))
        db.execute(insert, row)

    return what, row[0], undo


def in_file(rng, folder, named):
    """Change a byte of a file outside the database, or remove an artefact."""
    path = rng.choice([*sorted(p for p in (folder / "artefacts").rglob("*") if p.is_file()), None])
    first = None
    if path is None:
        path = rng.choice([folder / "keys" / "last.checkpoint", folder / "keys" / "log.vkeys"])
    else:
        first = min(i for i, digests in named.items() if f"sha256:{path.name}" in digests)
    data = path.read_bytes()
    if first is not None and (not data or rng.random() < 0.2):
        path.unlink()
    else:
        path.write_bytes(flip(rng, data))
    return path.name, first, lambda: path.write_bytes(data)


def changes(log, seed, count):
    folder, named, db = log
    rng = random.Random(seed)
    hit = 0
    for number in range(count):
        what, first, undo = in_table(rng, db) if rng.random() < 0.75 else in_file(rng, folder, named)
        found = verify_folder(folder)
        assert not found.ok, (number, what)
        assert found.problems, (number, what)
        assert found.first_bad == first, (number, what, found)
        hit += first is not None
        undo()
    assert verify_folder(folder).ok
    assert hit > count / 3


def test_150_changes(log):
    changes(log, 1, 150)


@pytest.mark.slow
def test_1000_changes(log):
    changes(log, 2, 1000)


def test_a_body_rewritten_with_its_hash_is_found_by_the_next_signature(log):
    folder, _, db = log
    sizes = [0, *(s for (s,) in db.execute("SELECT size FROM checkpoint ORDER BY size"))]
    for index in range(sizes[-1]):
        row = db.execute("SELECT body, leaf, run, kind FROM entry WHERE idx=?", (index,)).fetchone()
        time = Entry.parse(row[0]).time
        forged = Entry.of(Draft(row[3], run=row[2], facts={"forged": True}), index=index, time=time)
        db.execute("UPDATE entry SET body=?, leaf=? WHERE idx=?", (forged.body, forged.leaf, index))
        found = verify_folder(folder)
        db.execute("UPDATE entry SET body=?, leaf=? WHERE idx=?", (*row[:2], index))
        assert not found.ok
        assert found.first_bad == max(s for s in sizes if s <= index)


def test_a_cut_end_is_found_by_the_copy_outside(log):
    folder, _, db = log
    sizes = [s for (s,) in db.execute("SELECT size FROM checkpoint ORDER BY size")]
    db.execute("DELETE FROM entry WHERE idx >= ?", (sizes[-2],))
    db.execute("DELETE FROM checkpoint WHERE size > ?", (sizes[-2],))
    found = verify_folder(folder)
    assert [p.where for p in found.problems] == ["keys/last.checkpoint"]


def test_swapped_entries_and_swapped_notes(log):
    folder, _, db = log
    rows = dict(db.execute("SELECT idx, body FROM entry WHERE idx IN (4, 7)").fetchall())
    leaves = dict(db.execute("SELECT idx, leaf FROM entry WHERE idx IN (4, 7)").fetchall())
    for a, b in ((4, 7), (7, 4)):
        db.execute("UPDATE entry SET body=?, leaf=? WHERE idx=?", (rows[b], leaves[b], a))
    assert verify_folder(folder).first_bad == 4
    for a in (4, 7):
        db.execute("UPDATE entry SET body=?, leaf=? WHERE idx=?", (rows[a], leaves[a], a))
    notes = db.execute("SELECT size, note FROM checkpoint ORDER BY size LIMIT 2").fetchall()
    for (size, _), (_, note) in zip(notes, reversed(notes), strict=True):
        db.execute("UPDATE checkpoint SET note=? WHERE size=?", (note, size))
    assert not verify_folder(folder).ok


def test_a_head_without_the_post_quantum_signature_fails(log):
    folder, _, db = log
    size, note = db.execute("SELECT size, note FROM checkpoint").fetchone()
    only = b"".join(note.splitlines(keepends=True)[:-1])
    db.execute("UPDATE checkpoint SET note=? WHERE size=?", (only, size))
    assert [p.what for p in verify_folder(folder).problems] == ["no signature by ML-DSA-44"]


def test_a_log_in_memory_is_checked_just_so(fill):
    rng = random.Random(4)
    with MemoryLedger() as ledger:
        fill(ledger, rng)
        for index, row in enumerate(ledger._rows):
            ledger._rows[index] = Row(row.index, row.run, row.kind, row.time, flip(rng, row.body), row.leaf)
            assert ledger.verify().first_bad == index
            ledger._rows[index] = row
        head = ledger._heads[0]
        ledger._heads[0] = Head(head.size, head.root, flip(rng, head.note))
        assert not ledger.verify().ok


def clean_runs(tmp_path, fill, count):
    for number in range(count):
        rng = random.Random(number)
        folder = tmp_path / str(number)
        for _ in range(rng.randint(1, 3)):
            with SQLiteLedger.open(folder) as ledger:
                fill(ledger, rng, runs=rng.randint(0, 4), signed=rng.random() < 0.8)
                found = ledger.verify()
                assert found.ok, found
        found = verify_folder(folder)
        assert found.ok, found
        assert found.first_bad is None


def test_no_false_alarm_on_10_clean_logs(tmp_path, fill):
    clean_runs(tmp_path, fill, 10)


@pytest.mark.slow
def test_no_false_alarm_on_100_clean_logs(tmp_path, fill):
    clean_runs(tmp_path, fill, 100)
