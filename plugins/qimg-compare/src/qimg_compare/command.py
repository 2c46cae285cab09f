"""``qimg compare``: plan, record, run, judge, report (imports qimg_core's command-line parts; torch when it runs)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import frozen

from qimg_compare.grid import point
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
    from collections.abc import Iterable, Sequence

    from qimg_compare.bench import Bench
    from qimg_compare.plan import ArmPlan, ComparePlan
    from qimg_compare.registration import Registration
    from qimg_compare.result import RunResult
    from qimg_compare.trial_choice import Tuning
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

    The plan's digest goes into the ledger before the first run, and so do the settings that trials chose. A comparison
    that was stopped goes on where it was; a finished run is never made again. Exit code 0: a verdict was reached, 3:
    inconclusive, 1: a run failed.
    """
    made = read_plan(plan)
    seeds = made.seeds[:QUICK] if quick else made.seeds
    folder = Path(out) / made.folder
    if dry_run:
        return _shown(made, folder, seeds)
    check_models(app, made)
    check_folder(folder)
    bench, of_trials = _open(app, made, folder)
    registration = _register(app, made, bench, ledger)
    return _run(app, made, bench, of_trials, registration, folder=folder, seeds=seeds, jobs=jobs, ledger=ledger)


def _shown(plan: ComparePlan, folder: Path, seeds: Sequence[int]) -> ExitCode:
    from qimg_compare.runner import finished
    from qimg_compare.trial_choice import trials_of

    there = finished(plan, folder, seeds)
    runs = len(plan.names) * len(seeds)
    document: dict[str, Any] = {
        "plan": plan.digest,
        "folder": folder,
        "runs": runs,
        "done": len(there),
        **plan.to_json(),
    }
    lines = [
        f"{plan.name}: {plan.digest}",
        f"  arms {', '.join(plan.names)}; seeds {', '.join(map(str, seeds))}; {plan.n} images each",
        f"  {plan.candidate} against {plan.reference} on {plan.primary}",
        f"  {runs} runs, {len(there)} of them done, in {folder}",
    ]
    if plan.tuned:
        tried = trials_of(plan, folder)
        trials = sum(a.tried for a in plan.tuned)
        document |= {"trials": trials, "trials_done": len(tried), "trial_seed": plan.trial_seed}
        each = ", ".join(f"{a.name} {a.tried} of {a.trial_steps} steps" for a in plan.tuned)
        judged = f"judged by {plan.trial_metric} on held-out training images"
        lines.append(f"  {trials} trials before, {len(tried)} of them done: {each}; seed {plan.trial_seed}, {judged}")
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
            for settings in _every(plan, arm):
                session = Session(
                    None, seed=seed, backend=arm.backend, noise=noise, shots=arm.shots, registry=app.registry
                )
                try:
                    with session:
                        model = session.generator(arm.generator, weights=weights, **{**settings, "arm": arm.arm})
                        if arm.weights is None:
                            model.check_images(images)
                except ConfigurationError as error:
                    error.add_note(f"the arm {arm.name!r} of the plan" + (f", {settings}" if arm.grid else ""))
                    raise


def _every(plan: ComparePlan, arm: ArmPlan) -> list[dict[str, Any]]:
    """The settings that an arm can get: its own, or one for each of its trials (a surrogate's: those of its source)."""
    source = arm if arm.surrogate_of is None else plan.arm(arm.surrogate_of)
    if not source.grid:
        return [dict(arm.settings)]
    return [{**arm.settings, **varied} for varied in source.draws(plan.seed).values()]


def _open(app: App, plan: ComparePlan, folder: Path) -> tuple[Bench, Bench | None]:
    from qimg_compare.bench import open_bench
    from qimg_compare.trial import open_trial_bench
    from qimg_compare.worker import PLAN

    ensure_folder(folder)
    say(f"{plan.name}: reading {plan.data}, feature network {plan.network}")
    bench = open_bench(plan, folder, app.registry)
    of_trials = open_trial_bench(plan, folder, app.registry) if plan.tuned else None
    write_atomic(folder / PLAN, canonical.dumps(plan.to_json()))
    return bench, of_trials


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
    of_trials: Bench | None,
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
    from qimg_compare.trial_choice import trials_of

    total = len(plan.names) * len(seeds)
    before = finished(plan, folder, seeds)
    tried = trials_of(plan, folder)
    _check_kept(before.values(), bench, folder)
    _check_kept(tried.values(), of_trials, folder)
    done = len(before)

    def told(arm: str, seed: int, reason: str | None) -> None:
        nonlocal done
        done += 1
        say(f"{done}/{total}  {arm}, seed {seed}" + ("" if reason is None else f": FAILED: {reason}"))

    chosen = _tune(app, plan, registration, folder=folder, jobs=jobs, ledger=ledger)
    if isinstance(chosen, ExitCode):
        return chosen
    if before:
        say(f"{done} of {total} runs are there already")
    failures = run_all(
        plan, folder, seeds=seeds, registered=registration.digest, registry=app.registry, jobs=jobs, done=told
    )
    there = finished(plan, folder, seeds)
    results = [r for r, _ in there.values()]
    tried = trials_of(plan, folder)
    registration = checked(registration, [*results, *(r for r, _ in tried.values())], chosen=chosen.digest)
    analysis = analyse(plan, results, registration, seeds=seeds, failures=failures, tuning=chosen.tuning)
    found = report.document(plan, analysis, data=bench.train.digest, network=bench.reference.network.digest)
    record: dict[str, Any] = {"plan": plan.digest, "planned entry": registration.entry, "log": registration.origin}
    if chosen.entry is not None:
        record["chosen entry"] = chosen.entry
    if there:
        with Session(ledger, seed=plan.seed, registry=app.registry) as session:
            entry = finish(session, plan, registration, there, found, chosen=chosen.entry)
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


def _check_kept(results: Iterable[tuple[RunResult, str]], bench: Bench | None, folder: Path) -> None:
    for result, _ in results:
        if bench and (result.data, result.network) != (bench.train.digest, bench.reference.network.digest):
            raise DataError(
                f"{result.arm}, seed {result.seed} was made with other data or another feature network",
                hint=f"remove {folder} to begin again",
            )


@frozen(kw_only=True)
class Chosen:
    """What the trials chose, and where the ledger says so; nothing and None for a plan without grids."""

    tuning: tuple[Tuning, ...] = ()
    entry: int | None = None
    digest: str | None = None


def _tune(
    app: App, plan: ComparePlan, registration: Registration, *, folder: Path, jobs: int, ledger: str
) -> Chosen | ExitCode:
    """The trials, and their choice in the ledger before the first run; the exit code where a trial failed."""
    from qimg_compare.trial_choice import keep_choice, record_choice, trials_of, tunings
    from qimg_compare.trial_tables import words
    from qimg_compare.tuning import run_trials

    if not plan.tuned:
        return Chosen()
    done, total = len(trials_of(plan, folder)), sum(a.tried for a in plan.tuned)

    def told(arm: str, position: int, reason: str | None) -> None:
        nonlocal done
        done += 1
        end = "" if reason is None else f": FAILED: {reason}"
        say(f"trial {done}/{total}  {arm}, {words(point(plan.arm(arm).grid, position))}{end}")

    if done:
        say(f"{done} of {total} trials are there already")
    failures = run_trials(plan, folder, registered=registration.digest, registry=app.registry, jobs=jobs, done=told)
    if failures:
        failed = [{"arm": f.arm, "seed": f.seed, "reason": f.reason} for f in failures]
        lines = [f"failed: {f.arm}, {f.reason}" for f in failures]
        emit({"plan": plan.digest, "failures": failed}, [*lines, "nothing was chosen, so no run was made"])
        return ExitCode.FAILED
    found = tunings(plan, trials_of(plan, folder))
    with Session(ledger, seed=plan.seed, registry=app.registry) as session:
        entry = record_choice(session, plan, registration, found)
    keep_choice(folder, plan, entry.digest, found)
    for t in found:
        say(f"{t.arm}: {words(t.best.settings)} is chosen of {len(t.trials)} trials, {t.metric} {t.best.value:.4g}")
    return Chosen(tuning=found, entry=entry.index, digest=entry.digest)
