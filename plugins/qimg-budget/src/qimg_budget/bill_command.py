"""``qimg budget bill``: a provider's bill beside the ledgers (imports bills)."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_budget.bills import EQUAL, compare, corrections, read_bill
from qimg_budget.options import budget_option, opened
from qimg_budget.outcomes import settle
from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit
from qimg_core.cli.runs import existing_ledger

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from qimg_core.cli.app import App
    from qimg_core.job import JSON
    from qimg_core.ledger.base import Ledger


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--ledger", "ledgers", multiple=True, default=("runs",), metavar="FOLDER", help="Repeatable.")
@budget_option
@click.option("--apply", is_flag=True, help="Count what the bill says in the place of what was counted.")
@json_option
@click.pass_obj
def bill(app: App, file: Path, ledgers: tuple[str, ...], path: Path | None, apply: bool) -> int:
    """Compare a provider's bill (CSV: job, amount, unit) with the ledgers; exit code 1 where they disagree.

    A job is named by the provider's id, or by our key. --apply wants the budget.
    """
    lines = read_bill(file)
    changed: list[str] = []
    with ExitStack() as stack:
        logs = [stack.enter_context(existing_ledger(app, where, write=apply)) for where in ledgers]
        found = compare(lines, logs)
        if apply:
            with opened(path) as store:
                for log in logs:
                    for name, ends in corrections(store, log, found).items():
                        settle(store, name, ends, partial(_record, log, store.row(name).run), correct=True)
                        changed.append(name)
    shown = [c for c in found if c.verdict != EQUAL]
    document = [
        {
            "job": c.job,
            "run": c.run,
            "backend": c.backend,
            "ours": _texts(c.ours),
            "theirs": _texts(c.theirs),
            "verdict": c.verdict,
        }
        for c in shown
    ]
    text = [
        f"{c.verdict}: {c.job[:24]} {c.backend} ours {_words(c.ours)}, theirs {_words(c.theirs)}" for c in shown
    ] + [f"{len(found) - len(shown)} of {len(found)} jobs agree; {len(changed)} reservations corrected"]
    emit({"jobs": document, "equal": len(found) - len(shown), "corrected": changed}, text)
    return ExitCode.OK if all(c.agrees for c in found) else ExitCode.FAILED


def _record(log: Ledger, run: str, kind: str, facts: Mapping[str, JSON]) -> object:
    return log.append(kind, run=run, facts=facts)


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {unit: str(amount) for unit, amount in amounts.items()}


def _words(amounts: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{amount} {unit}" for unit, amount in amounts.items()) or "unknown"
