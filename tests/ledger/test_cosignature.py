"""Cosignatures against the text of C2SP tlog-cosignature, plain cryptography, and Go."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
from hypothesis import given
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.cosignature import (
    Cosigner,
    ed25519_message,
    head_of,
    parse_vkey,
    verify_lines,
    verify_note,
)
from qimg_core.ledger.note import Checkpoint, Signer, VerifierKey, open_note, split_note

# The example of the specification.
SPEC_TEXT = b"example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
SPEC_LOG = "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8="
SPEC_WITNESS = (
    "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
)
SPEC_NOTE = (
    SPEC_TEXT + f"\n— example.com/behind-the-sofa {SPEC_LOG}\n— witness.example.com/w1 {SPEC_WITNESS}\n".encode()
)
SPEC_MESSAGE = b"cosignature/v1\ntime 1679315147\n" + SPEC_TEXT

HEAD = Checkpoint("example.org/log", 12345, hashlib.sha256(b"root").digest())
NOW = 1_790_000_000


@pytest.fixture(scope="module")
def log():
    return Signer.generate(HEAD.origin)


@pytest.fixture(scope="module")
def witness():
    return Cosigner.generate("witness.example/w1")


@pytest.fixture(scope="module")
def cosigned(log, witness):
    note = log.sign_checkpoint(HEAD, NOW)
    return note + witness.cosign(split_note(note)[0], NOW)


def test_the_example_of_the_specification_reads_as_it_says():
    text, (_, line) = split_note(SPEC_NOTE)
    assert text == SPEC_TEXT
    assert (line.name, line.key_id.hex(), len(line.signature)) == ("witness.example.com/w1", "8d66cf3f", 8 + 64)
    assert int.from_bytes(line.signature[:8], "big") == 1679315147
    assert ed25519_message(SPEC_TEXT, 1679315147) == SPEC_MESSAGE


def test_each_line_is_what_the_specification_says(cosigned, witness):
    text, lines = split_note(cosigned)
    name = b"witness.example/w1"
    found = {line.key_id: line.signature for line in lines if line.name == name.decode()}
    ed25519 = witness.ed25519.public_key().public_bytes_raw()
    mldsa44 = witness.mldsa44.public_key().public_bytes_raw()
    assert len(found) == 2
    signature = found[hashlib.sha256(name + b"\n\x04" + ed25519).digest()[:4]]
    assert struct.unpack(">Q", signature[:8]) == (NOW,)
    message = b"cosignature/v1\ntime 1790000000\n" + text
    Ed25519PublicKey.from_public_bytes(ed25519).verify(signature[8:], message)
    signature = found[hashlib.sha256(name + b"\n\x06" + mldsa44).digest()[:4]]
    assert struct.unpack(">Q", signature[:8]) == (NOW,)
    message = b"subtree/v1\n\0" + bytes([len(name)]) + name + struct.pack(">Q", NOW)
    message += bytes([len(HEAD.origin)]) + HEAD.origin.encode() + struct.pack(">QQ", 0, HEAD.size) + HEAD.root
    MLDSA44PublicKey.from_public_bytes(mldsa44).verify(signature[8:], message)


def test_a_cosigned_checkpoint_is_still_the_logs_note(cosigned, log):
    opened = open_note(cosigned, log.keys)
    assert (opened.verified, opened.unknown) == (("Ed25519", "ML-DSA-44"), 2)


def test_who_signed_and_when(cosigned, log, witness):
    head, signed = verify_note(cosigned, [*log.keys, *witness.keys])
    assert head == HEAD
    assert [(line.key, line.time) for line in signed] == [
        (log.keys[0], None),
        (log.keys[1], NOW),
        (witness.keys[0], NOW),
        (witness.keys[1], NOW),
    ]
    assert verify_note(cosigned, Cosigner.generate("witness.example/w1").keys)[1] == ()


@given(data=st.data())
def test_no_changed_byte_of_a_known_line_passes(cosigned, witness, data):
    _, lines = split_note(cosigned)
    mine = [line for line in lines if line.name == witness.name]
    line = data.draw(st.sampled_from(mine))
    at = data.draw(st.integers(0, len(line.signature) - 1))
    wrong = bytearray(line.signature)
    wrong[at] ^= data.draw(st.integers(1, 255))
    old = base64.b64encode(line.key_id + line.signature)
    forged = cosigned.replace(old, base64.b64encode(line.key_id + bytes(wrong)))
    with pytest.raises(LedgerCorrupt):
        verify_note(forged, witness.keys)


def test_a_cosignature_is_of_one_head_by_one_key(cosigned, witness):
    text, lines = split_note(cosigned)
    for other in (text.replace(b"12345", b"12346"), text.replace(b"/log", b"/lag")):
        with pytest.raises(LedgerCorrupt, match="is wrong"):
            verify_lines(other, lines, witness.keys)
    # the plain Ed25519 signature of a text is no cosignature, nor the other way round
    plain = VerifierKey(witness.name, 1, witness.keys[0].public)
    line = witness.cosign(text, NOW).decode().split("\n")[0].split(" ")[2]
    forged = f"— {witness.name} {base64.b64encode(plain.id + base64.b64decode(line)[4:]).decode()}\n".encode()
    with pytest.raises(LedgerCorrupt, match="is wrong"):
        verify_note(text + b"\n" + forged, [plain])


def test_a_time_of_zero_or_beyond_the_last_says_nothing(witness):
    text = HEAD.text
    for time in (0, -1, 2**63):
        with pytest.raises(ConfigurationError):
            witness.cosign(text, time)
    for time in (0, 2**63):
        message = ed25519_message(text, time)
        data = witness.keys[0].id + time.to_bytes(8, "big") + witness.ed25519.sign(message)
        note = text + b"\n" + f"— {witness.name} {base64.b64encode(data).decode()}\n".encode()
        with pytest.raises(LedgerCorrupt, match="no time"):
            verify_note(note, witness.keys)


def test_extension_lines_are_cosigned_and_say_nothing_of_the_head(witness):
    text = HEAD.text + b"an extension\nanother\n"
    assert head_of(text) == HEAD
    lines = split_note(text + b"\n" + witness.cosign(text, NOW))[1]
    assert len(verify_lines(text, lines, witness.keys)) == 2
    with pytest.raises(LedgerCorrupt):  # Ed25519 covers them
        verify_lines(HEAD.text + b"other\n", lines, witness.keys[:1])
    assert len(verify_lines(HEAD.text + b"other\n", lines, witness.keys[1:])) == 1  # ML-DSA-44 does not
    for bad in (HEAD.text + b"\n", HEAD.text[:-1], HEAD.text + b"\nx\n", b"a\n1\n"):
        with pytest.raises(LedgerCorrupt):
            head_of(bad)


def test_vkeys_of_logs_and_witnesses(log, witness):
    for key in (*log.keys, *witness.keys):
        assert parse_vkey(str(key)) == key
    assert str(witness.keys[0]).partition("+")[2][9:].startswith("B")  # base64 of 0x04
    for bad in (
        str(witness.keys[0]).replace("w1", "w2"),
        str(witness.keys[0])[:-8],
        "x",
        "x+00000000+",
        "a b+00000000+BA==",
        "x+00000000+/w==",
    ):
        with pytest.raises(LedgerCorrupt):
            parse_vkey(bad)


GO = """
package main

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

func main() {
	cosigned, _ := os.ReadFile("cosigned")
	vkey, _ := os.ReadFile("vkey")
	verifier, err := note.NewVerifier(string(vkey))
	if err != nil {
		panic(err)
	}
	opened, err := note.Open(cosigned, note.VerifierList(verifier))
	if err != nil {
		panic(err)
	}
	fmt.Println("log", len(opened.Sigs), len(opened.UnverifiedSigs))
	name := os.Args[1]
	key, _ := hex.DecodeString(os.Args[2])
	id := sha256.Sum256(append([]byte(name+"\\n\\x04"), key...))
	for _, sig := range opened.UnverifiedSigs {
		raw, _ := base64.StdEncoding.DecodeString(sig.Base64)
		if sig.Name != name || !bytes.Equal(raw[:4], id[:4]) {
			continue
		}
		time := binary.BigEndian.Uint64(raw[4:12])
		message := fmt.Sprintf("cosignature/v1\\ntime %d\\n%s", time, opened.Text)
		fmt.Println("cosignature", time, ed25519.Verify(key, []byte(message), raw[12:]))
		message = strings.Replace(message, "12345", "12346", 1)
		fmt.Println("of another head", ed25519.Verify(key, []byte(message), raw[12:]))
	}
}
"""


def test_go_opens_a_cosigned_checkpoint_and_verifies_the_cosignature(cosigned, log, witness, tmp_path):
    library = Path("/usr/share/gocode/src/golang.org/x/mod/sumdb/note")
    if shutil.which("go") is None or not library.is_dir():
        pytest.skip("Go with golang.org/x/mod is not installed")
    (tmp_path / "main.go").write_text(GO)
    (tmp_path / "cosigned").write_bytes(cosigned)
    (tmp_path / "vkey").write_text(str(log.keys[0]))
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": "/usr/share/gocode",
        "GOCACHE": str(tmp_path / "cache"),
        "GOFLAGS": "-p=1",
    }
    run = ["go", "run", "main.go", witness.name, witness.ed25519.public_key().public_bytes_raw().hex()]
    done = subprocess.run(run, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["log 1 3", f"cosignature {NOW} true", "of another head false"], done.stderr
