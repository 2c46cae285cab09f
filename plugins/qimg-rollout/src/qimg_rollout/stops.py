"""Stops: what an operator wants done while another process holds the ledger (imports blocks, envelopes, leftovers).

A stop is a file ``LEDGER/stops/SHA256.stop``, named by the digest of its bytes and never changed: canonical JSON, or a
DSSE envelope with an in-toto statement where somebody signed it. It is there whole or not at all, and durable, before
`post` returns. Whoever writes the ledger next makes entries of it (`qimg_rollout.stopping`) and removes it. It may also
open an incident, and nothing else. A file that is not what its name says is not read as a stop: it refuses whatever
would leave this process until somebody looks.

Each stop names the one that its writer saw before it, so a file that was taken away shows when a later one is recorded.
"""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import json
import os
import re
import secrets
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.ledger.sqlite import SQLiteLedger
from qimg_core.storage import ensure_folder, storage_error, write_atomic
from qimg_policy.dsse import PAYLOAD_TYPE, seal
from qimg_rollout.blocks import check_match
from qimg_rollout.leftovers import writing

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from qimg_core.ledger.base import Ledger
    from qimg_policy.keys import SigningKey

FOLDER, SUFFIX = "stops", ".stop"
SCHEMA, PREDICATE = "qimg.stop/1", "urn:qimg:stop:1"
LONGEST = 60_000
"""Bytes of a stop's file, at most: each entry that it becomes repeats no more than its text, and has 65,535 at most."""
_NAME = re.compile(r"[0-9a-f]{64}\.stop")
_FIELDS = {"schema", "matches", "flags", "reason", "by", "at", "log", "previous", "nonce"}
SEVERITIES = ("low", "medium", "high")
_INCIDENT = re.compile(r"inc-[0-9]{8}-[0-9a-f]{6}")


@frozen(kw_only=True)
class StoppedFlag:
    """A flag's path that shall serve its classical settings ``to``."""

    flag: str
    path: str
    to: Mapping[str, Any]


@frozen(kw_only=True)
class Opening:
    """An incident that begins: ``inc-YYYYMMDD-xxxxxx``, one of `SEVERITIES`, the entries that showed it.

    Its title is the reason of the stop.
    """

    incident: str
    severity: str
    trigger: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        return {"incident": self.incident, "severity": self.severity, "trigger": list(self.trigger)}


@frozen(kw_only=True)
class Stop:
    """What shall be refused, or opened.

    Args:
        matches: each the facts of a block, see `qimg_rollout.blocks.FACTS`.
        flags: paths to roll back.
        reason: in words; a claim.
        by: ``incident ID`` or ``operator``.
        log: origin of the ledger that it is for.
        previous: digest of the newest stop that its writer saw; empty for none.
        at: UTC, RFC 3339; the writer's clock, a claim.
        nonce: makes each one different.
        opens: the incident that begins with it.
    """

    matches: tuple[Mapping[str, str], ...]
    flags: tuple[StoppedFlag, ...] = ()
    reason: str
    by: str
    log: str
    previous: str = ""
    at: str = field(factory=lambda: f"{dt.datetime.now(dt.UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
    nonce: str = field(factory=lambda: secrets.token_hex(8))
    opens: Opening | None = None

    @property
    def stops(self) -> bool:
        """Does it refuse or roll back anything?"""
        return bool(self.matches or self.flags)

    @property
    def words(self) -> str:
        """What it does, for people."""
        opens = [] if self.opens is None else [f"incident {self.opens.incident} opened"]
        matches = [", ".join(f"{k} {v}" for k, v in sorted(m.items())) for m in self.matches]
        return "; ".join([*opens, *matches, *(f"flag {f.flag}" for f in self.flags)])

    def to_json(self) -> dict[str, Any]:
        """As it is written."""
        flags = [{"flag": f.flag, "path": f.path, "to": dict(f.to)} for f in self.flags]
        return {
            "schema": SCHEMA,
            "matches": [dict(m) for m in self.matches],
            "flags": flags,
            "reason": self.reason,
            "by": self.by,
            "at": self.at,
            "log": self.log,
            "previous": self.previous,
            "nonce": self.nonce,
            **({} if self.opens is None else {"opens": self.opens.to_json()}),
        }


@frozen(kw_only=True)
class Posted:
    """A stop that waits in its file. ``signed_by``: ids of the keys that the envelope names, not checked here."""

    path: Path
    data: bytes = field(repr=False)
    stop: Stop
    signed_by: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """64 hex digits; its name."""
        return self.path.name.removesuffix(SUFFIX)


@frozen(kw_only=True)
class Pending:
    """What waits beside a ledger: stops, oldest first, and files that are none, with why."""

    stops: tuple[Posted, ...] = ()
    damaged: tuple[tuple[Path, str], ...] = ()


def folder_of(ledger: Ledger) -> Path | None:
    """Where the stops of a ledger lie; None for one that has no folder of its own or lets many write."""
    return ledger.folder / FOLDER if isinstance(ledger, SQLiteLedger) else None


def names(folder: Path) -> list[str]:
    """The files that wait, sorted; quick, as it is asked before every request.

    Raises:
        StorageError: the folder is there and cannot be read: what it holds is not known.
    """
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise storage_error(error, "read", folder) from error


def marks(folder: Path) -> list[str]:
    """`names` with when each file was changed: another list where a file was repaired under its own name.

    Raises:
        StorageError: as `names`.
    """
    found = []
    for name in names(folder):
        try:
            at = (folder / name).stat()
        except FileNotFoundError:  # recorded by another process between the listing and now
            continue
        except OSError as error:
            raise storage_error(error, "read", folder / name) from error
        found.append(f"{name} {at.st_ino} {at.st_ctime_ns}")
    return found


def post(folder: Path, stop: Stop, keys: Iterable[SigningKey] = ()) -> Posted:
    """Write a stop, durably.

    Args:
        folder: of `folder_of`.
        stop: what shall be refused.
        keys: who signs; nobody by default.

    Raises:
        ConfigurationError: it does nothing, has no reason, or could not become entries; nothing is written.
        StorageError: it cannot be written; nothing is stopped.
    """
    if not stop.stops and stop.opens is None:
        raise ConfigurationError("a stop names something")
    if not stop.reason.strip():
        raise ConfigurationError("a stop has a reason")
    signing, document = tuple(keys), stop.to_json()
    data = seal(PREDICATE, {"log": _subject(stop.log)}, document, signing) if signing else canonical.dumps(document)
    path = folder / (hashlib.sha256(data).hexdigest() + SUFFIX)
    posted = _read(path, data, stop.log)  # what cannot be read back would refuse every plan of the ledger
    put_back(posted)
    return posted


def put_back(posted: Posted) -> None:
    """Write a stop's file, also again where it went away: it is the same file, so that it still counts once."""
    with writing(ensure_folder(posted.path.parent)):
        write_atomic(posted.path, posted.data)


def pending(ledger: Ledger) -> Pending:
    """The stops that wait to be recorded, and the files that are none; nothing is changed.

    Raises:
        StorageError: as `names`.
    """
    folder = folder_of(ledger)
    found: list[Posted] = []
    damaged: list[tuple[Path, str]] = []
    for name in [] if folder is None else names(folder):
        assert folder is not None
        path = folder / name
        try:
            found.append(_read(path, path.read_bytes(), ledger.origin))
        except FileNotFoundError:  # recorded by another process between the listing and now
            continue
        except OSError as error:
            damaged.append((path, error.strerror or str(error)))
        except ConfigurationError as error:
            damaged.append((path, error.message))
    return Pending(stops=tuple(sorted(found, key=lambda p: (p.stop.at, p.digest))), damaged=tuple(damaged))


def _subject(log: str) -> str:
    return "sha256:" + hashlib.sha256(log.encode()).hexdigest()


def _read(path: Path, data: bytes, log: str) -> Posted:
    """A stop from its file.

    Raises:
        ConfigurationError: the bytes are not those of the name, not a stop, none that entries can hold, or for
            another log.
    """
    if not _NAME.fullmatch(path.name) or hashlib.sha256(data).hexdigest() + SUFFIX != path.name:
        raise ConfigurationError("its bytes are not those that its name says")
    if len(data) > LONGEST:
        raise ConfigurationError(f"a stop has {LONGEST:,} bytes at most, this one {len(data):,}", hint="say it shorter")
    signed: tuple[str, ...] = ()
    try:
        document = json.loads(data.decode())
        if "payload" in document:
            if document["payloadType"] != PAYLOAD_TYPE:
                raise ConfigurationError("an envelope of something else")
            signed = tuple(str(s["keyid"]) for s in document["signatures"])
            statement = canonical.loads(base64.b64decode(document["payload"], validate=True))
            document = statement["predicate"] if statement["predicateType"] == PREDICATE else {}
        stop = _stop(document)
        canonical.dumps([stop.to_json(), list(signed)])  # it shall become entries
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ConfigurationError("it is no stop") from error
    if stop.log != log:
        raise ConfigurationError(f"it is for the log {stop.log[:100]}")
    return Posted(path=path, data=data, stop=stop, signed_by=signed)


def _stop(d: Any) -> Stop:
    if set(d) - {"opens"} != _FIELDS or d["schema"] != SCHEMA:
        raise ValueError
    words = {k: d[k] for k in ("reason", "by", "at", "log", "previous", "nonce")}
    if not all(type(v) is str for v in words.values()):
        raise ValueError
    for match in d["matches"]:
        check_match(match)
    flags = tuple(StoppedFlag(flag=str(f["flag"]), path=str(f["path"]), to=dict(f["to"])) for f in d["flags"])
    opens = _opening(d["opens"]) if "opens" in d else None
    return Stop(matches=tuple(dict(m) for m in d["matches"]), flags=flags, opens=opens, **words)


def _opening(d: Any) -> Opening:
    name, severity, trigger = d["incident"], d["severity"], d["trigger"]
    good = set(d) == {"incident", "severity", "trigger"} and severity in SEVERITIES and _INCIDENT.fullmatch(name)
    if not good or not all(type(i) is int and i >= 0 for i in trigger):
        raise ValueError
    return Opening(incident=name, severity=severity, trigger=tuple(trigger))
