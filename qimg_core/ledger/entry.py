"""One entry of the log (imports canonical and merkle).

The body is canonical JSON and the body is what counts: every other attribute is read from it.
*facts* were observed, *claims* were asserted by somebody, and *gaps* name what could not be had.
"""

from __future__ import annotations

import hashlib
import re
from functools import cached_property
from json.encoder import encode_basestring
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
LONGEST_KEY = 255

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9_.:/-]{0,63}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z")
_PLACE = re.compile(rb',"index":(0|[1-9][0-9]{0,15})(?:,"key":"(?:[^"\\]|\\.)*")?', re.DOTALL)
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
        key: makes a retry harmless: while an entry with this key is in the log, writing the same draft again
            gives that entry, and writing another with its key is refused. It is part of the entry.
    """

    kind: str
    run: str | None = field(default=None, kw_only=True)
    facts: Mapping[str, Any] = field(factory=dict, kw_only=True)
    claims: Mapping[str, Any] = field(factory=dict, kw_only=True)
    gaps: tuple[Gap, ...] = field(default=(), kw_only=True, converter=_gaps)
    key: str | None = field(default=None, kw_only=True)


@frozen
class Prepared:
    """A draft, checked and written down as far as its place and time do not matter.

    Canonical JSON has ``claims``, ``facts`` and ``gaps`` before the index, and the rest behind it.
    """

    draft: Draft
    begin: bytes = field(repr=False)

    def at(self, index: int, time: str) -> Entry:
        """The entry at a place of the log.

        Args:
            index: from 0.
            time: RFC 3339, UTC, microseconds, ``Z``.

        Raises:
            ConfigurationError: more than 65,535 bytes.
        """
        draft = self.draft
        body = self.begin + _index(index, draft.key) + _end(draft.kind, draft.run, time)
        if len(body) > MAX_BYTES:
            raise ConfigurationError(
                f"an entry of kind {draft.kind!r} has {len(body):,} bytes, more than {MAX_BYTES:,}",
                hint="store it as an artefact: digest = ledger.put(data), then name the digest in facts['artefacts']",
            )
        entry = Entry(index, draft.kind, draft.run, time, body)
        entry.__dict__["key"] = draft.key
        return entry

    def gave(self, entry: Entry) -> bool:
        """Is an entry this draft's, whatever its place and time?"""
        return self.at(entry.index, entry.time).body == entry.body


def prepare(draft: Draft) -> Prepared:
    """Check a draft and write down what does not depend on its place.

    Raises:
        ConfigurationError: a malformed kind, run or key, a value the canonical form lacks, or malformed artefact
            digests.
    """
    if not isinstance(draft.kind, str) or not _KIND.fullmatch(draft.kind):
        raise ConfigurationError(f"{draft.kind!r} is no entry kind", hint='use a short name such as "run.start"')
    if draft.run is not None and (not isinstance(draft.run, str) or not draft.run):
        raise ConfigurationError(f"a run id is a string, not {draft.run!r}")
    if draft.key is not None and (not isinstance(draft.key, str) or not 1 <= len(draft.key) <= LONGEST_KEY):
        raise ConfigurationError(f"a retry key is a string of 1 to {LONGEST_KEY} characters, not {draft.key!r:.60}")
    facts = dict(draft.facts)
    if not _artefacts_ok(facts):
        raise ConfigurationError('facts["artefacts"] maps names to digests of the form sha256:<64 hex digits>')
    gaps = [{"field": gap.field, "reason": gap.reason} for gap in draft.gaps]
    begin = canonical.dumps({"claims": dict(draft.claims), "facts": facts, "gaps": gaps})[:-1]
    return Prepared(draft, begin)


def _index(index: int, key: str | None) -> bytes:
    return b',"index":%d' % index if key is None else b',"index":%d,"key":%b' % (index, _json(key))


def _end(kind: str, run: str | None, time: str) -> bytes:
    shown = b"null" if run is None else _json(run)
    return b',"kind":"%b","run":%b,"schema":"%b","time":"%b"}' % (kind.encode(), shown, SCHEMA.encode(), time.encode())


def _json(text: str) -> bytes:
    return encode_basestring(text).encode() if text.isascii() else canonical.dumps(text)


def ends_as(body: bytes, index: int, run: str | None, kind: str, time: str) -> bool:
    """Does a body say of itself what a store's columns say? Its beginning (claims, facts, gaps) is not looked at.

    Exact for bodies in canonical form: a quote inside a string is escaped, so what matches is the outermost
    object's own end. False also for some that do agree, e.g. text that is not UTF-8: read those strictly.
    """
    try:
        end = _end(kind, run, time)
    except (ConfigurationError, UnicodeEncodeError):
        return False
    stop = len(body) - len(end)
    if not body.endswith(end):
        return False
    if body.endswith(b',"index":%d' % index, 0, stop):
        return True
    place = _PLACE.fullmatch(body, max(body.rfind(b',"index":', 0, stop), 0), stop)
    return place is not None and int(place[1]) == index


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
            ConfigurationError: as of `prepare`, or more than 65,535 bytes.
        """
        return prepare(draft).at(index, time)

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

    @cached_property
    def key(self) -> str | None:
        """The retry key that its draft carried."""
        key: str | None = self._document.get("key")
        return key

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
    if sorted(document.keys() - {"key"}) != _FIELDS:
        return f"fields {sorted(document)}, wanted {_FIELDS}"
    index, run, gaps = document["index"], document["run"], document["gaps"]
    checks = {
        "index": type(index) is int and index >= 0,
        "key": "key" not in document or (isinstance(document["key"], str) and document["key"] != ""),
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
