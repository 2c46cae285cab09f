"""A ledger in memory, for work that keeps no record (imports log).

Same semantics as on disk, with keys that are gone when the process is.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from qimg_core.errors import LedgerCorrupt, LedgerError
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.log import StoredLedger, checked_digest
from qimg_core.ledger.note import Signer
from qimg_core.ledger.verify import Head, Row
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class MemoryLedger(StoredLedger):
    """Entries, heads and artefacts in this process only.

    Args:
        origin: name of the log; by default a random one under ``qimg.local/``.
    """

    def __init__(self, origin: str | None = None) -> None:
        signer = Signer.generate(origin or f"qimg.local/{secrets.token_hex(8)}")
        super().__init__(signer.keys, signer)
        self._rows: list[Row] = []
        self._heads: list[Head] = []
        self._artefacts: dict[str, bytes] = {}
        self._retry: dict[str, int] = {}

    def __len__(self) -> int:
        """Number of entries."""
        return len(self._rows)

    def entries(self, *, run: str | None = None, kind: str | None = None, start: int = 0) -> Iterator[Entry]:
        """Entries in order. See `Ledger.entries`."""
        self._open()
        for row in self._rows[max(start, 0) :]:
            if (run is None or row.run == run) and (kind is None or row.kind == kind):
                yield Entry.parse(row.body)

    def put(self, data: bytes) -> str:
        """Store an artefact. See `Ledger.put`."""
        with self._mutex:
            self._writing()
            digest = sha256_digest(data)
            self._artefacts.setdefault(digest, bytes(data))
            return digest

    def get(self, digest: str) -> bytes:
        """An artefact, hashed again. See `Ledger.get`."""
        self._open()
        checked_digest(digest)
        try:
            data = self._artefacts[digest]
        except KeyError:
            raise LedgerError(f"no artefact {digest}") from None
        if sha256_digest(data) != digest:
            raise LedgerCorrupt(f"the stored bytes of {digest} have the digest {sha256_digest(data)}")
        return data

    def has(self, digest: str) -> bool:
        """Is there an artefact of that digest?"""
        return digest in self._artefacts

    def close(self) -> None:
        """Forget everything that can be written; closing twice is harmless."""
        self._closed = True

    def heads(self) -> tuple[Head, ...]:
        """Every stored checkpoint, by size."""
        return tuple(self._heads)

    def rows(self) -> Iterator[Row]:
        """Every stored entry, by index."""
        return iter(self._rows)

    def artefacts(self) -> Iterator[str]:
        """Digests of all stored artefacts."""
        return iter(tuple(self._artefacts))

    def _store(self, entries: Sequence[Entry]) -> None:
        self._rows.extend(Row(e.index, e.run, e.kind, e.time, e.body, e.leaf) for e in entries)
        self._retry.update((e.key, e.index) for e in entries if e.key is not None)

    def _find(self, key: str) -> int | None:
        return self._retry.get(key)

    def _store_head(self, head: Head) -> None:
        self._heads.append(head)

    def _read(self, start: int, stop: int) -> list[Row]:
        return self._rows[start:stop]

    def _leaves(self, start: int) -> Iterator[bytes]:
        return (row.leaf for row in self._rows[start:])

    def _last_head(self) -> Head | None:
        return self._heads[-1] if self._heads else None
