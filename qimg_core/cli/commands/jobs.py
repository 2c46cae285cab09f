"""``qimg jobs``: what was sent to providers and what became of it (imports settling, ledger)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit
from qimg_core.cli.runs import existing_ledger
from qimg_core.jobs.settling import cancel_open, gather_open, jobs_of, resolve, runs_with_jobs

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.jobs.journal import Known
    from qimg_core.jobs.settling import Settled


@click.group()
def jobs() -> None:
    """Find, fetch and cancel the jobs that runs sent to providers.

    A job is written down before it is sent, under a key that the provider gets too. So it can be found
    again after a crash, in another process, next week.
    """


def _facts(known: Known) -> dict[str, Any]:
    billed = None if known.finished is None else known.finished["billed"]
    return {
        "run": known.intent.run,
        "key": known.intent.key,
        "request": known.intent.ordinal,
        "job": known.intent.job,
        "backend": known.backend,
        "state": known.state,
        "provider_ids": [] if known.handle is None else list(known.handle.provider_ids),
        "billed": billed,
    }


def _line(facts: dict[str, Any]) -> str:
    ids = ", ".join(facts["provider_ids"][:2]) or "-"
    billed = facts["billed"]
    cost = "" if billed is None or billed["high"] is None else f"  {billed['high']} {billed['unit']}"
    place = f"{facts['request']:>4}.{facts['job']:<4}"
    return f"{facts['key'][:12]}  {facts['backend']:<22} {place} {facts['state']:<10} {ids}{cost}"


@jobs.command(name="list")
@click.option("--run", "run", metavar="RUN", help="Of one run; of all by default.")
@click.option("--open", "only_open", is_flag=True, help="Only those without a result or an end.")
@ledger_option
@json_option
@click.pass_obj
def list_jobs(app: App, run: str | None, only_open: bool, ledger: str) -> None:
    """List jobs: key, device, request and job number, state, the provider's id, what was billed."""
    with existing_ledger(app, ledger) as log:
        found = {r: [_facts(k) for k in jobs_of(log, r)] for r in ([run] if run else runs_with_jobs(log))}
    if only_open:
        found = {r: [k for k in known if k["state"] in ("submitted", "uncertain")] for r, known in found.items()}
    lines = [line for r, known in found.items() if known for line in (f"run {r}", *(f"  {_line(k)}" for k in known))]
    emit({"runs": found}, lines or ["no jobs" + (" are open" if only_open else "")])


def _settled(run: str, found: list[Settled]) -> None:
    document = [{**_facts(s.known), "state": s.state, "detail": s.detail} for s in found]
    lines = [
        f"{d['key'][:12]}  {d['backend']}: {d['state']}{' (' + d['detail'] + ')' if d['detail'] else ''}"
        for d in document
    ]
    emit({"run": run, "jobs": document}, [f"run {run}", *lines] if lines else [f"run {run}: no job is open"])


@jobs.command()
@click.argument("run")
@ledger_option
@json_option
@click.pass_obj
def collect(app: App, run: str, ledger: str) -> None:
    """Look the open jobs of RUN up, adopt and fetch them; nothing is sent."""
    with existing_ledger(app, ledger, write=True) as log:
        _settled(run, list(gather_open(log, app.registry, run)))


@jobs.command()
@click.argument("run")
@ledger_option
@json_option
@click.pass_obj
def cancel(app: App, run: str, ledger: str) -> None:
    """Ask the providers to stop the open jobs of RUN."""
    with existing_ledger(app, ledger, write=True) as log:
        _settled(run, list(cancel_open(log, app.registry, run)))


@jobs.command(name="resolve")
@click.argument("run")
@click.argument("key")
@ledger_option
@json_option
@click.pass_obj
def resolve_job(app: App, run: str, key: str, ledger: str) -> None:
    """State that the provider never had the uncertain job KEY of RUN.

    Look into the provider's own list first. A resumed run then sends the job again.
    """
    with existing_ledger(app, ledger, write=True) as log:
        known = resolve(log, run, key)
    facts = _facts(known)
    emit(
        {**facts, "state": "resolved"},
        [f"run {run}: job {facts['key'][:12]} is stated not to exist; go on with --resume {run}"],
    )
