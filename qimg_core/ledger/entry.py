"""One entry of the log (imports canonical and merkle).

The body is canonical JSON and the body is what counts: every other attribute is read from it.
*facts* were observed, *claims* were asserted by somebody, and *gaps* name what could not be had.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.validators import instance_of

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger import canonical
from qimg_core.ledger.merkle import leaf_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SCHEMA = "qimg.entry/1"
MAX_BYTES = 65_535  # C2SP tlog-tiles: entry bundles carry 16-bit lengths

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,63}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_FIELDS = ["claims", "facts", "gaps", "index", "kind", "run", "schema", "time"]


def _text() -> Any:
    return field(validator=instance_of(str))


@frozen
class Gap:
    """Something that belongs into the record and could not be had, and why."""

    field: str = _text()
    reason: str = _text()


def _gaps(gaps: Iterable[Gap]) -> tuple[Gap, ...]:
    return tuple(gaps)


@frozen
class Draft:
    """An entry before it has a place and a time.

    Args:
        kind: what it records, e.g. ``"run.start"``.
        run: id of the run it belongs to.
        facts: observed. ``facts["artefacts"]``, where present, maps names to digests of stored artefacts.
        claims: asserted by somebody, unchecked.
        gaps: what is missing, and why.
    """

    kind: str
    run: str | None = field(default=None, kw_only=True)
    facts: Mapping[str, Any] = field(factory=dict, kw_only=True)
    claims: Mapping[str, Any] = field(factory=dict, kw_only=True)
    gaps: tuple[Gap, ...] = field(default=(), kw_only=True, converter=_gaps)


@frozen(slots=False)
class Entry:
    """One entry as it stands in the log. ``body`` is its canonical JSON, UTF-8."""

    index: int
    kind: str
    run: str | None
    time: str
    body: bytes = field(repr=False)

    @classmethod
    def of(cls, draft: Draft, *, index: int, time: str) -> Entry:
        """Give a draft its place and time.

        Args:
            draft: what to record.
            index: place in the log, from 0.
            time: RFC 3339, UTC, microseconds, ``Z``.

        Raises:
            ConfigurationError: a malformed kind, a value the canonical form lacks, malformed
                artefact digests, or more than 65,535 bytes.
        """
        if not isinstance(draft.kind, str) or not _KIND.fullmatch(draft.kind):
            raise ConfigurationError(f"{draft.kind!r} is no entry kind", hint='use a short name such as "run.start"')
        if draft.run is not None and (not isinstance(draft.run, str) or not draft.run):
            raise ConfigurationError(f"a run id is a string, not {draft.run!r}")
        facts = dict(draft.facts)
        if not _artefacts_ok(facts):
            raise ConfigurationError('facts["artefacts"] maps names to digests of the form sha256:<64 hex digits>')
        document = {
            "claims": dict(draft.claims),
            "facts": facts,
            "gaps": [{"field": gap.field, "reason": gap.reason} for gap in draft.gaps],
            "index": index,
            "kind": draft.kind,
            "run": draft.run,
            "schema": SCHEMA,
            "time": time,
        }
        body = canonical.dumps(document)
        if len(body) > MAX_BYTES:
            raise ConfigurationError(
                f"an entry of kind {draft.kind!r} has {len(body):,} bytes, more than {MAX_BYTES:,}",
                hint="store it as an artefact: digest = ledger.put(data), then name the digest in facts['artefacts']",
            )
        return cls(index, draft.kind, draft.run, time, body)

    @classmethod
    def parse(cls, body: bytes) -> Entry:
        """Read a body back, strictly.

        Raises:
            LedgerCorrupt: not canonical, of another schema, with missing or foreign fields, or too long.
        """
        if len(body) > MAX_BYTES:
            raise LedgerCorrupt(f"an entry of {len(body):,} bytes, more than {MAX_BYTES:,}")
        try:
            document = canonical.loads(body)
        except ConfigurationError as error:
            raise LedgerCorrupt(f"the body of an entry is damaged: {error.message}") from error
        problem = _malformed(document)
        if problem:
            raise LedgerCorrupt(f"the body of an entry is damaged: {problem}")
        entry = cls(document["index"], document["kind"], document["run"], document["time"], body)
        entry.__dict__["_document"] = document  # what the cached property would read again
        return entry

    @cached_property
    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = canonical.loads(self.body)
        return document

    @property
    def facts(self) -> dict[str, Any]:
        """What was observed."""
        facts: dict[str, Any] = self._document["facts"]
        return facts

    @property
    def claims(self) -> dict[str, Any]:
        """What somebody asserted."""
        claims: dict[str, Any] = self._document["claims"]
        return claims

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """What could not be had, and why."""
        return tuple(Gap(gap["field"], gap["reason"]) for gap in self._document["gaps"])

    @property
    def artefacts(self) -> dict[str, str]:
        """Name to digest, of the artefacts this entry vouches for."""
        found: dict[str, str] = self.facts.get("artefacts", {})
        return found

    @cached_property
    def leaf(self) -> bytes:
        """The Merkle leaf hash of the body, 32 bytes."""
        return leaf_hash(self.body)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` of the body: what any tool gives for the exported line without its newline."""
        return "sha256:" + hashlib.sha256(self.body).hexdigest()


def _artefacts_ok(facts: Mapping[str, Any]) -> bool:
    named = facts.get("artefacts", {})
    return isinstance(named, dict) and all(isinstance(d, str) and DIGEST.fullmatch(d) for d in named.values())


def _malformed(document: Any) -> str:
    """What is wrong with the shape of a body, or an empty string."""
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        schema = document.get("schema") if isinstance(document, dict) else None
        return f"schema {schema!r}, wanted {SCHEMA!r}"
    if sorted(document) != _FIELDS:
        return f"fields {sorted(document)}, wanted {_FIELDS}"
    index, run, gaps = document["index"], document["run"], document["gaps"]
    checks = {
        "index": type(index) is int and index >= 0,
        "kind": isinstance(document["kind"], str) and bool(_KIND.fullmatch(document["kind"])),
        "run": run is None or (isinstance(run, str) and run != ""),
        "time": isinstance(document["time"], str) and bool(_TIME.fullmatch(document["time"])),
        "facts": isinstance(document["facts"], dict) and _artefacts_ok(document["facts"]),
        "claims": isinstance(document["claims"], dict),
        "gaps": isinstance(gaps, list)
        and all(
            isinstance(gap, dict)
            and sorted(gap) == ["field", "reason"]
            and all(isinstance(v, str) for v in gap.values())
            for gap in gaps
        ),
    }
    return ", ".join(f"the field {name!r} is malformed" for name, right in checks.items() if not right)
