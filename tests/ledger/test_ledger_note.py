from __future__ import annotations

import base64
import hashlib
import struct

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger import keys
from qimg_core.ledger.note import (
    Checkpoint,
    Signer,
    VerifierKey,
    decode64,
    open_note,
    parse_keys,
    split_note,
)

ORIGIN = "example.org/log"
HEAD = Checkpoint(ORIGIN, 12345, hashlib.sha256(b"root").digest())

# From the C2SP signed-note text and golang.org/x/mod/sumdb/note.
GO_VKEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
).encode()


@pytest.fixture(scope="module")
def signer():
    return Signer.generate(ORIGIN)


def test_the_example_of_the_go_implementation_verifies():
    opened = open_note(GO_NOTE, (VerifierKey.parse(GO_VKEY),))
    assert opened.verified == ("Ed25519",)
    assert str(VerifierKey.parse(GO_VKEY)) == GO_VKEY


def test_a_checkpoint_is_signed_as_the_c2sp_texts_say(signer):
    note = signer.sign_checkpoint(HEAD, 1_700_000_000)
    text = f"{ORIGIN}\n12345\n{base64.b64encode(HEAD.root).decode()}\n"
    head, first, second, end = note.decode().removeprefix(text).split("\n")
    assert (head, end) == ("", "")
    for line, kind, key in ((first, 1, signer.ed25519), (second, 6, signer.mldsa44)):
        dash, name, blob = line.split(" ")
        public = key.public_key().public_bytes_raw()
        assert (dash, name) == ("\u2014", ORIGIN)
        blob = base64.b64decode(blob, validate=True)
        assert blob[:4] == hashlib.sha256(ORIGIN.encode() + b"\n" + bytes([kind]) + public).digest()[:4]
        if kind == 1:
            Ed25519PublicKey.from_public_bytes(public).verify(blob[4:], text.encode())
        else:
            assert len(blob) == 4 + 8 + 2420
            size = len(ORIGIN)
            message = struct.pack(
                f">12sB{size}sQB{size}sQQ32s",
                *(b"subtree/v1\n\0", size, ORIGIN.encode(), 1_700_000_000),
                *(size, ORIGIN.encode(), 0, 12345, HEAD.root),
            )
            MLDSA44PublicKey.from_public_bytes(public).verify(blob[12:], message)
            with pytest.raises(InvalidSignature):
                MLDSA44PublicKey.from_public_bytes(public).verify(blob[12:], message[:-1] + b"x")


def test_both_algorithms_are_named(signer):
    opened = open_note(signer.sign_checkpoint(HEAD, 1), signer.keys)
    assert (opened.verified, opened.unknown) == (("Ed25519", "ML-DSA-44"), 0)
    assert Checkpoint.parse(opened.text) == HEAD


def test_unknown_keys_are_ignored_and_known_bad_ones_are_not(signer):
    note = signer.sign_checkpoint(HEAD, 1)
    witness = Signer.generate("witness.example/w1")
    extra = note + f"\u2014 witness.example/w1 {base64.b64encode(b'abcd' + bytes(64)).decode()}\n".encode()
    assert open_note(extra, signer.keys).unknown == 1
    with pytest.raises(LedgerCorrupt, match="no trusted key"):
        open_note(extra, witness.keys)
    same_name = Signer.generate(ORIGIN)  # another key under the same name: unknown, as its id differs
    assert open_note(note, (signer.keys[0], same_name.keys[1])).verified == ("Ed25519",)
    text, lines = split_note(note)
    for line in lines:
        wrong = bytearray(line.signature)
        wrong[-1] ^= 1
        forged = note.replace(
            base64.b64encode(line.key_id + line.signature), base64.b64encode(line.key_id + bytes(wrong))
        )
        with pytest.raises(LedgerCorrupt, match="is wrong"):
            open_note(forged, signer.keys)
    assert text == HEAD.text


@pytest.mark.parametrize(
    "spoil",
    [
        lambda n: n.replace(b"12345", b"12346"),
        lambda n: n.replace(b"12345", b"012345"),
        lambda n: n[:-1],
        lambda n: n.replace(b"\n\n", b"\n"),
        lambda n: n.replace("\u2014".encode(), b"-"),
        lambda n: n.replace(b"\n\n", b"\nextension\n\n"),
        lambda n: b"\xff" + n,
        lambda n: n.replace(b"\n\n", b"\n\r\n\n"),
    ],
)
def test_a_changed_note_does_not_open(signer, spoil):
    with pytest.raises(LedgerCorrupt):
        open_note(spoil(signer.sign_checkpoint(HEAD, 1)), signer.keys)


def test_base64_has_one_spelling():
    assert decode64("aGk=") == b"hi"
    for other in ("aGl=", "aGk", "aG k=", "aGk=\n", "a-k="):
        with pytest.raises(LedgerCorrupt):
            decode64(other)


def test_verifier_keys_round_trip_and_refuse_changes(signer):
    text = "".join(f"{key}\n" for key in signer.keys)
    assert parse_keys(text) == signer.keys
    for key in map(str, signer.keys):
        for spoilt in (key.replace("log", "lag"), key[:-6] + "AAAA" + key[-2:], key.split("+")[0], key[:40]):
            with pytest.raises(LedgerCorrupt):
                VerifierKey.parse(spoilt)
    with pytest.raises(LedgerCorrupt, match="different names"):
        parse_keys(f"{signer.keys[0]}\n{Signer.generate('other').keys[1]}\n")


@pytest.mark.parametrize("origin", ["", "two words", "a+b", "a\nb", "ä" * 200])
def test_names_of_logs(origin):
    with pytest.raises(ConfigurationError, match="cannot name a log"):
        Signer.generate(origin)


def test_other_texts_never_read_as_checkpoints(signer):
    note = signer.sign_text(b"qimg.bundle/1\nx\n")
    assert open_note(note, signer.keys).text == b"qimg.bundle/1\nx\n"
    with pytest.raises(ConfigurationError, match="signed by the ledger only"):
        signer.sign_text(HEAD.text)
    with pytest.raises(ConfigurationError, match="newline"):
        signer.sign_text(b"x")
    with pytest.raises(ConfigurationError, match="do not sign for"):
        signer.sign_checkpoint(Checkpoint("other", 0, HEAD.root), 1)


def test_keys_on_disk(tmp_path):
    made = keys.create(tmp_path, ORIGIN)
    assert keys.load_public(tmp_path) == made.keys
    note = keys.load(tmp_path).sign_checkpoint(HEAD, 1)
    assert open_note(note, made.keys).verified == ("Ed25519", "ML-DSA-44")
    for path in (tmp_path / "keys").glob("*.pem"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")  # PKCS#8
    with pytest.raises(LedgerError, match="keys already"):
        keys.create(tmp_path, ORIGIN)


def test_keys_that_do_not_belong_together(tmp_path):
    keys.create(tmp_path / "a", ORIGIN)
    keys.create(tmp_path / "b", ORIGIN)
    mine, other = (tmp_path / x / "keys" / "log.ed25519.pem" for x in "ab")
    mine.write_bytes(other.read_bytes())
    with pytest.raises(LedgerCorrupt, match="do not belong"):
        keys.load(tmp_path / "a")
    mine.write_bytes(b"nonsense")
    with pytest.raises(LedgerCorrupt, match="private key"):
        keys.load(tmp_path / "a")
    mine.unlink()
    with pytest.raises(LedgerError, match="private key is missing"):
        keys.load(tmp_path / "a")
    (tmp_path / "a" / "keys" / "log.vkeys").unlink()
    with pytest.raises(LedgerError, match="verifier keys are missing"):
        keys.load(tmp_path / "a")
