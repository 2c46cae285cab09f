"""`Archive`: an outside memory that keeps the whole log, not only its heads (imports kept, pinning, shelf).

A keep stores what the head needs and no earlier keep had: new entries as entry bundles (C2SP tlog-tiles), every
artefact that they name, the keys, the signed head, and last a document that pins them all by version. A keep that is
cut off at any point leaves objects without a document; the next one finds them and goes on.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from qimg_core.errors import LedgerCorrupt, LedgerError, OutsideMemoryError
from qimg_core.ledger import canonical
from qimg_core.ledger.base import Problem
from qimg_core.ledger.note import Checkpoint, split_note
from qimg_core.ledger.outside import OutsideMemory
from qimg_core.storage import sha256_digest
from qimg_stores.continuing import agree, bundles
from qimg_stores.kept import (
    ABOUT,
    ABOUT_SCHEMA,
    Kept,
    Pinned,
    artefact_name,
    checkpoint_name,
    kept_name,
    keys_name,
    load,
    log_prefix,
    stamp,
)
from qimg_stores.pinning import pin, read
from qimg_stores.receipt import SAID, make_receipt, read_evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.outside import Receipt
    from qimg_stores.shelf import Attempt, Capability, Shelf


class Archive(OutsideMemory):
    """A write-once copy of logs on a shelf. `qimg_stores.places.open_archive` makes one from settings.

    Args:
        name: in the ledger's settings.
        shelf: the place.
        retention: how long each object is kept from the day it is put.
        governed: refuse a place that did not prove to be write-once.
        accept_tamper_resistant: except one that calls itself tamper-resistant.
        clock: the time now, with a time zone.
    """

    kind = "archive"

    def __init__(
        self,
        name: str,
        shelf: Shelf,
        *,
        retention: timedelta,
        governed: bool = False,
        accept_tamper_resistant: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.name, self.shelf, self.retention, self.clock = name, shelf, retention, clock
        self.governed, self.accept_tamper_resistant = governed, accept_tamper_resistant

    # Preparing

    def prepare(self) -> tuple[Capability, tuple[Attempt, ...]]:
        """Try what the place must refuse, and keep there how that ended.

        Raises:
            OutsideMemoryError: not reachable, or it does not even keep a scratch object.
        """
        troubles = self.shelf.troubles() if self.shelf.dated else ()
        if troubles:
            raise OutsideMemoryError(
                f"{self.shelf.where} cannot be an archive: " + "; ".join(str(trouble) for trouble in troubles),
                hint="use a bucket that was created with Object Lock: qimg archive init WHERE --create-bucket",
            )
        attempts = self.shelf.attempts()
        capability = self.shelf.capability(attempts)
        now = self.clock().replace(microsecond=0)
        about = canonical.dumps(
            {
                "attempts": [attempt.to_json() for attempt in attempts],
                "capability": capability,
                "retention_days": self.retention.days,
                "schema": ABOUT_SCHEMA,
                "time": stamp(now),
                "where": self.shelf.place,
            }
        )
        name = f"{ABOUT}/{stamp(now).replace(':', '')}-{sha256_digest(about)[7:]}.json"
        pin(self.shelf, "kept", name, about, now + self.retention)
        return capability, attempts

    def about(self) -> Mapping[str, Any]:
        """What the newest self-test found.

        Raises:
            OutsideMemoryError: there was none, or its document is damaged.
        """
        found = [v for v in self.shelf.versions(f"{ABOUT}/") if not v.marker]
        if not found:
            raise OutsideMemoryError(
                f"{self.shelf.where} is not prepared: nobody has tried whether it keeps what it is given",
                hint="qimg archive init WHERE",
            )
        last = found[-1]
        data = self.shelf.get(last.name, last.version)
        if data is None or not last.name.endswith(f"-{sha256_digest(data)[7:]}.json"):
            raise OutsideMemoryError(f"{self.shelf.where}: {last.name} is damaged", hint="qimg archive init WHERE")
        return load(data, ABOUT_SCHEMA)

    def _demand(self) -> str:
        capability = str(self.about()["capability"])
        accepted = {"worm", "tamper-resistant"} if self.accept_tamper_resistant else {"worm"}
        if self.governed and capability not in accepted:
            hint = "use a store that passes: qimg archive init WHERE"
            if capability == "tamper-resistant":
                hint += "; or accept it: accept_tamper_resistant = true"
            raise OutsideMemoryError(
                f"governed mode demands a write-once archive, and {self.shelf.where} is {SAID[capability]}", hint=hint
            )
        return capability

    # The interface

    def keep(self, ledger: Ledger, note: bytes) -> Receipt:
        """Store a head and all that it covers. See `OutsideMemory.keep`."""
        check = ledger.history.open_head(note)
        head = check.checkpoint
        if head.origin != ledger.origin or check.problem:
            raise LedgerError(f"not a head of the log {ledger.origin}: {check.problem or head.origin}")
        capability = self._demand()
        last = self._last(ledger)
        if last is not None:
            agree(ledger, last[0], head)
            if last[0].size == head.size and last[0].one("checkpoint").digest == sha256_digest(note):
                return make_receipt(self.name, self.shelf.place, *last)
        until = (self.clock() + self.retention).replace(microsecond=0)

        def pinned(what: Any, name: str, data: bytes) -> Pinned:
            return pin(self.shelf, what, name, data, until)

        start = 0 if last is None else min(last[0].size, head.size)
        objects = [pinned("keys", keys_name(head.origin, keys), keys) for keys in [ledger.history.text.encode()]]
        named: dict[str, None] = {}
        for name, bundle, artefacts in bundles(ledger, head, start):
            named.update(dict.fromkeys(artefacts))
            objects.append(pinned("entries", log_prefix(head.origin) + name, bundle))
        objects += [pinned("artefact", artefact_name(head.origin, d), ledger.get(d)) for d in named]
        objects.append(pinned("checkpoint", checkpoint_name(head, note), note))
        kept = Kept(
            origin=head.origin,
            size=head.size,
            root=head.root,
            time=stamp(self.clock()),
            capability=capability,
            objects=tuple(objects),
            previous=None if last is None else last[1],
        )
        document = pinned("kept", kept_name(kept), kept.to_bytes())
        return make_receipt(self.name, self.shelf.place, kept, document)

    def check(self, receipt: Receipt, note: bytes) -> tuple[Problem, ...]:
        """Does the evidence fit the head? Offline. See `OutsideMemory.check`."""
        where = f"receipt of {self.name}"
        try:
            head = Checkpoint.parse(split_note(note)[0])
            kept, pinned = read_evidence(receipt.evidence)
            stored = kept.one("checkpoint")
        except LedgerCorrupt as error:
            return (Problem(where, error.message),)
        found = []
        if not kept.is_of(head) or (receipt.size, receipt.root) != (head.size, head.root):
            found.append(Problem(where, f"it is for a head over {kept.size:,} entries of {kept.origin}, not this one"))
        if stored.digest != sha256_digest(note):
            found.append(Problem(where, "the archive holds another note of this head"))
        if receipt.facts.get("capability") != kept.capability:
            found.append(Problem(where, f"the archive was {kept.capability}, the entry says otherwise"))
        weak = sorted({item.mode for item in (*kept.objects, pinned)} - set(self.shelf.modes))
        if weak:
            found.append(Problem(where, f"objects were protected by {', '.join(weak)} only"))
        return tuple(found)

    def newest(self, origin: str) -> Checkpoint | None:
        """The largest head of a log that the archive holds. See `OutsideMemory.newest`."""
        for kept, _ in self.kept(origin):
            return Checkpoint(kept.origin, kept.size, kept.root)
        return None

    def held(self, origin: str) -> tuple[bytes, ...]:
        """The note of the largest head."""
        for kept, _ in self.kept(origin):
            return (read(self.shelf, kept.one("checkpoint")),)
        return ()

    def close(self) -> None:
        """Close the shelf's connections."""
        self.shelf.close()

    # Inside

    def kept(self, origin: str) -> Iterator[tuple[Kept, Pinned]]:
        """The documents of a log's keeps, largest head first; what is none is left to `audit` to name.

        Raises:
            OutsideMemoryError: not reachable.
        """
        listed = [v for v in self.shelf.versions(f"{log_prefix(origin)}kept/") if not v.marker]
        for version in reversed(listed):
            data = self.shelf.get(version.name, version.version)
            try:
                kept = Kept.parse(data or b"")
            except LedgerCorrupt:
                continue
            if kept.origin == origin and kept_name(kept) == version.name:
                lock = self.shelf.lock(version.name, version.version)
                yield (
                    kept,
                    Pinned(
                        what="kept",
                        name=version.name,
                        version=version.version,
                        digest=sha256_digest(data or b""),
                        bytes=version.bytes,
                        mode=lock.mode,
                        until=None if lock.until is None else stamp(lock.until),
                    ),
                )

    def _last(self, ledger: Ledger) -> tuple[Kept, Pinned] | None:
        """The newest keep whose head this log's keys have signed."""
        for kept, pinned in self.kept(ledger.origin):
            try:
                note = read(self.shelf, kept.one("checkpoint"))
                signed = kept.is_of(ledger.history.open_head(note).checkpoint)
            except (LedgerCorrupt, OutsideMemoryError) as error:
                raise OutsideMemoryError(
                    f"{self.shelf.where}: {pinned.name} names a head that this log's keys did not sign: "
                    f"{error.message}; somebody else writes there, or it was damaged",
                    hint="qimg archive audit WHERE --ledger LEDGER",
                ) from error
            if not signed:
                raise OutsideMemoryError(f"{self.shelf.where}: {pinned.name} does not fit the head that it names")
            return kept, pinned
        return None
