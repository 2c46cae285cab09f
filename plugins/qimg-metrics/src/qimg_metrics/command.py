"""``qimg evaluate``: sample from trained weights, measure against real images, write the card and the entry.

Imports qimg_core's command-line parts; torch and the metrics when the command runs.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from qimg_core.cli.options import RunOptions, json_option, parse_classes, parse_size, run_options
from qimg_core.cli.output import emit, say
from qimg_core.cli.runs import check_file, check_workload, load_generator, open_run, prepare_ledger
from qimg_core.cli.sources import open_data
from qimg_core.errors import ConfigurationError
from qimg_core.storage import ensure_folder, write_atomic
from qimg_metrics.image_command import check_fits, named_network
from qimg_metrics.spent import Spent, sampled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.cli.app import App
    from qimg_core.datasets import ImageSource
    from qimg_core.generator import Generator
    from qimg_core.images import Images
    from qimg_core.session import Session
    from qimg_metrics.evaluation import Evaluation
    from qimg_metrics.features import FeatureNetwork
    from qimg_metrics.image.reference import Reference

_ARM = re.compile(r"([A-Za-z][\w.-]*)=(.+)")


@attrs.frozen(kw_only=True)
class Judged:
    """One column of the card: a model, its images, what they took, and what they measured."""

    model: Generator
    images: Images
    spent: Spent
    evaluation: Evaluation


@click.command()
@click.option("--generator", required=True, metavar="NAME", help="E.g. hybrid-unet; see `qimg plugin list`.")
@click.option(
    "--weights",
    multiple=True,
    metavar="[ARM=]NAME|FILE",
    help="Trained weights, one column of the card each; repeatable: --weights mnist --weights twin=twin.safetensors.",
)
@click.option("--data", default="mnist", show_default=True, metavar="NAME|PATH", help="Real images with labels.")
@click.option("--size", metavar="PIXELS", help="Bring the real images to this size: 16 or 16x24.")
@click.option("--n", default=2000, show_default=True, type=click.IntRange(2), help="Images of each arm.")
@click.option("--condition", metavar="CLASSES", help="Classes in turn: 0-9, or 3,5. All by default.")
@click.option("--network", default="mnist-28", show_default=True, metavar="NAME|FILE", help="The feature network.")
@click.option("--out", default="evaluation.md", show_default=True, metavar="FILE.md", help="The card; .json beside it.")
@click.option("--allow-small", is_flag=True, help="Go on below 1,000 images: a try, not an evaluation.")
@run_options
@json_option
@click.pass_obj
def evaluate(
    app: App,
    generator: str,
    weights: tuple[str, ...],
    data: str,
    size: str | None,
    n: int,
    condition: str | None,
    network: str,
    out: str,
    allow_small: bool,
    run: RunOptions,
) -> None:
    """Sample images and measure them against real ones, arms side by side.

    Every arm gets the same seed and classes, every number its interval and N, next to what as many real training
    images would get. The record keeps the values with the digests of weights, data and feature network.
    """
    card = Path(out)
    check_file(card, ".md")
    check_file(card.with_suffix(".json"), ".json")
    asked, classes = _arms(weights), parse_classes(condition)
    judge = named_network(network)
    train, test = (open_data(app, data, split=split, size=parse_size(size)) for split in ("train", "test"))
    with open_run(app, run, "generate") as session:
        models = _models(session, generator, asked)
        for model in models.values():
            check_workload(model, n)
        prepare_ledger(session, run.ledger)
        say(f"measuring the real images of {data}")
        reference = _reference(train, test, judge, n=n, seed=session.seed, allow_small=allow_small)
        judged: dict[str, Judged] = {}
        for arm, model in models.items():
            images, spent = sampled(session, model, n, classes, arm)
            judged[arm] = Judged(
                model=model, images=images, spent=spent, evaluation=_judge(images, reference, allow_small)
            )
        document = _document(judged, train=train, test=test, reference=reference)
        whole = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
        artefacts = {"evaluation": session.put(whole)}
        entry = session.record("evaluation.made", {**_facts(document), "artefacts": artefacts})
        document |= {"run": session.run, "entry": entry.index, "ledger": run.ledger, "log": session.ledger.origin}
    ensure_folder(card.parent)
    text = _card(document, {arm: j.evaluation for arm, j in judged.items()})
    write_atomic(card, text.encode())
    write_atomic(card.with_suffix(".json"), (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())
    document["files"] = [str(card), str(card.with_suffix(".json"))]
    written = f"{card} and {card.with_suffix('.json')}: run {document['run']}, entry {document['entry']}"
    emit(document, [text, written])


def _arms(weights: tuple[str, ...]) -> dict[str, str | None]:
    """What ``--weights`` names: file or name by arm; an arm without a name is called by a number for now."""
    out: dict[str, str | None] = {}
    for position, item in enumerate(weights):
        named = _ARM.fullmatch(item)
        arm, file = (named[1], named[2]) if named else (str(position), item)
        if arm in out:
            raise ConfigurationError(f"--weights names the arm {arm!r} twice", hint="give each a name of its own")
        out[arm] = file
    return out or {"0": None}


def _models(session: Session, generator: str, asked: Mapping[str, str | None]) -> dict[str, Generator]:
    """The models by the name of their column; where none was given, the arm that they are."""
    out: dict[str, Generator] = {}
    for name, weights in asked.items():
        model = load_generator(session, generator, weights=weights, untrained=False, changes={})
        arm = model.arm.value if name.isdecimal() else name
        if arm in out:
            raise ConfigurationError(
                f"two of the weights are of the arm {arm!r}",
                hint="name the columns: --weights first=A --weights second=B",
            )
        out[arm] = model
    return out


def _reference(
    train: ImageSource, test: ImageSource, network: FeatureNetwork, *, n: int, seed: int, allow_small: bool
) -> Reference:
    from qimg_metrics.image.reference import prepare_reference

    check_fits(network, train, test)
    return prepare_reference(
        train=train.all(),
        train_labels=train.labels,  # type: ignore[arg-type]
        test=test.all(),
        test_labels=test.labels,  # type: ignore[arg-type]
        network=network,
        n=n,
        seed=seed,
        allow_small=allow_small,
    )


def _judge(images: Images, reference: Reference, allow_small: bool) -> Evaluation:
    from qimg_metrics.evaluation import evaluate_against

    pixels = images.pixels.copy()  # torch warns of read-only arrays
    return evaluate_against(pixels, images.labels, reference, allow_small=allow_small)


def _document(
    judged: Mapping[str, Judged], *, train: ImageSource, test: ImageSource, reference: Reference
) -> dict[str, Any]:
    """All of it as JSON without floats."""
    return {
        "schema": "qimg.evaluation/1",
        "generator": next(iter(judged.values())).model.name,
        "n": reference.n,
        "seed": str(reference.seed),
        "network": reference.network.digest,
        "data": {s: {"name": d.name, "digest": d.digest, "n": d.n} for s, d in (("train", train), ("test", test))},
        "arms": {
            name: {
                "arm": j.model.arm.value,
                "weights": None if j.model.saved is None else j.model.saved.digest,
                "trained_on": None if j.model.saved is None else j.model.saved.facts.get("dataset"),
                "parameters": attrs.asdict(j.model.parameters),
                "images_entry": j.images.entry,
                "pixels": j.images.digest,
                "quantum": j.images.quantum,
                "simulated": j.images.simulated,
                "spent": j.spent.to_json(j.evaluation.accepted),
                "metrics": {e.name: e.to_json() for e in j.evaluation.estimates},
                "per_class": [e.to_json() for e in j.evaluation.per_class],
            }
            for name, j in judged.items()
        },
    }


def _facts(document: Mapping[str, Any]) -> dict[str, Any]:
    """The same without notes and methods, which stay in the artefact: an entry has 65,535 bytes."""

    def short(metric: Mapping[str, Any]) -> dict[str, Any]:
        return {k: metric[k] for k in ("value", "low", "high", "n", "n_reference")}

    arms = {
        name: {
            **{k: v for k, v in arm.items() if k not in ("metrics", "per_class", "trained_on", "spent")},
            "metrics": {k: short(m) for k, m in arm["metrics"].items()},
            "spent": {k: v for k, v in arm["spent"].items() if k != "per_accepted"},
        }
        for name, arm in document["arms"].items()
    }
    return {**document, "arms": arms}


def _card(document: Mapping[str, Any], evaluations: Mapping[str, Evaluation]) -> str:
    """Markdown for people."""
    from qimg_metrics.evaluation import table

    data = document["data"]
    lines = [
        f"# {document['generator']}: {document['n']} images against {data['test']['name']}",
        "",
        f"Run {document['run']}, entry {document['entry']}, seed {document['seed']}.",
        f"Real images: {data['test']['n']} of {data['test']['name']} ({data['test']['digest']}); the floor is what",
        f"{document['n']} images of {data['train']['name']} ({data['train']['digest']}) get.",
        "",
        table(evaluations),
        "| arm | weights | parameters | of the layer | gate angles | read-out | made by |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, arm in document["arms"].items():
        p = arm["parameters"]
        how = (
            ("a circuit, simulated" if arm["simulated"] else "a circuit on hardware")
            if arm["quantum"]
            else "no circuit"
        )
        counts = f"{p['total']} | {p['layer']} | {p['circuit']} | {p['observable']}"
        lines.append(f"| {name} | {arm['weights'] or '-'} | {counts} | {how} |")
    lines += [
        "",
        "| arm | seconds | requests | shots | cost | seconds per accepted image |",
        "|---|---|---|---|---|---|",
    ]
    for name, arm in document["arms"].items():
        spent = arm["spent"]
        lines.append(
            f"| {name} | {float(spent['seconds']):.1f} | {spent['executions']} | {spent['shots']} | "
            f"{'not known' if spent['cost'] is None else spent['cost']} | {_each(spent)} |"
        )
    return "\n".join([*lines, ""])


def _each(spent: Mapping[str, Any]) -> str:
    if "per_accepted" not in spent:
        return "-"
    value, low, high = (float(spent["per_accepted"]["seconds"][k]) for k in ("value", "low", "high"))
    return f"{value:.4g} [{low:.4g}, {high:.4g}]"
