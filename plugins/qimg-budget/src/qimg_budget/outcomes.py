"""From what a ledger knows of a job to what it cost, and settling a reservation with it (imports reckoning, store)."""

from __future__ import annotations

import logging
from collections import Counter
from typing import TYPE_CHECKING

from qimg_budget.amounts import QPU, exact
from qimg_budget.pin import SCHEMA
from qimg_budget.reckoning import ASSUMED, BILLED, OPEN, RELEASED, Outcome
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qimg_budget.reckoning import Reckoned
    from qimg_budget.store import Store
    from qimg_core.job import JSON, Cost
    from qimg_core.jobs.journal import Known

log = logging.getLogger("qimg")


def outcome_of_result(cost: Cost | None, qpu_seconds: str | None, unit: str) -> Outcome:
    """A finished job: billed where its amount is known in the unit that was reserved, else assumed.

    Args:
        cost: what the provider billed.
        qpu_seconds: as it says.
        unit: of the plan's cost.
    """
    return _outcome(None if cost is None or cost.high is None else (cost.unit, str(cost.high)), qpu_seconds, unit)


def outcome_of_known(known: Known, unit: str | None) -> Outcome | None:
    """The end of a job by the ledger; None where it has none.

    A job that failed or was cancelled may have been billed, so the most it can have cost is counted. One that was
    never accepted has no end here, unless somebody stated that the provider does not have it.
    """
    if known.finished is not None:
        bill = known.finished["billed"]
        amount = None if bill is None or bill["high"] is None else (str(bill["unit"]), str(bill["high"]))
        return _outcome(amount, known.finished["qpu_seconds"], unit)
    if known.ended is not None:
        return Outcome(ASSUMED)
    return Outcome(RELEASED) if known.resolved and known.handle is None else None


def _outcome(amount: tuple[str, str] | None, qpu_seconds: str | None, unit: str | None) -> Outcome:
    billed = {}
    if qpu_seconds is not None:
        try:
            billed[QPU] = exact(qpu_seconds)
        except ConfigurationError:  # a provider's word for "not known"
            log.warning("budget: QPU seconds %r are no number", qpu_seconds)
    if amount is not None:
        billed[amount[0]] = exact(amount[1])
    agreed = amount is not None and unit in (None, amount[0])
    return Outcome(BILLED if agreed else ASSUMED, billed)


def settle(
    store: Store,
    name: str,
    ends: Mapping[str, Outcome],
    record: Callable[[str, Mapping[str, JSON]], object],
    *,
    correct: bool = False,
) -> Reckoned:
    """Record what a reservation has spent and still holds, then change the store.

    Args:
        store: of the budget.
        name: of the reservation.
        ends: how jobs ended, by key; the others stay open.
        record: appends an entry of its run.
        correct: see `Store.settle`.
    """
    found, states = store.preview(name, ends, correct=correct)
    facts: dict[str, JSON] = {
        "schema": SCHEMA,
        "budget": store.id,
        "reservation": name,
        "spent": dict(found.spent),
        "held": dict(found.held),
        "jobs": dict(Counter(states)),
        "over": list(found.over),
    }
    record("budget.settled", facts)
    for dimension in found.over:
        log.warning("budget: more %s was billed for %s than its upper bound", dimension, name)
    if OPEN in states:
        log.warning("budget: jobs of %s have no known end; their money stays reserved: qimg budget reconcile", name)
    return store.settle(name, ends, correct=correct)
