"""Write `docs/reference/generators.md`: what every installed generator is made of and asks of a device.

usage: generators_table.py [OUT.md]
The numbers come from the models themselves, untrained and with their default settings, and from the plans of their
sampling; nothing is executed. Quality is read from the model cards, where there are any.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from qimg_core.circuit.resources import resources
from qimg_core.errors import QimgError
from qimg_core.generator import Arm
from qimg_core.planning import PlanningSession, SamplingPlan, plan_sampling
from qimg_core.plugins import Registry

SHOTS = 1000
CARDS = Path(__file__).parents[1] / "models"
PAGE = Path(__file__).parents[1] / "reference" / "generators.md"

HEAD = f"""# Generators

Every generator that ships, with its default settings. The first table is what it is made of, each number counted by the model
itself; the second what one image asks of a device, from the plan that [`qimg plan`](cli.md#qimg-plan) shows: *rows* are circuit
evaluations with inputs of their own, *bases* the measurement bases of each on hardware, *shots* the product with {SHOTS:,} shots
each. This page is written by `docs/recipes/generators_table.py`; nothing was trained or executed for it.

A quantum layer is never shown without its classical twin and its bypass, which is what is left where the layer is taken out. A
twin has as many trained numbers as the layer.
What their images are worth is in the [model cards](../index.md), for those that have been measured.
"""


def model_of(name: str, arm: Arm, shots: int | None, n: int = 1) -> tuple[Any, SamplingPlan | None]:
    """A model and the plan of its sampling; None where it refuses such a session."""
    with PlanningSession(None, seed=0, shots=shots) as session:
        model = session.generator(name, arm=arm)
        return model, plan_sampling(model, n)


def made_of(name: str) -> str:
    """A row of the first table."""
    numbers = {arm: model_of(name, arm, None)[0].parameters for arm in (Arm.QUANTUM, Arm.TWIN, Arm.BYPASS)}
    q, t, b = numbers.values()
    return f"| `{name}` | {q.total:,} | {q.layer:,} | {q.circuit:,} | {q.observable:,} | {t.layer:,} | {b.layer:,} |"


def asked(name: str) -> str:
    """A row of the second table."""
    _, exact = model_of(name, Arm.QUANTUM, None)
    assert exact is not None
    assert exact.first is not None
    circuit = exact.first.request.circuit
    report = resources(circuit)
    try:
        _, sampled = model_of(name, Arm.QUANTUM, SHOTS)
    except QimgError:
        sampled = None
    w = exact.workload
    bases = "-" if sampled is None else f"{sampled.workload.bases:,}"
    shots = "exact states only" if sampled is None else f"{sampled.workload.total_shots:,}"
    return (
        f"| `{name}` | {circuit.n_wires} | {report.two_qubit_gates} | {report.depth} | {w.requests:,} | {w.rows:,} | "
        f"{bases} | {shots} |"
    )


def cards(name: str, names: list[str]) -> list[Path]:
    """The cards of one generator: NAME.md, and NAME-WEIGHTS.md of further weights."""
    longer = [n for n in names if n.startswith(f"{name}-")]
    return [
        path
        for path in sorted(CARDS.glob(f"{name}*.md"), key=lambda path: path.stem)
        if path.stem == name
        or (
            path.stem.startswith(f"{name}-")
            and not any(path.stem == n or path.stem.startswith(f"{n}-") for n in longer)
        )
    ]


def quality(path: Path) -> str:
    """A row of the third table, from the first tables of a card."""
    _, text, *_ = f"{path.read_text(encoding='utf-8')}\n### ".split("\n### ")

    def row(metric: str) -> list[str]:
        found = re.search(rf"^\| {metric} \|(.*)\|$", text, re.MULTILINE)
        return ["-"] * 3 if found is None else [cell.strip() for cell in found[1].split("|")]

    sizes = row("N v test images")
    _, _, spent = text.partition("| arm | seconds | requests |")
    taken = dict(re.findall(r"^\| (\w+) \| ([\d.]+) \|", spent, re.MULTILINE)[:3])
    seconds = [taken.get(arm, "-") for arm in ("quantum", "twin", "bypass")]
    cells = [
        f"{a}<br>{b}<br>{c}<br>{s}"
        for a, b, c, s in zip(row("frechet_ratio"), row("coverage"), row("class_accuracy"), seconds, strict=True)
    ]
    return f"| [`{path.stem}`](../models/{path.name}) | {' | '.join(cells)} | {sizes[0]} |"


def page() -> str:
    """The whole page."""
    registry = Registry()
    every = sorted(spec.name for spec in registry.specs("generator").values())
    names = [n for n in every if registry.load("generator", n).config_type().arm is Arm.QUANTUM]
    classical = [n for n in every if n not in names]
    shown = [quality(path) for name in names for path in cards(name, names)]
    return "\n".join(
        [
            HEAD,
            "## Made of",
            "",
            "| generator | trained numbers | of the layer | gate angles | read-out | twin's layer | bypass's layer |",
            "|---|---|---|---|---|---|---|",
            *(made_of(name) for name in names),
            "",
            "## Asked of a device for one image",
            "",
            "| generator | wires | gates on two wires | depth | requests, one after the other | rows | bases | shots |",
            "|---|---|---|---|---|---|---|---|",
            *(asked(name) for name in names),
            "",
            "## Without a circuit",
            "",
            "Baselines that a comparison should hold the others against: "
            + ", ".join(f"`{n}` ({registry.specs('generator')[n].summary})" for n in classical)
            + ".",
            "",
            "## Measured",
            "",
            "Training seed 1 of each card: Frechet distance over its floor, coverage, class accuracy, with 95 % intervals; and the seconds that",
            "all images took on the machine that the card names (`-`: the card is older than that count).",
            "",
            "| generator | quantum | twin | bypass | N v test images |",
            "|---|---|---|---|---|",
            *shown,
            "",
            "Implicit, patch and FRQI generators at 16x16, in one table: [three circuits as GAN generators](../models/gans-16.md).",
            "",
        ]
    )


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE
    target.write_text(page(), encoding="utf-8")
