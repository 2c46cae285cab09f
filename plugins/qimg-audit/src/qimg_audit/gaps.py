"""What a record lacks: stated gaps, and holes that nobody stated (imports qimg_core).

A *stated* gap is an entry's own word that something could not be had. A *hole* is what should be there by the
record's own rules and is not: those are the findings of an audit.
"""

from __future__ import annotations

import datetime as dt
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.jobs.settling import jobs_of, runs_with_jobs
from qimg_core.ledger.note import Checkpoint, split_note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

LATE = 3600
"""Seconds after which an entry should stand under a signed head."""


class Kind(StrEnum):
    """What sort of gap."""

    STATED = "stated"
    RUN_WITHOUT_END = "run without end"
    RUN_WITHOUT_START = "run without start"
    INTENT_WITHOUT_OUTCOME = "intent without outcome"
    IMAGES_WITHOUT_WEIGHTS = "images without weights"
    WEIGHTS_WITHOUT_TRAINING = "weights without training"
    ARTEFACT_MISSING = "artefact missing"
    HEAD_LATE = "signed head late"
    SEQUENCE_HOLE = "sequence hole"
    REQUEST_HOLE = "request without execution"


@frozen(kw_only=True)
class Gap:
    """One finding.

    Args:
        kind: what sort.
        where: "entry 7", "run ...", "job ...".
        what: in words.
        hole: nobody stated it.
    """

    kind: Kind
    where: str
    what: str
    hole: bool = True

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"kind": self.kind.value, "where": self.where, "what": self.what, "hole": self.hole}


def find_gaps(ledger: Ledger, *, late: int = LATE, now: dt.datetime | None = None) -> tuple[Gap, ...]:
    """Everything that a record lacks, in the order of the log, one pass over its entries.

    Entries and signatures are not verified here: that is ``qimg verify``.

    Args:
        ledger: open for reading at least.
        late: seconds that an entry may wait for a signed head.
        now: what waiting is measured against; the present by default.
    """
    found: list[Gap] = []
    runs: dict[str, _Run] = {}
    expected = 0
    missing: set[str] = set()
    saved = {e.facts["digest"] for e in ledger.entries(kind="weights.saved")}
    for entry in ledger.entries():
        if entry.index != expected:
            found.append(_hole(expected, entry.index))
        expected = entry.index + 1
        where = f"entry {entry.index} ({entry.kind})"
        found += [Gap(kind=Kind.STATED, where=where, what=f"{g.field}: {g.reason}", hole=False) for g in entry.gaps]
        for name, digest in entry.artefacts.items():
            if digest not in missing and not ledger.has(digest):
                missing.add(digest)
                found.append(Gap(kind=Kind.ARTEFACT_MISSING, where=where, what=f"{name}: {digest} is not stored"))
        if entry.kind == "images.made":
            found += _without_weights(entry, where, saved)
        if entry.run is not None:
            runs.setdefault(entry.run, _Run()).see(entry)
    if expected != len(ledger):
        found.append(_hole(expected, len(ledger)))
    for run, seen in runs.items():
        found += seen.gaps(run)
    return (*found, *_jobs(ledger), *_heads(ledger, late, now or dt.datetime.now(dt.UTC)))


def _hole(first: int, after: int) -> Gap:
    where = f"entry {first}" if after == first + 1 else f"entries {first} to {after - 1}"
    return Gap(kind=Kind.SEQUENCE_HOLE, where=where, what="not in the store")


def _without_weights(entry: Entry, where: str, saved: set[str]) -> Iterator[Gap]:
    digest = entry.facts["weights"]
    if digest is None:
        stated = any(g.field == "weights" for g in entry.gaps)
        what = "made by a model that was never saved"
        yield Gap(kind=Kind.IMAGES_WITHOUT_WEIGHTS, where=where, what=what, hole=not stated)
    elif digest not in saved:
        what = f"the training of {digest} is not in this ledger"
        yield Gap(kind=Kind.WEIGHTS_WITHOUT_TRAINING, where=where, what=what, hole=False)


class _Run:
    """What one run's entries have said so far."""

    def __init__(self) -> None:
        self.first, self.started, self.ended = -1, False, False
        self.status = "did not end"
        self.spans: list[tuple[int, int]] = []

    def see(self, entry: Entry) -> None:
        if self.first < 0:
            self.first = entry.index
        if entry.kind in ("run.started", "run.resumed"):
            self.started, self.ended = True, False
        elif entry.kind == "run.finished":
            self.ended, self.status = True, entry.facts["status"]
        elif entry.kind == "executions" and entry.facts["first"] is not None:
            self.spans.append((entry.facts["first"], entry.facts["last"]))

    def gaps(self, run: str) -> Iterator[Gap]:
        where = f"run {run}, from entry {self.first}"
        if not self.started:
            yield Gap(kind=Kind.RUN_WITHOUT_START, where=where, what="no entry begins it")
        elif not self.ended:
            yield Gap(kind=Kind.RUN_WITHOUT_END, where=where, what="it was killed, or is under way")
        after = 0
        for first, last in sorted(self.spans):
            if first > after:
                # a request that failed was never executed; a run that says it went well has none
                what = f"requests {after} to {first - 1} have no execution; the run ended with {self.status!r}"
                yield Gap(kind=Kind.REQUEST_HOLE, where=where, what=what, hole=self.status == "ok")
            after = max(after, last + 1)


def _jobs(ledger: Ledger) -> Iterator[Gap]:
    for run in runs_with_jobs(ledger):
        for known in jobs_of(ledger, run):
            if known.open and not known.resolved:
                state = "accepted, no outcome" if known.handle is not None else "not known whether it was sent"
                where = f"run {run}, job {known.intent.key[:12]} on {known.backend}"
                what = f"{state}: qimg jobs collect {run}"
                yield Gap(kind=Kind.INTENT_WITHOUT_OUTCOME, where=where, what=what)


def _heads(ledger: Ledger, late: int, now: dt.datetime) -> Iterator[Gap]:
    notes = ledger.checkpoints()
    covered = max((Checkpoint.parse(split_note(note)[0]).size for note in notes), default=0)
    if covered >= len(ledger):
        return
    oldest = ledger.entry(covered)
    waited = (now - dt.datetime.fromisoformat(oldest.time)).total_seconds()
    count = len(ledger) - covered
    what = f"{count} entries wait for a signed head, the oldest for {int(waited)} s: qimg ledger checkpoint"
    yield Gap(kind=Kind.HEAD_LATE, where=f"entry {covered}", what=what, hole=waited > late)
