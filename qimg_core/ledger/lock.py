"""One writer per ledger: an operating-system lock on a file (imports errors and storage).

The lock goes with the process, however it ends. The file stays and is harmless; it says who had it last.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from qimg_core.errors import LedgerBusy, LedgerError
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from pathlib import Path

NAME = "ledger.lock"


class WriterLock:
    """Held from `take` until `release` or the end of the process."""

    def __init__(self, handle: int) -> None:
        self._handle: int | None = handle

    @classmethod
    def take(cls, folder: Path) -> WriterLock:
        """Lock the ledger of a folder.

        Raises:
            LedgerBusy: somebody else holds it; names the process.
            StorageError: the lock file cannot be written.
            LedgerError: the system has no such locks.
        """
        if sys.platform == "win32":
            raise LedgerError("writing a ledger needs POSIX file locks", hint="use read_only=True, or WSL")
        import fcntl

        path = folder / NAME
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise storage_error(error, "write", path) from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError as error:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(handle)
            raise LedgerBusy(
                f"the ledger in {folder} is being written by process {holder}",
                hint="a log has one writer: wait for it, write to another folder, or open with read_only=True",
                holder=holder,
            ) from error
        except OSError as error:
            os.close(handle)
            raise storage_error(error, "lock", path) from error
        return cls(handle)

    def release(self) -> None:
        """Let go; twice is harmless."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None
