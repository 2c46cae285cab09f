"""Jobs that a run left open: adopt them, fetch them, cancel them, or state what became of them (floor 5).

For runs that nobody goes on with, and for looking. Everything is written to the run's own entries, so a
resumed run finds it. Imports journal, submitting's look-up, collecting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import BackendError, ConfigurationError, JobError, QimgError, ResultError
from qimg_core.jobs.breaker import Breaker
from qimg_core.jobs.collecting import collect, snapshot
from qimg_core.jobs.journal import Journal, Known, handle_facts
from qimg_core.jobs.outbox import Outbox, Road, Written
from qimg_core.jobs.polling import Polling
from qimg_core.jobs.submitting import look_up
from qimg_core.ledger.entry import Draft

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qimg_core.backend import Backend
    from qimg_core.ledger.base import Ledger
    from qimg_core.plugins import Registry


@frozen(kw_only=True)
class Settled:
    """What became of one open job.

    Args:
        known: the job, as it was.
        state: "finished", "failed", "cancelled", "submitted" (still open), "not found", or "error".
        detail: in words.
    """

    known: Known
    state: str
    detail: str = ""


def runs_with_jobs(ledger: Ledger) -> tuple[str, ...]:
    """Runs that sent jobs, oldest first."""
    return tuple(dict.fromkeys(e.run for e in ledger.entries(kind="jobs.intended") if e.run))


def jobs_of(ledger: Ledger, run: str) -> tuple[Known, ...]:
    """Every job that the ledger knows of a run, in the order of sending."""
    return tuple(Journal.of(ledger, run).jobs.values())


def gather_open(ledger: Ledger, registry: Registry, run: str, *, polling: Polling | None = None) -> Iterator[Settled]:
    """Look every open job of a run up, fetch what is done, write it down.

    Args:
        ledger: open for writing.
        registry: gives the drivers.
        run: the run id.
        polling: how often a question is repeated; jobs that still run are left, nothing waits for them.
    """
    for known, road in _open(ledger, registry, run, polling):
        intent = known.intent
        try:
            handle = known.handle or look_up(road, intent)
            if handle is None:
                yield Settled(known=known, state="not found", detail="the provider has no job of this key now")
                continue
            if known.handle is None:
                facts = {"backend": road.name, "key": intent.key, **handle_facts(handle, ledger.put)}
                road.outbox.write([("job.adopted", facts)])
            status = road.read(lambda r=road, h=handle: r.backend.poll(h))  # type: ignore[misc]
            if not status.state.terminal:
                yield Settled(known=known, state="submitted", detail=status.state.value)
                continue
            collect(road, {0: intent}, {0: handle}, {0}, snapshot(road), None)
        except (BackendError, JobError, ResultError) as error:
            state = {"JobFailed": "failed", "JobCancelled": "cancelled"}.get(type(error).__name__, "error")
            yield Settled(known=known, state=state, detail=error.message)
        else:
            yield Settled(known=known, state="finished")


def cancel_open(ledger: Ledger, registry: Registry, run: str, *, polling: Polling | None = None) -> Iterator[Settled]:
    """Ask the providers to stop every open job of a run, and write down what they say."""
    for known, road in _open(ledger, registry, run, polling):
        try:
            handle = known.handle or look_up(road, known.intent)
            if handle is None:
                yield Settled(known=known, state="not found", detail="nothing to cancel")
                continue
            stopped = road.backend.cancel(handle)
        except QimgError as error:
            yield Settled(known=known, state="error", detail=error.message)
            continue
        if not stopped:
            yield Settled(known=known, state="submitted", detail="the provider did not stop it; collect its result")
            continue
        facts = {"backend": road.name, "key": known.intent.key, "state": "cancelled", "reason": "by the user"}
        road.outbox.write([("job.ended", facts)])
        yield Settled(known=known, state="cancelled")


def resolve(ledger: Ledger, run: str, key: str) -> Known:
    """State that the provider never had an uncertain job, after looking there; a resumed run sends it again.

    Args:
        ledger: open for writing.
        run: the run id.
        key: the job's key, or its beginning.

    Raises:
        ConfigurationError: no such job, several, or one that is not uncertain.
    """
    found = [k for k in jobs_of(ledger, run) if k.intent.key.startswith(key)]
    if len(found) != 1:
        raise ConfigurationError(
            f"{len(found)} jobs of run {run} begin with {key!r}", hint=f"qimg jobs list --run {run}"
        )
    (known,) = found
    if known.state != "uncertain":
        raise ConfigurationError(f"job {known.intent.key[:12]} is not uncertain, it is {known.state}")
    facts = {"backend": known.backend, "key": known.intent.key, "stated": "the provider has no such job"}
    ledger.append("job.resolved", run=run, facts=facts)
    return known


def _open(ledger: Ledger, registry: Registry, run: str, polling: Polling | None) -> Iterator[tuple[Known, Road]]:
    journal = Journal.of(ledger, run)
    if not journal.jobs:
        raise ConfigurationError(f"run {run!r} sent no jobs", hint="qimg jobs list")
    drivers: dict[str, Backend] = {}

    def write(entries: Written) -> Sequence[object]:
        return ledger.extend([Draft(kind, run=run, facts=facts) for kind, facts in entries])

    outbox = Outbox(write=write, put=ledger.put, get=ledger.get, journal=journal)
    try:
        for known in journal.jobs.values():
            if known.open:
                driver = drivers.get(known.backend) or registry.open_backend(known.backend)
                drivers[known.backend] = driver
                asked = polling or Polling(looks=1, reads=2)
                yield (
                    known,
                    Road(backend=driver, plan=None, run=run, outbox=outbox, polling=asked, breaker=Breaker(after=1000)),
                )
    finally:
        for driver in drivers.values():
            driver.close()
