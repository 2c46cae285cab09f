"""Keeping a log in an archive, finding what was done to it, and rebuilding the log: on a folder and on S3."""

from __future__ import annotations

import json
import random
import shutil
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from qimg_core.errors import ConfigurationError, LedgerCorrupt, OutsideMemoryError
from qimg_core.ledger import Draft, SQLiteLedger, rotation, verify_folder
from qimg_core.ledger.memories import memories_of
from qimg_core.ledger.note import Checkpoint, Signer, split_note
from qimg_core.ledger.outside import Receipt
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_stores.archive import Archive
from qimg_stores.audit import audit
from qimg_stores.kept import Kept, Pinned, artefact_name, log_prefix
from qimg_stores.local_archive import FolderShelf, change_flags, read_flags
from qimg_stores.object_lock import S3Shelf, make_bucket
from qimg_stores.reading import origins
from qimg_stores.receipt import read_evidence
from qimg_stores.restore import restore

ORIGIN = "example.org/log"


def shelf_of(kind, request, tmp_path):
    if kind == "folder":
        return FolderShelf(tmp_path / "kept", flags=False)
    client = request.getfixturevalue("emulated" if kind == "s3" else "real")
    bucket = f"records{random.SystemRandom().randrange(10**9)}"
    make_bucket(client, bucket)
    return S3Shelf(client, bucket, "a/b")


@pytest.fixture(params=["folder", pytest.param("ceph", marks=pytest.mark.slow)])
def shelf(request, tmp_path):
    return shelf_of(request.param, request, tmp_path)


@pytest.fixture(params=["folder", "s3", pytest.param("ceph", marks=pytest.mark.slow)])
def every_archive(request, tmp_path):
    made = Archive("archive", shelf_of(request.param, request, tmp_path), retention=timedelta(days=3))
    if request.param == "s3":
        untried(made)
    else:
        made.prepare()
    return made


def untried(archive):
    """Prepared, without the many requests of a self-test."""
    archive.shelf.attempts = tuple
    archive.prepare()


@pytest.fixture
def archive(shelf):
    made = Archive("archive", shelf, retention=timedelta(days=3))
    made.prepare()
    return made


def head_of(note):
    return Checkpoint.parse(split_note(note)[0])


def test_a_head_and_all_that_it_covers_is_kept_audited_and_restored(every_archive, log, tmp_path):
    archive = every_archive
    receipts = []
    for n in (3, 270):  # a partial bundle, one that fills it and begins another
        note = log.grow(n)
        receipts.append(archive.keep(log, note))
        assert archive.check(receipts[-1], note) == ()
        assert archive.newest(ORIGIN) == head_of(note)
        assert archive.held(ORIGIN) == (note,)
    assert [r.size for r in receipts] == [3, 273]
    assert archive.newest("example.org/other") is None
    assert origins(archive.shelf) == (ORIGIN,)
    found = audit(archive, ORIGIN, ledger=log)
    assert found.ok, found.problems
    assert (found.entries, found.artefacts, found.checkpoints) == (273, 5, 2)
    checked = restore(archive.shelf, ORIGIN, tmp_path / "back", trusted=log.history)
    assert checked.ok
    with SQLiteLedger.open(tmp_path / "back", read_only=True) as back:
        assert [e.body for e in back.entries()] == [e.body for e in log.entries()]
        assert back.checkpoints() == log.checkpoints()
        assert back.keys == log.keys
        for entry in back.entries():
            assert back.get(entry.artefacts["a"]) == log.get(entry.artefacts["a"])
    assert verify_folder(tmp_path / "back").ok
    assert not list((tmp_path / "back" / "keys").glob("*.pem"))
    with pytest.raises(ConfigurationError, match="exists already"):
        restore(archive.shelf, ORIGIN, tmp_path / "back")


def test_each_object_is_put_once(archive, log):
    archive.keep(log, log.grow(5))
    before = {(v.name, v.version) for v in archive.shelf.versions("logs/")}
    assert archive.keep(log, log.checkpoint()).evidence
    assert {(v.name, v.version) for v in archive.shelf.versions("logs/")} == before
    archive.keep(log, log.grow(5))  # the same five artefacts again
    after = {(v.name, v.version) for v in archive.shelf.versions("logs/")}
    new = sorted(name.removeprefix(log_prefix(ORIGIN)).split("/")[0] for name, _ in after - before)
    assert new == ["checkpoint", "kept", "tile"]


def test_keys_may_change_between_keeps(tmp_path, log):
    archive = Archive("archive", FolderShelf(tmp_path / "kept", flags=False), retention=timedelta(days=3))
    archive.prepare()
    archive.keep(log, log.grow(3))
    before = log.history
    rotation.rotate(log, log.folder, "test")
    archive.keep(log, log.checkpoint())
    archive.keep(log, log.grow(3))
    for trusted in (None, log.history):
        found = audit(archive, ORIGIN, trusted=trusted)
        assert found.ok, found.problems
        assert found.checkpoints == 3
    assert not audit(archive, ORIGIN, trusted=before).ok
    assert restore(archive.shelf, ORIGIN, tmp_path / "back").ok
    with SQLiteLedger.open(tmp_path / "back", read_only=True) as back:
        assert back.history == log.history


def test_an_older_head_may_be_kept_after_a_newer_one(tmp_path, log):
    archive = Archive("archive", FolderShelf(tmp_path / "kept", flags=False), retention=timedelta(days=3))
    archive.prepare()
    older, newer = log.grow(3), log.grow(3)  # two writers of one log, whose heads come in another order
    archive.keep(log, newer)
    receipt = archive.keep(log, older)
    assert (receipt.size, archive.check(receipt, older)) == (3, ())
    assert archive.newest(ORIGIN).size == 6
    assert audit(archive, ORIGIN, ledger=log).ok
    assert restore(archive.shelf, ORIGIN, tmp_path / "back").entries == 6


class Stop(BaseException):
    pass


def test_a_keep_that_is_cut_off_at_any_put_goes_on(shelf, log, monkeypatch):
    archive = Archive("archive", shelf, retention=timedelta(days=3))
    archive.prepare()
    put = type(shelf).put
    allowed = 0

    def limited(self, name, data, until):
        nonlocal allowed
        version = put(self, name, data, until)
        allowed -= 1
        if allowed <= 0:
            raise Stop  # after the put: nobody has read it back yet
        return version

    note = log.grow(300)
    monkeypatch.setattr(type(shelf), "put", limited)
    stops = 0
    while True:
        allowed = 1
        try:
            archive.keep(log, note)
            break
        except Stop:
            stops += 1
            if stops == 4:
                note = log.grow(2)  # the log went on meanwhile
        assert stops < 50
    assert stops == 11 or stops == 10  # keys, two bundles (one put twice), five artefacts, head(s), document
    monkeypatch.setattr(type(shelf), "put", put)
    archive.keep(log, note)
    found = audit(archive, ORIGIN, ledger=log)
    assert found.ok, found.problems
    assert found.entries == len(log)
    names = [v.name for v in shelf.versions("logs/")]
    assert len(names) == len(set(names))


def test_a_rollback_and_a_fork_are_refused(archive, log, tmp_path):
    log.grow(4)
    shutil.copytree(tmp_path / "log", tmp_path / "old")
    archive.keep(log, log.grow(4))
    with SQLiteLedger.open(tmp_path / "old") as old:
        with pytest.raises(LedgerCorrupt, match=r"rollback: the archive holds a head over 8 entries.*has 4"):
            archive.keep(old, old.checkpoint())
        old.extend([Draft("other", facts={"i": i}) for i in range(9)])
        with pytest.raises(LedgerCorrupt, match="fork: the archive holds a head over 8 entries"):
            archive.keep(old, old.checkpoint())
        found = audit(archive, ORIGIN, ledger=old)
        assert any("fork" in p.what for p in found.problems)
    found = audit(archive, ORIGIN, ledger=log)
    assert found.ok, found.problems


def test_a_head_of_other_keys_in_the_archive_is_noticed(archive, log, tmp_path):
    archive.keep(log, log.grow(4))
    with SQLiteLedger.open(tmp_path / "thief", origin=ORIGIN) as thief:
        thief.extend([Draft("x", facts={"i": i}) for i in range(50)])
        other = Archive("archive", archive.shelf, retention=timedelta(days=3))
        with pytest.raises(OutsideMemoryError, match="did not sign"):
            other.keep(thief, thief.checkpoint())
        empty = FolderShelf(tmp_path / "empty", flags=False)
        elsewhere = Archive("archive", empty, retention=timedelta(days=3))
        elsewhere.prepare()
        elsewhere.keep(thief, thief.checkpoint())
        until = datetime.now(UTC) + timedelta(days=3)
        for version in list(empty.versions("logs/")):
            archive.shelf.put(version.name, empty.get(version.name, version.version), until)
    with pytest.raises(OutsideMemoryError, match=r"did not sign.*somebody else writes there"):
        archive.keep(log, log.grow(1))
    found = audit(archive, ORIGIN, ledger=log)
    assert any("do not vouch for" in p.what for p in found.problems)
    assert restore(archive.shelf, ORIGIN, tmp_path / "back", trusted=log.history).entries == 4


def spoil(shelf, name, version, data):
    """Change a stored file behind the archive's back."""
    path = shelf._path(name, version)
    path.chmod(0o644)
    if data is None:
        path.unlink()
    else:
        path.write_bytes(data)
        path.chmod(0o444)


@pytest.mark.parametrize("part", ["entries", "artefact", "checkpoint", "keys", "kept"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_whatever_is_changed_or_gone_is_named(tmp_path, log, part, how):
    shelf = FolderShelf(tmp_path / "kept", flags=False)  # a server with Object Lock gives nobody a way to do that
    archive = Archive("archive", shelf, retention=timedelta(days=3))
    archive.prepare()
    archive.keep(log, log.grow(4))
    receipt = archive.keep(log, log.grow(4, b"more"))
    kept, pinned = read_evidence(receipt.evidence)
    first = kept.previous
    victim = first if part == "kept" else next(item for item in kept.objects if item.what == part)
    data = shelf.get(victim.name, victim.version)
    spoil(shelf, victim.name, victim.version, None if how == "gone" else data[:-2] + b"!" + data[-1:])
    found = audit(archive, ORIGIN, trusted=log.history)
    assert not found.ok
    where = victim.name if part != "checkpoint" else pinned.name
    assert any(p.where in (where, victim.name) for p in found.problems), found.problems
    if part != "keys" and part != "kept":
        with pytest.raises((OutsideMemoryError, LedgerCorrupt)):
            if part == "checkpoint":  # the newest head is lost: only the one before can be restored
                assert restore(shelf, ORIGIN, tmp_path / "back", trusted=log.history).entries == 4
                raise OutsideMemoryError("as it has to be")
            restore(shelf, ORIGIN, tmp_path / "back", trusted=log.history)


def test_shortened_retention_versions_over_kept_ones_and_delete_markers_are_named(emulated, log):
    make_bucket(emulated, "records")
    shelf = S3Shelf(emulated, "records")
    archive = Archive("archive", shelf, retention=timedelta(days=3))
    untried(archive)
    kept, _ = read_evidence(archive.keep(log, log.grow(4)).evidence)
    entries, checkpoint = kept.one("entries"), kept.one("checkpoint")
    keys = kept.one("keys")
    soon = datetime.now(UTC) + timedelta(hours=1)
    retention = {"Mode": "COMPLIANCE", "RetainUntilDate": soon}
    emulated.put_object_retention(Bucket="records", Key=entries.name, VersionId=entries.version, Retention=retention)
    retention = {"Mode": "GOVERNANCE", "RetainUntilDate": soon + timedelta(days=9)}
    emulated.put_object_retention(Bucket="records", Key=keys.name, VersionId=keys.version, Retention=retention)
    emulated.put_object(Bucket="records", Key=checkpoint.name, Body=b"mine now")
    emulated.delete_object(Bucket="records", Key=artefact_name(ORIGIN, next(log.artefacts())))
    emulated.put_object(Bucket="records", Key=log_prefix(ORIGIN) + "more", Body=b"loose")
    found = audit(archive, ORIGIN, ledger=log)
    said = "\n".join(map(str, found.problems))
    assert "it was shortened" in said
    assert "its protection was COMPLIANCE and is GOVERNANCE" in said
    assert f"was put over the kept {checkpoint.version}" in said
    assert "a delete marker" in said
    assert len(found.problems) == 4
    assert any("1 objects that no keep pins" in note for note in found.notes)
    assert any("unproven" in note for note in found.notes)
    emulated.put_bucket_versioning(Bucket="records", VersioningConfiguration={"Status": "Suspended"})
    found = audit(archive, ORIGIN, ledger=log)
    assert any(p.what == "versioning is Suspended, wanted Enabled" for p in found.problems)


def test_retention_is_extended_for_what_a_new_head_needs(emulated, log):
    make_bucket(emulated, "records")
    shelf = S3Shelf(emulated, "records")
    now = datetime.now(UTC)
    archive = Archive("archive", shelf, retention=timedelta(days=30), clock=lambda: now)
    untried(archive)
    archive.keep(log, log.grow(5))
    now += timedelta(days=10)
    kept, _ = read_evidence(archive.keep(log, log.grow(5)).evidence)
    for item in kept.objects:
        lock = shelf.lock(item.name, item.version)
        assert lock.until >= now + timedelta(days=29)
    assert audit(archive, ORIGIN, ledger=log).ok


def test_a_receipt_is_checked_offline(archive, log):
    note = log.grow(3)
    receipt = archive.keep(log, note)
    other = log.grow(1)
    assert archive.check(receipt, note) == ()
    assert archive.check(receipt, other)
    document = json.loads(receipt.evidence)
    document["document"] = document["document"].replace('"size":3', '"size":4')

    def changed(**given):
        values = {name: getattr(receipt, name) for name in ("memory", "kind", "size", "root", "evidence", "facts")}
        return Receipt(**{**values, **given})

    assert archive.check(changed(evidence=json.dumps(document, sort_keys=True, separators=(",", ":")).encode()), note)
    assert archive.check(changed(evidence=b"{}"), note)
    assert archive.check(changed(size=4), note)
    assert archive.check(changed(facts={**receipt.facts, "capability": "worm!"}), note)
    for cut in range(0, len(receipt.evidence), 97):
        assert archive.check(changed(evidence=receipt.evidence[:cut]), note)


def test_documents_are_read_strictly():
    digest = "sha256:" + "0" * 64
    about = {"version": "1", "digest": digest, "bytes": 1, "mode": "COMPLIANCE", "until": "2026-01-31T12:00:00Z"}
    objects = tuple(Pinned(what=what, name=what, **about) for what in ("keys", "checkpoint"))
    kept = Kept(origin="a/b", size=3, root=b"r" * 32, time="t", capability="worm", objects=objects)
    assert Kept.parse(kept.to_bytes()) == kept
    document = json.loads(kept.to_bytes())
    first, second = document["objects"]
    for change in (
        {"size": -1},
        {"size": "3"},
        {"root": "00"},
        {"more": 1},
        {"schema": "x"},
        {"objects": [{}]},
        {"objects": [first]},
        {"objects": [first, second, second]},
        {"objects": [first, {**second, "bytes": "1"}]},
        {"objects": [first, {**second, "until": "tomorrow"}]},
        {"objects": [first, {**second, "digest": "sha256:0"}]},
        {"previous": {}},
    ):
        with pytest.raises(LedgerCorrupt):
            Kept.parse(json.dumps({**document, **change}, sort_keys=True, separators=(",", ":")).encode())


def test_a_wrong_head_is_not_kept(archive, log):
    log.grow(3)
    foreign = Signer.generate(ORIGIN).sign_checkpoint(Checkpoint(ORIGIN, 3, b"r" * 32), 1)
    with pytest.raises(LedgerCorrupt):
        archive.keep(log, foreign)
    mine = log.signer.sign_checkpoint(Checkpoint(ORIGIN, 3, b"r" * 32), 1)
    with pytest.raises(LedgerCorrupt, match="entry 0 is not the one under the signed head"):
        archive.keep(log, mine)
    assert archive.newest(ORIGIN) is None


def test_a_folder_is_tamper_resistant_and_no_more(unflagged, log):
    shelf = FolderShelf(unflagged)
    archive = Archive("archive", shelf, retention=timedelta(days=3))
    capability, attempts = archive.prepare()
    assert capability == "tamper-resistant"
    assert attempts[-1].outcome == "allowed"  # who administers the machine can
    receipt = archive.keep(log, log.grow(3))
    assert receipt.facts["said"].startswith("tamper-resistant, not write once")
    assert receipt.facts["until"] is None
    if receipt.facts["modes"] == ["immutable-flag"]:  # where the file system and the rights allow
        assert {a.outcome for a in attempts[:-1]} == {"refused"}
        for version in shelf.versions("logs/"):
            path = shelf._path(version.name, version.version)
            assert read_flags(path) & 0x10
            for attempt in (path.unlink, partial(path.write_bytes, b"x"), path.parent.rmdir):
                with pytest.raises(OSError, match="not permitted|not empty"):
                    attempt()
    assert audit(archive, ORIGIN, ledger=log).ok
    kept, _ = read_evidence(receipt.evidence)
    victim = kept.one("entries")
    path = shelf._path(victim.name, victim.version)
    change_flags(path, remove=0x10) if victim.mode == "immutable-flag" else path.chmod(0o644)
    found = audit(archive, ORIGIN, ledger=log)
    assert [p.where for p in found.problems] == [victim.name]  # protected less than it was
    note = log.grow(1)
    with pytest.raises(OutsideMemoryError, match=r"demands a write-once archive.*tamper-resistant") as caught:
        Archive("archive", shelf, retention=timedelta(days=3), governed=True).keep(log, note)
    assert "accept_tamper_resistant = true" in caught.value.hint
    Archive("archive", shelf, retention=timedelta(days=3), governed=True, accept_tamper_resistant=True).keep(log, note)


def test_names_stay_inside_the_folder(tmp_path):
    shelf = FolderShelf(tmp_path / "kept", flags=False)
    for name in ("../a", "a//b", "a/./b", "", "/etc/passwd", ".staging/x"):
        with pytest.raises(ConfigurationError, match="is no name in an archive"):
            shelf.get(name, "00")
    with pytest.raises(ConfigurationError):
        shelf.get("a", "../b")


def test_a_ledgers_settings_lead_to_it(tmp_path):
    folder = tmp_path / "runs"
    folder.mkdir()
    settings = '[memory.safe]\nuse = "archive"\nwhere = "../safe"\nflags = false\nretention_days = 30\n'
    (folder / "ledger.toml").write_text(settings)
    registry = Registry()
    memories = memories_of(folder, registry)
    (memory,) = memories.all
    assert (memory.name, memory.governed, memory.retention.days) == ("safe", False, 30)
    memory.prepare()
    with Session(folder, seed=1, registry=registry) as session:
        session.record("note.made", {"text": "keep me"})
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        (entry,) = ledger.entries(kind="checkpoint.kept")
        assert entry.facts["facts"]["capability"] == "tamper-resistant"
        assert str(tmp_path) not in json.dumps(entry.facts)
        found = audit(memory, ledger.origin, ledger=ledger)
    assert found.ok, found.problems
    assert "1 receipts of this archive in the ledger were compared" in found.notes
    (folder / "ledger.toml").write_text('mode = "governed"\n' + settings)
    (memory,) = memories_of(folder, registry, demand=False).all
    assert memory.governed
