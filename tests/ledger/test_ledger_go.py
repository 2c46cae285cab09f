"""What we publish and prove, checked by golang.org/x/mod/sumdb, which shares no line with us."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from qimg_core.ledger import Draft, SQLiteLedger
from qimg_core.ledger.proof import make_proof
from qimg_core.ledger.publishing import publish

GOPATH = "/usr/share/gocode"


@pytest.fixture(scope="module")
def gocheck(tmp_path_factory):
    go = shutil.which("go")
    if go is None or not Path(GOPATH, "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("no Go with golang.org/x/mod: apt-get install golang-go golang-golang-x-mod-dev")
    place = tmp_path_factory.mktemp("go")
    shutil.copy(Path(__file__).parent / "gocheck" / "main.go", place)
    variables = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOCACHE": str(place / "cache"), "GOFLAGS": "-p=1"}
    built = subprocess.run(
        [go, "build", "-o", "gocheck", "main.go"], cwd=place, env={**os.environ, **variables}, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return place / "gocheck"


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """A log in three heads, published after each; the middle head; proofs of an entry and between heads."""
    place = tmp_path_factory.mktemp("log")
    with SQLiteLedger.open(place / "log", origin="example.org/images") as ledger:
        notes = []
        for count in (5, 700, 612):
            ledger.extend([Draft("step", run="r", facts={"i": i, "text": "näh" * (i % 9)}) for i in range(count)])
            notes.append(ledger.checkpoint())
            publish(ledger, place / "public")
        (place / "old").write_bytes(notes[1])
        hashes = ledger.consistency(705, 1317)
        (place / "steps").write_text("".join(base64.b64encode(h).decode() + "\n" for h in hashes))
        (place / "proof").write_bytes(make_proof(ledger, 800).dumps())
        (place / "entry").write_bytes(ledger.entry(800).body)
    return place


def run(gocheck, place):
    names = [place / name for name in ("public", "old", "proof", "entry", "steps")]
    return subprocess.run([gocheck, *names], capture_output=True, text=True, check=False)


def test_notes_tiles_entries_and_proofs_hold(gocheck, published):
    done = run(gocheck, published)
    assert done.returncode == 0, done.stderr
    wanted = ["note 1317", "tiles 7", "entries 1317", "consistency 705 1317", "proof 800"]
    assert done.stdout.splitlines() == wanted


@pytest.mark.parametrize(
    "name",
    ["public/tile/0/003", "public/tile/1/000.p/5", "public/tile/entries/005.p/37", "public/checkpoint", "old", "steps",
     "proof", "entry"],
)  # fmt: skip
def test_a_change_of_any_of_them_is_refused(gocheck, published, tmp_path, name):
    shutil.copytree(published, tmp_path / "copy")
    path = tmp_path / "copy" / name
    data = bytearray(path.read_bytes())
    at = data.index(b"\n", data.index(b"index")) + 3 if name == "proof" else len(data) // 2 if "tile" in name else 25
    data[at] ^= 1
    path.write_bytes(data)
    assert run(gocheck, tmp_path / "copy").returncode != 0
