"""``qimg generate``: images, their picture and their record (imports making)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from attrs import evolve

from qimg_core.cli.making import Order, make
from qimg_core.cli.options import (
    RunOptions,
    arm_option,
    json_option,
    parse_classes,
    parse_settings,
    run_options,
    set_option,
)
from qimg_core.cli.output import emit
from qimg_core.cli.summary import circuit_words, parameter_words

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.command()
@click.option("--generator", required=True, metavar="NAME", help="E.g. hybrid-unet; see `qimg plugin list`.")
@click.option("--weights", metavar="NAME|FILE", help="Trained weights; those that ship with it by default.")
@click.option("--untrained", is_flag=True, help="Use a model without trained weights.")
@click.option("--n", default=64, show_default=True, help="How many images.")
@click.option("--condition", metavar="CLASSES", help="Classes in turn: 0-9, or 3,5. All by default.")
@arm_option
@set_option
@click.option("--out", default="images.png", show_default=True, metavar="FILE.png", help="The picture of all of them.")
@click.option("--each", metavar="FOLDER", help="Write every image as a file of its own, too.")
@click.option("--columns", type=click.IntRange(1), help="Images in a row of the picture.")
@click.option("--resume", metavar="RUN", help="Go on with an interrupted run: nothing is sent or paid twice.")
@run_options
@json_option
@click.pass_obj
def generate(
    app: App,
    generator: str,
    weights: str | None,
    untrained: bool,
    n: int,
    condition: str | None,
    arm: str | None,
    settings: tuple[str, ...],
    out: str,
    each: str | None,
    columns: int | None,
    resume: str | None,
    run: RunOptions,
) -> None:
    """Make images and their record.

    The picture names the run and the entry that describe it: see `qimg inspect`.
    """
    order = Order(
        generator=generator,
        weights=weights,
        untrained=untrained,
        arm=arm,
        settings=parse_settings(settings),
        n=n,
        condition=parse_classes(condition),
        out=Path(out),
        each=None if each is None else Path(each),
        columns=columns,
    )
    made = make(app, evolve(run, resume=resume), order)
    more = f" and {len(made['files']) - 1} single files in {each}" if each is not None else ""
    lines = [
        (
            f"{made['files'][0]}{more}: {made['n']} images of {made['generator']}, "
            f"run {made['run']}, entry {made['entry']}, seed {made['seed']}"
        ),
        f"  {made['words']}" + "".join(f"; {circuit_words(c)}" for c in made["circuits"]),
    ]
    if made["quantum"]:
        lines.append(f"  {parameter_words(made['parameters'])}")
    emit(made, [*lines, f"  see: qimg inspect {made['files'][0]} --ledger {run.ledger}"])
