"""Receipts of outside memories as entries of the log, and back (imports errors, base, entry, outside)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger.merkle import EMPTY_ROOT, HASH_SIZE
from qimg_core.ledger.outside import Receipt

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from qimg_core.errors import QimgError
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.ledger.note import Checkpoint
    from qimg_core.ledger.outside import OutsideMemory

KEPT = "checkpoint.kept"
UNKEPT = "checkpoint.unkept"
ABOUT_KEEPING = frozenset({KEPT, UNKEPT})
"""Kinds of entries that only say how a head was kept; they never make a new head worth handing over."""

SCHEMA = "qimg.kept/1"


def kept_facts(ledger: Ledger, receipt: Receipt) -> dict[str, Any]:
    """Facts of ``checkpoint.kept``; the evidence is stored on the way."""
    return {
        "schema": SCHEMA,
        "memory": receipt.memory,
        "kind": receipt.kind,
        "size": receipt.size,
        "root": receipt.root.hex(),
        "facts": dict(receipt.facts),
        "artefacts": {"evidence": ledger.put(receipt.evidence)},
    }


def unkept_facts(memory: OutsideMemory, head: Checkpoint, error: QimgError) -> dict[str, Any]:
    """Facts of ``checkpoint.unkept``: which memory did not keep which head, and why."""
    return {
        "schema": SCHEMA,
        "memory": memory.name,
        "kind": memory.kind,
        "size": head.size,
        "root": head.root.hex(),
        "error": type(error).__name__,
        "reason": error.message[:2000],
    }


def receipt_of(ledger: Ledger, entry: Entry) -> Receipt:
    """Read ``checkpoint.kept`` back.

    Raises:
        LedgerCorrupt: malformed, or the evidence is damaged.
        LedgerError: the evidence is missing.
    """
    facts = entry.facts
    try:
        receipt = Receipt(
            memory=str(facts["memory"]),
            kind=facts["kind"],
            size=int(facts["size"]),
            root=bytes.fromhex(facts["root"]),
            evidence=ledger.get(entry.artefacts["evidence"]),
            facts=dict(facts["facts"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise LedgerCorrupt(f"entry {entry.index} is no receipt: {error!r}") from error
    if len(receipt.root) != HASH_SIZE:
        raise LedgerCorrupt(f"entry {entry.index} is no receipt: a root of {len(receipt.root)} bytes")
    return receipt


def last_kept(ledger: Ledger, names: Collection[str]) -> dict[str, Entry]:
    """The last ``checkpoint.kept`` of each memory that has one.

    Reads backwards in growing steps, as the last ones stand near the end of a long log.
    """
    found: dict[str, Entry] = {}
    stop, step = len(ledger), 256
    while stop > 0 and set(names) - set(found):
        start = max(stop - step, 0)
        window: dict[str, Entry] = {}
        for entry in _until(ledger, start, stop):
            window[str(entry.facts.get("memory"))] = entry
        found = {**window, **found}
        stop, step = start, step * 4
    return {name: entry for name, entry in found.items() if name in names}


def _until(ledger: Ledger, start: int, stop: int) -> Iterator[Entry]:
    for entry in ledger.entries(kind=KEPT, start=start):
        if entry.index >= stop:
            return
        yield entry


def worth_keeping(ledger: Ledger) -> int:
    """How large a kept head must be to cover every entry that says more than how heads were kept."""
    size = len(ledger)
    while size and ledger.entry(size - 1).kind in ABOUT_KEEPING:
        size -= 1
    return size


def root_at(ledger: Ledger, size: int) -> bytes:
    """The root over the first ``size`` entries, computed from the leaves.

    Raises:
        ConfigurationError: the log has fewer.
    """
    return EMPTY_ROOT if size == 0 else ledger.inclusion(size - 1, size).root
