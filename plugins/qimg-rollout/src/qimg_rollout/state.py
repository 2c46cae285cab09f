"""What a log says about its flags: which file is in use, which path was rolled back, which canary runs (imports flags).

Everything is read from entries, and from stops that wait to become entries; there is no other state.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_core.errors import ConfigurationError
from qimg_policy.keys import PublicKey
from qimg_rollout.blocks import block, in_force
from qimg_rollout.flags import Flag, Flags, State, bucket, open_flags
from qimg_rollout.stops import pending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_rollout.canary import CanaryPlan

USED, STARTED, BACK = "rollout.flags", "rollout.started", "rollout.rolled_back"


@frozen(kw_only=True)
class InForce:
    """The flags in use.

    Args:
        entry: that put them to use.
        flags: as they were signed.
        trusted: keys whose flag files may follow.
        back: paths (`Flag.path`) that were rolled back, and the entry of each.
        started: paths with a canary, and the entry of each newest start.
        stopped: paths that a stop rolls back which is not on record yet, and its digest.
    """

    entry: int
    flags: Flags
    trusted: tuple[PublicKey, ...]
    back: dict[str, int] = field(factory=dict)
    started: dict[str, int] = field(factory=dict)
    stopped: dict[str, str] = field(factory=dict)


@frozen(kw_only=True)
class Served:
    """Which path a subject gets, and why."""

    variant: Literal["on", "off"]
    reason: str
    settings: dict[str, Any] = field(factory=dict)


def use_flags(ledger: Ledger, envelope: bytes, trusted: Iterable[PublicKey] = ()) -> Entry:
    """Put a signed flag file to use.

    Args:
        ledger: open for writing.
        envelope: of `qimg_rollout.flags.sign_flags`.
        trusted: keys that may sign this one and later ones; the keys trusted so far by default.

    Raises:
        ConfigurationError: signed by no trusted key, malformed, or no newer than what is in use. Other keys than
            those trusted so far need a file signed by one of the old ones.
    """
    old, given = in_use(ledger), tuple(trusted)
    keys = given or (() if old is None else old.trusted)
    if not keys:
        raise ConfigurationError("no key is trusted yet", hint="qimg rollout use FILE --trust NAME.pub")
    flags, signers = open_flags(envelope, keys)
    if old is not None:
        open_flags(envelope, old.trusted)
        if flags.version <= old.flags.version:
            raise ConfigurationError(
                f"version {flags.version} is not newer than version {old.flags.version}, which is in use",
                hint="raise 'version' and sign again",
            )
    facts = {
        "schema": "qimg.flags/1",
        "version": flags.version,
        "flags": flags.digest,
        "states": {name: flag.state.value for name, flag in sorted(flags.flags.items())},
        "trusted": [str(k) for k in keys],
        "signed_by": [k.id for k in signers],
        "artefacts": {"envelope": ledger.put(envelope)},
    }
    return ledger.append(USED, facts=facts)


def in_use(ledger: Ledger) -> InForce | None:
    """The newest flags of a log; None where none were ever used.

    Raises:
        ConfigurationError: the signature in the log does not hold any more.
        LedgerCorrupt: the envelope is damaged.
    """
    newest = None
    for entry in ledger.entries(kind=USED):
        newest = entry
    if newest is None:
        return None
    trusted = tuple(PublicKey.parse(line) for line in newest.facts["trusted"])
    flags, _ = open_flags(ledger.get(newest.artefacts["envelope"]), trusted)
    return InForce(
        entry=newest.index,
        flags=flags,
        trusted=trusted,
        back={e.facts["path"]: e.index for e in ledger.entries(kind=BACK)},
        started={e.facts["path"]: e.index for e in ledger.entries(kind=STARTED)},
        stopped={f.path: p.digest for p in pending(ledger).stops for f in p.stop.flags},
    )


def required(ledger: Ledger, name: str) -> tuple[InForce, Flag]:
    """The flags in use and one of them.

    Raises:
        ConfigurationError: none in use.
        UnknownName: no such flag.
    """
    found = in_use(ledger)
    if found is None:
        raise ConfigurationError("this ledger uses no flags", hint="qimg rollout use FILE --trust NAME.pub")
    return found, found.flags.flag(name)


def start_canary(ledger: Ledger, name: str, plan: CanaryPlan, *, baseline: int) -> Entry:
    """Write down how a canary will be judged, before its first image.

    Raises:
        ConfigurationError: the flag is no canary, its path was rolled back, or has a canary already.
    """
    found, flag = required(ledger, name)
    if flag.state is not State.CANARY:
        raise ConfigurationError(f"{name} is {flag.state.value}, not canary", hint="change and sign the flag file")
    if flag.path in found.back:
        raise ConfigurationError(
            f"this path of {name} was rolled back in entry {found.back[flag.path]}",
            hint="change the path, or raise its 'attempt', and sign the flag file again",
        )
    if flag.path in found.started:
        raise ConfigurationError(
            f"entry {found.started[flag.path]} began a canary of this path; its plan cannot be changed",
            hint="raise 'attempt' in the flag file for another canary",
        )
    facts = {
        "schema": "qimg.canary-plan/1",
        "flag": name,
        "path": flag.path,
        "flags": found.entry,
        "baseline": baseline,
        **plan.to_json(),
    }
    return ledger.append(STARTED, facts=facts)


def roll_back(ledger: Ledger, name: str, *, reason: str, by: str) -> Entry:
    """Serve the classical path from now on; harmless where that is done already.

    Args:
        ledger: open for writing.
        name: of the flag.
        reason: in words.
        by: "canary" or "operator".
    """
    found, flag = required(ledger, name)
    if flag.path in found.back:
        return ledger.entry(found.back[flag.path])
    facts = {"schema": "qimg.rollback/1", "flag": name, "path": flag.path, "to": dict(flag.off), "by": by}
    entry = ledger.append(BACK, facts=facts, claims={"reason": reason})
    backend = str(flag.on.get("backend", "simulator"))
    if flag.block and not any(dict(b.match) == {"backend": backend} for b in in_force(ledger)):
        block(ledger, {"backend": backend}, reason=reason, by=f"rollout {name}")
    return entry


def decide(found: InForce | None, name: str, *, subject: str, cohorts: Iterable[str], key: bytes | None) -> Served:
    """Which path a subject gets: the classical one unless everything speaks for the other.

    Args:
        found: the flags in use.
        name: of the flag.
        subject: who asks; empty: nobody in particular, who is never in a canary. It is not recorded.
        cohorts: what the subject opted in to.
        key: of `bucket`.

    Raises:
        UnknownName: no such flag.
        ConfigurationError: the decision needs the key and there is none.
    """
    if found is None:
        return Served(variant="off", reason="no flags in use")
    flag = found.flags.flag(name)
    off = dict(flag.off)
    if flag.state is State.OFF:
        return Served(variant="off", reason="the flag is off", settings=off)
    if flag.path in found.back:
        return Served(variant="off", reason=f"rolled back in entry {found.back[flag.path]}", settings=off)
    if flag.path in found.stopped:
        return Served(variant="off", reason=f"rolled back by the stop {found.stopped[flag.path][:12]}", settings=off)
    if flag.state is State.ON:
        return Served(variant="on", reason="the flag is on", settings=dict(flag.on))
    if flag.path not in found.started:
        return Served(variant="off", reason="the canary was not started", settings=off)
    if not subject or not set(cohorts) & set(flag.cohorts):
        return Served(variant="off", reason="not opted in", settings=off)
    if flag.share < 1:
        if key is None:
            raise ConfigurationError("who is in the share is told with a key", hint="--key FILE or QIMG_COHORT_KEY")
        if bucket(key, name, subject) >= flag.share:
            return Served(variant="off", reason="not in the share", settings=off)
    return Served(variant="on", reason="opted in, and in the share", settings=dict(flag.on))
