"""``qimg train``: one recorded training run (imports training; datasets)."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import (
    RunOptions,
    arm_option,
    json_option,
    parse_settings,
    parse_size,
    run_options,
    set_option,
)
from qimg_core.cli.output import emit, fields, say, short
from qimg_core.cli.progress import training
from qimg_core.cli.runs import check_file, model_changes, open_run, prepare_ledger
from qimg_core.cli.sources import open_data
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.command()
@click.option("--generator", required=True, metavar="NAME", help="E.g. hybrid-unet; see `qimg plugin list`.")
@click.option("--data", required=True, metavar="NAME|PATH", help="What to learn; see `qimg data list`.")
@click.option("--steps", type=int, help="Steps in all. Not needed with --resume.")
@click.option(
    "--out", required=True, metavar="FILE.safetensors", help="The weights. Curve and samples lie beside them."
)
@click.option("--resume", is_flag=True, help="Go on with a training that was stopped or killed.")
@click.option("--from", "weights", metavar="NAME|FILE", help="Begin with these weights and their settings: fine-tune.")
@click.option("--every", default=250, show_default=True, type=click.IntRange(1), help="Save the state so often.")
@click.option("--samples", default=20, show_default=True, type=click.IntRange(0), help="Images of the sample grid.")
@click.option("--split", type=click.Choice(["train", "test"]), default="train", show_default=True, help="Of the data.")
@click.option("--size", metavar="PIXELS", help="Bring the data to this size: 16, or 16x24 (height x width).")
@click.option("--digest", metavar="SHA256", help="Refuse data of another digest; `qimg data show` prints it.")
@click.option("--manifest", metavar="FILE.json", help="The data set's manifest, where it is not beside the data.")
@arm_option
@set_option
@run_options
@json_option
@click.pass_obj
def train(
    app: App,
    generator: str,
    data: str,
    steps: int | None,
    out: str,
    resume: bool,
    weights: str | None,
    every: int,
    samples: int,
    split: str,
    size: str | None,
    digest: str | None,
    manifest: str | None,
    arm: str | None,
    settings: tuple[str, ...],
    run: RunOptions,
) -> ExitCode:
    """Train a generator; it can be stopped and resumed.

    Ctrl-C ends the run cleanly and saves where it was; --resume goes on and ends with the same weights as a
    training that was never stopped.
    """
    from qimg_core.training import state_path
    from qimg_core.training import train as fit

    target = Path(out)
    check_file(target, ".safetensors")
    changes = model_changes(arm, parse_settings(settings))
    config: Any = None
    saved: dict[str, Any] = {}
    if resume:
        saved = _saved(state_path(target))
        steps = saved["steps"] if steps is None else steps
        run = evolve(run, seed=int(saved["seed"]) if run.seed is None else run.seed)
    if steps is None:
        raise ConfigurationError("--steps is needed", hint="e.g. --steps 5000")
    with open_run(app, run, "train") as session:
        if weights is not None:
            from qimg_core.generation import weights_path
            from qimg_core.weights import load_weights

            first = load_weights(weights_path(session, generator, weights))
            if resume and first.digest != saved.get("from_weights"):
                raise ConfigurationError(f"{out} did not begin with the weights {weights}", hint="leave --from away")
            saved = saved or dict(first.facts)
        if saved:
            from qimg_core.config import config_from_json

            cls = session.registry.load("generator", generator)
            config = config_from_json(cls.config_type, saved["config"])
        model = session.generator(generator, config=config, **changes)
        images = open_data(app, data, split=split, size=parse_size(size), digest=digest)
        if steps >= 1:
            model.check_images(images)
            prepare_ledger(session, run.ledger)
        done = int(saved["step"]) if resume else 0
        say(
            f"run {session.run}: {generator}, arm {model.arm.value}, {images.n:,} images of {images.name}, "
            f"seed {session.seed}"
        )
        with training(steps, done) as progress:
            result = fit(
                session,
                model,
                images,
                steps=steps,
                out=target,
                resume=resume,
                every=every,
                progress=progress,
                samples=samples,
                data=data,
                manifest=manifest,
                weights=weights,
            )
    stem = target.with_suffix("")
    beside = [Path(f"{stem}{end}") for end in (".loss.csv", ".loss.svg", ".samples.png")]
    document: dict[str, Any] = {
        "run": result.run,
        "entry": result.entry,
        "ledger": run.ledger,
        "steps": result.steps,
        "of": steps,
        "last_loss": result.last_loss,
        "weights": result.weights,
        "digest": result.digest,
        "state": result.state,
        "files": [path for path in beside if path.exists()],
        "seed": session.seed,
        "stopped": result.weights is None,
    }
    if result.weights is None:
        again = shlex.join(["qimg", *app.argv, *([] if resume else ["--resume"])])
        seed = "" if run.seed is None or "--seed" in app.argv else f" (seed {session.seed} is in the state)"
        kept = f"the state is in {result.state}; go on with:" if result.state else "nothing was trained yet"
        emit(document, [f"stopped after step {result.steps} of {steps}, run {result.run}: {kept}"])
        if result.state:
            say(f"  {again}{seed}")
        return ExitCode.INTERRUPTED
    lines = [
        f"{result.weights}: {result.steps} steps, run {result.run}, entry {result.entry}, {short(result.digest or '')}",
        *fields(
            [
                ("loss", f"{result.last_loss:.4g} (mean of the last steps)"),
                *(("", str(p)) for p in document["files"]),
            ]
        ),
    ]
    emit(document, lines)
    return ExitCode.OK


def _saved(state: Path) -> dict[str, Any]:
    """Seed, steps and configuration of an interrupted training: --resume needs none of them again."""
    from qimg_core.weights import load_weights

    if not state.exists():
        raise ConfigurationError(f"nothing to resume: there is no {state}", hint="leave --resume away to begin")
    return dict(load_weights(state).facts)
