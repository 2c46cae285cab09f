"""One plan's jobs, from intent to raw results (floor 5; imports errors, execution, backend).

The intent is durable before anything is sent. Its key is SHA-256(run, ordinal, job, request digest):
a transport retry keeps the key, a deliberate repeat has a new one. "Accepted, then the connection
dropped" ends in one job, found by its key, or in `SubmissionUncertain`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import BackendUnavailable, JobCancelled, JobFailed, JobTimeout, RateLimited, SubmissionUncertain
from qimg_core.job import JobState

if TYPE_CHECKING:
    from qimg_core.backend import Backend
    from qimg_core.execution import Plan
    from qimg_core.job import JSON, Intent, JobHandle, RawResult

Write = Callable[[str, "dict[str, JSON]"], object]


@frozen(kw_only=True)
class Polling:
    """How the core waits.

    Args:
        first, factor, longest: seconds before the second question, growth, and the upper bound.
        timeout: seconds for one job, or None for no end.
        attempts: how often a submit that was certainly not accepted is tried.
        sleep: replaceable for tests.
    """

    first: float = 0.2
    factor: float = 1.6
    longest: float = 30.0
    timeout: float | None = None
    attempts: int = 4
    sleep: Callable[[float], None] = time.sleep


def run_jobs(
    backend: Backend, plan: Plan, intents: list[Intent], write: Write, polling: Polling
) -> tuple[list[JobHandle], list[RawResult]]:
    """Submit every job of a plan, wait, fetch; returns handles and results in the order of the jobs.

    Args:
        backend: the driver.
        plan: admitted.
        intents: one per job.
        write: appends a durable ledger entry (kind, facts).
        polling: how to wait.

    Raises:
        BackendError, JobError: as the driver and the provider say; the record holds how far it got.
    """
    handles = []
    for job, intent in enumerate(intents):
        key = intent.key
        write("job.intended", {"key": key, "backend": plan.backend, "job": job, "request": plan.request.digest})
        handle = _submit(backend, plan, job, intent, polling)
        write("job.submitted", {"key": key, "handle": handle.to_json()})
        handles.append(handle)
    results = []
    for handle in handles:
        wait(backend, handle, polling)
        raw = backend.fetch(handle)
        facts: dict[str, JSON] = {"key": handle.key, "raw": raw.raw_digest, "provider": dict(raw.provider)}
        if raw.cost is not None:
            facts["cost"] = raw.cost.to_json()
        write("job.finished", facts)
        results.append(raw)
    return handles, results


def _submit(backend: Backend, plan: Plan, job: int, intent: Intent, polling: Polling) -> JobHandle:
    pause = polling.first
    for attempt in range(1, polling.attempts + 1):
        try:
            return backend.submit(plan, job, intent=intent)
        except SubmissionUncertain:
            found = backend.find(intent)
            if found is None:
                raise
            return found
        except BackendUnavailable as cause:  # certainly not accepted: safe to try again with the same key
            if attempt == polling.attempts:
                raise
            after = cause.retry_after if isinstance(cause, RateLimited) else None
            polling.sleep(after or pause)
            pause = min(pause * polling.factor, polling.longest)
    raise AssertionError("unreachable")


def wait(backend: Backend, handle: JobHandle, polling: Polling) -> None:
    """Ask until the job is over.

    Raises:
        JobFailed, JobCancelled: how it ended.
        JobTimeout: the wait ended first; the job is alive and its handle is in the ledger.
    """
    waited, pause = 0.0, polling.first
    while not (status := backend.poll(handle)).state.terminal:
        if polling.timeout is not None and waited >= polling.timeout:
            raise JobTimeout(f"{handle.backend} job {handle.key[:12]} is still {status.state} after {waited:.0f} s")
        polling.sleep(pause)
        waited += pause
        pause = min(pause * polling.factor, polling.longest)
    if status.state is JobState.FAILED:
        raise JobFailed(f"{handle.backend}: {status.detail or 'the job failed'}")
    if status.state is JobState.CANCELLED:
        raise JobCancelled(f"{handle.backend}: the job was cancelled")
