"""The jobs of one plan, window by window (imports submitting, collecting, journal)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.capabilities import Idempotency
from qimg_core.errors import QimgError
from qimg_core.jobs.collecting import collect, snapshot
from qimg_core.jobs.journal import handle_facts, result_from
from qimg_core.jobs.outbox import Finished, Road
from qimg_core.jobs.submitting import acquire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.backend import Backend
    from qimg_core.execution import Plan
    from qimg_core.job import JSON, Intent, JobHandle
    from qimg_core.jobs.breaker import Breaker
    from qimg_core.jobs.outbox import Outbox
    from qimg_core.jobs.polling import Polling

WINDOW = 64
"""Jobs that wait at once where a device names no bound; a crash leaves so many to be looked up."""


def run_jobs(
    backend: Backend,
    plan: Plan,
    intents: Sequence[Intent],
    outbox: Outbox,
    polling: Polling,
    breaker: Breaker,
    deadline: float | None = None,
) -> list[Finished]:
    """Submit every job of a plan, wait, fetch, record; what is known already is not sent again.

    Args:
        backend: the driver.
        plan: admitted.
        intents: one per job, in order.
        outbox: the run's ledger.
        polling: how to wait.
        breaker: of the session.
        deadline: seconds after which open jobs are cancelled and the next device of a chain may be asked.

    Returns:
        one `Finished` per job, in order.

    Raises:
        BackendError, JobError, ResultError: as the driver and the provider say. ``facts["accepted"]``
            is the number of jobs that the provider had accepted; their handles are in the ledger.
    """
    done: dict[int, Finished] = {}
    for position, intent in enumerate(intents):
        known = outbox.journal.known(backend.name, intent.key)
        if known is not None and known.finished is not None and known.handle is not None:
            raw = result_from(outbox.get, known.finished)
            done[position] = Finished(intent=intent, handle=known.handle, raw=raw, adopted=True)
    left = [p for p in range(len(intents)) if p not in done]
    new = [p for p in left if outbox.journal.known(backend.name, intents[p].key) is None]
    for part in _runs(new):
        outbox.write([("jobs.intended", _intended(backend, plan, [intents[p] for p in part]))])
    step = backend.capabilities.max_in_flight or WINDOW
    road = Road(backend=backend, plan=plan, run=intents[0].run, outbox=outbox, polling=polling, breaker=breaker)
    for at in range(0, len(left), step):
        window = {p: intents[p] for p in left[at : at + step]}
        try:
            done |= _window(road, window, deadline)
        except QimgError as error:
            error.facts["accepted"] = int(error.facts.get("accepted", 0)) + len(done)  # type: ignore[call-overload]
            raise
    return [done[p] for p in range(len(intents))]


def _runs(positions: list[int]) -> list[list[int]]:
    """In pieces that fit one entry."""
    return [positions[at : at + 4096] for at in range(0, len(positions), 4096)]


def _intended(backend: Backend, plan: Plan, intents: Sequence[Intent]) -> dict[str, JSON]:
    first = intents[0]
    return {
        "backend": backend.name,
        "ordinal": first.ordinal,
        "request": first.request,
        "jobs": [i.job for i in intents],
        "rows": plan.request.rows,
        "shots": plan.request.shots,
        "estimate": plan.cost.to_json(),
    }


def _window(road: Road, intents: dict[int, Intent], deadline: float | None) -> dict[int, Finished]:
    before = snapshot(road)
    handles: dict[int, JobHandle] = {}
    adopted: set[int] = set()
    unwritten: list[tuple[str, dict[str, Any]]] = []
    at_once = road.backend.capabilities.idempotency is Idempotency.NONE
    try:
        for position, intent in intents.items():
            handle, how = acquire(road, intent)
            handles[position] = handle
            if how != "known":
                facts = {"backend": road.name, "key": intent.key, **handle_facts(handle, road.outbox.put)}
                if how != "job.submitted":
                    adopted.add(position)
                unwritten.append(("job.adopted" if how == "job.adopted" else "job.submitted", facts))
                if at_once:  # nobody else could find it again
                    road.outbox.write(unwritten)
                    unwritten.clear()
    except QimgError as error:
        error.facts["accepted"] = len(handles)
        raise
    finally:
        if unwritten:
            road.outbox.write(unwritten)
    return collect(road, intents, handles, adopted, before, deadline)
