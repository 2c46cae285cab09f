"""Reading a log back from an archive, trusting nothing in it but its keys (imports kept, pinning, shelf).

`collect` reads every document of every keep and all that they pin; it is what audit and restore share.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import LedgerCorrupt, OutsideMemoryError
from qimg_core.ledger.base import Problem
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.merkle import Frontier
from qimg_core.ledger.tiles import WIDTH, level_tiles, unpack
from qimg_core.storage import sha256_digest
from qimg_stores.kept import LOGS, Kept, Pinned, artefact_name, kept_name, log_prefix, origin_of
from qimg_stores.pinning import read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_stores.shelf import Shelf, Version


@frozen(kw_only=True)
class Collected:
    """What an archive holds of one log.

    Args:
        origin: the log.
        keeps: documents whose signed head holds under the keys, smallest head first, and their notes.
        history: the keys that were used.
        objects: every pinned object, by name.
        bundles: the widest entry bundle at each place, by its index.
        problems: what does not hold.
    """

    origin: str
    keeps: tuple[tuple[Kept, bytes], ...]
    history: KeyHistory
    objects: dict[str, Pinned] = field(repr=False)
    problems: tuple[Problem, ...] = ()

    @property
    def size(self) -> int:
        """Of the largest head."""
        return self.keeps[-1][0].size if self.keeps else 0

    @property
    def root(self) -> bytes:
        """Of the largest head."""
        return self.keeps[-1][0].root if self.keeps else Frontier().root()


def origins(shelf: Shelf) -> tuple[str, ...]:
    """The logs in an archive."""
    found = {origin_of(v.name) for v in shelf.versions(f"{LOGS}/") if not v.marker}
    return tuple(sorted(name for name in found if name is not None))


def collect(shelf: Shelf, origin: str, trusted: KeyHistory | None) -> Collected:
    """Read the documents of a log's keeps and check their signed heads.

    Args:
        shelf: the archive's place.
        origin: the log.
        trusted: the log's keys; None takes those of the newest keep, which shows only that the archive agrees
            with itself.

    Raises:
        OutsideMemoryError: not reachable, or it holds no keep of that log.
    """
    documents: list[tuple[Kept, Pinned]] = []
    problems: list[Problem] = []
    for version in shelf.versions(f"{log_prefix(origin)}kept/"):
        if version.marker:
            continue
        found = _document(shelf, version, origin)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            documents.append(found)
    if not documents and not problems:
        raise OutsideMemoryError(f"{shelf.where} holds nothing of a log {origin}", hint="qimg archive logs WHERE")
    history = trusted
    for kept, pinned in reversed(documents):
        if history is None:
            history = _history(shelf, kept, pinned, problems)
    if history is None:
        raise OutsideMemoryError(f"{shelf.where} holds no readable keys of {origin}: {problems[0]}")
    keeps = []
    objects: dict[str, Pinned] = {}
    for kept, pinned in documents:
        try:
            note = read(shelf, kept.one("checkpoint"))
            check = history.open_head(note)
            if not kept.is_of(check.checkpoint) or check.problem:
                raise LedgerCorrupt(check.problem or "it names another head than it pins")
        except (LedgerCorrupt, OutsideMemoryError) as error:
            problems.append(Problem(pinned.name, f"a keep that the log's keys do not vouch for: {error.message}"))
            continue
        keeps.append((kept, note))
        for item in (*kept.objects, pinned, *([kept.previous] if kept.previous else [])):
            before = objects.setdefault(item.name, item)
            if before.digest != item.digest:
                problems.append(Problem(item.name, "two keeps pin different bytes under this name"))
    return Collected(
        origin=origin,
        keeps=tuple(sorted(keeps, key=lambda k: (k[0].size, k[0].time))),
        history=history,
        objects=objects,
        problems=tuple(problems),
    )


def bodies(shelf: Shelf, found: Collected) -> Iterator[bytes]:
    """Every entry under the largest head, in order, from the widest bundles.

    Raises:
        OutsideMemoryError: a bundle is missing, gone or changed.
        LedgerCorrupt: a bundle cannot be read.
    """
    prefix = log_prefix(found.origin)
    for tile in level_tiles(0, found.size):
        widths = [tile.width, *range(tile.width + 1, WIDTH + 1)]
        names = (prefix + type(tile)(0, tile.index, width).bundle for width in widths)
        name = next((name for name in names if name in found.objects), None)
        if name is None:
            first = tile.index * WIDTH
            raise OutsideMemoryError(f"{shelf.where}: no keep pins the entries {first} to {first + tile.width - 1}")
        yield from unpack(read(shelf, found.objects[name]), tile.width)


def entries(shelf: Shelf, found: Collected) -> Iterator[Entry]:
    """The entries of `bodies`, compared with every kept head on the way.

    Raises:
        OutsideMemoryError, LedgerCorrupt: as `bodies`; or they are not those under a kept head.
    """
    roots = {kept.size: kept.root for kept, _ in found.keeps}
    frontier = Frontier()
    for body in bodies(shelf, found):
        entry = Entry.parse(body)
        if entry.index != frontier.size:
            raise LedgerCorrupt(f"entry {frontier.size} of the archive says that it is entry {entry.index}")
        frontier.append(entry.leaf)
        if roots.get(frontier.size, frontier.root()) != frontier.root():
            raise LedgerCorrupt(f"the first {frontier.size:,} entries are not those under the head that was kept")
        yield entry


def artefact(shelf: Shelf, found: Collected, digest: str) -> bytes:
    """An artefact that an entry names.

    Raises:
        OutsideMemoryError: no keep pins it, or it is gone or changed.
    """
    item = found.objects.get(artefact_name(found.origin, digest))
    if item is None:
        raise OutsideMemoryError(f"{shelf.where}: no keep pins the artefact {digest}")
    return read(shelf, item)


def _document(shelf: Shelf, version: Version, origin: str) -> tuple[Kept, Pinned] | Problem:
    data = shelf.get(version.name, version.version)
    try:
        kept = Kept.parse(data or b"")
    except LedgerCorrupt as error:
        return Problem(version.name, f"version {version.version}: {error.message}")
    if kept.origin != origin or kept_name(kept) != version.name:
        return Problem(version.name, f"version {version.version} is not the document that its name says")
    head = kept.one("checkpoint")  # put by the same keep, right before, and so protected in the same way
    item = Pinned(
        what="kept",
        name=version.name,
        version=version.version,
        digest=sha256_digest(data or b""),
        bytes=version.bytes,
        mode=head.mode,
        until=head.until,
    )
    return kept, item


def _history(shelf: Shelf, kept: Kept, pinned: Pinned, problems: list[Problem]) -> KeyHistory | None:
    try:
        return KeyHistory.parse(read(shelf, kept.one("keys")).decode())
    except (LedgerCorrupt, OutsideMemoryError, UnicodeDecodeError) as error:
        problems.append(Problem(pinned.name, f"its keys cannot be read: {error}"))
        return None
