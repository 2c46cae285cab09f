"""``qimg verify``: a ledger or an exported bundle, every byte of it (imports ledger)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option
from qimg_core.cli.output import coloured, emit
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Verification


@click.command()
@click.argument("where", default="runs", metavar="[LEDGER|BUNDLE]")
@click.option("--vkeys", metavar="FILE", help="Public keys that you trust, for a bundle; else its own are used.")
@json_option
@click.pass_obj
def verify(app: App, where: str, vkeys: str | None) -> ExitCode:
    """Check a ledger or an exported bundle, every entry of it.

    Entries, hashes, signed heads, signatures and artefacts are computed again. Exit code 1, and the first bad
    entry, where something does not hold. WHERE is runs by default.
    """
    checked = _check(app, where, vkeys)
    document = {
        "where": where,
        "verdict": checked.verdict.value,
        "entries": checked.entries,
        "artefacts": checked.artefacts,
        "checkpoints": checked.checkpoints,
        "signatures": checked.signatures,
        "first_bad": checked.first_bad,
        "problems": [{"where": p.where, "what": p.what} for p in checked.problems],
        "notes": list(checked.notes),
    }
    counts = (
        f"{checked.entries:,} entries, {checked.artefacts:,} artefacts, {checked.checkpoints:,} signed heads, "
        f"{checked.signatures:,} signatures"
    )
    first = "" if checked.first_bad is None else f"; first bad entry: {checked.first_bad}"
    lines = [f"{coloured(checked.verdict)}: {where}: {counts}{first}"]
    lines += [f"  {problem}" for problem in checked.problems] + [f"  note: {note}" for note in checked.notes]
    emit(document, lines)
    return verdict_code(checked.verdict)


def _check(app: App, where: str, vkeys: str | None) -> Verification:
    from qimg_core.ledger.bundle import check
    from qimg_core.ledger.sqlite import verify_folder

    path = Path(where)
    if "://" in where:
        from qimg_core.ledger.opening import open_ledger

        with open_ledger(where, app.registry, create=False, read_only=True) as ledger:
            return ledger.verify()
    if path.suffix == ".zip" or (path / "manifest.json").exists():
        return check(path, vkeys=None if vkeys is None else Path(vkeys).read_bytes())
    if vkeys is not None:
        raise ConfigurationError("--vkeys is for bundles", hint="a ledger is checked with the keys beside it")
    if path.is_file():
        raise ConfigurationError(f"{where} is neither a ledger nor a bundle", hint=f"qimg inspect {where}")
    return verify_folder(path)
