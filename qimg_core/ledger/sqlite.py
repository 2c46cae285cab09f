"""The ledger on disk: SQLite for order and index, files for artefacts (imports log, keys, artefacts, storage).

::

    <folder>/ledger.db              entries and checkpoints; WAL, synchronous FULL
    <folder>/ledger.lock            held while a process writes; says which one
    <folder>/keys/                  see `qimg_core.ledger.keys`
    <folder>/keys/last.checkpoint   the newest head given out, outside the database: shows a restored old database
    <folder>/artefacts/sha256/ab/   one file per artefact, named by its digest

The columns ``run``, ``kind`` and ``time`` are an index derived from the body; `verify` compares them.
Copy a ledger only when no process writes it: the database alone, without its ``-wal`` file, is not whole.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.errors import ConfigurationError, LedgerBusy, LedgerCorrupt, LedgerError, QimgError, StorageError
from qimg_core.ledger import keys, rotation
from qimg_core.ledger.artefacts import ArtefactFiles
from qimg_core.ledger.base import Problem, Verification
from qimg_core.ledger.database import (
    DATABASE,
    Connect,
    check_format,
    connect,
    connect_reader,
    connect_writer,
    translated,
)
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.lock import WriterLock
from qimg_core.ledger.log import StoredLedger
from qimg_core.ledger.merkle import Frontier
from qimg_core.ledger.note import Checkpoint, Signer, check_origin
from qimg_core.ledger.pinned import pinned_head
from qimg_core.ledger.schema import TRIGGERS
from qimg_core.ledger.verify import Head, Row
from qimg_core.storage import ensure_folder, sync_folder, write_atomic
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from qimg_core.ledger.history import KeyHistory
    from qimg_core.ledger.note import VerifierKey

LAST = "last.checkpoint"
_PAGE = 1000
_ROWS_AT_ONCE = (128, 16, 1)
_HEADS_PAGE = 200
_HEADS = "SELECT size, root, note FROM checkpoint"
_ROWS = "SELECT idx, run, kind, time, body, leaf FROM entry"


class SQLiteLedger(StoredLedger):
    """A ledger in a folder. Make one with `open`."""

    def __init__(
        self,
        folder: Path,
        database: sqlite3.Connection,
        public: tuple[VerifierKey, ...] | KeyHistory,
        signer: Signer | None,
        lock: WriterLock | None,
    ) -> None:
        super().__init__(public, signer)
        self.folder = folder
        self._db = database
        self._lock = lock
        self._files = ArtefactFiles(folder / "artefacts")
        self._process = os.getpid()

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        *,
        create: bool = True,
        read_only: bool = False,
        origin: str | None = None,
        connect: Connect = connect,
    ) -> SQLiteLedger:
        """Open the ledger in a folder, or make one there.

        Args:
            path: the folder.
            create: make a new ledger where there is none.
            read_only: take no lock and write nothing; allowed while another process writes.
            origin: name of a new log, by default a random one under ``qimg.local/``; for an
                existing log it must be its name.
            connect: opens the database; another one puts SQLite on another file system, e.g. a simulated one.

        Raises:
            ConfigurationError: no ledger there and none to be made, or it has another origin.
            LedgerBusy: another process writes it.
            LedgerCorrupt: not a ledger, or it contradicts its last signed head.
            LedgerError: made by a newer version, or its keys are missing.
            StorageError: disk full, read-only, no permission.
        """
        folder = Path(path)
        if origin is not None:
            check_origin(origin)
        exists = (folder / DATABASE).exists()
        if not exists and (read_only or not create):
            raise ConfigurationError(f"no ledger in {folder}", hint="a run makes one: qimg generate --ledger FOLDER")
        if folder.exists() and not folder.is_dir():
            raise StorageError(f"{folder} is a file, not a folder", hint="name a folder for the ledger")
        if read_only:
            ledger = cls(folder, connect_reader(folder, connect), keys.load_history(folder), None, None)
        else:
            ledger = cls._open_writer(folder, origin, connect)
        try:
            ledger.resume(origin)
            if not read_only:
                rotation.finish(ledger, folder)
        except BaseException:
            ledger.close()
            raise
        return ledger

    @classmethod
    def _open_writer(cls, folder: Path, origin: str | None, connect: Connect) -> SQLiteLedger:
        ensure_folder(folder)
        lock = WriterLock.take(folder)
        database = None
        try:
            new = not (folder / DATABASE).exists()
            if not new:
                check_format(folder)
            if keys.exist(folder) or not new:
                signer = keys.load(folder)
                if new:  # who made the keys was killed; perhaps before their names were durable
                    sync_folder(folder / keys.FOLDER)
            else:
                signer = keys.create(folder, origin or f"qimg.local/{secrets.token_hex(8)}")
            database = connect_writer(folder, signer, connect)
            return cls(folder, database, keys.load_history(folder), signer, lock)
        except BaseException:
            if database is not None:
                database.close()
            lock.release()
            raise

    def resume(self, origin: str | None = None) -> None:
        """Check that database, keys and the last signed head belong together; done by `open`.

        Raises:
            ConfigurationError: it is a log of another name.
            LedgerCorrupt: they contradict each other.
        """
        stored = self._meta().get("origin")
        if stored != self.origin:
            raise LedgerCorrupt(
                f"the database is of the log {stored}, the keys beside it of {self.origin}",
                hint=f"restore {keys.FOLDER}/{keys.PUBLIC} and {DATABASE} from the same copy",
            )
        if origin is not None and origin != self.origin:
            raise ConfigurationError(f"the ledger in {self.folder} is {self.origin}, not {origin}")
        if self._signer is not None:
            self._rebuild()

    def _rebuild(self) -> None:
        """Rebuild the frontier; refuse to continue a log that contradicts what it has signed."""
        last, pinned = self._last_head(), self._pinned_head()
        heads = [head for head in (last, pinned) if head is not None]
        sizes = {head.size for head in heads}
        roots: dict[int, bytes] = {0: Frontier().root()}
        frontier = Frontier()
        for leaf in self._leaves(0):
            frontier.append(leaf)
            if frontier.size in sizes:
                roots[frontier.size] = frontier.root()
        (top,) = self._query("SELECT coalesce(max(idx), -1) FROM entry")[0]
        if top + 1 != frontier.size:
            raise LedgerCorrupt(f"the log has {frontier.size} entries and the last is {top}; see: qimg verify")
        for head in heads:
            if roots.get(head.size) != head.root:
                raise LedgerCorrupt(
                    f"the log of {frontier.size} entries contradicts its signed checkpoint {head.size}",
                    hint=f"see what is wrong with: qimg verify {self.folder}",
                    checkpoint=head.size,
                )
        self._frontier = frontier
        if last is not None and (pinned is None or pinned.size < last.size):
            write_atomic(self.folder / keys.FOLDER / LAST, last.note)  # a crash came between the two writes

    # Entries

    def __len__(self) -> int:
        """Number of entries."""
        with self._mutex:
            if self._signer is not None:
                return self._frontier.size
            count: int = self._query("SELECT coalesce(max(idx), -1) + 1 FROM entry")[0][0]
            return count

    def entries(self, *, run: str | None = None, kind: str | None = None, start: int = 0) -> Iterator[Entry]:
        """Entries in order. See `Ledger.entries`."""
        where, values = "idx >= ?", [run, kind]
        where += "".join(f" AND {name} = ?" for name, v in zip(("run", "kind"), values, strict=True) if v is not None)
        given = [value for value in values if value is not None]
        while True:
            with self._mutex:
                page = self._query(
                    f"SELECT idx, body FROM entry WHERE {where} ORDER BY idx LIMIT {_PAGE}",  # noqa: S608 - fixed names
                    (start, *given),
                )
            for index, body in page:
                yield Entry.parse(body)
                start = index + 1
            if len(page) < _PAGE:
                return

    def rows(self) -> Iterator[Row]:
        """Every stored entry, by index, as of now."""
        start = -(2**63)
        (last,) = self._query("SELECT max(idx) FROM entry")[0]
        while last is not None and start <= last:
            page = self._query(f"{_ROWS} WHERE idx BETWEEN ? AND ? ORDER BY idx LIMIT {_PAGE}", (start, last))
            if not page:
                return
            yield from (Row(*row) for row in page)
            start = page[-1][0] + 1

    def _read(self, start: int, stop: int) -> list[Row]:
        found = self._query(f"{_ROWS} WHERE idx >= ? AND idx < ? ORDER BY idx", (start, stop))
        return [Row(*row) for row in found]

    def _leaves(self, start: int) -> Iterator[bytes]:
        while True:
            page = self._query("SELECT idx, leaf FROM entry WHERE idx >= ? ORDER BY idx LIMIT 20000", (start,))
            yield from (leaf for _, leaf in page)
            if not page:
                return
            start = page[-1][0] + 1

    def _store(self, entries: Sequence[Entry]) -> None:
        with self._commit() as db:
            _insert(db, entries)

    def _store_signed(self, entries: Sequence[Entry], head: Head) -> None:
        with self._commit() as db:
            _insert(db, entries)
            _insert_head(db, head)
        write_atomic(self.folder / keys.FOLDER / LAST, head.note)

    def _find(self, key: str) -> int | None:
        rows = self._query("SELECT idx FROM retry WHERE key = ?", (key,))
        return rows[0][0] if rows else None

    # Checkpoints

    def heads(self) -> tuple[Head, ...]:
        """Every stored checkpoint, by size."""
        return tuple(Head(*row) for row in self._query(f"{_HEADS} ORDER BY size"))

    def each_head(self, start: int = 0) -> Iterator[Head]:
        """Stored checkpoints over at least ``start`` entries, by size."""
        while True:
            page = self._query(f"{_HEADS} WHERE size >= ? ORDER BY size LIMIT {_HEADS_PAGE}", (start,))
            yield from (Head(*row) for row in page)
            if len(page) < _HEADS_PAGE:
                return
            start = page[-1][0] + 1

    def _last_head(self) -> Head | None:
        rows = self._query(f"{_HEADS} ORDER BY size DESC LIMIT 1")
        return Head(*rows[0]) if rows else None

    def _store_head(self, head: Head) -> None:
        with self._commit() as db:
            _insert_head(db, head)
        write_atomic(self.folder / keys.FOLDER / LAST, head.note)

    def _pinned_head(self) -> Checkpoint | None:
        """The newest head given out, from outside the database."""
        return pinned_head(self.folder / keys.FOLDER / LAST, self.history)

    @property
    def history(self) -> KeyHistory:
        """Every pair of keys that has signed this log; a reader sees a change that another process makes."""
        if self._signer is None and not self._closed:
            self._history = keys.load_history(self.folder)
        return self._history

    # Artefacts

    def put(self, data: bytes) -> str:
        """Store an artefact. See `Ledger.put`."""
        self._writing()
        return self._files.put(data)

    def get(self, digest: str) -> bytes:
        """An artefact, hashed again. See `Ledger.get`."""
        self._open()
        return self._files.get(digest)

    def has(self, digest: str) -> bool:
        """Is there an artefact of that digest?"""
        return self._files.has(digest)

    def artefacts(self) -> Iterator[str]:
        """Digests of all stored artefacts."""
        return self._files.digests()

    # Inside

    def oddities(self) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        """What only a ledger on disk can have: a damaged file, other keys, a restored old database."""
        notes: list[str] = []
        problems = [Problem("database", str(line)) for (line,) in self._query("PRAGMA quick_check(5)") if line != "ok"]
        if self._meta().get("keys") != "".join(f"{key}\n" for key in self.history.periods[0].keys):
            problems.append(Problem("keys", f"the keys in the database are not those in {keys.FOLDER}/{keys.PUBLIC}"))
        try:
            pinned = self._pinned_head()
        except QimgError as error:
            problems.append(Problem(f"{keys.FOLDER}/{LAST}", error.message))
        else:
            same = "SELECT count(*) FROM checkpoint WHERE size = ? AND root = ?"
            if pinned is not None and self._query(same, (pinned.size, pinned.root)) == [(0,)]:
                what = f"checkpoint {pinned.size} was signed and is not in the database: an old copy was restored"
                problems.append(Problem(f"{keys.FOLDER}/{LAST}", what))
            elif pinned is None and self._last_head() is not None:
                notes.append(f"{keys.FOLDER}/{LAST} is missing: a restored old database would not show")
        found = {name for (name,) in self._query("SELECT name FROM sqlite_master WHERE type = 'trigger'")}
        lost = sorted(set(TRIGGERS) - found)
        if lost:
            notes.append(f"append-only triggers are missing: {', '.join(lost)}")
        return tuple(problems), tuple(notes)

    def close(self) -> None:
        """Release database and lock; closing twice is harmless."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            if self._process != os.getpid():
                return  # a forked child: neither the connection nor the lock is its own
            self._db.close()
            if self._signer is not None:
                self._signer.close()
            if self._lock is not None:
                self._lock.release()

    def _open(self) -> None:
        super()._open()
        if self._process != os.getpid():
            raise LedgerError(
                "a ledger does not survive a fork", hint="open it in the process that uses it; a log has one writer"
            )

    def _meta(self) -> dict[str, str]:
        return dict(self._query("SELECT name, value FROM meta"))

    def _query(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self._mutex:
            self._open()
            with translated(self.folder):
                return self._db.execute(statement, values).fetchall()

    @contextmanager
    def _commit(self) -> Iterator[sqlite3.Connection]:
        """One transaction: durable when the block is left, or undone."""
        with translated(self.folder):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise


def _insert(db: sqlite3.Connection, entries: Sequence[Entry]) -> None:
    """Many rows a statement: SQLite lets other threads run at each one, and then has to wait for them."""
    at = 0
    for count in _ROWS_AT_ONCE:
        while len(entries) - at >= count:
            rows = entries[at : at + count]
            values = [v for e in rows for v in (e.index, e.run, e.kind, e.time, e.body, e.leaf)]
            places = ",".join(["(?,?,?,?,?,?)"] * count)
            db.execute(f"INSERT INTO entry(idx, run, kind, time, body, leaf) VALUES {places}", values)  # noqa: S608
            at += count
    keyed = [(e.key, e.index) for e in entries if e.key is not None]
    if keyed:
        db.executemany("INSERT INTO retry(key, idx) VALUES(?,?)", keyed)


def _insert_head(db: sqlite3.Connection, head: Head) -> None:
    db.execute("INSERT INTO checkpoint(size, root, note) VALUES(?,?,?)", (head.size, head.root, head.note))


def verify_folder(path: str | os.PathLike[str], *, strict: bool = False) -> Verification:
    """Verify the ledger in a folder; one that is too damaged to open is a failed check, not an exception.

    Args:
        path: the folder.
        strict: see `Ledger.verify`.

    Raises:
        ConfigurationError: there is no ledger.
        StorageError: it cannot be read.
    """
    try:
        ledger = SQLiteLedger.open(path, read_only=True)
    except LedgerBusy:
        raise
    except LedgerError as error:
        return Verification(verdict=Verdict.FAIL, problems=(Problem("ledger", error.message),))
    with ledger:
        try:
            return ledger.verify(strict=strict)
        except LedgerCorrupt as error:
            return Verification(verdict=Verdict.FAIL, problems=(Problem("database", error.message),))
