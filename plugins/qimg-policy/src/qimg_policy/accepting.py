"""Put approvals and their revocations into a log (imports approvals, revocations).

What is forged, foreign, revoked or signed by nobody who may is refused here, before it is written. Whether it counts,
its times and its policy among it, is judged at every decision (`qimg_policy.approvals`): others may write to a log.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError
from qimg_policy.approvals import KIND, SCHEMA, read_grant
from qimg_policy.approvals import PREDICATE as GRANTS
from qimg_policy.dsse import unseal
from qimg_policy.revocations import KIND as REVOKED
from qimg_policy.revocations import PREDICATE as REVOKES
from qimg_policy.revocations import SCHEMA as REVOCATION
from qimg_policy.revocations import may_revoke, read_revocation, revoked, revoked_by, statement_digest

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_policy.dsse import Opened
    from qimg_policy.revocations import Revocation
    from qimg_policy.settings import Settings


def add_grant(ledger: Ledger, settings: Settings, envelope: bytes) -> Entry:
    """Put an approval into a log.

    Raises:
        ConfigurationError: nobody who may approve has signed it, it is forged, revoked, or for another log.
        LedgerError, StorageError.
    """
    opened = unseal(envelope, GRANTS, [a.key for a in settings.approvers])
    grant = read_grant(opened.statement)
    if not opened.signers:
        raise ConfigurationError(
            f"the approval is signed by none of the policy's approvers ({_known(settings)})", hint=APPROVERS_HINT
        )
    if grant.log != ledger.origin:
        raise ConfigurationError(
            f"the approval is for the log {grant.log}, this one is {ledger.origin}", hint="name its ledger: --ledger"
        )
    if grant.environment is not settings.environment:
        raise ConfigurationError(
            f"the approval is for the environment {grant.environment}, this policy's is {settings.environment}",
            hint="approve a decision that this policy made: qimg policy approve ENTRY",
        )
    able = [a for a in settings.approvers if a.may_grant(grant.kind, grant.grants) and a.acts_in(settings.environment)]
    if not {a.key.id for a in able} & {k.id for k in opened.signers}:
        who = ", ".join(a.key.name for a in able) or "nobody"
        signed = ", ".join(k.name for k in opened.signers)
        raise ConfigurationError(
            f"{signed} may not grant the {grant.kind} {grant.grants} in the environment {settings.environment}; "
            f"who may: {who}",
            hint="policy.toml says who may what: [[approvals.approver]] may, waive, environments",
        )
    if by := revoked_by(settings, opened, revoked(ledger, settings)[0]):
        raise ConfigurationError(
            f"the approval is revoked: entry {by.entry}", hint="sign a new one: qimg policy approve"
        )
    facts = {
        "schema": SCHEMA,
        "class": grant.scope,
        **grant.predicate(),
        "signed_by": [k.name for k in opened.signers],
        "artefacts": {"envelope": ledger.put(envelope)},
    }
    return ledger.append(KIND, facts=facts)


APPROVERS_HINT = "an approver is a row of policy.toml: [[approvals.approver]] key = the line in NAME.pub"


def _known(settings: Settings) -> str:
    return ", ".join(a.key.name for a in settings.approvers) or "nobody"


def read_approval(ledger: Ledger, settings: Settings, index: int) -> Opened:
    """The signed statement of an approval or waiver in an entry; its signers are known approvers.

    Raises:
        ConfigurationError: the entry is another one, or holds no such statement.
        LedgerError: there is none.
    """
    if index >= len(ledger):
        raise ConfigurationError(
            f"there is no entry {index}: this log has {len(ledger)}", hint="qimg policy approvals lists approvals"
        )
    entry = ledger.entry(index)
    if entry.kind != KIND or "envelope" not in entry.artefacts:
        raise ConfigurationError(
            f"entry {index} is {entry.kind}, and no approval or waiver", hint="qimg policy approvals lists them"
        )
    opened = unseal(ledger.get(entry.artefacts["envelope"]), GRANTS, [a.key for a in settings.approvers])
    read_grant(opened.statement)
    return opened


def add_revocation(ledger: Ledger, settings: Settings, envelope: bytes) -> Entry:
    """Put a revocation into a log: from now on the approval that it names counts as absent.

    Raises:
        ConfigurationError: it is forged, for another log, for an approval that is not there or is revoked already, or
            signed by nobody who may revoke it.
        LedgerError, StorageError.
    """
    opened = unseal(envelope, REVOKES, [a.key for a in settings.approvers])
    what = read_revocation(opened.statement)
    if what.log != ledger.origin:
        raise ConfigurationError(
            f"the revocation is for the log {what.log}, this one is {ledger.origin}", hint="name its ledger: --ledger"
        )
    index, approval = _named(ledger, settings, what)
    if not any(may_revoke(settings, k, approval.signers) for k in opened.signers):
        who = ", ".join(sorted({*(k.name for k in approval.signers), *_revokers(settings)})) or "nobody"
        raise ConfigurationError(
            f"the revocation of entry {index} is signed by nobody who may revoke it; who may: {who}",
            hint="whoever signed the approval may, and an approver with revoke = true in policy.toml",
        )
    if by := revoked_by(settings, approval, revoked(ledger, settings)[0]):
        raise ConfigurationError(f"entry {index} is revoked already: entry {by.entry}", hint="qimg policy approvals")
    facts = {
        "schema": REVOCATION,
        "of": index,
        "approval": what.approval,
        "log": what.log,
        "signed_by": [k.name for k in opened.signers],
        "artefacts": {"envelope": ledger.put(envelope)},
    }
    return ledger.append(REVOKED, facts=facts)


def _named(ledger: Ledger, settings: Settings, what: Revocation) -> tuple[int, Opened]:
    for entry in ledger.entries(kind=KIND):
        try:
            opened = read_approval(ledger, settings, entry.index)
        except ConfigurationError:
            continue  # forged, or no approval: there is nothing to revoke
        if statement_digest(opened) == what.approval:
            return entry.index, opened
    raise ConfigurationError(
        f"this log holds no approval {what.approval[:19]}...", hint="qimg policy approvals lists them"
    )


def _revokers(settings: Settings) -> set[str]:
    return {a.key.name for a in settings.approvers if a.revoke and a.acts_in(settings.environment)}
