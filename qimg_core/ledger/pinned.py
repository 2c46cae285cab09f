"""The newest head that was given out, kept outside of the store's database (imports errors, history, storage)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import LedgerCorrupt
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.ledger.history import KeyHistory
    from qimg_core.ledger.note import Checkpoint


def pinned_head(path: Path, history: KeyHistory) -> Checkpoint | None:
    """The head in a file, its signatures checked; None where there is no file.

    Raises:
        LedgerCorrupt: it is no head that the keys of its time signed.
        StorageError: it cannot be read.
    """
    try:
        note = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, "read", path) from error
    try:
        opened = history.open_head(note)
    except LedgerCorrupt as error:
        raise LedgerCorrupt(f"{path} is damaged: {error.message}") from error
    if opened.problem:
        raise LedgerCorrupt(f"{path} is damaged: {opened.problem}")
    return opened.checkpoint
