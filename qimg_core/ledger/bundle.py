"""Export of a log, or of some of its runs, as a bundle that anybody can check (imports base, canonical, storage).

A bundle is a folder, or a .zip of fixed layout::

    entries.jsonl                  the exact bodies, one a line
    leaves.txt                     index and leaf hash of each line, to name the entry that was changed
    checkpoints/<size>.note        every signed head
    proofs/consistency.json        that each head is a prefix of the next
    proofs/inclusion.json          for selected runs: each entry's path to the newest head
    artefacts/sha256/ab/<digest>   every artefact that these entries name
    log.vkeys                      the log's public keys
    verify.py, README.txt          the standard-library-only check, and how to use it
    manifest.json                  size and hash of each file above
    manifest.sig                   signed note over the manifest's hash
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from base64 import b64encode
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.ledger.base import Problem, Verification
from qimg_core.ledger.history import ROTATED
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.standalone import verify as standalone
from qimg_core.storage import ensure_folder, sha256_digest, storage_error, sync_folder
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

_README = """A bundle of the qimg log {origin}

{entries} of {size} entries{which}, with their artefacts, the signed heads of the log and the proofs.

Check it:   python3 verify.py .        (or: qimg verify FOLDER)

verify.py needs Python only. With the package cryptography installed it checks the signatures too.
Take verify.py and the key file log.vkeys from a source you trust, not from this bundle, if
somebody may have wanted to deceive you:   python3 verify.py THIS_BUNDLE --vkeys TRUSTED_FILE
"""


def export(ledger: Ledger, path: str | os.PathLike[str], *, runs: Iterable[str] | None = None) -> Path:
    """Write a bundle. The log's head is signed first, so that a checkpoint covers every entry.

    Args:
        ledger: open for writing, as its key signs the manifest.
        path: the folder or, ending in ``.zip``, the file to make; must not exist.
        runs: ids of the runs to export; all entries by default.

    Returns:
        The path.

    Raises:
        ConfigurationError: the path exists, or there are no such entries.
        LedgerError: the ledger is read-only, or an artefact is missing.
        StorageError: the disk is full or read-only; nothing is left behind.
    """
    target = Path(path)
    if target.exists():
        raise ConfigurationError(f"{target} exists already", hint="name a new folder or .zip file")
    chosen = None if runs is None else sorted(set(runs))
    ensure_folder(target.parent)
    work = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            work.mkdir()
            _fill(ledger, work, chosen)
            if target.suffix == ".zip":
                archive = work / ".zip"
                with archive.open("w+b") as file:
                    files = standalone.Folder(work)
                    files.names.remove(".zip")
                    standalone.write_zip(file, files)
                    file.flush()
                    os.fsync(file.fileno())
                archive.replace(target)
            else:
                for part, _, _ in os.walk(work):
                    sync_folder(part)
                work.replace(target)
        except OSError as error:
            raise storage_error(error, "write the bundle", target) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sync_folder(target.parent)
    return target


def check(path: str | os.PathLike[str], *, vkeys: bytes | None = None) -> Verification:
    """Check a bundle, with the same code that travels in it.

    Args:
        path: folder or .zip.
        vkeys: content of a trusted key file; else the bundle's own keys are used, and a note says so.

    Raises:
        ConfigurationError: no bundle there.
        StorageError: it cannot be read.
    """
    try:
        report = standalone.verify(os.fspath(path), vkeys)
    except standalone.NotABundle as error:
        raise ConfigurationError(str(error), hint="make one with: qimg export") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
    return Verification(
        verdict=Verdict.FAIL if report.count else Verdict.PASS,
        entries=report.entries,
        artefacts=report.artefacts,
        checkpoints=report.checkpoints,
        signatures=report.signatures,
        first_bad=report.first_bad,
        problems=tuple(Problem(where, what) for where, what in report.problems),
        notes=tuple(report.notes),
    )


def _fill(ledger: Ledger, folder: Path, runs: list[str] | None) -> None:
    head = Checkpoint.parse(split_note(ledger.checkpoint())[0])
    listed: dict[str, dict[str, Any]] = {}
    indices: list[int] = []
    artefacts: dict[str, None] = {}
    entries, leaves = _File(folder, standalone.ENTRIES), _File(folder, standalone.LEAVES)
    seen = set()
    with entries, leaves:
        for entry in _selected(ledger, head.size, runs):
            entries.write(entry.body + b"\n")
            leaves.write(f"{entry.index} {entry.leaf.hex()}\n".encode())
            indices.append(entry.index)
            artefacts.update(dict.fromkeys(entry.artefacts.values()))
            seen.add(entry.run)
    missing = [run for run in runs or () if run not in seen]
    if missing:
        raise ConfigurationError(f"no entries of the run {missing[0]!r}", hint="list the runs with: qimg ledger log")
    for file in (entries, leaves):
        listed[file.name] = file.facts()

    def add(name: str, data: bytes) -> None:
        with _File(folder, name) as file:
            file.write(data)
        listed[name] = file.facts()

    sizes = []
    for note in ledger.checkpoints():
        size = Checkpoint.parse(split_note(note)[0]).size
        if size <= head.size:
            add(f"checkpoints/{size}.note", note)
            sizes.append(size)
    steps = [(old, size) for old, size in pairwise(size for size in sizes if size)]
    proofs = [{"old": old, "size": size, "hashes": _texts(ledger.consistency(old, size))} for old, size in steps]
    add(standalone.CONSISTENCY, canonical.dumps(proofs))
    if runs is not None:
        paths = [{"index": i, "hashes": _texts(ledger.inclusion(i, head.size).proof)} for i in indices]
        add(standalone.INCLUSION, canonical.dumps({"size": head.size, "proofs": paths}))
    for digest in artefacts:
        add(f"artefacts/sha256/{digest[7:9]}/{digest[7:]}", ledger.get(digest))
    add(standalone.KEYS, ledger.history.text.encode())
    add("verify.py", (resources.files("qimg_core.ledger.standalone") / "verify.py").read_bytes())
    which = "" if runs is None else f" (the runs {', '.join(runs)})"
    readme = _README.format(origin=ledger.origin, entries=len(indices), size=head.size, which=which)
    add("README.txt", readme.encode())
    manifest = canonical.dumps(
        {
            "schema": standalone.BUNDLE,
            "origin": ledger.origin,
            "size": head.size,
            "entries": len(indices),
            "complete": runs is None,
            "runs": runs,
            "files": listed,
        }
    )
    with _File(folder, standalone.MANIFEST) as file:
        file.write(manifest)
    text = f"{standalone.BUNDLE}\n{ledger.origin}\n{sha256_digest(manifest)}\n"
    with _File(folder, standalone.SIGNATURE) as file:
        file.write(ledger.sign_text(text.encode()))


def _selected(ledger: Ledger, size: int, runs: list[str] | None) -> Iterator[Entry]:
    for entry in ledger.entries():
        if entry.index >= size:
            return
        if runs is None or entry.run in runs or entry.kind == ROTATED:
            yield entry


def _texts(hashes: Iterable[bytes]) -> list[str]:
    return [b64encode(part).decode() for part in hashes]


class _File:
    """A file being written, hashed on the way and synced at the end."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name = name
        self._hash = hashlib.sha256()
        self._size = 0
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("xb")

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self._size += len(data)

    def facts(self) -> dict[str, Any]:
        return {"bytes": self._size, "sha256": self._hash.hexdigest()}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
        finally:
            self._file.close()
