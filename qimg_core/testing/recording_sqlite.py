"""SQLite whose writes, syncs, truncations and deletions are recorded (floor 8; imports disk, recording).

A VFS of the package `apsw`, through which the very same ledger code runs SQLite. Shared memory (``-shm``) is left out:
SQLite rebuilds it after a crash and never syncs it.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qimg_core.testing.disk import Resize, Sync, SyncFolder, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qimg_core.testing.recording import Recorder


@contextmanager
def recorded_sqlite(
    recorder: Recorder, *, pages: int = 1000, synchronous: str | None = None
) -> Iterator[Callable[[str], Any]]:
    """What `SQLiteLedger.open` takes as ``connect``.

    Args:
        recorder: in force.
        pages: in the write-ahead log before it is folded into the database.
        synchronous: another setting than the one that the program asks for.
    """
    import apsw

    vfs = _vfs(recorder)

    def connect(uri: str) -> Any:
        flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
        made = apsw.Connection(uri, flags=flags, vfs=vfs.vfs_name)
        made.execute(f"PRAGMA wal_autocheckpoint={pages}").fetchall()
        return Connection(made, synchronous)

    try:
        yield connect
    finally:
        vfs.unregister()


class Connection:
    """A connection of `apsw` with as much of the interface of `sqlite3.Connection` as a ledger uses."""

    def __init__(self, connection: Any, synchronous: str | None = None) -> None:
        self._connection = connection
        self._synchronous = synchronous

    def execute(self, statement: str, values: Any = ()) -> Any:
        """See `sqlite3.Connection.execute`."""
        if self._synchronous is not None and statement.startswith("PRAGMA synchronous="):
            statement = f"PRAGMA synchronous={self._synchronous}"
        return self._translated(lambda: self._connection.execute(statement, tuple(values)))

    def executemany(self, statement: str, rows: Any) -> Any:
        """See `sqlite3.Connection.executemany`."""
        return self._translated(lambda: self._connection.executemany(statement, rows))

    @property
    def in_transaction(self) -> bool:
        """Has a transaction begun?"""
        return bool(self._connection.in_transaction)

    def close(self) -> None:
        """See `sqlite3.Connection.close`."""
        self._connection.close()

    def _translated(self, call: Callable[[], Any]) -> Any:
        import apsw

        try:
            return call()
        except apsw.Error as error:
            said = sqlite3.OperationalError(str(error))
            said.sqlite_errorcode = getattr(error, "extendedresult", 0)
            raise said from error


def _vfs(recorder: Recorder) -> Any:
    """A VFS over the system's own; its `vfs_name` is new."""
    import apsw

    journals = apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_WAL | apsw.SQLITE_OPEN_SUPER_JOURNAL
    name = f"qimg-recording-{id(recorder):x}"

    class File(apsw.VFSFile):  # type: ignore[misc, unused-ignore]
        def __init__(self, path: Any, flags: list[int]) -> None:
            filename = path.filename() if isinstance(path, apsw.URIFilename) else path
            inside = None if filename is None else recorder.inside(filename)
            with recorder.lock:
                super().__init__("", path, flags)
                self.number = None if inside is None else recorder.number(inside)
                self.folder = "" if inside is None else inside.rpartition("/")[0]
                # SQLite's own VFS for Unix syncs the folder of a new journal with its first sync
                self.new = bool(flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & journals)

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802
            with recorder.lock:
                super().xWrite(data, offset)
                if self.number is not None:
                    recorder.operations.append(Write(self.number, offset, bytes(data)))

        def xTruncate(self, size: int) -> None:  # noqa: N802
            with recorder.lock:
                super().xTruncate(size)
                if self.number is not None:
                    recorder.operations.append(Resize(self.number, size))

        def xSync(self, flags: int) -> None:  # noqa: N802
            with recorder.lock:
                super().xSync(flags)
                if self.number is not None:
                    recorder.operations.append(Sync(self.number))
                    if self.new:
                        recorder.operations.append(SyncFolder(self.folder))
                        self.new = False

    class VFS(apsw.VFS):  # type: ignore[misc, unused-ignore]
        vfs_name = name

        def __init__(self) -> None:
            super().__init__(name, "")

        def xOpen(self, path: Any, flags: list[int]) -> Any:  # noqa: N802
            return File(path, flags)

        def xDelete(self, path: str, sync: bool) -> None:  # noqa: N802
            inside = recorder.inside(path)
            with recorder.lock:
                super().xDelete(path, sync)
                if inside is not None:
                    recorder.named((inside, None))
                    if sync:
                        recorder.operations.append(SyncFolder(inside.rpartition("/")[0]))

    return VFS()
