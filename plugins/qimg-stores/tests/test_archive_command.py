"""``qimg archive``: exit codes and what it prints."""

from __future__ import annotations

import json

import pytest

from qimg_core.cli.app import main
from qimg_core.ledger import SQLiteLedger
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_stores.places import named


@pytest.fixture
def where(unflagged):
    return str(unflagged)


def test_init_audit_logs_restore(log, where, tmp_path, capsys):
    assert main(["archive", "init", where]) == 0
    assert "tamper-resistant" in capsys.readouterr().out
    archive = named(where)
    archive.keep(log, log.grow(5))
    (tmp_path / "trusted").write_text(log.history.text)
    assert main(["archive", "logs", where, "--json"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["logs"]
    assert (row["log"], row["size"]) == ("example.org/log", 5)
    assert main(["archive", "audit", where]) == 0
    assert "the keys are the archive's own" in capsys.readouterr().out
    assert main(["archive", "audit", where, "--vkeys", str(tmp_path / "trusted"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entries"] == 5
    assert main(["archive", "restore", where, str(tmp_path / "back"), "--vkeys", str(tmp_path / "trusted")]) == 0
    assert main(["verify", str(tmp_path / "back")]) == 0
    with SQLiteLedger.open(tmp_path / "back", read_only=True) as back:
        assert len(back) == 5
    capsys.readouterr()
    assert main(["archive", "restore", where, str(tmp_path / "back")]) == 2
    assert main(["archive", "audit", where, "--log", "example.org/none"]) == 1
    assert main(["archive", "audit", str(tmp_path / "nowhere")]) == 2


def test_an_emulated_server_is_said_to_be_not_worm(emulated, capsys):
    assert main(["archive", "init", "s3://records/x?region=us-east-1", "--create-bucket"]) == 1
    said = capsys.readouterr().out
    assert "s3://records/x: not WORM" in said
    assert "it is kept until" in said
    assert main(["archive", "init", "s3://records/x?regoin=us-east-1"]) == 2
    assert main(["archive", "init", "folder", "--create-bucket"]) == 2


def test_audit_with_the_ledger_finds_a_rollback(log, where, tmp_path, capsys):
    import shutil

    log.grow(3)
    shutil.copytree(tmp_path / "log", tmp_path / "old")
    archive = named(where)
    archive.prepare()
    archive.keep(log, log.grow(3))
    assert main(["archive", "audit", where, "--ledger", str(tmp_path / "log")]) == 0
    assert main(["archive", "audit", where, "--ledger", str(tmp_path / "old")]) == 1
    assert "rollback: the archive holds 6 entries, the ledger 3" in capsys.readouterr().out


@pytest.mark.slow
def test_a_session_keeps_its_head_on_a_real_server_and_the_ledger_comes_back(real, ceph, tmp_path, capsys):
    where = f"s3://session-{tmp_path.name.replace('_', '-').lower()[:40].strip('-')}/qimg"
    folder = tmp_path / "runs"
    folder.mkdir()
    settings = f'[memory.safe]\nuse = "archive"\nwhere = "{where}"\nendpoint = "{ceph}"\nretention_days = 3\n'
    (folder / "ledger.toml").write_text(settings)
    uri = f"{where}?endpoint={ceph}"
    assert main(["archive", "init", uri, "--create-bucket", "--retention-days", "3"]) == 0
    assert ": WORM" in capsys.readouterr().out
    with Session(folder, seed=1, registry=Registry()) as session:
        session.record("note.made", {"text": "keep me"})
    with SQLiteLedger.open(folder, read_only=True) as ledger:
        (entry,) = ledger.entries(kind="checkpoint.kept")
        assert entry.facts["facts"]["capability"] == "worm"
        assert entry.facts["facts"]["modes"] == ["COMPLIANCE"]
        (tmp_path / "trusted").write_text(ledger.history.text)
    assert main(["archive", "audit", uri, "--ledger", str(folder)]) == 0
    assert "1 receipts of this archive" in capsys.readouterr().out
    assert main(["archive", "restore", uri, str(tmp_path / "back"), "--vkeys", str(tmp_path / "trusted")]) == 0
    assert main(["verify", str(tmp_path / "back")]) == 0
