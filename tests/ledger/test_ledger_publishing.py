"""A log as static files: same bytes, resumable, and every change of a file is found."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys

import httpx
import pytest

from qimg_core.cli.app import main
from qimg_core.errors import ConfigurationError, LedgerBusy, LedgerCorrupt, StorageError
from qimg_core.ledger import Draft, SQLiteLedger
from qimg_core.ledger.note import Checkpoint
from qimg_core.ledger.publishing import publish
from qimg_core.ledger.tile_log import TileLog, verify_published
from qimg_core.ledger.tile_source import WebSource, open_source


def grow(ledger, count):
    ledger.extend([Draft("step", run="r", facts={"i": i, "text": "x" * (i % 50)}) for i in range(count)])
    return ledger.checkpoint()


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".part"}


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A log of 1,000 entries, published with bodies after each of three heads; and as hashes only."""
    place = tmp_path_factory.mktemp("published")
    with SQLiteLedger.open(place / "log", origin="example.org/log") as ledger:
        for count in (3, 297, 700):
            grow(ledger, count)
            done = publish(ledger, place / "public")
        assert (done.size, done.before) == (1000, 300)
        publish(ledger, place / "hashes", hashes_only=True)
    return place


def test_the_same_size_gives_the_same_bytes(logs, tmp_path):
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        fresh = publish(ledger, tmp_path / "fresh")
        again = publish(ledger, tmp_path / "fresh")
    assert (fresh.files, again.files) == (9, 0)
    new, grown = files(tmp_path / "fresh"), files(logs / "public")
    assert new.items() <= grown.items()
    older = {f"tile/{kind}/000.p/3" for kind in ("0", "entries")} | {"tile/1/000.p/1"}
    older |= {f"tile/{kind}/001.p/44" for kind in ("0", "entries")}
    assert set(grown) - set(new) == older
    assert set(new) - {"checkpoint", "log.vkeys"} == {
        *(f"tile/{kind}/{name}" for kind in ("0", "entries") for name in ("000", "001", "002", "003.p/232")),
        "tile/1/000.p/3",
    }


def test_they_verify_with_and_without_bodies(logs):
    keys = (logs / "log" / "keys" / "log.vkeys").read_bytes()
    whole = verify_published(logs / "public", vkeys=keys, strict=True)
    assert (whole.ok, whole.entries, whole.signatures, whole.notes) == (True, 1000, 2, ())
    hashes = verify_published(logs / "hashes", vkeys=keys)
    assert (hashes.ok, hashes.entries) == (True, 0)
    assert hashes.notes == ("hashes only: the bodies of 1,000 entries are not published here",)
    assert "--vkeys" in verify_published(logs / "public").notes[0]
    assert not any(name.startswith("tile/entries") for name in files(logs / "hashes"))


def entry_at(folder, name, at):
    """Index of the entry that a byte of a bundle belongs to."""
    data = (folder / name).read_bytes()
    index, start = 256 * int(name.removeprefix("tile/entries/")[:3]), 0
    while (end := start + 2 + int.from_bytes(data[start : start + 2], "big")) <= at:
        index, start = index + 1, end
    return index, at - start < 2


def test_every_changed_or_lost_file_is_found_and_the_entry_named(logs, tmp_path):
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        publish(ledger, tmp_path / "copy")
    rng = random.Random(6)
    for name, data in files(tmp_path / "copy").items():
        path = tmp_path / "copy" / name
        for _ in range(6):
            at = rng.randrange(len(data))
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
            if name.startswith("tile/entries"):
                path.write_bytes(data)
                wanted, length = entry_at(tmp_path / "copy", name, at)
                path.write_bytes(data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :])
                found = verify_published(tmp_path / "copy")
                assert found.first_bad == (256 * int(name.removeprefix("tile/entries/")[:3]) if length else wanted)
            else:
                found = verify_published(tmp_path / "copy")
                assert found.first_bad is None  # a damaged tile: the entries are as they were signed
            assert not found.ok, (name, at)
        path.unlink()
        if name in ("checkpoint", "log.vkeys"):
            with pytest.raises(ConfigurationError, match="no published log|publishes no keys"):
                verify_published(tmp_path / "copy")
        else:
            assert not verify_published(tmp_path / "copy").ok, name
        path.write_bytes(data)
    assert verify_published(tmp_path / "copy").ok


def test_a_forged_entry_with_its_tile_is_found_by_the_tile_above(logs, tmp_path):
    """Body and leaf hash rewritten together: the leaf tile no longer gives the hash in the tile above."""
    from qimg_core.ledger.merkle import leaf_hash
    from qimg_core.ledger.tiles import pack, unpack

    shutil.copytree(logs / "public", tmp_path / "copy")
    bundle, tile = (tmp_path / "copy" / "tile" / kind / "001" for kind in ("entries", "0"))
    bodies = unpack(bundle.read_bytes(), 256)
    bodies[7] = bodies[7].replace(b'"i":', b'"j":')
    bundle.write_bytes(pack(bodies))
    tile.write_bytes(b"".join(map(leaf_hash, bodies)))
    found = verify_published(tmp_path / "copy")
    assert not found.ok
    assert found.first_bad == 256
    assert found.problems[0].where == "tile/0/001"


def test_an_older_checkpoint_is_read_beside_the_full_tiles(logs, tmp_path):
    shutil.copytree(logs / "public", tmp_path / "copy")
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        notes = ledger.checkpoints()
    for folder in list((tmp_path / "copy").rglob("*.p")):
        if folder.name == "001.p":
            shutil.rmtree(folder)  # tidied up: the full tile is there
    (tmp_path / "copy" / "checkpoint").write_bytes(notes[1])
    found = verify_published(tmp_path / "copy")
    assert (found.ok, found.entries) == (True, 300)


def test_what_a_folder_shows_stays_so(logs, tmp_path):
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        with pytest.raises(ConfigurationError, match="shows hashes only"):
            publish(ledger, logs / "hashes")
        with pytest.raises(ConfigurationError, match="shows the entries' bodies"):
            publish(ledger, logs / "public", hashes_only=True)
        with pytest.raises(ConfigurationError, match="no part of a published log"):
            publish(ledger, logs / "log")
    assert not (logs / "log" / "tile").exists()
    with SQLiteLedger.open(tmp_path / "unsigned") as ledger, pytest.raises(ConfigurationError, match="no signed head"):
        publish(ledger, tmp_path / "public")


def test_another_log_or_history_is_not_put_over_it(logs, tmp_path):
    shutil.copytree(logs / "public", tmp_path / "public")
    with SQLiteLedger.open(tmp_path / "other") as ledger:
        grow(ledger, 1100)
        with pytest.raises(LedgerCorrupt, match="not a head of the log"):
            publish(ledger, tmp_path / "public")
    shutil.copytree(logs / "log", tmp_path / "fork")
    before = files(tmp_path / "public")
    # The key's owner has signed more than is published, and somebody has changed a published tile meanwhile.
    with SQLiteLedger.open(tmp_path / "fork") as ledger:
        grow(ledger, 10)
        for name, what in (("tile/0/003.p/232", "do not lead to the checkpoint"), ("tile/1/000.p/3", "do not lead")):
            path = tmp_path / "public" / name
            path.write_bytes(bytes(len(before[name])))
            with pytest.raises(LedgerCorrupt, match=what):
                publish(ledger, tmp_path / "public")
            path.write_bytes(before[name])
        assert files(tmp_path / "public") == before
        publish(ledger, tmp_path / "public")
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger, pytest.raises(LedgerCorrupt, match="old copy"):
        publish(ledger, tmp_path / "public")


def test_a_fork_signed_with_the_same_key_is_not_published(tmp_path):
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        grow(ledger, 10)
    shutil.copytree(tmp_path / "log", tmp_path / "fork")
    for name, count in (("log", 5), ("fork", 300)):
        with SQLiteLedger.open(tmp_path / name) as ledger:
            ledger.append(name, facts={})
            grow(ledger, count)
            if name == "log":
                publish(ledger, tmp_path / "public")
                before = files(tmp_path / "public")
            else:
                with pytest.raises(LedgerCorrupt, match="not those of this log"):
                    publish(ledger, tmp_path / "public")
    assert files(tmp_path / "public") == before


def test_a_file_that_was_published_is_never_overwritten(logs, tmp_path):
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        publish(ledger, tmp_path / "public")
        (tmp_path / "public" / "checkpoint").unlink()  # as if the first publisher had been killed before it
        path = tmp_path / "public" / "tile" / "0" / "001"
        path.write_bytes(path.read_bytes()[::-1])
        with pytest.raises(LedgerCorrupt, match="nothing was overwritten"):
            publish(ledger, tmp_path / "public")
        assert not (tmp_path / "public" / "checkpoint").exists()


KILLED = """
import os, sys
from qimg_core.ledger import SQLiteLedger
from qimg_core.ledger import publishing
left = int(sys.argv[3])
real = os.fsync
def fsync(handle):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), 9)
    real(handle)
os.fsync = fsync
with SQLiteLedger.open(sys.argv[1], read_only=True) as ledger:
    publishing.publish(ledger, sys.argv[2])
"""


def test_a_killed_publisher_goes_on(logs, tmp_path):
    """Killed at its n-th sync, whatever that is: what is published holds, and the next call finishes it."""
    killed = 0
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        wanted = publish(ledger, tmp_path / "whole")
    for at in (0, 3, 7, 12, 16, 19, 21):
        folder = tmp_path / str(at)
        done = subprocess.run([sys.executable, "-c", KILLED, logs / "log", folder, str(at)], check=False)
        killed += done.returncode == -9
        if (folder / "checkpoint").exists():
            assert verify_published(folder).ok
        else:
            assert done.returncode == -9
        with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
            assert publish(ledger, folder).size == wanted.size
        assert files(folder) == files(tmp_path / "whole")
    assert killed >= 5


def test_one_publisher_at_a_time(logs, tmp_path):
    from qimg_core.ledger.publishing import _only_publisher

    (tmp_path / "public").mkdir()
    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        with _only_publisher(tmp_path / "public"), pytest.raises(LedgerBusy):
            publish(ledger, tmp_path / "public")
        publish(ledger, tmp_path / "public")


def web(folder, broken=None):
    def answer(request):
        name = request.url.path.removeprefix("/log/")
        if name == broken:
            return httpx.Response(500)
        path = folder / name
        return httpx.Response(200, content=path.read_bytes()) if path.is_file() else httpx.Response(404)

    return WebSource("https://example.org/log/", transport=httpx.MockTransport(answer))


def test_it_is_read_over_http(logs):
    with web(logs / "public") as source:
        log = TileLog(source)
        assert (log.origin, len(log)) == ("example.org/log", 1000)
        found = log.verify()
    assert (found.ok, found.entries) == (True, 1000)
    with web(logs / "public", broken="tile/0/002") as source, pytest.raises(StorageError, match="answers 500"):
        TileLog(source).verify()


def test_an_endless_answer_is_refused():
    def answer(_):
        return httpx.Response(200, content=(b"x" * 1_000_000 for _ in range(50)))

    with (
        WebSource("https://example.org", transport=httpx.MockTransport(answer)) as source,
        pytest.raises(StorageError, match="longer than any file"),
    ):
        TileLog(source)


def test_places_that_are_none(tmp_path):
    for where in ("ftp://example.org/log", tmp_path / "none"):
        with pytest.raises(ConfigurationError):
            open_source(where)


def test_the_command(logs, tmp_path, capsys):
    log, out = str(logs / "log"), str(tmp_path / "out")
    assert main(["ledger", "publish", out, "--ledger", log, "--hashes-only", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["size"] == 1000
    keys = str(logs / "log" / "keys" / "log.vkeys")
    assert main(["verify", out, "--vkeys", keys]) == 0
    path = tmp_path / "out" / "tile" / "0" / "000"
    path.write_bytes(bytes(8192))
    capsys.readouterr()
    assert main(["verify", out, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["problems"][0]["where"] == "tile/0/000"
    assert main(["ledger", "publish", log, "--ledger", log]) == 2


def test_a_kept_head_is_compared_with_a_published_log(logs, tmp_path, capsys):
    """Old heads agree, a newer one shows a rollback, one of a rewritten history under the same key a fork."""

    def verified(folder, note):
        kept = tmp_path / "kept.note"
        kept.write_bytes(note)
        code = main(["verify", str(folder), "--checkpoint", str(kept), "--json"])
        return code, capsys.readouterr().out

    with SQLiteLedger.open(logs / "log", read_only=True) as ledger:
        small, middle, large = ledger.checkpoints()
    for folder in (logs / "public", logs / "hashes"):
        assert [verified(folder, note)[0] for note in (small, middle, large)] == [0, 0, 0]
    shutil.copytree(logs / "log", tmp_path / "copy")
    with SQLiteLedger.open(tmp_path / "copy") as copy:
        grow(copy, 5)
        code, said = verified(logs / "public", copy.checkpoint())
        assert (code, "rollback" in said) == (1, True)
        signer = copy.signer
        forged = signer.sign_checkpoint(Checkpoint(copy.origin, 300, bytes(32)), 1_800_000_000)
    code, said = verified(logs / "public", forged)
    assert (code, "fork" in said) == (1, True)
    assert main(["verify", str(logs / "public"), "--checkpoint", str(tmp_path / "none.note")]) == 2
    assert main(["verify", str(logs / "public"), "--online"]) == 2
