"""Bundles: what is exported, and that a change of any byte is found, with and without `cryptography`."""

from __future__ import annotations

import base64
import json
import random
import shutil
import subprocess
import sys
import zipfile

import pytest

from qimg_core.errors import ConfigurationError, LedgerError, StorageError
from qimg_core.ledger import MemoryLedger, SQLiteLedger
from qimg_core.ledger.bundle import check, export
from qimg_core.ledger.standalone import verify as standalone

PROGRAM = standalone.__file__


@pytest.fixture
def ledger(fill):
    with MemoryLedger("example.org/log") as made:
        fill(made, random.Random(7), runs=4)
        yield made


def runs_of(ledger, count):
    return sorted({e.run for e in ledger.entries() if e.run})[:count]


def alone(*arguments):
    """The program as a stranger would run it: no site-packages, so no `cryptography`."""
    command = [sys.executable, "-I", "-S", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["bundle", "bundle.zip"])
@pytest.mark.parametrize("some", [False, True])
def test_a_bundle_holds_the_entries_and_passes(ledger, tmp_path, name, some):
    runs = runs_of(ledger, 2) if some else None
    path = export(ledger, tmp_path / name, runs=runs)
    if name.endswith("zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            archive.extractall(tmp_path / "out")
        folder = tmp_path / "out"
    else:
        folder = path
    wanted = [e for e in ledger.entries() if not some or e.run in runs]
    assert (folder / "entries.jsonl").read_bytes() == b"".join(e.body + b"\n" for e in wanted)
    for digest in {d for e in wanted for d in e.artefacts.values()}:
        assert (folder / "artefacts" / "sha256" / digest[7:9] / digest[7:]).read_bytes() == ledger.get(digest)
    for target in (path, folder):
        found = check(target)
        assert found.ok, found
        assert found.entries == len(wanted)
        assert found.signatures == 2 * found.checkpoints + 1
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".tmp")]


def test_the_travelling_copy_is_the_program(ledger, tmp_path):
    folder = export(ledger, tmp_path / "b")
    with open(PROGRAM, "rb") as file:
        assert (folder / "verify.py").read_bytes() == file.read()
    copied = subprocess.run(
        [sys.executable, "-I", "-S", str(folder / "verify.py"), str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert copied.returncode == 0
    assert "NOT checked" in copied.stdout
    assert "PASS" in copied.stdout


def test_trusted_keys_tell_whose_log_it_is(ledger, tmp_path):
    path = export(ledger, tmp_path / "b")
    own = (path / "log.vkeys").read_bytes()
    assert check(path, vkeys=own).notes == ()
    other = "".join(f"{key}\n" for key in MemoryLedger("example.org/log").keys).encode()
    assert any("another log" in p.what for p in check(path, vkeys=other).problems)
    trusted = tmp_path / "trusted"
    trusted.write_bytes(other)
    assert alone(path, "--vkeys", trusted).returncode == 1


def test_a_forged_log_under_its_own_keys_needs_trusted_keys(ledger, tmp_path):
    """What hashes and the bundle's own keys cannot show: somebody made another log of the same name."""
    forged = MemoryLedger(ledger.origin)
    forged.append("step", facts={"forged": True})
    path = export(forged, tmp_path / "forged")
    assert check(path).ok
    assert "the keys are the bundle's own" in check(path).notes[0]
    assert not check(path, vkeys="".join(f"{k}\n" for k in ledger.keys).encode()).ok


def test_what_cannot_be_exported(ledger, tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(ConfigurationError, match="exists already"):
        export(ledger, tmp_path / "there")
    with pytest.raises(ConfigurationError, match="no entries of the run 'none'"):
        export(ledger, tmp_path / "b", runs=["none"])
    with SQLiteLedger.open(tmp_path / "log") as log:
        log.append("x", facts={})
    with SQLiteLedger.open(tmp_path / "log", read_only=True) as log, pytest.raises(LedgerError, match="reading only"):
        export(log, tmp_path / "b")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["log", "there"]


def test_a_full_disk_leaves_no_half_bundle(ledger, tiny_disk):
    disk, _ = tiny_disk
    ledger.append("x", facts={"artefacts": {"big": ledger.put(bytes(2_000_000))}})
    for name in ("b", "b.zip"):
        with pytest.raises(StorageError, match="full"):
            export(ledger, disk / name)
        assert list(disk.iterdir()) == []


def test_an_empty_log(tmp_path):
    with MemoryLedger() as ledger:
        assert check(export(ledger, tmp_path / "b.zip")).ok


@pytest.mark.parametrize("made", ["nothing", "empty folder", "text", "zip"])
def test_what_is_no_bundle(tmp_path, made):
    path = tmp_path / "b.zip"
    if made == "empty folder":
        path.mkdir()
    elif made == "text":
        path.write_text("hello")
    elif made == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "a")
    with pytest.raises(ConfigurationError):
        check(path)
    done = alone(path)
    assert (done.returncode, done.stdout) == (2, "")
    assert str(path) in done.stderr


def test_exit_codes_and_json(ledger, tmp_path):
    path = export(ledger, tmp_path / "b")
    assert alone().returncode == 2
    assert alone("--help").returncode == 2
    report = json.loads(alone(path, "--json").stdout)
    assert (report["verdict"], report["entries"], report["signatures"]) == ("pass", len(ledger), 0)
    lines = (path / "entries.jsonl").read_bytes().split(b"\n")
    lines[3] = lines[3].replace(b'"index":3', b'"index":4')
    (path / "entries.jsonl").write_bytes(b"\n".join(lines))
    done = alone(path)
    assert done.returncode == 1
    assert "first bad entry: 3" in done.stdout


def rewritten(ledger, folder, entry):
    """Everything under the hashes made to fit a changed entry, as somebody without the key could do."""
    lines = (folder / "entries.jsonl").read_bytes().split(b"\n")
    lines[entry] = lines[entry].replace(b"step", b"stop")
    (folder / "entries.jsonl").write_bytes(b"\n".join(lines))
    leaves = (folder / "leaves.txt").read_text().split("\n")
    leaves[entry] = f"{leaves[entry].split(' ')[0]} {standalone.leaf_hash(lines[entry]).hex()}"
    (folder / "leaves.txt").write_text("\n".join(leaves))
    manifest = json.loads((folder / "manifest.json").read_bytes())
    for name in ("entries.jsonl", "leaves.txt"):
        data = (folder / name).read_bytes()
        manifest["files"][name] = {"bytes": len(data), "sha256": standalone.sha256(data).hex()}
    (folder / "manifest.json").write_bytes(standalone.canonical(manifest))
    digest = "sha256:" + standalone.sha256((folder / "manifest.json").read_bytes()).hex()
    lines = (folder / "manifest.sig").read_text().split("\n")
    lines[2] = digest
    (folder / "manifest.sig").write_text("\n".join(lines))


@pytest.mark.parametrize("some", [False, True])
def test_a_change_carried_through_all_hashes_is_found_even_without_signatures(ledger, tmp_path, some):
    folder = export(ledger, tmp_path / "b", runs=runs_of(ledger, 2) if some else None)
    entry = next(i for i, e in enumerate((folder / "entries.jsonl").read_bytes().split(b"\n")) if b'"kind":"step"' in e)
    rewritten(ledger, folder, entry)
    done = alone(folder)  # the signed roots do not fit, whoever signed
    assert done.returncode == 1
    assert not check(folder).ok
    assert "manifest.sig: the Ed25519 signature is wrong" in [str(p) for p in check(folder).problems]


@pytest.mark.parametrize(
    "change", ["extra file", "missing file", "missing entry", "missing head", "missing signature", "missing manifest"]
)
def test_what_was_added_or_left_out(ledger, tmp_path, change):
    folder = export(ledger, tmp_path / "b")
    if change == "extra file":
        (folder / "artefacts" / "more").write_bytes(b"x")
    elif change == "missing file":
        next(p for p in (folder / "artefacts").rglob("*") if p.is_file()).unlink()
    elif change == "missing entry":
        lines = (folder / "entries.jsonl").read_bytes().split(b"\n")
        (folder / "entries.jsonl").write_bytes(b"\n".join(lines[:2] + lines[3:]))
    elif change == "missing head":
        next((folder / "checkpoints").iterdir()).unlink()
    else:
        (folder / f"manifest.{'sig' if 'signature' in change else 'json'}").unlink()
    found = check(folder)
    assert not found.ok
    if change == "missing entry":
        assert found.first_bad == 2
    assert alone(folder).returncode == 1


def places(folder):
    """Every file of a bundle, and for each byte of it the entry it belongs to, or None."""
    first = {}
    spans = []
    at = 0
    for line in (folder / "entries.jsonl").read_bytes().splitlines(keepends=True):
        entry = json.loads(line)
        spans.append((at, at + len(line), entry["index"]))
        at += len(line)
        for digest in entry["facts"].get("artefacts", {}).values():
            first.setdefault(digest[7:], entry["index"])

    def entry_at(path, offset):
        if path.name == "entries.jsonl":
            return next(index for a, b, index in spans if a <= offset < b)
        return first.get(path.name)

    return sorted(p for p in folder.rglob("*") if p.is_file()), entry_at


def signature_bytes(folder):
    """The part of manifest.sig that only the signature check covers."""
    data = (folder / "manifest.sig").read_bytes()
    start = data.rindex(b" ") + 1
    return range(start, len(data) - 1)


def flips(folder, seed, count, with_signatures, programs=0):
    """Change one byte, anywhere: files by turns, so that small ones are hit as often as large ones."""
    rng = random.Random(seed)
    files, entry_at = places(folder)
    blind = signature_bytes(folder)
    missed = 0
    for number in range(count):
        path = files[number % len(files)] if number % 2 else rng.choice(files)
        whole = path.read_bytes()
        if not whole:
            continue
        offset = rng.randrange(len(whole))
        changed = bytearray(whole)
        changed[offset] ^= rng.randrange(1, 256)
        path.write_bytes(changed)
        found = check(folder)
        hit = entry_at(path, offset)
        if not with_signatures and path.name == "manifest.sig" and offset in blind and found.ok:
            assert (
                base64.b64decode(whole[blind.start : blind.stop])[:4]
                == base64.b64decode(bytes(changed[blind.start : blind.stop]))[:4]
            )  # the key id is covered all the same
            missed += 1
        else:
            assert not found.ok, (number, path, offset)
            assert found.first_bad == hit, (number, path, offset, found)
        if number < programs:
            done = alone(folder, "--json")
            report = json.loads(done.stdout)
            assert (done.returncode == 1, report["first_bad"]) == (not found.ok, found.first_bad), (number, path)
        path.write_bytes(whole)
    assert check(folder).ok
    return missed


@pytest.fixture
def no_cryptography(monkeypatch):
    monkeypatch.setattr(standalone, "verify_signature", lambda *_: None)


@pytest.mark.parametrize("some", [False, True])
def test_100_bytes_anywhere(ledger, tmp_path, some):
    folder = export(ledger, tmp_path / "b", runs=runs_of(ledger, 3) if some else None)
    flips(folder, 11, 100, with_signatures=True)


def test_60_bytes_without_cryptography(ledger, tmp_path, no_cryptography):
    folder = export(ledger, tmp_path / "b", runs=runs_of(ledger, 3))
    assert "NOT checked" in check(folder).notes[0]
    flips(folder, 12, 60, with_signatures=False, programs=12)


@pytest.mark.slow
@pytest.mark.parametrize("some", [False, True])
def test_1000_bytes_anywhere(ledger, tmp_path, some):
    folder = export(ledger, tmp_path / "b", runs=runs_of(ledger, 3) if some else None)
    flips(folder, 13, 1000, with_signatures=True)


@pytest.mark.slow
def test_1000_bytes_without_cryptography(ledger, tmp_path, no_cryptography):
    folder = export(ledger, tmp_path / "b")
    flips(folder, 14, 1000, with_signatures=False, programs=60)


def zip_flips(path, seed, count):
    rng = random.Random(seed)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        info = archive.getinfo("entries.jsonl")
        start = info.header_offset + 30 + len(info.filename)
        stop = start + info.file_size
        spans = []
        for line in archive.read("entries.jsonl").splitlines(keepends=True):
            spans.append((start, start + len(line), json.loads(line)["index"]))
            start += len(line)
    headers = len(whole) - archive.start_dir
    for number in range(count):
        # a third in the entries, a third in the archive's own directory, the rest anywhere
        low, high = [(spans[0][0], stop), (len(whole) - headers, len(whole)), (0, len(whole))][number % 3]
        offset = rng.randrange(low, high)
        changed = bytearray(whole)
        changed[offset] ^= rng.randrange(1, 256)
        path.write_bytes(changed)
        found = check(path)
        assert not found.ok, (number, offset)
        hit = [index for a, b, index in spans if a <= offset < b]
        if hit:
            assert found.first_bad == hit[0], (number, offset, found)
    path.write_bytes(whole)
    assert check(path).ok


def test_60_bytes_of_a_zip(ledger, tmp_path):
    zip_flips(export(ledger, tmp_path / "b.zip"), 15, 60)


@pytest.mark.slow
def test_1000_bytes_of_a_zip(ledger, tmp_path):
    zip_flips(export(ledger, tmp_path / "b.zip"), 16, 1000)


def test_the_same_log_makes_the_same_zip_layout(ledger, tmp_path):
    """Two exports differ in the manifest's signature at most, and Ed25519 is deterministic: not at all."""
    a, b = (export(ledger, tmp_path / name).read_bytes() for name in ("a.zip", "b.zip"))
    assert a == b


@pytest.mark.slow
def test_no_false_alarm_on_100_clean_bundles(fill, tmp_path):
    for number in range(100):
        rng = random.Random(number)
        with MemoryLedger() as ledger:
            fill(ledger, rng, runs=rng.randint(1, 6))
            runs = rng.choice([None, runs_of(ledger, rng.randint(1, 3))])
            path = export(ledger, tmp_path / rng.choice(["b", "b.zip"]), runs=runs or None)
            found = check(path)
            assert found.ok, found
            shutil.rmtree(path) if path.is_dir() else path.unlink()
