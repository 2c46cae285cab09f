"""``qimg ladder``: one model on every rung from simulation to a device (imports qimg_core's command-line parts)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from qimg_compare.ladder.rungs import Rung, usual_rungs
from qimg_core.cli.options import (
    RunOptions,
    arm_option,
    json_option,
    parse_classes,
    parse_settings,
    run_options,
    set_option,
)
from qimg_core.cli.output import emit, say, table
from qimg_core.cli.runs import check_folder, check_workload, load_generator, model_changes, open_run, prepare_ledger
from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.storage import ensure_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_compare.ladder.climbing import Climbed, Step
    from qimg_core.cli.app import App
    from qimg_core.generator import Generator
    from qimg_core.session import Session
    from qimg_metrics.bootstrap import Estimate
    from qimg_metrics.features import FeatureNetwork

KIND = "ladder.climbed"
SHOTS = 1000


@click.command()
@click.option("--generator", required=True, metavar="NAME", help="A model with a circuit; see `qimg plugin list`.")
@click.option("--weights", metavar="NAME|FILE", help="Trained weights; those that ship with it by default.")
@click.option("--untrained", is_flag=True, help="Use a model without trained weights.")
@click.option("--n", default=8, show_default=True, type=click.IntRange(1), help="Images on each rung.")
@click.option("--condition", metavar="CLASSES", help="Classes in turn: 0-9, or 3,5. All by default.")
@arm_option
@set_option
@click.option("--device", "devices", multiple=True, metavar="NAME", help="A rung on this device; repeatable, in order.")
@click.option("--draws", default=3, show_default=True, type=click.IntRange(0), help="Rungs of drawn noise.")
@click.option("--strength", default="0.001,0.02", show_default=True, metavar="LOW,HIGH", help="Of the drawn noise.")
@click.option("--network", metavar="NAME|FILE", help="Feature network that says which class an image shows.")
@click.option("--out", default="ladder", show_default=True, metavar="FOLDER", help="Pictures and ladder.json.")
@run_options
@json_option
@click.pass_obj
def ladder(
    app: App,
    generator: str,
    weights: str | None,
    untrained: bool,
    n: int,
    condition: str | None,
    arm: str | None,
    settings: tuple[str, ...],
    devices: tuple[str, ...],
    draws: int,
    strength: str,
    network: str | None,
    out: str,
    run: RunOptions,
) -> None:
    """Climb from exact simulation over shots, drawn noise and a stated noise model to devices.

    Every rung makes the same images from the same noise and seeds, and measures the model's first circuit; what
    changes is said beside what shots alone would change. --backend is the simulator of the lower rungs, --shots those
    of all rungs but the first (1,000 by default), --noise a rung of its own. Each rung is a run of the ledger.
    """
    from qimg_compare.ladder.climbing import climb, probe_of, steps

    folder, classes = Path(out), parse_classes(condition)
    check_folder(folder)
    seed = secrets.randbits(62) if run.seed is None else run.seed
    rungs = usual_rungs(
        run.backend,
        devices,
        shots=run.shots or SHOTS,
        seed=seed,
        draws=draws,
        strength=_strength(strength),
        noise=run.noise,
    )
    judge = None if network is None else _judge(network)

    def loaded(session: Session) -> Generator:
        changes = model_changes(arm, parse_settings(settings))
        model = load_generator(session, generator, weights=weights, untrained=untrained, changes=changes)
        check_workload(model, n)
        return model

    probes = []
    for rung in rungs:  # what cannot run is found before anything has run
        with open_run(app, _options(run, rung, seed), "generate", planning=True) as session:
            probes.append(probe_of(loaded(session), n, condition=classes))
    climbed: list[Climbed] = []
    ensure_folder(folder)
    for rung in rungs:
        say(f"{rung.name}: {rung.backend}{'' if rung.noise is None else f', {rung.noise}'}")
        with open_run(app, _options(run, rung, seed), "generate") as session:
            prepare_ledger(session, run.ledger)
            climbed.append(climb(loaded(session), rung, probes[0], n, condition=classes))
            climbed[-1].images.save(folder / f"{rung.name.replace(':', '-').replace('/', '-')}.png")
            if rung is rungs[-1]:
                judged = None if judge is None else [_accuracy(judge, c) for c in climbed]
                document = _document(steps(climbed, seed=seed), judged, n=n, generator=generator, seed=seed)
                text = canonical.dumps(document)
                session.record(KIND, {"schema": "qimg.ladder/1", "artefacts": {"ladder": session.put(text)}})
                write_atomic(folder / "ladder.json", text)
    emit(document, _lines(document, folder))


def _options(run: RunOptions, rung: Rung, seed: int) -> RunOptions:
    fallback = run.fallback if rung.backend == run.backend else ()
    return evolve(run, backend=rung.backend, noise=rung.noise, shots=rung.shots, seed=seed, fallback=fallback)


def _strength(text: str) -> tuple[float, float]:
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigurationError(f"--strength: wanted LOW,HIGH, got {text!r}", hint="--strength 0.001,0.02") from error
    return low, high


def _judge(network: str) -> FeatureNetwork:
    from qimg_metrics.image_command import named_network

    return named_network(network)


def _accuracy(judge: FeatureNetwork, climbed: Climbed) -> Estimate:
    from qimg_metrics.image.classes import class_accuracy

    if climbed.images.labels is None:
        raise ConfigurationError("--network: the model makes images without asking for a class")
    _, found = judge.features_and_classes(climbed.images.pixels)
    return class_accuracy(found, climbed.images.labels)


def _document(
    found: Sequence[Step], judged: Sequence[Estimate] | None, *, n: int, generator: str, seed: int
) -> dict[str, Any]:
    """Reals as shortest round-trip texts, so that the ledger can hold it."""
    rows = []
    for k, step in enumerate(found):
        c = step.climbed
        rows.append(
            {
                "rung": c.rung.name,
                "backend": c.rung.backend,
                "noise": c.rung.noise,
                "shots": c.rung.shots,
                "run": c.run,
                "quantum": c.images.quantum,
                "simulated": c.images.simulated,
                "pixels": c.images.digest,
                "total_variation": repr(step.variation),
                "sampling_floor": repr(step.floor),
                "pixel_distance": repr(step.pixel),
                "worst_pixel_distance": repr(step.worst_pixel),
                "class_accuracy": None if judged is None else judged[k].to_json(),
            }
        )
    return {"generator": generator, "n": n, "seed": str(seed), "rungs": rows}


def _lines(document: dict[str, Any], folder: Path) -> list[str]:
    cells = []
    for row in document["rungs"]:
        judged = row["class_accuracy"]
        accuracy = (
            "-"
            if judged is None
            else f"{float(judged['value']):.3f} [{float(judged['low']):.3f}, {float(judged['high']):.3f}]"
        )
        cells.append(
            [
                row["rung"],
                row["noise"] or "-",
                "exact" if row["shots"] is None else f"{row['shots']:,}",
                f"{float(row['total_variation']):.4f}",
                f"{float(row['sampling_floor']):.4f}",
                f"{float(row['pixel_distance']):.4f}",
                accuracy,
            ]
        )
    head = ["RUNG", "NOISE", "SHOTS", "BIT STRINGS", "SHOTS ALONE", "PIXELS", "CLASS AS ASKED"]
    return [
        *table(head, cells),
        f"{document['n']} images of {document['generator']} on each rung, seed {document['seed']}.",
        "Bit strings: total variation from exact simulation, beside what as many shots of the exact distribution give.",
        "Pixels: mean absolute difference.",
        f"pictures and ladder.json: {folder}",
    ]
