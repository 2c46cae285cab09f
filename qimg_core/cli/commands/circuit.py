"""``qimg circuit``: show and measure circuits (imports circuits; drawing, OpenQASM and metrics when asked)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.circuits import Wanted, find_circuits, first_party
from qimg_core.cli.options import arm_option, json_option, ledger_option, parse_settings, set_option
from qimg_core.cli.output import emit, fields, say
from qimg_core.cli.runs import check_file, check_folder
from qimg_core.cli.summary import circuit_facts, circuit_words
from qimg_core.errors import ConfigurationError
from qimg_core.noise import parse_noise

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.circuit.ir import Circuit
    from qimg_core.cli.app import App
    from qimg_core.execution import ExecutionRequest


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
            lines += [f"{name}: {circuit_words(facts)}, {one.digest}", text(one, width=_width()).rstrip()]
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
@click.option("--points", default=200, show_default=True, type=click.IntRange(2), help="Points of the gradient.")
@click.option("--seed", default=0, show_default=True, help="Of the draws.")
@click.option("--pictures", metavar="FOLDER", help="Draw Bloch ball, Q-sphere and state space; needs matplotlib.")
@click.pass_obj
def measure(app: App, /, samples: int, points: int, seed: int, pictures: str | None, **given: Any) -> None:
    """Expressibility, entangling capability and gradient variance of a circuit.

    Each with its interval; needs qimg-metrics. All parameters are drawn uniformly from [0, 2 pi).
    """
    from qimg_core.session import Session

    metrics = first_party("qimg_metrics.circuit", "qimg-metrics")
    if pictures is not None:
        check_folder(Path(pictures))
    found = _find(app, given)
    documents, lines = [], []
    for number, one in enumerate(found):
        facts = circuit_facts(one)
        lines.append(f"{given['what']}: {circuit_words(facts)}")
        with Session(None, seed=seed, backend=given["backend"], registry=app.registry) as session:
            shared = {"seed": seed, "session": session}
            wanted = {
                "expressibility": lambda: metrics.expressibility(one, samples=samples, **shared),  # noqa: B023
                "meyer_wallach": lambda: metrics.meyer_wallach(one, samples=samples, **shared),  # noqa: B023
                "gradient_variance": lambda: metrics.gradient_variance(one, points=points, **shared),  # noqa: B023
            }
            measured = {name: _measured(name, call) for name, call in wanted.items()}
            files = _draw(metrics, one, Path(pictures), number, shared) if pictures is not None else []
        lines += [f"  {text}" for text, _ in measured.values()]
        lines += fields([("picture", str(path)) for path in files])
        documents.append({**facts, "measured": {n: d for n, (_, d) in measured.items()}, "pictures": files})
    emit({"what": given["what"], "samples": samples, "points": points, "seed": seed, "circuits": documents}, lines)


@circuit.command()
@_which
@click.option("--rows", default=128, show_default=True, type=click.IntRange(1), help="Of the batch.")
@click.option("--groups", type=click.IntRange(1), help="Weight vectors; each serves rows/groups rows.")
@click.option("--shots", type=click.IntRange(1), help="Finite shots; the default is exact numbers.")
@click.option(
    "--read", type=click.Choice(["z", "probabilities", "state"]), default="z", show_default=True, help="Measured."
)
@click.option("--noise", metavar="SPEC", help="Noise model, as in `qimg generate`.")
@click.option("--no-gradient", is_flag=True, help="Values alone.")
@click.pass_obj
def plan(
    app: App,
    /,
    rows: int,
    groups: int | None,
    shots: int | None,
    read: str,
    noise: str | None,
    no_gradient: bool,
    **given: Any,
) -> None:
    """How a device would compute a circuit: which regime, why, and step by step.

    Nothing is run. A circuit that is too large for the device is planned on the one it is handed over to.
    """
    from qimg_core.session import Session

    found = _find(app, given)
    documents, lines = [], []
    with Session(None, backend=given["backend"], registry=app.registry) as session:
        for number, one in enumerate(found):
            request = _request(one, rows=rows, groups=groups, shots=shots, read=read, noise=noise)
            planned = session.plan(request)
            told = session.backend(planned.backend).explain(planned.lowered, gradient=not no_gradient)
            facts = circuit_facts(one)
            lines.append(f"{given['what']}, circuit {number + 1} of {len(found)}: {circuit_words(facts)}, {rows} rows")
            lines += fields([("device", planned.backend), *(("plan", d) for d in planned.decisions)])
            if told is None:
                lines.append(f"  {planned.backend} does not say how it computes")
            else:
                lines += fields([("engine", told.engine), ("regime", told.regime), *(("why", r) for r in told.reasons)])
                lines += [f"  {k:>3}. {step}" for k, step in enumerate(told.steps, 1)]
            explanation = None if told is None else told.to_json()
            documents.append(
                {**facts, "device": planned.backend, "decisions": list(planned.decisions), "explanation": explanation}
            )
    emit({"what": given["what"], "rows": rows, "circuits": documents}, lines)


def _request(
    one: Circuit, *, rows: int, groups: int | None, shots: int | None, read: str, noise: str | None
) -> ExecutionRequest:
    """A request of the shapes asked for; its numbers are zeros, amplitudes those of the first basis state."""
    import numpy as np

    from qimg_core.circuit import each
    from qimg_core.execution import ExecutionRequest
    from qimg_core.measurement import Expectation, Measurement, Probabilities, State

    wires = range(one.n_wires)
    measurement: Measurement = Expectation(each("Z", wires)) if read == "z" else Probabilities(wires)
    if read == "state":
        measurement = State()
    shape = (one.n_weights,) if groups is None else (groups, one.n_weights)
    return ExecutionRequest(
        circuit=one,
        inputs=np.zeros((rows, one.n_inputs)),
        weights=np.zeros(shape),
        measurement=measurement,
        shots=shots,
        noise=None if noise is None else parse_noise(noise),
    )


def _measured(name: str, call: Callable[[], Any]) -> tuple[str, dict[str, Any]]:
    """One metric in words and as a document; a metric that a circuit does not have leaves the others standing."""
    try:
        estimate = call()
    except ConfigurationError as error:
        return f"{name} not measured: {error.message}", {"error": error.message}
    return f"{estimate}{f'; {estimate.note}' if estimate.note else ''}", estimate.to_json()


def _draw(metrics: Any, one: Circuit, folder: Path, number: int, shared: dict[str, Any]) -> list[Path]:
    from qimg_core.storage import ensure_folder

    ensure_folder(folder)
    drawings = {"bloch": metrics.bloch, "qsphere": metrics.qsphere, "states": metrics.pca_states}
    return [draw(one, folder / f"{name}-{number}.png", **shared) for name, draw in drawings.items()]


def _width() -> int | None:
    """Of the terminal; None, for no wrapping, where the text goes elsewhere."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
