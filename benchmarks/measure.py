"""One case: check every engine, then time them in turn (imports numpy, benchmarks).

The calls of all engines are interleaved, so that what else the machine does falls on all of them alike. An engine
that is wrong, or does not answer, is not timed; the reason is kept.
"""

from __future__ import annotations

import json
import statistics
from contextlib import ExitStack
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import define, evolve, field, frozen

from benchmarks.check import compare
from benchmarks.client import Client, WorkerFailed, python_of
from benchmarks.engines import ENGINES
from benchmarks.reference import solve
from benchmarks.task import Task, save

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from benchmarks.engines import EngineSpec
    from benchmarks.task import Arrays
    from benchmarks.workloads.base import Case


CANNOT = "cannot: "
"""Begins the reason of an engine that does not do this kind of work at all."""


@frozen(kw_only=True)
class Settings:
    """How a run measures.

    Args:
        rounds: turns of every engine.
        seconds: after so much time of timing, an engine that had `fewest` turns has no more.
        fewest: see above.
        turn_ms: a turn repeats a fast step for about so long.
        first_limit: seconds for an engine's first call; five times that where it compiles.
        deadline: `time.monotonic` after which nothing new is started; None for no end.
        core: the CPU that all engines run on, in turn; None to let them move.
        work: folder for tasks, arrays, logs and what the judge has found.
        environment: more variables for the workers.
    """

    rounds: int = 21
    seconds: float = 6.0
    fewest: int = 3
    turn_ms: float = 20.0
    first_limit: float = 60.0
    deadline: float | None = None
    core: int | None = None
    work: Path = Path("out/bench/work")
    environment: Mapping[str, str] = field(factory=dict)


@define
class Runner:
    """An engine that passed its check, and its times so far."""

    client: Client
    row: dict[str, Any]
    calls: int = 1
    spent: float = 0.0
    wall: list[float] = field(factory=list)
    cpu: list[float] = field(factory=list)
    peaks: list[float] = field(factory=list)

    def turn(self, limit: float, *, warm: int) -> None:
        """Time one turn."""
        got = self.client.ask(limit, do="time", calls=self.calls, warm=warm)
        self.spent += got["wall_ms"] * (self.calls + warm) / 1e3
        self.wall.append(got["wall_ms"])
        self.cpu.append(got["cpu_ms"])
        if got["peak_mb"] is not None:
            self.peaks.append(got["peak_mb"])

    def done(self, settings: Settings) -> bool:
        """Whether it has had its turns."""
        enough = len(self.wall) >= settings.fewest and self.spent > settings.seconds
        return enough or len(self.wall) >= settings.rounds


@frozen
class Measured:
    """Rows of a case, and (engine, reason) of those without one."""

    rows: tuple[dict[str, Any], ...]
    missing: tuple[tuple[str, str], ...]


def summary(values: list[float]) -> tuple[float, float, float]:
    """Median, lower and upper quartile (inclusive method)."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def judged(task: Task, arrays: Arrays, folder: Path) -> Arrays:
    """What is right, computed once and kept by the digest of the task."""
    kept = folder / "judge" / f"{task.digest}.npz"
    if kept.exists():
        with np.load(kept) as loaded:
            return dict(loaded)
    found = solve(task, arrays)
    kept.parent.mkdir(parents=True, exist_ok=True)
    save(kept, found)
    return found


def measure(
    case: Case,
    settings: Settings,
    *,
    say: Callable[[str], None] = print,
    engines: dict[str, EngineSpec] | None = None,
) -> Measured:
    """Rows for a case.

    Args:
        case: task and names of engines.
        settings: see there.
        say: progress, a line each.
        engines: the known ones by name.
    """
    known = ENGINES if engines is None else engines
    folder = settings.work / case.name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    task, arrays = case.task, case.task.arrays() if isinstance(case.task, Task) else {}
    (folder / "task.json").write_text(json.dumps(task.to_json()), encoding="utf-8")
    save(folder / "arrays.npz", arrays)
    wanted = judged(task, arrays, settings.work) if isinstance(task, Task) else None
    missing: list[tuple[str, str]] = []
    ready: list[Runner] = []
    with ExitStack() as stack:
        started: list[Client] = []
        for name in case.engines:
            spec = known[name]
            client = _start(spec, settings, folder, missing)
            if client is not None:
                stack.enter_context(client)
                started.append(client)
        open_ones: list[tuple[Client, dict[str, Any]]] = []
        for client in started:  # all of them before the first call of any: they share a core, and imports take seconds
            try:
                open_ones.append((client, client.answer(settings.first_limit)))
            except WorkerFailed as failure:
                _leave_out(case, client, failure, missing, say)
        for client, opened in open_ones:
            try:
                row = _first(client, opened, case, wanted, settings, folder)
                ready.append(Runner(client, row))
                said = f"right to {row['error']:.0e}" if row["error"] is not None else "has no circuit to check"
                say(f"  {case.name}: {client.spec.name} {said}, first call {row['first_ms']:.0f} ms")
            except WorkerFailed as failure:
                _leave_out(case, client, failure, missing, say)
        rows = _interleaved(ready, settings, missing)
    order = {name: i for i, name in enumerate(case.engines)}
    return Measured(tuple(sorted(rows, key=lambda r: order[r["engine"]])), tuple(missing))


def _leave_out(
    case: Case, client: Client, failure: WorkerFailed, missing: list[tuple[str, str]], say: Callable[[str], None]
) -> None:
    missing.append((client.spec.name, str(failure)))
    say(f"  {case.name}: {client.spec.name} not measured: {failure}")
    client.close()


def _start(spec: EngineSpec, settings: Settings, folder: Path, missing: list[tuple[str, str]]) -> Client | None:
    python, reason = python_of(spec.environment)
    if settings.deadline is not None and monotonic() > settings.deadline:
        reason = "the run's time was over (--minutes)"
    if reason is not None or python is None:
        missing.append((spec.name, reason or "no interpreter"))
        return None
    try:
        log = folder / f"{spec.name.replace(' ', '-')}.log"
        return Client(spec, python, core=settings.core, log=log, extra=settings.environment)
    except WorkerFailed as failure:
        missing.append((spec.name, str(failure)))
        return None


def _first(
    client: Client, opened: dict[str, Any], case: Case, wanted: Arrays | None, settings: Settings, folder: Path
) -> dict[str, Any]:
    """Prepare, run once, check.

    Raises:
        WorkerFailed: with the reason, also for an engine that is wrong.
    """
    spec = client.spec
    told = client.ask(
        settings.first_limit, do="task", task=str(folder / "task.json"), arrays=str(folder / "arrays.npz")
    )
    if told["refuses"]:
        raise WorkerFailed(CANNOT + told["refuses"])
    out = folder / f"{spec.name.replace(' ', '-')}.npz"
    limit = settings.first_limit * (5 if spec.compiles else 1)
    first = client.ask(limit, do="first", out=str(out))
    error, reason = None, None
    values_only = bool(spec.options.get("values_only"))
    if wanted is not None:
        assert isinstance(case.task, Task)
        with np.load(out) as got:
            verdict = compare(case.task, wanted, dict(got), values_only=values_only)
        error, reason = verdict.error, verdict.reason
    elif first["check"] is not None:
        error, reason = first["check"]["error"], first["check"]["reason"]
    out.unlink()
    if reason is not None:
        raise WorkerFailed(f"wrong: {reason}")
    return {
        "case": case.name,
        "engine": spec.name,
        "values_only": values_only,
        "error": error,
        "first_ms": first["first_ms"],
        "import_ms": opened["import_ms"],
        "versions": opened["versions"],
    }


def _interleaved(ready: list[Runner], settings: Settings, missing: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Time the engines in turn, beginning with another one each round."""
    active = list(ready)
    limit = 10 * settings.first_limit
    for number in range(settings.rounds + 1):
        start = number % len(active) if active else 0
        for runner in active[start:] + active[:start]:
            try:
                runner.turn(limit, warm=0 if number == 0 or runner.calls == 1 else 1)
            except WorkerFailed as failure:
                missing.append((runner.client.spec.name, str(failure)))
                ready.remove(runner)
                active.remove(runner)
                continue
            if number == 0:  # warms up and says how often a turn repeats; kept only where steps are slow
                runner.calls = max(1, min(50, round(settings.turn_ms / max(runner.wall[0], 1e-3))))
                if runner.wall[0] < 1000:
                    runner.wall, runner.cpu, runner.peaks, runner.spent = [], [], [], 0.0
        active = [r for r in active if not r.done(settings)]
    return [_row(runner, settings, missing) for runner in list(ready)]


def _row(runner: Runner, settings: Settings, missing: list[tuple[str, str]]) -> dict[str, Any]:
    median, low, high = summary(runner.wall)
    facts: dict[str, Any] = {}
    try:
        facts = runner.client.ask(settings.first_limit, do="facts")
    except WorkerFailed as failure:
        missing.append((runner.client.spec.name, f"its further figures: {failure}"))
    return {
        **runner.row,
        "median_ms": median,
        "low": low,
        "high": high,
        "cpu_ms": summary(runner.cpu)[0],
        "peak_mb": statistics.median(runner.peaks) if runner.peaks else None,
        "turns": len(runner.wall),
        "calls": runner.calls,
        **facts,
    }


def quick(settings: Settings) -> Settings:
    """Few turns."""
    return evolve(settings, rounds=5, seconds=1.5, fewest=2)
