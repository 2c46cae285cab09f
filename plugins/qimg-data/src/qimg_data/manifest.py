"""`Manifest`: what a dataset is, whose it is and what it may serve, as one closed document (imports errors, words).

The document is RFC 8785 canonical JSON without floats, schema ``qimg.manifest/1``; its SHA-256 is its digest. It names
every file, so it lies beside the data and never goes into a ledger: file names may be personal.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from attrs import field, fields, frozen

from qimg_core.admission_words import Consent, Purpose, Sensitivity
from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest
from qimg_data.zones import InputClass

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "qimg.manifest/1"
FILE = "qimg.manifest.json"
"""Name of a folder's manifest; a single file's is ``FILE.manifest.json``."""
SIGNATURE = ".dsse.json"
"""Ending of the envelope beside it, in place of ``.json``."""
TEXTS = (
    "collection", "preprocessing", "biases", "limitations", "use_cases", "social_impact", "maintenance",
)  # fmt: skip
"""Free texts for people; the responsible-AI fields of the Croissant export."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TAG = re.compile(r"[0-9a-f]{32}")
_SPDX = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]{0,99}")


def _text(*, most: int = 2000, empty: bool = True) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if type(value) is not str or len(value) > most or (not empty and not value.strip()):
            wanted = f"text of {'up to' if empty else '1 to'} {most} characters"
            raise ConfigurationError(f"manifest: {attribute.name}: wanted {wanted}, got {str(value)[:60]!r}")

    return field(validator=check, default="") if empty else field(validator=check)


def _date(*, empty: bool = True) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        try:
            good = type(value) is str and ((empty and value == "") or str(dt.date.fromisoformat(value)) == value)
        except ValueError:
            good = False
        if not good:
            raise ConfigurationError(f"manifest: {attribute.name}: wanted a date YYYY-MM-DD, got {str(value)[:60]!r}")

    return field(validator=check, default="") if empty else field(validator=check)


def _word(kind: type[Any], default: str | None = None) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if value not in tuple(str(w) for w in kind):
            raise UnknownName(f"word of a manifest's {attribute.name}", str(value)[:60], [str(w) for w in kind])

    return field(converter=str, validator=check) if default is None else field(validator=check, default=default)


def _matches(pattern: re.Pattern[str], wanted: str) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if type(value) is not str or not pattern.fullmatch(value):
            raise ConfigurationError(f"manifest: {attribute.name}: wanted {wanted}, got {str(value)[:60]!r}")

    return check


@frozen(kw_only=True)
class Manifest:
    """A dataset's manifest.

    Args:
        name, version, description: for people.
        created: date, UTC.
        files: path relative to the data's folder, with ``/`` -> ``{"bytes": n, "sha256": 64 hex digits}``.
        splits: ``train``, ``test`` -> ``{"digest": of the images, "n": how many, "shape": [h, w, c]}``.
        source, source_url, collected: where it is from, and how it was collected.
        source_state: ``clean`` or ``tainted``.
        licence: SPDX identifier, or ``LicenseRef-...``.
        consent, consent_obtained, consent_evidence: of the people; evidence is a digest or a reference, not a name.
        purposes: what it may serve.
        annotation, annotators, agreement: how labels came to be; how many people; e.g. ``krippendorff 0.81``.
        retention_until, retention_reason: last day of use; empty for no limit.
        sensitivity: class of the data.
        inputs: what a picture of it is as an input of a circuit, see `InputClass`.
        subjects: 32 hex digits that stand for a person -> their files, see `qimg_data.subjects`.
        derived_from: digests of the datasets that this one was made of.
        texts: see `TEXTS`.
    """

    name: str = _text(most=100, empty=False)
    version: str = _text(most=50)
    description: str = _text()
    created: str = _date(empty=False)
    files: Mapping[str, Any] = field(factory=dict)
    splits: Mapping[str, Any] = field(factory=dict)
    source: str = _text(most=300, empty=False)
    source_url: str = _text(most=500)
    source_state: str = field(default="clean")
    collected: str = _text()
    licence: str = field(validator=_matches(_SPDX, "an SPDX identifier such as CC-BY-4.0"))
    consent: str = _word(Consent)
    consent_obtained: str = _date()
    consent_evidence: str = _text(most=300)
    purposes: tuple[str, ...] = field(converter=tuple)
    annotation: str = _text()
    annotators: int = field(default=0)
    agreement: str = _text(most=100)
    retention_until: str = _date()
    retention_reason: str = _text()
    sensitivity: str = _word(Sensitivity)
    inputs: str = _word(InputClass)
    subjects: Mapping[str, tuple[str, ...]] = field(factory=dict)
    derived_from: tuple[str, ...] = field(factory=tuple, converter=tuple)
    texts: Mapping[str, str] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.source_state not in ("clean", "tainted"):
            raise UnknownName("state of a source", str(self.source_state)[:60], ["clean", "tainted"])
        for word in self.purposes:
            if word not in tuple(Purpose):
                raise UnknownName("purpose", str(word)[:60], [str(p) for p in Purpose])
        if type(self.annotators) is not int or self.annotators < 0:
            raise ConfigurationError(f"manifest: annotators: wanted a number, got {self.annotators!r}")
        for name in self.texts:
            if name not in TEXTS:
                raise UnknownName("text of a manifest", name, TEXTS)
        for digest in self.derived_from:
            _matches(_DIGEST, "sha256:<64 hex digits>")(self, fields(Manifest).derived_from, digest)
        for path, fact in self.files.items():
            _check_file(path, fact)
        for split, fact in self.splits.items():
            good = split in ("train", "test") and isinstance(fact, dict) and set(fact) == {"digest", "n", "shape"}
            if not good or not _DIGEST.fullmatch(str(fact["digest"])):
                raise ConfigurationError(
                    f"manifest: splits: wanted digest, n and shape of train or test, got {split!r}"
                )
        for tag, paths in self.subjects.items():
            if not _TAG.fullmatch(tag) or not paths or not set(paths) <= set(self.files):
                raise ConfigurationError(f"manifest: subjects: {tag[:40]!r}: wanted 32 hex digits and files of the set")

    def to_json(self) -> dict[str, Any]:
        """One document; `from_json` takes it back."""
        found: dict[str, Any] = {"schema": SCHEMA}
        for name in (a.name for a in fields(type(self))):
            value = getattr(self, name)
            found[name] = list(value) if isinstance(value, tuple) else value
        found["subjects"] = {tag: list(paths) for tag, paths in self.subjects.items()}
        return found

    @property
    def canonical(self) -> bytes:
        """RFC 8785 bytes."""
        return canonical.dumps(self.to_json())

    @property
    def digest(self) -> str:
        """``sha256:`` of the canonical bytes."""
        return sha256_digest(self.canonical)


def _check_file(path: str, fact: Any) -> None:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts or str(pure) != path:
        raise ConfigurationError(f"manifest: files: {path[:100]!r} is not a path inside of the dataset's folder")
    good = isinstance(fact, dict) and set(fact) == {"bytes", "sha256"} and type(fact["bytes"]) is int
    if not good or not _DIGEST.fullmatch(f"sha256:{fact['sha256']}"):
        raise ConfigurationError(f"manifest: files: {path[:100]!r}: wanted bytes and sha256")


def from_json(data: bytes) -> Manifest:
    """Read a manifest, and nothing else.

    Raises:
        ConfigurationError: not canonical JSON of this schema, a field that is not known, a word that is none.
    """
    document = canonical.loads(data.removesuffix(b"\n"))
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise ConfigurationError(
            f"not a manifest of the schema {SCHEMA}", hint="qimg manifest new DATA --about FILE.toml"
        )
    return from_fields({k: v for k, v in document.items() if k != "schema"})


def from_fields(given: Mapping[str, Any]) -> Manifest:
    """A manifest from its fields.

    Raises:
        ConfigurationError: a field that is missing, not known, or malformed.
    """
    known = [a.name for a in fields(Manifest)]
    for name in given:
        if name not in known:
            raise UnknownName("field of a manifest", str(name)[:60], known, hint="qimg manifest template")
    for name in ("files", "splits", "subjects", "texts"):
        if not isinstance(given.get(name, {}), dict):
            raise ConfigurationError(f"manifest: {name}: wanted a table")
    for name in ("purposes", "derived_from"):
        if not isinstance(given.get(name, []), (list, tuple)):
            raise ConfigurationError(f"manifest: {name}: wanted a list")
    try:
        return Manifest(**given)
    except TypeError as error:
        missing = re.findall(r"'(\w+)'", str(error))
        raise ConfigurationError(f"manifest: missing {', '.join(missing)}", hint="qimg manifest template") from error
