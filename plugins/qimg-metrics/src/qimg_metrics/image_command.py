"""``qimg metrics``: make a feature network, test the metrics on planted faults, read a training, trace a sampling.

Imports qimg_core's command-line parts; torch and the metrics when a command runs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import RunOptions, json_option, parse_classes, parse_size, run_options
from qimg_core.cli.output import emit, say, table
from qimg_core.cli.progress import sampling
from qimg_core.cli.runs import check_file, check_workload, load_generator, open_run, prepare_ledger
from qimg_core.cli.sources import open_data
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.storage import ensure_folder, write_atomic

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.datasets import ImageSource
    from qimg_metrics.bootstrap import Estimate
    from qimg_metrics.features import FeatureNetwork
    from qimg_metrics.image.trace import TracePoint


@click.group()
def metrics() -> None:
    """Of the metrics themselves: feature networks, planted faults, convergence, traces."""


@metrics.command(name="train-network")
@click.argument("data", metavar="NAME|PATH")
@click.option(
    "--out", required=True, metavar="FILE.safetensors", help="The weights; the card goes beside them as .json."
)
@click.option("--name", metavar="NAME", help="Of the network; that of the file by default.")
@click.option("--size", metavar="PIXELS", help="Bring the images to this size first: 16 or 16x24.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of weights, order and noise.")
@click.option("--epochs", default=8, show_default=True, type=click.IntRange(1), help="Small sets want more.")
@click.option("--held-out", type=float, metavar="SHARE", help="Test on this share of data that come without a split.")
@json_option
@click.pass_obj
def train_network_command(
    app: App, data: str, out: str, name: str | None, size: str | None, seed: int, epochs: int, held_out: float | None
) -> None:
    """Train the classifier whose features the metrics compare, for a labelled data set.

    It learns from the training images and is tested on the test images. Values compare within one network only: its
    digest is in the card and in every evaluation. Use it with `qimg evaluate --network FILE`.
    """
    path = Path(out)
    for file, ending in ((path, ".safetensors"), (path.with_suffix(".json"), ".json")):
        if file.exists():
            raise ConfigurationError(f"{file} exists already", hint="choose another --out, or remove it")
        check_file(file, ending)
    from qimg_metrics.image.train import held_out as split_off
    from qimg_metrics.image.train import train_network

    train = open_data(app, data, split="train", size=parse_size(size))
    if held_out is None:
        test: ImageSource = open_data(app, data, split="test", size=parse_size(size))
    else:
        train, test = split_off(train, held_out, seed=seed)
    options = "".join(
        f" --{key} {value}" for key, value in (("size", size), ("held-out", held_out)) if value is not None
    )
    name = name or path.stem
    shown = Path(data).name if "/" in data else data  # a card names no place on this machine
    network, record = train_network(
        train,
        test,
        path,
        name=name,
        seed=seed,
        epochs=epochs,
        command=f"qimg metrics train-network {shown} --out {path.name} --name {name} "
        f"--seed {seed} --epochs {epochs}{options}",
        progress=lambda epoch, of, loss: say(f"epoch {epoch}/{of}  loss {loss:.4f}"),
    )
    reached = record["accuracy"]
    low, high = float(reached["low"]), float(reached["high"])
    line = f"accuracy {float(reached['value']):.4f} [{low:.4f}, {high:.4f}] on {reached['n']} images of {test.name}"
    emit({"out": out, **record}, [f"{out}: {network.digest}", line])


@metrics.command()
@click.option("--data", default="mnist", show_default=True, metavar="NAME|PATH", help="Real images with labels.")
@click.option("--size", metavar="PIXELS", help="Bring the images to this size: 16 or 16x24.")
@click.option("--network", default="mnist-28", show_default=True, metavar="NAME|FILE", help="The feature network.")
@click.option("--n", default=2000, show_default=True, type=click.IntRange(20), help="Images in each set.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the sets and the intervals.")
@click.option("--out", metavar="FILE.md", help="Also write the table into a file.")
@click.option("--allow-small", is_flag=True, help="Go on below 1,000 images: a try, not an evaluation.")
@json_option
@click.pass_obj
def planted(
    app: App, data: str, size: str | None, network: str, n: int, seed: int, out: str | None, allow_small: bool
) -> int:
    """Measure images whose fault is known, to see which metric sees which on these data.

    Blurred, noisy, copied, one mean image, one class only, labels mixed up; each beside real images. Exit code 1 if a
    metric does not see a fault that it claims to see.
    """
    if out is not None:
        check_file(Path(out), ".md")
    judge = named_network(network)
    from qimg_metrics.image.planted import CLAIMS, FAULTS, judge_planted, must_see, planted_table, seen

    train, test = (open_data(app, data, split=split, size=parse_size(size)) for split in ("train", "test"))
    check_fits(judge, train, test)
    assert train.labels is not None
    assert test.labels is not None
    judged = judge_planted(
        train.all(),
        train.labels,
        test.all(),
        test.labels,
        judge,
        n=n,
        seed=seed,
        allow_small=allow_small,
    )
    found = {m: [fault for fault in FAULTS if seen(m, fault, judged)] for m in CLAIMS}
    missed = {m: sorted(set(must_see(m, min(train.shape[:2]))) - set(found[m])) for m in CLAIMS}
    text = planted_table(judged)
    if out is not None:
        ensure_folder(Path(out).parent)
        write_atomic(Path(out), text.encode())
    document = {
        "data": {"train": train.digest, "test": test.digest},
        "n": n,
        "seed": seed,
        "sets": {name: e.to_json() for name, e in judged.items()},
        "sees": found,
        "missed": {m: faults for m, faults in missed.items() if faults},
    }
    emit(document, [text, *(f"{m} does not see: {', '.join(f)}" for m, f in missed.items() if f)])
    return ExitCode.FAILED if any(missed.values()) else ExitCode.OK


@metrics.command()
@click.argument("losses", metavar="FILE.loss.csv", nargs=-1, required=True)
@click.option("--fraction", default=0.9, show_default=True, type=float, help="Of the whole drop of the loss.")
@click.option("--window", type=click.IntRange(2), help="Losses in a mean; 2 % of the steps by default.")
@json_option
def convergence(losses: tuple[str, ...], fraction: float, window: int | None) -> None:
    """Steps until a training reached a share of the drop of its loss, from the tables that `qimg train` writes."""
    from qimg_metrics.image.convergence import convergence_steps, read_losses

    found = {path: convergence_steps(read_losses(path), fraction=fraction, window=window) for path in losses}
    emit({path: e.to_json() for path, e in found.items()}, [f"{path}: {e}; {e.note}" for path, e in found.items()])


@metrics.command()
@click.option("--generator", required=True, metavar="NAME", help="A flow generator, e.g. hybrid-unet.")
@click.option("--weights", metavar="NAME|FILE", help="Trained weights; those that ship by default.")
@click.option("--data", default="mnist", show_default=True, metavar="NAME|PATH", help="Real images to compare with.")
@click.option("--size", metavar="PIXELS", help="Bring the real images to this size: 16 or 16x24.")
@click.option("--network", default="mnist-28", show_default=True, metavar="NAME|FILE", help="The feature network.")
@click.option("--n", default=200, show_default=True, type=click.IntRange(8), help="Images.")
@click.option("--condition", metavar="CLASSES", help="Classes in turn: 0-9, or 3,5. All by default.")
@run_options
@json_option
@click.pass_obj
def trace(
    app: App,
    generator: str,
    weights: str | None,
    data: str,
    size: str | None,
    network: str,
    n: int,
    condition: str | None,
    run: RunOptions,
) -> None:
    """What a flow generator's images are at each time step: how far from the end, recognised, how far from real."""
    judge, classes = named_network(network), parse_classes(condition)
    test = open_data(app, data, split="test", size=parse_size(size))
    check_fits(judge, test)
    from qimg_metrics.image.trace import denoising_trace

    with open_run(app, run, "generate") as session:
        model = load_generator(session, generator, weights=weights, untrained=False, changes={})
        check_workload(model, n)
        prepare_ledger(session, run.ledger)
        real = judge.features(test.all())
        with sampling(session, model.workload(n).requests, f"{n} images of {generator}"):
            images, points = denoising_trace(
                model, judge, n=n, condition=classes, real_features=real, seed=session.seed
            )
        facts: dict[str, Any] = {
            "schema": "qimg.trace/1",
            "generator": model.name,
            "arm": model.arm.value,
            "weights": None if model.saved is None else model.saved.digest,
            "images_entry": images.entry,
            "pixels": images.digest,
            "network": judge.digest,
            "data": test.digest,
            "n": n,
            "points": [_short(point) for point in points],
        }
        entry = session.record("trace.measured", facts)
        document = {**facts, "points": [p.to_json() for p in points], "run": session.run, "entry": entry.index}
    rows = [(str(p.step), f"{p.t:.3f}", *map(_cell, (p.to_end, p.class_accuracy, p.accepted, p.kid))) for p in points]
    head = ("step", "t", "distance to the end", "asked class", "accepted", "kid")
    emit(document, [*table(head, rows), f"run {document['run']}, entry {document['entry']}"])


def named_network(name: str) -> FeatureNetwork:
    """A feature network from a file, or one that ships.

    Raises:
        WeightsError, UnknownName.
    """
    from qimg_metrics.features import FeatureNetwork, shipped_network

    return FeatureNetwork.load(Path(name)) if Path(name).is_file() else shipped_network(name)


def check_fits(network: FeatureNetwork, *sources: ImageSource) -> None:
    """Refuse real images that the network cannot judge.

    Raises:
        DataError: no labels, or another shape.
    """
    for source in sources:
        if source.labels is None:
            raise DataError(f"{source.name} has no labels, which an evaluation needs")
        if source.shape != network.shape:
            raise DataError(
                f"{source.name} has images of shape {source.shape}, the feature network takes {network.shape}",
                hint="--size brings them to another size; --network names another network; "
                "`qimg metrics train-network` makes one",
            )


def _short(point: TracePoint) -> dict[str, Any]:
    """A point without notes and methods: an entry has 65,535 bytes."""
    kept = ("value", "low", "high")
    plain = point.to_json()
    return {k: {f: v[f] for f in kept} if isinstance(v, dict) else v for k, v in plain.items()}


def _cell(estimate: Estimate | None) -> str:
    return "-" if estimate is None else re.sub(r"^\S+ (.*) \(.*$", r"\1", str(estimate))
