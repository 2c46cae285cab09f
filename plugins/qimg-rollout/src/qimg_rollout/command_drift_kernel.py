"""``qimg drift kernel``: a pinned baseline and new samples, compared through quantum kernels (imports command_drift).

The group ``qimg drift`` with this command in it is what the plugin supplies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.circuits import first_party
from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import RunOptions, json_option, run_options
from qimg_core.cli.output import coloured, emit, table
from qimg_core.cli.runs import existing_ledger, open_run
from qimg_core.errors import BudgetExceeded
from qimg_rollout.baseline import pinned
from qimg_rollout.command_drift import _sample, _sample_options, drift

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qimg_core.cli.app import App
    from qimg_core.session import Session
    from qimg_rollout.drift import Drift
    from qimg_rollout.sets import Sets

KIND = "drift.kernel"


@drift.command()
@click.argument("name")
@click.option(
    "--kernel",
    "kinds",
    multiple=True,
    type=click.Choice(["fidelity", "projected"]),
    help="Repeatable; projected by default. The Gaussian kernel of the same phases always goes beside.",
)
@click.option("--wires", default=6, show_default=True, type=click.IntRange(1, 12), help="Numbers a row is brought to.")
@click.option("--scale", type=float, help="Radians for a standard deviation; 1/sqrt(wires) by default.")
@click.option("--separable", is_flag=True, help="Without entangling gates.")
@click.option("--most", type=click.IntRange(2), help="Take the first so many rows of each side.")
@click.option("--alpha", default=0.01, show_default=True, type=float, help="Chance of any false alarm.")
@click.option("--minimum", default=20, show_default=True, type=click.IntRange(2), help="Fewest rows.")
@click.option("--dry-run", is_flag=True, help="Show circuits, shots and cost; run and write nothing.")
@_sample_options
@run_options
@json_option
@click.pass_obj
def kernel(
    app: App,
    name: str,
    kinds: Sequence[str],
    wires: int,
    scale: float | None,
    separable: bool,
    most: int | None,
    alpha: float,
    minimum: int,
    dry_run: bool,
    entries: Sequence[int],
    network: str | None,
    bits: Path | None,
    latents: Path | None,
    run: RunOptions,
) -> ExitCode:
    """Test samples against the baseline NAME with quantum kernels on --backend, beside the Gaussian kernel.

    Latents, bit strings or images, the first of these that both have. Exit code 1: a kernel sees a change, 3: too few
    rows. Fidelities take, with --shots, a circuit for every pair of rows; the projected kernel one a row and basis.
    """
    named = first_party("qimg_circuits.quantum_kernels_named", "qimg-circuits")
    shared = {"wires": wires, "scale": scale, "entangled": not separable}
    kernels = [named.Kernel(kind=k, **shared) for k in dict.fromkeys(kinds or ("projected",))]
    kernels.append(named.Kernel(kind="gaussian", **shared))
    from qimg_rollout.kernel_test import planned, source_of

    with existing_ledger(app, run.ledger) as log:
        base = pinned(log, name)
        sets = _sample(log, entries, bits, latents, network)
        what = source_of(base.sets, sets)
    was, now = (_rows(s, what, most) for s in (base.sets, sets))
    with open_run(app, run, "execute", planning=dry_run) as session:
        plans = planned(session, kernels, len(was) + len(now))
        if dry_run:
            _say(plans)
            _check_budget(run, plans)
            return ExitCode.OK
        done, facts = _checked(session, was, now, kernels, what=what, alpha=alpha, minimum=minimum)
        facts |= {"baseline": base.entry, "name": name, "entries": list(entries)[:1000], "planned": plans}
        entry = session.record(KIND, facts)
        document = {"run": session.run, "entry": entry.index, **facts}
    words = [[f.what, f"{f.was}/{f.now}", _number(f.p), _number(f.adjusted), f"{f.effect:.3g}"] for f in done.findings]
    lines = [f"{name}: {coloured(done.verdict)}: {done.reason} (run {document['run']}, entry {document['entry']})"]
    emit(document, [*lines, *table(["WHAT", "BASELINE/NOW", "P", "ADJUSTED P", "MMD^2"], words)])
    return verdict_code(done.verdict)


def _rows(sets: Sets, what: str, most: int | None) -> Any:
    rows = getattr(sets, what)[:most]
    return rows / 255 if what == "images" else rows


def _checked(session: Session, was: Any, now: Any, kernels: Any, **given: Any) -> tuple[Drift, dict[str, Any]]:
    from qimg_rollout.kernel_test import check_kernels

    seed = session.seed_for("drift")
    done = check_kernels(session, was, now, kernels, seed=seed, **given)
    facts = {"schema": "qimg.drift-kernel/1", "of": given["what"], "seed": str(seed), **done.to_json()}
    return done, {**facts, "kernels": [k.to_json() for k in kernels]}


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _say(plans: list[dict[str, Any]]) -> None:
    rows = []
    for p in plans:
        shots = "exact" if p["shots"] is None else f"{p['shots']:,} in {p['bases']} bases"
        cost = p["cost"]
        price = "not known" if cost["high"] is None else f"{cost['high']} {cost['unit']} at most"
        rows.append([p["kernel"]["kind"], p["backend"], f"{p['rows']:,}", shots, f"{p['jobs']:,}", price])
    emit({"planned": plans}, table(["KERNEL", "DEVICE", "CIRCUITS", "SHOTS", "JOBS", "COST"], rows))


def _check_budget(run: RunOptions, plans: list[dict[str, Any]]) -> None:
    from decimal import Decimal

    from qimg_core.cli.options import parse_amount

    most = parse_amount(run.max_cost)
    highs = [None if p["cost"]["high"] is None else Decimal(p["cost"]["high"]) for p in plans]
    if any(h is None for h in highs) and not run.allow_unknown_cost:
        raise BudgetExceeded(
            "the device publishes no price for this", hint="--allow-unknown-cost to go on all the same"
        )
    total = sum((h for h in highs if h is not None), Decimal(0))
    if most is not None and total > most:
        raise BudgetExceeded(f"up to {total} is needed, the budget allows {most}")
