"""Which budget a ledger uses, and under which project and cost centre (imports limits, store, errors).

``QIMG_BUDGET`` names the file. A ledger may say, in an entry ``budget.pinned``, that its runs have to use one budget:
then nothing that costs is sent without it. The entry names the budget by its id; where the file is, is not recorded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_budget.limits import UNSTATED, check_name
from qimg_budget.store import Store
from qimg_core.errors import BudgetExceeded, ConfigurationError

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger

VARIABLE, PROJECT, COST_CENTRE = "QIMG_BUDGET", "QIMG_PROJECT", "QIMG_COST_CENTRE"
KIND, SCHEMA = "budget.pinned", "qimg.budget/1"


@frozen(kw_only=True)
class InForce:
    """The budget of a run. ``store`` is open and belongs to the caller."""

    store: Store
    project: str
    cost_centre: str


def pin(ledger: Ledger, budget: str, *, project: str | None = None, cost_centre: str | None = None) -> None:
    """From now on the runs of a ledger need this budget."""
    facts = {"schema": SCHEMA, "budget": budget, "project": project, "cost_centre": cost_centre}
    ledger.append(KIND, facts=facts)


def pinned(ledger: Ledger) -> dict[str, Any] | None:
    """The last pin of a ledger, if any."""
    pins = [dict(entry.facts) for entry in ledger.entries(kind=KIND)]
    return pins[-1] if pins else None


def in_force(ledger: Ledger) -> InForce | None:
    """The budget that a run of this ledger has to use, opened; None where there is none.

    Raises:
        BudgetExceeded: the ledger is pinned to a budget, and ``QIMG_BUDGET`` names none or another.
        ConfigurationError, StorageError: the file cannot be used.
    """
    named, agreed = os.environ.get(VARIABLE, "").strip(), pinned(ledger)
    if not named and agreed is None:
        return None
    if not named:
        assert agreed is not None
        raise BudgetExceeded(
            f"this ledger spends from the budget {agreed['budget']}, and {VARIABLE} does not say where that is",
            hint=f"export {VARIABLE}=FILE",
        )
    store = Store.open(named)
    try:
        if agreed is not None and agreed["budget"] != store.id:
            raise BudgetExceeded(
                f"this ledger spends from the budget {agreed['budget']}, {VARIABLE} names another ({store.id})",
                hint="name the right file; or change the pin: qimg budget use --ledger FOLDER",
            )
        stated = agreed or {}
        return InForce(
            store=store,
            project=_word(stated.get("project"), PROJECT),
            cost_centre=_word(stated.get("cost_centre"), COST_CENTRE),
        )
    except BaseException:
        store.close()
        raise


def _word(agreed: str | None, variable: str) -> str:
    """What the pin says, else the environment; an environment that says something else than the pin is an error."""
    said = os.environ.get(variable, "").strip()
    if said:
        check_name(said)
    if agreed and said and agreed != said:
        raise ConfigurationError(f"the ledger is pinned to {agreed}, {variable} says {said}", hint=f"unset {variable}")
    return agreed or said or UNSTATED
