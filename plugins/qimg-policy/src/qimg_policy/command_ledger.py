"""``qimg policy explain | replay | check | decisions | approve | waive | accept | approvals``: what a ledger holds."""

from __future__ import annotations

import collections
import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from attrs import evolve

from qimg_core.admission_input import BOUNDED, AdmissionInput
from qimg_core.admission_words import Approval
from qimg_core.cli.exits import verdict_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.cli.subject import find_run
from qimg_core.errors import ConfigurationError
from qimg_core.storage import storage_error, write_atomic
from qimg_core.verdict import Verdict
from qimg_policy.active import active
from qimg_policy.approvals import KIND, Grant, add_grant, sign_grant
from qimg_policy.bundle import from_canonical
from qimg_policy.command_text import outcome_lines
from qimg_policy.keys import load_key
from qimg_policy.obligations import from_record
from qimg_policy.replaying import KIND as DECIDED
from qimg_policy.replaying import decision_entry
from qimg_policy.replaying import replay as decide_again

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger


@click.command()
@click.argument("entry", type=click.IntRange(0))
@ledger_option
@json_option
@click.pass_obj
def explain(app: App, entry: int, ledger: str) -> None:
    """Say what was decided in an entry, by which rules, and what would have satisfied them."""
    with existing_ledger(app, ledger) as log:
        found = decision_entry(log, entry)
        document = json.loads(log.get(found.artefacts["input"]))
    facts = found.facts
    head = (
        f"entry {found.index}, {found.time[:19]}, {facts['backend']}, by {facts['policy']} ({facts['engine_version']})"
    )
    emit({"entry": found.index, **facts, "document": document}, [head, *outcome_lines(facts)])


@click.command()
@click.argument("entry", type=click.IntRange(0))
@ledger_option
@json_option
@click.pass_obj
def replay(app: App, entry: int, ledger: str) -> int:
    """Decide an entry again from the ledger alone; exit code 1 where it comes out otherwise, 3 where it cannot be."""
    with existing_ledger(app, ledger) as log:
        found = decision_entry(log, entry)
        result = decide_again(log, found)
    lines = [f"{coloured(result.verdict)}: entry {found.index}, {result.recorded['verdict']}: {result.reason}"]
    document = {
        "entry": found.index,
        "verdict": result.verdict.value,
        "reason": result.reason,
        "recorded": result.recorded,
    }
    emit(document, lines)
    return verdict_code(result.verdict)


@click.command()
@click.argument("run")
@ledger_option
@json_option
@click.pass_obj
def check(app: App, run: str, ledger: str) -> int:
    """Does a run's record show that it met what its admission obliged it to?"""
    with existing_ledger(app, ledger) as log:
        name = find_run(log, run, ledger)
        owed = from_record(log, name)
    verdicts = {o.verdict for o in owed}
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS)
    verdict = next((v for v in order if v in verdicts), Verdict.NOT_APPLICABLE)
    lines = [f"run {name}: {coloured(verdict)}", *(f"  {o.obligation}: {o.verdict.value}, {o.reason}" for o in owed)]
    rows = [{"obligation": o.obligation, "verdict": o.verdict.value, "reason": o.reason} for o in owed]
    emit({"run": name, "verdict": verdict.value, "obligations": rows}, lines)
    return verdict_code(verdict)


@click.command()
@ledger_option
@json_option
@click.pass_obj
def decisions(app: App, ledger: str) -> None:
    """Count a ledger's decisions: verdicts, reasons, and how long they took."""
    verdicts: collections.Counter[str] = collections.Counter()
    reasons: collections.Counter[str] = collections.Counter()
    times: list[int] = []
    with existing_ledger(app, ledger) as log:
        for entry in log.entries(kind=DECIDED):
            facts = entry.facts
            verdicts[facts["verdict"]] += 1
            reasons.update(f"{f['code']} {f['rule']}".strip() for f in facts["findings"])
            times.append(facts["latency_us"])
    times.sort()
    at = {q: times[min(len(times) - 1, len(times) * q // 100)] for q in (50, 99)} if times else {}
    lines = [f"{sum(verdicts.values())} decisions: " + ", ".join(f"{n} {v}" for v, n in sorted(verdicts.items()))]
    lines += [f"  {n:6}  {reason}" for reason, n in reasons.most_common()]
    lines += [f"  p{q}  {us} us" for q, us in at.items()]
    document = {
        "decisions": dict(verdicts),
        "reasons": dict(reasons),
        "latency_us": {f"p{q}": us for q, us in at.items()},
    }
    emit(document, lines)


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
        settings = from_canonical(log.get(entry.artefacts["bundle"])).settings
        if days > settings.longest_days:
            raise ConfigurationError(f"--days {days}: the policy allows up to {settings.longest_days}")
        if kind == "waiver" and grants not in settings.waivable:
            known = ", ".join(settings.waivable) or "none"
            raise ConfigurationError(f"the control {grants!r} cannot be waived; those that can: {known}")
        given = evolve(AdmissionInput.read(json.loads(log.get(entry.artefacts["input"]))), approvals=(), waived=())
        start = dt.datetime.now(dt.UTC).replace(microsecond=0)
        grant = Grant(
            kind=kind,
            grants=grants,
            scope=given.class_digest,
            bundle=entry.facts["bundle"],
            log=log.origin,
            bounds={name: getattr(given, name) for name in BOUNDED},
            start=start,
            until=start + dt.timedelta(days=days),
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
@click.argument("file", type=click.Path(path_type=Path))
@ledger_option
@json_option
@click.pass_obj
def accept(app: App, file: Path, ledger: str) -> None:
    """Put an approval that somebody else signed into the ledger."""
    try:
        envelope = file.read_bytes()
    except OSError as error:
        raise storage_error(error, "read", file) from error
    with existing_ledger(app, ledger, write=True) as log:
        found = active(log)
        bundle = None if found is None else found.bundle or found.agreed
        if bundle is None:
            raise ConfigurationError(f"no policy decides for {ledger}", hint="qimg policy use BUNDLE")
        entry = add_grant(log, bundle.settings, envelope)
        log.checkpoint()
    emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: {entry.facts['kind']} {entry.facts['grants']}"])


@click.command()
@ledger_option
@json_option
@click.pass_obj
def approvals(app: App, ledger: str) -> None:
    """List a ledger's approvals and waivers. Whether one counts for a plan, `qimg policy explain` says."""
    with existing_ledger(app, ledger) as log:
        found = [{"entry": e.index, **e.facts} for e in _approved(log)]
    rows = [
        [str(f["entry"]), f["kind"], f["grants"], ", ".join(f["signed_by"]), f["until"], f["class"][:19]] for f in found
    ]
    emit({"approvals": found}, table(["ENTRY", "KIND", "GRANTS", "SIGNED BY", "UNTIL", "CLASS"], rows))


def _approved(log: Ledger) -> list[Any]:
    return list(log.entries(kind=KIND))


COMMANDS = (explain, replay, check, decisions, approve, waive, accept, approvals)
