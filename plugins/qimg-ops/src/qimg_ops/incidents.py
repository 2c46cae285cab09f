"""Incidents: entries from the opening to the close, and what is read from them (imports qimg_rollout).

An incident is its entries; nothing else is kept. Where another process holds the ledger, its opening waits as a file
like a stop does (`qimg_rollout.stops`): it can be contained at once, and becomes an entry with the next stops. Times
are those of the entries, free text is a claim. Write roles, not people: an entry cannot be taken back.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.ledger.bundle import check, export
from qimg_core.verdict import Verdict
from qimg_rollout import blocks
from qimg_rollout.stopping import OPENED, propose, record, recorded
from qimg_rollout.stops import Opening, pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_rollout.stops import Posted, Stop

NOTED, SNAPSHOT = "incident.noted", "incident.snapshot"
CONTAINED, AFFECTED, CLOSED = "incident.contained", "incident.affected", "incident.closed"
KINDS = (OPENED, NOTED, SNAPSHOT, CONTAINED, AFFECTED, CLOSED)


class Severity(StrEnum):
    """How bad it is."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


@frozen(kw_only=True)
class Incident:
    """What the log says of an incident.

    Args:
        id: ``inc-YYYYMMDD-xxxxxx``.
        entries: its own, in order; none where its opening waits to be on record.
        stops: entries of its stops that a session put on record, see `qimg_rollout.stopping`.
        waits: the file of its opening, where that is not on record yet.
    """

    id: str
    entries: tuple[Entry, ...]
    stops: tuple[Entry, ...] = ()
    waits: Posted | None = field(default=None, repr=False)

    def of(self, kind: str) -> tuple[Entry, ...]:
        """Its entries of a kind."""
        return tuple(e for e in self.entries if e.kind == kind)

    @property
    def open(self) -> bool:
        return not self.of(CLOSED)

    @property
    def title(self) -> str:
        return str(self.entries[0].claims["title"]) if self.waits is None else self.waits.stop.reason

    @property
    def severity(self) -> str:
        return str(self._opening["severity"])

    @property
    def trigger(self) -> tuple[int, ...]:
        """The entries that showed it."""
        return tuple(self._opening["trigger"])

    @property
    def opened(self) -> str:
        """Time of the entry; where it waits, of its writer's clock."""
        return self.entries[0].time if self.waits is None else self.waits.stop.at

    @property
    def state(self) -> str:
        """In words."""
        return ("open" if self.waits is None else "open, waits") if self.open else "closed"

    @property
    def _opening(self) -> Mapping[str, Any]:
        if self.waits is None:
            return self.entries[0].facts
        assert self.waits.stop.opens is not None
        return self.waits.stop.opens.to_json()

    def seconds(self, kind: str) -> int | None:
        """From the opening to the first entry of a kind; None where there is none. A stop on record contains."""
        found = sorted((*self.of(kind), *(self.stops if kind == CONTAINED else ())), key=lambda e: e.index)
        return (
            None if not found or not self.entries else int((_time(found[0]) - _time(self.entries[0])).total_seconds())
        )

    @property
    def blocked(self) -> tuple[int, ...]:
        """Entries of the blocks that contain it."""
        named = [b for e in self.of(CONTAINED) for b in e.facts["blocks"]]
        return tuple(dict.fromkeys((*named, *(e.index for e in self.stops if e.kind == blocks.BLOCKED))))

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "id": self.id,
            "title": self.title,
            "severity": self.severity,
            "open": self.open,
            "opened": self.opened,
            "waits": None if self.waits is None else self.waits.digest,
            "seconds_to_contain": self.seconds(CONTAINED),
            "seconds_to_close": self.seconds(CLOSED),
            "blocks": list(self.blocked),
            "entries": [e.index for e in self.entries],
        }


def _time(entry: Entry) -> dt.datetime:
    return dt.datetime.fromisoformat(entry.time)


def incidents(ledger: Ledger) -> tuple[Incident, ...]:
    """All of a log, oldest first, and behind them those whose opening waits."""
    waiting = pending(ledger).stops  # first: what is recorded from now on is found twice, not never
    found: dict[str, list[Entry]] = {}
    for entry in sorted((e for kind in KINDS for e in ledger.entries(kind=kind)), key=lambda e: e.index):
        found.setdefault(entry.facts["incident"], []).append(entry)
    stops: dict[str, list[Entry]] = {}
    for entry in (e for entries in recorded(ledger).values() for e in entries if e.kind != OPENED):
        stops.setdefault(str(entry.facts.get("by", "")).removeprefix("incident "), []).append(entry)
    of_log = [Incident(id=i, entries=tuple(e), stops=tuple(stops.get(i, ()))) for i, e in found.items()]
    named = [(p.stop.opens.incident, p) for p in waiting if p.stop.opens is not None]
    new = [Incident(id=i, entries=(), stops=tuple(stops.get(i, ())), waits=p) for i, p in named if i not in found]
    return (*of_log, *new)


def find(ledger: Ledger, name: str, *, must_be_open: bool = False) -> Incident:
    """One incident.

    Raises:
        ConfigurationError: no such one, or it is closed already.
    """
    all_of_them = incidents(ledger)
    found = next((i for i in all_of_them if i.id == name), None)
    if found is None:
        known = ", ".join(i.id for i in all_of_them) or "none"
        raise ConfigurationError(f"no incident {name!r}; known: {known}", hint="qimg incident list")
    if must_be_open and not found.open:
        raise ConfigurationError(f"{name} is closed", hint="qimg incident open")
    return found


def _to_write(ledger: Ledger, name: str, *, must_be_open: bool = False) -> Incident:
    """`find` where entries shall be added: its opening comes first."""
    record(ledger)
    return find(ledger, name, must_be_open=must_be_open)


def opening(ledger: Ledger, *, title: str, severity: Severity, trigger: Sequence[int] = ()) -> Stop:
    """The file that opens one, to be posted with `qimg_rollout.stops.post`; the ledger is only read.

    Args:
        ledger: open for reading at least.
        title: in a few words; a claim.
        severity: low, medium, high.
        trigger: entries that showed it.

    Raises:
        ConfigurationError: no title, or no such entries.
    """
    if not title.strip():
        raise ConfigurationError("an incident has a title")
    for index in trigger:
        try:
            ledger.entry(index)
        except LedgerError as error:
            raise ConfigurationError(error.message) from error
    name = f"inc-{dt.datetime.now(dt.UTC):%Y%m%d}-{secrets.token_hex(3)}"
    opens = Opening(incident=name, severity=severity.value, trigger=tuple(trigger))
    return propose(ledger, opens=opens, reason=title, by=f"incident {name}")


def open_incident(ledger: Ledger, *, title: str, severity: Severity, trigger: Sequence[int] = ()) -> Incident:
    """Begin one.

    Args:
        ledger: open for writing.
        title: in a few words; a claim.
        severity: low, medium, high.
        trigger: entries that showed it.

    Raises:
        ConfigurationError: no title, or no such entries.
    """
    opens = opening(ledger, title=title, severity=severity, trigger=trigger).opens
    assert opens is not None
    ledger.append(OPENED, facts={"schema": "qimg.incident/1", **opens.to_json()}, claims={"title": title})
    return find(ledger, opens.incident)


def note(ledger: Ledger, name: str, text: str) -> Entry:
    """Add a line to the timeline."""
    found = _to_write(ledger, name)
    if not text.strip():
        raise ConfigurationError("a note has words")
    return ledger.append(NOTED, facts={"schema": "qimg.incident/1", "incident": found.id}, claims={"text": text})


def snapshot(ledger: Ledger, name: str, target: Path, *, runs: Iterable[str] | None = None) -> Entry:
    """Freeze the evidence: a bundle of the log, checked, its digest and the signed head in an entry.

    Args:
        ledger: open for writing.
        name: of the incident.
        target: the ``.zip`` to make.
        runs: only these; everything by default.

    Raises:
        ConfigurationError: not a ``.zip``, or it exists.
        LedgerError: the bundle does not hold.
        StorageError.
    """
    found = _to_write(ledger, name, must_be_open=True)
    if target.suffix != ".zip":
        raise ConfigurationError(f"{target}: evidence is one file, ending in .zip")
    export(ledger, target, runs=runs)
    checked = check(target)
    if checked.verdict is not Verdict.PASS:
        raise LedgerError(f"{target} does not hold: {checked.problems[0]}")
    data = target.read_bytes()
    facts = {
        "schema": "qimg.incident/1",
        "incident": found.id,
        "bundle": "sha256:" + hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "entries": checked.entries,
        "artefacts": {"checkpoint": ledger.put(ledger.checkpoints()[-1])},
    }
    entry = ledger.append(SNAPSHOT, facts=facts)
    ledger.checkpoint()
    return entry


def close(
    ledger: Ledger, name: str, *, cause: str, changes: Sequence[str], release: bool = False
) -> tuple[Entry, tuple[int, ...]]:
    """End an incident.

    Args:
        ledger: open for writing.
        name: of the incident.
        cause: in words.
        changes: what is done so that it does not come again; one or more.
        release: end its blocks as well. Flags that were rolled back stay so until a new flag file.

    Returns:
        the entry, and the blocks that were released.

    Raises:
        ConfigurationError: it is closed, or cause or changes are missing, or no evidence was frozen.
    """
    found = _to_write(ledger, name, must_be_open=True)
    if not cause.strip() or not changes or not all(c.strip() for c in changes):
        raise ConfigurationError("an incident is closed with its cause and one change or more")
    if not found.of(SNAPSHOT):
        raise ConfigurationError(
            f"no evidence of {name} was frozen", hint=f"qimg incident snapshot {name} --out evidence.zip"
        )
    free: list[int] = []
    if release:
        held = {b.entry for b in blocks.in_force(ledger) if b.by == f"incident {name}"}
        free = [b for b in found.blocked if b in held]
        for index in free:
            blocks.release(ledger, index, reason=cause, by=f"incident {name}")
    facts = {"schema": "qimg.incident/1", "incident": found.id, "released": free}
    entry = ledger.append(CLOSED, facts=facts, claims={"cause": cause, "changes": list(changes)})
    return entry, tuple(free)


def mean_time_to_restore(found: Iterable[Incident]) -> int | None:
    """Seconds from opening to close, the mean over closed incidents (rounded); None where none is closed."""
    times = [s for i in found if (s := i.seconds(CLOSED)) is not None]
    return round(sum(times) / len(times)) if times else None
