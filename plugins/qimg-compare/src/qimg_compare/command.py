"""``qimg compare``: plan, record, run, judge, report (imports qimg_core's command-line parts; torch when it runs)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_compare.plan import QUICK
from qimg_compare.plan_file import read_plan
from qimg_compare.verdict import Verdict
from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, say
from qimg_core.cli.runs import check_folder, prepare_ledger
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger import canonical
from qimg_core.session import Session
from qimg_core.storage import ensure_folder, write_atomic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_compare.bench import Bench
    from qimg_compare.plan import ComparePlan
    from qimg_compare.registration import Registration
    from qimg_core.cli.app import App


@click.command()
@click.argument("plan", metavar="PLAN.toml")
@click.option("--quick", is_flag=True, help="The first three seeds only: a try, which can only be inconclusive.")
@click.option("--jobs", default=1, show_default=True, type=click.IntRange(1), help="Runs side by side, a core each.")
@click.option("--out", default="compare", show_default=True, metavar="FOLDER", help="Each plan gets a folder in it.")
@click.option("--dry-run", is_flag=True, help="Show the plan's digest and its runs; run and write nothing.")
@ledger_option
@json_option
@click.pass_obj
def compare(app: App, plan: str, quick: bool, jobs: int, out: str, dry_run: bool, ledger: str) -> ExitCode:
    """Compare the arms of a plan at paired seeds and say what the quantum part is worth.

    The plan's digest goes into the ledger before the first run. A comparison that was stopped goes on where it was;
    a finished run is never made again. Exit code 0: a verdict was reached, 3: inconclusive, 1: a run failed.
    """
    made = read_plan(plan)
    seeds = made.seeds[:QUICK] if quick else made.seeds
    folder = Path(out) / made.folder
    if dry_run:
        return _shown(made, folder, seeds)
    check_models(app, made)
    check_folder(folder)
    bench = _open(app, made, folder)
    registration = _register(app, made, bench, ledger)
    return _run(app, made, bench, registration, folder=folder, seeds=seeds, jobs=jobs, ledger=ledger)


def _shown(plan: ComparePlan, folder: Path, seeds: Sequence[int]) -> ExitCode:
    from qimg_compare.runner import finished

    there = finished(plan, folder, seeds)
    runs = len(plan.names) * len(seeds)
    document = {"plan": plan.digest, "folder": folder, "runs": runs, "done": len(there), **plan.to_json()}
    lines = [
        f"{plan.name}: {plan.digest}",
        f"  arms {', '.join(plan.names)}; seeds {', '.join(map(str, seeds))}; {plan.n} images each",
        f"  {plan.candidate} against {plan.reference} on {plan.primary}",
        f"  {runs} runs, {len(there)} of them done, in {folder}",
    ]
    emit(document, lines)
    return ExitCode.OK


def check_models(app: App, plan: ComparePlan) -> None:
    """Make every arm's model once, untrained, in a log in memory: what does not exist or fit is refused now.

    Raises:
        UnknownName, ConfigurationError, DataError, WeightsError, PluginError.
    """
    from qimg_core.cli.sources import open_data
    from qimg_core.noise import parse_noise

    images = open_data(app, plan.data, split="train", size=plan.size)
    for arm in plan.arms:
        spec = app.registry.spec("backend", arm.backend.partition("[")[0])
        if getattr(spec, "metered", False) and arm.max_cost is None:
            raise ConfigurationError(
                f"the arm {arm.name!r} runs on {spec.name}, which may cost money, and has no budget",
                hint='max_cost = "12.50" is what each of its sessions may spend',
            )
        noise = None if arm.noise is None else parse_noise(arm.noise)
        for seed in plan.seeds if arm.weights is not None and "{seed}" in arm.weights else plan.seeds[:1]:
            weights = None if arm.weights is None else arm.weights.replace("{seed}", str(seed))
            session = Session(None, seed=seed, backend=arm.backend, noise=noise, shots=arm.shots, registry=app.registry)
            try:
                with session:
                    model = session.generator(arm.generator, weights=weights, **{**arm.settings, "arm": arm.arm})
                    if arm.weights is None:
                        model.check_images(images)
            except ConfigurationError as error:
                error.add_note(f"the arm {arm.name!r} of the plan")
                raise


def _open(app: App, plan: ComparePlan, folder: Path) -> Bench:
    from qimg_compare.bench import open_bench
    from qimg_compare.worker import PLAN

    ensure_folder(folder)
    say(f"{plan.name}: reading {plan.data}, feature network {plan.network}")
    bench = open_bench(plan, folder, app.registry)
    write_atomic(folder / PLAN, canonical.dumps(plan.to_json()))
    return bench


def _register(app: App, plan: ComparePlan, bench: Bench, ledger: str) -> Registration:
    """The plan in the ledger, under a signed head, before anything runs. The ledger is closed while runs run."""
    from qimg_compare.registration import register

    with Session(ledger, seed=plan.seed, registry=app.registry) as session:
        prepare_ledger(session, ledger)
        found = register(
            session, plan, data=bench.train.digest, network=bench.reference.network.digest, bench=bench.digest
        )
    say(f"{plan.digest} is entry {found.entry} of {found.origin}" + ("" if found.pre_registered else ", changed"))
    return found


def _run(
    app: App,
    plan: ComparePlan,
    bench: Bench,
    registration: Registration,
    *,
    folder: Path,
    seeds: Sequence[int],
    jobs: int,
    ledger: str,
) -> ExitCode:
    from qimg_compare import report
    from qimg_compare.analysis import analyse
    from qimg_compare.registration import checked, finish
    from qimg_compare.runner import finished, run_all

    total = len(plan.names) * len(seeds)
    before = finished(plan, folder, seeds)
    for result, _ in before.values():
        if (result.data, result.network) != (bench.train.digest, bench.reference.network.digest):
            raise DataError(
                f"{result.arm}, seed {result.seed} was made with other data or another feature network",
                hint=f"remove {folder} to begin again",
            )
    done = len(before)

    def told(arm: str, seed: int, reason: str | None) -> None:
        nonlocal done
        done += 1
        say(f"{done}/{total}  {arm}, seed {seed}" + ("" if reason is None else f": FAILED: {reason}"))

    if before:
        say(f"{done} of {total} runs are there already")
    failures = run_all(
        plan, folder, seeds=seeds, registered=registration.digest, registry=app.registry, jobs=jobs, done=told
    )
    there = finished(plan, folder, seeds)
    results = [r for r, _ in there.values()]
    registration = checked(registration, results)
    analysis = analyse(plan, results, registration, seeds=seeds, failures=failures)
    found = report.document(plan, analysis, data=bench.train.digest, network=bench.reference.network.digest)
    record: dict[str, Any] = {"plan": plan.digest, "planned entry": registration.entry, "log": registration.origin}
    if there:
        with Session(ledger, seed=plan.seed, registry=app.registry) as session:
            entry = finish(session, plan, registration, there, found)
            record |= {"run": entry.run, "entry": entry.index}
    tables = report.tables_of(plan, analysis, app.registry)
    files = report.write(folder, plan, analysis, tables, found=found, record=record)
    lines = [*report.terminal(plan, analysis, tables), *(f"  {path}" for path in files)]
    if there:
        lines.append(f"  run {record['run']}, entry {record['entry']} of {ledger}")
    emit({**found, "record": record, "files": files}, lines)
    if failures:
        return ExitCode.FAILED
    return ExitCode.INCONCLUSIVE if analysis.verdict is Verdict.INCONCLUSIVE else ExitCode.OK
