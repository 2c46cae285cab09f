"""Sending one job exactly once (imports errors, outbox). The table is in `qimg_core.jobs`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from qimg_core.capabilities import Idempotency
from qimg_core.errors import (
    BackendError,
    BackendUnavailable,
    BreakerOpen,
    JobCancelled,
    JobFailed,
    RateLimited,
    SubmissionUncertain,
)

if TYPE_CHECKING:
    from qimg_core.job import Intent, JobHandle
    from qimg_core.jobs.outbox import Road


def acquire(road: Road, intent: Intent) -> tuple[JobHandle, str]:
    """The handle of a job that exists once, and how it was had.

    Args:
        road: plan and driver.
        intent: on disk already.

    Returns:
        the handle, and "known" (the ledger has it), "job.adopted" (found by its key) or "job.submitted".

    Raises:
        JobFailed, JobCancelled: it ended in an earlier process of this run.
        BackendError: see `Backend.submit`.
    """
    known = road.outbox.journal.known(road.name, intent.key)
    if known is None:
        return _submit(road, intent)
    if known.ended is not None and known.finished is None:
        kind = JobCancelled if known.ended in ("cancelled", "left") else JobFailed
        raise kind(
            f"{road.name} job {intent.key[:12]} {known.ended} in an earlier process of this run",
            hint="start a new run to send it again; a resumed run never repeats a job that ended",
        )
    if known.handle is not None:
        return known.handle, "known"
    intent = evolve(intent, at=known.intent.at)
    idempotency = road.backend.capabilities.idempotency
    if idempotency is not Idempotency.TOKEN:
        found = look_up(road, intent)
        if found is not None:
            return found, "job.adopted"
        if idempotency is Idempotency.NONE and not known.resolved:
            raise SubmissionUncertain(
                f"{road.name} job {intent.key[:12]} may have been accepted before this run was interrupted",
                hint=f"look at the provider's list of jobs, then: qimg jobs resolve {intent.run} {intent.key[:12]}",
            )
    return _submit(road, intent)


def _submit(road: Road, intent: Intent) -> tuple[JobHandle, str]:
    backend, polling = road.backend, road.polling
    pause, job = polling.first, intent.job
    assert road.plan is not None
    for attempt in range(1, polling.attempts + 1):
        road.breaker.check(backend.name)
        try:
            handle = backend.submit(road.plan, job, intent=intent)
        except SubmissionUncertain as cause:
            road.breaker.failed(backend.name)
            last = attempt == polling.attempts
            if backend.capabilities.idempotency is not Idempotency.TOKEN:
                found = look_up(road, intent)
                if found is not None:
                    return found, "job.adopted"
                if last or not cause.answered or backend.capabilities.idempotency is Idempotency.NONE:
                    raise _uncertain(road, intent, cause) from cause
            elif last:
                if (found := _glance(road, intent)) is not None:
                    return found, "job.adopted"
                raise _uncertain(road, intent, cause) from cause
        except BackendUnavailable as cause:  # certainly not accepted: safe to send again
            if isinstance(cause, BreakerOpen):
                raise
            road.breaker.failed(backend.name)
            if attempt == polling.attempts:
                if backend.capabilities.idempotency is not Idempotency.NONE and (found := _glance(road, intent)):
                    return found, "job.adopted"
                cause.advise(f"wait, then go on with --resume {intent.run}; or name another device with --fallback")
                raise
            if isinstance(cause, RateLimited) and cause.retry_after is not None:
                pause = max(pause, cause.retry_after)
        else:
            road.breaker.succeeded(backend.name)
            return handle, "job.submitted"
        polling.sleep(pause)
        if backend.capabilities.idempotency is Idempotency.TAG and (found := _glance(road, intent)) is not None:
            return found, "job.adopted"
        pause = min(pause * polling.factor, polling.longest)
    raise AssertionError("unreachable")


def _glance(road: Road, intent: Intent) -> JobHandle | None:
    """One look before sending again: some providers say no to a job that they have taken."""
    try:
        return road.backend.find(intent)
    except BackendError:  # it is not reachable, which the next submission will say
        return None


def look_up(road: Road, intent: Intent) -> JobHandle | None:
    """Ask several times: a provider's list may lag behind what it accepted."""
    for look in range(road.polling.looks):
        if look:
            road.polling.sleep(road.polling.settle / max(1, road.polling.looks - 1))
        found = road.read(lambda: road.backend.find(intent))
        if found is not None:
            return found
    return None


def _uncertain(road: Road, intent: Intent, cause: SubmissionUncertain) -> SubmissionUncertain:
    return SubmissionUncertain(
        f"{cause.message}; looked up by its key and not found, so it is not known whether "
        f"{road.name} job {intent.key[:12]} exists",
        hint=f"later: qimg jobs collect {intent.run} (adopts it where it exists), or run again with "
        f"--resume {intent.run}; nothing is sent twice",
        key=intent.key,
    )
