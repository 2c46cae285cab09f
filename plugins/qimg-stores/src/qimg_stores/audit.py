"""Auditing an archive: everything is read back, and nothing may protect less than it did (imports archive, reading)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import LedgerCorrupt, LedgerError, OutsideMemoryError
from qimg_core.ledger.base import Verification
from qimg_core.ledger.receipts import KEPT, receipt_of, root_at
from qimg_core.ledger.verify import Findings
from qimg_core.storage import sha256_digest
from qimg_core.verdict import Verdict
from qimg_stores.kept import log_prefix, moment, stamp
from qimg_stores.reading import artefact, collect, entries
from qimg_stores.receipt import read_evidence

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.history import KeyHistory
    from qimg_stores.archive import Archive
    from qimg_stores.kept import Pinned
    from qimg_stores.reading import Collected
    from qimg_stores.shelf import Shelf, Version

RANK = {"COMPLIANCE": 3, "immutable-flag": 2, "GOVERNANCE": 1, "mode-0444": 1}


def audit(
    archive: Archive, origin: str, *, trusted: KeyHistory | None = None, ledger: Ledger | None = None
) -> Verification:
    """Read back all that an archive holds of a log, and compare.

    Every pinned version is read by its id and hashed; its protection is compared with what it was when it was
    put; the entries are hashed up to every kept head; every artefact that they name must be there; versions
    that somebody put over kept ones, delete markers and objects of nobody are named.

    Args:
        archive: to be audited; only read.
        origin: the log.
        trusted: its keys; those of the ledger where one is given, else the archive's own.
        ledger: the log itself: must continue the archive, and the archive must hold what its receipts say.

    Raises:
        OutsideMemoryError: not reachable, or nothing of that log.
    """
    shelf = archive.shelf
    found = Findings()
    notes: list[str] = []
    for problem in shelf.troubles():
        found.add(problem.where, problem.what)
    keys = trusted or (None if ledger is None else ledger.history)
    if keys is None:
        notes.append("the keys are the archive's own: give trusted ones with --vkeys or --ledger")
    held = collect(shelf, origin, keys)
    for problem in held.problems:
        found.add(problem.where, problem.what)
    capability = str(archive.about()["capability"])
    if capability != "worm":
        notes.append(f"the place is {capability}: whoever administers it can change what it holds")
    objects = _check_objects(shelf, held, found)
    _check_listing(shelf, held, found, notes)
    count, named = _check_entries(shelf, held, found)
    if ledger is not None:
        _check_ledger(archive, held, ledger, found, notes)
    notes.insert(0, f"{objects:,} objects of {len(held.keeps):,} keeps were read back and hashed")
    return Verification(
        verdict=Verdict.FAIL if found.count else Verdict.PASS,
        entries=count,
        artefacts=named,
        checkpoints=len(held.keeps),
        signatures=2 * len(held.keeps),
        first_bad=found.first_bad,
        problems=found.close(),
        notes=tuple(notes),
    )


def _check_objects(shelf: Shelf, held: Collected, found: Findings) -> int:
    """Bytes and protection of everything that a keep pinned."""
    pins: dict[tuple[str, str], Pinned] = {}
    for kept, _ in held.keeps:
        for item in (*kept.objects, *([kept.previous] if kept.previous else [])):
            before = pins.get((item.name, item.version))
            if before is None or (item.until or "") > (before.until or ""):
                pins[item.name, item.version] = item
    for item in held.objects.values():
        pins.setdefault((item.name, item.version), item)
    for item in pins.values():
        try:
            _check_object(shelf, item, found)
        except OutsideMemoryError as error:
            found.add(item.name, f"version {item.version} cannot be looked at: {error.message}")
    return len(pins)


def _check_object(shelf: Shelf, item: Pinned, found: Findings) -> None:
    data = shelf.get(item.name, item.version)
    if data is None:
        found.add(item.name, f"version {item.version} is gone")
        return
    if sha256_digest(data) != item.digest:
        found.add(item.name, f"version {item.version} has the digest {sha256_digest(data)}, kept was {item.digest}")
    lock = shelf.lock(item.name, item.version)
    if RANK.get(lock.mode, 0) < RANK.get(item.mode, 0):
        found.add(item.name, f"its protection was {item.mode} and is {lock.mode}")
    if item.until is not None and (lock.until is None or lock.until < moment(item.until)):
        now = "no date" if lock.until is None else stamp(lock.until)
        found.add(item.name, f"its retention was until {item.until} and is until {now}: it was shortened")


def _check_listing(shelf: Shelf, held: Collected, found: Findings, notes: list[str]) -> None:
    """Delete markers, versions over kept ones, objects that no keep pins."""
    by_name: dict[str, list[Version]] = {}
    for version in shelf.versions(log_prefix(held.origin)):
        by_name.setdefault(version.name, []).append(version)
    loose = 0
    for name, versions in by_name.items():
        item = held.objects.get(name)
        if item is None:
            loose += sum(not version.marker for version in versions)
            continue
        for version in versions:
            if version.marker:
                found.add(
                    name, f"a delete marker, version {version.version}, hides it (the kept version is there still)"
                )
            elif version.version != item.version:
                data = shelf.get(name, version.version)
                if data is None or sha256_digest(data) != item.digest:
                    place = "over" if version.newest else "beside"
                    found.add(name, f"a foreign version {version.version} was put {place} the kept {item.version}")
                else:
                    notes.append(f"{name} is there twice, with the same bytes")
    if loose:
        notes.append(f"{loose:,} objects that no keep pins: left by a keep that was cut off, or put by somebody else")


def _check_entries(shelf: Shelf, held: Collected, found: Findings) -> tuple[int, int]:
    """The entries up to every head, and their artefacts. How many there are of each."""
    count = 0
    named: set[str] = set()
    try:
        for entry in entries(shelf, held):
            count += 1
            for digest in entry.artefacts.values():
                if digest in named:
                    continue
                named.add(digest)
                try:
                    artefact(shelf, held, digest)
                except OutsideMemoryError as error:
                    found.add(f"artefact {digest}", f"{error.message} (named by entry {entry.index})", entry.index)
    except (LedgerCorrupt, OutsideMemoryError) as error:
        found.add(f"entry {count}", error.message, count)
    return count, len(named)


def _check_ledger(archive: Archive, held: Collected, ledger: Ledger, found: Findings, notes: list[str]) -> None:
    """The log continues every kept head, and what its receipts pin is what the archive pins."""
    size = len(ledger)
    for kept, _ in held.keeps:
        if kept.size > size:
            found.add("ledger", f"rollback: the archive holds {kept.size:,} entries, the ledger {size:,}", size)
        elif root_at(ledger, kept.size) != kept.root:
            found.add("ledger", f"fork: its first {kept.size:,} entries are not those that the archive holds")
    documents = {kept.to_bytes() for kept, _ in held.keeps}
    receipts = 0
    for entry in ledger.entries(kind=KEPT):
        about = entry.facts.get("facts") or {}
        if entry.facts.get("kind") != "archive" or about.get("where") != archive.shelf.place:
            continue
        try:
            kept, pinned = read_evidence(receipt_of(ledger, entry).evidence)
        except LedgerError as error:
            found.add(f"entry {entry.index}", error.message, entry.index)
            continue
        receipts += 1
        if kept.to_bytes() not in documents:
            what = f"its receipt pins {pinned.name}, version {pinned.version}, which the archive does not hold"
            found.add(f"entry {entry.index}", what)
    notes.append(f"{receipts:,} receipts of this archive in the ledger were compared")
    if held.size < size:
        notes.append(f"{size - held.size:,} entries of the ledger are not in the archive yet: qimg ledger anchor")
