"""Hand-over heads, opened by golang.org/x/mod/sumdb/note: each reader with the keys it has."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qimg_core.ledger import SQLiteLedger, rotation
from qimg_core.ledger.note import Signer

GOPATH = "/usr/share/gocode"


@pytest.fixture(scope="module")
def gonote(tmp_path_factory):
    go = shutil.which("go")
    if go is None or not Path(GOPATH, "src/golang.org/x/mod/sumdb/note").is_dir():
        pytest.skip("no Go with golang.org/x/mod: apt-get install golang-go golang-golang-x-mod-dev")
    place = tmp_path_factory.mktemp("go")
    shutil.copy(Path(__file__).parent / "gonote" / "main.go", place)
    variables = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOCACHE": str(place / "cache"), "GOFLAGS": "-p=1"}
    command = [go, "build", "-o", "gonote", "main.go"]
    built = subprocess.run(
        command, cwd=place, env={**os.environ, **variables}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return place / "gonote"


@pytest.mark.slow
def test_go_opens_the_hand_over_with_the_old_key_the_new_key_and_both(gonote, tmp_path):
    with SQLiteLedger.open(tmp_path / "log", origin="example.org/log") as ledger:
        ledger.append("note", facts={})
        old = str(ledger.keys[0])
        _, note = rotation.rotate(ledger, tmp_path / "log", "yearly")
        new = str(ledger.keys[0])
        ledger.append("note", facts={})
        later = ledger.checkpoint()
    (tmp_path / "note").write_bytes(note)
    (tmp_path / "later").write_bytes(later)

    def opened(name, *vkeys):
        done = subprocess.run([gonote, tmp_path / name, *vkeys], capture_output=True, text=True, check=False)
        return done.stdout.split() if done.returncode == 0 else done.stderr

    assert opened("note", old) == opened("note", new) == ["1", "3"]
    assert opened("note", old, new) == ["2", "2"]
    assert opened("later", new) == ["1", "1"]
    assert "no verifiable signatures" in opened("later", old)  # the retired key signs no more
    assert "no verifiable signatures" in opened("note", str(Signer.generate("example.org/log").keys[0]))
    at = note.index(b"\n\n") + 60
    (tmp_path / "forged").write_bytes(note[:at] + bytes([note[at] ^ 1]) + note[at + 1 :])
    assert not isinstance(opened("forged", old), list)
