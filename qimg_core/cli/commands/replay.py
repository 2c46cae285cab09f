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
    from qimg_core.ledger.entry import Entry
    from qimg_core.replay import Replay


_OPEN = click.FloatRange(0, 1, min_open=True, max_open=True)


@click.command()
@click.argument("what", metavar="FILE.png|WEIGHTS|RUN")
@ledger_option
@click.option("--data", metavar="NAME|PATH", help="What a training learned; its recorded name by default.")
@click.option("--size", metavar="PIXELS", help="Bring the data to this size, as the training did.")
@click.option("--max-cost", metavar="AMOUNT", help="What it may spend where the device costs; else nothing.")
@click.option("--requests", is_flag=True, help="Execute the run's kept requests again with fresh shots, and test.")
@click.option("--alpha", default=0.01, show_default=True, type=_OPEN, help="Chance of calling equal things different.")
@click.option("--effect", type=_OPEN, help="What a statistical pass excludes: 0.1 of a distance, 0.05 of a pixel.")
@click.option("--limit", type=click.IntRange(1), help="With --requests: compare so many, drawn by the new seed.")
@click.option("--seed", type=int, help="With --requests: of the repetition; drawn and recorded by default.")
@json_option
@click.pass_obj
def replay(
    app: App,
    what: str,
    ledger: str,
    data: str | None,
    size: str | None,
    max_cost: str | None,
    requests: bool,
    alpha: float,
    effect: float | None,
    limit: int | None,
    seed: int | None,
) -> ExitCode:
    """Make a recorded run again and compare.

    Images of a simulator are equal to the byte in the same environment; trainings are compared by weights and
    samples. Where a device takes fresh shots the verdict is statistical: images by a paired permutation test, with
    --requests the kept numbers of each request by tests of their counts. The repetition has a record of its own. Exit
    code 0 equal, 1 different, 3 where it cannot be told.
    """
    found = subject(what)
    if not requests and (limit is not None or seed is not None):
        raise ConfigurationError("--limit and --seed are for --requests")
    with existing_ledger(app, ledger, write=True) as log:
        budget = None if max_cost is None else Budget(max_cost=parse_amount(max_cost))
        if requests:
            from qimg_core.request_replay import replay_requests

            run, more = _run_of(log, found, ledger), {"limit": limit, "seed": seed}
            result = replay_requests(log, run, alpha=alpha, effect=effect, registry=app.registry, budget=budget, **more)
        else:
            result = _repeat(app, log, found, ledger, data, size, budget, alpha, effect)
    document = {
        "verdict": result.verdict.value,
        "method": result.method,
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
    alpha: float,
    effect: float | None,
) -> Replay:
    from qimg_core.replay import replay_images

    def images(entry: int) -> Replay:
        return replay_images(ledger, entry=entry, registry=app.registry, budget=budget, alpha=alpha, effect=effect)

    if found.kind == "picture":
        return images(_picture(ledger, found, where).index)
    run = _run_of(ledger, found, where)
    made = list(ledger.entries(run=run, kind="images.made"))
    trained = any(True for _ in ledger.entries(run=run, kind="training.started"))  # its images are samples on the way
    if found.kind == "run" and made and not trained:
        if len(made) > 1:
            say(f"run {run} made images {len(made)} times; the last, entry {made[-1].index}, is made again")
        return images(made[-1].index)
    return _training(app, ledger, run, data, size, budget)


def _picture(ledger: Ledger, found: Subject, where: str) -> Entry:
    """The entry that describes a picture's pixels."""
    from qimg_core.images import read_images

    assert found.path is not None
    images, text = read_images(found.path)
    match = match_picture(ledger, images, text)
    if match.entry is None or match.verdict is not Verdict.PASS:
        wrong = LedgerError if match.verdict is Verdict.FAIL else ConfigurationError
        raise wrong(f"{found.name}: {match.reason}", hint=f"qimg inspect {found.name} --ledger {where}")
    return match.entry


def _run_of(ledger: Ledger, found: Subject, where: str) -> str:
    if found.kind == "run":
        return find_run(ledger, found.name, where)
    if found.kind == "picture":
        return str(_picture(ledger, found, where).run)
    from qimg_core.weights import load_weights

    assert found.path is not None
    return find_run(ledger, str(load_weights(found.path).facts.get("run")), where)


def _training(app: App, ledger: Ledger, run: str, data: str | None, size: str | None, budget: Budget | None) -> Replay:
    from qimg_core.cli.progress import training
    from qimg_core.replay import replay_training

    saved = next(iter(ledger.entries(run=run, kind="weights.saved")), None)
    if saved is None:
        raise ConfigurationError(
            f"run {run} made no images and saved no weights: there is nothing to make again",
            hint=f"where its requests were kept: qimg replay {run} --requests",
        )
    name, _, split = str(saved.facts["data"]["name"]).partition("/")  # e.g. mnist/train, or mnist/train@16x16
    split, _, resized = split.partition("@")
    source = open_data(app, data or name, split=split, size=parse_size(size or resized or None))
    with training(saved.facts["steps"]) as progress:
        return replay_training(ledger, run, source, registry=app.registry, progress=progress, budget=budget)
