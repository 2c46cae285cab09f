"""Stops become entries, once, by whoever holds the ledger; and they count before that (imports stops, blocks, state).

=========================  ===========================================================================================
killed                     afterwards
=========================  ===========================================================================================
before the file's rename   there is no stop, and nobody was told that there is
after it                   the file waits; the next admission of whoever writes the ledger records it
while it is recorded       all of its entries are there or none; the file waits
before the file is gone    its entries are there: only the file goes
=========================  ===========================================================================================
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from qimg_core.admission import Decision
from qimg_core.errors import ConfigurationError
from qimg_core.ledger.entry import Draft
from qimg_core.ledger.memory import MemoryLedger
from qimg_core.storage import storage_error, sync_folder
from qimg_rollout import blocks
from qimg_rollout.leftovers import sweep
from qimg_rollout.state import BACK, in_use
from qimg_rollout.stops import SUFFIX, Opening, Posted, Stop, StoppedFlag, folder_of, marks, pending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from qimg_core.admission import Context
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

log = logging.getLogger("qimg")

DISCARDED = "routing.stop_discarded"
OPENED = "incident.opened"
HELD = "routing.block_held"
"""What a stop becomes where a block of the same facts, asked for by the same, is in force already."""
OF_STOPS = (OPENED, blocks.BLOCKED, HELD, BACK, DISCARDED)


def standing(ledger: Ledger) -> str:
    """Changes whenever blocks may have changed: in this process, by a waiting stop, or by another writer of the log."""
    folder = folder_of(ledger)
    if folder is not None:
        return f"{blocks.changes()} {' '.join(marks(folder))}"
    if isinstance(ledger, MemoryLedger):
        return str(blocks.changes())
    counts = [sum(1 for _ in ledger.entries(kind=kind)) for kind in (blocks.BLOCKED, blocks.RELEASED)]
    return f"{blocks.changes()} {counts}"


def admit(context: Context) -> Decision | None:
    """Record the stops that wait, then refuse what is blocked; abstain otherwise.

    Where a file among the stops is none, what it should have stopped is not known: what would leave this process is
    refused until somebody has looked, and work in this process goes on.

    Raises:
        LedgerError, StorageError: a stop cannot be recorded; the core refuses the plan.
    """
    if context.asked is None:
        return None
    ledger = context.asked.ledger()
    record(ledger)
    decided = blocks.admit(context)
    damaged = pending(ledger).damaged
    if decided is not None or not damaged or context.asked.facts.get("provider") == "here":
        return decided
    path, why = damaged[0]
    return Decision(
        verdict="deny",
        policy="routing blocks",
        reasons=(f"the stop {path.name} cannot be read ({why}), so it is not known what it stops",),
        hint="see: qimg incident stops; once you know what it was: qimg incident stops --discard NAME --reason TEXT",
    )


def screen(context: Context) -> Decision | None:
    """Record the stops that wait, then withhold images of blocked weights; abstain otherwise.

    Raises:
        LedgerError, StorageError: a stop cannot be recorded; the images stay where they are.
    """
    if context.asked is None:
        return None
    record(context.asked.ledger())
    return blocks.screen(context)


def propose(
    ledger: Ledger,
    *,
    matches: Sequence[Mapping[str, str]] = (),
    flags: Sequence[str] = (),
    opens: Opening | None = None,
    reason: str,
    by: str,
) -> Stop:
    """A stop, not posted yet; the ledger is only read.

    Args:
        ledger: open for reading at least.
        matches: as for `qimg_rollout.blocks.block`.
        flags: names of flags to roll back.
        opens: an incident that begins.
        reason: in words.
        by: ``incident ID`` or ``operator``.

    Raises:
        ConfigurationError: nothing or no fact to match, no flags in use.
        UnknownName: no such flag.
    """
    for match in matches:
        blocks.check_match(match)
    used = in_use(ledger) if flags else None
    if flags and used is None:
        raise ConfigurationError("this ledger uses no flags", hint="qimg rollout use FILE --trust NAME.pub")
    stopped, also = [], []
    for name in flags:
        assert used is not None
        flag = used.flags.flag(name)
        stopped.append(StoppedFlag(flag=name, path=flag.path, to=dict(flag.off)))
        if flag.block:
            also.append({"backend": str(flag.on.get("backend", "simulator"))})
    waiting = pending(ledger).stops
    last = waiting[-1].digest if waiting else next(reversed(recorded(ledger)), "")
    wanted = (*(dict(m) for m in matches), *(m for m in also if m not in list(matches)))
    return Stop(
        matches=wanted, flags=tuple(stopped), opens=opens, reason=reason, by=by, log=ledger.origin, previous=last
    )


def record(ledger: Ledger) -> tuple[Entry, ...]:
    """Make entries of the stops that wait, under a signed head, and remove their files. Doing it again changes nothing.

    Args:
        ledger: open for writing.

    Raises:
        LedgerError, StorageError: the files stay.
    """
    found: list[Entry] = []
    waiting = pending(ledger).stops
    done = recorded(ledger) if waiting else {}
    for posted in sorted(waiting, key=lambda p: p.stop.opens is None):  # whatever the clock said: an incident first
        if all(e.kind == DISCARDED for e in done.get(posted.digest, ())):  # else only its file was left
            found += ledger.extend(_drafts(ledger, posted, ledger.put(posted.data)))
        ledger.checkpoint()
        _remove(posted.path)
        told = (posted.digest[:12], posted.stop.by, posted.stop.words, posted.stop.reason)
        log.warning("stop %s of %s is on record: %s: %s", *told)
    folder = folder_of(ledger)
    if folder is not None:
        sweep(folder)
    return tuple(found)


def _drafts(ledger: Ledger, posted: Posted, artefact: str) -> list[Draft]:
    """One for each thing that a stop does, in one commit; never none."""
    stop, key = posted.stop, f"stop:{posted.digest}"
    common = {
        "by": stop.by,
        "stop": posted.digest,
        "previous": stop.previous,
        "signed_by": list(posted.signed_by),
        "artefacts": {"stop": artefact},
    }
    claims = {"reason": stop.reason, "at": stop.at}
    drafts = []
    if stop.opens is not None:
        facts = {"schema": "qimg.incident/1", **stop.opens.to_json(), **common}
        drafts.append(Draft(OPENED, facts=facts, claims={"title": stop.reason, "at": stop.at}, key=f"{key}:opened"))
    held = {tuple(sorted(b.match.items())): b.entry for b in blocks.in_force(ledger) if b.by == stop.by}
    for i, match in enumerate(stop.matches):
        old = held.get(tuple(sorted(match.items())))
        facts = {"schema": "qimg.block/1", "match": dict(match), **({} if old is None else {"blocked": old}), **common}
        kind = blocks.BLOCKED if old is None else HELD
        drafts.append(Draft(kind, facts=facts, claims=claims, key=f"{key}:{i}"))
    for i, flag in enumerate(stop.flags):
        facts = {"schema": "qimg.rollback/1", "flag": flag.flag, "path": flag.path, "to": dict(flag.to), **common}
        drafts.append(Draft(BACK, facts=facts, claims=claims, key=f"{key}:flag:{i}"))
    return drafts


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, "remove", path) from error
    sync_folder(path.parent)


def recorded(ledger: Ledger) -> dict[str, list[Entry]]:
    """Digest of each stop on record, and its entries, in order."""
    found: dict[str, list[Entry]] = {}
    of_stops = (e for kind in OF_STOPS for e in ledger.entries(kind=kind) if "stop" in e.facts)
    for entry in sorted(of_stops, key=lambda e: e.index):
        found.setdefault(entry.facts["stop"], []).append(entry)
    return found


def missing(ledger: Ledger) -> tuple[str, ...]:
    """Stops that later ones name and that neither wait nor are on record: their files were taken away."""
    known, waiting = recorded(ledger), pending(ledger).stops
    named = {str(e.facts.get("previous", "")) for entries in known.values() for e in entries}
    named |= {p.stop.previous for p in waiting}
    return tuple(sorted(named - set(known) - {p.digest for p in waiting} - {""}))


def discard(ledger: Ledger, name: str, *, reason: str) -> Entry:
    """Put a stop aside that is damaged, or whose file was taken away: what is left of it and the reason go on record.

    Args:
        ledger: open for writing.
        name: of the file, with or without ``.stop``.
        reason: why, in words.

    Raises:
        ConfigurationError: no such damaged or missing one, or no reason.
        LedgerError, StorageError.
    """
    if not reason.strip():
        raise ConfigurationError("putting a stop aside has a reason", hint="--reason TEXT")
    damaged = {path.name.removesuffix(SUFFIX): (path, why) for path, why in pending(ledger).damaged}
    gone, wanted = missing(ledger), name.removesuffix(SUFFIX)
    if wanted not in damaged and wanted not in gone:
        known = ", ".join([*(path.name for path, _ in damaged.values()), *gone]) or "none"
        raise ConfigurationError(f"no damaged or missing stop {name!r}; there: {known}", hint="qimg incident stops")
    path, why = damaged.get(wanted, (None, "its file was taken away before it was on record"))
    facts: dict[str, Any] = {"schema": "qimg.stop/1", "stop": wanted[:64], "found": why}
    if path is not None:
        try:
            facts["artefacts"] = {"file": ledger.put(path.read_bytes())}
        except OSError as error:
            raise storage_error(error, "read", path) from error
    entry = ledger.append(DISCARDED, facts=facts, claims={"reason": reason})
    ledger.checkpoint()
    if path is not None:
        _remove(path)
    return entry
