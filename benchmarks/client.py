"""The other end of a worker: start it, ask it, end it (imports the standard library)."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from benchmarks.peers import OWN, environments

if TYPE_CHECKING:
    from collections.abc import Mapping

    from benchmarks.engines import EngineSpec

ROOT = Path(__file__).parents[1]
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
    "CUDA_VISIBLE_DEVICES": "",
    "PYTHONWARNINGS": "ignore",
}
"""Every engine computes on one thread; idle threads sleep instead of spinning."""


class WorkerFailed(RuntimeError):
    """The engine raised, died or gave no answer in time; the message says which."""


def python_of(environment: str) -> tuple[str | None, str | None]:
    """(interpreter, None), or (None, why there is none)."""
    if environment == OWN:
        return sys.executable, None
    found = environments(folder=ROOT / "out/bench/envs")[environment]
    return (None, found.missing) if found.missing else (str(found.python), None)


class Client:
    """A worker process for one engine.

    Args:
        spec: which engine.
        python: interpreter of its environment.
        core: the one CPU that it runs on; None to let it move.
        log: where its stderr goes.
        extra: environment variables.

    Raises:
        WorkerFailed: no such interpreter.
    """

    def __init__(
        self,
        spec: EngineSpec,
        python: str,
        *,
        core: int | None,
        log: Path,
        extra: Mapping[str, str] | None = None,
    ) -> None:
        self.spec, self.core = spec, core
        log.parent.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT), **(extra or {})}
        with log.open("wb") as stderr:
            try:
                self._process = subprocess.Popen(
                    [python, "-m", "benchmarks.worker"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    env=environment,
                )
            except OSError as cause:
                raise WorkerFailed(f"cannot start {python}: {cause.strerror}") from cause
        self._log, self._rest = log, b""
        assert self._process.stdout is not None
        self._answers = selectors.DefaultSelector()
        self._answers.register(self._process.stdout, selectors.EVENT_READ)
        self._send(do="open", target=spec.target, options=spec.options, core=core)

    def _send(self, **message: Any) -> None:
        assert self._process.stdin is not None
        if self._process.stdin.closed:
            raise WorkerFailed("the process was ended")
        try:
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError as cause:
            raise WorkerFailed(self._last_words()) from cause

    def answer(self, limit: float) -> dict[str, Any]:
        """The next answer.

        Raises:
            WorkerFailed: an error, the end of the process, or no answer within ``limit`` seconds; then it is killed.
        """
        assert self._process.stdout is not None
        from time import monotonic

        end = monotonic() + limit
        while b"\n" not in self._rest:
            if not self._answers.select(max(0.0, end - monotonic())):
                self.close(kill=True)
                raise WorkerFailed(f"no answer within {limit:.0f} s")
            data = os.read(self._process.stdout.fileno(), 65536)
            if not data:
                raise WorkerFailed(self._last_words())
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        document: dict[str, Any] = json.loads(line)
        if "error" in document and len(document) == 1:
            raise WorkerFailed(document["error"])
        return document

    def ask(self, limit: float, **message: Any) -> dict[str, Any]:
        """Send a message and wait for its answer; see `answer`."""
        self._send(**message)
        return self.answer(limit)

    def _last_words(self) -> str:
        code = self._process.wait()
        said = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return f"the process ended with {code}" + (f": {said[-1].strip()[:200]}" if said else "")

    def close(self, *, kill: bool = False) -> None:
        """End the process, by force if it does not end by itself."""
        if self._process.poll() is None and not kill:
            try:
                self._send(do="close")
                self._process.wait(5)
            except (WorkerFailed, subprocess.TimeoutExpired):
                kill = True
        if kill and self._process.poll() is None:
            self._process.kill()
        self._process.wait()
        self._answers.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):  # what it did not read before it ended
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
