"""What a kill leaves of a half-written stop, and its removal (imports the core's storage).

Who writes a stop holds a shared lock of the folder until the file has its name, and the system takes the lock from a
process that is gone. So where all of the folder can be locked, whatever is still unnamed belongs to nobody.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[None]:
    """While a file of this folder is written under another name. Waits for a `sweep`, which is short.

    Raises:
        StorageError: the folder cannot be opened or locked.
    """
    if sys.platform == "win32":  # no such locks there, and no writer of the ledger either
        yield
        return
    import fcntl

    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise storage_error(error, "lock", folder) from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH)
        except OSError as error:
            raise storage_error(error, "lock", folder) from error
        yield
    finally:
        os.close(handle)


def sweep(folder: Path) -> int:
    """Remove the files that killed writers left; says how many. While somebody writes, or none is there: nothing.

    It never raises: a file that stays harms nobody, and the next sweep finds it.
    """
    if sys.platform == "win32":
        return 0
    import fcntl

    with contextlib.suppress(OSError):
        if not _unnamed(folder):
            return 0
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = _unnamed(folder)
            for name in found:
                os.unlink(folder / name)
            return len(found)
        finally:
            os.close(handle)
    return 0


def _unnamed(folder: Path) -> list[str]:
    """As `qimg_core.storage.write_atomic` calls them."""
    return [name for name in os.listdir(folder) if name.startswith(".") and name.endswith(".tmp")]
