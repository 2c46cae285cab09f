"""``qimg replay``: a recorded run made again (imports replay)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.budget import Budget
from qimg_core.cli.evidence import match_picture
from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option, ledger_option, parse_amount, parse_size
from qimg_core.cli.output import coloured, emit, fields, say
from qimg_core.cli.runs import existing_ledger
from qimg_core.cli.sources import open_data
from qimg_core.cli.subject import find_run, subject
from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.verdict import Verdict

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.cli.subject import Subject
    from qimg_core.ledger.base import Ledger
    from qimg_core.replay import Replay


@click.command()
@click.argument("what", metavar="FILE.png|WEIGHTS|RUN")
@ledger_option
@click.option("--data", metavar="NAME|PATH", help="What a training learned; its recorded name by default.")
@click.option("--size", metavar="PIXELS", help="Bring the data to this size, as the training did.")
@click.option("--max-cost", metavar="AMOUNT", help="What it may spend where the device costs; else nothing.")
@json_option
@click.pass_obj
def replay(app: App, what: str, ledger: str, data: str | None, size: str | None, max_cost: str | None) -> ExitCode:
    """Make a recorded run again and compare.

    Images of a simulator are equal to the byte in the same environment; trainings are compared by weights and
    samples. The repetition has a record of its own. Exit code 0 equal, 1 different, 3 where nothing promises
    equality.
    """
    found = subject(what)
    with existing_ledger(app, ledger, write=True) as log:
        budget = None if max_cost is None else Budget(max_cost=parse_amount(max_cost))
        result = _repeat(app, log, found, ledger, data, size, budget)
    document = {
        "verdict": result.verdict.value,
        "run": result.run,
        "new_run": result.new_run,
        "first_difference": result.first_difference,
        "environment": list(result.environment),
        "measured": result.measured,
    }
    said = result.first_difference or "equal to the byte"
    lines = [f"{coloured(result.verdict)}: run {result.run} made again as run {result.new_run}: {said}"]
    lines += fields([*((f"{name}", value) for name, value in result.measured.items())])
    lines += fields([("environment", line) for line in result.environment])
    emit(document, lines)
    return verdict_code(result.verdict)


def _repeat(
    app: App,
    ledger: Ledger,
    found: Subject,
    where: str,
    data: str | None,
    size: str | None,
    budget: Budget | None,
) -> Replay:
    from qimg_core.replay import replay_images

    if found.kind == "picture":
        from qimg_core.images import read_images

        assert found.path is not None
        images, text = read_images(found.path)
        match = match_picture(ledger, images, text)
        if match.entry is None or match.verdict is not Verdict.PASS:
            wrong = LedgerError if match.verdict is Verdict.FAIL else ConfigurationError
            raise wrong(f"{found.name}: {match.reason}", hint=f"qimg inspect {found.name} --ledger {where}")
        return replay_images(ledger, entry=match.entry.index, registry=app.registry, budget=budget)
    if found.kind == "weights":
        from qimg_core.weights import load_weights

        assert found.path is not None
        run = find_run(ledger, str(load_weights(found.path).facts.get("run")), where)
    else:
        run = find_run(ledger, found.name, where)
    made = list(ledger.entries(run=run, kind="images.made"))
    trained = any(True for _ in ledger.entries(run=run, kind="training.started"))  # its images are samples on the way
    if made and not trained:
        if len(made) > 1:
            say(f"run {run} made images {len(made)} times; the last, entry {made[-1].index}, is made again")
        return replay_images(ledger, entry=made[-1].index, registry=app.registry, budget=budget)
    return _training(app, ledger, run, data, size, budget)


def _training(app: App, ledger: Ledger, run: str, data: str | None, size: str | None, budget: Budget | None) -> Replay:
    from qimg_core.cli.progress import training
    from qimg_core.replay import replay_training

    saved = next(iter(ledger.entries(run=run, kind="weights.saved")), None)
    if saved is None:
        raise ConfigurationError(f"run {run} made no images and saved no weights: there is nothing to make again")
    name, _, split = str(saved.facts["data"]["name"]).partition("/")  # e.g. mnist/train, or mnist/train@16x16
    split, _, resized = split.partition("@")
    source = open_data(app, data or name, split=split, size=parse_size(size or resized or None))
    with training(saved.facts["steps"]) as progress:
        return replay_training(ledger, run, source, registry=app.registry, progress=progress, budget=budget)
