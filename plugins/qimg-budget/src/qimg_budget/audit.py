"""Does a budget agree with itself, and with the ledgers (imports store, report)?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_budget.amounts import all_shown
from qimg_budget.reckoning import reckon
from qimg_budget.report import reservations_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_budget.store import Store
    from qimg_core.ledger.base import Ledger


def check(store: Store) -> list[str]:
    """Add everything up again from the jobs; what does not agree, in words. Empty: all does."""
    wrong: list[str] = []
    sums: dict[tuple[str, str, str], list[int]] = {}
    with store.snapshot():
        for row in store.reservations():
            reserved, jobs = store.parts(row.id)
            found, (held, spent) = reckon(reserved, jobs), store.amounts(row.id)
            if any((held.get(d, 0), spent.get(d, 0)) != (found.held[d], found.spent[d]) for d in found.spent):
                wrong.append(f"reservation {row.id} does not agree with its jobs")
            for d in held:
                for scope, name in row.groups.items():
                    pair = sums.setdefault((scope, name, d), [0, 0])
                    pair[0] += held[d]
                    pair[1] += spent[d]
        for scope, name, d, h, s in store.rows("SELECT scope, name, dimension, held, spent FROM tally"):
            if sums.get((scope, name, d), [0, 0]) != [h, s]:
                wrong.append(f"the sums of {scope} {name} in {d} do not agree with the reservations")
    return wrong


def compare(store: Store, ledgers: Iterable[Ledger]) -> list[str]:
    """What ledgers say of this budget's reservations, and the store says otherwise. Empty: they agree.

    A reservation that the store lacks means that its file is an older copy, and has forgotten money.
    """
    wrong = []
    known = {row.id for row in store.reservations()}
    for ledger in ledgers:
        for name, one in reservations_of(ledger, store.id).items():
            if name not in known:
                wrong.append(
                    f"{name}: the ledger has it ({all_shown(one.spent)} spent, {all_shown(one.held)} reserved), the "
                    "budget does not: is the file an older copy?"
                )
                continue
            held, spent = store.amounts(name)
            for what, ours, theirs in (("spent", spent, one.spent), ("reserved", held, one.held)):
                if {d: a for d, a in ours.items() if a} != {d: a for d, a in theirs.items() if a}:
                    wrong.append(f"{name}: {what} {all_shown(ours)} by the budget, {all_shown(theirs)} by the ledger")
    return wrong
