"""Publishing a log as files that any web server can serve (imports errors, log, note, tiles, storage).

The folder holds what C2SP tlog-tiles prescribes: ``checkpoint``, tiles under ``tile/``, entry bundles under
``tile/entries/``, and beside them ``log.vkeys``, the public keys. Tiles and bundles never change once written; the
checkpoint is replaced last, in one step, when everything that it covers is durable. A publisher that is
killed goes on where the published checkpoint stands, and what it finds half done it compares, byte for byte.

Partial tiles of earlier checkpoints stay; whoever needs the room may delete a ``.p`` folder once the full tile
is there. Serve ``checkpoint`` without caching, the rest with.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import ConfigurationError, LedgerBusy, LedgerCorrupt, LedgerError
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.tile_log import CHECKPOINT, KEYS
from qimg_core.ledger.tiles import WIDTH, Rows, Tile, edge_root, edge_tiles, hashes_of, level_tiles, pack
from qimg_core.storage import ensure_folder, storage_error, sync_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.log import StoredLedger

_PART = ".part"  # the file being written; one name, so that a killed publisher leaves one at most


@frozen(kw_only=True)
class Publication:
    """What `publish` did: the published log's size, the size before, and how many files were new."""

    origin: str
    size: int
    before: int
    files: int
    bodies: bool


def publish(ledger: StoredLedger, folder: str | os.PathLike[str], *, hashes_only: bool = False) -> Publication:
    """Write a log's newest signed head, and everything under it, as static files.

    Args:
        ledger: may be open for reading only, beside its writer; entries after the newest head are left out.
        folder: made where missing, or one that an earlier call wrote, also one that was killed.
        hashes_only: leave the entry bundles out: readers see hashes, and no body.

    Raises:
        ConfigurationError: no signed head yet; or the folder shows bodies where only hashes are wanted, or the
            other way round, or holds something else.
        LedgerBusy: another process publishes there.
        LedgerCorrupt: what is published contradicts this log; nothing was changed.
        StorageError: the disk is full or read-only.
    """
    newest = ledger.newest_head()
    if newest is None:
        raise ConfigurationError("the log has no signed head to publish", hint="sign one with: qimg ledger checkpoint")
    head, note = Checkpoint.parse(split_note(newest.note)[0]), newest.note
    place = ensure_folder(Path(folder))
    with _only_publisher(place):
        before = _published(ledger, place)
        _check_kind(place, bodies=not hashes_only)
        if before.size > head.size:
            raise LedgerCorrupt(
                f"{place} publishes {before.size:,} entries, the newest signed head of this log covers {head.size:,}",
                hint="an old copy of the log was restored: compare them with qimg verify",
            )
        files = _Files(place)
        if _write(ledger, files, before, head.size, bodies=not hashes_only) != head.root:
            raise LedgerCorrupt(
                f"the entries do not lead to the root that was signed over {head.size}; no checkpoint was published",
                hint="see what is wrong with: qimg verify",
            )
        keys = ledger.history.text.encode()
        if _read(place / KEYS) != keys:
            write_atomic(place / KEYS, keys)
        files.sync()
        if _read(place / CHECKPOINT) != note:
            write_atomic(place / CHECKPOINT, note)
        else:
            sync_folder(place)  # a publisher that was killed may not have come so far
    return Publication(
        origin=ledger.origin, size=head.size, before=before.size, files=files.count, bodies=not hashes_only
    )


def _published(ledger: StoredLedger, place: Path) -> Checkpoint:
    """The head that is published already, checked: signed by this log's keys, and a prefix of it."""
    note = _read(place / CHECKPOINT)
    if note is None:
        return Checkpoint(ledger.origin, 0, edge_root(()))
    try:
        head = ledger.history.open_head(note).checkpoint
    except LedgerCorrupt as error:
        what = f"{place / CHECKPOINT} is not a head of the log {ledger.origin}: {error.message}"
        raise LedgerCorrupt(what, hint="publish into another folder") from error
    if head.origin != ledger.origin:
        raise LedgerCorrupt(f"{place} publishes the log {head.origin}, not {ledger.origin}", hint="name another folder")
    return head


def _check_kind(place: Path, *, bodies: bool) -> None:
    """A folder shows bodies from the beginning or never; bundles are written before their tile, so this is known."""
    if not (place / "tile").is_dir():
        strange = sorted(path.name for path in place.iterdir() if path.name != _PART)
        if strange:  # never beside a ledger: its private keys would be served
            raise ConfigurationError(
                f"{place} holds {strange[0]}, which is no part of a published log", hint="name a new folder"
            )
        return
    shown = (place / Tile(0, 0).bundle).parent.is_dir()
    if bodies and not shown and _read(place / CHECKPOINT) is None:
        return  # killed before its first bundle: nothing is published yet
    if shown != bodies:
        what = "hashes only" if bodies else "the entries' bodies"
        raise ConfigurationError(f"{place} shows {what} of this log already", hint="publish into another folder")


def _write(ledger: StoredLedger, files: _Files, before: Checkpoint, size: int, *, bodies: bool) -> bytes:
    """Every tile that the published log lacks. Gives the root that the tiles of the log of ``size`` lead to."""
    rows = _published_rows(files, before)
    for tile in level_tiles(0, size, since=before.size):
        start = tile.index * WIDTH
        entries = ledger.span(start, start + tile.width)
        if [row.index for row in entries] != list(range(start, start + tile.width)):
            raise LedgerCorrupt(f"entries are missing from {start} on", hint="see: qimg verify")
        leaves, shown = [row.leaf for row in entries], rows.leaves()
        if leaves[: len(shown)] != shown:
            raise LedgerCorrupt(f"the published entries from {start} on are not those of this log")
        if bodies:
            files.add(tile.bundle, pack(row.body for row in entries))
        files.add(tile.path, b"".join(leaves))
        for above, hashes in rows.put(tile, leaves):
            files.add(above.path, b"".join(hashes))
    edge = rows.edge(size)
    for tile, hashes in edge:
        files.add(tile.path, b"".join(hashes))
    return edge_root(hashes for _, hashes in edge)


def _published_rows(files: _Files, before: Checkpoint) -> Rows:
    """Where the published log ends, from its files, checked against their signed root."""
    edge = [hashes_of(files.read(tile.path) or b"", tile.width) for tile in edge_tiles(before.size)]
    if edge_root(edge) != before.root:
        raise LedgerCorrupt(
            f"the tiles in {files.place} do not lead to the checkpoint {before.size} published with them",
            hint="publish into a new folder",
        )
    return Rows(before.size, edge)


class _Files:
    """Files that are written once. All are durable after `sync`."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.count = 0
        self._folders: set[Path] = set()

    def read(self, name: str) -> bytes | None:
        """What lies there."""
        return _read(self.place / name)

    def add(self, name: str, data: bytes) -> None:
        """Write a file, or find the same bytes there.

        Raises:
            LedgerCorrupt: there are other bytes.
        """
        path = self.place / name
        found = _read(path)
        self._folders.add(path.parent)  # also of what a killed publisher left: its name may not be durable yet
        if found is not None:
            if found != data:
                raise LedgerCorrupt(f"{path} is published and is not what this log says; nothing was overwritten")
            return
        part = self.place / _PART
        try:
            ensure_folder(path.parent)
            with part.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            part.replace(path)
        except OSError as error:
            raise storage_error(error, "write", path) from error
        self.count += 1

    def sync(self) -> None:
        """Make the names durable."""
        for folder in sorted(self._folders):
            sync_folder(folder)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise storage_error(error, "read", path) from error


@contextmanager
def _only_publisher(place: Path) -> Iterator[None]:
    """The folder's own lock: two publishers could put an older checkpoint over a newer one."""
    if sys.platform == "win32":
        raise LedgerError("publishing needs POSIX file locks", hint="publish from WSL")
    import fcntl

    handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LedgerBusy(f"another process publishes into {place}", hint="wait until it has ended") from error
        yield
    finally:
        os.close(handle)
