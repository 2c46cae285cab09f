"""RFC 3161 time stamps from ``openssl ts``, checked by ours and by openssl."""

from __future__ import annotations

import datetime as dt
import shutil
import subprocess

import attrs
import httpx
import pytest

from qimg_core.errors import ConfigurationError, OutsideMemoryError
from qimg_core.ledger import MemoryLedger
from qimg_core.ledger.note import Checkpoint, Signer, split_note

pytest.importorskip("rfc3161_client")
if shutil.which("openssl") is None:
    pytest.skip("openssl is not installed", allow_module_level=True)

from qimg_anchors.testing.tsa import POLICY, LocalTSA
from qimg_anchors.timestamp import TimeStamp


@pytest.fixture(scope="module")
def tsa(tmp_path_factory):
    with LocalTSA(tmp_path_factory.mktemp("tsa")) as running:
        yield running


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return LocalTSA(tmp_path_factory.mktemp("stranger"))


@pytest.fixture
def ledger():
    found = MemoryLedger("example.org/log")
    for k in range(3):
        found.append("x", facts={"k": k})
    return found


@pytest.fixture
def memory(tsa):
    made = TimeStamp("tsa", tsa.url, tsa.roots.name, tsa.roots.parent)
    yield made
    made.close()


def test_a_head_is_stamped_and_its_token_holds_offline(tsa, memory, ledger):
    before = dt.datetime.now(dt.UTC).replace(microsecond=0)
    note = ledger.checkpoint()
    receipt = memory.keep(ledger, note)
    assert (receipt.memory, receipt.kind, receipt.size) == ("tsa", "timestamp", 3)
    assert receipt.facts["policy"] == POLICY
    when = dt.datetime.fromisoformat(receipt.facts["time"])
    assert before <= when <= dt.datetime.now(dt.UTC) + dt.timedelta(seconds=2)
    offline = TimeStamp("tsa", "http://127.0.0.1:1/nobody", str(tsa.roots), policy=POLICY)
    assert offline.check(receipt, note) == ()
    assert offline.describe(receipt) == f"time stamp of {receipt.facts['time'][:19]}Z"
    assert offline.newest(ledger.origin) is None


def test_openssl_verifies_the_evidence_over_the_text_of_the_head(tsa, memory, ledger, tmp_path):
    note = ledger.checkpoint()
    (tmp_path / "reply.tsr").write_bytes(memory.keep(ledger, note).evidence)
    (tmp_path / "text").write_bytes(split_note(note)[0])
    words = ["openssl", "ts", "-verify", "-in", "reply.tsr", "-data", "text", "-CAfile", str(tsa.roots)]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verification: OK" in done.stdout, done.stderr
    (tmp_path / "text").write_bytes(note)  # and over nothing else
    assert subprocess.run(words, cwd=tmp_path, capture_output=True, check=False).returncode != 0


def test_a_token_of_another_head_or_another_root_does_not_hold(memory, stranger, ledger):
    note = ledger.checkpoint()
    receipt = memory.keep(ledger, note)
    ledger.append("y", facts={})
    assert "does not hold" in memory.check(receipt, ledger.checkpoint())[0].what
    foreign = TimeStamp("tsa", "http://127.0.0.1:1/", str(stranger.roots))
    assert "does not hold" in foreign.check(receipt, note)[0].what
    other = TimeStamp("tsa", "http://127.0.0.1:1/", str(stranger.roots), policy="1.2.3.4.2")
    assert other.check(receipt, note) != ()
    assert "no time-stamp reply" in memory.check(attrs.evolve(receipt, evidence=b"x"), note)[0].what


def test_a_receipt_that_states_another_time_is_found(memory, ledger):
    note = ledger.checkpoint()
    receipt = memory.keep(ledger, note)
    for name in ("time", "policy", "serial", "signed"):
        wrong = attrs.evolve(receipt, facts={**receipt.facts, name: "2020-01-01T00:00:00.000000Z"})
        assert "the receipt says" in memory.check(wrong, note)[0].what


def test_a_head_that_is_dated_back_shows(memory, ledger):
    """A thief of the keys signs another history with last year's date; the authority's clock is not his."""
    signer = Signer.generate("example.org/log")
    head = Checkpoint("example.org/log", 3, bytes(32))
    honest = signer.sign_checkpoint(head, int(dt.datetime.now(dt.UTC).timestamp()))
    assert "though" not in memory.describe(memory.keep(ledger, honest))
    back = signer.sign_checkpoint(head, int(dt.datetime(2020, 5, 1, tzinfo=dt.UTC).timestamp()))
    receipt = memory.keep(ledger, back)
    assert memory.describe(receipt).endswith("though the log says that it signed this head at 2020-05-01T00:00:00Z")
    assert memory.check(receipt, back) == ()
    hidden = attrs.evolve(receipt, facts={**receipt.facts, "signed": None})
    assert memory.check(hidden, back) != ()


def test_every_changed_byte_of_the_signature_and_the_time_shows(memory, ledger):
    """Bytes of the signed parts: the token's content and its signature; found from the end, where the signature is."""
    note = ledger.checkpoint()
    receipt = memory.keep(ledger, note)
    for at in (*range(len(receipt.evidence) - 60, len(receipt.evidence), 7), receipt.evidence.index(b"Z", 60) - 3):
        wrong = bytearray(receipt.evidence)
        wrong[at] ^= 1
        assert memory.check(attrs.evolve(receipt, evidence=bytes(wrong)), note) != (), at


def test_the_nonce_is_compared(tsa, memory, ledger, monkeypatch):
    note = ledger.checkpoint()
    old = []
    monkeypatch.setattr(tsa, "answer", lambda reply: old.append(reply) or reply)
    memory.keep(ledger, note)
    monkeypatch.setattr(tsa, "answer", lambda reply: old[0])  # a replayed answer for the very same head
    with pytest.raises(OutsideMemoryError, match="[Nn]once"):
        memory.keep(ledger, note)


def test_an_authority_that_refuses_is_told_so(memory, ledger, tsa, monkeypatch):
    refusal = bytes.fromhex("30053003020102")  # TimeStampResp with PKIStatus 2, rejection, and no token
    monkeypatch.setattr(tsa, "answer", lambda reply: refusal)
    with pytest.raises(OutsideMemoryError, match="refused: status 2|no time-stamp reply"):
        memory.keep(ledger, ledger.checkpoint())


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((500, {}, b""), "answered 500"),
        ((200, {"Content-Type": "text/html"}, b"<html>"), "answered something else"),
        ((200, {"Content-Type": "application/timestamp-reply"}, b"nonsense"), "no time-stamp reply"),
        ((302, {"Location": "https://elsewhere/"}, b""), "answered 302"),
    ],
)
def test_answers_that_are_no_time_stamp(tsa, ledger, answer, reason):
    status, headers, body = answer
    transport = httpx.MockTransport(lambda request: httpx.Response(status, headers=headers, content=body))
    memory = TimeStamp("tsa", "https://tsa.example/", str(tsa.roots), transport=transport)
    with pytest.raises(OutsideMemoryError, match=reason):
        memory.keep(ledger, ledger.checkpoint())


def test_settings_are_checked(tsa, tmp_path):
    for options, reason in (
        ({"url": "ftp://x/"}, "wanted a URL"),
        ({"roots": "gone.pem"}, "no file of root certificates"),
        ({"policy": "one.two"}, "no object identifier"),
        ({"timeout": 0}, "timeout"),
    ):
        with pytest.raises(ConfigurationError, match=reason):
            TimeStamp(**{"name": "t", "url": tsa.url, "roots": str(tsa.roots), **options})
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(ConfigurationError, match="no certificates"):
        TimeStamp("t", tsa.url, "empty.pem", tmp_path)
