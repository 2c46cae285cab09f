"""The marking record of a picture: from the ledger's ``images.made`` where it has one, else from what is given.

Imports record, picture; the core's look-up of a picture in a ledger.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core.errors import ConfigurationError
from qimg_marks.record import NOT_STATED, Aigc, MarkingRecord, Place, unique_id

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_marks.picture import Picture
    from qimg_marks.record import Origin, Quantum


@frozen(kw_only=True)
class Stated:
    """What the caller says of a picture. Empty: taken from the ledger where it is there.

    ``producer``, ``produce_id``, ``propagator`` and ``propagate_id`` make the AIGC block, where the first is given.
    """

    origin: Origin = "generated"
    provider: str = ""
    system: str = ""
    version: str = ""
    time: str = ""
    quantum: Quantum = "unknown"
    licence: str = ""
    detector: str = "qimg inspect"
    producer: str = ""
    produce_id: str = ""
    propagator: str = ""
    propagate_id: str = ""


@frozen(kw_only=True)
class Known:
    """What a ledger knows of a picture. ``index``: which image of the entry, None for all of them."""

    entry: Entry
    index: int | None = None
    log: str
    checkpoint: str = ""
    changed: bool = field(default=False)
    """The pixels are not the recorded ones, but those of an ``images.marked`` entry that goes back to them."""


def look_up(ledger: Ledger, picture: Picture) -> Known | None:
    """The ``images.made`` entry that describes exactly these pixels, also by way of ``images.marked`` entries.

    Args:
        ledger: where to look.
        picture: it may name its entry; only equal pixels count.
    """
    wanted, changed = picture.digest, False
    for _ in range(8):  # a picture may be marked again and again
        known = _made(ledger, picture, wanted, changed)
        if known is not None:
            return known
        before = marked_from(ledger, wanted)
        if before is None:
            return None
        wanted, changed = str(before.facts["before"]["pixels"]), True
    return None


def marked_from(ledger: Ledger, pixels: str) -> Entry | None:
    """The last ``images.marked`` entry that changed pixels into these."""
    found = None
    for entry in ledger.entries(kind="images.marked"):
        facts = entry.facts
        if facts["after"]["pixels"] == pixels != facts["before"]["pixels"]:
            found = entry
    return found


def _made(ledger: Ledger, picture: Picture, wanted: str, changed: bool) -> Known | None:
    named = picture.text.get("qimg:entry", "")
    entries = list(_named(ledger, named)) or list(ledger.entries(kind="images.made"))
    for entry in entries:
        if entry.facts["pixels"] == wanted:
            index = 0 if entry.facts["n"] == 1 else None
        else:
            each = _digests(ledger, entry)
            if wanted not in each:
                continue
            index = each.index(wanted)
        log, checkpoint = ledger.origin, _checkpoint(ledger, entry.index)
        return Known(entry=entry, index=index, log=log, checkpoint=checkpoint, changed=changed)
    return None


def _named(ledger: Ledger, named: str) -> list[Entry]:
    if not named.isdecimal() or int(named) >= len(ledger):
        return []
    entry = ledger.entry(int(named))
    return [entry] if entry.kind == "images.made" else []


def _digests(ledger: Ledger, entry: Entry) -> list[str]:
    if "image_digests" not in entry.artefacts or not ledger.has(entry.artefacts["image_digests"]):
        return []
    found: list[str] = json.loads(ledger.get(entry.artefacts["image_digests"]))
    return found


def _checkpoint(ledger: Ledger, index: int) -> str:
    from qimg_core.ledger.note import Checkpoint, split_note
    from qimg_core.storage import sha256_digest

    for note in ledger.checkpoints():
        if Checkpoint.parse(split_note(note)[0]).size > index:
            return sha256_digest(note)
    return ""


def record_for(picture: Picture, stated: Stated, known: Known | None) -> MarkingRecord:
    """The record of one picture.

    Args:
        picture: before it is marked.
        stated: from the caller.
        known: from the ledger; where it contradicts what is stated, that is an error.

    Raises:
        ConfigurationError: something is missing, with the option that gives it, or contradicts the ledger.
    """
    facts: dict[str, Any] = {} if known is None else known.entry.facts
    place = None if known is None else _place(known)
    recorded = _recorded_quantum(facts)
    if recorded and stated.quantum not in ("unknown", recorded):
        raise ConfigurationError(
            f"--quantum {stated.quantum}: the ledger records {recorded!r} for this picture", hint="leave it out"
        )
    system = facts.get("generator", "") if known is not None else stated.system
    if known is not None and stated.system not in ("", system):
        raise ConfigurationError(f"--system {stated.system}: the ledger records {system!r}", hint="leave it out")
    missing = [option for option, value in (("--provider", stated.provider), ("--system", system)) if not value]
    if missing:
        raise ConfigurationError(
            f"a mark names who answers for the picture and what made it; missing: {', '.join(missing)}",
            hint="e.g. --provider 'Example Org' --system some-model --version 1.0",
        )
    identity = unique_id(place, picture.digest, None if known is None else known.index)
    record = MarkingRecord(
        origin=stated.origin,
        provider=stated.provider,
        system=system,
        version=stated.version or str(facts.get("plugin") or NOT_STATED),
        time=stated.time or (known.entry.time if known is not None else _now()),
        unique_id=identity,
        detector=stated.detector,
        quantum=recorded or stated.quantum,
        model=str(facts.get("weights") or ""),
        licence=stated.licence,
        place=place,
    )
    if not stated.producer:
        return record
    return evolve(
        record,
        aigc=Aigc(
            producer=stated.producer,
            produce_id=stated.produce_id or identity,
            propagator=stated.propagator,
            propagate_id=stated.propagate_id,
        ),
    )


def _place(known: Known) -> Place:
    entry = known.entry
    return Place(
        log=known.log,
        run=str(entry.run),
        entry=entry.index,
        leaf=entry.leaf.hex(),
        checkpoint=known.checkpoint,
        pixels=str(entry.facts["pixels"]),
    )


def _recorded_quantum(facts: dict[str, Any]) -> Quantum | None:
    if "quantum" not in facts:
        return None
    if not facts["quantum"]:
        return "none"
    return "simulated" if facts["simulated"] else "hardware"


def _now() -> str:
    return f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%SZ}"
