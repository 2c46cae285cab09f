"""Feature flags: a signed file, default off, opt-in cohorts (imports qimg_policy's signatures).

::

    version = 3                                        # each file that is put to use has a larger one

    [flags.quantum-path]
    state = "canary"                                   # off | canary | on
    cohorts = ["early"]                                # who opted in to one of them may be served
    share = "0.10"                                     # of those; by a keyed hash
    on = { generator = "hybrid-unet", weights = "mnist", backend = "ibm:ibm_fez", shots = 2000 }
    off = { generator = "hybrid-unet", weights = "mnist", arm = "twin" }
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import tomllib
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.ledger import canonical
from qimg_core.storage import storage_error, write_atomic
from qimg_policy.dsse import seal, unseal
from qimg_rollout.baseline import check_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from qimg_policy.keys import PublicKey, SigningKey

PREDICATE = "https://qimg.dev/flags/v1"
VARIANT = ("generator", "weights", "arm", "backend", "fallback", "shots", "noise")
"""What a variant may say."""
_FLAG = {"state", "cohorts", "share", "on", "off", "block", "attempt"}
_KEY = 32


class State(StrEnum):
    """How far a flag is rolled out."""

    OFF = "off"
    CANARY = "canary"
    ON = "on"


@frozen(kw_only=True)
class Flag:
    """One flag.

    Args:
        name: lower case.
        state: off by default.
        cohorts: a subject has to be in one of them while the flag is a canary; none: nobody is served.
        share: of those subjects, 0 to 1.
        on, off: the quantum and the classical path, settings by name, see `VARIANT`.
        block: a rollback also blocks the backend of the ``on`` path for every run of the ledger.
        attempt: a path that was rolled back stays off until it, or this number, is changed.
    """

    name: str
    state: State = State.OFF
    cohorts: tuple[str, ...] = ()
    share: Decimal = Decimal(0)
    on: Mapping[str, Any] = field(factory=dict)
    off: Mapping[str, Any] = field(factory=dict)
    block: bool = False
    attempt: int = 1

    @property
    def path(self) -> str:
        """What a rollback is about: the ``on`` path and its attempt, as a digest."""
        return "sha256:" + hashlib.sha256(canonical.dumps([self.name, dict(self.on), self.attempt])).hexdigest()

    def to_json(self) -> dict[str, Any]:
        return {
            "state": self.state.value,
            "cohorts": list(self.cohorts),
            "share": str(self.share),
            "on": dict(self.on),
            "off": dict(self.off),
            "block": self.block,
            "attempt": self.attempt,
        }


@frozen(kw_only=True)
class Flags:
    """A flag file."""

    version: int
    flags: Mapping[str, Flag]

    def flag(self, name: str) -> Flag:
        """Raises UnknownName: no such flag."""
        if name not in self.flags:
            raise UnknownName("flag", name, self.flags, hint="qimg rollout status")
        return self.flags[name]

    def to_json(self) -> dict[str, Any]:
        return {"version": self.version, "flags": {n: f.to_json() for n, f in sorted(self.flags.items())}}

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical form."""
        return "sha256:" + hashlib.sha256(canonical.dumps(self.to_json())).hexdigest()


def parse_flags(document: Any) -> Flags:
    """Check a flag file's content.

    Raises:
        ConfigurationError: malformed; the message names the flag.
    """
    if not isinstance(document, dict) or set(document) != {"version", "flags"}:
        raise ConfigurationError("a flag file has 'version' and tables [flags.NAME], and nothing else")
    version, tables = document["version"], document["flags"]
    if type(version) is not int or version < 1 or not isinstance(tables, dict) or not tables:
        raise ConfigurationError("a flag file has a version from 1 on and one table [flags.NAME] or more")
    return Flags(version=version, flags={name: _flag(name, table) for name, table in tables.items()})


def _flag(name: str, table: Any) -> Flag:
    check_name(name, "flag")
    if not isinstance(table, dict) or set(table) - _FLAG:
        raise ConfigurationError(f"flag {name}: wanted {', '.join(sorted(_FLAG))}, got {sorted(table)}")
    state, cohorts, share = table.get("state", "off"), table.get("cohorts", []), table.get("share", "0")
    block, attempt = table.get("block", False), table.get("attempt", 1)
    if state not in list(State):
        raise ConfigurationError(f"flag {name}: state is off, canary or on, not {state!r}")
    if not isinstance(cohorts, list) or not all(isinstance(c, str) for c in cohorts) or type(block) is not bool:
        raise ConfigurationError(f"flag {name}: cohorts is a list of names, block is true or false")
    if type(attempt) is not int or attempt < 1:
        raise ConfigurationError(f"flag {name}: attempt is a number from 1 on, not {attempt!r}")
    try:
        part = Decimal(share) if isinstance(share, str) else Decimal("NaN")
    except InvalidOperation:
        part = Decimal("NaN")
    if not (part.is_finite() and 0 <= part <= 1):
        raise ConfigurationError(f'flag {name}: share is a text such as "0.10", from 0 to 1, not {share!r}')
    return Flag(
        name=name,
        state=State(state),
        cohorts=tuple(check_name(c, f"flag {name}: cohort") for c in cohorts),
        share=part,
        on=_variant(name, "on", table.get("on")),
        off=_variant(name, "off", table.get("off")),
        block=block,
        attempt=attempt,
    )


def _variant(flag: str, which: str, given: Any) -> dict[str, Any]:
    if not isinstance(given, dict) or "generator" not in given or set(given) - set(VARIANT):
        raise ConfigurationError(f"flag {flag}: {which} is a table with generator and any of {', '.join(VARIANT[1:])}")
    texts = {k: v for k, v in given.items() if k not in ("shots", "fallback")}
    chain, shots = given.get("fallback", []), given.get("shots", 1)
    good = all(isinstance(v, str) for v in texts.values()) and type(shots) is int and shots > 0
    if not good or not isinstance(chain, list) or not all(isinstance(h, str) for h in chain):
        raise ConfigurationError(f"flag {flag}: {which}: texts, a list of texts as fallback, a number of shots")
    return dict(given)


def read_flags(path: Path) -> Flags:
    """A flag file, not signed yet.

    Raises:
        ConfigurationError: no TOML, or malformed.
        StorageError: it cannot be read.
    """
    try:
        document = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: no TOML: {error}") from error
    return parse_flags(document)


def sign_flags(flags: Flags, keys: Iterable[SigningKey]) -> bytes:
    """The envelope (DSSE, in-toto statement) of a flag file."""
    return seal(PREDICATE, {"flags": flags.digest}, flags.to_json(), keys)


def open_flags(envelope: bytes, trusted: Iterable[PublicKey]) -> tuple[Flags, tuple[PublicKey, ...]]:
    """The flags of an envelope, and the trusted keys that signed it.

    Raises:
        ConfigurationError: no envelope of flags, forged, malformed, or signed by no trusted key.
    """
    keys = tuple(trusted)
    opened = unseal(envelope, PREDICATE, keys)
    if not opened.signers:
        known = ", ".join(k.name for k in keys) or "nobody"
        raise ConfigurationError(f"the flags are signed by none of the trusted keys ({known})")
    return parse_flags(opened.statement["predicate"]), opened.signers


def make_cohort_key(path: Path) -> None:
    """A new secret of 32 bytes as hex, mode 0600.

    Raises:
        ConfigurationError: the file exists.
        StorageError.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already", hint="another key puts everybody into other cohorts")
    write_atomic(path, (secrets.token_hex(_KEY) + "\n").encode(), mode=0o600)


def read_cohort_key(path: Path) -> bytes:
    """The secret of a file.

    Raises:
        ConfigurationError: not 64 hex digits. What the file holds is not repeated.
        StorageError.
    """
    try:
        key = bytes.fromhex(path.read_text("ascii").strip())
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except ValueError:
        key = b""
    if len(key) != _KEY:
        raise ConfigurationError(f"{path}: a cohort key has {2 * _KEY} hex digits", hint="qimg rollout key FILE")
    return key


def bucket(key: bytes, flag: str, subject: str) -> Decimal:
    """Where a subject stands among all, 0 up to but not 1: HMAC-SHA-256 of flag and subject under the key.

    Without the key nobody can tell where somebody stands; another flag shuffles anew.
    """
    text = canonical.dumps([flag, subject])
    return Decimal(int.from_bytes(hmac.digest(key, text, "sha256")[:8], "big")) / Decimal(1 << 64)
