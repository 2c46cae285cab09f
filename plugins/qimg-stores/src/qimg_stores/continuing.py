"""What a log has that an archive lacks, and whether the log continues the archive (imports the core's ledger, kept)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.merkle import verify_consistency
from qimg_core.ledger.tiles import WIDTH, level_tiles, pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.ledger.note import Checkpoint
    from qimg_stores.kept import Kept


def agree(ledger: Ledger, kept: Kept, head: Checkpoint) -> None:
    """Refuse a log that does not continue what the archive holds.

    Raises:
        LedgerCorrupt
    """
    have = len(ledger)
    if kept.size > have:
        raise LedgerCorrupt(
            f"rollback: the archive holds a head over {kept.size:,} entries of {kept.origin}, this log has {have:,}",
            hint="restore the log from the archive: qimg archive restore WHERE FOLDER",
        )
    old, new = (kept, head) if kept.size <= head.size else (head, kept)
    if old.size == 0:
        return
    proof = () if old.size == new.size else ledger.consistency(old.size, new.size)
    if not verify_consistency(old.size, new.size, proof, old.root, new.root):
        raise LedgerCorrupt(
            f"fork: the archive holds a head over {kept.size:,} entries of {kept.origin} that this log contradicts",
            hint="see both: qimg archive audit WHERE --ledger LEDGER",
        )


def bundles(ledger: Ledger, head: Checkpoint, start: int) -> Iterator[tuple[str, bytes, list[str]]]:
    """Entry bundles that the log of size ``start`` did not have: name, bytes, digests that new entries name.

    Raises:
        LedgerCorrupt: an entry is not the one under the signed head.
    """
    for tile in level_tiles(0, head.size, since=start):
        first = tile.index * WIDTH
        entries = _range(ledger, first, first + tile.width)
        for entry in entries:
            proof = ledger.inclusion(entry.index, head.size)
            if proof.root != head.root or proof.leaf != entry.leaf or not proof.holds():
                raise LedgerCorrupt(f"entry {entry.index} is not the one under the signed head over {head.size:,}")
        new = [d for entry in entries if entry.index >= start for d in entry.artefacts.values()]
        yield tile.bundle, pack(entry.body for entry in entries), new


def _range(ledger: Ledger, first: int, stop: int) -> list[Entry]:
    found = []
    for entry in ledger.entries(start=first):
        if entry.index >= stop:
            break
        found.append(entry)
    if len(found) != stop - first:
        raise LedgerCorrupt(f"entry {first + len(found)} is missing")
    return found
