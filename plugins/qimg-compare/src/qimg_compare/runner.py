"""Every run of a plan, each in its process, several at a time; goes on after a kill (imports plan, result).

Seeds are the outer loop: the arms of one seed run close together in time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from contextlib import closing, contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from qimg_compare.result import read_result, run_folder
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from pathlib import Path

    from qimg_compare.plan import ComparePlan
    from qimg_compare.result import RunResult
    from qimg_core.hooks import ComponentSpec
    from qimg_core.plugins import Registry

Key = tuple[str, int]
K = TypeVar("K")


@frozen(kw_only=True)
class Failure:
    """A run that left no result, and why."""

    arm: str
    seed: int
    reason: str


def finished(plan: ComparePlan, folder: Path, seeds: Sequence[int]) -> dict[Key, tuple[RunResult, str]]:
    """Results that are there, by arm and seed, each with the digest of its file."""
    digest = plan.digest
    out: dict[Key, tuple[RunResult, str]] = {}
    for seed in seeds:
        for arm in plan.names:
            found = read_result(run_folder(folder, arm, seed), plan=digest, arm=arm, seed=seed)
            if found is not None:
                out[arm, seed] = found
    return out


def run_all(
    plan: ComparePlan,
    folder: Path,
    *,
    seeds: Sequence[int],
    registered: str,
    registry: Registry,
    jobs: int = 1,
    done: Callable[[str, int, str | None], None] | None = None,
) -> tuple[Failure, ...]:
    """Make every run that has no result yet.

    Args:
        plan: its canonical form lies in the folder already.
        folder: of the comparison.
        seeds: those of the plan, or the first of them.
        registered: digest of the entry that holds the plan.
        registry: says which modules the processes will need.
        jobs: processes at a time.
        done: called with arm, seed and the reason of a failure (None: it went well) after each run.

    Returns:
        runs that failed; the others went on.

    Raises:
        ConfigurationError: no jobs.
        KeyboardInterrupt: passed on after the running processes were ended.
    """
    if jobs < 1:
        raise ConfigurationError(f"--jobs: wanted 1 or more, got {jobs}")
    there = finished(plan, folder, seeds)
    todo = [(arm, seed) for seed in seeds for arm in plan.names if (arm, seed) not in there]
    failures: list[Failure] = []
    ready = set(there)
    needs = {a.name: a.needs for a in plan.arms}
    if not todo:
        return ()
    context = run_context(plan, registry)

    def begin(key: Key) -> Any:
        return _start(context, folder, *key, registered)

    def following() -> Key | None:
        key = _next(todo, needs, ready)
        if key is not None:
            todo.remove(key)
        return key

    with closing(side_by_side(jobs, begin, following)) as ended:
        for (arm, seed), code in ended:
            found = read_result(run_folder(folder, arm, seed), plan=plan.digest, arm=arm, seed=seed)
            reason = None if found is not None else reason_of(run_folder(folder, arm, seed), code)
            if reason is None:
                ready.add((arm, seed))
            for each, why in _ended(arm, seed, reason, todo, needs):
                failures.append(Failure(arm=each, seed=seed, reason=why))
                if done is not None:
                    done(each, seed, why)
            if reason is None and done is not None:
                done(arm, seed, None)
    return tuple(failures)


def side_by_side(
    jobs: int, begin: Callable[[K], Any], following: Callable[[], K | None]
) -> Generator[tuple[K, int | None], None, None]:
    """Keep several processes going; gives each key with its exit code as it ends, and ends the rest when closed.

    Args:
        jobs: processes at a time.
        begin: starts the process of a key.
        following: the next key that can begin now; None: none can.
    """
    running: dict[Any, tuple[Any, K]] = {}
    try:
        while True:
            while len(running) < jobs and (key := following()) is not None:
                process = begin(key)
                running[process.sentinel] = (process, key)
            if not running:
                return
            for sentinel in wait(list(running)):
                process, key = running.pop(sentinel)
                process.join()
                yield key, process.exitcode
    finally:
        for process, _ in running.values():
            process.kill()
            process.join()


def _next(todo: Sequence[Key], needs: Mapping[str, str | None], ready: set[Key]) -> Key | None:
    """The first run that builds on no other, or on one that is there."""
    return next((k for k in todo if (need := needs.get(k[0])) is None or (need, k[1]) in ready), None)


def _ended(
    arm: str, seed: int, reason: str | None, todo: list[Key], needs: Mapping[str, str | None]
) -> list[tuple[str, str]]:
    """What failed with a run that ended: itself, and those that build on it, which are taken off the list."""
    if reason is None:
        return []
    lost = [k for k in todo if needs.get(k[0]) == arm and k[1] == seed]
    for key in lost:
        todo.remove(key)
    return [(arm, reason), *((name, f"it builds on {arm}, whose run failed") for name, _ in lost)]


def _start(context: Any, folder: Path, arm: str, seed: int, registered: str) -> Any:
    from qimg_compare.worker import work

    process = context.Process(target=work, args=(str(folder), arm, seed, registered), name=f"{arm}-{seed}")
    process.start()
    return process


def reason_of(own: Path, code: int | None) -> str:
    """Why a process left no result in its folder."""
    try:
        document = json.loads((own / "error.json").read_bytes())
    except FileNotFoundError:
        return f"the process ended with {code}; its log is {own / 'log.txt'}"
    return f"{document['type']}: {document['message']}"


def run_context(plan: ComparePlan, registry: Registry) -> Any:
    """Processes forked from a server that has imported torch and the models once: a run begins at once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    specs: list[ComponentSpec] = []
    for arm in plan.arms:
        specs += [registry.spec("generator", arm.generator), registry.spec("backend", arm.backend.partition("[")[0])]
    modules = dict.fromkeys(["qimg_compare.trial", "torch._dynamo", *(s.target.partition(":")[0] for s in specs)])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    with _environment(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1"):
        forkserver.ensure_running()
    return context


@contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {k: os.environ.get(k) for k in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                os.environ.pop(key, None)
            else:
                os.environ[key] = value
