"""Sealed artefacts: unreadable without their subject's key, forgotten for good, and the log holds all the time."""

from __future__ import annotations

import hmac
import shutil
import threading

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from qimg_core import Session
from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger import MemoryLedger, SQLiteLedger, encrypted, keys, pkcs8, verify_folder
from qimg_core.ledger.bundle import check, export
from qimg_core.ledger.sealing import forget, forgotten, seal, sealed_facts, subjects, unseal
from qimg_core.ledger.vault import Vault
from qimg_core.storage import sha256_digest

ANN, BOB = "ann@example.org", "bob@example.org"
FACE = b"a picture of ann, which must go when she asks" * 3


@pytest.fixture(autouse=True)
def _cheap(monkeypatch):
    """Little work for each guess of a password: the formats say how much."""
    for module, name, value in (
        (pkcs8, "SCRYPT_N", 1024),
        (pkcs8, "SCRYPT_P", 1),
        (encrypted, "_LOG_N", 10),
        (encrypted, "_P", 1),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.fixture
def ledger(tmp_path):
    with SQLiteLedger.open(tmp_path / "log") as made:
        yield made


def record(ledger, subject, data=FACE):
    sealed = seal(ledger, data, subject)
    ledger.append("images.made", facts={"n": 1, **sealed_facts({"image": sealed})})
    ledger.checkpoint()
    return sealed


def everything(folder):
    return b"".join(p.read_bytes() + p.name.encode() for p in sorted(folder.rglob("*")) if p.is_file())


def test_sealed_content_comes_back_and_lies_nowhere_in_the_clear(ledger):
    sealed = record(ledger, ANN)
    assert unseal(ledger, sealed.digest) == FACE
    whole = everything(ledger.folder)
    for secret in (FACE, ANN.encode(), sha256_digest(FACE)[7:].encode(), FACE[:20]):
        assert secret not in whole
    entry = ledger.entry(0)
    assert entry.artefacts == {"image": sealed.digest}
    assert entry.facts["sealed"]["image"]["cipher"] == "AES-256-GCM"
    assert sha256_digest(ledger.get(sealed.digest)) == sealed.digest


def test_the_format_is_the_documented_one(ledger):
    """Opened with nothing but AES-GCM and HMAC and the subject's key."""
    sealed = seal(ledger, FACE, ANN)
    data = ledger.get(sealed.digest)
    key = Vault.of(ledger).key(ANN).secret
    assert data[:14] == b"qimg.sealed/1\n"
    assert data[14:30] == hmac.digest(key, b"qimg.sealed/1 subject", "sha256")[:16] == bytes.fromhex(sealed.subject)
    assert AESGCM(key).decrypt(data[30:42], data[42:], data[:30]) == FACE
    with pytest.raises(InvalidTag):
        AESGCM(bytes(32)).decrypt(data[30:42], data[42:], data[:30])


def test_keys_of_subjects_are_kept_in_the_documented_form(ledger):
    """From the master key by HKDF-SHA256, AES-256-GCM and HMAC alone."""
    seal(ledger, FACE, "Ze\u0301")
    folder = ledger.folder / "subjects"
    master = bytes.fromhex((folder / "master.key").read_text())

    def derived(purpose):
        return HKDF(SHA256(), 32, salt=None, info=b"qimg.subjects/1 " + purpose).derive(master)

    name = hmac.digest(derived(b"names"), "Z\u00e9".encode(), "sha256").hex()  # composed and decomposed are one name
    data = (folder / f"{name}.key").read_bytes()
    secret = AESGCM(derived(b"wrapping")).decrypt(data[:12], data[12:], name.encode())
    assert secret == Vault.of(ledger).key("Z\u00e9").secret


def test_forgetting_destroys_the_key_and_the_log_still_holds(ledger, tmp_path):
    ours, theirs = [record(ledger, ANN), record(ledger, ANN, b"another")], record(ledger, BOB)
    shutil.copytree(ledger.folder, tmp_path / "before")
    entry = forget(ledger, ANN)
    assert (entry.kind, entry.facts) == ("subject.forgotten", {"subject": ours[0].subject, "key": "destroyed"})
    assert entry.gaps[0].field == "copies"
    assert ledger.verify().ok
    for sealed in ours:
        with pytest.raises(LedgerError, match=f"was forgotten, entry {entry.index}"):
            unseal(ledger, sealed.digest)
        assert ledger.has(sealed.digest)
    assert unseal(ledger, theirs.digest) == FACE
    assert not list((ledger.folder / "subjects").glob("*.gone"))
    assert len(list((ledger.folder / "subjects").glob("*.key"))) == 2  # the master's and bob's
    with pytest.raises(ConfigurationError, match="no key of that subject"):
        forget(ledger, ANN)
    assert check(export(ledger, tmp_path / "b.zip")).ok
    with SQLiteLedger.open(tmp_path / "before", read_only=True) as old:  # the limit: a copy made before keeps it
        assert unseal(old, ours[0].digest) == FACE


def test_somebody_who_comes_back_gets_another_key_and_stays_unlinked(ledger):
    first = record(ledger, ANN)
    forget(ledger, ANN)
    second = record(ledger, ANN)
    assert second.subject != first.subject
    assert unseal(ledger, second.digest) == FACE
    states = {row["subject"]: (row["artefacts"], row["state"]) for row in subjects(ledger)}
    assert states == {first.subject: (1, "forgotten"), second.subject: (1, "readable")}


def test_the_same_bytes_twice_do_not_show(ledger):
    assert len({seal(ledger, FACE, ANN).digest, seal(ledger, FACE, ANN).digest, seal(ledger, FACE, BOB).digest}) == 3


def test_what_is_in_the_clear_already_is_not_sealed(ledger):
    """A plain copy of the same bytes would stay: deduplication must not defeat erasure."""
    ledger.put(FACE)
    before = sorted(ledger.artefacts())
    with pytest.raises(ConfigurationError, match="stored in the clear already"):
        seal(ledger, FACE, ANN)
    assert sorted(ledger.artefacts()) == before
    assert not (ledger.folder / "subjects").exists()


@pytest.mark.parametrize("stop", ["unlink", "append"])
def test_stopped_while_forgetting_it_is_done_again(ledger, monkeypatch, stop):
    """The key goes first: the log never says destroyed of a key that is still there."""
    import os

    sealed = record(ledger, ANN)

    class Stopped(BaseException):
        pass

    def stopping(*_, **__):
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(os, "unlink", stopping) if stop == "unlink" else patch.setattr(ledger, "append", stopping)
        with pytest.raises(Stopped):
            forget(ledger, ANN)
    assert not forgotten(ledger)
    with pytest.raises((LedgerError, LedgerCorrupt)):
        unseal(ledger, sealed.digest)
    entry = forget(ledger, ANN)
    assert entry.facts["subject"] == sealed.subject
    assert len(forgotten(ledger)) == 1
    assert ledger.verify().ok
    assert subjects(ledger) == [{"subject": sealed.subject, "artefacts": 1, "state": "forgotten"}]


def test_a_changed_or_moved_artefact_does_not_open(ledger):
    sealed = seal(ledger, FACE, ANN)
    data = ledger.get(sealed.digest)
    seal(ledger, b"x", BOB)
    other = Vault.of(ledger).key(BOB).tag
    for spoilt in (data[:-1] + bytes([data[-1] ^ 1]), data[:14] + other + data[30:], data[:60]):
        with pytest.raises(LedgerCorrupt, match="not what was sealed"):
            unseal(ledger, ledger.put(spoilt))
    for plain in (b"plain", data[:40]):
        with pytest.raises(ConfigurationError, match="is not sealed"):
            unseal(ledger, ledger.put(plain))


def test_keys_of_subjects_are_under_the_master_key(ledger, tmp_path):
    sealed = seal(ledger, FACE, ANN)
    vault = Vault.of(ledger)
    secret = vault.key(ANN).secret
    whole = everything(ledger.folder / "subjects")
    assert secret not in whole
    assert secret.hex().encode() not in whole
    stolen = next(p for p in (ledger.folder / "subjects").glob("*.key") if p.name != "master.key")
    other = SQLiteLedger.open(tmp_path / "other")
    with other:
        seal(other, b"x", BOB)
        (other.folder / "subjects" / stolen.name).write_bytes(stolen.read_bytes())
        with pytest.raises(LedgerCorrupt, match="does not open under this master key"):
            Vault.of(other).find(bytes.fromhex(sealed.subject))
    # a subject's file under another subject's name does not open either
    vault.key(BOB, create=True)
    bob = next(p for p in (ledger.folder / "subjects").glob("*.key") if p not in (stolen, stolen.parent / "master.key"))
    bob.write_bytes(stolen.read_bytes())
    with pytest.raises(LedgerCorrupt):
        vault.key(BOB)


def test_the_master_key_is_kept_as_the_log_s_keys_are(tmp_path, monkeypatch):
    monkeypatch.setenv("LOG_PW", "the password")
    keys.create(tmp_path, "example.org/log", keys.Protection.by("env:LOG_PW"))
    with SQLiteLedger.open(tmp_path) as ledger:
        sealed = seal(ledger, FACE, ANN)
        master = tmp_path / "subjects" / "master.key"
        assert master.read_bytes().startswith(b"Password: env:LOG_PW\nqimg.encrypted/1\n")
        assert master.stat().st_mode & 0o777 == 0o600
        assert master.parent.stat().st_mode & 0o777 == 0o700
        monkeypatch.setenv("LOG_PW", "another")
        with pytest.raises(LedgerError, match="password does not open"):
            unseal(ledger, sealed.digest)
        monkeypatch.setenv("LOG_PW", "the password")
        monkeypatch.setenv("NEW", "new")
        Vault.of(ledger).protect(keys.Protection.by("env:NEW"))
        monkeypatch.delenv("LOG_PW")
        assert unseal(ledger, sealed.digest) == FACE


def test_threads_that_seal_for_a_new_subject_share_one_key(ledger):
    Vault.of(ledger, create=True)
    found, gate = [], threading.Barrier(8)

    def work():
        gate.wait()
        found.append(seal(ledger, FACE, ANN))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({s.subject for s in found}) == 1
    assert {unseal(ledger, s.digest) for s in found} == {FACE}


def test_where_it_cannot_be(ledger):
    with pytest.raises(ConfigurationError, match="has a name"):
        seal(ledger, FACE, "  ")
    with MemoryLedger() as memory, pytest.raises(ConfigurationError, match="no folder"):
        seal(memory, FACE, ANN)


def test_a_session_puts_as_before_and_seals_through_its_ledger(tmp_path):
    with Session(tmp_path / "log", seed=1) as session:
        digest = session.put(b"plain")
        sealed = seal(session.ledger, FACE, ANN)
        session.record("note.made", {"text": "x", **sealed_facts({"face": sealed})})
        assert session.ledger.get(digest) == b"plain"
    assert verify_folder(tmp_path / "log").ok
