"""The ledger on disk: its one writer, its disk, and what a folder may hold instead."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import subprocess
import sys

import pytest

from qimg_core.errors import ConfigurationError, LedgerBusy, LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger import Draft, SQLiteLedger, verify_folder

HOLD = """
import sys
from qimg_core.ledger import SQLiteLedger
with SQLiteLedger.open(sys.argv[1]) as ledger:
    ledger.append("held", facts={})
    print(len(ledger), flush=True)
    for line in sys.stdin:
        ledger.append("more", facts={})
        print(len(ledger), flush=True)
"""


@pytest.fixture
def log(tmp_path):
    with SQLiteLedger.open(tmp_path / "log", origin="example.org/log") as ledger:
        ledger.extend([Draft("x", facts={"i": i}) for i in range(10)])
        ledger.checkpoint()
    return tmp_path / "log"


def test_it_is_there_after_reopening(log):
    with SQLiteLedger.open(log) as ledger:
        assert ledger.origin == "example.org/log"
        assert len(ledger) == 10
        assert ledger.append("y", facts={}).index == 10
        ledger.checkpoint()
        assert len(ledger.checkpoints()) == 2
    assert verify_folder(log).ok


def test_one_writer_and_readers_beside_it(tmp_path):
    folder = tmp_path / "log"
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout.readline() == "1\n"
        with pytest.raises(LedgerBusy, match=f"process {other.pid}") as caught:
            SQLiteLedger.open(folder)
        assert "read_only=True" in caught.value.hint
        with SQLiteLedger.open(folder, read_only=True) as reader:
            assert len(reader) == 1
            other.stdin.write("\n")
            other.stdin.flush()
            assert other.stdout.readline() == "2\n"
            assert len(reader) == 2
            assert [e.kind for e in reader.entries()] == ["held", "more"]
            assert reader.inclusion(1).holds()
            assert reader.verify().ok
            for write in (
                lambda: reader.append("x", facts={}),
                lambda: reader.put(b""),
                reader.checkpoint,
                lambda: reader.sign_text(b"x\n"),
            ):
                with pytest.raises(LedgerError, match="reading only"):
                    write()
        other.stdin.close()
    with SQLiteLedger.open(folder) as ledger:
        assert len(ledger) == 2


def test_a_second_writer_in_the_same_process_is_refused_too(log):
    with SQLiteLedger.open(log), pytest.raises(LedgerBusy, match=str(os.getpid())):
        SQLiteLedger.open(log)


def test_a_forked_child_cannot_write(log):
    with SQLiteLedger.open(log) as ledger:
        child = os.fork()
        if child == 0:
            try:
                ledger.append("x", facts={})
                os._exit(1)
            except LedgerError:
                ledger.close()
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        with pytest.raises(LedgerBusy):
            SQLiteLedger.open(log)
        assert ledger.append("x", facts={}).index == 10


def test_no_ledger_there(tmp_path):
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(ConfigurationError, match="no ledger in"):
            SQLiteLedger.open(tmp_path / "none", **options)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError):
        SQLiteLedger.open(tmp_path / "file")


def test_another_name_is_refused(log):
    with pytest.raises(ConfigurationError, match=r"is example\.org/log, not other"):
        SQLiteLedger.open(log, origin="other")
    with SQLiteLedger.open(log, origin="example.org/log"):
        pass


@pytest.mark.parametrize("read_only", [True, False])
def test_what_is_not_a_ledger_is_left_alone(tmp_path, read_only):
    text, base = tmp_path / "text", tmp_path / "base"
    for folder in (text, base):
        folder.mkdir()
    (text / "ledger.db").write_bytes(b"no database at all" * 100)
    with sqlite3.connect(base / "ledger.db") as other:
        other.execute("CREATE TABLE mine(x)")
    other.close()
    for folder in (text, base):
        before = (folder / "ledger.db").read_bytes()
        with pytest.raises(LedgerError, match="not a ledger|verifier keys are missing"):
            SQLiteLedger.open(folder, read_only=read_only)
        assert (folder / "ledger.db").read_bytes() == before


def test_a_newer_format_is_refused(log):
    change(log, "PRAGMA user_version=2")
    for read_only in (True, False):
        with pytest.raises(LedgerError, match="format 2") as caught:
            SQLiteLedger.open(log, read_only=read_only)
        assert "upgrade" in caught.value.hint


def change(folder, *statements, triggers=False):
    db = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    if not triggers:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        db.execute(*((statement,) if isinstance(statement, str) else statement))
    db.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET kind='y' WHERE idx=5",
        "DELETE FROM entry WHERE idx=5",
        "DELETE FROM entry",
        "INSERT INTO entry VALUES(12, NULL, 'x', 't', x'00', zeroblob(32))",
        "INSERT OR REPLACE INTO entry VALUES(5, NULL, 'x', 't', x'00', zeroblob(32))",
        "UPDATE checkpoint SET size=1",
        "DELETE FROM checkpoint",
        "INSERT INTO checkpoint VALUES(3, zeroblob(32), x'00')",
        "UPDATE meta SET value='other'",
    ],
)
def test_the_tables_refuse_accidents(log, statement):
    with pytest.raises(sqlite3.IntegrityError):
        change(log, statement, triggers=True)
    assert verify_folder(log).ok


def test_it_does_not_continue_a_log_that_contradicts_its_signature(log):
    change(log, "DELETE FROM entry WHERE idx >= 7")
    with pytest.raises(LedgerCorrupt, match="contradicts its signed checkpoint 10"):
        SQLiteLedger.open(log)
    found = verify_folder(log)
    assert not found.ok
    assert found.first_bad == 7


def test_a_restored_old_database_is_noticed(log, tmp_path):
    shutil.copytree(log, tmp_path / "copy")
    with SQLiteLedger.open(log) as ledger:
        ledger.append("later", facts={})
        ledger.checkpoint()
    shutil.copy(tmp_path / "copy" / "ledger.db", log / "ledger.db")
    with pytest.raises(LedgerCorrupt, match="contradicts its signed checkpoint 11"):
        SQLiteLedger.open(log)
    assert any("an old copy was restored" in p.what for p in verify_folder(log).problems)


def test_the_database_of_one_log_with_the_keys_of_another(log, tmp_path):
    with SQLiteLedger.open(tmp_path / "other"):
        pass
    shutil.rmtree(log / "keys")
    shutil.copytree(tmp_path / "other" / "keys", log / "keys")
    with pytest.raises(LedgerCorrupt, match="is of the log"):
        SQLiteLedger.open(log)


def test_a_crash_between_the_head_and_its_outside_copy_heals(log):
    outside = log / "keys" / "last.checkpoint"
    note = outside.read_bytes()
    outside.unlink()
    found = verify_folder(log)
    assert found.ok
    assert any("last.checkpoint is missing" in n for n in found.notes)
    with SQLiteLedger.open(log):
        pass
    assert outside.read_bytes() == note


@pytest.mark.parametrize("made", ["folder", "keys", "empty database"])
def test_a_crash_while_it_is_made_heals(tmp_path, made):
    folder = tmp_path / "log"
    (folder / "keys").mkdir(parents=True)
    if made == "keys":  # private keys written, the public file that completes them not yet
        with SQLiteLedger.open(tmp_path / "other"):
            pass
        shutil.copy(tmp_path / "other" / "keys" / "log.ed25519.pem", folder / "keys")
    if made == "empty database":
        with SQLiteLedger.open(tmp_path / "other"):
            pass
        shutil.copytree(tmp_path / "other" / "keys", folder / "keys", dirs_exist_ok=True)
        (folder / "ledger.db").touch()
    with SQLiteLedger.open(folder) as ledger:
        assert ledger.append("x", facts={}).index == 0
    assert verify_folder(folder).ok


def test_a_full_disk_loses_nothing_and_recovers(tiny_disk):
    disk, _ = tiny_disk
    with SQLiteLedger.open(disk / "log") as ledger:
        ledger.append("first", facts={})
        with pytest.raises(StorageError, match="full"):
            ledger.put(os.urandom(2_000_000))
        acknowledged = 1
        with pytest.raises(StorageError, match="full"):
            for i in range(200):
                ledger.append("x", facts={"i": i, "pad": "p" * 20_000})
                acknowledged += 1
        assert len(ledger) == acknowledged > 1
        assert len(list(ledger.entries())) == acknowledged
        assert ledger.verify().ok
    with SQLiteLedger.open(disk / "log", read_only=True) as ledger:
        assert len(ledger) == acknowledged
        assert ledger.verify().ok


def test_no_room_for_a_ledger_at_all(tiny_disk):
    disk, _ = tiny_disk
    with pytest.raises(OSError, match="space"), (disk / "ballast").open("wb", buffering=0) as ballast:
        while True:
            ballast.write(b"x" * 4096)
    with pytest.raises(StorageError, match="full|space"):
        SQLiteLedger.open(disk / "log")


def test_a_read_only_disk(tiny_disk):
    disk, read_only = tiny_disk
    with SQLiteLedger.open(disk / "log") as ledger:
        digest = ledger.put(b"data")
        ledger.append("x", facts={"artefacts": {"a": digest}})
        ledger.checkpoint()
    read_only()
    with pytest.raises(StorageError, match="[Rr]ead-only"):
        SQLiteLedger.open(disk / "log")
    with pytest.raises(StorageError, match="[Rr]ead-only"):
        SQLiteLedger.open(disk / "new")
    with SQLiteLedger.open(disk / "log", read_only=True) as ledger:
        assert ledger.get(digest) == b"data"
        assert ledger.verify().ok


def test_a_failing_commit_is_undone(log, monkeypatch):
    with SQLiteLedger.open(log) as ledger:
        (limit,) = ledger._db.execute("PRAGMA page_count").fetchone()
        ledger._db.execute(f"PRAGMA max_page_count={limit}")
        with pytest.raises(StorageError, match="full"):
            ledger.extend([Draft("x", facts={"pad": "p" * 60_000})] * 20)
        assert len(ledger) == 10
        ledger._db.execute("PRAGMA max_page_count=100000")
        assert ledger.append("x", facts={}).index == 10
        ledger.checkpoint()
        assert ledger.verify().ok


def test_a_damaged_database_file_is_an_answer(log):
    rng = random.Random(5)
    path = log / "ledger.db"
    whole = path.read_bytes()
    with SQLiteLedger.open(log, read_only=True) as ledger:
        bodies = [entry.body for entry in ledger.entries()]
    for _ in range(40):
        start = rng.randrange(100, len(whole) - 600)
        path.write_bytes(whole[:start] + rng.randbytes(600) + whole[start + 600 :])
        found = verify_folder(log)  # whatever was hit, perhaps unused space
        assert found.ok or found.problems
        body = rng.choice(bodies)
        start = whole.index(body)
        path.write_bytes(whole[:start] + rng.randbytes(len(body)) + whole[start + len(body) :])
        found = verify_folder(log)
        assert (found.ok, found.first_bad) == (False, bodies.index(body))


def test_an_artefact_file_that_is_something_else(log):
    with SQLiteLedger.open(log) as ledger:
        digest = ledger.put(b"data")
        path = log / "artefacts" / "sha256" / digest[7:9] / digest[7:]
        path.write_bytes(b"date")
        for use in (lambda: ledger.get(digest), lambda: ledger.put(b"data")):
            with pytest.raises(LedgerCorrupt, match="has the digest"):
                use()


def test_durability_settings(tmp_path, monkeypatch):
    synced = []
    real = os.fsync

    def fsync(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        real(handle)

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("no /proc to see what is synced")
    monkeypatch.setattr(os, "fsync", fsync)
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        # Before the first acknowledgement: the folder, or the tables may vanish with power; its parent too.
        assert {str(tmp_path), str(tmp_path / "log"), str(tmp_path / "log" / "keys")} <= set(synced)
        assert ledger._db.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        assert ledger._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        synced.clear()
        digest = ledger.put(b"data")
        place = tmp_path / "log" / "artefacts" / "sha256" / digest[7:9]
        assert {str(place), str(place.parent)} <= set(synced)
