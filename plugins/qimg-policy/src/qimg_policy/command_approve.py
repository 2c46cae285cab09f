"""``qimg policy approve | waive | revoke | accept | approvals``: who agreed to what, and who took it back."""

from __future__ import annotations

import datetime as dt
import json
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from attrs import evolve

from qimg_core.admission_input import BOUNDED, AdmissionInput
from qimg_core.admission_words import Approval
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError
from qimg_core.storage import storage_error, write_atomic
from qimg_policy.accepting import add_grant, add_revocation, read_approval
from qimg_policy.active import active
from qimg_policy.approvals import KIND, Grant, sign_grant, standing
from qimg_policy.bundle import from_canonical
from qimg_policy.dsse import predicate_type
from qimg_policy.keys import load_key
from qimg_policy.replaying import decision_entry
from qimg_policy.revocations import PREDICATE as REVOKES
from qimg_policy.revocations import Revocation, revoked, sign_revocation, statement_digest

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_policy.bundle import Bundle

_KEY = click.option(
    "--key", type=click.Path(path_type=Path), required=True, metavar="FILE", help="NAME.key.pem of who signs."
)
_DAYS = click.option("--days", type=click.IntRange(1), default=7, show_default=True, help="How long it holds.")
_OUT = click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="Write it here instead of the ledger."
)


@click.command()
@click.argument("entry", type=click.IntRange(0))
@click.option("--grants", type=click.Choice([a.value for a in Approval]), required=True, help="What is approved.")
@_KEY
@_DAYS
@_OUT
@ledger_option
@json_option
@click.pass_obj
def approve(app: App, entry: int, grants: str, key: Path, days: int, out: Path | None, ledger: str) -> None:
    """Approve plans of the kind that was decided in an ENTRY, up to its sizes and cost."""
    _grant(app, entry, "approval", grants, key, days, out, ledger)


@click.command()
@click.argument("entry", type=click.IntRange(0))
@click.option("--control", required=True, metavar="ID", help="The control that is waived.")
@_KEY
@_DAYS
@_OUT
@ledger_option
@json_option
@click.pass_obj
def waive(app: App, entry: int, control: str, key: Path, days: int, out: Path | None, ledger: str) -> None:
    """Waive a control for plans of the kind that was decided in an ENTRY, for a time."""
    _grant(app, entry, "waiver", control, key, days, out, ledger)


def _grant(
    app: App,
    index: int,
    kind: Literal["approval", "waiver"],
    grants: str,
    key: Path,
    days: int,
    out: Path | None,
    where: str,
) -> None:
    signer = load_key(key)
    with existing_ledger(app, where, write=out is None) as log:
        entry = decision_entry(log, index)
        if "bundle" not in entry.artefacts:
            raise ConfigurationError(
                f"entry {entry.index} was decided without a policy: there is nothing to approve",
                hint=f"qimg policy explain {entry.index} says why; qimg policy show says what is wrong",
            )
        settings = from_canonical(log.get(entry.artefacts["bundle"])).settings
        if days > settings.longest_days:
            raise ConfigurationError(
                f"--days {days}: the policy allows up to {settings.longest_days}",
                hint=f"--days {settings.longest_days}",
            )
        if kind == "waiver" and grants not in settings.waivable:
            known = ", ".join(settings.waivable) or "none"
            raise ConfigurationError(
                f"the control {grants!r} cannot be waived; those that can: {known}",
                hint="policy.toml names them: [controls] waivable",
            )
        given = evolve(AdmissionInput.read(json.loads(log.get(entry.artefacts["input"]))), approvals=(), waived=())
        start = dt.datetime.now(dt.UTC).replace(microsecond=0)
        grant = Grant(
            kind=kind,
            grants=grants,
            scope=given.class_digest,
            bundle=entry.facts["bundle"],
            log=log.origin,
            environment=settings.environment,
            bounds={name: getattr(given, name) for name in BOUNDED},
            start=start,
            until=start + dt.timedelta(days=days),
            nonce=secrets.token_hex(8),
        )
        envelope = sign_grant(grant, signer)
        until = f"{grant.until:%Y-%m-%d %H:%M} UTC"
        words = f"{kind} {grants} by {signer.name} until {until}, for plans like entry {entry.index}"
        facts: dict[str, Any] = {"kind": kind, "grants": grants, "class": grant.scope, **grant.predicate()}
        if out is not None:
            write_atomic(out, envelope)
            emit({**facts, "file": str(out)}, [f"{out}: {words}", f"  next: qimg policy accept {out} --ledger {where}"])
            return
        added = add_grant(log, settings, envelope)
        log.checkpoint()
    emit({**facts, "entry": added.index}, [f"entry {added.index}: {words}"])


@click.command()
@click.argument("approval", type=click.IntRange(0))
@_KEY
@_OUT
@ledger_option
@json_option
@click.pass_obj
def revoke(app: App, approval: int, key: Path, out: Path | None, ledger: str) -> None:
    """Take back the approval or waiver in an entry: from now on it counts as absent.

    Whoever signed it may, and an approver with `revoke = true`. Decisions that were made before stay as they are.
    """
    signer = load_key(key)
    with existing_ledger(app, ledger, write=out is None) as log:
        settings = _deciding(log, ledger).settings
        digest = statement_digest(read_approval(log, settings, approval))
        envelope = sign_revocation(Revocation(approval=digest, log=log.origin), signer)
        words = f"entry {approval} is revoked by {signer.name}"
        facts = {"of": approval, "approval": digest, "signed_by": [signer.name]}
        if out is not None:
            write_atomic(out, envelope)
            emit(
                {**facts, "file": str(out)}, [f"{out}: {words}", f"  next: qimg policy accept {out} --ledger {ledger}"]
            )
            return
        added = add_revocation(log, settings, envelope)
        log.checkpoint()
    emit({**facts, "entry": added.index}, [f"entry {added.index}: {words}"])


def _deciding(log: Ledger, where: str) -> Bundle:
    found = active(log)
    bundle = None if found is None else found.bundle or found.agreed
    if bundle is None:
        raise ConfigurationError(f"no policy decides for {where}", hint=f"qimg policy use BUNDLE --ledger {where}")
    return bundle


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@ledger_option
@json_option
@click.pass_obj
def accept(app: App, file: Path, ledger: str) -> None:
    """Put an approval, or a revocation, that somebody else signed into the ledger."""
    try:
        envelope = file.read_bytes()
    except FileNotFoundError as error:
        hint = "qimg policy approve, waive or revoke with --out FILE writes one"
        raise ConfigurationError(f"there is no approval or revocation in {file}", hint=hint) from error
    except OSError as error:
        raise storage_error(error, "read", file) from error
    revokes = predicate_type(envelope) == REVOKES
    with existing_ledger(app, ledger, write=True) as log:
        settings = _deciding(log, ledger).settings
        entry = (add_revocation if revokes else add_grant)(log, settings, envelope)
        log.checkpoint()
    facts = entry.facts
    what = f"entry {facts['of']} is revoked" if revokes else f"{facts['kind']} {facts['grants']}"
    emit({"entry": entry.index, **facts}, [f"entry {entry.index}: {what} by {', '.join(facts['signed_by'])}"])


@click.command()
@ledger_option
@json_option
@click.pass_obj
def approvals(app: App, ledger: str) -> None:
    """List a ledger's approvals and waivers, and which hold now. Whether one counts for a plan depends on the plan."""
    with existing_ledger(app, ledger) as log:
        policy = active(log)
        bundle = None if policy is None else policy.bundle or policy.agreed
        found = _listed(log, bundle, dt.datetime.now(dt.UTC))
    rows = [
        [
            str(f["entry"]),
            str(f.get("kind", "?")),
            str(f.get("grants", "?")),
            ", ".join(f.get("signed_by", ())),
            str(f.get("environment", "unnamed")),
            str(f.get("until", "?")),
            str(f.get("class", "?"))[:19],
            f["problem"] or "holds",
        ]
        for f in found
    ]
    heads = ["ENTRY", "KIND", "GRANTS", "SIGNED BY", "ENVIRONMENT", "UNTIL", "CLASS", "STATE"]
    emit({"approvals": found}, table(heads, rows) if rows else [f"no approvals in {ledger}"])


def _listed(log: Ledger, bundle: Bundle | None, now: dt.datetime) -> list[dict[str, Any]]:
    found = []
    withdrawn = {} if bundle is None else revoked(log, bundle.settings)[0]
    for entry in log.entries(kind=KIND):
        row = {"entry": entry.index, **entry.facts, "revoked": None, "problem": "no policy decides here"}
        if bundle is not None:
            state = standing(log, entry, bundle.settings, bundle.digest, now, withdrawn)
            row |= {"revoked": state.revoked, "problem": state.problem}
        found.append(row)
    return found


COMMANDS = (approve, waive, revoke, accept, approvals)
