"""``qimg export``: a bundle that anybody can verify (imports ledger)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit
from qimg_core.cli.runs import check_folder, existing_ledger
from qimg_core.cli.subject import find_run

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.command()
@click.argument("ledger", default="runs", metavar="[LEDGER]")
@click.option("--out", required=True, metavar="FOLDER|FILE.zip", help="What to write; must not exist.")
@click.option("--run", "runs", multiple=True, metavar="RUN", help="Only this run; repeatable.")
@json_option
@click.pass_obj
def export(app: App, ledger: str, out: str, runs: tuple[str, ...]) -> None:
    """Write a bundle that anybody can verify.

    It holds entries, artefacts, signed heads and proofs, and a verify.py that needs Python only.
    """
    from pathlib import Path

    from qimg_core.ledger.bundle import check
    from qimg_core.ledger.bundle import export as write

    check_folder(Path(out).parent)
    with existing_ledger(app, ledger, write=True) as log:
        chosen = [find_run(log, run, ledger) for run in runs]
        path = write(log, out, runs=chosen or None)
    checked = check(path)
    document = {
        "out": path,
        "runs": chosen or None,
        "entries": checked.entries,
        "artefacts": checked.artefacts,
        "verdict": checked.verdict.value,
    }
    which = f"run {', run '.join(chosen)}" if chosen else f"every run of {ledger}"
    lines = [f"{path}: {checked.entries} entries, {checked.artefacts} artefacts ({which}); checked: {checked.verdict}"]
    emit(document, [*lines, f"  check it: qimg verify {path}, or python verify.py inside it"])
