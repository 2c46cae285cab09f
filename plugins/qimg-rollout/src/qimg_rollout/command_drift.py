"""``qimg drift``: pin a baseline, test samples against it (imports drift, baseline)."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from attrs import evolve

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit, table
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError
from qimg_core.ledger.opening import open_ledger
from qimg_rollout.baseline import pin as pin_sets
from qimg_rollout.baseline import pinned
from qimg_rollout.drift import check_drift
from qimg_rollout.sets import Sets, images_of, read_array

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger

_PATH = click.Path(path_type=Path)


def _sample_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--latents", type=_PATH, metavar="FILE.npy", help="Vectors (n, d)."),
        click.option("--bits", type=_PATH, metavar="FILE.npy", help="Outcomes 0 and 1 of one circuit (shots, wires)."),
        click.option("--network", metavar="NAME", help="Classifier for images recognised as asked: mnist-28, ..."),
        click.option("--entry", "entries", type=click.IntRange(0), multiple=True, help="Of images; repeatable."),
    ):
        command = option(command)
    return command


def _sample(
    ledger: Ledger | None, entries: Sequence[int], bits: Path | None, latents: Path | None, network: str | None
) -> Sets:
    if not entries and bits is None and latents is None:
        raise ConfigurationError("nothing was named", hint="--entry N (images), --bits FILE.npy, --latents FILE.npy")
    if network is not None and not entries:
        raise ConfigurationError("--network classifies images: name some with --entry")
    sets = Sets()
    if entries:
        assert ledger is not None
        sets = images_of(ledger, entries)
    if network is not None:
        from qimg_metrics.features import shipped_network

        assert sets.images is not None
        found = shipped_network(network).classify(sets.images.astype(np.float64) / 255)
        sets = evolve(sets, found=np.asarray(found, np.int64))
    return evolve(
        sets,
        bits=None if bits is None else read_array(bits, "bits"),
        latents=None if latents is None else read_array(latents, "latents"),
    )


@click.group()
def drift() -> None:
    """Pin a baseline, and test whether images, latents or bit strings changed."""


@drift.command()
@click.argument("name")
@click.option("--note", default="", metavar="TEXT", help="Why; a claim in the record.")
@_sample_options
@ledger_option
@json_option
@click.pass_obj
def pin(
    app: App,
    name: str,
    note: str,
    entries: Sequence[int],
    network: str | None,
    bits: Path | None,
    latents: Path | None,
    ledger: str,
) -> None:
    """Pin samples as the baseline NAME."""
    with open_ledger(ledger, app.registry) as log:
        sets = _sample(log, entries, bits, latents, network)
        entry = pin_sets(log, name, sets, entries=entries, note=note)
        log.checkpoint()
    words = ", ".join(f"{n} {what}" for what, n in sets.sizes.items() if what not in ("classes", "found"))
    emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: baseline {name}: {words}"])


@drift.command()
@click.argument("name")
@click.option("--alpha", default=0.01, show_default=True, type=float, help="Chance of any false alarm.")
@click.option("--tolerance", type=float, help="Shift (standard deviations) that must be seen for a pass.")
@click.option("--minimum", default=20, show_default=True, type=click.IntRange(2), help="Fewest samples.")
@click.option("--seed", type=int, help="Of permutations; drawn and recorded otherwise.")
@_sample_options
@ledger_option
@json_option
@click.pass_obj
def check(
    app: App,
    name: str,
    alpha: float,
    tolerance: float | None,
    minimum: int,
    seed: int | None,
    entries: Sequence[int],
    network: str | None,
    bits: Path | None,
    latents: Path | None,
    ledger: str,
) -> ExitCode:
    """Test samples against the baseline NAME; exit code 1: changed, 3: too little was seen."""
    root = secrets.randbits(62) if seed is None else seed
    with existing_ledger(app, ledger, write=True) as log:
        base = pinned(log, name)
        sets = _sample(log, entries, bits, latents, network)
        done = check_drift(base.sets, sets, alpha=alpha, seed=root, tolerance=tolerance, minimum=minimum)
        facts = {
            "schema": "qimg.drift/1",
            "baseline": base.entry,
            "name": name,
            "seed": str(root),
            "sizes": sets.sizes,
            "entries": list(entries)[:1000],
            **done.to_json(),
        }
        entry = log.append("drift.checked", facts=facts)
        log.checkpoint()
    rows = [
        [
            f.what,
            f"{f.was}/{f.now}",
            "-" if f.adjusted is None else f"{f.adjusted:.3g}",
            f"{f.effect:.3g}",
            "" if f.detectable is None else f"{f.detectable:.2g} {f.unit}",
        ]
        for f in done.findings
    ]
    lines = [f"{name}: {coloured(done.verdict)}: {done.reason} (entry {entry.index})"]
    lines += table(["WHAT", "BASELINE/NOW", "ADJUSTED P", "EFFECT", "WOULD BE SEEN (POWER 0.9)"], rows)
    emit({"entry": entry.index, **facts}, lines)
    return verdict_code(done.verdict)
