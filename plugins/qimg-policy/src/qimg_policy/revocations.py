"""Revocations: a signed statement that an approval or waiver no longer holds (imports dsse, settings).

A revocation is an in-toto statement in an entry ``policy.revoked``. It names the approval by the digest of its signed
statement, so that the same approval in other bytes, or accepted twice, is revoked with it. Any one of those who signed
an approval together takes it back; what somebody else signed alone stays. A revocation has no end and goes by no clock:
from its entry on, the approval counts as absent. Decisions that were made before keep what was counted then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest
from qimg_policy.dsse import Opened, seal, unseal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_policy.keys import PublicKey, SigningKey
    from qimg_policy.settings import Settings

KIND = "policy.revoked"
SCHEMA = "qimg.revocation/1"
PREDICATE = "urn:qimg:approval-revocation:1"


@frozen(kw_only=True)
class Revocation:
    """What one statement revokes.

    Args:
        approval: digest of the revoked approval's statement.
        log: origin of the log that it is for.
    """

    approval: str
    log: str


@frozen(kw_only=True)
class Revoked:
    """A revocation in a log: its entry, and who signed it."""

    entry: int
    signers: tuple[PublicKey, ...]


def statement_digest(opened: Opened) -> str:
    """``sha256:`` of a statement, whatever envelope it is in."""
    return sha256_digest(canonical.dumps(opened.statement))


def sign_revocation(revocation: Revocation, key: SigningKey) -> bytes:
    """The envelope of a revocation."""
    return seal(PREDICATE, {"approval": revocation.approval}, {"log": revocation.log}, [key])


def read_revocation(statement: Mapping[str, Any]) -> Revocation:
    """A revocation from its statement.

    Raises:
        ConfigurationError: not such a statement.
    """
    try:
        (subject,), log = statement["subject"], statement["predicate"]["log"]
        found = Revocation(approval="sha256:" + str(subject["digest"]["sha256"]), log=str(log))
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigurationError("not a revocation of this program", hint="qimg policy revoke APPROVAL") from error
    return found


def may_revoke(settings: Settings, key: PublicKey, signed: tuple[PublicKey, ...]) -> bool:
    """May a key revoke an approval that others, or itself, have signed?"""
    if key.id in {k.id for k in signed}:
        return True
    return any(a.key.id == key.id and a.revoke and a.acts_in(settings.environment) for a in settings.approvers)


def revoked(ledger: Ledger, settings: Settings) -> tuple[dict[str, list[Revoked]], tuple[tuple[int, str], ...]]:
    """The revocations of a log whose signatures hold, by what they revoke; and those that do not count, and why.

    Whether a signer may revoke the approval in question, `may_revoke` says.

    Raises:
        LedgerError, StorageError: an artefact is damaged: then nothing can be said of any approval.
    """
    found: dict[str, list[Revoked]] = {}
    wrong: list[tuple[int, str]] = []
    for entry in ledger.entries(kind=KIND):
        try:
            opened = unseal(ledger.get(entry.artefacts["envelope"]), PREDICATE, [a.key for a in settings.approvers])
            what = read_revocation(opened.statement)
        except KeyError:
            wrong.append((entry.index, "it has no envelope"))
            continue
        except ConfigurationError as error:
            wrong.append((entry.index, error.message))
            continue
        if what.log != ledger.origin:
            wrong.append((entry.index, f"it is for the log {what.log}"))
        elif not opened.signers:
            wrong.append((entry.index, "none of the policy's approvers has signed it"))
        else:
            found.setdefault(what.approval, []).append(Revoked(entry=entry.index, signers=opened.signers))
    return found, tuple(wrong)


def revoked_by(settings: Settings, approval: Opened, found: Mapping[str, Sequence[Revoked]]) -> Revoked | None:
    """The first revocation of an approval, of those that `revoked` found, by somebody who may; None for none."""
    for one in found.get(statement_digest(approval), ()):
        if any(may_revoke(settings, k, approval.signers) for k in one.signers):
            return one
    return None
