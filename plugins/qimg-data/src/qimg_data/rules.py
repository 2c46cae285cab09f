"""Which data may be learned: `Rules`, and the ledger's pin of them (imports errors, words, qimg-policy's public keys).

A TOML file. The newest entry ``data.rules`` of a ledger counts; without one, the file that ``QIMG_DATA_RULES`` names;
without both, the defaults, which demand no manifest and check the one that is there.
"""

from __future__ import annotations

import fnmatch
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import asdict, field, fields, frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest, storage_error
from qimg_policy.keys import PublicKey

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

KIND = "data.rules"
SCHEMA = "qimg.data-rules/1"
VARIABLE = "QIMG_DATA_RULES"
LICENCES = (
    "Apache-2.0", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC0-1.0", "CDLA-Permissive-2.0",
    "MIT", "ODC-By-1.0", "PDDL-1.0",
)  # fmt: skip
"""Licences that allow training and redistribution of what was trained, by their SPDX identifiers."""


def _strings(values: Any) -> tuple[str, ...]:
    if not isinstance(values, (list, tuple)) or not all(type(v) is str for v in values):
        raise ConfigurationError(f"data rules: wanted a list of texts, got {values!r}")
    return tuple(values)


def _flag(instance: object, attribute: Any, value: object) -> None:
    if type(value) is not bool:
        raise ConfigurationError(f"data rules: {attribute.name}: wanted true or false, got {value!r}")


@frozen(kw_only=True)
class Rules:
    """What a manifest has to meet.

    Args:
        manifest_required: data without a manifest are refused.
        signature_required: one of the trusted keys has to have signed it.
        trusted: public keys, ``NAME ed25519 BASE64``.
        licences: SPDX identifiers that are accepted.
        tainted: sources that are refused: names or URLs with ``*`` and ``?``, or digests of datasets.
        consent_days: consent that is older has to be obtained again; 0: never.
    """

    manifest_required: bool = field(default=False, validator=_flag)
    signature_required: bool = field(default=False, validator=_flag)
    trusted: tuple[str, ...] = field(default=(), converter=_strings)
    licences: tuple[str, ...] = field(default=LICENCES, converter=_strings)
    tainted: tuple[str, ...] = field(default=(), converter=_strings)
    consent_days: int = field(default=0)

    def __attrs_post_init__(self) -> None:
        if type(self.consent_days) is not int or self.consent_days < 0:
            raise ConfigurationError(f"data rules: consent_days: wanted a number from 0, got {self.consent_days!r}")
        _ = self.keys
        if self.signature_required and not self.trusted:
            raise ConfigurationError(
                "data rules: a signature is required and no key is trusted",
                hint="qimg manifest use RULES --trust NAME.pub",
            )

    @property
    def keys(self) -> tuple[PublicKey, ...]:
        """The trusted keys."""
        return tuple(PublicKey.parse(line) for line in self.trusted)

    @property
    def digest(self) -> str:
        """``sha256:`` of the canonical document."""
        return sha256_digest(canonical.dumps(self.to_json()))

    def to_json(self) -> dict[str, Any]:
        """One document."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def taints(self, *names: str) -> str | None:
        """The pattern that one of these names meets."""
        for pattern in self.tainted:
            if any(name and fnmatch.fnmatchcase(name.lower(), pattern.lower()) for name in names):
                return pattern
        return None


def read_rules(path: Path, trusted: tuple[PublicKey, ...] = ()) -> Rules:
    """Rules of a TOML file, with further trusted keys.

    Raises:
        ConfigurationError: malformed, or a word that is not known.
        StorageError: it cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text())
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return from_fields({**document, "trusted": [*document.get("trusted", []), *(str(k) for k in trusted)]})


def from_fields(document: dict[str, Any]) -> Rules:
    """Rules of a document.

    Raises:
        ConfigurationError.
    """
    known = [a.name for a in fields(Rules)]
    for name in document:
        if name not in known:
            raise UnknownName("data rule", name, known)
    return Rules(**document)


def rules_of(ledger: Ledger) -> tuple[Rules, int | None]:
    """The rules in force for a ledger, and the entry that pins them.

    Raises:
        ConfigurationError: ``QIMG_DATA_RULES`` names no usable file.
    """
    newest = None
    for entry in ledger.entries(kind=KIND):
        newest = entry
    if newest is not None:
        return from_fields(newest.facts["rules"]), newest.index
    named = os.environ.get(VARIABLE, "").strip()
    return (read_rules(Path(named)) if named else Rules()), None


def pin_rules(ledger: Ledger, rules: Rules) -> Entry:
    """From now on these rules count in this ledger; who replaced which stays visible in it."""
    old, entry = rules_of(ledger)
    facts = {
        "schema": SCHEMA,
        "rules": rules.to_json(),
        "digest": rules.digest,
        "replaces": None if entry is None else old.digest,
    }
    return ledger.append(KIND, facts=facts)
