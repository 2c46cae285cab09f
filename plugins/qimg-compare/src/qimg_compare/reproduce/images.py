"""An image recipe as a comparison: registered, run, reported, its figures judged (imports qimg_compare, torch late)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_compare.command import check_models
from qimg_compare.reproduce.judging import measured, row_of
from qimg_compare.reproduce.planning import prepare
from qimg_core.cli.output import say
from qimg_core.cli.runs import check_folder, prepare_ledger
from qimg_core.errors import DataError
from qimg_core.ledger import canonical
from qimg_core.session import Session
from qimg_core.storage import ensure_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qimg_compare.reproduce.judging import Row
    from qimg_compare.reproduce.planning import Prepared
    from qimg_compare.reproduce.recipe import Effort, Recipe
    from qimg_compare.result import RunResult
    from qimg_core.cli.app import App
    from qimg_metrics.bootstrap import Estimate

    Results = dict[tuple[str, int], tuple[RunResult, str]]


@frozen(kw_only=True)
class Outcome:
    """What a recipe ended with.

    Args:
        rows: the table.
        facts: for the record and the JSON document; without floats.
        folder: where everything lies.
        failures: runs without a result, in words.
    """

    rows: tuple[Row, ...]
    facts: dict[str, Any]
    folder: Path
    failures: tuple[str, ...] = ()


def reproduce_images(
    app: App,
    recipe: Recipe,
    *,
    data: str | None,
    effort: Effort,
    seeds: int | None,
    out: Path,
    jobs: int,
    ledger: str,
) -> Outcome:
    """Run the recipe's comparison, or go on with it, and judge its figures.

    Args:
        app: the plugins.
        recipe: with an `ImageRun`.
        data: name or path; None: the recipe's own.
        effort: which spending.
        seeds: how many; None: as the effort says.
        out: the comparison gets a folder in it.
        jobs: runs side by side.
        ledger: the project's.

    Raises:
        QimgError: what cannot run is refused before anything is written; see `prepare` and `check_models`.
    """
    prepared = prepare(app, recipe, data=data, effort=effort, seeds=seeds)
    check_models(app, prepared.plan)
    folder = out / prepared.plan.folder
    check_folder(folder)
    there, failures, facts = _compared(app, prepared, folder, jobs=jobs, ledger=ledger)
    results = [result for result, _ in there.values()]
    rows = []
    with Session(ledger, seed=prepared.plan.seed, registry=app.registry) as session:  # circuits are runs as well
        for figure in recipe.figures:
            ours, why = measured(figure.measure, results, circuit=_circuit(session))
            rows.append(row_of(figure, ours, effort, data=prepared.data, why=why))
    return Outcome(rows=tuple(rows), facts=facts, folder=folder, failures=failures)


def _circuit(session: Session) -> Callable[[int], Estimate]:
    def measure(layers: int) -> Estimate:
        from qimg_compare.reproduce.circuits import entanglement

        return entanglement(session, layers)

    return measure


def _compared(
    app: App, prepared: Prepared, folder: Path, *, jobs: int, ledger: str
) -> tuple[Results, tuple[str, ...], dict[str, Any]]:
    """What ``qimg compare`` does with a plan: register, run, analyse, report, record."""
    from qimg_compare import report, runner
    from qimg_compare.analysis import analyse
    from qimg_compare.bench import open_bench
    from qimg_compare.registration import checked, finish, register
    from qimg_compare.worker import PLAN

    plan, seeds = prepared.plan, prepared.seeds
    ensure_folder(folder)
    say(f"{plan.name}: reading {plan.data}, feature network {plan.network}")
    bench = open_bench(plan, folder, app.registry)
    write_atomic(folder / PLAN, canonical.dumps(plan.to_json()))
    data, network = bench.train.digest, bench.reference.network.digest
    with Session(ledger, seed=plan.seed, registry=app.registry) as session:
        prepare_ledger(session, ledger)
        registration = register(session, plan, data=data, network=network, bench=bench.digest)
    before = runner.finished(plan, folder, seeds)
    for result, _ in before.values():
        if (result.data, result.network) != (data, network):
            raise DataError(
                f"{result.arm}, seed {result.seed} was made with other data or another feature network",
                hint=f"remove {folder} to begin again",
            )
    done, total = len(before), len(plan.names) * len(seeds)

    def told(arm: str, seed: int, reason: str | None) -> None:
        nonlocal done
        done += 1
        say(f"{done}/{total}  {arm}, seed {seed}" + ("" if reason is None else f": FAILED: {reason}"))

    failures = runner.run_all(
        plan, folder, seeds=seeds, registered=registration.digest, registry=app.registry, jobs=jobs, done=told
    )
    there = runner.finished(plan, folder, seeds)
    results = [result for result, _ in there.values()]
    registration = checked(registration, results)
    analysis = analyse(plan, results, registration, seeds=seeds, failures=failures)
    found = report.document(plan, analysis, data=data, network=network)
    record: dict[str, Any] = {"plan": plan.digest, "planned entry": registration.entry, "log": registration.origin}
    if there:
        with Session(ledger, seed=plan.seed, registry=app.registry) as session:
            entry = finish(session, plan, registration, there, found)
            record |= {"run": entry.run, "entry": entry.index}
    report.write(folder, plan, analysis, report.tables_of(plan, analysis, app.registry), found=found, record=record)
    facts = {
        "plan": plan.digest,
        "known_data": prepared.data,
        "pre_registered": registration.pre_registered,
        "data": data,
        "network": network,
        "n": plan.n,
        "seeds": list(seeds),
        "arms": list(plan.names),
        "comparison": record,
    }
    return there, tuple(f"{f.arm}, seed {f.seed}: {f.reason}" for f in failures), facts
