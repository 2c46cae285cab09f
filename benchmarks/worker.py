"""One engine in a process of its own, driven by JSON lines (imports numpy, attrs and its engine).

`python -m benchmarks.worker` reads a message a line from stdin and answers with a line on stdout: ``open`` (which
engine), ``task`` (what to run), ``first`` (prepare and run once), ``time`` (run some calls), ``facts``, ``close``.
Whatever the engine itself prints goes to stderr. An exception becomes ``{"error": ...}``.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

from benchmarks.memory import Peak, give_back, private_mb

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.engines.base import Engine, Step
    from benchmarks.task import Arrays, Task, Training


class Worker:
    """The verbs; each gives a JSON document."""

    def __init__(self) -> None:
        self.engine: Engine
        self.task: Task | Training
        self.arrays: Arrays
        self.step: Step
        self.base: float | None = None

    def open(self, *, target: str, options: dict[str, Any], core: int | None) -> dict[str, Any]:
        """Import the engine, on one core."""
        if core is not None and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {core})
        start = perf_counter()
        module, _, name = target.partition(":")
        self.engine = getattr(importlib.import_module(module), name)(**options)
        self.engine.start()
        return {"import_ms": 1e3 * (perf_counter() - start), "versions": self.engine.versions()}

    def read_task(self, *, task: str, arrays: str) -> dict[str, Any]:
        """Load a task; ``refuses`` says why the engine cannot run it, or is null."""
        import numpy as np

        from benchmarks.task import Task, task_from_json

        self.task = task_from_json(json.loads(Path(task).read_text(encoding="utf-8")))
        with np.load(arrays) as loaded:
            self.arrays = dict(loaded)
        refuses = self.engine.refuses(self.task) if isinstance(self.task, Task) else None
        return {"refuses": refuses}

    def first(self, *, out: str) -> dict[str, Any]:
        """Prepare and run the first step; its arrays go to the file ``out``."""
        from benchmarks.task import Task, save

        give_back()
        self.base = private_mb()
        start = perf_counter()
        self.step = self.engine.prepare(self.task, self.arrays)  # type: ignore[arg-type]
        got = self.step()
        taken = perf_counter() - start
        if isinstance(self.task, Task) and self.task.shots is not None:
            got = self.engine.counts(self.task, got)
        save(out, got)
        del got
        give_back()
        return {"first_ms": 1e3 * taken, "check": self.engine.check()}

    def time(self, *, calls: int, warm: int = 0) -> dict[str, Any]:
        """Wall and CPU time of a step, mean over ``calls``; the peak above the base line meanwhile."""
        for _ in range(warm):
            self.step()
        gc.collect()
        peak = Peak(self.base)
        cpu, start = process_time(), perf_counter()
        for _ in range(calls):
            self.step()
        wall, cpu = perf_counter() - start, process_time() - cpu
        return {"wall_ms": 1e3 * wall / calls, "cpu_ms": 1e3 * cpu / calls, "peak_mb": peak.above()}

    def facts(self) -> dict[str, Any]:
        """More figures of the engine."""
        return self.engine.facts()


def serve(lines: Any, answer: Callable[[dict[str, Any]], None]) -> None:
    """Answer messages until ``close`` or the end."""
    worker = Worker()
    verbs: dict[str, Callable[..., dict[str, Any]]] = {
        "open": worker.open,
        "task": worker.read_task,
        "first": worker.first,
        "time": worker.time,
        "facts": worker.facts,
    }
    for line in lines:
        message = json.loads(line)
        verb = message.pop("do")
        if verb == "close":
            worker.engine.close()
            return
        try:
            answer(verbs[verb](**message))
        except Exception as error:  # anything that an engine raises is the answer
            answer({"error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})


def main() -> None:
    """Keep stdout for the protocol; prints of engines go to stderr."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as protocol:
        os.dup2(2, 1)

        def answer(document: dict[str, Any]) -> None:
            protocol.write(json.dumps(document) + "\n")
            protocol.flush()

        serve(sys.stdin, answer)


if __name__ == "__main__":
    main()
