"""What was spent, by group, from the store or from ledgers alone, and how fast (imports store, amounts)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from qimg_budget.amounts import added
from qimg_budget.limits import EVERY, UNSTATED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_budget.amounts import Amounts
    from qimg_budget.limits import Limit
    from qimg_budget.store import Store
    from qimg_core.ledger.base import Ledger

BY = ("run", "project", "day", "backend", "cost-centre")
_COLUMN = {"cost-centre": "cost_centre"}
WINDOW = 7
ALARM = 2
"""Times the usual day, from which on a day's spending is called unusual."""


@frozen(kw_only=True)
class Line:
    """One group: what it has spent and what is still reserved for it, by dimension, zeros left out."""

    name: str
    spent: Amounts
    held: Amounts


def from_store(store: Store, by: str, since: str = "") -> list[Line]:
    """By one of `BY`, from a day (UTC, ISO 8601) on."""
    column = _COLUMN.get(by, by)
    assert by in BY
    query = f"""SELECT {column}, dimension, sum(spent), sum(held) FROM reservation
                JOIN amount ON amount.reservation = reservation.id WHERE day >= ? GROUP BY 1, 2"""  # noqa: S608
    return _lines((name, {d: spent}, {d: held}) for name, d, spent, held in store.rows(query, since))


def from_ledgers(ledgers: Iterable[Ledger], by: str, since: str = "", budget: str | None = None) -> list[Line]:
    """The same from the entries ``budget.reserved`` and ``budget.settled`` alone.

    Args:
        ledgers: every log of the runs that spent.
        by: as `from_store`.
        since: as there.
        budget: id of the one to count; all by default.
    """
    found = []
    for ledger in ledgers:
        for one in reservations_of(ledger, budget).values():
            if one.groups.get("day", "") >= since:
                found.append((one.groups.get(by, UNSTATED), one.spent, one.held))
    return _lines(found)


@frozen(kw_only=True)
class Recorded:
    """A reservation as a ledger has it: its group by each of `BY`, what is held and spent."""

    groups: Mapping[str, str]
    held: Amounts
    spent: Amounts


def reservations_of(ledger: Ledger, budget: str | None = None) -> dict[str, Recorded]:
    """Every reservation that a ledger's entries name, by its id; of one budget, or of all.

    The last ``budget.settled`` counts; one that was reserved again since then holds what its new bound leaves.
    """
    found: dict[str, Recorded] = {}
    for entry in ledger.entries():
        facts = entry.facts
        if entry.kind not in ("budget.reserved", "budget.settled") or budget not in (None, facts["budget"]):
            continue
        old = found.get(facts["reservation"]) or Recorded(groups={}, held={}, spent={})
        if entry.kind == "budget.reserved":
            groups = {by: str(entry.run if by == "run" else facts[_COLUMN.get(by, by)]) for by in BY}
            held = {d: max(0, a - old.spent.get(d, 0)) for d, a in facts["reserved"].items()}
            found[facts["reservation"]] = evolve(old, groups=groups, held=held)
        else:
            found[facts["reservation"]] = evolve(old, held=facts["held"], spent=facts["spent"])
    return found


def _lines(parts: Iterable[tuple[str, Amounts, Amounts]]) -> list[Line]:
    groups: dict[str, list[tuple[Amounts, Amounts]]] = {}
    for name, spent, held in parts:
        groups.setdefault(name, []).append((spent, held))
    lines = []
    for name in sorted(groups):
        spent, held = added(s for s, _ in groups[name]), added(h for _, h in groups[name])
        line = Line(name=name, spent=_some(spent), held=_some(held))
        if line.spent or line.held:
            lines.append(line)
    return lines


def _some(amounts: Amounts) -> dict[str, int]:
    return {d: a for d, a in sorted(amounts.items()) if a}


@frozen(kw_only=True)
class Burn:
    """How fast a budget goes.

    Args:
        limit: which.
        name: whose.
        held, spent: until now.
        per_day: mean of the last `WINDOW` days, or of fewer where the spending began later.
        gone: the day on which it is gone at that rate; None: not at this rate, or no hard limit.
        today: spent or held today.
        usual: mean of the `WINDOW` days before.
    """

    limit: Limit
    name: str
    held: int
    spent: int
    per_day: int
    gone: str | None
    today: int
    usual: int

    @property
    def left(self) -> int | None:
        """Under the hard limit; None where there is none."""
        return None if self.limit.hard is None else max(0, self.limit.hard - self.held - self.spent)

    @property
    def unusual(self) -> bool:
        """Today is at least `ALARM` times the usual day."""
        return self.usual > 0 and self.today >= ALARM * self.usual


def burns(store: Store, today: str) -> list[Burn]:
    """Every limit with each of those that it holds for and that have spent something, or are named by it.

    Of days only today; of runs those that hold something, or the one that has spent the most.

    Args:
        store: of the budget.
        today: UTC, ISO 8601.
    """
    found, limits = [], store.limits()
    for limit in limits:
        own = {x.name for x in limits if (x.scope, x.dimension) == (limit.scope, limit.dimension)}
        tally = store.tally(limit.scope)
        names = (
            [n for n in tally if limit.dimension in tally[n] and n not in own] if limit.name == EVERY else [limit.name]
        )
        if limit.scope == "total":
            names = [EVERY]
        if limit.scope == "run" and limit.name == EVERY:
            names.sort(key=lambda n: sum(tally[n][limit.dimension]), reverse=True)
            names = [n for n in names if tally[n][limit.dimension][0]] or names[:1]
        if limit.scope == "day":
            names = [n for n in names if n == today] or ([today] if limit.name == EVERY else [])
        for name in names:
            held, spent = tally.get(name, {}).get(limit.dimension, (0, 0))
            found.append(_burn(store, limit, name, held, spent, today))
    return found


def _burn(store: Store, limit: Limit, name: str, held: int, spent: int, today: str) -> Burn:
    where, values = "", [limit.dimension]
    if limit.scope not in ("total", "day"):
        where, values = f"AND {_COLUMN.get(limit.scope, limit.scope)} = ?", [*values, name]
    query = f"""SELECT day, sum(spent + held) FROM reservation JOIN amount ON amount.reservation = reservation.id
                WHERE dimension = ? {where} GROUP BY day ORDER BY day"""  # noqa: S608
    days = {day: int(amount) for day, amount in store.rows(query, *values)}
    now = dt.date.fromisoformat(today)

    def mean(last: dt.date) -> int:
        """Over the window that ends on a day, or since the first spending in it."""
        dates = [last - dt.timedelta(days=k) for k in range(WINDOW)]
        used = [d for d in dates if d.isoformat() in days]
        return sum(days[d.isoformat()] for d in used) // ((last - min(used)).days + 1) if used else 0

    per_day, gone = mean(now), None
    left = None if limit.hard is None else max(0, limit.hard - held - spent)
    if left is not None and per_day and limit.scope not in ("day", "run") and left // per_day < 36500:
        gone = (now + dt.timedelta(days=left // per_day)).isoformat()
    usual = mean(now - dt.timedelta(days=1))
    return Burn(
        limit=limit,
        name=name,
        held=held,
        spent=spent,
        per_day=per_day,
        gone=gone,
        today=days.get(today, 0),
        usual=usual,
    )
