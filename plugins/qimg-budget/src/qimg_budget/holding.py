"""Who is at work on a reservation: an operating-system lock that goes with the process (imports errors, storage).

Not every ledger has one writer only, so a ledger that can be opened does not show that a run is over. While a process
works on a reservation it holds a lock on ``<budget>.open/<name>``; a kill -9 frees the lock and leaves the file.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from typing import TYPE_CHECKING

from qimg_core.errors import LedgerBusy, StorageError
from qimg_core.storage import ensure_folder, storage_error

if TYPE_CHECKING:
    from pathlib import Path


class Holding:
    """Held from `take` until `release` or the end of the process."""

    def __init__(self, path: Path, handle: int) -> None:
        self._path, self._handle = path, handle

    @classmethod
    def take(cls, budget: Path, run: str, ordinal: int, backend: str) -> Holding:
        """Be the one who works on a request's reservation.

        Raises:
            LedgerBusy: another process does.
            StorageError: the lock file cannot be written, or the system has no such locks.
        """
        if sys.platform == "win32":
            raise StorageError("a shared budget needs POSIX file locks", hint="use WSL")
        import fcntl

        folder = ensure_folder(budget.with_name(budget.name + ".open"))
        path = folder / hashlib.sha256(f"{run}/{ordinal}/{backend}".encode()).hexdigest()[:32]
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(error, "write", path) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            current = os.stat(path).st_ino == os.fstat(handle).st_ino
        except OSError:  # locked by somebody, or taken away by its holder between opening and locking
            current = False
        if not current:
            os.close(handle)
            raise LedgerBusy(f"another process works on request {ordinal} of run {run}", hint="wait until it has ended")
        return cls(path, handle)

    def release(self) -> None:
        """Let go; the file goes with it."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path)
        os.close(self._handle)
