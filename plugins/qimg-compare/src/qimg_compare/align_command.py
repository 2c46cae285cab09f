"""``qimg align``: which kernel fits labelled images (imports qimg_core's command-line parts; circuits when it runs)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import RunOptions, json_option, parse_size, run_options
from qimg_core.cli.output import emit, table
from qimg_core.cli.runs import open_run, prepare_ledger
from qimg_core.cli.sources import open_data
from qimg_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from qimg_circuits.quantum_kernels_named import Kernel
    from qimg_core.cli.app import App

KIND = "kernel.aligned"


@click.command()
@click.argument("data", metavar="NAME|PATH")
@click.option("--size", metavar="PIXELS", help="Bring the images to this size first: 16 or 16x24.")
@click.option("--wires", default=6, show_default=True, type=click.IntRange(1, 12), help="Principal components.")
@click.option("--n", default=200, show_default=True, type=click.IntRange(20), help="Images of each half.")
@click.option(
    "--scales", default="0.5,1,2,4", show_default=True, metavar="LIST", help="Widths to try, times 1/sqrt(wires)."
)
@run_options
@json_option
@click.pass_obj
def align(app: App, data: str, size: str | None, wires: int, n: int, scales: str, run: RunOptions) -> ExitCode:
    """Align quantum kernels and Gaussian ones with the labels of DATA, on --backend.

    Fidelity and projected kernels, with and without entangling gates, and Gaussian kernels of the same phases, each of
    every width: the best of either sort is chosen on n images and measured on n others. Exit code 3: not told apart.
    """
    factors = _scales(scales)
    from qimg_circuits.quantum_kernels_named import KINDS, Kernel
    from qimg_compare.aligning import align as aligned
    from qimg_compare.aligning import halves

    source = open_data(app, data, split="train", size=parse_size(size))
    if source.labels is None:
        raise DataError(f"{source.name} has no labels, which an alignment needs")
    kernels = [
        Kernel(kind=kind, wires=wires, scale=f / wires**0.5, entangled=e)
        for kind in KINDS
        for e in ((True, False) if wires > 1 else (False,))
        for f in factors
    ]
    with open_run(app, run, "execute") as session:
        prepare_ledger(session, run.ledger)
        rows = session.seed_for("alignment", "rows")
        choosing, judging = halves(source.all(), source.labels, n=n, wires=wires, seed=rows)
        found = aligned(session, choosing, judging, kernels)
        facts = {"schema": "qimg.kernel-alignment/1", "data": source.digest, "seed": str(rows), **found.to_json()}
        entry = session.record(KIND, facts)
        document = {"run": session.run, "entry": entry.index, **facts}
    where = f"run {document['run']}, entry {document['entry']}"
    lines = [f"{source.name}: {found.verdict}: {found.difference} on {found.n} new images ({where})"]
    rows_of = [
        [_name(found.quantum), f"{found.quantum.width:.4g}", str(found.of_quantum)],
        [_name(found.classical), f"{found.classical.width:.4g}", str(found.of_classical)],
    ]
    lines += table(["CHOSEN", "SCALE", "ALIGNMENT [95 %]"], rows_of)
    entangled = str(found.quantum.entangled).lower()
    setting = (
        f"--set kernel={found.quantum.kind} --set kernel_scale={found.quantum.width:.4g} "
        f"--set kernel_entangled={entangled}"
    )
    lines.append(f"  {len(kernels)} kernels were tried; for latent-mmd of {wires} latents: {setting}")
    ends = (min(factors) / wires**0.5, max(factors) / wires**0.5)
    if len(factors) > 1 and {found.quantum.width, found.classical.width} & set(ends):
        lines.append("  a chosen scale is the first or last of the list: try more of them with --scales")
    emit(document, lines)
    return ExitCode.INCONCLUSIVE if found.verdict == "not told apart" else ExitCode.OK


def _scales(text: str) -> list[float]:
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or not all(0 < f < 1e3 for f in found):
        raise ConfigurationError(f"--scales takes positive numbers such as 0.5,1,2, got {text!r}")
    return found


def _name(kernel: Kernel) -> str:
    if kernel.quantum:
        return f"{kernel.kind}, {'entangled' if kernel.entangled else 'separable'}"
    return kernel.kind + (", with products of neighbours" if kernel.entangled else "")
