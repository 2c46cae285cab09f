"""``qimg gate``: one check of a project for CI (imports checks, formats)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option
from qimg_core.cli.output import coloured, emit
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError
from qimg_core.storage import write_atomic
from qimg_core.verdict import Verdict
from qimg_ops import checks
from qimg_ops.formats import junit as to_junit
from qimg_ops.formats import markdown as to_markdown
from qimg_ops.formats import sarif as to_sarif
from qimg_ops.settings import GateSettings, read_settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.cli.app import App

_PATH = click.Path(path_type=Path)
HINT = """--config FILE, or begin with one line: echo 'ledger = "runs"' > gate.toml; all settings: docs/how-to/gate"""


def overall(outcomes: list[checks.Outcome]) -> Verdict:
    """Fail over inconclusive over pass; checks that do not apply do not count, unless nothing else is there."""
    found = {o.verdict for o in outcomes}
    for verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.PASS):
        if verdict in found:
            return verdict
    return Verdict.INCONCLUSIVE


def run_gate(app: App, settings: GateSettings, root: Path) -> list[checks.Outcome]:
    """Every check that the settings ask for.

    Raises:
        ConfigurationError: there is no ledger.
    """
    where = settings.ledger if "://" in settings.ledger else str(root / settings.ledger)
    with existing_ledger(app, where) as log:
        done = [*checks.check_record(log, settings), checks.tried("incidents", lambda: checks.check_incidents(log))]
        asked: list[tuple[str, tuple[str, ...], Callable[[], checks.Outcome]]] = [
            ("policies", settings.policies, lambda: checks.check_policies(root, settings.policies)),
            ("model cards", settings.cards, lambda: checks.check_cards(root, log, settings.cards, settings.sections)),
            ("data manifests", settings.data, lambda: checks.check_manifests(root, log, settings.data)),
            (
                "comparisons",
                settings.comparisons,
                lambda: checks.check_comparisons(log, settings.comparisons, settings.accept),
            ),
            ("canaries", settings.canaries, lambda: checks.check_canaries(log, settings.canaries)),
        ]
        for name, given, check in asked:
            idle = checks.Outcome(check=name, verdict=Verdict.NOT_APPLICABLE, what="gate.toml names none")
            done.append(checks.tried(name, check) if given else idle)
    return done


@click.command()
@click.option("--config", type=_PATH, default="gate.toml", show_default=True, metavar="FILE", help="What to check.")
@click.option("--junit", type=_PATH, metavar="FILE", help="Write JUnit XML.")
@click.option("--sarif", type=_PATH, metavar="FILE", help="Write SARIF 2.1.0.")
@click.option("--markdown", type=_PATH, metavar="FILE", help="Write Markdown.")
@json_option
@click.pass_obj
def gate(app: App, config: Path, junit: Path | None, sarif: Path | None, markdown: Path | None) -> ExitCode:
    """Check a project: record, incidents, policies, model cards, manifests, comparisons, canaries.

    Paths in the configuration are relative to it. Nothing is written but the reports. Exit code 1 where a check fails,
    3 where one cannot tell.
    """
    from qimg_core import __version__

    if not config.exists():
        raise ConfigurationError(f"there is no {config}", hint=HINT)
    outcomes = run_gate(app, read_settings(config), config.absolute().parent)
    verdict = overall(outcomes)
    if junit is not None:
        write_atomic(junit, to_junit(outcomes))
    if sarif is not None:
        write_atomic(sarif, json.dumps(to_sarif(outcomes, __version__), indent=2).encode() + b"\n")
    if markdown is not None:
        write_atomic(markdown, to_markdown(outcomes, verdict).encode())
    lines = []
    for o in outcomes:
        lines.append(f"{coloured(o.verdict)}: {o.check}: {o.what}")
        for f in o.findings:
            place = "" if f.file is None else f.file + ("" if f.line is None else f":{f.line}") + ": "
            lines.append(f"  {f.rule} {place}{f.message}")
    document = {
        "verdict": verdict.value,
        "checks": [
            {
                "check": o.check,
                "verdict": o.verdict.value,
                "what": o.what,
                "findings": [
                    {"rule": f.rule, "message": f.message, "file": f.file, "line": f.line} for f in o.findings
                ],
            }
            for o in outcomes
        ],
    }
    emit(document, [*lines, f"gate: {coloured(verdict)}"])
    return verdict_code(verdict)
