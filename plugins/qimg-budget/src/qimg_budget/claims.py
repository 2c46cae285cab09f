"""What wants to be reserved, and what is: values of the store (imports reckoning)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_budget.amounts import COUNTED, MOST, micro
from qimg_budget.reckoning import most_of
from qimg_core.errors import BudgetExceeded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_budget.amounts import Amounts
    from qimg_budget.reckoning import Job
    from qimg_core.job import Cost


@frozen(kw_only=True)
class Wanted:
    """One plan that wants to spend.

    Args:
        run, ordinal, backend, request: which request of which run, for whom.
        project, cost_centre, day: whose money, and when (UTC, ISO 8601).
        ledger: where the run's record is, for `qimg budget reconcile`.
        jobs: all of the plan.
        priced: upper bounds of all jobs together, by unit.
        unknown: the price is not known.
    """

    run: str
    ordinal: int
    backend: str
    request: str
    project: str
    cost_centre: str
    day: str
    ledger: str
    jobs: Sequence[Job]
    priced: Amounts
    unknown: bool = False


@frozen(kw_only=True)
class Held:
    """A reservation in force.

    Args:
        id: its name.
        reserved: the upper bound.
        jobs: those that it is for.
        warnings: soft limits that it passes.
        again: an earlier process of the run had made it.
    """

    id: str
    reserved: Amounts
    jobs: tuple[Job, ...]
    warnings: tuple[str, ...] = ()
    again: bool = False


@frozen(kw_only=True)
class Row:
    """A reservation as the store has it."""

    id: str
    run: str
    ordinal: int
    backend: str
    request: str
    project: str
    cost_centre: str
    day: str
    at: str
    ledger: str
    open: bool

    @property
    def groups(self) -> dict[str, str]:
        """Its name in each scope."""
        return groups_of(self.run, self.project, self.day, self.cost_centre)


def groups_of(run: str, project: str, day: str, cost_centre: str) -> dict[str, str]:
    """The five groups that a reservation counts in: its name in each scope."""
    return {"total": "*", "run": run, "project": project, "day": day, "cost-centre": cost_centre}


def priced_of(backend: str, cost: Cost) -> dict[str, int]:
    """The upper bound of a cost by unit, in millionths; empty where it is nothing or not known.

    Raises:
        BudgetExceeded: its unit has the name of something that is counted, or it is beyond what can be counted.
    """
    if cost.unit in COUNTED and not cost.is_free:
        raise BudgetExceeded(
            f"{backend} prices in {cost.unit!r}, which a budget counts otherwise",
            hint="qimg backends shows the device; its driver has to name a currency",
        )
    if cost.high is not None and micro(cost.high) > MOST:
        raise BudgetExceeded(
            f"{backend} names an upper bound of {cost.high:.3e} {cost.unit}, more than a budget can count",
            hint="qimg plan shows the price; one like that is an error of the provider or of its driver",
        )
    return {} if not cost.high else {cost.unit: micro(cost.high)}


def bound_of(w: Wanted, jobs: Sequence[Job]) -> dict[str, int]:
    """What some jobs of a plan can cost at most, and how many they and their shots are."""
    counts = {"jobs": len(jobs), "shots": sum(job.shots for job in jobs)}
    return {**{u: most_of(a, w.jobs, len(jobs)) for u, a in w.priced.items() if u not in COUNTED}, **counts}
