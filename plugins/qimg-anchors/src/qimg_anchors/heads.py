"""A witness's memory: the newest head of each log that it cosigned, on disk (imports the core's storage and note).

::

    <folder>/witness                         the witness's public keys: whose memory this is
    <folder>/<sha256 of origin>/checkpoint   the newest cosigned head, signatures and all

The layout is the monitoring interface of C2SP tlog-witness, so any web server can show it. A memory that is missing
is never taken for an empty one: a witness that forgot would cosign another history.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_anchors.request import origin_hash
from qimg_core.errors import LedgerBusy, LedgerCorrupt, LedgerError
from qimg_core.ledger.cosignature import verify_note
from qimg_core.ledger.lock import WriterLock
from qimg_core.storage import ensure_folder, storage_error, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.ledger.note import Checkpoint, VerifierKey

_WHOSE = "witness"
_HEAD = "checkpoint"


@frozen
class Held:
    """A head that was cosigned, and its note with the witness's signatures."""

    head: Checkpoint
    note: bytes = field(repr=False)


def make_heads(folder: Path, keys: tuple[VerifierKey, ...]) -> None:
    """An empty memory for a new witness.

    Raises:
        LedgerError: there is one already.
        StorageError: it cannot be written.
    """
    if (folder / _WHOSE).exists():
        raise LedgerError(f"{folder} is the memory of a witness already", hint="name another key file")
    ensure_folder(folder)
    write_atomic(folder / _WHOSE, _written(keys))


class Heads:
    """The memory of a running witness; one process at a time.

    Args:
        folder: made by `make_heads`.
        keys: the witness's public keys.
        locked: take the lock of the one process that writes.

    Raises:
        LedgerError: it is missing, another witness's, or in use by another process.
        StorageError: it cannot be read.
    """

    def __init__(self, folder: Path, keys: tuple[VerifierKey, ...], *, locked: bool = True) -> None:
        self.folder, self._keys = folder, keys
        if _read(folder / _WHOSE) is None:
            raise LedgerError(
                f"the memory of this witness is missing: {folder}",
                hint="restore it; a witness that forgot would cosign another history. For a new witness, new keys: "
                "qimg witness keys --new NAME",
            )
        if _read(folder / _WHOSE) != _written(keys):
            raise LedgerError(f"{folder} is the memory of a witness with other keys")
        self._lock = None
        if locked:
            try:
                self._lock = WriterLock.take(folder)
            except LedgerBusy as error:
                raise LedgerBusy(f"another process is the witness that remembers in {folder}") from error

    def read(self, origin: str) -> Held | None:
        """The newest head of a log; None where none was ever cosigned.

        Raises:
            LedgerCorrupt: what is there was not cosigned by this witness: damaged, or changed by somebody.
        """
        path = self.folder / origin_hash(origin) / _HEAD
        note = _read(path)
        if note is None:
            return None
        try:
            head, signed = verify_note(note, self._keys)
        except LedgerCorrupt as error:
            raise LedgerCorrupt(f"{path} is damaged: {error.message}", hint="restore it from a copy") from error
        if {line.key for line in signed} != set(self._keys) or head.origin != origin:
            raise LedgerCorrupt(f"{path} is damaged: it lacks this witness's signatures", hint="restore it from a copy")
        return Held(head, note)

    def write(self, held: Held) -> None:
        """Remember a head; durable on return.

        Raises:
            StorageError: disk full or read-only; the old head is still remembered.
        """
        place = ensure_folder(self.folder / origin_hash(held.head.origin))
        write_atomic(place / _HEAD, held.note)

    def close(self) -> None:
        """Let go of the lock."""
        if self._lock is not None:
            self._lock.release()


def _written(keys: tuple[VerifierKey, ...]) -> bytes:
    return "".join(f"{key}\n" for key in keys).encode()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, "read", path) from error
