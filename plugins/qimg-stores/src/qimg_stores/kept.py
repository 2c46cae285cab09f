"""What an archive says of each keep: pinned objects, and the document that lists them (imports canonical, note, shelf).

Names under the archive's prefix, for the log ``ORIGIN`` (percent-quoted)::

    about/<time>-<digest>.json                 how the place stood the self-test
    logs/ORIGIN/checkpoint/<size>-<digest>     a signed head
    logs/ORIGIN/keys/<digest>                  the log's verifier keys
    logs/ORIGIN/tile/entries/...               entry bundles of C2SP tlog-tiles
    logs/ORIGIN/artefact/sha256/ab/<hex>       artefacts that entries name
    logs/ORIGIN/kept/<size>-<digest>.json      one document per keep, written last: what belongs together
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote, unquote

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.ledger.note import Checkpoint

ABOUT, LOGS = "about", "logs"
KEPT_SCHEMA, RECEIPT_SCHEMA, ABOUT_SCHEMA = "qimg.archive.kept/1", "qimg.archive.receipt/1", "qimg.archive.about/1"

What = Literal["checkpoint", "keys", "entries", "artefact", "kept"]
_NAME = re.compile(r"[\x21-\x7e]{1,900}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@frozen(kw_only=True)
class Pinned:
    """One version of one object, as it was read back after the put.

    Args:
        what: its part in the record.
        name, version: where it is.
        digest: ``sha256:`` of its bytes.
        bytes: how many.
        mode: how it was protected, see `Lock`.
        until: to when, RFC 3339 in UTC; None where the place knows no date.
    """

    what: What
    name: str
    version: str
    digest: str
    bytes: int
    mode: str
    until: str | None

    def to_json(self) -> dict[str, Any]:
        """For a document."""
        return {
            "bytes": self.bytes,
            "digest": self.digest,
            "mode": self.mode,
            "name": self.name,
            "until": self.until,
            "version": self.version,
            "what": self.what,
        }

    @classmethod
    def parse(cls, document: Any) -> Pinned:
        """Read it back, strictly.

        Raises:
            LedgerCorrupt: malformed.
        """
        if not isinstance(document, dict) or sorted(document) != [
            "bytes",
            "digest",
            "mode",
            "name",
            "until",
            "version",
            "what",
        ]:
            raise LedgerCorrupt("a pinned object is malformed")
        found = cls(**document)
        texts = (found.what, found.name, found.version, found.digest, found.mode)
        if (
            not all(isinstance(text, str) for text in texts)
            or not _NAME.fullmatch(found.name)
            or not _DIGEST.fullmatch(found.digest)
            or type(found.bytes) is not int
            or not isinstance(found.until, (str, type(None)))
        ):
            raise LedgerCorrupt("a pinned object is malformed")
        if found.until is not None:
            moment(found.until)
        return found


@frozen(kw_only=True)
class Kept:
    """The document of one keep.

    Args:
        origin, size, root: of the head that was kept (root: 32 bytes).
        time: when, RFC 3339.
        capability: of the place, as its newest self-test said.
        objects: everything that this head needed and no earlier keep had.
        previous: the document of the keep before; None for the first.
    """

    origin: str
    size: int
    root: bytes = field(repr=lambda root: root.hex())
    time: str
    capability: str
    objects: tuple[Pinned, ...] = field(repr=False)
    previous: Pinned | None = None

    def to_bytes(self) -> bytes:
        """Canonical JSON."""
        return canonical.dumps(
            {
                "capability": self.capability,
                "objects": [item.to_json() for item in self.objects],
                "origin": self.origin,
                "previous": None if self.previous is None else self.previous.to_json(),
                "root": self.root.hex(),
                "schema": KEPT_SCHEMA,
                "size": self.size,
                "time": self.time,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> Kept:
        """Read it back, strictly.

        Raises:
            LedgerCorrupt: malformed.
        """
        document = load(data, KEPT_SCHEMA)
        try:
            found = cls(
                origin=document["origin"],
                size=document["size"],
                root=bytes.fromhex(document["root"]),
                time=document["time"],
                capability=document["capability"],
                objects=tuple(Pinned.parse(item) for item in document["objects"]),
                previous=None if document["previous"] is None else Pinned.parse(document["previous"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise LedgerCorrupt(f"the document of a keep is malformed: {error}") from error
        if found.to_bytes() != data or type(found.size) is not int or found.size < 0 or len(found.root) != 32:
            raise LedgerCorrupt("the document of a keep is malformed")
        found.one("keys"), found.one("checkpoint")
        return found

    def one(self, what: What) -> Pinned:
        """The only object of a sort: ``checkpoint`` or ``keys``.

        Raises:
            LedgerCorrupt: none, or several.
        """
        found = [item for item in self.objects if item.what == what]
        if len(found) != 1:
            raise LedgerCorrupt(f"the document of keep {self.size} has {len(found)} objects {what!r}, wanted one")
        return found[0]

    def is_of(self, head: Checkpoint) -> bool:
        """Is it of this head?"""
        return (self.origin, self.size, self.root) == (head.origin, head.size, head.root)


def load(data: bytes, schema: str) -> Mapping[str, Any]:
    """A canonical JSON object of a schema.

    Raises:
        LedgerCorrupt: anything else.
    """
    try:
        document = canonical.loads(data)
    except ConfigurationError as error:
        raise LedgerCorrupt(f"a document of the archive is damaged: {error.message}") from error
    if not isinstance(document, dict) or document.get("schema") != schema:
        raise LedgerCorrupt(f"not a document of the schema {schema}")
    return document


def log_prefix(origin: str) -> str:
    """Where the objects of a log lie."""
    return f"{LOGS}/{quote(origin, safe='')}/"


def origin_of(name: str) -> str | None:
    """The log that an object belongs to."""
    parts = name.split("/", 2)
    return unquote(parts[1]) if parts[0] == LOGS and len(parts) == 3 else None


def checkpoint_name(head: Checkpoint, note: bytes) -> str:
    """Of a signed head."""
    return f"{log_prefix(head.origin)}checkpoint/{head.size:020d}-{sha256_digest(note)[7:]}"


def keys_name(origin: str, data: bytes) -> str:
    """Of the verifier keys."""
    return f"{log_prefix(origin)}keys/{sha256_digest(data)[7:]}"


def artefact_name(origin: str, digest: str) -> str:
    """Of an artefact."""
    return f"{log_prefix(origin)}artefact/sha256/{digest[7:9]}/{digest[7:]}"


def kept_name(kept: Kept) -> str:
    """Of the document of a keep; names sort by size."""
    return f"{log_prefix(kept.origin)}kept/{kept.size:020d}-{sha256_digest(kept.to_bytes())[7:]}.json"


def stamp(when: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return when.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def moment(text: str) -> datetime:
    """Read `stamp` back.

    Raises:
        LedgerCorrupt: of another form.
    """
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError as error:
        raise LedgerCorrupt(f"{text!r} is no time of the form 2026-01-31T12:00:00Z") from error
