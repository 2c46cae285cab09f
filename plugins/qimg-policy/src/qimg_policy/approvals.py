"""Approvals and waivers: who may, for which kind of plan, until when (imports clock, dsse, revocations, settings).

An approval is a signed in-toto statement in an entry ``policy.approved``. It names the class of plan
(`AdmissionInput.class_digest`), upper bounds of its sizes and cost, the bundle, its environment, and the log it is for,
and a time. It grants one word (`qimg_core.admission_words.Approval`) to the rules, or waives one control. Forged,
expired, revoked, foreign or over-sized ones are not counted, and the decision says so.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from qimg_core.admission_input import BOUNDED, AdmissionInput
from qimg_core.admission_words import Approval
from qimg_core.errors import ConfigurationError
from qimg_policy.clock import SKEW, latest
from qimg_policy.dsse import seal, unseal
from qimg_policy.revocations import revoked, revoked_by, statement_digest
from qimg_policy.ruling import Finding
from qimg_policy.settings import Environment

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_policy.keys import SigningKey
    from qimg_policy.revocations import Revoked
    from qimg_policy.settings import Settings

KIND = "policy.approved"
SCHEMA = "qimg.approval/1"
PREDICATE = "urn:qimg:approval:1"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@frozen(kw_only=True)
class Grant:
    """What one statement grants.

    Args:
        kind: approval or waiver.
        grants: the approval's word, or the waived control's id.
        scope: digest of the class of plan.
        bundle, log: digest of the policy, and origin of the log, that it is for.
        environment: of that policy.
        bounds: upper bound of each of cost_micro, shots, jobs, rows.
        start, until: UTC.
        nonce: tells two statements of the same second apart, so that revoking one leaves the other.
    """

    kind: Literal["approval", "waiver"]
    grants: str
    scope: str
    bundle: str
    log: str
    environment: Environment = Environment.UNNAMED
    bounds: Mapping[str, int | None]
    start: dt.datetime
    until: dt.datetime
    nonce: str = ""

    def predicate(self) -> dict[str, Any]:
        """As it is signed."""
        return {
            "kind": self.kind,
            "grants": self.grants,
            "bundle": self.bundle,
            "log": self.log,
            "environment": str(self.environment),
            "bounds": {name: self.bounds[name] for name in BOUNDED},
            "from": f"{self.start:{_TIME}}",
            "until": f"{self.until:{_TIME}}",
            "nonce": self.nonce,
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
        environment = Environment(p.get("environment", Environment.UNNAMED))
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
        environment=environment,
        bounds=bounds,
        start=times[0],
        until=times[1],
        nonce=str(p.get("nonce", "")),
    )


@frozen(kw_only=True)
class Granted:
    """What counts for a plan, and what was not counted and why."""

    approvals: tuple[str, ...] = ()
    waived: tuple[str, ...] = ()
    notes: tuple[Finding, ...] = ()


def granted(
    ledger: Ledger, settings: Settings, bundle: str, given: AdmissionInput, now: dt.datetime, since: int = 0
) -> Granted:
    """The approvals and waivers of a log that hold for a plan at a time.

    Args:
        ledger: where they are.
        settings: who may approve, and how many it takes.
        bundle: digest of the deciding bundle.
        given: the plan.
        now: UTC. A clock behind the log counts as set back: then nothing is granted, and what leaves the machine is
            refused. For what stays here the newest entry tells, and each approval by the entries since it.
        since: entry of the pin; a time on record before it does not count against the clock.
    """
    seen = latest(ledger, since if given.leaves_machine else max(0, len(ledger) - 1))
    if seen is not None and now < seen - SKEW:
        reason = f"the clock says {now:{_TIME}}, an entry is of {seen:{_TIME}}: it was set back"
        satisfy = "set the clock right; where that entry's time is the wrong one: qimg policy use, again"
        code = "E_CLOCK" if given.leaves_machine else "I_APPROVAL"
        return Granted(notes=(Finding(code=code, reason=reason, satisfy=satisfy),))
    scope, notes = given.class_digest, []
    withdrawn, wrong = revoked(ledger, settings)
    void = list(wrong)
    persons: dict[tuple[str, str], set[str]] = {}
    for entry in ledger.entries(kind=KIND):
        if entry.facts.get("class") != scope:
            continue
        found = standing(ledger, entry, settings, bundle, now, withdrawn)
        void += [(index, f"nobody who may revoke entry {entry.index} has signed it") for index in found.void]
        problem = found.problem or _too_small(found, given)
        if problem or found.grant is None:
            notes.append(Finding(code="I_APPROVAL", rule=f"entry-{entry.index}", reason=problem))
            continue
        persons.setdefault((found.grant.kind, found.grant.grants), set()).update(found.keys)
    if persons or notes:
        notes += [
            Finding(code="I_APPROVAL", rule=f"entry-{index}", reason=f"a revocation that does not count: {why}")
            for index, why in void
        ]
    counted: dict[str, list[str]] = {"approval": [], "waiver": []}
    for (kind, grants), keys in sorted(persons.items()):
        if len(keys) >= settings.persons:
            counted[kind].append(grants)
        else:
            reason = f"{kind} {grants}: {len(keys)} of {settings.persons} persons have signed"
            notes.append(Finding(code="I_APPROVAL", reason=reason))
    return Granted(approvals=tuple(counted["approval"]), waived=tuple(counted["waiver"]), notes=tuple(notes))


@frozen(kw_only=True)
class Standing:
    """What an approval's entry is worth, whatever the plan.

    Args:
        problem: why it counts for nothing; empty where it counts.
        grant: what it grants; None where it cannot be read.
        keys: ids of the approvers whose signatures count.
        revoked: by which entry; None for none.
        void: entries of revocations by nobody who may revoke it.
    """

    problem: str
    grant: Grant | None = None
    keys: frozenset[str] = frozenset()
    revoked: int | None = None
    void: tuple[int, ...] = ()


def standing(
    ledger: Ledger,
    entry: Entry,
    settings: Settings,
    bundle: str,
    now: dt.datetime,
    withdrawn: Mapping[str, Sequence[Revoked]],
) -> Standing:
    """Does an approval hold at a time, under a policy?

    Args:
        ledger: where it is.
        entry: the approval's.
        settings: of the policy.
        bundle: the policy's digest.
        now: UTC.
        withdrawn: the log's revocations, of `revoked`.

    Raises:
        LedgerError, StorageError: an artefact is damaged.
    """
    try:
        opened = unseal(ledger.get(entry.artefacts["envelope"]), PREDICATE, [a.key for a in settings.approvers])
        grant = read_grant(opened.statement)
    except (ConfigurationError, KeyError) as error:
        return Standing(problem=getattr(error, "message", "it has no envelope"))
    signers, here = {k.id for k in opened.signers}, settings.environment
    may = [a for a in settings.approvers if a.key.id in signers and a.may_grant(grant.kind, grant.grants)]
    keys = frozenset(a.key.id for a in may if a.acts_in(here))
    by = revoked_by(settings, opened, withdrawn)
    void = [] if by is not None else [r.entry for r in withdrawn.get(statement_digest(opened), ())]
    reached = max(now, latest(ledger, entry.index) or now)  # what has ended stays so, whatever the clock says
    checks = {
        "it is for another class of plan": grant.scope == entry.facts.get("class"),
        f"it is for the log {grant.log}": grant.log == ledger.origin,
        f"it was revoked by entry {0 if by is None else by.entry}": by is None,
        f"it is for the environment {grant.environment}, this policy's is {here}": grant.environment is here,
        "it is for another policy: approve again under this one": grant.bundle == bundle,
        f"it expired on {grant.until:{_TIME}}": reached < grant.until,
        f"it begins on {grant.start:{_TIME}}": grant.start <= now + SKEW,
        f"it runs for more than {settings.longest_days} days": grant.until - grant.start
        <= dt.timedelta(days=settings.longest_days),
        f"nobody who may grant {grant.grants} has signed it": bool(may),
        f"who signed it may not grant {grant.grants} in the environment {here}": bool(keys),
        f"{grant.grants} cannot be waived": grant.kind == "approval" or grant.grants in settings.waivable,
        f"{grant.grants} is no approval": grant.kind == "waiver" or grant.grants in tuple(Approval),
    }
    return Standing(
        problem=next((why for why, good in checks.items() if not good), ""),
        grant=grant,
        keys=keys,
        revoked=None if by is None else by.entry,
        void=tuple(void),
    )


def _too_small(found: Standing, given: AdmissionInput) -> str:
    if found.grant is None:
        return ""
    over = [n for n in BOUNDED if not _within(getattr(given, n), found.grant.bounds[n])]
    return f"the plan is larger than what was approved: {', '.join(over)}" if over else ""


def _within(value: int | None, bound: int | None) -> bool:
    """An unknown number is only within a bound that says it may be unknown."""
    return bound is None if value is None else bound is not None and value <= bound
