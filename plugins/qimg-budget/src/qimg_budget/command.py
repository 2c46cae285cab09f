"""``qimg budget``: limits that several processes share (imports store, limits, settling, report)."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_budget import pin as pins
from qimg_budget.amounts import all_shown, number, shown
from qimg_budget.audit import check, compare
from qimg_budget.bill_command import bill
from qimg_budget.limits import EVERY, SCOPES, check_name, parse_limit
from qimg_budget.options import budget_option, opened
from qimg_budget.report import burns
from qimg_budget.settling import reconcile, state
from qimg_budget.store import Store
from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_budget.report import Burn
    from qimg_core.cli.app import App


@click.group()
def budget() -> None:
    """Limits that several processes share: nothing is sent that could pass one.

    A plan's upper bound is reserved before it is sent; what it cost is counted after, and the rest is released. Free
    work in this process is never asked.
    """


@budget.command()
@click.argument("file", type=click.Path(path_type=Path))
@json_option
def init(file: Path) -> None:
    """Make an empty budget in FILE; it has no limits yet."""
    with Store.create(file) as store:
        name = store.id
    emit(
        {"file": file, "budget": name},
        [f"budget {name} in {file}", f"  next: export {pins.VARIABLE}={file}; qimg budget set --per total USD=100:80"],
    )


@budget.command(name="set")
@click.argument("limits", nargs=-1, metavar="DIMENSION=HARD[:SOFT]...")
@click.option("--per", "scope", type=click.Choice(SCOPES), default="total", show_default=True)
@click.option("--name", default=EVERY, metavar="NAME", help="Of one project, day, run or cost centre; each by default.")
@click.option(
    "--allow-unknown-cost/--refuse-unknown-cost", "unknown", default=None, help="Where no price is published."
)
@budget_option
@json_option
def set_limits(limits: tuple[str, ...], scope: str, name: str, unknown: bool | None, path: Path | None) -> None:
    """Set limits: jobs=1000, shots=500000, USD=100:80, qpu_seconds=600; USD=none takes one away.

    Nothing is sent that could pass the hard limit. Above the soft one there is a warning.
    """
    if not limits and unknown is None:
        raise ConfigurationError("no limit is named", hint="e.g. qimg budget set --per day USD=20:15")
    if scope == "total" and name != EVERY:
        raise ConfigurationError("--name wants --per project, day, run or cost-centre")
    parsed = [parse_limit(scope, name, text) for text in limits]
    with opened(path) as store:
        store.change(parsed, allow_unknown=unknown)
    show_budget(path)


@budget.command()
@budget_option
@ledger_option
@click.option("--project", metavar="CODE", help="Of all runs of this ledger.")
@click.option("--cost-centre", metavar="CODE", help="Of all runs of this ledger.")
@json_option
@click.pass_obj
def use(app: App, path: Path | None, ledger: str, project: str | None, cost_centre: str | None) -> None:
    """Pin this budget to a ledger: from now on nothing that costs is sent from its runs without it."""
    for code in filter(None, (project, cost_centre)):
        check_name(code)
    with opened(path) as store:
        name = store.id
    with existing_ledger(app, ledger, write=True) as log:
        pins.pin(log, name, project=project, cost_centre=cost_centre)
    document = {"ledger": ledger, "budget": name, "project": project, "cost_centre": cost_centre}
    emit(document, [f"the runs of {ledger} spend from the budget {name}"])


@budget.command()
@budget_option
@json_option
def show(path: Path | None) -> int:
    """Limits, what is spent, reserved and left, how fast, and what is still open; exit code 1 where sums disagree."""
    return show_budget(path)


def show_budget(path: Path | None) -> int:
    """Print a budget."""
    now = dt.datetime.now(dt.UTC).date().isoformat()
    with opened(path) as store:
        found, wrong, name = burns(store, now), check(store), store.id
        waiting = [(row, *store.amounts(row.id)) for row in store.reservations(only_open=True)]
        unknown = store.allow_unknown
        changes = [{"at": at, "what": what} for at, what in store.rows("SELECT at, what FROM change ORDER BY number")]
    left = [
        {"reservation": row.id, "backend": row.backend, "at": row.at, "held": held, "spent": spent}
        for row, held, spent in waiting
    ]
    document = {
        "budget": name,
        "file": path,
        "limits": [_document(b) for b in found],
        "unknown_cost": "allowed" if unknown else "refused",
        "open": left,
        "changes": changes,
        "wrong": wrong,
    }
    lines = [f"budget {name}, unknown cost is {document['unknown_cost']}"]
    head = ["LIMIT", "NAME", "HARD", "SOFT", "SPENT", "RESERVED", "LEFT", "A DAY", "GONE ON"]
    lines += table(head, [_row(b) for b in found]) if found else ["  no limits: qimg budget set --per total USD=100:80"]
    lines += [_alarm(b) for b in found if b.unusual]
    lines += [f"open: {row.id} since {row.at}, holds {all_shown(held)}" for row, held, _ in waiting]
    lines += [f"wrong: {what}" for what in wrong]
    emit(document, lines)
    return ExitCode.FAILED if wrong else ExitCode.OK


def _alarm(b: Burn) -> str:
    d = b.limit.dimension
    return f"unusual: {shown(d, b.today)} today {b.limit} ({b.name}), the usual day is {shown(d, b.usual)}"


def _document(b: Burn) -> dict[str, Any]:
    d = b.limit.dimension

    def text(amount: int | None) -> str | None:
        return None if amount is None else number(d, amount)

    return {
        "scope": b.limit.scope,
        "name": b.name,
        "dimension": d,
        "hard": text(b.limit.hard),
        "soft": text(b.limit.soft),
        "spent": text(b.spent),
        "held": text(b.held),
        "left": text(b.left),
        "per_day": text(b.per_day),
        "gone": b.gone,
        "today": text(b.today),
        "usual": text(b.usual),
        "unusual": b.unusual,
    }


def _row(b: Burn) -> list[str]:
    f = _document(b)
    columns = ("hard", "soft", "spent", "held", "left", "per_day", "gone")
    return [f"{b.limit.dimension} {b.limit.scope}", b.name, *(f[c] or "-" for c in columns)]


@budget.command(name="reconcile")
@click.option(
    "--ledger",
    "ledgers",
    multiple=True,
    metavar="FOLDER",
    help="Look there; repeatable. By default the ledgers of what is open.",
)
@click.option("--offline", is_flag=True, help="Ask no provider; go by the ledgers alone.")
@click.option(
    "--missing-is-unsent", "missing", is_flag=True, help="State that jobs which a provider does not have do not exist."
)
@budget_option
@json_option
@click.pass_obj
def reconcile_open(app: App, ledgers: tuple[str, ...], offline: bool, missing: bool, path: Path | None) -> int:
    """Settle what dead processes left reserved, from their ledgers' jobs; exit code 3 where something stays open.

    Providers are asked for open jobs, and results fetched, as `qimg jobs collect` does; nothing is sent.
    """
    if offline and missing:
        raise ConfigurationError("--missing-is-unsent goes by what the providers say, and --offline asks none")
    with opened(path) as store:
        registry = None if offline else app.registry
        found = list(
            reconcile(
                store,
                lambda where: existing_ledger(app, where, write=True),
                registry=registry,
                ledgers=ledgers,
                missing=missing,
            )
        )
        amounts = {r.row.id: store.amounts(r.row.id) for r in found}
    document = [
        {
            "reservation": r.row.id,
            "state": r.state,
            "detail": r.detail,
            "held": amounts[r.row.id][0],
            "spent": amounts[r.row.id][1],
            "jobs": [{"key": key, "state": word} for key, word in r.jobs],
        }
        for r in found
    ]
    lines = [
        f"{r.row.id}: {r.state}; spent {all_shown(amounts[r.row.id][1])}, reserved {all_shown(amounts[r.row.id][0])}"
        + (f"\n  {r.detail}" if r.detail else "")
        for r in found
    ]
    emit({"reservations": document}, lines or ["nothing is open"])
    return ExitCode.OK if all(r.state == "settled" for r in found) else ExitCode.INCONCLUSIVE


@budget.command(name="state")
@click.argument("reservation")
@click.option("--spent/--unsent", "sent", required=True, default=None, help="What is true of its open jobs.")
@click.option("--because", required=True, metavar="TEXT", help="Kept with the statement; name no person.")
@budget_option
@json_option
def state_open(reservation: str, sent: bool, because: str, path: Path | None) -> None:
    """State what became of a reservation whose ledger is lost. Look at the provider's list first."""
    with opened(path) as store:
        state(store, reservation, sent=sent, because=because)
        held, spent = store.amounts(reservation)
    emit({"reservation": reservation, "held": held, "spent": spent}, [f"{reservation}: spent {all_shown(spent)}"])


@budget.command()
@click.option("--ledger", "ledgers", multiple=True, default=("runs",), metavar="FOLDER", help="Repeatable.")
@budget_option
@json_option
@click.pass_obj
def audit(app: App, ledgers: tuple[str, ...], path: Path | None) -> int:
    """Compare the budget with the ledgers of the runs that spent from it; exit code 1 where they disagree.

    It finds a file that was put back from an older copy, and has forgotten what was spent since.
    """
    with opened(path) as store, ExitStack() as stack:
        logs = [stack.enter_context(existing_ledger(app, where)) for where in ledgers]
        wrong = [*check(store), *compare(store, logs)]
    emit({"wrong": wrong, "ledgers": list(ledgers)}, wrong or [f"agrees with {len(ledgers)} ledgers"])
    return ExitCode.FAILED if wrong else ExitCode.OK


budget.add_command(bill)
