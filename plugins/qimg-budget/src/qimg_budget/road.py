"""The hook ``qimg_reserve``: a plan's upper bound is reserved before anything is sent (imports pin, store, outcomes).

====================  ==================================================================
entry                 when, and what
====================  ==================================================================
``budget.refused``    instead of sending: which limit
``budget.reserved``   before the intent: the upper bound, whose, on which day
``budget.settled``    after the end: what was spent, what is still held
====================  ==================================================================

The last ``budget.settled`` of a reservation counts, else its last ``budget.reserved``: so the ledger alone can be added
up. The store is changed after the entry of a settlement and before that of a reservation, so that a crash between the
two leaves money reserved and never frees it.
"""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING

from qimg_budget.claims import Held, Wanted, priced_of
from qimg_budget.holding import Holding
from qimg_budget.outcomes import outcome_of_known, outcome_of_result, settle
from qimg_budget.pin import SCHEMA, InForce, in_force
from qimg_budget.reckoning import RELEASED, Job, Outcome
from qimg_core.budget import Reservation, Spend
from qimg_core.capabilities import Idempotency
from qimg_core.chunks import place
from qimg_core.errors import (
    AdmissionDenied,
    BackendError,
    BudgetExceeded,
    ConfigurationError,
    PolicyError,
    QimgError,
    StorageError,
)
from qimg_core.jobs.journal import Journal
from qimg_core.ledger.memory import MemoryLedger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_budget.store import Store
    from qimg_core.execution import Plan
    from qimg_core.job import JSON
    from qimg_core.jobs.outbox import Finished

log = logging.getLogger("qimg")


def reserve(spend: Spend, today: str | None = None) -> HeldPlan | None:
    """Reserve one plan; None where no budget is in force, or nothing of it is to be paid.

    Args:
        spend: the plan.
        today: UTC, ISO 8601; by default the clock's.

    Raises:
        BudgetExceeded, UnknownCost: refused and recorded; nothing is sent.
        AdmissionDenied: the budget cannot be used, which is recorded; nothing is sent.
        LedgerBusy: another process is at work on this very request.
    """
    try:
        return _held(spend, today or dt.datetime.now(dt.UTC).date().isoformat())
    except (ConfigurationError, StorageError) as error:
        _refused(spend, None, error.message)
        raise AdmissionDenied(
            f"refused before anything was sent: the shared budget cannot be used: {error.message}", hint=error.hint
        ) from error


def _refused(spend: Spend, budget: str | None, reason: str) -> None:
    first = spend.intents[0]
    said: dict[str, JSON] = {"schema": SCHEMA, "budget": budget, "backend": spend.plan.backend, "reason": reason}
    spend.record("budget.refused", {**said, "ordinal": first.ordinal, "request": first.request})


def _held(spend: Spend, today: str) -> HeldPlan | None:
    try:
        found = in_force(spend.ledger)
    except PolicyError as error:
        _refused(spend, None, error.message)
        raise
    if found is None:
        return None
    with ExitStack() as stack:
        stack.callback(found.store.close)
        first = spend.intents[0]
        holding = Holding.take(found.store.path, first.run, first.ordinal, spend.plan.backend)
        stack.callback(holding.release)
        held = _reserve(spend, found, today)
        return None if held is None else HeldPlan(spend, found.store, held, stack.pop_all())


def _reserve(spend: Spend, found: InForce, today: str) -> Held | None:
    try:
        wanted = wanted_of(spend, found, today)
        if isinstance(spend.ledger, MemoryLedger):
            raise BudgetExceeded(
                "a run that spends from a shared budget needs a record on disk: what it leaves reserved is settled "
                "from there",
                hint="Session(FOLDER, ...), or --ledger FOLDER",
            )
        held = found.store.reserve(wanted)
    except PolicyError as error:
        _refused(spend, found.store.id, error.message)
        raise
    if held is None:
        return None
    for warning in held.warnings:
        log.warning("budget: %s", warning)
    facts: dict[str, JSON] = {
        "schema": SCHEMA,
        "budget": found.store.id,
        "reservation": held.id,
        "backend": wanted.backend,
        "ordinal": wanted.ordinal,
        "request": wanted.request,
        "project": wanted.project,
        "cost_centre": wanted.cost_centre,
        "day": found.store.row(held.id).day,
    }
    counted: dict[str, JSON] = {"jobs": len(held.jobs), "unknown_cost": wanted.unknown, "warnings": list(held.warnings)}
    try:
        spend.record("budget.reserved", {**facts, **counted, "reserved": dict(held.reserved)})
    except BaseException:
        if not held.again:  # nothing of it was sent, and nothing will be
            found.store.settle(held.id, {job.key: Outcome(RELEASED) for job in held.jobs})
        raise
    return held


def wanted_of(spend: Spend, found: InForce, today: str) -> Wanted:
    """A plan as the store takes it.

    Raises:
        BudgetExceeded: its unit has the name of something that is counted, or it is beyond what can be counted.
    """
    plan, first = spend.plan, spend.intents[0]
    cost = plan.cost
    return Wanted(
        run=first.run,
        ordinal=first.ordinal,
        backend=plan.backend,
        request=first.request,
        project=found.project,
        cost_centre=found.cost_centre,
        day=today,
        ledger=str(getattr(spend.ledger, "folder", "") and spend.ledger.folder.resolve()),  # type: ignore[attr-defined]
        jobs=jobs_of(plan, [intent.key for intent in spend.intents]),
        priced=priced_of(plan.backend, cost),
        unknown=cost.high is None,
    )


def jobs_of(plan: Plan, keys: Sequence[str]) -> list[Job]:
    """The jobs of a plan with their sizes."""
    found = []
    for job, key in enumerate(keys):
        start, stop, shots = place(plan, job)
        found.append(Job(key, (stop - start) * (shots or 1), (stop - start) * (shots or 0)))
    return found


class HeldPlan(Reservation):
    """What the store holds for one plan."""

    def __init__(self, spend: Spend, store: Store, held: Held, resources: ExitStack) -> None:
        self._spend, self._store, self._held, self._resources = spend, store, held, resources

    def finished(self, finished: Sequence[Finished]) -> None:
        unit = self._spend.plan.cost.unit
        ends = {f.intent.key: outcome_of_result(f.raw.cost, f.raw.qpu_seconds, unit) for f in finished}
        with self._resources:
            settle(self._store, self._held.id, ends, self._spend.record)

    def interrupted(self, error: BaseException) -> None:
        with self._resources:
            settle(self._store, self._held.id, self._ends(error), self._spend.record)

    def _ends(self, error: BaseException) -> dict[str, Outcome]:
        cost, run = self._spend.plan.cost, self._spend.intents[0].run
        journal = Journal.of(self._spend.ledger, run)
        known = {job.key: journal.known(self._spend.plan.backend, job.key) for job in self._held.jobs}
        found = {key: outcome_of_known(k, cost.unit) for key, k in known.items() if k is not None}
        ends = {key: end for key, end in found.items() if end is not None}
        ends |= {key: Outcome(RELEASED) for key, k in known.items() if k is None}  # no intent: it was not even tried
        if not (self._held.again or self._spend.resumed):
            unsent = [key for key, k in known.items() if key not in ends and k is not None and k.handle is None]
            ends |= {key: Outcome(RELEASED) for key in (unsent if self._certain(error) else unsent[1:])}
        return ends

    def _certain(self, error: BaseException) -> bool:
        """Does the error say that the job it struck does not exist? Jobs are sent in order; later ones were not tried.

        With TOKEN an earlier, dropped attempt may stand behind a refused connection, so there it does not.
        """
        refused = isinstance(error, BackendError) and error.billed == "no"
        refused = refused or (isinstance(error, QimgError) and error.sent == "no")
        return refused and self._spend.capabilities.idempotency is not Idempotency.TOKEN
