"""The hook ``qimg_foresee``: what a budget says of work that is only planned; nothing is reserved (imports pin).

The road reserves request by request; here all requests of the plan are looked at together. So a plan that is admitted
here runs to its end, unless others spend meanwhile or the provider bills above its bound.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from qimg_budget.amounts import number
from qimg_budget.claims import groups_of, priced_of
from qimg_budget.limits import EVERY, applying, check_amounts, check_units
from qimg_budget.pin import in_force
from qimg_core.budget import Forecast, Outlook
from qimg_core.errors import PolicyError
from qimg_core.ledger.memory import MemoryLedger

if TYPE_CHECKING:
    from qimg_budget.limits import Limit
    from qimg_budget.pin import InForce

NEW = "a new run"


def foresee(forecast: Forecast, today: str | None = None) -> Outlook | None:
    """What is left, and whether the plan fits; None where no budget is in force.

    Args:
        forecast: the plan.
        today: UTC, ISO 8601; by default the clock's.

    Raises:
        BudgetExceeded: the ledger is pinned to a budget that ``QIMG_BUDGET`` does not name.
        ConfigurationError, StorageError: the budget cannot be used.
    """
    found = in_force(MemoryLedger() if forecast.ledger is None else forecast.ledger)
    if found is None:
        return None
    with found.store as store, store.snapshot():
        return _outlook(forecast, found, today or dt.datetime.now(dt.UTC).date().isoformat())


def needed_of(forecast: Forecast) -> dict[str, int]:
    """All that the plan can take, by dimension.

    Raises:
        BudgetExceeded: as `qimg_budget.claims.priced_of`.
    """
    shots, priced = forecast.plan.request.shots or 0, priced_of(forecast.plan.backend, forecast.cost)
    return {**priced, "jobs": forecast.jobs, "shots": forecast.rows * shots}


def _outlook(forecast: Forecast, found: InForce, today: str) -> Outlook:
    store, cost = found.store, forecast.cost
    groups = groups_of(NEW, found.project, today, found.cost_centre)
    limits = applying(store.limits(), groups)
    taken = {(limit.scope, limit.dimension): _taken(found, limit, groups) for limit in limits}
    warnings: tuple[str, ...] = ()
    refused: PolicyError | None = None
    needed: dict[str, int] = {}
    try:
        needed = needed_of(forecast)
        check_units(limits, needed, unknown=cost.high is None, allow_unknown=store.allow_unknown)
        warnings = check_amounts(limits, needed, lambda scope, dimension: taken[scope, dimension], groups)
    except PolicyError as error:
        refused = error
    rows = [_row(limit, groups, taken[limit.scope, limit.dimension], needed) for limit in limits]
    lines = [(f"{r['dimension']} {r['where']}", _words(r)) for r in rows] or [("limits", "none")]
    facts = {
        "budget": store.id,
        "project": found.project,
        "cost_centre": found.cost_centre,
        "needed": {d: number(d, a) for d, a in needed.items()},
        "limits": rows,
    }
    return Outlook(name="shared budget", refused=refused, warnings=warnings, lines=tuple(lines), facts=facts)


def _taken(found: InForce, limit: Limit, groups: dict[str, str]) -> tuple[int, int]:
    query = "SELECT held, spent FROM tally WHERE scope=? AND name=? AND dimension=?"
    rows = found.store.rows(query, limit.scope, groups[limit.scope], limit.dimension)
    return rows[0] if rows else (0, 0)


def _row(limit: Limit, groups: dict[str, str], taken: tuple[int, int], needed: dict[str, int]) -> dict[str, Any]:
    d, (held, spent) = limit.dimension, taken
    where = str(limit) if limit.scope == "total" or limit.name != EVERY else f"{limit} ({groups[limit.scope]})"
    left = None if limit.hard is None else max(0, limit.hard - held - spent)
    return {
        "scope": limit.scope,
        "name": groups[limit.scope],
        "where": where,
        "dimension": d,
        "hard": None if limit.hard is None else number(d, limit.hard),
        "soft": None if limit.soft is None else number(d, limit.soft),
        "spent": number(d, spent),
        "held": number(d, held),
        "left": None if left is None else number(d, left),
        "needed": number(d, needed.get(d, 0)),
    }


def _words(row: dict[str, Any]) -> str:
    if row["left"] is None:
        return f"{row['spent']} spent, {row['held']} reserved, warning from {row['soft']} on"
    return f"{row['left']} of {row['hard']} left, this takes up to {row['needed']}"
