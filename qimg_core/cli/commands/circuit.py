"""``qimg circuit``: show and measure circuits (imports circuits; drawing, OpenQASM and metrics when asked)."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.circuits import Wanted, find_circuits, first_party
from qimg_core.cli.options import arm_option, json_option, ledger_option, parse_settings, set_option
from qimg_core.cli.output import emit, fields, say
from qimg_core.cli.runs import check_file
from qimg_core.cli.summary import circuit_facts, circuit_words
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.circuit.ir import Circuit
    from qimg_core.cli.app import App


@click.group()
def circuit() -> None:
    """Show and measure circuits."""


def _which(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(
        [
            click.argument("what", metavar="GENERATOR|FILE|NAME|RUN"),
            click.option("--wires", type=click.IntRange(1), help="Of an ansatz, encoder or library circuit."),
            click.option("--layers", type=click.IntRange(1), help="Of an ansatz or library circuit."),
            arm_option,
            set_option,
            click.option("--backend", default="simulator", show_default=True, help="Device that a generator runs on."),
            ledger_option,
            json_option,
        ]
    ):
        command = option(command)
    return command


def _find(app: App, given: dict[str, Any]) -> list[Circuit]:
    settings = parse_settings(given.pop("settings"))
    return find_circuits(app, Wanted(settings=settings, **given))


@circuit.command()
@_which
@click.option("--qasm", is_flag=True, help="Print OpenQASM 3 instead of a drawing.")
@click.option("--svg", metavar="FILE.svg", help="Write a drawing to a file.")
@click.pass_obj
def show(app: App, /, qasm: bool, svg: str | None, **given: Any) -> None:
    """Draw a circuit and say what it asks of a device.

    Of a generator (the circuits that it really runs), a .qasm or .json file, an ansatz or encoder, a circuit of
    Sim et al. (sim1 to sim19), or a recorded run.
    """
    if svg is not None:
        check_file(Path(svg), ".svg")
    found = _find(app, given)
    what, several = given["what"], len(found) > 1
    if (qasm or svg) and several:
        say(f"{what} runs {len(found)} circuits; this is the first")
    documents, lines = [], []
    for number, one in enumerate(found):
        facts: dict[str, Any] = {**circuit_facts(one), "parameters": [[p.name, p.role] for p in one.parameters]}
        if qasm:
            from qimg_core.circuit.qasm import to_qasm3

            if number == 0:
                lines.append(to_qasm3(one).rstrip())
                facts["qasm"] = to_qasm3(one)
        else:
            from qimg_core.circuit.draw import text

            name = f"{what}, circuit {number + 1} of {len(found)}" if several else what
            lines += [f"{name}: {circuit_words(facts)}, {one.digest}", text(one).rstrip()]
        documents.append({**facts, "circuit": one.to_json()})
    if svg is not None:
        from qimg_core.circuit.draw import svg as draw
        from qimg_core.storage import ensure_folder, write_atomic

        ensure_folder(Path(svg).parent)
        write_atomic(svg, draw(found[0]).encode())
        say(f"written: {svg}")
    emit({"what": what, "circuits": documents, "svg": svg}, lines)


@circuit.command()
@_which
@click.option("--samples", default=5000, show_default=True, type=click.IntRange(2), help="States drawn.")
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@click.pass_obj
def measure(app: App, /, samples: int, seed: int, **given: Any) -> None:
    """Expressibility, entangling capability and gradient variance of a circuit.

    Each with its interval; needs qimg-metrics. All parameters are drawn uniformly from [0, 2 pi).
    """
    metrics = first_party("qimg_metrics.circuit", "qimg-metrics")
    found = _find(app, given)
    documents, lines = [], []
    for one in found:
        facts = circuit_facts(one)
        lines.append(f"{given['what']}: {circuit_words(facts)}")
        measured: dict[str, Any] = {}
        values = []
        for name in ("expressibility", "meyer_wallach", "gradient_variance"):
            try:
                estimate = _call(getattr(metrics, name), one, samples=samples, seed=seed)
            except ConfigurationError as error:  # e.g. one wire has no entanglement: the other metrics still hold
                measured[name] = {"error": error.message}
                values.append((name, f"not measured: {error.message}"))
                continue
            measured[name] = estimate.to_json() if hasattr(estimate, "to_json") else str(estimate)
            note = getattr(estimate, "note", "")
            values.append((name, f"{estimate}{'; ' + note if note else ''}"))
        lines += fields(values)
        documents.append({**facts, "measured": measured})
    emit({"what": given["what"], "samples": samples, "seed": seed, "circuits": documents}, lines)


def _call(metric: Any, circuit: Circuit, **options: Any) -> Any:
    """Call a metric with those of the options that it knows: not every metric draws states."""
    known = inspect.signature(metric).parameters
    return metric(circuit, **{name: value for name, value in options.items() if name in known})
