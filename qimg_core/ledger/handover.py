"""Handing the head of a log to its outside memories (imports errors, receipts).

A receipt is an entry, so keeping a head makes the log longer than the head that was kept. If every new entry asked
for a new handover there would be no end. Two rules end it:

- the receipts of a head are covered by the next head that is handed over, whenever other work makes one; and
- entries that only say how heads were kept (`ABOUT_KEEPING`) never make a head worth handing over.

So a handover signs two heads: one that goes outside, and one behind the receipts that stays here and puts them
under the log's own signature. Losing the receipts loses no record: each memory can be asked again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import LedgerCorrupt, OutsideMemoryError, QimgError
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.receipts import KEPT, UNKEPT, kept_facts, last_kept, unkept_facts, worth_keeping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.outside import OutsideMemory, Receipt

log = logging.getLogger("qimg")

Append = Callable[[str, "Mapping[str, Any]"], object]
"""Writes one entry of a kind, with facts, that belongs to no run."""


@frozen(kw_only=True)
class Handover:
    """What became of a head.

    Args:
        head: the head that was handed over; None where every memory had all that matters.
        kept: receipts, in the order of the memories.
        failed: name of each memory that did not keep it, and why.
        rest: names of memories that had nothing to do.
    """

    head: Checkpoint | None
    kept: tuple[Receipt, ...] = ()
    failed: tuple[tuple[str, QimgError], ...] = ()
    rest: tuple[str, ...] = ()

    @property
    def contradicted(self) -> bool:
        """Whether a memory proved that this log was rolled back or forked."""
        return any(isinstance(error, LedgerCorrupt) for _, error in self.failed)

    def error(self) -> QimgError | None:
        """The failures as one error, a contradiction first; None where there is none."""
        if not self.failed or self.head is None:
            return None
        said = "; ".join(f"{name}: {error.message}" for name, error in self.failed)
        if self.contradicted:
            return LedgerCorrupt(f"an outside memory contradicts this log: {said}")
        return OutsideMemoryError(
            f"the head over {self.head.size:,} entries was not kept by {len(self.failed)} of "
            f"{len(self.kept) + len(self.failed) + len(self.rest)} memories: {said}",
            hint="the record itself is whole; hand it over later with: qimg ledger anchor --ledger LEDGER",
        )


def hand_over(ledger: Ledger, memories: Sequence[OutsideMemory], append: Append) -> Handover:
    """Sign the head and let every memory keep it that lacks something of the log.

    Each answer is written down, a failure too; one memory's failure does not stop the others.

    Args:
        ledger: open for writing.
        memories: of its settings.
        append: writes the receipts.

    Raises:
        LedgerError, StorageError: the log itself cannot be written.
    """
    wanted = worth_keeping(ledger)
    last = last_kept(ledger, [memory.name for memory in memories])
    note = ledger.checkpoint()
    behind = [m for m in memories if m.name not in last or last[m.name].facts["size"] < wanted]
    rest = tuple(memory.name for memory in memories if memory not in behind)
    if not behind:
        return Handover(head=None, rest=rest)
    head = Checkpoint.parse(split_note(note)[0])
    kept: list[Receipt] = []
    failed: list[tuple[str, QimgError]] = []
    for memory in behind:
        try:
            receipt = _kept(ledger, memory, note, head)
        except QimgError as error:
            append(UNKEPT, unkept_facts(memory, head, error))
            failed.append((memory.name, error))
        else:
            append(KEPT, kept_facts(ledger, receipt))
            kept.append(receipt)
    ledger.checkpoint()
    return Handover(head=head, kept=tuple(kept), failed=tuple(failed), rest=rest)


def _kept(ledger: Ledger, memory: OutsideMemory, note: bytes, head: Checkpoint) -> Receipt:
    """Ask one memory, and check its answer at once as a later reader will."""
    try:
        receipt = memory.keep(ledger, note)
        problems = memory.check(receipt, note)
    except QimgError:
        raise
    except Exception as error:  # a plugin's bug must not cost the record; its text may hold anything
        log.exception("the memory %s failed", memory.name)
        raise OutsideMemoryError(f"it failed with {type(error).__name__}") from error
    if (receipt.memory, receipt.kind) != (memory.name, memory.kind):
        raise OutsideMemoryError(f"its receipt bears the name {receipt.memory!r} and the kind {receipt.kind!r}")
    if (receipt.size, receipt.root) != (head.size, head.root):
        raise OutsideMemoryError(f"its receipt is for another head, of {receipt.size:,} entries")
    if problems:
        raise OutsideMemoryError("its receipt does not hold: " + "; ".join(str(problem) for problem in problems))
    return receipt
