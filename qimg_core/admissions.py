"""What one run has been allowed and refused so far (floor 5; imports admitting, budget).

The first plan of a form is written down before it runs; after that a free plan in this process is asked about
again only where what the policies rest on has changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.admitting import admit, asked_facts, covers, standing
from qimg_core.errors import AdmissionDenied, BudgetExceeded, UnknownCost

if TYPE_CHECKING:
    from qimg_core.admission import Decision
    from qimg_core.job import JSON
    from qimg_core.routing import Route
    from qimg_core.session import Session


class Admissions:
    """Of one session, which holds its lock around `admit`.

    Args:
        session: asks, pays and records.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._routes: dict[object, tuple[Route, tuple[Decision, ...]]] = {}
        self._facts: dict[object, dict[str, JSON]] = {}
        self._refused: dict[object, AdmissionDenied] = {}
        self._asked: set[object] = set()  # admitted since the standing last changed
        self._standing: tuple[str, ...] = ()
        self._told: set[object] = set()  # refusals by the run's budget that are on record
        self._left: set[object] = set()  # devices that were left for the next one, since the standing last changed

    def route(self, key: object) -> Route | None:
        """The route of an admitted form."""
        known = self._routes.get(key)
        return None if known is None else known[0]

    def admit(self, key: object, found: Route) -> None:
        """Budget and policies.

        Raises:
            AdmissionDenied, BudgetExceeded, UnknownCost: nothing was sent; the refusal is on record.
        """
        session, plan = self._session, found.plan
        known = self._routes.get(key)
        leaves = found.backend.capabilities.remote  # what leaves is asked about each time: its content counts
        same = known is not None and (not known[1] or covers(self._facts[key], session, found))
        again = same and plan.cost.is_free
        if self._asked or self._refused:
            self._renew()
        if again and not leaves and key in self._asked:
            if plan.request.shots is not None:
                session.spending.reserve(plan)
            return
        refusal = (key, plan.request.rows, plan.cost.high, plan.request.digest if leaves else "")
        if refusal in self._refused:  # said and written down once
            raise self._refused[refusal]
        self._check_spending(key, found)
        self._renew()
        facts = asked_facts(session, found)
        try:
            decisions = admit(session, found, facts, again=again)
        except AdmissionDenied as error:
            self._refused[refusal] = error
            raise
        session.spending.reserve(plan)
        self._asked.add(key)
        self._routes[key] = (found, decisions)
        self._facts[key] = facts

    def left(self, refused: str, taken: str, reason: str) -> bool:
        """Was a refused device left for another for the first time? A training would say so at each of its steps."""
        new = (refused, taken, reason) not in self._left
        self._left.add((refused, taken, reason))
        return new

    def _check_spending(self, key: object, found: Route) -> None:
        """The run's own budget; a plan that it refuses is written down, once for a form of plan."""
        try:
            self._session.spending.check(found.plan)
        except (BudgetExceeded, UnknownCost) as error:
            if (said := (key, type(error))) not in self._told:
                self._told.add(said)
                reasons = f"budget of the run: {error.message}"
                refused = {"backend": found.plan.backend, "reasons": reasons, "decisions": []}
                self._session.record("plan.refused", refused)
            raise

    def _renew(self) -> None:
        """Forget what was admitted and refused where that may be so no more: e.g. another process blocked a device."""
        if (now := standing(self._session)) != self._standing:
            self._standing = now
            self._asked.clear()
            self._refused.clear()
            self._left.clear()
