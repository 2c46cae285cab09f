"""``qimg spend``: what was spent, by group (imports report)."""

from __future__ import annotations

import datetime as dt
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from qimg_budget.amounts import all_shown, number
from qimg_budget.options import budget_option, opened
from qimg_budget.report import BY, from_ledgers, from_store
from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.cli.app import App


@click.command()
@click.option("--by", type=click.Choice(BY), default="project", show_default=True)
@click.option("--since", metavar="DAY", help="From this day on, e.g. 2026-11-01 (UTC).")
@click.option("--from-ledger", is_flag=True, help="Add it up from the entries of the ledgers alone.")
@click.option("--ledger", "ledgers", multiple=True, default=("runs",), metavar="FOLDER", help="Repeatable.")
@budget_option
@json_option
@click.pass_obj
def spend(app: App, by: str, since: str | None, from_ledger: bool, ledgers: tuple[str, ...], path: Path | None) -> None:
    """Show what was spent and what is reserved, by run, project, day, device or cost centre."""
    day = _day(since)
    budget = None
    if path is not None or not from_ledger:
        with opened(path) as store:
            budget = store.id
            lines = from_store(store, by, day)
    if from_ledger:
        with ExitStack() as stack:
            logs = [stack.enter_context(existing_ledger(app, where)) for where in ledgers]
            lines = from_ledgers(logs, by, day, budget)
    document = [
        {
            "name": line.name,
            "spent": {d: number(d, a) for d, a in line.spent.items()},
            "held": {d: number(d, a) for d, a in line.held.items()},
        }
        for line in lines
    ]
    rows = [[line.name, all_shown(line.spent), all_shown(line.held)] for line in lines]
    source = "ledger" if from_ledger else "budget"
    emit(
        {"by": by, "since": since, "source": source, "budget": budget, "groups": document},
        table([by.upper(), "SPENT", "RESERVED"], rows) if rows else ["nothing was spent"],
    )


def _day(text: str | None) -> str:
    if text is None:
        return ""
    try:
        return dt.date.fromisoformat(text).isoformat()
    except ValueError as error:
        raise ConfigurationError(f"--since wants a day such as 2026-11-01, got {text!r}") from error
