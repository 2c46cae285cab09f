"""`PostgresStore`: entries, heads and artefacts in the tables of a schema (imports the core's store, session).

The half of `qimg_stores.postgres.PostgresLedger` that reads and writes; whose turn it is, is the other half's matter.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

from qimg_core.errors import LedgerError
from qimg_core.ledger import keys
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.log import StoredLedger
from qimg_core.ledger.pinned import pinned_head
from qimg_core.ledger.verify import Head, Row
from qimg_core.storage import write_atomic
from qimg_stores.postgres_artefacts import ArtefactTable
from qimg_stores.postgres_session import connect, translated

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from psycopg import Connection

    from qimg_core.ledger.history import KeyHistory
    from qimg_core.ledger.note import Checkpoint, Signer
    from qimg_stores.postgres_address import Address

LAST = "last.checkpoint"
_PAGE = 1000


class PostgresStore(StoredLedger):
    """The tables of one ledger.

    Args:
        address: where they are.
        database: an open connection.
        history: the log's keys.
        signer: the private keys, or None for reading only.
    """

    def __init__(self, address: Address, database: Connection[Any], history: KeyHistory, signer: Signer | None) -> None:
        super().__init__(history, signer)
        self.address = address
        self.folder: Path | None = address.folder
        self._db = database
        self._artefacts = ArtefactTable(self.session)
        self._turns = 0
        self._heads_seen = -1  # largest signed head that was compared with the entries
        self._process = os.getpid()

    # Entries

    def __len__(self) -> int:
        """Number of entries."""
        count: int = self._query("SELECT coalesce(max(idx), -1) + 1 FROM entry")[0][0]
        return count

    def entries(self, *, run: str | None = None, kind: str | None = None, start: int = 0) -> Iterator[Entry]:
        """Entries in order. See `Ledger.entries`."""
        while True:
            page = self._query(
                "SELECT idx, body FROM entry WHERE idx >= %s AND (%s::text IS NULL OR run = %s) "
                "AND (%s::text IS NULL OR kind = %s) ORDER BY idx LIMIT %s",
                (start, run, run, kind, kind, _PAGE),
            )
            for index, body in page:
                yield Entry.parse(body)
                start = index + 1
            if len(page) < _PAGE:
                return

    def rows(self) -> Iterator[Row]:
        """Every stored entry, by index, as of now."""
        start, stop = 0, len(self)
        while start < stop:
            page = self._read(start, min(start + _PAGE, stop))
            yield from page
            start += _PAGE

    def _read(self, start: int, stop: int) -> list[Row]:
        found = self._query(
            "SELECT idx, run, kind, time, body, leaf FROM entry WHERE idx >= %s AND idx < %s ORDER BY idx",
            (start, stop),
        )
        return [Row(*row) for row in found]

    def _leaves(self, start: int) -> Iterator[bytes]:
        while True:
            page = self._query("SELECT idx, leaf FROM entry WHERE idx >= %s ORDER BY idx LIMIT 20000", (start,))
            yield from (leaf for _, leaf in page)
            if not page:
                return
            start = page[-1][0] + 1

    def _store(self, entries: Sequence[Entry]) -> None:
        with self._commit() as db:
            _copy(db, entries)

    def _find(self, key: str) -> int | None:
        rows = self._query("SELECT idx FROM retry WHERE key = %s", (key,))
        return rows[0][0] if rows else None

    # Checkpoints

    def heads(self) -> tuple[Head, ...]:
        """Every stored checkpoint, by size."""
        return tuple(Head(*row) for row in self._query("SELECT size, root, note FROM checkpoint ORDER BY size"))

    def _last_head(self) -> Head | None:
        rows = self._query("SELECT size, root, note FROM checkpoint ORDER BY size DESC LIMIT 1")
        return Head(*rows[0]) if rows else None

    def _store_head(self, head: Head) -> None:
        self._store_signed((), head)

    def _store_signed(self, entries: Sequence[Entry], head: Head) -> None:
        with self._commit() as db:
            _copy(db, entries)
            db.execute("INSERT INTO checkpoint(size, root, note) VALUES(%s, %s, %s)", (head.size, head.root, head.note))
        self._heads_seen = head.size
        if self.folder is not None:
            write_atomic(self.folder / keys.FOLDER / LAST, head.note)

    def _pinned_head(self) -> Checkpoint | None:
        """The newest head that was signed with the keys of this folder."""
        if self.folder is None:
            return None
        return pinned_head(self.folder / keys.FOLDER / LAST, self.history)

    # Artefacts

    def put(self, data: bytes) -> str:
        """Store an artefact. See `Ledger.put`."""
        self._writing()
        return self._artefacts.put(data)

    def get(self, digest: str) -> bytes:
        """An artefact, hashed again. See `Ledger.get`."""
        return self._artefacts.get(digest)

    def has(self, digest: str) -> bool:
        """Is there an artefact of that digest?"""
        return self._artefacts.has(digest)

    def artefacts(self) -> Iterator[str]:
        """Digests of all stored artefacts."""
        return self._artefacts.digests()

    # Inside

    def close(self) -> None:
        """Close the connection; closing twice is harmless."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
            if self._process == os.getpid():  # else a forked child: the connection is not its own
                self._db.close()

    def _open(self) -> None:
        super()._open()
        if self._process != os.getpid():
            raise LedgerError("a ledger does not survive a fork", hint="open it in the process that uses it")

    @contextmanager
    def session(self) -> Iterator[Connection[Any]]:
        """The connection, for one thread at a time; made anew where it was lost outside of a turn."""
        with self._mutex:
            self._open()
            if self._db.closed and self._turns == 0:
                self._db = connect(self.address)
            with translated(self.address):
                yield self._db

    @contextmanager
    def _commit(self) -> Iterator[Connection[Any]]:
        """One transaction: durable when the block is left, or undone."""
        with self.session() as db, db.transaction():
            yield db

    def _query(self, statement: LiteralString, values: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        with self.session() as db:
            return db.execute(statement, values).fetchall()


def _copy(db: Connection[Any], entries: Sequence[Entry]) -> None:
    if not entries:
        return
    with db.cursor() as cursor:
        statement = "COPY entry(idx, run, kind, time, body, leaf) FROM STDIN (FORMAT BINARY)"
        with cursor.copy(statement) as copy:
            copy.set_types(["int8", "text", "text", "text", "bytea", "bytea"])
            for e in entries:
                copy.write_row((e.index, e.run, e.kind, e.time, e.body, e.leaf))
        keyed = [(e.key, e.index) for e in entries if e.key is not None]
        if keyed:
            cursor.executemany("INSERT INTO retry(key, idx) VALUES(%s, %s)", keyed)
