"""``qimg keys`` from end to end: every subcommand, its exit codes, and that no password or name is printed."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from qimg_core.cli import main
from qimg_core.ledger import SQLiteLedger, encrypted, pkcs8
from qimg_core.ledger.history import KeyHistory

PASSWORD, ANN = "not to be printed", "ann@example.org"


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    monkeypatch.setenv("PW", PASSWORD)
    monkeypatch.setenv("NEW", f"new {PASSWORD}")
    for module, name, value in (
        (pkcs8, "SCRYPT_N", 1024),
        (pkcs8, "SCRYPT_P", 1),
        (encrypted, "_LOG_N", 10),
        (encrypted, "_P", 1),
    ):
        monkeypatch.setattr(module, name, value)

    def run(*argv, code=0):
        capsys.readouterr()
        got = main([*argv, "--json"] if code == 0 else [*argv])
        shown = capsys.readouterr()
        assert got == code, shown
        assert PASSWORD not in shown.out + shown.err
        assert ANN not in shown.out + shown.err
        return json.loads(shown.out) if code == 0 else shown.err

    return run


def content(folder="runs"):
    return {p: p.read_bytes() for p in sorted(Path(folder).rglob("*")) if p.is_file() and "-shm" not in p.name}


def test_a_life_of_keys(call):
    made = call("keys", "init", "--origin", "example.org/log", "--encrypt-with", "env:PW")
    assert (made["log"], made["private"]) == ("example.org/log", {"ed25519": "encrypted", "mldsa44": "encrypted"})
    assert call("keys", "show") == made
    first = made["pairs"][0]["keys"][0]["id"]
    with SQLiteLedger.open("runs") as ledger:
        ledger.append("note", facts={})
        ledger.checkpoint()
    turned = call("keys", "rotate", "--reason", "yearly")  # kept as the old pair was
    assert turned["private"] == made["private"]
    assert [(p["from"], p["to"]) for p in turned["pairs"]] == [(0, 2), (2, None)]
    assert turned["note"].count("\u2014 example.org/log ") == 4
    call("keys", "rotate", "--encrypt-with", "env:NEW")
    revoked = call("keys", "revoke", first, "--from", "1", "--reason", "the laptop is gone")
    assert revoked["pairs"][0]["revoked_from"] == 1
    assert call("verify")["verdict"] == "pass"
    assert call("keys", "decrypt")["private"] == {"ed25519": "plain", "mldsa44": "plain"}
    assert call("keys", "encrypt", "--encrypt-with", "env:PW")["private"] == made["private"]
    public = call("keys", "export-public", "--out", "log.vkeys")
    assert Path("log.vkeys").read_text() == public["vkeys"] == KeyHistory.parse(public["vkeys"]).text
    call("export", "--out", "b.zip")
    assert call("verify", "b.zip", "--vkeys", "log.vkeys")["verdict"] == "pass"


def test_plain_keys_go_on_working_and_it_is_said(call, capsys):
    with SQLiteLedger.open("runs", origin="example.org/old") as ledger:
        ledger.append("note", facts={})
    assert main(["keys", "show"]) == 0
    assert "plain: whoever reads the file can sign (qimg keys encrypt)" in capsys.readouterr().out
    call("keys", "encrypt", "--encrypt-with", "env:PW")
    with SQLiteLedger.open("runs") as ledger:
        ledger.append("note", facts={})
    assert call("verify")["verdict"] == "pass"


def test_a_wrong_or_missing_password_changes_nothing(call, monkeypatch):
    call("keys", "init", "--encrypt-with", "env:PW")
    before = content()
    monkeypatch.setenv("PW", "another")
    for command in (["keys", "rotate"], ["keys", "encrypt", "--encrypt-with", "env:NEW"], ["keys", "decrypt"]):
        assert "does not open" in call(*command, code=1)
    monkeypatch.delenv("PW")
    for command in (["keys", "rotate"], ["ledger", "checkpoint"], ["keys", "decrypt"]):
        assert "PW, which is not set" in call(*command, code=1)
    assert content() == before


@pytest.mark.parametrize(
    "argv",
    [
        ["keys", "init", "--origin", "two words"],
        ["keys", "init", "--encrypt-with", PASSWORD],
        ["keys", "init", "--signer", "nothing-opens-this:x"],
        ["keys", "show", "--ledger", "postgresql://x"],
        ["keys", "rotate"],
        ["keys", "forget", ANN],
        ["keys", "revoke", "00000000"],
        ["export", "--out", "b", "--encrypt-with", PASSWORD],
        ["verify", "--decrypt-with", "env:PW"],
    ],
)
def test_wrong_input_writes_nothing(call, argv):
    call(*argv, code=2)
    assert not [p for p in content(".") if p.name != "ledger.lock"]


def test_a_missing_password_for_new_keys_makes_none(call):
    assert "UNSET, which is not set" in call("keys", "init", "--encrypt-with", "env:UNSET", code=1)
    assert content(".") == {}


def test_a_second_init_is_refused(call):
    call("keys", "init")
    before = content()
    assert "there is a ledger" in call("keys", "init", code=2)
    assert content() == before


def test_a_person_is_sealed_listed_and_forgotten(call, monkeypatch):
    call("keys", "init", "--encrypt-with", "env:PW")
    Path("ann.png").write_bytes(b"her picture")
    first = call("keys", "seal", ANN, "ann.png")
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{ANN}\n"))
    second = call("keys", "seal", "-", "ann.png")
    assert first["subject"] == second["subject"]
    digest = first["sealed"][0]["digest"]
    assert call("keys", "unseal", digest, "--out", "back.png")["bytes"] == 11
    assert Path("back.png").read_bytes() == b"her picture"
    assert Path("back.png").stat().st_mode & 0o777 == 0o600
    assert call("keys", "subjects")["subjects"] == [{"subject": first["subject"], "artefacts": 2, "state": "readable"}]
    call("keys", "encrypt", "--encrypt-with", "env:NEW")  # the master key goes along
    monkeypatch.delenv("PW")
    gone = call("keys", "forget", ANN)
    assert gone["subject"] == first["subject"]
    assert "was forgotten" in call("keys", "unseal", digest, "--out", "again.png", code=1)
    assert not Path("again.png").exists()
    assert call("keys", "subjects")["subjects"][0]["state"] == "forgotten"
    assert call("verify")["verdict"] == "pass"
    call("keys", "forget", ANN, code=2)


def test_an_encrypted_export(call):
    call("keys", "init")
    done = call("export", "--out", "b.qimg", "--encrypt-with", "env:PW")
    assert done["verdict"] == "pass"
    assert call("verify", "b.qimg", "--decrypt-with", "env:PW")["verdict"] == "pass"
    assert "does not open" in call("verify", "b.qimg", "--decrypt-with", "env:NEW", code=1)
    assert "is encrypted" in call("verify", "b.qimg", code=2)
    call("keys", "decrypt-export", "b.qimg", "--decrypt-with", "env:PW", "--out", "plain.zip")
    assert call("verify", "plain.zip")["verdict"] == "pass"
