"""Waiting for jobs, fetching them, and writing down what came back (imports errors, journal, outbox)."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.errors import (
    BackendError,
    DeadlinePassed,
    JobCancelled,
    JobError,
    JobFailed,
    JobTimeout,
    QimgError,
    ResultError,
)
from qimg_core.job import JobState
from qimg_core.jobs.journal import result_facts
from qimg_core.jobs.outbox import Finished

if TYPE_CHECKING:
    from qimg_core.job import JSON, Intent, JobHandle, RawResult, Snapshot
    from qimg_core.jobs.outbox import Road

log = logging.getLogger("qimg")

Ends = list[tuple[str, dict[str, Any]]]


def snapshot(road: Road) -> Snapshot | None:
    """The device's calibration now, where it has one."""
    if not road.backend.capabilities.calibrated:
        return None
    try:
        return road.read(road.backend.snapshot)
    except BackendError as cause:  # a job is not lost for want of a calibration; the record has the gap
        log.warning("%s: no calibration snapshot: %s", road.name, cause.message)
        return None


def collect(
    road: Road,
    intents: dict[int, Intent],
    handles: dict[int, JobHandle],
    adopted: set[int],
    before: Snapshot | None,
    deadline: float | None,
) -> dict[int, Finished]:
    """Wait for accepted jobs, fetch them, write what came back.

    Args:
        road: plan and driver.
        intents: by position in the plan.
        handles: of the accepted ones, likewise.
        adopted: positions of jobs that were found again.
        before: the calibration before they were sent.
        deadline: seconds after which open jobs are cancelled.

    Raises:
        BackendError, JobError, ResultError: the first that went wrong; the other jobs' results are kept.
    """
    results: dict[int, RawResult] = {}
    errors: list[QimgError] = []
    ends: Ends = []
    waiting = dict(handles)
    started, slept, pause = road.polling.clock(), 0.0, road.polling.first
    try:
        while waiting:
            for position in list(waiting):
                handle = waiting[position]
                try:
                    raw = _ask(road, handle)
                except (BackendError, JobError, ResultError) as error:
                    del waiting[position]
                    errors.append(error)
                    if isinstance(error, (JobFailed, JobCancelled)):
                        ends.append(("job.ended", _end(handle, error)))
                    continue
                if raw is not None:
                    del waiting[position]
                    results[position] = raw
            if not waiting:
                break
            waited = max(slept, road.polling.clock() - started)
            if deadline is not None and waited >= deadline:
                errors.append(_give_up(road, list(waiting.values()), deadline, ends))
                break
            if road.polling.timeout is not None and waited >= road.polling.timeout:
                errors.append(_timed_out(road, list(waiting.values()), waited))
                break
            road.polling.sleep(pause)
            slept += pause
            pause = min(pause * road.polling.factor, road.polling.longest)
    finally:  # also on Ctrl-C: what has been paid and fetched is kept
        finished = _keep(road, intents, handles, adopted, results, before, ends)
    if errors:
        first = errors[0]
        first.facts["accepted"] = len(handles)
        first.facts["finished"] = len(results)
        if isinstance(first, (BackendError, ResultError)):
            first.advise(
                f"the job stays at the provider: qimg jobs collect {road.run}, or go on with --resume {road.run}; "
                "nothing is sent twice"
            )
        for other in errors[1:]:
            first.add_note(f"and {type(other).__name__}: {other.message}")
        raise first
    return finished


def _ask(road: Road, handle: JobHandle) -> RawResult | None:
    status = road.read(lambda: road.backend.poll(handle))
    if not status.state.terminal:
        return None
    if status.state is JobState.FAILED:
        raise JobFailed(f"{handle.backend}: {status.detail or 'the job failed, the provider gives no reason'}")
    if status.state is JobState.CANCELLED:
        raise JobCancelled(f"{handle.backend}: the job was cancelled{': ' + status.detail if status.detail else ''}")
    raw = road.read(lambda: road.backend.fetch(handle))
    if raw.cost is not None:
        return raw
    try:
        return evolve(raw, cost=road.backend.billed(handle))
    except (BackendError, JobError, ResultError):  # a bill that cannot be had must not lose the result
        return raw


def _keep(
    road: Road,
    intents: dict[int, Intent],
    handles: dict[int, JobHandle],
    adopted: set[int],
    results: dict[int, RawResult],
    before: Snapshot | None,
    ends: Ends,
) -> dict[int, Finished]:
    """Write what came back, in one commit."""
    after = snapshot(road) if results else None
    drift: tuple[str, ...] = ()
    shared: dict[str, JSON] = {}
    if road.backend.capabilities.calibrated and (before is None or after is None):
        shared = {"drift": None}  # not known
    if before is not None and after is not None:
        drift = _drift(before, after)
        shared = {
            "snapshot_before": before.digest,
            "snapshot_after": after.digest,
            "drift": list(drift),
        }
    entries, out = list(ends), {}
    for position, raw in results.items():
        intent, handle = intents[position], handles[position]
        facts = {"backend": road.name, "key": intent.key, **shared, **result_facts(raw, road.outbox.put)}
        stored: Any = facts["artefacts"]
        if before is not None and after is not None:
            facts["artefacts"] = {**stored, **_calibrations(road, before, after)}
        entries.append(("job.finished", facts))
        kept = evolve(raw, raw=None)
        out[position] = Finished(intent=intent, handle=handle, raw=kept, drift=drift, adopted=position in adopted)
    if entries:
        road.outbox.write(entries)
    return out


def _calibrations(road: Road, before: Snapshot, after: Snapshot) -> dict[str, str]:
    def stored(snapshot: Snapshot) -> str:
        document = {"device": snapshot.device, "data": snapshot.data}
        return road.outbox.put(json.dumps(document, separators=(",", ":"), sort_keys=True).encode())

    return {"snapshot_before": stored(before), "snapshot_after": stored(after)}


def _end(handle: JobHandle, error: QimgError) -> dict[str, JSON]:
    state = "cancelled" if isinstance(error, JobCancelled) else "failed"
    return {"backend": handle.backend, "key": handle.key, "state": state, "reason": error.message}


def _give_up(road: Road, handles: list[JobHandle], deadline: float, ends: Ends) -> DeadlinePassed:
    stopped = 0
    for handle in handles:
        try:
            cancelled = road.backend.cancel(handle)
        except (BackendError, JobError) as cause:
            cancelled, reason = False, cause.message
        else:
            reason = "the deadline passed"
        stopped += cancelled
        state = "cancelled" if cancelled else "left"
        ends.append(("job.ended", {"backend": handle.backend, "key": handle.key, "state": state, "reason": reason}))
    return DeadlinePassed(
        f"{road.name} was not done after {deadline:g} s: {stopped} jobs cancelled, "
        f"{len(handles) - stopped} left running"
    )


def _timed_out(road: Road, handles: list[JobHandle], waited: float) -> JobTimeout:
    keys = ", ".join(h.key[:12] for h in handles[:3])
    return JobTimeout(
        f"{road.name}: {len(handles)} jobs ({keys}) are not done after {waited:.0f} s; they are alive",
        hint=f"qimg jobs collect {road.run}, or go on with --resume {road.run}",
    )


def _drift(before: Snapshot, after: Snapshot) -> tuple[str, ...]:
    """In words, through `qimg_core.calibration` where the data have its form."""
    if before.digest == after.digest:
        return ()
    from qimg_core.calibration import drift

    return drift(before, after) or before.changed(after)
