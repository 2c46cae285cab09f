"""``qimg export``: a bundle that anybody can verify, or runs in another format (imports ledger, exporting)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit
from qimg_core.cli.runs import check_folder, existing_ledger
from qimg_core.cli.subject import find_run
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger


@click.command()
@click.argument("ledger", default="runs", metavar="[LEDGER]")
@click.option("--out", required=True, metavar="FOLDER|FILE|STORE", help="What to write; must not exist.")
@click.option("--run", "runs", multiple=True, metavar="RUN", help="Only this run; repeatable.")
@click.option("--encrypt-with", metavar="REFERENCE", help="Encrypt the bundle; its password is in env:NAME, file:PATH.")
@click.option("--format", "form", default="bundle", show_default=True, metavar="NAME", help=(
    "bundle, or one of qimg-audit's: in-toto, prov, ro-crate, mlflow."
))  # fmt: skip
@json_option
@click.pass_obj
def export(app: App, ledger: str, out: str, runs: tuple[str, ...], encrypt_with: str | None, form: str) -> None:
    """Write a bundle that anybody can verify, or runs in a format of other tools.

    A bundle holds entries, artefacts, signed heads and proofs, and a verify.py that needs Python only. The other
    formats are made from what `qimg trace` shows: in-toto (SLSA provenance, signed by the log), prov (PROV-JSON),
    ro-crate, mlflow (--out is a tracking store).
    """
    if form != "bundle":
        if encrypt_with is not None:
            raise ConfigurationError("--encrypt-with is for bundles", hint="leave --format away")
        _other(app, ledger, out, runs, form)
        return
    from pathlib import Path

    from qimg_core.ledger import encrypted_bundle, passwords
    from qimg_core.ledger.bundle import check
    from qimg_core.ledger.bundle import export as write

    password = None if encrypt_with is None else passwords.asked(encrypt_with, out)
    check_folder(Path(out).parent)
    with existing_ledger(app, ledger, write=True) as log:
        chosen = [find_run(log, run, ledger) for run in runs]
        if password is None:
            path = write(log, out, runs=chosen or None)
        else:
            path = encrypted_bundle.export(log, out, password, runs=chosen or None)
    checked = check(path) if password is None else encrypted_bundle.check(path, password)
    document = {
        "out": path,
        "runs": chosen or None,
        "entries": checked.entries,
        "artefacts": checked.artefacts,
        "verdict": checked.verdict.value,
    }
    which = f"run {', run '.join(chosen)}" if chosen else f"every run of {ledger}"
    lines = [f"{path}: {checked.entries} entries, {checked.artefacts} artefacts ({which}); checked: {checked.verdict}"]
    how = f"qimg verify {path}, or python verify.py inside it"
    if password is not None:
        how = f"qimg verify {path} --decrypt-with REFERENCE"
    emit(document, [*lines, f"  check it: {how}"])


def _other(app: App, ledger: str, out: str, runs: tuple[str, ...], form: str) -> None:
    from qimg_core.exporting import export_runs

    with existing_ledger(app, ledger, write=True) as log:
        chosen = [find_run(log, run, ledger) for run in runs] or _every(log)
        done = export_runs(log, form, chosen, out)
    document = {"format": form, "out": done.out, "runs": chosen, "items": done.items, "notes": list(done.notes)}
    emit(document, [f"{done.out}: {done.items} of {len(chosen)} runs, {form}", *(f"  note: {n}" for n in done.notes)])


def _every(ledger: Ledger) -> list[str]:
    return list(dict.fromkeys(e.run for e in ledger.entries(kind="run.started") if e.run))
