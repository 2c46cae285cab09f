"""Proofs that stand alone, checked by the core and by the stand-alone verifier."""

from __future__ import annotations

import base64
import json
import random
import subprocess
import sys

import pytest

from qimg_core.cli.app import main
from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger import Draft, SQLiteLedger
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.merkle import Tree, leaf_hash
from qimg_core.ledger.note import Checkpoint, Signer
from qimg_core.ledger.proof import LogProof, make_proof
from qimg_core.ledger.standalone import verify as standalone


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proof") / "log"
    with SQLiteLedger.open(folder, origin="example.org/log") as ledger:
        for run in range(3):
            name = f"run-{run}"
            kinds = ["run.started", "images.made", "run.finished"]
            ledger.extend([Draft(kind, run=name, facts={"n": run}) for kind in kinds for _ in range(20)])
            ledger.checkpoint()
        ledger.append("later", facts={})
    return folder


@pytest.fixture
def made(log):
    with SQLiteLedger.open(log, read_only=True) as ledger:
        return make_proof(ledger, 30), ledger.entry(30).body, ledger.history


def both(data, history, body):
    """Do the two checks agree that it holds?"""
    try:
        LogProof.parse(data).check(history, body)
        core = True
    except LedgerCorrupt:
        core = False
    report = standalone.verify_proof(data, history.text.encode(), body)
    assert (report.count == 0) is core, report.problems
    assert report.unchecked == 0
    return core


def test_the_form_is_that_of_the_specification(made):
    proof, body, history = made
    lines = proof.dumps().decode().split("\n")
    assert lines[0] == "c2sp.org/tlog-proof@v1"
    assert lines[1] == "extra " + base64.b64encode(leaf_hash(body)).decode()
    assert lines[2] == "index 30"
    at = lines.index("")
    assert [base64.b64decode(line) for line in lines[3:at]] == list(proof.hashes)
    assert lines[at + 1 : at + 3] == ["example.org/log", "60"]  # the first head that covers it
    assert LogProof.parse(proof.dumps()) == proof
    assert proof.check(history, body).verified == ("Ed25519", "ML-DSA-44")


def test_it_is_made_the_same_again(log, made):
    with SQLiteLedger.open(log, read_only=True) as ledger:
        assert make_proof(ledger, 30).dumps() == made[0].dumps()
        newest = make_proof(ledger, 30, ledger.checkpoints()[-1])
        assert b"\n180\n" in newest.dumps()
        assert both(newest.dumps(), made[2], made[1])
        with pytest.raises(ConfigurationError, match="no signed head covers entry 180"):
            make_proof(ledger, 180)


def test_every_change_is_refused(made):
    proof, body, history = made
    data = proof.dumps()
    assert both(data, history, body)
    assert both(data, history, None)
    rng = random.Random(8)
    extra = range(data.index(b"extra"), data.index(b"\nindex"))
    for _ in range(400):
        at = rng.randrange(len(data))
        changed = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
        assert not both(changed, history, None)
        if at not in extra:  # which nothing covers, and nobody needs who has the entry
            assert not both(changed, history, body)
    for other in (body[:-1], body + b" ", b""):
        assert not both(data, history, other)
    assert not both(data.replace(b"index 30", b"index 31"), history, body)
    assert not both(b"\n\n".join(data.split(b"\n\n")[:2]), history, body)


def test_the_keys_of_another_log_do_not_do(made):
    proof, body, _ = made
    assert not both(proof.dumps(), KeyHistory.of(Signer.generate("example.org/log").keys), body)
    assert not both(proof.dumps(), KeyHistory.of(Signer.generate("example.org/other").keys), body)


def test_one_signature_is_not_enough(made):
    proof, body, history = made
    for drop in (-1, -2):
        lines = proof.note.splitlines(keepends=True)
        del lines[drop]
        assert not both(LogProof(**{**fields(proof), "note": b"".join(lines)}).dumps(), history, body)


def test_cosignatures_of_others_are_let_through(made):
    proof, body, history = made
    text, signatures = proof.note.split(b"\n\n")
    witness = "\u2014 witness.example/w " + base64.b64encode(b"abcd" + bytes(72)).decode() + "\n"
    note = text + b"\n\n" + signatures + witness.encode()
    assert both(LogProof(**{**fields(proof), "note": note}).dumps(), history, body)


def fields(proof):
    return {"index": proof.index, "hashes": proof.hashes, "note": proof.note, "extra": proof.extra}


def test_without_the_leaf_hash_it_needs_the_entry(made):
    proof, body, history = made
    bare = LogProof(**{**fields(proof), "extra": None})
    assert both(bare.dumps(), history, body)
    with pytest.raises(ConfigurationError, match="--entry"):
        bare.check(history)
    assert standalone.verify_proof(bare.dumps(), history.text.encode()).count


def test_its_size_for_a_log_of_a_million():
    """20 hashes, a name of usual length, both signatures: at most 4.5 kB."""
    signer = Signer.generate("qimg.local/0123456789abcdef")
    tree = Tree(leaf_hash(i.to_bytes(3, "big")) for i in range(300))
    note = signer.sign_checkpoint(Checkpoint(signer.origin, 1_000_000, tree.root()), 1_800_000_000)
    data = LogProof(index=999_999, hashes=tree.inclusion(0)[:1] * 20, note=note, extra=bytes(32)).dumps()
    assert len(data) <= 4500


def test_the_commands(log, tmp_path, capsys):
    out, entry, keys = str(tmp_path / "run.tlog-proof"), str(tmp_path / "entry"), str(log / "keys" / "log.vkeys")
    where = ["--ledger", str(log)]
    assert main(["ledger", "prove", "run-1", "--out", out, "--entry", entry, *where, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["index"], told["kind"], told["run"]) == (80, "images.made", "run-1")
    assert told["bytes"] == len((tmp_path / "run.tlog-proof").read_bytes()) <= 4500
    assert main(["verify", out, "--vkeys", keys, "--entry", entry, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["signatures"] == 2
    assert main(["verify", out, "--vkeys", keys]) == 0
    assert main(["verify", out]) == 2
    assert "--vkeys" in capsys.readouterr().err
    assert main(["verify", str(log), "--entry", entry]) == 2
    assert main(["ledger", "prove", "180", "--out", out, *where]) == 2
    assert main(["ledger", "prove", "3", "--out", str(tmp_path / "x.txt"), *where]) == 2

    alone = [sys.executable, standalone.__file__, out, "--vkeys", keys, "--entry", entry]
    done = subprocess.run(alone, capture_output=True, text=True, check=False)
    assert (done.returncode, "PASS" in done.stdout) == (0, True)
    (tmp_path / "entry").write_bytes(b"{}")
    assert subprocess.run(alone, capture_output=True, check=False).returncode == 1
    assert main(["verify", out, "--vkeys", keys, "--entry", entry]) == 1
    assert subprocess.run(alone[:3], capture_output=True, check=False).returncode == 2
