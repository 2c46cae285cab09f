"""``qimg audit``: gaps, bills, samples, reproducibility (imports qimg_core's command-line parts)."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option, parse_amount
from qimg_core.cli.output import emit, say, table
from qimg_core.cli.runs import check_file, existing_ledger
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.group()
def audit() -> None:
    """Look for gaps, compare with bills, draw and check samples, rate reproducibility."""


@audit.command()
@click.option("--late", default=3600, show_default=True, type=click.IntRange(0), help="Seconds without a signed head.")
@click.option("--stated", is_flag=True, help="List the stated gaps, too; else they are counted.")
@ledger_option
@json_option
@click.pass_obj
def gaps(app: App, late: int, stated: bool, ledger: str) -> ExitCode:
    """What the record lacks.

    Stated gaps are an entry's own words. Holes are what nobody stated: runs without an end, intents without an outcome,
    missing artefacts and entries, late signed heads. Exit code 1 where there is a hole.
    """
    from qimg_audit.gaps import find_gaps

    with existing_ledger(app, ledger) as log:
        found = find_gaps(log, late=late)
        size, origin = len(log), log.origin
    holes = [gap for gap in found if gap.hole]
    shown = [*holes, *(gap for gap in found if not gap.hole)] if stated else holes
    document = {
        "log": origin,
        "entries": size,
        "holes": len(holes),
        "stated": len(found) - len(holes),
        "gaps": [gap.to_json() for gap in found],
    }
    lines = [f"{size} entries: {len(holes)} holes, {len(found) - len(holes)} stated gaps"]
    if shown:
        lines += table(["KIND", "WHERE", "WHAT"], [[gap.kind.value, gap.where, gap.what] for gap in shown])
    emit(document, lines)
    return ExitCode.FAILED if holes else ExitCode.OK


@audit.command()
@click.option("--bills", required=True, metavar="FILE.csv", help="A provider's bill or list of jobs, with a head.")
@click.option("--id-column", metavar="NAME", help="Holds the provider's job id; its usual names are known.")
@click.option("--cost-column", metavar="NAME", help="Holds the amount; without one the file is a list of jobs.")
@click.option("--backend", metavar="NAME", help="Whose bill it is: a device, or the part before its colon.")
@click.option("--since", type=click.DateTime(), help="The bill begins here (UTC).")
@click.option("--until", type=click.DateTime(), help="The bill ends before here (UTC).")
@ledger_option
@json_option
@click.pass_obj
def reconcile(
    app: App,
    bills: str,
    id_column: str | None,
    cost_column: str | None,
    backend: str | None,
    since: dt.datetime | None,
    until: dt.datetime | None,
    ledger: str,
) -> ExitCode:
    """A provider's bill against the ledger's jobs.

    Names jobs that the ledger does not know, jobs that were never billed, and other costs than recorded. Exit code 1
    where something differs, 3 where a cost cannot be compared.
    """
    from qimg_audit.bills import read_bill
    from qimg_audit.bills import reconcile as compare

    bill = read_bill(Path(bills), id_column=id_column, cost_column=cost_column)
    bounds = [None if at is None else at.replace(tzinfo=dt.UTC) for at in (since, until)]
    with existing_ledger(app, ledger) as log:
        done = compare(log, bill, backend=backend, since=bounds[0], until=bounds[1])
    document = {
        "lines": done.lines,
        "jobs": done.jobs,
        "matched": done.matched,
        "agreed": done.agreed,
        "billed": {unit: str(amount) for unit, amount in done.billed.items()},
        "recorded": {unit: str(amount) for unit, amount in done.recorded.items()},
        "differences": [d.to_json() for d in done.differences],
    }
    lines = [
        f"{done.lines} lines of the bill, {done.jobs} jobs of the ledger: {done.matched} in both, {done.agreed} agree"
    ]
    lines += [f"  billed    {amount} {unit}" for unit, amount in done.billed.items()]
    lines += [f"  recorded  {amount} {unit}" for unit, amount in done.recorded.items()]
    if done.differences:
        rows = [[d.kind.value, d.job, d.run or "", d.ours or "", d.theirs or ""] for d in done.differences]
        lines += table(["WHAT", "JOB", "RUN", "OURS", "THEIRS"], rows)
    emit(document, lines)
    if any(not d.undecided for d in done.differences):
        return ExitCode.FAILED
    return ExitCode.INCONCLUSIVE if done.differences else ExitCode.OK


@audit.command()
@ledger_option
@json_option
@click.pass_obj
def reproducibility(app: App, ledger: str) -> ExitCode:
    """How much of what was replayed came out again.

    Each thing counts once, by its last replay. Replays that could not tell count apart. Exit code 1 where one failed,
    3 where none was decided.
    """
    from qimg_audit.rate import reproducibility as rated

    with existing_ledger(app, ledger) as log:
        rates = rated(log)
    rows = []
    for r in rates:
        share = "-" if r.share is None else f"{r.share:.1%} [{r.low:.1%}, {r.high:.1%}]"
        never = "" if r.never is None else str(r.never)
        rows.append([r.product, str(r.passed), str(r.failed), str(r.inconclusive), never, share])
    head = ["PRODUCT", "PASS", "FAIL", "INCONCLUSIVE", "NEVER REPLAYED", "PASS OF DECIDED (95 % WILSON)"]
    emit({"rates": [r.to_json() for r in rates]}, table(head, rows))
    everything = rates[-1]
    if everything.failed:
        return ExitCode.FAILED
    return ExitCode.OK if everything.passed else ExitCode.INCONCLUSIVE


@audit.command()
@click.option("--n", required=True, type=click.IntRange(1), help="How many items to draw.")
@click.option("--seed", type=int, help="Of the draw; drawn and recorded where it is not given.")
@click.option("--risk", multiple=True, metavar="FACTOR=WEIGHT", help="What a risk factor adds; repeatable.")
@click.option("--of", "kinds", type=click.Choice(["all", "images", "weights"]), default="all", show_default=True)
@click.option("--no-replay", is_flag=True, help="Verify the items only.")
@click.option("--max-cost", metavar="AMOUNT", help="What each replay may spend where a device costs; else nothing.")
@click.option("--out", metavar="FILE.md", help="Write the report: .md, with .html and .json beside it.")
@ledger_option
@json_option
@click.pass_obj
def sample(
    app: App,
    n: int,
    seed: int | None,
    risk: tuple[str, ...],
    kinds: str,
    no_replay: bool,
    max_cost: str | None,
    out: str | None,
    ledger: str,
) -> ExitCode:
    """Draw items of the record by risk, verify and replay each, and estimate how many fail in all.

    The plan (population, chances, seed) is an entry before anything is checked, the report another one after. Factors:
    hardware, spent, changed-code, no-weights, unsigned, unfinished, fallback, never-replayed. Exit code 1 where an
    item fails, 3 where one could not be told.
    """
    from qimg_audit.audit import audit_sample, write_report
    from qimg_audit.report import markdown, summary
    from qimg_audit.risk import parse_risk
    from qimg_core.budget import Budget

    weights = parse_risk(risk)
    if out is not None:
        for suffix in (".md", ".html", ".json"):
            check_file(Path(out).with_suffix(suffix) if Path(out).suffix == ".md" else Path(out), suffix)
    amount = parse_amount(max_cost)
    if no_replay and amount is not None:
        raise ConfigurationError("--max-cost is for replays, and --no-replay makes none")
    chosen = ("images", "weights") if kinds == "all" else (kinds,)
    with existing_ledger(app, ledger, write=True) as log:
        report, entry = audit_sample(
            log,
            n=n,
            seed=seed,
            weights=weights,
            kinds=chosen,
            registry=app.registry,
            replay=not no_replay,
            budget=None if amount is None else Budget(max_cost=amount),
            progress=say,
        )
    files = [] if out is None else write_report(report, Path(out))
    document: dict[str, Any] = {**report, "entry": entry.index, "files": files}
    lines = [*summary(report), "", *markdown(report).splitlines()[-2 - n :], f"recorded in entry {entry.index}"]
    emit(document, [*lines, *(f"written: {f}" for f in files)])
    counts = report["counts"]
    if counts["fail"]:
        return ExitCode.FAILED
    return ExitCode.INCONCLUSIVE if counts["inconclusive"] else ExitCode.OK
