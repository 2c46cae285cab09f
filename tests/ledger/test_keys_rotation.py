"""Rotation and revocation: who may sign which head, what a thief of keys can do, and stopping at any file operation."""

from __future__ import annotations

import os
import sqlite3

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger import SQLiteLedger, keys, rotation, verify_folder
from qimg_core.ledger.bundle import check, export
from qimg_core.ledger.history import REVOKED, ROTATED, KeyHistory, rotation_facts
from qimg_core.ledger.note import Checkpoint, Signer, open_note, split_note

ORIGIN = "example.org/log"


@pytest.fixture(scope="module")
def signers():
    return [Signer.generate(ORIGIN) for _ in range(4)]


@pytest.fixture
def rotated(tmp_path):
    """A log of two entries under the first pair, the hand-over at 3, two entries under the second."""
    folder = tmp_path / "log"
    with SQLiteLedger.open(folder, origin=ORIGIN) as ledger:
        first = ledger.signer
        ledger.append("note", facts={"n": 0})
        ledger.checkpoint()
        ledger.append("note", facts={"n": 1})
        _, note = rotation.rotate(ledger, folder, "yearly")
        for n in (2, 3):
            ledger.append("note", facts={"n": n})
            ledger.checkpoint()
    return folder, first, note


def insert(folder, ledger, signer):
    """What somebody with the database and a signer does: a head over all entries."""
    size = len(ledger)
    root = ledger.inclusion(0, size).root
    note = signer.sign_checkpoint(Checkpoint(ledger.origin, size, root), 1)
    with sqlite3.connect(folder / "ledger.db") as db:
        db.execute("INSERT INTO checkpoint VALUES(?,?,?)", (size, root, note))
    db.close()
    (folder / "keys" / "last.checkpoint").write_bytes(note)


def append_as(folder, signer, kind, facts):
    """Append an entry and a head, with other keys than those in force."""
    with SQLiteLedger.open(folder) as ledger:
        ledger.append(kind, facts=facts(len(ledger) + 1) if callable(facts) else facts)
        insert(folder, ledger, signer)


def test_a_rotated_log_verifies_and_says_so(rotated):
    folder, first, note = rotated
    found = verify_folder(folder)
    assert (found.ok, found.entries, found.checkpoints, found.signatures) == (True, 5, 4, 2 + 4 + 2 + 2)
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        entry = ledger.entry(2)
        second = ledger.keys
        assert (entry.kind, entry.claims) == (ROTATED, {"reason": "yearly"})
        assert entry.facts == {"old": [*map(str, first.keys)], "new": [*map(str, second)], "size": 3}
        assert [(p.keys, p.start, p.end) for p in ledger.history.periods] == [(first.keys, 0, 3), (second, 3, None)]
    assert first.keys != second
    assert Checkpoint.parse(split_note(note)[0]).size == 3
    for pair in (first.keys, second):  # each pair by itself, as C2SP has it: the other's lines are unknown
        opened = open_note(note, pair)
        assert (opened.verified, opened.unknown) == (("Ed25519", "ML-DSA-44"), 2)
    assert (folder / "keys" / "log.vkeys").read_text() == "".join(
        [*(f"{k}\n" for k in first.keys), "from 3\n", *(f"{k}\n" for k in second)]
    )
    assert not [p.name for p in (folder / "keys").iterdir() if p.name.startswith(("log.ed", "log.ml", "pending"))]
    assert {p.stat().st_mode & 0o777 for p in (folder / "keys").glob("*.pem")} == {0o600}


def test_it_rotates_again_and_old_heads_still_prove_entries(rotated):
    folder, _, _ = rotated
    with SQLiteLedger.open(folder) as ledger:
        for _ in range(3):
            rotation.rotate(ledger, folder, "again")
            ledger.append("note", facts={})
            ledger.checkpoint()
        assert len(ledger.history.periods) == 5
    assert verify_folder(folder).ok
    from qimg_core.cli.evidence import prove

    with SQLiteLedger.open(folder, read_only=True) as ledger:
        assert [prove(ledger, entry).verdict for entry in ledger.entries()] == ["pass"] * len(ledger)


def test_a_retired_key_that_signs_a_later_head_is_found(rotated):
    folder, first, _ = rotated
    append_as(folder, first, "note", {"forged": True})
    problems = [str(p) for p in verify_folder(folder).problems]
    assert any("checkpoint 6: signed with a key that is retired since size 3" in p for p in problems), problems


def test_a_later_key_does_not_sign_an_earlier_head(rotated):
    folder, _, _ = rotated
    with SQLiteLedger.open(folder) as ledger:
        early = ledger.signer.sign_checkpoint(Checkpoint(ORIGIN, 2, ledger.inclusion(0, 2).root), 1)
        assert "in force from size 3" in ledger.history.open_head(early).problem


def test_a_hand_over_needs_all_four_signatures(rotated):
    folder, _, note = rotated
    history = keys.load_history(folder)
    text, lines = note.split(b"\n\n")
    each = lines.splitlines(keepends=True)
    assert history.open_head(note).problem == ""
    for i in range(4):
        less = text + b"\n\n" + b"".join(each[:i] + each[i + 1 :])
        assert "of both pairs" in history.open_head(less).problem
    forged = bytearray(note)
    forged[note.index(each[2]) + len(each[2]) - 8] ^= 1
    with pytest.raises(LedgerCorrupt):
        history.open_head(bytes(forged))


@pytest.mark.parametrize("vkeys", ["as they are", "with the thief's"])
@pytest.mark.parametrize("claimed", ["retired", "in force"])
def test_who_stole_a_retired_pair_cannot_rotate(rotated, signers, vkeys, claimed):
    folder, first, _ = rotated
    thief = signers[0]
    history = keys.load_history(folder)
    old = first.keys if claimed == "retired" else history.current
    append_as(folder, evolve(first, successor=thief), ROTATED, lambda size: rotation_facts(old, thief.keys, size))
    if vkeys == "with the thief's":
        (folder / "keys" / "log.vkeys").write_text(history.rotated(thief.keys, 6).text)
    assert not verify_folder(folder).ok


def test_a_new_pair_that_no_entry_hands_over_to_is_found(rotated, signers, tmp_path):
    """The four lines of a note do not vouch for one another: the entry under it does."""
    folder, _, _ = rotated
    with SQLiteLedger.open(folder) as ledger:
        ledger.append("note", facts={})
        history = ledger.history.rotated(signers[1].keys, len(ledger))
        insert(folder, ledger, evolve(ledger.signer, successor=signers[1]))
        ledger.use_keys(signers[1], history)
        export(ledger, tmp_path / "b")
    assert [str(p) for p in check(tmp_path / "b").problems] == [
        "log.vkeys: no entry hands over to the keys in force from size 6"
    ]
    (folder / "keys" / "log.vkeys").write_text(history.text)
    assert [str(p) for p in verify_folder(folder).problems] == [
        "keys: no entry hands over to the keys in force from size 6"
    ]


def test_an_old_copy_of_the_log_beside_new_keys_is_found(rotated, tmp_path):
    folder, _, _ = rotated
    other = tmp_path / "other"
    with SQLiteLedger.open(other, origin=ORIGIN) as ledger:
        ledger.append("note", facts={})
    (other / "keys" / "log.vkeys").write_text((folder / "keys" / "log.vkeys").read_text())
    for path in (folder / "keys").glob("*.pem"):
        (other / "keys" / path.name).write_bytes(path.read_bytes())
    with pytest.raises(LedgerCorrupt, match="an old copy was restored"):
        SQLiteLedger.open(other)
    assert not verify_folder(other).ok


def test_bundles_before_and_after_with_keys_from_before_and_after(rotated, tmp_path, signers):
    folder, first, _ = rotated
    before, after = KeyHistory.of(first.keys).text.encode(), (folder / "keys" / "log.vkeys").read_bytes()
    with SQLiteLedger.open(folder) as ledger:
        ledger.append("note", run="r", facts={})
        export(ledger, tmp_path / "all.zip")
        export(ledger, tmp_path / "some", runs=["r"])
    for path in (tmp_path / "all.zip", tmp_path / "some"):
        for trusted in (None, before, after):
            found = check(path, vkeys=trusted)
            assert found.ok, found.problems
            assert found.signatures == 2 * found.checkpoints + 2 + 1
        strange = KeyHistory.of(signers[0].keys).text.encode()
        assert any("not the trusted keys" in p.what for p in check(path, vkeys=strange).problems)
        for cut in (b"", before[:-1], before.splitlines(keepends=True)[0]):  # a beginning is not enough
            assert not check(path, vkeys=cut).ok


def test_a_bundle_by_a_retired_key_falls_to_newer_trusted_keys(rotated, tmp_path):
    """Who stole the retired pair makes another history: the old key file accepts it, the new one does not."""
    folder, first, _ = rotated
    other = tmp_path / "fork"
    (other / "keys").mkdir(parents=True)
    keys.create(other, ORIGIN)
    with SQLiteLedger.open(other) as ledger:
        ledger.use_keys(first, KeyHistory.of(first.keys))
        for n in range(7):
            ledger.append("forged", facts={"n": n})
        export(ledger, tmp_path / "forged")
    assert check(tmp_path / "forged", vkeys=KeyHistory.of(first.keys).text.encode()).ok
    found = check(tmp_path / "forged", vkeys=(folder / "keys" / "log.vkeys").read_bytes())
    assert any("not signed by the log's keys" in p.what for p in found.problems)


def test_a_bundle_does_not_bring_keys_of_its_own(rotated, signers, tmp_path):
    """A genuine bundle with a later pair added to its key file, and the manifest signed with it."""
    import json

    from qimg_core.ledger import canonical
    from qimg_core.storage import sha256_digest

    folder, first, _ = rotated
    with SQLiteLedger.open(folder) as ledger:
        path = export(ledger, tmp_path / "b")
        history = ledger.history.rotated(signers[2].keys, 999)
    (path / "log.vkeys").write_text(history.text)
    manifest = json.loads((path / "manifest.json").read_bytes())
    data = history.text.encode()
    manifest["files"]["log.vkeys"] = {"bytes": len(data), "sha256": sha256_digest(data)[7:]}
    (path / "manifest.json").write_bytes(canonical.dumps(manifest))
    text = f"qimg.bundle/1\n{ORIGIN}\n{sha256_digest(canonical.dumps(manifest))}\n"
    (path / "manifest.sig").write_bytes(signers[2].sign_text(text.encode()))
    found = check(path, vkeys=KeyHistory.of(first.keys).text.encode())
    assert any("hands over" in p.what for p in found.problems)


def test_a_stolen_key_is_revoked(rotated):
    folder, first, _ = rotated
    key_id = first.keys[0].id.hex()
    with SQLiteLedger.open(folder) as ledger:
        with pytest.raises(ConfigurationError, match="is in force"):
            rotation.revoke(ledger, folder, ledger.keys[0].id.hex(), 4, "stolen")
        with pytest.raises(ConfigurationError, match="no key 00000000"):
            rotation.revoke(ledger, folder, "00000000", 0, "stolen")
        with pytest.raises(ConfigurationError, match="which signed the sizes 0 to 3"):
            rotation.revoke(ledger, folder, key_id, 4, "stolen")
        assert len(ledger) == 5
        entry, _ = rotation.revoke(ledger, folder, key_id, 1, "a laptop was stolen")
        assert (entry.kind, entry.facts["from"], entry.claims) == (REVOKED, 1, {"reason": "a laptop was stolen"})
        with pytest.raises(ConfigurationError, match="from 2"):  # it may become earlier, not later
            rotation.revoke(ledger, folder, key_id, 2, "stolen")
        head = [note for note in ledger.checkpoints() if Checkpoint.parse(split_note(note)[0]).size == 1][0]
        assert ledger.history.open_head(head).revoked
        rotation.revoke(ledger, folder, key_id, 0, "earlier than we thought")
        assert export(ledger, folder / "b")
    found = verify_folder(folder)
    assert found.ok
    assert sum("is revoked from size 0" in note and "1 heads" in note for note in found.notes) == 1
    assert check(folder / "b").ok
    assert sum(f"revoked {key_id} from" in note for note in check(folder / "b").notes) == 2
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        from qimg_core.cli.evidence import prove

        assert prove(ledger, ledger.entry(0)).size == 3  # proven by the first head that counts: the hand-over


def test_a_revocation_that_no_entry_tells_is_found(rotated):
    folder, first, _ = rotated
    history = keys.load_history(folder).revoking(first.keys[0].id.hex(), 2)
    (folder / "keys" / "log.vkeys").write_text(history.text)
    assert [p.what for p in verify_folder(folder).problems] == [
        f"no entry says that the key {first.keys[0].id.hex()} was revoked"
    ]


# Stopping after each file operation


OPERATIONS = ("open", "write", "fsync", "replace", "unlink")


def stopping(count, work):
    """Run ``work`` in a child that ends without any clean-up after so many operations. True where it ran through."""
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    code = 1
    try:
        left = count

        def counted(function):
            def call(*arguments, **named):
                nonlocal left
                result = function(*arguments, **named)
                left -= 1
                if left == 0:
                    os._exit(9)
                return result

            return call

        for name in OPERATIONS:
            setattr(os, name, counted(getattr(os, name)))
        SQLiteLedger._store = counted(SQLiteLedger._store)
        work()
        code = 0
    finally:
        os._exit(code)


def change(folder, act):
    def work():
        ledger = SQLiteLedger.open(folder, create=False)
        act(ledger, folder)

    return work


@pytest.mark.parametrize("act", ["rotate", "revoke"])
def test_stopped_after_any_file_operation_it_is_finished_or_was_not_begun(tmp_path, act):
    import shutil

    start = tmp_path / "start"
    with SQLiteLedger.open(start, origin=ORIGIN) as ledger:
        for n in range(3):
            ledger.append("note", facts={"n": n})
        ledger.checkpoint()
        if act == "revoke":
            rotation.rotate(ledger, start, "x")
            ledger.append("note", facts={"n": 3})
            ledger.checkpoint()
        first = ledger.history.periods[0].keys[0].id.hex()
        bodies = [entry.body for entry in ledger.entries()]
    acts = {
        "rotate": lambda ledger, folder: rotation.rotate(ledger, folder, "x"),
        "revoke": lambda ledger, folder: rotation.revoke(ledger, folder, first, 1, "x"),
    }
    count, outcomes = 0, []
    while True:
        count += 1
        folder = tmp_path / str(count)
        shutil.copytree(start, folder)
        through = stopping(count, change(folder, acts[act]))
        looked = verify_folder(folder)  # by somebody who only reads, before it is finished
        assert looked.ok, (count, looked.problems)
        before = sorted(p.name for p in (folder / "keys").iterdir())
        if count % 3 == 0:  # stopped again while it is finished
            stopping(count // 3, change(folder, lambda ledger, folder: None))
        with SQLiteLedger.open(folder, create=False) as ledger:
            told = [e for e in ledger.entries() if e.kind in (ROTATED, REVOKED)]
            done = len(told) == 1 + (act == "revoke")
            assert [e.body for e in ledger.entries()][: len(bodies)] == bodies
            assert len(ledger) == len(bodies) + done
            ledger.append("note", facts={"after": True})
            ledger.checkpoint()
            found = ledger.verify()
            assert found.ok, (count, before, found.problems)
            assert not [note for note in found.notes if "begins a change" in note]
            text = ledger.history.text
            assert (text != (start / "keys" / "log.vkeys").read_text()) == done
            assert not (folder / "keys" / "pending.json").exists()
            private = sorted(p.name for p in (folder / "keys").glob("*.pem"))
            if done and act == "rotate":
                assert private == ["log.2.ed25519.pem", "log.2.mldsa44.pem"]  # the retired ones are gone
        outcomes.append(done)
        shutil.rmtree(folder)
        if through:
            break
    assert outcomes[0] is False
    assert outcomes[-1] is True
    assert outcomes == sorted(outcomes), "once begun, it is finished"
    assert count > 12


@pytest.mark.parametrize("failing", ["append", "checkpoint", "vkeys"])
def test_a_failing_step_closes_the_ledger_until_the_change_is_finished(rotated, monkeypatch, failing):
    folder, _, _ = rotated
    real = rotation.write_atomic

    def full(*_, **__):
        raise StorageError("the disk is full")

    ledger = SQLiteLedger.open(folder)
    with monkeypatch.context() as patch:
        if failing == "vkeys":
            patch.setattr(
                rotation, "write_atomic", lambda p, *a, **k: (full if p.name == keys.PUBLIC else real)(p, *a, **k)
            )
        else:
            patch.setattr(ledger, failing, full)
        with pytest.raises(StorageError, match="next opened for writing"):
            rotation.rotate(ledger, folder, "again")
    with pytest.raises(LedgerError, match="is closed"):
        ledger.append("note", facts={})
    with SQLiteLedger.open(folder) as ledger:
        assert len(ledger.history.periods) == 3
        ledger.append("note", facts={})
        ledger.checkpoint()
    assert verify_folder(folder).ok


def test_a_reader_sees_that_another_process_changed_the_keys(rotated):
    folder, _, _ = rotated
    with SQLiteLedger.open(folder, read_only=True) as reader:
        with SQLiteLedger.open(folder) as ledger:
            rotation.rotate(ledger, folder, "again")
            ledger.append("note", facts={})
            ledger.checkpoint()
        assert reader.verify().ok
        assert len(reader.history.periods) == 3


def test_pending_that_does_not_fit_is_refused(rotated):
    folder, _, _ = rotated
    path = folder / "keys" / "pending.json"
    for data in (b"nonsense", b"{}", b'{"vkeys": 3}'):
        path.write_bytes(data)
        with pytest.raises(LedgerError, match="is damaged"):
            SQLiteLedger.open(folder)


# The key file


@pytest.fixture(scope="module")
def text(signers):
    history = KeyHistory.of(signers[0].keys).rotated(signers[1].keys, 5).rotated(signers[2].keys, 9)
    return history.revoking(signers[0].keys[0].id.hex(), 3).text


def test_the_key_file_is_read_strictly(text, signers):
    history = KeyHistory.parse(text)
    assert [(p.start, p.end, p.revoked) for p in history.periods] == [(0, 5, 3), (5, 9, None), (9, None, None)]
    assert [len(history.at(size)) for size in (0, 4, 5, 6, 9, 10)] == [1, 1, 2, 1, 2, 1]
    lines = text.splitlines(keepends=True)
    wrong = [
        "",
        text[:-1],
        text + "\n",
        text.replace("from 9", "from 5"),
        text.replace("from 9", "from 09"),
        text.replace("from 9\n", ""),
        text.replace("\nfrom 5\n", "\nfrom 5 \n"),
        text.replace("from 3", "from 6"),
        "".join(lines[:2] + lines[2:3] + lines[:2]),  # a key that comes back
        "".join([lines[1], lines[0]]),
        lines[0],
        f"{text}revoked {signers[2].keys[0].id.hex()} from 10\n",  # in force
        f"{text}revoked 00000000 from 1\n",
        f"{text}revoked {signers[0].keys[0].id.hex()} from 3\n",
        text.replace(f"{signers[1].keys[0]}", f"{Signer.generate('other').keys[0]}"),
    ]
    for spoilt in wrong:
        with pytest.raises(LedgerCorrupt):
            KeyHistory.parse(spoilt)


@settings(deadline=None)
@given(at=st.integers(0, 10_000), other=st.sampled_from("\x00 +\n0a=\xe4"))
def test_no_changed_key_file_reads_as_another_history(at, other, text, request):
    spoilt = text[: at % len(text)] + other + text[at % len(text) + 1 :]
    try:
        read = KeyHistory.parse(spoilt)
    except LedgerCorrupt:
        return
    assert read.text == spoilt  # sizes may be others; the keys are whole, as each fits its id
    assert [p.keys for p in read.periods] == [p.keys for p in KeyHistory.parse(text).periods]
