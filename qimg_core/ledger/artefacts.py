"""Artefacts as files named by their digest (imports errors, storage).

``<root>/sha256/ab/<64 hex digits>``: the first two digits are the folder.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import LedgerCorrupt, LedgerError
from qimg_core.ledger.log import checked_digest
from qimg_core.storage import ensure_folder, sha256_digest, storage_error, sync_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_HEX = re.compile(r"[0-9a-f]{64}")


@frozen
class ArtefactFiles:
    """The artefacts under a folder."""

    root: Path
    _durable: set[Path] = field(factory=set, init=False, eq=False, repr=False)  # folders whose names are synced

    def path(self, digest: str) -> Path:
        """Where an artefact lies, or would.

        Raises:
            ConfigurationError: malformed digest.
        """
        name = checked_digest(digest)
        return self.root / "sha256" / name[:2] / name

    def put(self, data: bytes) -> str:
        """Store bytes durably; what is there already is checked and kept.

        Raises:
            LedgerCorrupt: a file of that name holds something else.
            StorageError: disk full, read-only.
        """
        digest = sha256_digest(data)
        path = self.path(digest)
        if path.parent not in self._durable or not path.parent.is_dir():
            ensure_folder(path.parent)
            self._durable.add(path.parent)
        if self.has(digest):
            self.get(digest)
            sync_folder(path.parent)  # another thread, or a process that was killed, may not have come so far
        else:
            write_atomic(path, data)
        return digest

    def get(self, digest: str) -> bytes:
        """Read an artefact and hash it again.

        Raises:
            LedgerError: there is none.
            LedgerCorrupt: its bytes have another digest.
            StorageError: it cannot be read.
        """
        path = self.path(digest)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            raise LedgerError(f"no artefact {digest} in {self.root}", digest=digest) from None
        except OSError as error:
            raise storage_error(error, "read", path) from error
        actual = sha256_digest(data)
        if actual != digest:
            hint = "restore it from a copy; what else is damaged: qimg verify"
            raise LedgerCorrupt(f"{path} has the digest {actual}", hint=hint, digest=digest)
        return data

    def has(self, digest: str) -> bool:
        """Is there a file of that digest?"""
        return self.path(digest).is_file()

    def digests(self) -> Iterator[str]:
        """Every stored artefact, sorted."""
        for path in sorted((self.root / "sha256").glob("??/*")):
            if _HEX.fullmatch(path.name):
                yield f"sha256:{path.name}"
