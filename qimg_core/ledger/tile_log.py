"""A published log, read and verified from its files (imports errors, base, entry, note, tile_source, tiles, verify).

Every tile is checked on the way down from the signed root: the partial tiles of the right edge give the root,
and each full tile gives the hash that the tile above it holds. So a wrong tile is named, and an entry that
differs from a right tile is named too. One tile a level and one bundle are in memory at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger.base import Problem, Verification
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.merkle import EMPTY_ROOT, Frontier, fold, leaf_hash
from qimg_core.ledger.tile_source import open_source
from qimg_core.ledger.tiles import (
    HEIGHT,
    WIDTH,
    Rows,
    Tile,
    edge_root,
    edge_tiles,
    hashes_of,
    level_tiles,
    unpack,
)
from qimg_core.ledger.verify import MOST_PROBLEMS, Findings
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.ledger.tile_source import TileSource

CHECKPOINT = "checkpoint"
KEYS = "log.vkeys"


class TileLog:
    """A published log, as of one signed head.

    Args:
        source: where its files lie.
        history: the keys to trust; None for those published beside the log, which only show that it agrees
            with itself.

    Raises:
        ConfigurationError: no published log there.
        LedgerCorrupt: its checkpoint is malformed, or not signed by these keys.
        StorageError: it cannot be read.
    """

    def __init__(self, source: TileSource, history: KeyHistory | None = None) -> None:
        note = source.read(CHECKPOINT)
        if note is None:
            raise ConfigurationError(f"no published log at {source.where}: it has no checkpoint")
        self.source = source
        self.own_keys = history is None
        self.history = history if history is not None else self._published_keys()
        self.opened = self.history.open_head(note)
        self.head = self.opened.checkpoint
        if self.opened.problem:
            raise LedgerCorrupt(f"the checkpoint is {self.opened.problem}")
        if self.head.origin != self.history.origin:
            raise LedgerCorrupt(f"the checkpoint is of the log {self.head.origin}, the keys of {self.history.origin}")
        self._cache: dict[int, tuple[int, list[bytes]]] = {}
        self._right: dict[int, list[bytes]] | None = None

    def _published_keys(self) -> KeyHistory:
        data = self.source.read(KEYS)
        if data is None:
            raise ConfigurationError(f"{self.source.where} publishes no keys", hint="give them with --vkeys FILE")
        return _history(data)

    @property
    def origin(self) -> str:
        """The log's name."""
        return self.head.origin

    def __len__(self) -> int:
        """Number of entries under the signed head."""
        return self.head.size

    def hashes(self, tile: Tile) -> list[bytes]:
        """The hashes of a tile, checked up to the signed root.

        Raises:
            LedgerCorrupt: missing or wrong; ``facts["tile"]`` is its path.
        """
        if tile.width < WIDTH:
            return self._edge()[tile.level]
        held = self._cache.get(tile.level)
        if held is None or held[0] != tile.index:
            above = self._above(tile)
            hashes = self._raw(tile)
            if fold(hashes) != above:
                raise LedgerCorrupt(f"{tile.path} is not the tile that was signed", tile=tile.path)
            self._cache[tile.level] = held = (tile.index, hashes)
        return held[1]

    def root(self, size: int) -> bytes:
        """The root of the first ``size`` entries, from tiles that were checked up to the signed root.

        Raises:
            ConfigurationError: the published log is smaller.
            LedgerCorrupt: a tile is missing or wrong.
        """
        if not 0 <= size <= len(self):
            raise ConfigurationError(f"the published log has {len(self):,} entries, not {size:,}")
        frontier = Frontier()
        for tile in level_tiles(0, len(self)):
            if tile.index * WIDTH >= size:
                break
            for leaf in self.hashes(tile)[: size - tile.index * WIDTH]:
                frontier.append(leaf)
        return frontier.root()

    def bodies(self, tile: Tile) -> list[bytes] | None:
        """The entries of a tile of level 0, as they are, unchecked. None where they are not published.

        Raises:
            LedgerCorrupt: the bundle is malformed.
        """
        data, width = self.source.read(tile.bundle), tile.width
        if data is None and width < WIDTH:
            data, width = self.source.read(tile.full.bundle), WIDTH  # the log has grown, and tidied up
        return None if data is None else unpack(data, width)[: tile.width]

    def verify(self, *, strict: bool = False) -> Verification:
        """Every entry and every tile, against the signed head.

        Args:
            strict: read each body as an entry too; else its bytes are compared by hash only, and what form
                the log's owner gave them is not looked at.
        """
        found, walk = Findings(), _Walk(self, strict=strict)
        for tile in level_tiles(0, len(self)):
            walk.step(tile, found)
        walk.end(found)
        notes = []
        if self.opened.revoked:
            notes.append("only keys revoked before this size signed the checkpoint: it shows nothing by itself")
        if walk.unpublished and not walk.entries:
            notes.append(f"hashes only: the bodies of {walk.unpublished:,} entries are not published here")
        if self.own_keys:
            notes.append("the keys are those published beside the log; give --vkeys FILE to know whose log this is")
        return Verification(
            verdict=Verdict.FAIL if found.count else Verdict.PASS,
            entries=walk.entries,
            checkpoints=1,
            signatures=len(self.opened.verified),
            first_bad=found.first_bad,
            problems=found.close(),
            notes=tuple(notes),
        )

    def _raw(self, tile: Tile) -> list[bytes]:
        data, width = self.source.read(tile.path), tile.width
        if data is None and width < WIDTH:
            data, width = self.source.read(tile.full.path), WIDTH
        if data is None:
            raise LedgerCorrupt(f"{tile.path} is missing", tile=tile.path)
        try:
            return hashes_of(data, width)[: tile.width]
        except LedgerCorrupt as error:
            raise LedgerCorrupt(f"{tile.path}: {error.message}", tile=tile.path) from error

    def _edge(self) -> dict[int, list[bytes]]:
        """The partial tiles at the right edge by level, once they are known to lead to the signed root."""
        if self._right is None:
            tiles = edge_tiles(len(self))
            rows = [self._raw(tile) for tile in tiles]
            if edge_root(rows) != self.head.root:
                names = ", ".join(tile.path for tile in tiles) or "nothing"
                raise LedgerCorrupt(f"the right edge ({names}) does not lead to the signed root", tile=names)
            self._right = {tile.level: row for tile, row in zip(tiles, rows, strict=True)}
        return self._right

    def _above(self, tile: Tile) -> bytes:
        """The hash of a full tile, from the tile above it."""
        count = len(self) >> HEIGHT * (tile.level + 1)
        index = tile.index // WIDTH
        width = WIDTH if index < count // WIDTH else count % WIDTH
        return self.hashes(Tile(tile.level + 1, index, width))[tile.index % WIDTH]


class _Walk:
    """Once through a published log, left to right.

    From the signed root down to name what is wrong, and from the entries up to know whether they are what
    was signed even where a tile is damaged.
    """

    def __init__(self, log: TileLog, *, strict: bool) -> None:
        self.log, self.strict = log, strict
        self.entries = self.unpublished = 0
        self._rows = Rows()
        self._bad: set[str] = set()
        self._doubtful: int | None = None  # first entry under a tile that is not as signed
        self._absent: list[Tile] = []

    def step(self, tile: Tile, found: Findings) -> None:
        """The next tile of level 0, and its entries."""
        start = tile.index * WIDTH
        signed = self._signed(tile, found)
        try:
            bodies = self.log.bodies(tile)
        except LedgerCorrupt as error:
            found.add(tile.bundle, error.message, start)
            bodies = []
        if bodies:
            self.entries += len(bodies)
            leaves = [leaf_hash(body) for body in bodies]
            if signed is not None and leaves != signed:
                for index, (leaf, wanted) in enumerate(zip(leaves, signed, strict=True), start):
                    if leaf != wanted:
                        found.add(f"entry {index}", "its bytes are not those that were signed", index)
            if self.strict:
                _check_form(bodies, start, found)
        elif bodies is None:
            self.unpublished += tile.width
            self._absent = [*self._absent, tile][:MOST_PROBLEMS]
            leaves = signed or [EMPTY_ROOT] * tile.width
        else:
            leaves = signed or [EMPTY_ROOT] * tile.width
        if signed is None and self._doubtful is None:
            self._doubtful = start
        self._rows.put(tile, leaves)

    def end(self, found: Findings) -> None:
        """What only the whole shows."""
        size = len(self.log)
        if self.entries:
            for tile in self._absent:
                found.add(tile.bundle, "missing, and others are published", tile.index * WIDTH)
        if edge_root(hashes for _, hashes in self._rows.edge(size)) == self.log.head.root:
            return  # the entries are those that were signed, whatever tiles are damaged
        if found.first_bad is None:
            first = self._doubtful or 0
            found.add("log", f"its entries from {first} on are not shown to be those that were signed", first)

    def _signed(self, tile: Tile, found: Findings) -> list[bytes] | None:
        try:
            return self.log.hashes(tile)
        except LedgerCorrupt as error:
            name = str(error.facts["tile"])
            if name not in self._bad:
                self._bad.add(name)
                found.add(name, error.message)
            return None


def _check_form(bodies: list[bytes], start: int, found: Findings) -> None:
    for index, body in enumerate(bodies, start):
        try:
            entry = Entry.parse(body)
        except LedgerCorrupt as error:
            found.add(f"entry {index}", error.message, index)
        else:
            if entry.index != index:
                found.add(f"entry {index}", f"its body says it is entry {entry.index}", index)


def verify_published(where: str | Path, *, vkeys: bytes | None = None, strict: bool = False) -> Verification:
    """Verify a published log; a checkpoint that does not hold is a failed check, not an exception.

    Args:
        where: folder or http(s) address.
        vkeys: content of a trusted key file; else the keys published beside the log are used, and a note says so.
        strict: see `TileLog.verify`.

    Raises:
        ConfigurationError: no published log there.
        StorageError: it cannot be read.
    """
    with open_source(where) as source:
        try:
            return TileLog(source, None if vkeys is None else _history(vkeys)).verify(strict=strict)
        except LedgerCorrupt as error:
            return Verification(verdict=Verdict.FAIL, problems=(Problem(CHECKPOINT, error.message),))


def _history(data: bytes) -> KeyHistory:
    try:
        return KeyHistory.parse(data.decode())
    except UnicodeDecodeError as error:
        raise LedgerCorrupt(f"no key file: {error}") from error
