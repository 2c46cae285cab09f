"""Opening the database of a ledger, and its errors in this SDK's words (imports schema, errors, storage)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from qimg_core.errors import LedgerBusy, LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger.schema import ADDED, APPLICATION_ID, FORMAT, TABLES, TRIGGERS
from qimg_core.storage import storage_error, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qimg_core.ledger.note import Signer

DATABASE = "ledger.db"
Connect = Callable[[str], sqlite3.Connection]


def connect(uri: str) -> sqlite3.Connection:
    """Open a database; the one place where that is done, and what `SQLiteLedger.open` takes another function for.

    Args:
        uri: of SQLite's form ``file:PATH?mode=..``. Transactions are begun and ended by statements, and the
            connection is used by several threads, one at a time.
    """
    return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=10)


@contextmanager
def translated(folder: Path) -> Iterator[None]:
    """SQLite's errors in this SDK's words."""
    try:
        yield
    except sqlite3.Error as error:
        path = folder / DATABASE
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        said = f"{path}: {error}"
        if code == sqlite3.SQLITE_FULL:
            raise StorageError(f"the disk is full: {said}", hint="free some space; the log is as it was") from error
        if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_IOERR):
            hint = "check the disk and its permissions; to look at it only, open it with read_only=True"
            raise StorageError(f"cannot use the ledger {said}", hint=hint) from error
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise LedgerBusy(f"another process holds the ledger {said}", hint="wait until it has ended") from error
        if code == sqlite3.SQLITE_NOTADB:
            raise LedgerCorrupt(f"not a ledger: {said}", hint="name the folder of a qimg ledger") from error
        if code == sqlite3.SQLITE_CORRUPT:
            raise LedgerCorrupt(f"the database is damaged: {said}", hint="restore it from a copy") from error
        raise LedgerError(f"the ledger failed: {said}") from error


def connect_writer(folder: Path, signer: Signer, connect: Connect = connect) -> sqlite3.Connection:
    """Open for writing; tables are made where the database is empty. Durable, with its folder, on return."""
    with translated(folder):
        db = connect(_uri(folder, "rwc"))
        try:
            _check_tables(folder, db)
            (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise StorageError(f"{folder} does not allow SQLite's write-ahead log", hint="use a local disk")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA trusted_schema=OFF")
            db.execute("PRAGMA mmap_size=0")
            (made,) = db.execute("PRAGMA user_version").fetchone()
            db.execute("BEGIN IMMEDIATE")
            for statement in (*(TABLES if made == 0 else ()), *ADDED, *TRIGGERS.values()):
                db.execute(statement)
            if made == 0:
                db.execute(f"PRAGMA application_id={APPLICATION_ID}")
                db.execute(f"PRAGMA user_version={FORMAT}")
                public = "".join(f"{key}\n" for key in signer.keys)
                db.executemany("INSERT INTO meta VALUES(?,?)", [("origin", signer.origin), ("keys", public)])
            db.execute("COMMIT")
        except BaseException:
            db.close()
            raise
    sync_folder(folder)  # or the file, or its deleted journal, may come back after power loss as it was before
    return db


def connect_reader(folder: Path, connect: Connect = connect) -> sqlite3.Connection:
    """Open for reading, on read-only media too."""
    path = folder / DATABASE
    check_format(folder)
    uri = _uri(folder, "ro")
    with translated(folder):
        db = connect(uri)
        try:
            db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        except sqlite3.OperationalError:
            db.close()
            wal = path.with_name(f"{DATABASE}-wal")
            if wal.exists() and wal.stat().st_size > 0:
                raise
            # A closed ledger on read-only media: SQLite cannot make its -shm file there, and needs none.
            db = connect(f"{uri}&immutable=1")
        try:
            _check_tables(folder, db, empty=False)
        except BaseException:
            db.close()
            raise
    return db


def _uri(folder: Path, mode: str) -> str:
    return f"file:{quote(str((folder / DATABASE).resolve()))}?mode={mode}"


def _check_tables(folder: Path, db: sqlite3.Connection, *, empty: bool = True) -> None:
    """Is the open database a ledger, or empty where that is allowed?"""
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID and (tables or not empty):
        what = "another SQLite database" if tables else "empty"
        raise LedgerCorrupt(f"{folder / DATABASE} is not a ledger but {what}", hint="choose another folder")


def check_format(folder: Path) -> None:
    """Is the file a ledger of a format we know? Read from its header: nothing is opened or changed."""
    path = folder / DATABASE
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise storage_error(error, "read", path) from error
    if not header:
        return  # a crash between creating the file and its first page: still empty, made anew
    if len(header) < 100 or not header.startswith(b"SQLite format 3\x00"):
        journal = path.with_name(f"{DATABASE}-journal")
        if journal.exists() and journal.stat().st_size:
            return  # power was lost while the first page was written: SQLite undoes it; checked once open
        raise LedgerCorrupt(f"{path} is not a ledger: no SQLite database", hint="name the folder of a qimg ledger")
    version, application = int.from_bytes(header[60:64], "big"), int.from_bytes(header[68:72], "big")
    if (version, application) == (0, 0):
        return  # created, and its tables still in the write-ahead log or not yet made; checked once open
    if application != APPLICATION_ID:
        raise LedgerCorrupt(f"{path} is not a ledger but another SQLite database", hint="choose another folder")
    if version > FORMAT:
        raise LedgerError(
            f"{path} has ledger format {version}, this version reads up to {FORMAT}",
            hint="pip install --upgrade qimg-core",
        )
