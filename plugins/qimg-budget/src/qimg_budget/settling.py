"""`reconcile`: reservations that a process left behind, settled from its ledger's jobs (imports outcomes, store).

Time never frees money. A reservation ends by evidence, job by job: a result or an end in the ledger, no intent in it
(nothing was sent, as intents are written before), or somebody's statement that the provider does not have the job
(``job.resolved``). What a process still works on is left alone: it holds its reservations (`qimg_budget.holding`), and
most ledgers have one writer.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_budget.holding import Holding
from qimg_budget.outcomes import outcome_of_known, settle
from qimg_budget.reckoning import ASSUMED, OPEN, RELEASED, Outcome
from qimg_core.errors import ConfigurationError, LedgerBusy, QimgError
from qimg_core.jobs.journal import Journal
from qimg_core.jobs.settling import gather_open, resolve

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qimg_budget.claims import Row
    from qimg_budget.store import Store
    from qimg_core.job import JSON
    from qimg_core.jobs.polling import Polling
    from qimg_core.ledger.base import Ledger
    from qimg_core.plugins import Registry


@frozen(kw_only=True)
class Reconciled:
    """What became of one open reservation.

    Args:
        row: as it was.
        state: "settled", "open" (some job has no known end), "running" (its process writes still), "no ledger".
        detail: in words, with the command that helps.
        jobs: (key, state) of the jobs without an end.
    """

    row: Row
    state: str
    detail: str = ""
    jobs: tuple[tuple[str, str], ...] = ()


def reconcile(
    store: Store,
    open_ledger: Callable[[str], Ledger],
    *,
    registry: Registry | None,
    ledgers: Sequence[str] = (),
    missing: bool = False,
    polling: Polling | None = None,
) -> Iterator[Reconciled]:
    """Settle every open reservation that can be.

    Args:
        store: of the budget.
        open_ledger: opens a folder or URI for writing, never making one.
        registry: gives the drivers that are asked for open jobs (nothing is sent); None asks nobody.
        ledgers: where to look; by default where the reservations say that their records are.
        missing: state, for jobs that a provider says it does not have, that they do not exist.
        polling: how often a question is repeated.
    """
    left = store.reservations(only_open=True)
    for place in ledgers or sorted({row.ledger for row in left if row.ledger}):
        here = [row for row in left if not row.ledger or _same(row.ledger, place) or ledgers]
        try:
            opened = open_ledger(place)
        except LedgerBusy:
            rows = [row for row in here if _same(row.ledger, place)]
            left = [row for row in left if row not in rows]
            yield from (Reconciled(row=row, state="running", detail=f"a process writes {place}") for row in rows)
            continue
        except ConfigurationError as error:
            if ledgers:
                raise
            rows = [row for row in here if row.ledger == place]
            left = [row for row in left if row not in rows]
            hint = f"{error.message}; qimg budget state RESERVATION says what is true of it"
            yield from (Reconciled(row=row, state="no ledger", detail=hint) for row in rows)
            continue
        with opened as ledger:
            runs = {entry.run for entry in ledger.entries(kind="run.started")}
            rows = [row for row in here if row.run in runs]
            left = [row for row in left if row not in rows]
            for run in dict.fromkeys(row.run for row in rows):
                yield from _run(store, ledger, [row for row in rows if row.run == run], registry, missing, polling)
    yield from (Reconciled(row=row, state="no ledger", detail="name its ledger with --ledger") for row in left)


def _run(
    store: Store,
    ledger: Ledger,
    rows: Sequence[Row],
    registry: Registry | None,
    missing: bool,
    polling: Polling | None,
) -> Iterator[Reconciled]:
    """One run's reservations, while no process works on any of them; else none."""
    with ExitStack() as stack:
        try:
            for row in rows:
                stack.callback(Holding.take(store.path, row.run, row.ordinal, row.backend).release)
        except LedgerBusy as error:
            yield from (Reconciled(row=row, state="running", detail=error.message) for row in rows)
            return
        said = {} if registry is None else _ask(ledger, registry, rows[0].run, missing, polling)
        yield from [_one(store, ledger, row, said) for row in rows]


def _same(a: str, b: str) -> bool:
    return a == b or ("://" not in b and bool(a) and Path(a) == Path(b).resolve())


def _ask(ledger: Ledger, registry: Registry, run: str, missing: bool, polling: Polling | None) -> dict[str, str]:
    """Fetch what can be had of a run's open jobs; returns what the providers said, by key."""
    said: dict[str, str] = {}
    if not any(known.open for known in Journal.of(ledger, run).jobs.values()):
        return said
    try:
        for settled in gather_open(ledger, registry, run, polling=polling):
            key = settled.known.intent.key
            said[key] = f"{settled.state}{': ' + settled.detail if settled.detail else ''}"
            if missing and settled.state == "not found" and settled.known.state == "uncertain":
                resolve(ledger, run, key)
    except QimgError as error:  # a driver that cannot be opened: what the ledger has is enough to say so
        said[""] = error.message
    return said


def _one(store: Store, ledger: Ledger, row: Row, said: Mapping[str, str]) -> Reconciled:
    journal, ends = Journal.of(ledger, row.run), {}
    _, jobs = store.parts(row.id)
    unit = store.unit(row.id)
    left = []
    for job in jobs:
        known = journal.known(row.backend, job.key)
        end = Outcome(RELEASED) if known is None else outcome_of_known(known, unit)
        if job.state != OPEN:
            continue
        if end is not None:
            ends[job.key] = end
        elif known is not None:
            left.append((job.key, said.get(job.key, known.state)))

    def record(kind: str, facts: Mapping[str, JSON]) -> object:
        return ledger.append(kind, run=row.run, facts=facts)

    if ends:
        settle(store, row.id, ends, record)
    if not left:
        return Reconciled(row=row, state="settled")
    why = f"; {said['']}" if "" in said else ""
    detail = (
        f"{len(left)} jobs have no known end{why}: qimg jobs collect {row.run}; go on with --resume {row.run}; "
        f"or, after looking at the provider's list: qimg budget reconcile --missing-is-unsent"
    )
    return Reconciled(row=row, state="open", detail=detail, jobs=tuple(left))


def state(store: Store, name: str, *, sent: bool, because: str) -> None:
    """Somebody states what became of a reservation's open jobs; for records that are lost.

    Args:
        store: of the budget.
        name: of the reservation.
        sent: they ran, and cost what was reserved; else they were never sent.
        because: kept with the statement.

    Raises:
        ConfigurationError: no such open reservation.
    """
    if name not in {row.id for row in store.reservations(only_open=True)}:
        raise ConfigurationError(f"no open reservation {name!r}", hint="qimg budget show")
    _, jobs = store.parts(name)
    end = Outcome(ASSUMED if sent else RELEASED)
    store.note(f"{name}: stated that its open jobs were {'spent' if sent else 'never sent'}: {because}")
    store.settle(name, {job.key: end for job in jobs if job.state == OPEN})
