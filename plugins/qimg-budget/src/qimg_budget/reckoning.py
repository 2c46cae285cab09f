"""What a reservation has spent and still holds, from the ends of its jobs: pure arithmetic (imports amounts).

A plan's upper bound is one number for all its jobs together. So a reservation holds what the bound leaves after the
jobs that have ended, until the last one has. A job ends in one of these ways:

=========  ======================================================================================================
billed     the provider's own amount is known
assumed    it ran, or may have, and no bill is known: counted with the most that one job can cost
released   it was certainly never accepted: counted with nothing
=========  ======================================================================================================

With k jobs of the largest size and a bound B of all, no job can cost more than B / k, as a smaller job does not cost
more than a larger one; together the assumed ones never cost more than B less what was billed.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from qimg_budget.amounts import COUNTED, micro

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_budget.amounts import Amounts

OPEN, BILLED, ASSUMED, RELEASED = "open", "billed", "assumed", "released"
STATES = (OPEN, BILLED, ASSUMED, RELEASED)


@frozen
class Outcome:
    """How a job ended: one of `STATES` but ``open``. ``billed``: exact amounts by unit, where any are known."""

    state: str
    billed: Mapping[str, Decimal] = field(factory=dict)


@frozen
class Job:
    """One job of a reservation. ``weight``: its size in rows times shots; ``shots``: that it takes."""

    key: str
    weight: int
    shots: int
    state: str = OPEN
    billed: Mapping[str, Decimal] = field(factory=dict)


@frozen
class Reckoned:
    """What is held and spent, by dimension; ``over``: dimensions in which more was billed than the bound."""

    held: Amounts
    spent: Amounts
    over: tuple[str, ...]
    open: bool


def reckon(reserved: Amounts, jobs: Sequence[Job]) -> Reckoned:
    """Held and spent of one reservation.

    Args:
        reserved: the upper bound.
        jobs: all of them.
    """
    left_open = any(job.state == OPEN for job in jobs)
    ran = [job for job in jobs if job.state in (BILLED, ASSUMED)]
    largest = max((job.weight for job in jobs), default=0)
    k = sum(job.weight == largest for job in jobs) or 1
    held, spent, over = {}, {}, []
    for dimension in sorted({*reserved, *(unit for job in ran for unit in job.billed)}):
        bound = reserved.get(dimension, 0)
        if dimension in COUNTED:
            total = len(ran) if dimension == "jobs" else sum(job.shots for job in ran)
        else:
            billed = micro(sum((job.billed.get(dimension, Decimal(0)) for job in ran), Decimal(0)))
            unknown = sum(job.state == ASSUMED and dimension not in job.billed for job in ran)
            total = billed + min(max(0, bound - billed), unknown * -(-bound // k))
        if dimension in reserved and total > bound:
            over.append(dimension)
        spent[dimension] = total
        held[dimension] = max(0, bound - total) if left_open else 0
    return Reckoned(held, spent, tuple(over), left_open)


def most_of(bound: int, jobs: Sequence[Job], left: int) -> int:
    """The most that ``left`` of a plan's jobs can cost, where all together cost at most ``bound``."""
    largest = max((job.weight for job in jobs), default=0)
    k = sum(job.weight == largest for job in jobs) or 1
    return min(bound, left * -(-bound // k))


def ended(jobs: Sequence[Job], outcomes: Mapping[str, Outcome], *, correct: bool = False) -> list[Job]:
    """The jobs after some of them ended; what had ended before stays, but where it is to be corrected."""
    return [
        evolve(job, state=outcomes[job.key].state, billed=dict(outcomes[job.key].billed))
        if job.key in outcomes and (correct or job.state == OPEN)
        else job
        for job in jobs
    ]
