"""What every ledger does, in memory and on disk."""

from __future__ import annotations

import hashlib
import json
import random
import re
import subprocess
import sys
import threading

import pytest

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger import Draft, Entry, Gap, MemoryLedger, SQLiteLedger
from qimg_core.ledger.merkle import Frontier, leaf_hash, verify_consistency, verify_inclusion
from qimg_core.ledger.note import Checkpoint, open_note
from qimg_core.verdict import Verdict


@pytest.fixture(params=["memory", "sqlite"])
def ledger(request, tmp_path):
    made = MemoryLedger() if request.param == "memory" else SQLiteLedger.open(tmp_path / "log")
    with made:
        yield made


def test_an_entry_holds_what_was_given(ledger):
    entry = ledger.append(
        "run.start", run="r1", facts={"n": 3, "lr": "0.1"}, claims={"by": "me"}, gaps=[Gap("cost", "not billed")]
    )
    again = ledger.entry(0)
    assert again == entry
    assert (again.index, again.kind, again.run) == (0, "run.start", "r1")
    assert (again.facts, again.claims, again.gaps) == (
        {"n": 3, "lr": "0.1"},
        {"by": "me"},
        (Gap("cost", "not billed"),),
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", again.time)
    document = json.loads(again.body)
    assert document["schema"] == "qimg.entry/1"
    assert document["gaps"] == [{"field": "cost", "reason": "not billed"}]
    assert again.leaf == hashlib.sha256(b"\0" + again.body).digest()
    assert again.digest == "sha256:" + hashlib.sha256(again.body).hexdigest()


def test_the_record_does_not_follow_the_callers_dict(ledger):
    facts = {"list": [1]}
    entry = ledger.append("x", facts=facts)
    facts["list"].append(2)
    assert ledger.entry(0).facts == entry.facts == {"list": [1]}


def test_order_and_selection(ledger):
    ledger.extend([Draft("a" if i % 3 else "b", run=f"r{i % 2}", facts={"i": i}) for i in range(20)])
    assert len(ledger) == 20
    assert [e.index for e in ledger.entries()] == list(range(20))
    assert [e.index for e in ledger.entries(run="r1", kind="b")] == [3, 9, 15]
    assert [e.index for e in ledger.entries(run="r1", start=15)] == [15, 17, 19]
    assert list(ledger.entries(run="none")) == []


@pytest.mark.parametrize(
    "draft",
    [
        Draft("x", facts={"lr": 0.1}),
        Draft("x", facts={"big": "a" * 65_536}),
        Draft("no spaces", facts={}),
        Draft("", facts={}),
        Draft("x", run="", facts={}),
        Draft("x", facts={"artefacts": {"a": "sha256:abc"}}),
        Draft("x", facts={"artefacts": ["sha256:" + "0" * 64]}),
        Draft("x", facts={"artefacts": {"a": "sha256:" + "0" * 64}}),
    ],
)
def test_a_bad_draft_writes_nothing_at_all(ledger, draft):
    ledger.append("first", facts={})
    before = ledger.checkpoint()
    with pytest.raises(ConfigurationError):
        ledger.extend([Draft("good", facts={}), draft])
    assert len(ledger) == 1
    assert ledger.checkpoint() == before
    assert ledger.append("next", facts={}).index == 1
    assert ledger.verify().ok


def test_the_longest_entry(ledger):
    empty = len(Entry.of(Draft("x", facts={"a": ""}), index=0, time="2026-01-01T00:00:00.000000Z").body)
    assert len(ledger.append("x", facts={"a": "y" * (65_535 - empty)}).body) == 65_535
    with pytest.raises(ConfigurationError, match="store it as an artefact"):
        ledger.append("x", facts={"a": "y" * (65_536 - empty)})


def test_artefacts_are_named_by_their_content(ledger):
    digest = ledger.put(b"abc")
    assert digest == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert ledger.put(b"abc") == digest
    assert ledger.get(digest) == b"abc"
    assert ledger.get(ledger.put(b"")) == b""
    assert ledger.has(digest)
    assert not ledger.has("sha256:" + "0" * 64)
    with pytest.raises(LedgerError, match="no artefact"):
        ledger.get("sha256:" + "0" * 64)
    for bad in ("abc", "sha256:../../etc/passwd", digest.upper()):
        with pytest.raises(ConfigurationError, match="no digest"):
            ledger.get(bad)


def test_checkpoints_are_signed_roots_and_only_grow(ledger):
    bodies, notes = [], []
    for i in range(9):
        bodies.append(ledger.append("x", facts={"i": i}).body)
        if i % 2:
            notes.append(ledger.checkpoint())
            assert ledger.checkpoint() == notes[-1]
            head = Checkpoint.parse(open_note(notes[-1], ledger.keys).text)
            assert head == Checkpoint(ledger.origin, i + 1, Frontier(map(leaf_hash, bodies)).root())
    assert ledger.checkpoints() == tuple(notes)


def test_proofs_lead_to_the_signed_roots(ledger):
    ledger.append("x", facts={})
    ledger.inclusion(0)  # builds the tree; what follows must keep it up to date
    entries = [ledger.entry(0), *ledger.extend([Draft("x", facts={"i": i}) for i in range(20)])]
    roots = [Frontier(e.leaf for e in entries[:n]).root() for n in range(22)]
    for size in (None, 1, 7, 16, 21):
        for index in range(size or 21):
            proof = ledger.inclusion(index, size)
            assert proof.holds()
            assert proof.root == roots[size or 21]
            assert verify_inclusion(index, size or 21, entries[index].leaf, proof.proof, proof.root)
    assert verify_consistency(5, 21, ledger.consistency(5), roots[5], roots[21])
    assert verify_consistency(5, 13, ledger.consistency(5, 13), roots[5], roots[13])
    for ask in (lambda: ledger.inclusion(21), lambda: ledger.inclusion(0, 22), lambda: ledger.consistency(0)):
        with pytest.raises(ConfigurationError):
            ask()


def test_verify_counts_and_notes(ledger, fill):
    named = fill(ledger, random.Random(1))
    ledger.put(b"nobody names me")
    found = ledger.verify()
    assert (found.verdict, found.problems, found.first_bad) == (Verdict.PASS, (), None)
    assert found.entries == len(ledger) == len(named)
    assert found.artefacts == len(set().union(*named.values())) + 1
    assert found.signatures == 2 * found.checkpoints == 2 * len(ledger.checkpoints())
    assert found.notes == ("1 artefacts that no entry names",)
    ledger.append("x", facts={})
    assert "1 entries after the last checkpoint, unsigned" in ledger.verify().notes


def test_an_empty_log(ledger):
    assert len(ledger) == 0
    assert ledger.verify().ok
    assert ledger.extend([]) == ()
    head = Checkpoint.parse(open_note(ledger.checkpoint(), ledger.keys).text)
    assert head.root == hashlib.sha256(b"").digest()
    assert ledger.verify().ok
    with pytest.raises(LedgerError, match="no entry 0"):
        ledger.entry(0)
    with pytest.raises(LedgerError, match="no entry -1"):
        ledger.entry(-1)


def test_threads_share_a_ledger(ledger):
    def work(n):
        for i in range(20):
            ledger.append("x", run=f"r{n}", facts={"i": i})

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [e.index for e in ledger.entries()] == list(range(120))
    for n in range(6):
        assert [e.facts["i"] for e in ledger.entries(run=f"r{n}")] == list(range(20))
    ledger.checkpoint()
    assert ledger.verify().ok


def test_a_closed_ledger_says_so(ledger):
    ledger.append("x", facts={})
    ledger.close()
    ledger.close()
    for use in (
        lambda: ledger.append("x", facts={}),
        lambda: ledger.put(b""),
        lambda: ledger.entry(0),
        lambda: list(ledger.entries()),
        ledger.checkpoint,
        ledger.verify,
    ):
        with pytest.raises(LedgerError, match="closed"):
            use()


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "qimg.entry/2"},
        {"index": -1},
        {"index": True},
        {"kind": "two words"},
        {"run": ""},
        {"time": "2026-01-01"},
        {"facts": []},
        {"facts": {"artefacts": {"a": "x"}}},
        {"gaps": [{"field": "a"}]},
        {"extra": 1},
    ],
)
def test_a_body_of_another_form_is_not_read(change):
    body = Entry.of(Draft("x", facts={}), index=0, time="2026-01-01T00:00:00.000000Z").body
    assert Entry.parse(body).body == body
    spoilt = json.dumps({**json.loads(body), **change}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(LedgerCorrupt):
        Entry.parse(spoilt)


def test_importing_loads_nothing_heavy():
    heavy = ["numpy", "torch", "httpx", "cryptography"]
    code = f"import sys, qimg_core.ledger; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
