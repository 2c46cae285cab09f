"""Full verification of a stored log, streaming (imports base, entry, merkle, note).

What it shows: nothing of the log was changed since its heads were signed. What it cannot show: that
somebody with the keys did not write another history, or that the end was not cut off together
with every signed head that covered it. For that, compare with a checkpoint kept elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from qimg_core.errors import LedgerCorrupt, LedgerError, StorageError
from qimg_core.ledger.base import Problem, Verification
from qimg_core.ledger.entry import Entry
from qimg_core.ledger.merkle import Frontier
from qimg_core.ledger.note import Checkpoint, open_note
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.note import VerifierKey

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
    def keys(self) -> tuple[VerifierKey, ...]:
        """Pinned verifier keys."""

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


def verify_log(source: Source) -> Verification:
    """Recompute a stored log from its bodies up.

    Every body is read strictly and hashed; index, derived columns, the root at every checkpoint,
    both signatures of every checkpoint, and every artefact are compared.
    """
    found = Findings()
    heads, signatures = _check_heads(source, found)
    entries, first_named = _check_rows(source, heads, found)
    artefacts, orphans = _check_artefacts(source, first_named, found)
    problems, notes = source.oddities()
    for problem in problems:
        found.add(problem.where, problem.what)
    covered = max((head.size for head in heads), default=0)
    remarks = list(notes)
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


def _check_heads(source: Source, found: Findings) -> tuple[list[Checkpoint], int]:
    """Signatures and form of every checkpoint; those that hold are compared with the entries later."""
    good: list[Checkpoint] = []
    signatures = 0
    wanted = {key.algorithm for key in source.keys}
    for head in source.heads():
        where = f"checkpoint {head.size}"
        try:
            opened = open_note(head.note, source.keys)
            checkpoint = Checkpoint.parse(opened.text)
        except LedgerCorrupt as error:
            found.add(where, error.message)
            continue
        signatures += len(opened.verified)
        missing = wanted - set(opened.verified)
        if missing:
            found.add(where, f"no signature by {' and '.join(sorted(missing))}")
        if checkpoint.origin != source.origin:
            found.add(where, f"signed for the log {checkpoint.origin}, this one is {source.origin}")
        elif (checkpoint.size, checkpoint.root) != (head.size, head.root):
            found.add(where, "the stored size or root differs from the signed note")
        good.append(checkpoint)
    return good, signatures


def _check_rows(source: Source, heads: list[Checkpoint], found: Findings) -> tuple[int, dict[str, int]]:
    """Every entry. Returns how many there are, and which entry first names each artefact."""
    by_size: dict[int, list[Checkpoint]] = {}
    for head in heads:
        by_size.setdefault(head.size, []).append(head)
    frontier = Frontier()
    named: dict[str, int] = {}
    intact = True
    trusted = 0  # entries below this are under a signed root that holds
    expected = 0
    count = 0

    def compare(size: int) -> None:
        nonlocal trusted
        for head in by_size.pop(size, ()):
            if not intact:
                continue
            if head.root == frontier.root():
                trusted = size
            else:
                found.add(
                    f"checkpoint {size}",
                    f"the entries {trusted} to {size - 1} are not those that were signed",
                    trusted,
                )

    compare(0)
    for row in source.rows():
        count += 1
        if row.index != expected:
            what = "missing" if row.index > expected else "there twice"
            found.add(f"entry {expected}", f"{what}: the next stored index is {row.index}", expected)
            intact = False
            expected = row.index
        expected += 1
        where = f"entry {row.index}"
        try:
            entry = Entry.parse(row.body)
        except LedgerCorrupt as error:
            found.add(where, error.message, row.index)
            intact = False
            continue
        for digest in entry.artefacts.values():
            named.setdefault(digest, row.index)
        if entry.index != row.index:
            found.add(where, f"its body says it is entry {entry.index}", row.index)
            intact = False
        if (entry.run, entry.kind, entry.time) != (row.run, row.kind, row.time):
            found.add(where, "the index columns (run, kind, time) differ from its body", row.index)
        if entry.leaf != row.leaf:
            found.add(where, "the stored leaf hash is not the hash of its body", row.index)
            intact = False
        frontier.append(entry.leaf)
        compare(row.index + 1)
    for size in sorted(by_size):
        found.add(f"checkpoint {size}", f"signed over {size} entries, and there are {expected}", min(expected, size))
    return count, named


def _check_artefacts(source: Source, named: dict[str, int], found: Findings) -> tuple[int, int]:
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
        if digest not in named:
            orphans += 1
            check(digest, None)
    return checked, orphans
