"""The SQLite file of a budget: tables, opening, errors in this SDK's words (imports errors, storage).

One local file, WAL with ``synchronous=FULL``: what is committed survives a power loss. Writers wait for each other.
SQLite's log does not work on network file systems, so the processes that share a budget share a machine.
"""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from qimg_core.errors import ConfigurationError, StorageError
from qimg_core.storage import ensure_folder, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

APPLICATION_ID = 0x71426467  # "qBdg"
FORMAT = 1
WAIT = 120.0
"""Seconds that a writer waits for the others before it refuses."""

TABLES = (
    "CREATE TABLE setting(name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE bound(scope TEXT NOT NULL, name TEXT NOT NULL, dimension TEXT NOT NULL, hard INTEGER, soft INTEGER,
       PRIMARY KEY(scope, name, dimension)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE reservation(id TEXT PRIMARY KEY, run TEXT NOT NULL, ordinal INTEGER NOT NULL, backend TEXT NOT NULL,
       attempt INTEGER NOT NULL, request TEXT NOT NULL, project TEXT NOT NULL, cost_centre TEXT NOT NULL,
       day TEXT NOT NULL, at TEXT NOT NULL, ledger TEXT NOT NULL, unknown INTEGER NOT NULL, open INTEGER NOT NULL)
       STRICT, WITHOUT ROWID""",
    "CREATE INDEX reservation_run ON reservation(run, ordinal, backend)",
    "CREATE INDEX reservation_open ON reservation(run) WHERE open",
    """CREATE TABLE amount(reservation TEXT NOT NULL REFERENCES reservation(id), dimension TEXT NOT NULL,
       reserved INTEGER, held INTEGER NOT NULL, spent INTEGER NOT NULL, PRIMARY KEY(reservation, dimension))
       STRICT, WITHOUT ROWID""",
    """CREATE TABLE job(reservation TEXT NOT NULL REFERENCES reservation(id), key TEXT NOT NULL,
       number INTEGER NOT NULL, weight INTEGER NOT NULL, shots INTEGER NOT NULL, state TEXT NOT NULL,
       billed TEXT NOT NULL, PRIMARY KEY(reservation, key)) STRICT, WITHOUT ROWID""",
    """CREATE TABLE tally(scope TEXT NOT NULL, name TEXT NOT NULL, dimension TEXT NOT NULL, held INTEGER NOT NULL,
       spent INTEGER NOT NULL, PRIMARY KEY(scope, name, dimension)) STRICT, WITHOUT ROWID""",
    "CREATE TABLE change(number INTEGER PRIMARY KEY, at TEXT NOT NULL, what TEXT NOT NULL) STRICT",
)


def create(path: Path) -> None:
    """Make an empty budget.

    Raises:
        ConfigurationError: there is such a file.
        StorageError: it cannot be written.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already", hint=f"qimg budget show --budget {path}")
    ensure_folder(path.parent)
    with translated(path):
        db = sqlite3.connect(path, isolation_level=None, timeout=WAIT)
        try:
            (mode,) = db.execute("PRAGMA journal_mode=WAL").fetchone()
            if mode != "wal":
                raise StorageError(f"{path}: no write-ahead log on this file system", hint="use a local disk")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("BEGIN EXCLUSIVE")
            for statement in TABLES:
                db.execute(statement)
            identity = [("id", secrets.token_hex(8)), ("allow_unknown", "no")]
            db.executemany("INSERT INTO setting VALUES(?,?)", identity)
            db.execute(f"PRAGMA application_id={APPLICATION_ID}")
            db.execute(f"PRAGMA user_version={FORMAT}")
            db.execute("COMMIT")
        finally:
            db.close()
    sync_folder(path.parent)


def connect(path: Path) -> sqlite3.Connection:
    """Open a budget that is there.

    Raises:
        ConfigurationError: there is none, or the file is something else or of a newer version.
        StorageError: it cannot be used.
    """
    if not path.is_file():
        raise ConfigurationError(f"there is no budget in {path}", hint=f"qimg budget init {path}")
    with translated(path):
        uri = f"file:{quote(str(path.resolve()))}?mode=rw"
        db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=WAIT, check_same_thread=False)
        try:
            (application,) = db.execute("PRAGMA application_id").fetchone()
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if application != APPLICATION_ID:
                raise ConfigurationError(f"{path} is not a budget", hint="qimg budget init FILE makes one")
            if version > FORMAT:
                raise ConfigurationError(f"{path} is of a newer version", hint="pip install --upgrade qimg-budget")
            db.execute("PRAGMA synchronous=FULL")
            db.execute("PRAGMA trusted_schema=OFF")
        except BaseException:
            db.close()
            raise
    return db


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors in this SDK's words. Nothing is sent where one is raised."""
    try:
        yield
    except sqlite3.Error as error:
        code = (getattr(error, "sqlite_errorcode", 0) or 0) & 0xFF
        hint = "check the disk and its permissions"
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            hint = "another process holds it; try again, and see what is open: qimg budget show"
        elif code == sqlite3.SQLITE_FULL:
            hint = "the disk is full: free some space"
        elif code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            hint = "the file is damaged: restore a copy, then: qimg budget reconcile"
        raise StorageError(f"cannot use the budget {path}: {error}", hint=hint) from error


@contextmanager
def transaction(db: sqlite3.Connection, path: Path) -> Iterator[None]:
    """``BEGIN IMMEDIATE`` to ``COMMIT``: one writer at a time, all or nothing, durable at the end."""
    with translated(path):
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise
