"""A disk that loses power: what may lie on it after a crash between two operations (floor 8; imports nothing of qimg).

The model is what POSIX promises and no more:

- a file's bytes are there after the file was synced. A write that was not may be there, be missing, or be there
  in some of its sectors of 512 bytes; writes are not kept in order. A changed length behaves like a write;
- a name (made, replaced, removed) is there after its *folder* was synced. Until then it may or may not be there,
  each by itself. Syncing a file does not make its name durable;
- a rename within a folder happens or not; one between folders is two changes, of which either may be lost.

So data that is only ordered, not synced, is not safe here, although some file systems would keep it.
"""

from __future__ import annotations

import random
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

SECTOR = 512
FOLDER = 0  # stands for "a folder" where the number of a file could be

Keep = Literal["synced", "all", "some"]
"""What of the changes that were not synced a crash leaves: none (``synced``), every one (``all``: the process was
killed, the machine ran on), or some at random, torn at sectors (``some``)."""


@frozen
class Write:
    """Bytes written into a file."""

    file: int
    offset: int
    data: bytes = field(repr=False)


@frozen
class Resize:
    """A file's length changed."""

    file: int
    size: int


@frozen
class Sync:
    """A file was synced."""

    file: int


@frozen
class Names:
    """Names changed at once: path -> number of a file, `FOLDER`, or None where removed."""

    changes: tuple[tuple[str, int | None], ...]

    def by_folder(self) -> dict[str, Names]:
        """The same, folder by folder."""
        found: dict[str, list[tuple[str, int | None]]] = {}
        for change in self.changes:
            found.setdefault(_folder(change[0]), []).append(change)
        return {folder: Names(tuple(changes)) for folder, changes in found.items()}


@frozen
class SyncFolder:
    """A folder was synced."""

    folder: str


@frozen
class Acknowledged:
    """Somebody was told that something is durable; ``what`` is for the test."""

    what: object


Operation = Write | Resize | Sync | Names | SyncFolder | Acknowledged


@define
class _File:
    """Bytes that are on the disk, and changes that need not be."""

    durable: bytes = b""
    pending: list[Write | Resize] = field(factory=list)


@frozen
class Image:
    """What lies on a disk: path -> bytes of each file; paths of the folders, parents first."""

    files: Mapping[str, bytes]
    folders: tuple[str, ...]

    def write(self, root: Path) -> None:
        """Put it into an empty folder."""
        for folder in self.folders:
            (root / folder).mkdir()
        for path, data in self.files.items():
            (root / path).write_bytes(data)


class Disk:
    """A disk on which operations are carried out one after the other."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        self._pending: list[tuple[str, Names]] = []
        self.acknowledged: list[object] = []

    def do(self, operation: Operation) -> None:
        """Carry out the next operation."""
        match operation:
            case Write(file) | Resize(file):
                self._file(file).pending.append(operation)
            case Sync(file):
                kept = self._file(file)
                kept.durable, kept.pending = _applied(kept.durable, kept.pending), []
            case Names():
                self._pending += operation.by_folder().items()
            case SyncFolder(folder):
                _rename(self._names, (change for where, change in self._pending if where == folder))
                self._pending = [(where, change) for where, change in self._pending if where != folder]
            case Acknowledged(what):
                self.acknowledged.append(what)

    def crash(self, keep: Keep, rng: random.Random) -> Image:
        """What is on the disk if the power goes now."""
        names = dict(self._names)
        if keep == "all":
            _rename(names, (change for _, change in self._pending))
        elif keep == "some":
            _rename(names, [change for _, change in self._pending if rng.random() < 0.5])
        there: dict[str, bytes] = {}
        folders = {""}
        for path, number in sorted(names.items()):  # parents before what is in them
            if _folder(path) not in folders:
                continue  # the folder's own name was lost
            if number == FOLDER:
                folders.add(path)
            else:
                there[path] = self._bytes(number, keep, rng)
        return Image(there, tuple(sorted(folders - {""})))

    def _bytes(self, number: int, keep: Keep, rng: random.Random) -> bytes:
        file = self._file(number)
        if keep == "synced":
            return file.durable
        pending = file.pending if keep == "all" else [kept for one in file.pending for kept in _torn(one, rng)]
        return _applied(file.durable, pending)

    def _file(self, number: int) -> _File:
        return self._files.setdefault(number, _File())


@frozen(kw_only=True)
class Crash:
    """One crash: before operation ``at``, what the disk kept, what lies there, what had been acknowledged."""

    at: int
    keep: Keep
    image: Image
    acknowledged: tuple[object, ...] = field(repr=False)


def crashes(
    operations: Sequence[Operation], seed: int, *, some: int = 2, every: int = 1, start: int = 0
) -> Iterator[Crash]:
    """Every crash of a recorded program, in order.

    Args:
        operations: as they were carried out.
        seed: of what is kept of unsynced changes.
        some: how many random disks at each place, besides the two extremes.
        every: only each such place, for a quick look.
        start: the first place.
    """
    disk, rng = Disk(), random.Random(seed)
    keeps: list[Keep] = ["synced", "all"]
    keeps += ["some"] * some
    for at, operation in enumerate([*operations, None]):
        if at >= start and (at % every == 0 or operation is None):
            said = tuple(disk.acknowledged)
            for keep in keeps:
                yield Crash(at=at, keep=keep, image=disk.crash(keep, rng), acknowledged=said)
        if operation is not None:
            disk.do(operation)


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _rename(names: dict[str, int], changes: Iterable[Names]) -> None:
    for change in changes:
        for path, number in change.changes:
            if number is None:
                names.pop(path, None)
            else:
                names[path] = number


def _applied(data: bytes, changes: Iterable[Write | Resize]) -> bytes:
    out = bytearray(data)
    for change in changes:
        if isinstance(change, Write):
            out.extend(bytes(max(0, change.offset - len(out))))
            out[change.offset : change.offset + len(change.data)] = change.data
        else:
            del out[change.size :]
            out.extend(bytes(change.size - len(out)))
    return bytes(out)


def _torn(change: Write | Resize, rng: random.Random) -> Iterable[Write | Resize]:
    """A change as it may reach the disk: whole, not at all, or some sectors of it."""
    chance = rng.random()
    if chance < 0.4:
        return (change,)
    if chance < 0.7 or isinstance(change, Resize):
        return ()
    start, end = change.offset, change.offset + len(change.data)
    cuts = [start, *range(start // SECTOR * SECTOR + SECTOR, end, SECTOR), end]
    return [Write(change.file, a, change.data[a - start : b - start]) for a, b in pairwise(cuts) if rng.random() < 0.5]
