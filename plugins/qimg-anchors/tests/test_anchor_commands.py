"""Sessions, ``qimg ledger anchor`` and ``qimg verify`` against three witnesses on loopback ports, end to end."""

from __future__ import annotations

import json
import shutil

import pytest

from qimg_anchors.testing.witness import LocalWitness
from qimg_anchors.witness import read_logs
from qimg_core import Registry, Session
from qimg_core.cli import main
from qimg_core.errors import ConfigurationError, OutsideMemoryError
from qimg_core.hooks import OutsideMemorySpec, hookimpl
from qimg_core.ledger import SQLiteLedger
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.outside import OutsideMemory, Receipt
from qimg_core.ledger.rotation import rotate
from qimg_core.testing.toy import ToyPlugin


@pytest.fixture
def registry():
    import qimg_anchors.plugin

    found = Registry(discover=False)
    found.register(ToyPlugin(), "toy")
    found.register(qimg_anchors.plugin, "anchors")
    return found


@pytest.fixture
def qimg(capsys, registry):
    def call(*words):
        capsys.readouterr()
        code = main([str(word) for word in words], registry=registry)
        return int(code), capsys.readouterr()

    return call


@pytest.fixture
def world(tmp_path, serving, qimg):
    """A new ledger, three witnesses that know its keys, and its settings: 2 of 3."""
    runs = tmp_path / "runs"
    code, shown = qimg("ledger", "anchor", "--new", "--ledger", runs, "--json")
    assert code == 0
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        assert json.loads(shown.out)["keys"] == [str(key) for key in ledger.keys]
        witnesses = serving(ledger.keys, 3)
    lines = "".join(w.line(f"w{k}", mldsa44=k % 2 == 0) for k, w in enumerate(witnesses, 1))
    (runs / "witnesses.txt").write_text(f"{lines}group all-of-them 2 w1 w2 w3\nquorum all-of-them\n")
    (runs / "ledger.toml").write_text('[memory.witnesses]\nuse = "witness"\npolicy = "witnesses.txt"\ntimeout = 5\n')
    return runs, witnesses


def run(runs, registry, text="anything"):
    with Session(runs, seed=1, backend="reference", registry=registry) as session:
        session.record("note.made", {"text": text})


def stop(witness):
    witness.__exit__(None, None, None)


def test_two_of_three_end_to_end(world, registry, qimg):
    runs, witnesses = world
    run(runs, registry)
    code, shown = qimg("verify", runs, "--json")
    assert code == 0
    (memory,) = json.loads(shown.out)["memories"]
    assert (memory["name"], memory["kind"], memory["receipts"], memory["size"]) == ("witnesses", "witness", 1, 3)
    assert memory["said"] == "3 of 3 witnesses (w1, w2, w3); wanted 2 of (w1, w2, w3)"
    stop(witnesses[1])
    try:
        run(runs, registry)
        assert "2 of 3 witnesses (w1, w3); wanted 2 of (w1, w2, w3)" in qimg("verify", runs)[1].out
        code, shown = qimg("verify", runs, "--online")
        assert (code, "holds a head over 7 entries, and this log continues it" in shown.out) == (0, True)
    finally:
        witnesses[1].__enter__()


def test_a_failure_is_caught_up_by_anchor(world, registry, qimg, caplog):
    runs, witnesses = world
    stop(witnesses[0])
    stop(witnesses[1])
    run(runs, registry)
    assert "qimg ledger anchor" in caplog.text
    code, shown = qimg("ledger", "anchor", "--status", "--ledger", runs, "--json")
    assert (code, json.loads(shown.out)["kept"]) == (1, False)
    code, shown = qimg("ledger", "anchor", "--ledger", runs, "--json")
    assert code == 1
    document = json.loads(shown.out)
    assert (document["kept"], document["failed"][0]["memory"]) == ([], "witnesses")
    code, shown = qimg("verify", runs, "--online")
    assert code == 3  # two silent witnesses could have made a quorum for something newer
    assert "too few witnesses answer" in shown.out
    (runs / "witnesses.txt").write_text((runs / "witnesses.txt").read_text())
    for witness in witnesses[:2]:
        witness.__enter__()
    lines = "".join(w.line(f"w{k}", mldsa44=k % 2 == 0) for k, w in enumerate(witnesses, 1))  # on new ports
    (runs / "witnesses.txt").write_text(f"{lines}group all-of-them 2 w1 w2 w3\nquorum all-of-them\n")
    code, shown = qimg("ledger", "anchor", "--ledger", runs)
    assert (code, "3 of 3 witnesses" in shown.out) == (0, True)
    code, shown = qimg("ledger", "anchor", "--ledger", runs)
    assert (code, "has kept all that matters already" in shown.out) == (0, True)
    code, shown = qimg("ledger", "anchor", "--status", "--ledger", runs, "--json")
    document = json.loads(shown.out)
    assert (code, document["kept"], document["mode"]) == (0, True, "open")


def test_rollback_and_stolen_key_are_found_online_and_by_a_kept_checkpoint_and_not_otherwise(
    world, registry, qimg, tmp_path
):
    runs, _ = world
    run(runs, registry)
    old = tmp_path / "old"
    shutil.copytree(runs, old)
    run(runs, registry)
    kept = tmp_path / "kept.note"
    kept.write_text(qimg("ledger", "checkpoint", "--ledger", runs)[1].out)
    assert qimg("verify", runs, "--online", "--checkpoint", kept)[0] == 0
    # yesterday's copy
    assert qimg("verify", old)[0] == 0  # the limit of what is in the folder alone
    code, shown = qimg("verify", old, "--online", "--json")
    problems = json.loads(shown.out)["problems"]
    assert (code, [p["where"] for p in problems]) == (1, [f"witnesses (witness.example/w{k})" for k in (1, 2, 3)])
    assert "rollback: it holds a head over 7 entries, and this log has 4" in problems[0]["what"]
    code, shown = qimg("verify", old, "--checkpoint", kept)
    assert (code, "rollback" in shown.out) == (1, True)
    # another history under the stolen keys
    for name in ("ledger.db", "ledger.db-wal", "ledger.db-shm", "keys/last.checkpoint"):
        (runs / name).unlink(missing_ok=True)
    with SQLiteLedger.open(runs) as ledger:
        for k in range(20):
            ledger.append("note.made", run="r", facts={"text": f"nicer numbers {k}"})
        ledger.checkpoint()
    assert qimg("verify", runs)[0] == 0  # the same limit
    code, shown = qimg("verify", runs, "--online")
    assert (code, "fork: the first 7 entries" in shown.out, "this log's own key" in shown.out) == (1, True, True)
    code, shown = qimg("verify", runs, "--checkpoint", kept)
    assert (code, "fork" in shown.out) == (1, True)
    # and the witnesses do not cosign it
    code, shown = qimg("ledger", "anchor", "--ledger", runs)
    assert (code, "NOT kept" in shown.out, "fork" in shown.err) == (1, True, True)


def test_a_bundle_is_compared_with_a_kept_checkpoint(world, registry, qimg, tmp_path):
    runs, _ = world
    run(runs, registry)
    kept, early = tmp_path / "kept.note", tmp_path / "early.note"
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        early.write_bytes(ledger.checkpoints()[0])
        some_run = ledger.entry(0).run
    for name in ("whole.zip", "whole"):
        assert qimg("export", runs, "--out", tmp_path / name)[0] == 0
    assert qimg("export", runs, "--run", some_run, "--out", tmp_path / "some.zip")[0] == 0
    run(runs, registry)
    kept.write_text(qimg("ledger", "checkpoint", "--ledger", runs)[1].out)
    for name in ("whole.zip", "whole", "some.zip"):
        code, shown = qimg("verify", tmp_path / name, "--checkpoint", early)
        assert (code, "continues the kept head over 3" in shown.out) == (0, True), shown
        code, shown = qimg("verify", tmp_path / name, "--checkpoint", kept)
        assert (code, "rollback" in shown.out) == (1, True)
    other = tmp_path / "other.note"
    other.write_bytes(early.read_bytes().replace(b"\n3\n", b"\n2\n"))
    assert qimg("verify", tmp_path / "whole.zip", "--checkpoint", other)[0] == 1
    assert qimg("verify", tmp_path / "some.zip", "--checkpoint", other)[0] == 3
    assert qimg("verify", tmp_path / "whole.zip", "--online")[0] == 2


def test_settings_that_cannot_be_used(world, registry, qimg, tmp_path):
    runs, _ = world
    run(runs, registry)
    assert qimg("verify", runs, "--checkpoint", tmp_path / "gone")[0] == 2
    assert qimg("ledger", "anchor", "--new", "--status", "--ledger", runs)[0] == 2
    (runs / "ledger.toml").write_text('[memory.witnesses]\nuse = "witness"\npolicy = "gone.txt"\n')
    code, shown = qimg("verify", runs)  # receipts are not checked then, and it is said
    assert (code, "receipts are unchecked" in shown.out) == (0, True)
    assert qimg("verify", runs, "--online")[0] == 2
    assert qimg("ledger", "anchor", "--ledger", runs)[0] == 2
    (runs / "ledger.toml").unlink()
    code, shown = qimg("verify", runs)
    assert (code, "1 receipts of 'witnesses' were not checked" in shown.out) == (0, True)
    assert qimg("ledger", "anchor", "--ledger", runs)[0] == 2
    assert qimg("verify", runs, "--online")[0] == 2


def test_governed_mode_demands_an_archive_too(world, registry, qimg):
    runs, _ = world
    (runs / "ledger.toml").write_text('mode = "governed"\n' + (runs / "ledger.toml").read_text())
    with pytest.raises(ConfigurationError, match="governed mode demands an archive; configured: witness"):
        Session(runs, seed=1, backend="reference", registry=registry)
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        assert len(ledger) == 0
    code, shown = qimg("ledger", "anchor", "--ledger", runs)
    assert (code, "demands an archive" in shown.err) == (2, True)


def test_new_keys_of_the_log(world, registry, qimg, tmp_path):
    """The hand-over head bears the old signatures too; after it the operators need the new file of keys."""
    runs, witnesses = world
    run(runs, registry)
    kept = tmp_path / "kept.note"
    with SQLiteLedger.open(runs) as ledger:
        kept.write_bytes(ledger.checkpoints()[0])
        rotate(ledger, runs, "a test")
    assert qimg("ledger", "anchor", "--ledger", runs)[0] == 0
    run(runs, registry)
    code, shown = qimg("ledger", "anchor", "--ledger", runs)
    assert (code, "(403): give its operator keys/log.vkeys anew" in shown.err) == (1, True)
    known = read_logs((runs / "keys" / "log.vkeys").read_bytes(), "log.vkeys")
    for witness in witnesses:
        witness.witness._logs.update(known)
    assert qimg("ledger", "anchor", "--ledger", runs)[0] == 0
    assert qimg("verify", runs, "--online", "--checkpoint", kept)[0] == 0


def test_a_witness_that_does_not_know_the_log_says_whom_to_tell(world, registry, tmp_path, qimg):
    runs, _ = world
    with LocalWitness(tmp_path, "stranger.example/w", []) as stranger:
        (runs / "witnesses.txt").write_text(stranger.line("w1") + "quorum w1\n")
        run(runs, registry)
        _, shown = qimg("ledger", "anchor", "--ledger", runs)
    assert "does not know this log (404): give its operator the file keys/log.vkeys" in shown.err


def test_the_errors_of_a_session_leave_the_record(world, registry):
    runs, witnesses = world
    text = (runs / "ledger.toml").read_text()
    (runs / "ledger.toml").write_text(f'mode = "governed"\n{text}[memory.vault]\nuse = "vault"\n')
    registry.register(Vaults(), "vaults")
    run(runs, registry)
    for witness in witnesses:
        stop(witness)
    try:
        with pytest.raises(OutsideMemoryError, match=r"not kept by 1 of 2 memories: witnesses: wanted cosignatures"):
            run(runs, registry)
    finally:
        for witness in witnesses:
            witness.__enter__()
    with SQLiteLedger.open(runs, read_only=True) as ledger:
        assert [entry.kind for entry in ledger.entries(start=8)] == ["checkpoint.unkept", "checkpoint.kept"]
        assert ledger.verify().ok


def test_generate_on_a_governed_ledger(world, registry, qimg, tmp_path):
    runs, witnesses = world
    text = (runs / "ledger.toml").read_text()
    (runs / "ledger.toml").write_text(f'mode = "governed"\n{text}')
    words = ["generate", "--generator", "toy", "--backend", "reference", "--untrained", "--n", 2, "--ledger", runs]
    code, shown = qimg(*words, "--out", tmp_path / "none.png")
    assert (code, "governed mode demands an archive" in shown.err) == (2, True)
    assert not (tmp_path / "none.png").exists()
    (runs / "ledger.toml").write_text(f'mode = "governed"\n{text}[memory.vault]\nuse = "vault"\n')
    registry.register(Vaults(), "vaults")
    assert qimg(*words, "--out", tmp_path / "good.png")[0] == 0
    for witness in witnesses:
        stop(witness)
    try:
        code, shown = qimg(*words, "--out", tmp_path / "late.png")
    finally:
        for witness in witnesses:
            witness.__enter__()
    assert (code, "was not kept by 1 of 2 memories" in shown.err, "qimg ledger anchor" in shown.err) == (1, True, True)
    assert (tmp_path / "late.png").exists()
    assert qimg("verify", runs)[0] == 0
    assert qimg("inspect", tmp_path / "late.png", "--ledger", runs)[0] == 0


class Vault(OutsideMemory):
    """An archive in this process that keeps everything."""

    kind = "archive"

    def __init__(self, name):
        self.name = name

    def keep(self, ledger, note):
        head = Checkpoint.parse(split_note(note)[0])
        return Receipt(memory=self.name, kind=self.kind, size=head.size, root=head.root, evidence=note)

    def check(self, receipt, note):
        return ()

    def newest(self, origin):
        return None


class Vaults:
    """Supplies it."""

    @hookimpl
    def qimg_outside_memories(self):
        return [OutsideMemorySpec(name="vault", target=f"{__name__}:Vault")]
