"""Comparing a log with what outside memories and hand-kept checkpoints say (imports receipts, cosignature).

Offline, the receipts in the log are checked: signatures, tokens, and that each head is one of this log. A thief of
the keys can leave receipts out, but not make them; so offline a reader learns "this much was kept", and online (or
with a checkpoint kept by hand) also "and nothing newer or different".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import LedgerCorrupt, LedgerError, QimgError
from qimg_core.ledger.base import Problem
from qimg_core.ledger.cosignature import head_of, verify_lines
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.receipts import KEPT, receipt_of, root_at, worth_keeping

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.memories import Memories
    from qimg_core.ledger.outside import OutsideMemory, Receipt


@frozen(kw_only=True)
class Remembered:
    """What the comparison found.

    Args:
        problems: what contradicts the log, or evidence that does not hold.
        notes: what a reader should know and is no failure.
        unsure: what could not be asked.
        memories: for each memory a document: name, kind, receipts, size, said.
    """

    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    memories: tuple[dict[str, Any], ...] = field(default=(), repr=False)


def compare(ledger: Ledger, head: Checkpoint, who: str) -> Problem | None:
    """Does the log contain a head that somebody else holds? Otherwise: rollback or fork, in words."""
    size = len(ledger)
    if head.origin != ledger.origin:
        return Problem(who, f"is of the log {head.origin}, this one is {ledger.origin}")
    if head.size > size:
        return Problem(who, f"rollback: it holds a head over {head.size:,} entries, and this log has {size:,}")
    try:
        same = root_at(ledger, head.size) == head.root
    except QimgError as error:
        return Problem(who, f"cannot be compared: {error.message}")
    if not same:
        return Problem(who, f"fork: the first {head.size:,} entries here are not those under the head that it holds")
    return None


def signed_head(ledger: Ledger, note: bytes) -> tuple[Checkpoint, bool]:
    """What a note says, and whether a key of this log signed it that is in force, unrevoked, at that size.

    Raises:
        LedgerCorrupt: not a checkpoint, or such a key's signature is wrong.
    """
    text, lines = split_note(note)
    head = head_of(text)
    in_force = [
        key
        for period in ledger.history.at(head.size)
        if period.revoked is None or head.size < period.revoked
        for key in period.keys
    ]
    return head, bool(verify_lines(text, lines, in_force, timed=False))


def check_checkpoint(ledger: Ledger, note: bytes, who: str) -> Remembered:
    """Compare a log with a signed checkpoint that somebody kept: the output of ``qimg ledger checkpoint``."""
    try:
        head, signed = signed_head(ledger, note)
    except LedgerCorrupt as error:
        return Remembered(problems=(Problem(who, error.message),))
    found = compare(ledger, head, who)
    if found is not None:
        return Remembered(problems=(_by_whom(found, signed),))
    if not signed:
        what = "is not signed by the keys beside this ledger: they are not those of the day when it was kept"
        return Remembered(problems=(Problem(who, what),))
    return Remembered(notes=(f"{who}: this log continues the kept head over {head.size:,} entries",))


def _by_whom(found: Problem, ours: bool) -> Problem:
    by = "signed by this log's own key" if ours else "not signed by the keys beside this ledger"
    return Problem(found.where, f"{found.what} ({by})")


def check_receipts(ledger: Ledger, memories: Memories | None) -> Remembered:
    """Every receipt in the log, offline.

    The newest receipt of a memory that holds is what counts: its head covers all before it. Older ones that
    do not hold by today's settings (a witness that was replaced) are notes then; a receipt for a head that is
    not of this log is always a problem.
    """
    heads = [(Checkpoint.parse(split_note(note)[0]), note) for note in ledger.checkpoints()]
    by_size = {head.size: (head, note) for head, note in heads}
    known: dict[str, OutsideMemory] = {} if memories is None else {memory.name: memory for memory in memories.all}
    problems: list[Problem] = []
    doubts: dict[str, list[Problem]] = {}
    newest: dict[str, tuple[int, Receipt]] = {}
    counts: dict[str, int] = {}
    for entry in ledger.entries(kind=KEPT):
        where = f"entry {entry.index}"
        name = str(entry.facts.get("memory"))
        counts[name] = counts.get(name, 0) + 1
        try:
            receipt = receipt_of(ledger, entry)
        except LedgerError as error:
            problems.append(Problem(where, error.message))
            continue
        head, note = by_size.get(receipt.size, (None, b""))
        if head is None or head.root != receipt.root:
            problems.append(
                Problem(where, f"a receipt of {name} for a head over {receipt.size:,} entries of another log")
            )
        elif name in known:
            wrong = _checked(known[name], receipt, note, where)
            if wrong:
                doubts.setdefault(name, []).extend(wrong)
            else:
                doubts.pop(name, None)
                newest[name] = (entry.index, receipt)
    problems += [problem for wrong in doubts.values() for problem in wrong]
    notes = [
        f"{count:,} receipts of {name!r} were not checked: no such memory is configured here"
        for name, count in counts.items()
        if name not in known
    ]
    notes += _behind(ledger, memories, newest)
    listed = [_document(memory, counts.get(name, 0), newest.get(name)) for name, memory in known.items()]
    return Remembered(problems=tuple(problems), notes=tuple(notes), memories=tuple(listed))


def _checked(memory: OutsideMemory, receipt: Receipt, note: bytes, where: str) -> list[Problem]:
    try:
        return [Problem(f"{where}, {memory.name}", str(problem)) for problem in memory.check(receipt, note)]
    except QimgError as error:
        return [Problem(f"{where}, {memory.name}", error.message)]


def _document(memory: OutsideMemory, count: int, newest: tuple[int, Receipt] | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"name": memory.name, "kind": memory.kind, "receipts": count, "size": None, "said": None}
    if newest is not None:
        shown.update(size=newest[1].size, said=memory.describe(newest[1]), entry=newest[0])
    return shown


def _behind(ledger: Ledger, memories: Memories | None, newest: dict[str, tuple[int, Receipt]]) -> list[str]:
    """What no memory has kept yet, and governed runs in a ledger that is governed no more."""
    notes = []
    wanted = worth_keeping(ledger)
    for memory in () if memories is None else memories.all:
        size = newest[memory.name][1].size if memory.name in newest else 0
        if size < wanted:
            notes.append(
                f"{memory.name} has kept {size:,} of {wanted:,} entries: qimg ledger anchor hands over the rest"
            )
    last = None
    for entry in ledger.entries(kind="run.started"):
        last = entry
    mode = (last.facts.get("outside") or {}).get("mode") if last is not None else None
    if mode == "governed" and (memories is None or not memories.governed):
        notes.append("the last run was governed, and this ledger's settings are not: were they changed?")
    return notes


def ask_memories(ledger: Ledger, memories: Sequence[OutsideMemory]) -> Remembered:
    """Ask every memory which head it holds now, and compare. Online."""
    problems: list[Problem] = []
    notes: list[str] = []
    unsure: list[str] = []
    for memory in memories:
        newest, held, doubt = _asked(memory, ledger.origin)
        contradictions = list(_contradictions(ledger, memory, newest, held))
        problems += contradictions
        if doubt:
            unsure.append(f"{memory.name} could not be asked: {doubt}")
        elif newest is None and not held:
            notes.append(f"{memory.name} holds no head that it could be asked for")
        elif newest is not None and not contradictions:
            notes.append(f"{memory.name} holds a head over {newest.size:,} entries, and this log continues it")
    return Remembered(problems=tuple(problems), notes=tuple(notes), unsure=tuple(unsure))


def _asked(memory: OutsideMemory, origin: str) -> tuple[Checkpoint | None, tuple[bytes, ...], str]:
    """The newest head, the notes held, and why they are not all: those of some who answer count even so."""
    held: tuple[bytes, ...] = ()
    try:
        held = memory.held(origin)
        return memory.newest(origin), held, ""
    except QimgError as error:
        return None, held, error.message


def _contradictions(
    ledger: Ledger, memory: OutsideMemory, newest: Checkpoint | None, held: Iterable[bytes]
) -> Iterable[Problem]:
    seen = set()
    for note in held:
        try:
            head, signed = signed_head(ledger, note)
        except LedgerCorrupt as error:
            yield Problem(memory.name, f"holds a note that cannot be read: {error.message}")
            continue
        seen.add(head)
        others = sorted({line.name for line in split_note(note)[1]} - {head.origin})
        found = compare(ledger, head, f"{memory.name} ({', '.join(others)})" if others else memory.name)
        if found is not None:
            yield _by_whom(found, signed)
    if newest is not None and newest not in seen:
        found = compare(ledger, newest, memory.name)
        if found is not None:
            yield found
