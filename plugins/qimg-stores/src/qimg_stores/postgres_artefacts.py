"""Artefacts in a table, in parts of 1 MiB (imports errors, storage, log)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import LedgerCorrupt, LedgerError
from qimg_core.ledger.log import checked_digest
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from psycopg import Connection

PART = 1 << 20
_PAGE = 1000


@frozen
class ArtefactTable:
    """The tables ``artefact`` and ``artefact_part``; ``session`` lends the connection."""

    session: Callable[[], AbstractContextManager[Connection[Any]]]

    def put(self, data: bytes) -> str:
        """Store bytes durably, once."""
        digest = sha256_digest(data)
        name = bytes.fromhex(digest[7:])
        starts = range(0, len(data), PART)
        with self.session() as db, db.transaction(), db.cursor() as cursor:
            made = cursor.execute(
                "INSERT INTO artefact(digest, bytes, parts) VALUES(%s, %s, %s) ON CONFLICT DO NOTHING RETURNING 1",
                (name, len(data), len(starts)),
            ).fetchone()
            if made is not None and data:
                with cursor.copy("COPY artefact_part(digest, part, data) FROM STDIN (FORMAT BINARY)") as copy:
                    copy.set_types(["bytea", "int4", "bytea"])
                    for part, start in enumerate(starts):
                        copy.write_row((name, part, data[start : start + PART]))
        if made is None:
            self.get(digest)  # what is there already is checked
        return digest

    def get(self, digest: str) -> bytes:
        """Read an artefact and hash it again.

        Raises:
            LedgerError: there is none.
            LedgerCorrupt: its bytes have another digest.
        """
        name = bytes.fromhex(checked_digest(digest))
        with self.session() as db:
            if db.execute("SELECT 1 FROM artefact WHERE digest = %s", (name,)).fetchone() is None:
                raise LedgerError(f"no artefact {digest}", digest=digest)
            parts = db.execute("SELECT data FROM artefact_part WHERE digest = %s ORDER BY part", (name,)).fetchall()
        data = b"".join(part for (part,) in parts)
        if sha256_digest(data) != digest:
            raise LedgerCorrupt(f"the stored bytes of {digest} have the digest {sha256_digest(data)}", digest=digest)
        return data

    def has(self, digest: str) -> bool:
        """Is there an artefact of that digest?"""
        name = bytes.fromhex(checked_digest(digest))
        with self.session() as db:
            return db.execute("SELECT 1 FROM artefact WHERE digest = %s", (name,)).fetchone() is not None

    def digests(self) -> Iterator[str]:
        """Every stored artefact, sorted."""
        last = b""
        while True:
            with self.session() as db:
                page = db.execute(
                    "SELECT digest FROM artefact WHERE digest > %s ORDER BY digest LIMIT 1000", (last,)
                ).fetchall()
            for (name,) in page:
                yield f"sha256:{name.hex()}"
                last = name
            if len(page) < _PAGE:
                return
