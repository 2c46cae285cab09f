"""A draft of a post-mortem: what the record knows, under five questions (imports incidents)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_ops.incidents import AFFECTED, CLOSED, CONTAINED, NOTED, SNAPSHOT
from qimg_rollout.stopping import OPENED

if TYPE_CHECKING:
    from qimg_core.ledger.entry import Entry
    from qimg_ops.incidents import Incident

QUESTIONS = (
    "What happened, and when?",
    "What was affected?",
    "How was it found and contained, and how long did that take?",
    "Why did it happen, and why did no control stop it?",
    "What changes, so that it does not happen again, and how will we know?",
)
OPEN = "_To be written._"


def draft(incident: Incident) -> str:
    """Markdown: each question, what the entries answer, and what people have to answer."""
    told = sorted((*incident.entries, *incident.stops), key=lambda e: e.index)
    waits = incident.waits
    first = [] if waits is None else [f"- {waits.stop.at[:19]}Z, waits to be on record: opened: {incident.title}"]
    timeline = [*first, *(f"- {e.time[:19]}Z, entry {e.index}: {_words(e)}" for e in told)]
    answers = (timeline, _affected(incident), _found(incident), _cause(incident), _changes(incident))
    lines = [
        f"# Post-mortem: {incident.title}",
        "",
        f"{incident.id}, severity {incident.severity}, {incident.state}.",
        "",
    ]
    for number, (question, answer) in enumerate(zip(QUESTIONS, answers, strict=True), 1):
        lines += [f"## {number}. {question}", "", *answer, ""]
    lines += ["The record is the ledger; this page repeats what its entries say. No blame: roles, not people.", ""]
    return "\n".join(lines)


def _words(entry: Entry) -> str:
    facts, claims = entry.facts, entry.claims
    if entry.kind == OPENED:
        shown = f"; shown by entries {', '.join(map(str, facts['trigger']))}" if facts["trigger"] else ""
        return f"opened: {claims['title']}{shown}"
    if entry.kind == NOTED:
        return str(claims["text"])
    if entry.kind == SNAPSHOT:
        return f"evidence frozen: {facts['entries']} entries, bundle {facts['bundle']}"
    if entry.kind == CONTAINED:
        what = ", ".join(f"{k} {v}" for m in facts["matches"] for k, v in m.items())
        flags = f"; flags rolled back: {', '.join(facts['rolled_back'])}" if facts["rolled_back"] else ""
        return f"contained: {what} blocked{flags}"
    if entry.kind == AFFECTED:
        return f"affected: {facts['n_runs']} runs, {facts['n_images_entries']} batches of images"
    if "stop" in facts:
        what = f"flag {facts['flag']}" if "flag" in facts else ", ".join(f"{k} {v}" for k, v in facts["match"].items())
        return f"{what} stopped (stop {facts['stop'][:12]})"
    released = f"; blocks released: {', '.join(map(str, facts['released']))}" if facts["released"] else ""
    return f"closed{released}"


def _affected(incident: Incident) -> list[str]:
    found = incident.of(AFFECTED)
    if not found:
        return [f"Not listed yet: `qimg incident affected {incident.id} --from device:NAME`.", "", OPEN]
    facts = found[-1].facts
    starts = ", ".join(facts["starts"])
    count = f"{facts['n_runs']} runs and {facts['n_images_entries']} batches of images, followed from {starts}:"
    lines = [count, ""]
    lines += [f"- {run}" for run in facts["runs"]]
    lines += [f"- not in the record: {name}" for name in facts["unknown"]]
    return [*lines, "", f"People outside of this system: {OPEN}"]


def _found(incident: Incident) -> list[str]:
    def words(kind: str) -> str:
        seconds = incident.seconds(kind)
        return "not yet" if seconds is None else f"{seconds} s after it was opened"

    trigger = incident.trigger
    first = f"Shown by entries {', '.join(map(str, trigger))}." if trigger else f"Who or what saw it: {OPEN}"
    return [first, f"Contained: {words(CONTAINED)}. Evidence: {words(SNAPSHOT)}. Closed: {words(CLOSED)}."]


def _cause(incident: Incident) -> list[str]:
    closed = incident.of(CLOSED)
    return [str(closed[-1].claims["cause"]) if closed else OPEN, "", f"Which control should have stopped it: {OPEN}"]


def _changes(incident: Incident) -> list[str]:
    closed = incident.of(CLOSED)
    return [f"- {c}" for c in closed[-1].claims["changes"]] if closed else [OPEN]
