"""Full verification of a stored log, streaming (imports base, entry, history, named, row_check).

What it shows: nothing of the log was changed since its heads were signed. What it cannot show: that
somebody with the keys did not write another history, or that the end was not cut off together
with every signed head that covered it. For that, compare with a checkpoint kept elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from qimg_core.errors import LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger.base import Problem, Verification
from qimg_core.ledger.history import REVOKED, ROTATED, compare_entries
from qimg_core.ledger.named import NamedArtefacts
from qimg_core.ledger.row_check import RowCheck
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.entry import Entry
    from qimg_core.ledger.history import KeyHistory
    from qimg_core.ledger.note import Checkpoint

MOST_PROBLEMS = 100


@frozen
class Row:
    """An entry as stored: the body, and what the store derived from it."""

    index: int
    run: str | None
    kind: str
    time: str
    body: bytes
    leaf: bytes


@frozen
class Head:
    """A checkpoint as stored: the note, and what the store derived from it."""

    size: int
    root: bytes
    note: bytes


class Source(Protocol):
    """What a store shows to be verified."""

    @property
    def origin(self) -> str:
        """Name of the log."""

    @property
    def history(self) -> KeyHistory:
        """Pinned verifier keys, all that have signed the log."""

    def entries(self, *, kind: str | None = None) -> Iterator[Entry]:
        """Entries of a kind, in order."""

    def heads(self) -> tuple[Head, ...]:
        """Every checkpoint, by size."""

    def rows(self) -> Iterator[Row]:
        """Every entry, by index."""

    def get(self, digest: str) -> bytes:
        """An artefact; raises where missing or different."""

    def artefacts(self) -> Iterator[str]:
        """Digests of all stored artefacts."""

    def oddities(self) -> tuple[tuple[Problem, ...], tuple[str, ...]]:
        """Problems and notes that only this kind of store has."""


class Findings:
    """What a check collects: problems up to a bound, and the first bad entry among all."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.first_bad: int | None = None
        self.count = 0

    def add(self, where: str, what: str, entry: int | None = None) -> None:
        """Note a problem; ``entry`` where it touches one."""
        self.count += 1
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(Problem(where, what))
        if entry is not None and (self.first_bad is None or entry < self.first_bad):
            self.first_bad = entry

    def close(self) -> tuple[Problem, ...]:
        """All problems; where there were too many, the last says how many more."""
        more = self.count - len(self.problems)
        return (*self.problems, Problem("log", f"and {more:,} more problems")) if more else tuple(self.problems)


def verify_log(source: Source, *, strict: bool = False) -> Verification:
    """Recompute a stored log from its bodies up.

    Every body is hashed; index, derived columns, the root at every checkpoint, both signatures of every
    checkpoint, and every artefact are compared.

    Args:
        source: the log.
        strict: read every body strictly too. Without it only those are that no signed head covers, or that are
            not in order: see `qimg_core.ledger.row_check`. Either way each edit, loss, insertion and
            reordering is found, and the first bad entry is the same.
    """
    found = Findings()
    history, heads, signatures = _check_heads(source, found)
    with NamedArtefacts() as named:
        entries = RowCheck(heads, named, found, strict=strict).run(source.rows())
        artefacts, orphans = _check_artefacts(source, named, found)
    problems, notes = source.oddities()
    for problem in problems:
        found.add(problem.where, problem.what)
    covered = max((head.size for head in heads), default=0)
    remarks = [*notes, *_check_keys(source, history, heads, found)]
    if entries > covered:
        remarks.append(f"{entries - covered:,} entries after the last checkpoint, unsigned")
    if orphans:
        remarks.append(f"{orphans:,} artefacts that no entry names")
    return Verification(
        verdict=Verdict.FAIL if found.count else Verdict.PASS,
        entries=entries,
        artefacts=artefacts,
        checkpoints=len(heads),
        signatures=signatures,
        first_bad=found.first_bad,
        problems=found.close(),
        notes=tuple(remarks),
    )


def _check_heads(source: Source, found: Findings) -> tuple[KeyHistory, list[Checkpoint], int]:
    """Signatures and form of every checkpoint; those that hold are compared with the entries later.

    Each is accepted only under the keys that were in force at its size, and each change of keys must stand in
    the log and be signed by both pairs.
    """
    good: list[Checkpoint] = []
    signatures = 0
    while True:  # another process may change the keys meanwhile: keys and heads of one moment
        history, heads = source.history, source.heads()
        if source.history == history:
            break
    for head in heads:
        where = f"checkpoint {head.size}"
        try:
            opened = history.open_head(head.note)
        except LedgerCorrupt as error:
            found.add(where, error.message)
            continue
        checkpoint = opened.checkpoint
        signatures += len(opened.verified)
        if opened.problem:
            found.add(where, opened.problem)
        if checkpoint.origin != source.origin:
            found.add(where, f"signed for the log {checkpoint.origin}, this one is {source.origin}")
        elif (checkpoint.size, checkpoint.root) != (head.size, head.root):
            found.add(where, "the stored size or root differs from the signed note")
        good.append(checkpoint)
    return history, good, signatures


def _check_keys(source: Source, history: KeyHistory, heads: list[Checkpoint], found: Findings) -> list[str]:
    """Every change of keys stands in the log, under a head that both pairs signed. Returns notes."""
    sizes = {head.size for head in heads}
    for period in history.periods[1:]:
        if period.start not in sizes:
            found.add("keys", f"no head of size {period.start} hands over to the keys in force from there on")
    try:
        told = [tuple(source.entries(kind=kind)) for kind in (ROTATED, REVOKED)]
    except LedgerCorrupt:
        return []  # the damaged entry is named where every entry is read
    problems, notes = compare_entries(history, told[0], told[1], max(sizes, default=0))
    for where, what, entry in problems:
        found.add(where, what, entry)
    for period in history.periods:
        if period.revoked is not None:
            count = sum(period.revoked <= size < (period.end or size) for size in sizes if size >= period.start)
            notes.append(
                f"the key {period.keys[0].id.hex()} is revoked from size {period.revoked}: {count} heads that it "
                f"signed alone from there on count by the later head {period.end} only"
            )
    return notes


def _check_artefacts(source: Source, named: NamedArtefacts, found: Findings) -> tuple[int, int]:
    """Every artefact that an entry names, then the rest. Returns how many were hashed, and the orphans."""
    checked = 0
    orphans = 0

    def check(digest: str, index: int | None) -> None:
        nonlocal checked
        by = "" if index is None else f" (named by entry {index})"
        try:
            source.get(digest)
        except (LedgerError, StorageError) as error:
            found.add(f"artefact {digest}", f"{error.message}{by}", index)
        else:
            checked += 1

    for digest, index in named.items():
        check(digest, index)
    for digest in source.artefacts():
        if named.first(digest) is None:
            orphans += 1
            check(digest, None)
    return checked, orphans
