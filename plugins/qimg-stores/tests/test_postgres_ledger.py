"""The ledger in PostgreSQL: many writers, crashes, roles, what the server refuses, and what its URI may hold."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import threading
from itertools import pairwise

import psycopg
import pytest

from qimg_core.cli.app import main
from qimg_core.errors import ConfigurationError, LedgerBusy, LedgerCorrupt, LedgerError, StorageError, UnknownName
from qimg_core.ledger import Draft, rotation
from qimg_core.ledger.bundle import check, export
from qimg_core.ledger.note import Checkpoint, open_note, split_note
from qimg_core.ledger.opening import open_ledger
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_stores.postgres import PostgresLedger
from qimg_stores.postgres_address import Address
from qimg_stores.postgres_making import make
from qimg_stores.postgres_schema import TABLE_NAMES, TRIGGERS, role_script

WRITER = """
import random, sys
from qimg_core.ledger import Draft, rotation
from qimg_stores.postgres import PostgresLedger
rng = random.Random(int(sys.argv[2]))
ledger = PostgresLedger.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[3])):
    digest = ledger.put(rng.randbytes(rng.randint(1, 3000)))
    facts = {"artefacts": {"a": digest}}
    entries = ledger.extend([Draft("step", run=sys.argv[2], facts=facts) for _ in range(rng.choice([1, 1, 5, 40]))])
    print("stored", entries[-1].index, digest, flush=True)
    if rng.random() < 0.4:
        print("signed", ledger.checkpoint().split(b"\\n")[1].decode(), flush=True)
    if rng.random() < 0.2:
        ledger.seal([Draft("sealed", run=sys.argv[2], facts=facts)])
"""


@pytest.fixture
def uri(postgres, tmp_path):
    made = postgres.uri(folder=tmp_path / "keys here")
    with make(made, origin="example.org/pg") as ledger:
        ledger.extend([Draft("x", facts={"i": i}) for i in range(10)])
        ledger.checkpoint()
    return made


def writer(uri, number, rounds):
    """A process that writes, open and waiting for a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, uri, str(number), str(rounds)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def test_it_is_there_after_reopening(uri):
    with PostgresLedger.open(uri) as ledger:
        assert (ledger.origin, len(ledger)) == ("example.org/pg", 10)
        assert ledger.append("y", facts={}).index == 10
        ledger.checkpoint()
        assert len(ledger.checkpoints()) == 2
    with PostgresLedger.open(uri, read_only=True) as ledger:
        assert ledger.verify().ok
        with pytest.raises(LedgerError, match="reading only"):
            ledger.append("x", facts={})


def test_a_session_and_the_command_line_write_and_verify_it(uri, capsys):
    registry = Registry()
    with Session(uri, seed=3, registry=registry) as session:
        session.record("note.made", {"text": "anything"})
    with open_ledger(uri, registry) as ledger:
        assert [e.kind for e in ledger.entries(start=10)] == ["run.started", "note.made", "run.finished"]
    assert main(["verify", uri]) == 0
    assert "pass" in capsys.readouterr().out
    assert main(["ledger", "log", "--ledger", uri + "&read_only=true"]) == 0


def test_a_bundle_of_it_is_checked_by_the_stand_alone_verifier(uri, tmp_path):
    with PostgresLedger.open(uri) as ledger:
        found = check(export(ledger, tmp_path / "bundle"))
    assert found.ok
    assert found.entries == 10


def test_two_processes_append_at_once_in_one_order(uri):
    writers = [writer(uri, number, 12) for number in (1, 2)]
    for w in writers:
        w.stdin.write("\n")
        w.stdin.flush()
    said = [w.communicate()[0].splitlines() for w in writers]
    assert [w.returncode for w in writers] == [0, 0]
    stored = [[int(line.split()[1]) for line in lines if line.startswith("stored")] for lines in said]
    with PostgresLedger.open(uri) as ledger:
        entries = list(ledger.entries(start=10))
        assert [e.index for e in entries] == list(range(10, 10 + len(entries)))
        assert {e.run for e in entries} == {"1", "2"}
        for number, indices in zip("12", stored, strict=True):
            assert all(ledger.entry(i).run == number for i in indices)
        ledger.checkpoint()
        found = ledger.verify(strict=True)
    assert found.ok, found
    runs = [e.run for e in entries]
    assert sum(a != b for a, b in pairwise(runs)) > 2  # they did take turns


def test_threads_and_a_second_ledger_object_seal_at_once(uri):
    with PostgresLedger.open(uri) as one, PostgresLedger.open(uri) as two:
        one.inclusion(3)  # a tree that has to follow what the other writes
        notes = []

        def work(ledger, run):
            for i in range(6):
                notes.append(ledger.seal([Draft("x", run=run, facts={"i": i})]).note)

        threads = [threading.Thread(target=work, args=(one if n % 2 else two, f"r{n}")) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(one) == len(two) == 34
        heads = [Checkpoint.parse(open_note(note, one.keys).text) for note in notes]
        assert all(one.inclusion(h.size - 1, h.size).root == h.root for h in heads)
        assert one.inclusion(33).holds()
        assert two.verify().ok


def test_a_retry_key_is_one_entry_whoever_writes_it(uri):
    with PostgresLedger.open(uri) as one, PostgresLedger.open(uri) as two:
        first = one.extend([Draft("x", facts={"i": 1}, key="job-1")])[0]
        assert two.extend([Draft("x", facts={"i": 1}, key="job-1")])[0] == first
        with pytest.raises(ConfigurationError, match="job-1"):
            two.extend([Draft("x", facts={"i": 2}, key="job-1")])
        assert len(one) == 11


def kills(uri, count):
    rng = random.Random(5)
    for trial in range(count):
        with writer(uri, trial, 1000) as process:
            process.stdin.write("\n")
            process.stdin.flush()
            lines = [process.stdout.readline() for _ in range(rng.randint(1, 12))]
            process.kill()
            rest = process.stdout.read()
        assert process.returncode == -9
        lines += [line for line in rest.splitlines(keepends=True) if line.endswith("\n")]
        with PostgresLedger.open(uri) as ledger:  # the dead writer's turn ended with its connection
            for line in lines:
                what, number, *digest = line.split()
                if what == "stored":
                    assert ledger.entry(int(number)).artefacts == {"a": digest[0]}
                    ledger.get(digest[0])
                else:
                    assert int(number) in [int(note.split(b"\n")[1]) for note in ledger.checkpoints()]
            indices = [e.index for e in ledger.entries()]
            assert indices == list(range(len(indices)))
            ledger.append("resumed", facts={"trial": trial})
    with PostgresLedger.open(uri) as ledger:
        ledger.checkpoint()
        assert ledger.verify().ok


def test_a_killed_writer_loses_nothing_that_it_acknowledged(uri):
    kills(uri, 3)


@pytest.mark.slow
def test_30_killed_writers(uri):
    kills(uri, 30)


def test_a_server_that_crashes_loses_nothing_and_the_writer_goes_on(uri, postgres):
    with PostgresLedger.open(uri) as ledger:
        entry = ledger.append("before", facts={})
        note = ledger.checkpoint()
        postgres.crash()
        with pytest.raises(StorageError, match="cannot use"):
            ledger.append("lost", facts={})
        postgres.start()
        assert ledger.entry(entry.index) == entry
        assert ledger.checkpoint() == note
        assert ledger.append("after", facts={}).index == entry.index + 1
        ledger.checkpoint()
        assert ledger.verify().ok


def schema_of(uri):
    return Address.parse(uri).schema


@pytest.mark.parametrize(
    "statement",
    [
        *(f"DELETE FROM {table}" for table in TABLE_NAMES),
        *(f"TRUNCATE {table} CASCADE" for table in TABLE_NAMES),
        "UPDATE entry SET kind = 'y' WHERE idx = 3",
        "UPDATE checkpoint SET note = ''",
        "INSERT INTO entry SELECT 12, run, kind, time, body, leaf FROM entry WHERE idx = 3",
        "INSERT INTO entry SELECT 10, run, kind, time, 'other', leaf FROM entry WHERE idx = 3",
        "INSERT INTO entry SELECT 5, run, kind, time, body, leaf FROM entry WHERE idx = 3",
        "INSERT INTO checkpoint SELECT 5, root, note FROM checkpoint",
        "INSERT INTO checkpoint SELECT 11, root, note FROM checkpoint",
        "INSERT INTO artefact_part VALUES (sha256('none'), 0, 'x')",
    ],
)
def test_even_the_owner_is_refused_by_triggers_and_constraints(uri, postgres, statement):
    with postgres.connect(options=f"-c search_path={schema_of(uri)}") as db:
        before = db.execute("SELECT count(*), max(idx) FROM entry").fetchone()
        with pytest.raises(psycopg.Error):
            db.execute(statement)
        assert db.execute("SELECT count(*), max(idx) FROM entry").fetchone() == before


def test_a_part_is_not_added_to_an_artefact_that_is_there(uri, postgres):
    with PostgresLedger.open(uri) as ledger:
        data = os.urandom(3 << 20)
        digest = ledger.put(data)
        assert ledger.put(data) == digest
        name = bytes.fromhex(digest[7:])
        with postgres.connect(options=f"-c search_path={schema_of(uri)}") as db:
            assert db.execute("SELECT count(*) FROM artefact_part WHERE digest = %s", (name,)).fetchone() == (3,)
            with pytest.raises(psycopg.Error, match="no part 3"):
                db.execute("INSERT INTO artefact_part VALUES (%s, 3, 'x')", (name,))
        assert ledger.get(digest) == data


def test_the_writers_role_may_add_and_nothing_else(uri, postgres):
    schema = schema_of(uri)
    with postgres.connect() as db:
        db.execute(role_script(schema, f"{schema}_writer", f"{schema}_reader"))
        for name in ("writer", "reader"):
            db.execute(f"CREATE ROLE {schema}_{name}_1 LOGIN IN ROLE {schema}_{name}")
    with PostgresLedger.open(uri.replace("postgres@", f"{schema}_writer_1@")) as ledger:
        ledger.append("x", facts={"artefacts": {"a": ledger.put(b"abc")}})
        ledger.checkpoint()
        assert ledger.verify().ok
    for user, statements in {
        f"{schema}_writer_1": ["DELETE FROM entry", "UPDATE meta SET value = ''", "INSERT INTO meta VALUES('a', 'b')"],
        f"{schema}_reader_1": ["INSERT INTO retry VALUES('a', 1)", "DROP TABLE entry"],
    }.items():
        with postgres.connect(user=user, options=f"-c search_path={schema}") as db:
            for statement in [*statements, "TRUNCATE checkpoint", "ALTER TABLE entry DISABLE TRIGGER ALL"]:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    db.execute(statement)
    with PostgresLedger.open(uri.replace("postgres@", f"{schema}_reader_1@")) as ledger:
        with pytest.raises(LedgerError, match=r"may not do this.*permission denied"):
            ledger.append("x", facts={})
        assert len(ledger) == 11


def tampered(postgres, uri, statement):
    with postgres.connect(options=f"-c search_path={schema_of(uri)} -c session_replication_role=replica") as db:
        db.execute("ALTER TABLE entry DROP CONSTRAINT IF EXISTS entry_leaf_is_hash")
        db.execute(statement)


def test_an_edited_body_is_named_and_the_log_is_not_continued_from_other_leaves(uri, postgres):
    edit = "UPDATE entry SET body = replace(encode(body, 'escape'), '\"i\":4', '\"i\":5')::bytea WHERE idx = 4"
    tampered(postgres, uri, edit)
    with PostgresLedger.open(uri, read_only=True) as ledger:
        found = ledger.verify()
    assert not found.ok
    assert found.first_bad == 4
    tampered(postgres, uri, "UPDATE entry SET leaf = sha256('\\x00'::bytea || body)")
    with PostgresLedger.open(uri, read_only=True) as ledger:
        assert not ledger.verify().ok
    with pytest.raises(LedgerCorrupt, match="contradicts the head over 10"):
        PostgresLedger.open(uri)


def test_a_database_that_was_put_back_is_refused(uri, postgres):
    tampered(postgres, uri, "DELETE FROM checkpoint; DELETE FROM entry WHERE idx > 6")
    with pytest.raises(LedgerCorrupt, match="put back"):
        PostgresLedger.open(uri)
    with PostgresLedger.open(uri, read_only=True) as ledger:
        found = ledger.verify()
    assert any("put back" in problem.what for problem in found.problems)
    without = uri.partition("&folder=")[0] + "&read_only=true"
    with PostgresLedger.open(without) as ledger:  # the limit: alone, the database agrees with itself
        assert ledger.verify().ok


def test_a_writer_beside_a_tampered_log_signs_nothing(uri, postgres):
    with PostgresLedger.open(uri) as one:
        with PostgresLedger.open(uri) as two:
            two.append("x", facts={})
            tampered(postgres, uri, "UPDATE entry SET leaf = sha256('other') WHERE idx = 10")
            two.checkpoint()
        with pytest.raises(LedgerCorrupt, match="contradicts the head over 11"):
            one.append("y", facts={})
        assert len(one.checkpoints()) == 2


def test_dropped_triggers_are_noted(uri, postgres):
    with postgres.connect(options=f"-c search_path={schema_of(uri)}") as db:
        db.execute("DROP TRIGGER entry_append_only ON entry")
        db.execute("ALTER TABLE checkpoint DISABLE TRIGGER checkpoint_in_order")
    with PostgresLedger.open(uri) as ledger:
        (note,) = ledger.verify().notes
    assert note == "append-only triggers are missing or disabled: checkpoint_in_order, entry_append_only"
    assert len(TRIGGERS) == 9


def test_keys_that_another_writer_changed_are_noticed(uri):
    with PostgresLedger.open(uri) as one, PostgresLedger.open(uri) as two:
        two.append("keys.rotated", facts={})
        with pytest.raises(LedgerError, match="another writer changed the keys"):
            one.append("x", facts={})


def test_a_rotation_and_writers_with_old_keys(uri, tmp_path):
    folder = Address.parse(uri).folder
    shutil.copytree(folder, tmp_path / "copy")
    copied = uri.replace(str(folder), str(tmp_path / "copy"))
    with PostgresLedger.open(copied) as other, PostgresLedger.open(uri) as ledger:
        rotation.rotate(ledger, folder, "test")
        ledger.append("x", facts={})
        ledger.checkpoint()
        with pytest.raises(LedgerError, match="another writer changed the keys"):
            other.append("x", facts={})
        found = ledger.verify(strict=True)
        assert found.ok, found.problems
    with pytest.raises(LedgerError, match="not those in force"):
        PostgresLedger.open(copied)
    with PostgresLedger.open(uri) as ledger:
        assert ledger.append("y", facts={}).index == 12
        assert len(ledger.history.periods) == 2


def test_a_rotation_that_is_cut_off_is_finished_by_the_next_writer(uri, monkeypatch):
    folder = Address.parse(uri).folder
    with PostgresLedger.open(uri) as ledger:
        monkeypatch.setattr(ledger, "checkpoint", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            rotation.rotate(ledger, folder, "test")
    with PostgresLedger.open(uri) as ledger:
        assert len(ledger.history.periods) == 2
        found = ledger.verify()
        assert found.ok, found.problems
        assert [e.kind for e in ledger.entries(start=10)] == ["keys.rotated"]


def test_a_turn_that_does_not_end_is_said(uri, monkeypatch):
    monkeypatch.setattr("qimg_stores.postgres_session._WAIT", 0.1)
    with PostgresLedger.open(uri) as one, PostgresLedger.open(uri) as two:
        with one.exclusive(), pytest.raises(LedgerBusy, match="another writer"):
            two.append("x", facts={})
        assert two.append("x", facts={}).index == 10


def test_a_forked_child_cannot_write(uri):
    with PostgresLedger.open(uri) as ledger:
        child = os.fork()
        if child == 0:
            try:
                ledger.append("x", facts={})
                os._exit(1)
            except LedgerError:
                ledger.close()
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert ledger.append("x", facts={}).index == 10


def test_the_password_comes_by_reference_and_shows_nowhere(uri, postgres, monkeypatch, tmp_path, capfd):
    secret = "correct-horse-battery"
    with postgres.connect() as db:
        db.execute(f"CREATE ROLE guarded LOGIN SUPERUSER PASSWORD '{secret}'")
    guarded = uri.replace("postgres@", "guarded@")
    with pytest.raises(StorageError) as caught:
        PostgresLedger.open(guarded + f"&passfile={tmp_path / 'none'}")
    assert "password" in str(caught.value)
    monkeypatch.setenv("QIMG_POSTGRES_PASSWORD", "wrong-" + secret)
    with pytest.raises(StorageError, match="password authentication failed") as caught:
        PostgresLedger.open(guarded)
    assert secret not in f"{caught.value!r} {caught.value} {caught.value.__cause__} {caught.value.facts}"
    file = tmp_path / "password"
    file.write_text(secret + "\n")
    file.chmod(0o600)
    monkeypatch.delenv("QIMG_POSTGRES_PASSWORD")
    monkeypatch.setenv("QIMG_POSTGRES_PASSWORD_FILE", str(file))
    with PostgresLedger.open(guarded) as ledger:
        assert secret not in repr(vars(ledger))
        ledger.append("x", facts={})
    monkeypatch.setenv("QIMG_POSTGRES_PASSWORD_FILE", str(tmp_path / "missing"))
    with pytest.raises(StorageError, match="cannot be read"):
        PostgresLedger.open(guarded)
    for bad in (f"postgresql://u:{secret}@h/d", f"postgresql://u@h/d?password={secret}"):
        assert main(["verify", bad]) == 2
        with pytest.raises(ConfigurationError, match="a password does not belong") as caught:
            Address.parse(bad)
        assert secret not in str(caught.value)
    assert secret not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("uri", "error"),
    [
        ("postgresql://u@h:port/d", "not a URI"),
        ("postgres://u@h/d", "not a URI"),
        ("postgresql://u@h/d?schema=A%20b", "no plain lower-case name"),
        ("postgresql://u@h/d?schema=a;drop", "no plain lower-case name"),
        ("postgresql://u@h/d?read_only=1", "wanted true or false"),
    ],
)
def test_a_malformed_address_is_refused(uri, error):
    with pytest.raises(ConfigurationError, match=error):
        Address.parse(uri)


def test_an_unknown_option_offers_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'folder'"):
        Address.parse("postgresql://u@h/d?foldr=x")


def test_no_ledger_there_no_folder_no_server(postgres, tmp_path, uri):
    with pytest.raises(ConfigurationError, match="no ledger in") as caught:
        PostgresLedger.open(postgres.uri(read_only="true"))
    assert "qimg postgres init" in caught.value.hint
    with pytest.raises(ConfigurationError, match="name the folder that holds its keys"):
        PostgresLedger.open(uri.partition("&folder=")[0])
    with pytest.raises(StorageError):
        PostgresLedger.open(f"postgresql://u@/d?host={tmp_path}&read_only=true")
    with pytest.raises(ConfigurationError, match="there is a ledger already"):
        make(uri)
    other = postgres.uri(folder=tmp_path / "other")
    with make(other):
        pass
    with pytest.raises(LedgerCorrupt, match="with other keys"):
        PostgresLedger.open(uri.partition("&folder=")[0] + f"&folder={tmp_path / 'other'}")


def test_the_commands(postgres, tmp_path, capsys):
    uri = postgres.uri(schema="made_by_command", folder=tmp_path)
    assert main(["postgres", "init", uri, "--origin", "example.org/made", "--json"]) == 0
    assert '"log": "example.org/made"' in capsys.readouterr().out
    with PostgresLedger.open(uri) as ledger:
        assert split_note(ledger.checkpoint())[0].startswith(b"example.org/made\n0\n")
    assert main(["postgres", "roles", uri, "--writer", "w"]) == 0
    assert 'GRANT USAGE ON SCHEMA made_by_command TO "w", "qimg_reader";' in capsys.readouterr().out
    assert main(["postgres", "roles", uri, "--writer", 'w"']) == 2
    assert main(["postgres", "init", uri]) == 2
