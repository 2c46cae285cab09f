"""Whatever a note looks like, reading it gives an answer or `LedgerCorrupt`, and only what was signed opens."""

from __future__ import annotations

import base64
import contextlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey, MLDSA44PublicKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.note import (
    Checkpoint,
    Signer,
    VerifierKey,
    open_note,
    parse_keys,
    split_note,
    subtree_message,
)

VECTORS = Path(__file__).parent / "vectors" / "cosignature-mldsa44.json"
ORIGIN = "example.org/log"
SIGNER = Signer(ORIGIN, Ed25519PrivateKey.from_private_bytes(bytes(32)), MLDSA44PrivateKey.from_seed_bytes(bytes(32)))
HEAD = Checkpoint(ORIGIN, 7, bytes(range(32)))
GOOD = SIGNER.sign_checkpoint(HEAD, 1_700_000_000)
DASH = "\u2014"


def line(name, key_id, signature):
    return f"{DASH} {name} {base64.b64encode(key_id + signature).decode()}\n"


names = st.one_of(st.just(ORIGIN), st.text(min_size=1, max_size=300))
lines = st.builds(
    line, names, st.sampled_from([k.id for k in SIGNER.keys] + [b"abcd"]), st.binary(min_size=1, max_size=80)
)
texts = st.one_of(
    st.just(HEAD.text.decode()),
    st.builds(
        "{}\n{}\n{}\n".format, names, st.integers(), st.binary(max_size=40).map(lambda b: base64.b64encode(b).decode())
    ),
    st.text(max_size=200).map(lambda s: s + "\n"),
)


def reads(data, keys=SIGNER.keys):
    for read in (split_note, lambda d: open_note(d, keys), KeyHistory.of(SIGNER.keys).open_head):
        with contextlib.suppress(LedgerCorrupt):
            read(data)


@settings(deadline=None)
@given(st.binary(max_size=400))
@example(b"")
@example(b"\n\n")
@example(f"\n\n{DASH} a AAAAAAA=\n".encode())
def test_any_bytes(data):
    reads(data)


@settings(max_examples=300, deadline=None)
@given(texts, st.lists(lines, max_size=4))
def test_anything_that_looks_like_a_note(text, signatures):
    reads((text + "\n" + "".join(signatures)).encode(errors="surrogatepass"))


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), byte=st.integers(0, 255))
def test_a_changed_byte_never_opens_as_something_else(at, byte):
    spoilt = GOOD[:at] + bytes([byte]) + GOOD[at + 1 :]
    reads(spoilt)
    try:
        opened = KeyHistory.of(SIGNER.keys).open_head(spoilt)
    except LedgerCorrupt:
        return
    assert opened.checkpoint == HEAD
    assert spoilt == GOOD or opened.problem  # a line of an unknown key, so that one is missing


@pytest.mark.parametrize("name", ["\xe4" * 200, "n" * 256, "\u2003", "a\u0085b", "a+b", "\U0001f600" * 64])
def test_names_that_do_not_fit_the_signed_message(name):
    """Each was an error of another kind once: the signed form has one byte for the length."""
    key = VerifierKey(name, 6, SIGNER.keys[1].public)
    with pytest.raises(LedgerCorrupt):
        VerifierKey.parse(str(key))
    only_mldsa44 = GOOD.split(b"\n\n")[1].splitlines(keepends=True)[1]
    text = f"{name}\n7\n{base64.b64encode(HEAD.root).decode()}\n"
    with pytest.raises(LedgerCorrupt):
        open_note(text.encode() + b"\n" + only_mldsa44, SIGNER.keys)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_any_key_file(text):
    for read in (VerifierKey.parse, parse_keys, KeyHistory.parse):
        with contextlib.suppress(LedgerCorrupt):
            read(text)


def test_sixteen_signatures_are_read_and_an_endless_list_is_not():
    more = "".join(line(f"witness.example/{i}", b"abcd", bytes(70)) for i in range(14)).encode()
    assert open_note(GOOD + more, SIGNER.keys).unknown == 14
    with pytest.raises(LedgerCorrupt, match="at most"):
        open_note(GOOD + more * 10, SIGNER.keys)


# The published vectors


@pytest.fixture(scope="module")
def vectors():
    return json.loads(VECTORS.read_text())


def test_the_vectors_hold_by_the_standard_and_by_us(vectors):
    """Message and key id are built here from the text of tlog-cosignature; `cryptography` checks the signature."""
    import hashlib
    import struct

    for case in vectors["valid"]:
        seed, name, origin = bytes.fromhex(case["seed"]), case["name"], case["origin"]
        public = MLDSA44PrivateKey.from_seed_bytes(seed).public_key().public_bytes_raw()
        assert public.hex() == case["public"]
        key_id = hashlib.sha256(name.encode() + b"\n\x06" + public).digest()[:4]
        assert f"{name}+{key_id.hex()}+{base64.b64encode(bytes([6]) + public).decode()}" == case["vkey"]
        root = bytes.fromhex(case["root"])
        message = b"subtree/v1\n\0" + bytes([len(name.encode())]) + name.encode()
        message += struct.pack(">Q", case["time"]) + bytes([len(origin.encode())]) + origin.encode()
        message += struct.pack(">QQ", 0, case["size"]) + root
        assert message.hex() == case["message"]
        assert subtree_message(name, case["time"], Checkpoint(origin, case["size"], root)) == message
        dash, named, blob = case["line"].removesuffix("\n").split(" ")
        blob = base64.b64decode(blob, validate=True)
        assert (dash, named, blob[:4], blob[4:12]) == (DASH, name, key_id, struct.pack(">Q", case["time"]))
        MLDSA44PublicKey.from_public_bytes(public).verify(blob[12:], message)
        opened = open_note(case["note"].encode(), (VerifierKey.parse(case["vkey"]),))
        assert (opened.verified, opened.text) == (("ML-DSA-44",), Checkpoint(origin, case["size"], root).text)
    assert len(vectors["valid"]) >= 6


def test_the_invalid_vectors_are_refused(vectors):
    assert len(vectors["invalid"]) >= 16
    for case in [*vectors["invalid"], vectors["extension"]]:
        with pytest.raises(LedgerCorrupt):
            open_note(case["note"].encode(), (VerifierKey.parse(case["vkey"]),))
