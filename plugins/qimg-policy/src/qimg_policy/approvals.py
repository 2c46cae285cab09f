"""Approvals and waivers: who may, for which kind of plan, until when (imports dsse, settings, admission input).

An approval is a signed in-toto statement in an entry ``policy.approved``. It names the class of plan
(`AdmissionInput.class_digest`), upper bounds of its sizes and cost, the bundle and the log it is for, and a time. It
grants one word (`qimg_core.admission_words.Approval`) to the rules, or waives one control. Forged, expired, foreign or
over-sized ones are not counted, and the decision says so.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from qimg_core.admission_input import BOUNDED, AdmissionInput
from qimg_core.admission_words import Approval
from qimg_core.errors import ConfigurationError
from qimg_policy.dsse import seal, unseal
from qimg_policy.ruling import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_policy.keys import SigningKey
    from qimg_policy.settings import Approver, Settings

KIND = "policy.approved"
SCHEMA = "qimg.approval/1"
PREDICATE = "urn:qimg:approval:1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"
SKEW = dt.timedelta(seconds=5)
"""How far the clock may be behind the newest entry before it counts as set back."""


@frozen(kw_only=True)
class Grant:
    """What one statement grants.

    Args:
        kind: approval or waiver.
        grants: the approval's word, or the waived control's id.
        scope: digest of the class of plan.
        bundle, log: digest of the policy, and origin of the log, that it is for.
        bounds: upper bound of each of cost_micro, shots, jobs, rows.
        start, until: UTC.
    """

    kind: Literal["approval", "waiver"]
    grants: str
    scope: str
    bundle: str
    log: str
    bounds: Mapping[str, int | None]
    start: dt.datetime
    until: dt.datetime

    def predicate(self) -> dict[str, Any]:
        """As it is signed."""
        return {
            "kind": self.kind,
            "grants": self.grants,
            "bundle": self.bundle,
            "log": self.log,
            "bounds": {name: self.bounds[name] for name in BOUNDED},
            "from": f"{self.start:{_TIME}}",
            "until": f"{self.until:{_TIME}}",
        }


def sign_grant(grant: Grant, key: SigningKey) -> bytes:
    """The envelope of an approval."""
    return seal(PREDICATE, {"plan-class": grant.scope}, grant.predicate(), [key])


def read_grant(statement: Mapping[str, Any]) -> Grant:
    """A grant from its statement.

    Raises:
        ConfigurationError: not such a statement.
    """
    try:
        p, (subject,) = statement["predicate"], statement["subject"]
        times = [dt.datetime.strptime(p[k], _TIME).replace(tzinfo=dt.UTC) for k in ("from", "until")]
        bounds = {name: p["bounds"][name] for name in BOUNDED}
        good = p["kind"] in ("approval", "waiver") and all(isinstance(p[k], str) for k in ("grants", "bundle", "log"))
        good = good and all(v is None or type(v) is int for v in bounds.values())
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError("not an approval of this program") from error
    if not good:
        raise ConfigurationError("not an approval of this program")
    return Grant(
        kind=p["kind"],
        grants=p["grants"],
        scope="sha256:" + str(subject["digest"]["sha256"]),
        bundle=p["bundle"],
        log=p["log"],
        bounds=bounds,
        start=times[0],
        until=times[1],
    )


@frozen(kw_only=True)
class Granted:
    """What counts for a plan, and what was not counted and why."""

    approvals: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()
    notes: tuple[Finding, ...] = ()


def add_grant(ledger: Ledger, settings: Settings, envelope: bytes) -> Entry:
    """Put an approval into a log.

    Raises:
        ConfigurationError: nobody who may approve has signed it, it is forged, or it is for another log.
        LedgerError, StorageError.
    """
    opened = unseal(envelope, PREDICATE, [a.key for a in settings.approvers])
    grant = read_grant(opened.statement)
    if not opened.signers:
        known = ", ".join(a.key.name for a in settings.approvers) or "nobody"
        raise ConfigurationError(f"the approval is signed by none of the policy's approvers ({known})")
    if grant.log != ledger.origin:
        raise ConfigurationError(f"the approval is for the log {grant.log}, this one is {ledger.origin}")
    facts = {
        "schema": SCHEMA,
        "class": grant.scope,
        **grant.predicate(),
        "signed_by": [k.name for k in opened.signers],
        "artefacts": {"envelope": ledger.put(envelope)},
    }
    return ledger.append(KIND, facts=facts)


def granted(ledger: Ledger, settings: Settings, bundle: str, given: AdmissionInput, now: dt.datetime) -> Granted:
    """The approvals and waivers of a log that hold for a plan at a time.

    Args:
        ledger: where they are.
        settings: who may approve, and how many it takes.
        bundle: digest of the deciding bundle.
        given: the plan.
        now: UTC. A clock behind the log's newest entry counts as set back: then nothing is granted, and what leaves
            the machine is refused.
    """
    newest = _newest(ledger)
    if newest is not None and now < newest - SKEW:
        reason = f"the clock says {now:{_TIME}}, the newest entry is of {newest:{_TIME}}: it was set back"
        code = "E_CLOCK" if given.leaves_machine else "I_APPROVAL"
        return Granted(notes=(Finding(code=code, reason=reason, satisfy="set the clock right"),))
    scope, notes = given.class_digest, []
    persons: dict[tuple[str, str], set[str]] = {}
    for entry in ledger.entries(kind=KIND):
        if entry.facts.get("class") != scope:
            continue
        problem, grant, keys = _judge(ledger, entry, settings, bundle, given, now)
        if problem or grant is None:
            notes.append(Finding(code="I_APPROVAL", rule=f"entry-{entry.index}", reason=problem))
            continue
        persons.setdefault((grant.kind, grant.grants), set()).update(keys)
    found: dict[str, list[str]] = {"approval": [], "waiver": []}
    for (kind, grants), keys in sorted(persons.items()):
        if len(keys) >= settings.persons:
            found[kind].append(grants)
        else:
            reason = f"{kind} {grants}: {len(keys)} of {settings.persons} persons have signed"
            notes.append(Finding(code="I_APPROVAL", reason=reason))
    return Granted(approvals=tuple(found["approval"]), waived=tuple(found["waiver"]), notes=tuple(notes))


def _newest(ledger: Ledger) -> dt.datetime | None:
    n = len(ledger)
    return dt.datetime.fromisoformat(ledger.entry(n - 1).time) if n else None


def _judge(
    ledger: Ledger, entry: Entry, settings: Settings, bundle: str, given: AdmissionInput, now: dt.datetime
) -> tuple[str, Grant | None, set[str]]:
    """Why an approval does not count (empty: it does), and by which keys."""
    try:
        opened = unseal(ledger.get(entry.artefacts["envelope"]), PREDICATE, [a.key for a in settings.approvers])
        grant = read_grant(opened.statement)
    except (ConfigurationError, KeyError) as error:
        return getattr(error, "message", "it has no envelope"), None, set()
    signers = {k.id for k in opened.signers}
    keys = {a.key.id for a in settings.approvers if a.key.id in signers and _may(a, grant)}
    over = [n for n in BOUNDED if not _within(getattr(given, n), grant.bounds[n])]
    checks = {
        "it is for another class of plan": grant.scope == given.class_digest,
        f"it is for the log {grant.log}": grant.log == ledger.origin,
        "it is for another policy: approve again under this one": grant.bundle == bundle,
        f"it expired on {grant.until:{_TIME}}": now < grant.until,
        f"it begins on {grant.start:{_TIME}}": grant.start <= now + SKEW,
        f"it runs for more than {settings.longest_days} days": grant.until - grant.start
        <= dt.timedelta(days=settings.longest_days),
        f"the plan is larger than what was approved: {', '.join(over)}": not over,
        f"nobody who may grant {grant.grants} has signed it": bool(keys),
        f"{grant.grants} cannot be waived": grant.kind == "approval" or grant.grants in settings.waivable,
        f"{grant.grants} is no approval": grant.kind == "waiver" or grant.grants in tuple(Approval),
    }
    return next((why for why, good in checks.items() if not good), ""), grant, keys


def _may(approver: Approver, grant: Grant) -> bool:
    return approver.waive if grant.kind == "waiver" else grant.grants in approver.may


def _within(value: int | None, bound: int | None) -> bool:
    """An unknown number is only within a bound that says it may be unknown."""
    return bound is None if value is None else bound is not None and value <= bound
