"""Tiles of a log, as C2SP tlog-tiles has them: coordinates, paths, bytes (imports errors and merkle).

A tile holds up to 256 hashes of one level: at level 0 leaf hashes, at level l + 1 the roots of full tiles of
level l. It lies at ``tile/<level>/<index>``, a partial one at ``tile/<level>/<index>.p/<width>``, where an index
is written as zero-padded groups of three digits, all but the last after an ``x``: ``x001/x234/067``. The entries
of a tile of level 0 lie at ``tile/entries/<index>``, each after its length as a big-endian 16-bit integer.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.merkle import EMPTY_ROOT, HASH_SIZE, fold, node_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

HEIGHT = 8
WIDTH = 1 << HEIGHT
ENTRIES = "entries"
_LENGTH = struct.Struct(">H")


@frozen
class Tile:
    """Which tile: level from 0 (leaves), index in its level, width 1 to 256 (256: full)."""

    level: int
    index: int
    width: int = WIDTH

    @property
    def path(self) -> str:
        """Where its hashes lie, relative to the log's address."""
        return _path(str(self.level), self.index, self.width)

    @property
    def bundle(self) -> str:
        """Where the entries of a tile of level 0 lie."""
        return _path(ENTRIES, self.index, self.width)

    @property
    def full(self) -> Tile:
        """The full tile at the same place."""
        return Tile(self.level, self.index)


def _path(kind: str, index: int, width: int) -> str:
    if not 1 <= width <= WIDTH or index < 0:
        raise ConfigurationError(f"no tile {index} of width {width}: widths go from 1 to {WIDTH}")
    parts = [f"{index % 1000:03d}"]
    while index := index // 1000:
        parts.append(f"x{index % 1000:03d}")
    return f"tile/{kind}/{'/'.join(reversed(parts))}" + ("" if width == WIDTH else f".p/{width}")


def height(size: int) -> int:
    """How many levels of tiles a log of a size has."""
    levels = 0
    while size >> (HEIGHT * levels):
        levels += 1
    return levels


def level_tiles(level: int, size: int, *, since: int = 0) -> Iterator[Tile]:
    """The tiles of a level in a log of ``size`` that the log of size ``since`` did not have, left to right."""
    shift = HEIGHT * level
    before, count = since >> shift, size >> shift
    if before == count:
        return
    for index in range(before // WIDTH, count // WIDTH):
        yield Tile(level, index)
    if count % WIDTH:
        yield Tile(level, count // WIDTH, count % WIDTH)


def all_tiles(size: int, *, since: int = 0) -> Iterator[Tile]:
    """Every tile of a log of ``size`` that the log of size ``since`` did not have, level by level."""
    for level in range(height(size)):
        yield from level_tiles(level, size, since=since)


def edge_tiles(size: int) -> tuple[Tile, ...]:
    """The partial tiles at the right edge of a log of a size, lowest level first: together they give its root."""
    counts = enumerate(size >> HEIGHT * level for level in range(height(size)))
    return tuple(Tile(level, count // WIDTH, count % WIDTH) for level, count in counts if count % WIDTH)


def hashes_of(data: bytes, width: int) -> list[bytes]:
    """The hashes in a tile's bytes, 32 bytes each.

    Raises:
        LedgerCorrupt: not ``width`` hashes.
    """
    if len(data) != width * HASH_SIZE:
        raise LedgerCorrupt(f"a tile of width {width} has {width * HASH_SIZE} bytes, this one {len(data)}")
    return [data[at : at + HASH_SIZE] for at in range(0, len(data), HASH_SIZE)]


def edge_root(edge: Iterable[Sequence[bytes]]) -> bytes:
    """The root of a log from the hashes of its `edge_tiles`, in their order."""
    root: bytes | None = None
    for hashes in edge:
        for left in _peaks(hashes):
            root = left if root is None else node_hash(left, root)
    return EMPTY_ROOT if root is None else root


def _peaks(hashes: Sequence[bytes]) -> Iterator[bytes]:
    """Roots of the complete subtrees over a row, right to left."""
    stop = len(hashes)
    while stop:
        width = stop & -stop
        yield fold(hashes[stop - width : stop])
        stop -= width


def pack(bodies: Iterable[bytes]) -> bytes:
    """The bytes of an entry bundle.

    Raises:
        ConfigurationError: an entry is longer than 65,535 bytes.
    """
    parts = []
    for body in bodies:
        if len(body) > 0xFFFF:
            raise ConfigurationError(f"an entry of {len(body):,} bytes does not fit into a bundle, at most 65,535 do")
        parts += [_LENGTH.pack(len(body)), body]
    return b"".join(parts)


def unpack(data: bytes, width: int) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        LedgerCorrupt: not ``width`` entries, or bytes are left over.
    """
    bodies, at = [], 0
    for _ in range(width):
        start = at + _LENGTH.size
        if start > len(data):
            break
        at = start + _LENGTH.unpack_from(data, at)[0]
        bodies.append(data[start:at])
    if at != len(data) or len(bodies) != width:
        raise LedgerCorrupt(f"not a bundle of {width} entries")
    return bodies


class Rows:
    """The tiles of a log while it is walked from left to right: of each level the hashes not yet in a full tile.

    Args:
        size: how many entries are walked already; the right edge of that log is given.
        edge: the hashes of each of its `edge_tiles`.
    """

    def __init__(self, size: int = 0, edge: Iterable[Sequence[bytes]] = ()) -> None:
        self._rows: list[list[bytes]] = [[]]
        for tile, hashes in zip(edge_tiles(size), edge, strict=True):
            while len(self._rows) <= tile.level:
                self._rows.append([])
            self._rows[tile.level] = list(hashes)

    def leaves(self) -> list[bytes]:
        """The leaf hashes not yet in a full tile."""
        return self._rows[0]

    def put(self, tile: Tile, leaves: Sequence[bytes]) -> list[tuple[Tile, list[bytes]]]:
        """Set the next tile of level 0, from its beginning. Gives the full tiles of upper levels that it completes."""
        rows, done = self._rows, []
        rows[0] = list(leaves)
        level, index = 0, tile.index
        while len(rows[level]) == WIDTH:  # a full tile is one hash of the level above
            if level:
                done.append((Tile(level, index), rows[level]))
            if level + 1 == len(rows):
                rows.append([])
            rows[level + 1].append(fold(rows[level]))
            rows[level] = []
            level, index = level + 1, index // WIDTH
        return done

    def edge(self, size: int) -> list[tuple[Tile, list[bytes]]]:
        """The partial tiles at the right edge, when ``size`` entries are walked."""
        return [(tile, self._rows[tile.level]) for tile in edge_tiles(size)]
