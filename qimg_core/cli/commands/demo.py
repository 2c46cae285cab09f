"""``qimg demo``: the first picture, what in it is quantum, and the check of its record (imports making, ledger)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import evolve

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.making import Order, make
from qimg_core.cli.options import RunOptions, json_option, run_options
from qimg_core.cli.output import coloured, emit, fields
from qimg_core.cli.runs import existing_ledger
from qimg_core.cli.summary import circuit_words, parameter_words

if TYPE_CHECKING:
    from qimg_core.cli.app import App

SEED = 7
"""So that everybody's first picture is the one in the README."""


@click.command()
@click.option("--generator", default="hybrid-unet", show_default=True, metavar="NAME", help="Which model.")
@click.option("--weights", metavar="NAME|FILE", help="Trained weights; those that ship with it by default.")
@click.option("--n", default=64, show_default=True, help="How many images.")
@click.option("--out", default="out", show_default=True, metavar="FOLDER", help="Where the picture goes.")
@run_options
@json_option
@click.pass_obj
def demo(app: App, generator: str, weights: str | None, n: int, out: str, run: RunOptions) -> ExitCode:
    """Make 64 digits with the hybrid model, and verify their record."""
    run = evolve(run, seed=SEED if run.seed is None else run.seed)
    picture = Path(out) / "digits.png"
    order = Order(generator=generator, weights=weights, settings={}, n=n, condition=None, out=picture)
    made = make(app, run, order)
    with existing_ledger(app, run.ledger) as ledger:
        checked = ledger.verify()
    classes = sorted(set(made["condition"]))
    on = "a classical computer simulated it" if made["simulated"] else "on quantum hardware"
    quantum = f"{made['words']}: run {made['rows']:,} times; {on}" if made["quantum"] else made["words"]
    verified = (
        f"{coloured(checked.verdict)}: {checked.entries} entries, {checked.artefacts} artefacts, "
        f"{checked.signatures} signatures of {run.ledger}"
    )
    lines = [
        (
            f"{picture}: {made['n']} images of {len(classes)} classes by {generator}, "
            f"run {made['run']}, entry {made['entry']}"
        ),
        *fields(
            [
                ("quantum", quantum),
                *(("circuit", circuit_words(c)) for c in made["circuits"]),
                ("numbers", parameter_words(made["parameters"]) if made["quantum"] else ""),
                ("record", verified),
                *(("problem", str(problem)) for problem in checked.problems),
                ("next", f"qimg inspect {picture} --ledger {run.ledger}"),
                ("", f"qimg replay {picture} --ledger {run.ledger}"),
            ]
        ),
    ]
    verification = {
        "verdict": checked.verdict.value,
        "entries": checked.entries,
        "artefacts": checked.artefacts,
        "signatures": checked.signatures,
        "first_bad": checked.first_bad,
    }
    emit({**made, "verification": verification}, lines)
    return verdict_code(checked.verdict)
