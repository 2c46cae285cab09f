"""Which entry first names each artefact, kept on disk so that memory does not grow with the log (imports nothing)."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

_MOST_PENDING = 1000


class NamedArtefacts:
    """Digests and the first entry that names each. Lies in a temporary database that goes with `close`."""

    def __init__(self) -> None:
        self._pending: list[tuple[bytes, int]] = []
        self._db: sqlite3.Connection | None = None

    def add(self, digest: str, index: int) -> None:
        """An entry names an artefact; entries come in order.

        Args:
            digest: well-formed, ``sha256:<64 hex digits>``.
            index: of the entry.
        """
        self._pending.append((bytes.fromhex(digest[7:]), index))
        if len(self._pending) >= _MOST_PENDING:
            self._flush()

    def first(self, digest: str) -> int | None:
        """The first entry that names it; None where none does."""
        rows = self._flush().execute("SELECT idx FROM named WHERE digest = ?", (bytes.fromhex(digest[7:]),)).fetchall()
        return rows[0][0] if rows else None

    def items(self) -> Iterator[tuple[str, int]]:
        """Every digest and its first entry, by digest."""
        for digest, index in self._flush().execute("SELECT digest, idx FROM named ORDER BY digest"):
            yield f"sha256:{digest.hex()}", index

    def _flush(self) -> sqlite3.Connection:
        if self._db is None:
            self._db = sqlite3.connect("", isolation_level=None)  # a file of its own that SQLite removes
            self._db.execute("PRAGMA journal_mode=OFF")
            self._db.execute("CREATE TABLE named(digest BLOB PRIMARY KEY, idx INTEGER) STRICT, WITHOUT ROWID")
        if self._pending:
            self._db.execute("BEGIN")
            self._db.executemany("INSERT OR IGNORE INTO named VALUES(?,?)", self._pending)
            self._db.execute("COMMIT")
            self._pending.clear()
        return self._db

    def close(self) -> None:
        """Remove it."""
        if self._db is not None:
            self._db.close()
            self._db = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
