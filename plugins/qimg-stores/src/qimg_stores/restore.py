"""A ledger from an archive alone (imports reading, the core's SQLite store).

The restored ledger has the log's public keys and no private ones: it verifies and cannot be continued.
"""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, cast

from attrs import frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger import keys
from qimg_core.ledger.artefacts import ArtefactFiles
from qimg_core.ledger.database import connect_writer
from qimg_core.ledger.sqlite import SQLiteLedger
from qimg_core.ledger.verify import Head
from qimg_core.storage import ensure_folder, storage_error, sync_folder, write_atomic
from qimg_stores.reading import artefact, collect, entries

if TYPE_CHECKING:
    from qimg_core.ledger.base import Verification
    from qimg_core.ledger.entry import Entry
    from qimg_core.ledger.history import KeyHistory, Pair
    from qimg_core.ledger.note import Signer
    from qimg_stores.reading import Collected
    from qimg_stores.shelf import Shelf

_PAGE = 1000


def restore(
    shelf: Shelf, origin: str, folder: str | os.PathLike[str], *, trusted: KeyHistory | None = None
) -> Verification:
    """Rebuild a log in a folder and verify it.

    Args:
        shelf: the archive's place.
        origin: the log.
        folder: must not exist; it is there whole or not at all.
        trusted: the log's keys; None takes the archive's own.

    Returns:
        how the restored ledger verifies.

    Raises:
        ConfigurationError: the folder exists.
        LedgerCorrupt: what the archive holds is not the log that was signed.
        OutsideMemoryError: not reachable, or something is missing.
        StorageError: the disk is full or read-only; nothing is left behind.
    """
    target = Path(folder)
    if target.exists():
        raise ConfigurationError(f"{target} exists already", hint="name a new folder")
    held = collect(shelf, origin, trusted)
    if held.problems and not held.keeps:
        raise LedgerCorrupt(f"no keep of {origin} holds: {held.problems[0]}")
    ensure_folder(target.parent)
    work = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        _fill(shelf, held, work)
        with SQLiteLedger.open(work, read_only=True) as ledger:
            checked = ledger.verify()
        if not checked.ok:
            raise LedgerCorrupt(f"what was restored does not verify: {checked.problems[0]}")
        try:
            work.replace(target)
        except OSError as error:
            raise storage_error(error, "make", target) from error
        sync_folder(target.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return checked


def _fill(shelf: Shelf, held: Collected, folder: Path) -> None:
    ensure_folder(folder / keys.FOLDER)
    write_atomic(folder / keys.FOLDER / keys.PUBLIC, held.history.text.encode())
    files = ArtefactFiles(folder / "artefacts")
    public = cast("Signer", _Public(held.origin, held.history.periods[0].keys))
    ledger = _Restored(folder, connect_writer(folder, public), held.history, None, None)
    with ledger:
        page: list[Entry] = []
        for entry in entries(shelf, held):
            page.append(entry)
            for digest in entry.artefacts.values():
                if not files.has(digest):
                    files.put(artefact(shelf, held, digest))
            if len(page) == _PAGE:
                ledger.add(tuple(page))
                page.clear()
        ledger.add(tuple(page))
        sizes = set()
        for kept, note in held.keeps:
            if kept.size not in sizes:
                ledger.add_head(Head(kept.size, kept.root, note))
                sizes.add(kept.size)


@frozen
class _Public:
    """What a new database takes from a signer: name and first keys of the log."""

    origin: str
    keys: Pair


class _Restored(SQLiteLedger):
    """A store that is filled with entries and heads as they were."""

    def add(self, page: tuple[Entry, ...]) -> None:
        if page:
            self._store(page)

    def add_head(self, head: Head) -> None:
        self._store_head(head)
