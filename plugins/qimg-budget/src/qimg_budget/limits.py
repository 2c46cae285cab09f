"""Limits: what may be spent within one run, project, day, cost centre, or at all (imports amounts, errors)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_budget.amounts import COUNTED, QPU, check_dimension, parse_amount, shown
from qimg_core.errors import BudgetExceeded, ConfigurationError, UnknownCost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from qimg_budget.amounts import Amounts

SCOPES = ("total", "run", "project", "day", "cost-centre")
EVERY = "*"
UNSTATED = "unstated"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


@frozen
class Limit:
    """Per ``scope`` and name (``*``: each of them) and dimension.

    Args:
        scope: one of `SCOPES`.
        name: of the project, day (``2026-11-21``, UTC), run or cost centre; ``*``: each that has none of its own.
        dimension: see `qimg_budget.amounts`.
        hard: nothing that could pass it is sent; None: no such limit.
        soft: passing it is said loudly; None: no such limit.
    """

    scope: str
    name: str
    dimension: str
    hard: int | None
    soft: int | None

    def __str__(self) -> str:
        where = "in total" if self.scope == "total" else f"per {self.scope}"
        return where if self.name == EVERY else f"of {self.scope} {self.name}"


def check_name(text: str) -> str:
    """A project's or cost centre's name: a code, not a person.

    Raises:
        ConfigurationError: other characters than letters, digits and ``._:-``.
    """
    if not _NAME.fullmatch(text):
        raise ConfigurationError(f"wanted a code of letters, digits and ._:- (up to 64), got {text!r}")
    return text


def parse_limit(scope: str, name: str, text: str) -> Limit:
    """Read ``USD=100``, ``USD=100:80`` (hard:soft), ``USD=:80`` (soft only) or ``USD=none``.

    Raises:
        ConfigurationError: another form, or a soft limit above the hard one.
    """
    dimension, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"wanted DIMENSION=HARD[:SOFT] such as USD=100:80 or jobs=1000, got {text!r}")
    check_dimension(dimension)
    if name != EVERY:
        check_name(name)
    if value == "none":
        return Limit(scope, name, dimension, None, None)
    most, _, warn = value.partition(":")
    hard = parse_amount(dimension, most) if most else None
    soft = parse_amount(dimension, warn) if warn else None
    if hard is None and soft is None:
        raise ConfigurationError(f"{text!r} names no limit", hint=f"{dimension}=none takes one away")
    if hard is not None and soft is not None and soft > hard:
        raise ConfigurationError(f"{text!r}: the soft limit is above the hard one")
    return Limit(scope, name, dimension, hard, soft)


def applying(limits: Sequence[Limit], groups: Mapping[str, str]) -> list[Limit]:
    """The limits that hold for a spender: its own where there are such, else those of ``*``, dimension by dimension."""
    found: dict[tuple[str, str], Limit] = {}
    for limit in limits:
        named = limit.name == groups[limit.scope]
        if named or (limit.name == EVERY and (limit.scope, limit.dimension) not in found):
            found[limit.scope, limit.dimension] = limit
    return list(found.values())


def check_units(limits: Sequence[Limit], needed: Amounts, *, unknown: bool, allow_unknown: bool) -> None:
    """Is the price known, and in a unit that the budget bounds?

    Raises:
        UnknownCost, BudgetExceeded
    """
    if unknown and not allow_unknown:
        raise UnknownCost(
            "the price is not known, and this budget does not allow that", hint="qimg budget set --allow-unknown-cost"
        )
    bounded = {limit.dimension for limit in limits if limit.hard is not None} - set(COUNTED)
    for unit in sorted(set(needed) - set(COUNTED)):
        if needed[unit] and bounded and unit not in bounded:
            raise BudgetExceeded(
                f"up to {shown(unit, needed[unit])} would be spent; the budget bounds "
                f"{', '.join(sorted(bounded))}, and unlike units are not added",
                hint=f"qimg budget set --per total {unit}=AMOUNT",
            )


def check_amounts(
    limits: Sequence[Limit], needed: Amounts, taken: Callable[[str, str], tuple[int, int]], groups: Mapping[str, str]
) -> tuple[str, ...]:
    """Does it fit under each limit? Returns the soft limits that it passes, in words.

    Args:
        limits: of `applying`.
        needed: what is to be reserved.
        taken: (scope, dimension) -> (held, spent) until now.
        groups: the spender's name in each scope.

    Raises:
        BudgetExceeded: names the limit, what is left, and what helps.
    """
    warnings = []
    for limit in limits:
        more, dimension = needed.get(limit.dimension, 0), limit.dimension
        if not more and dimension != QPU:
            continue
        held, spent = taken(limit.scope, dimension)
        total = held + spent + more
        full = limit.hard is not None and (total > limit.hard or (not more and total >= limit.hard))
        if full and limit.hard is not None:
            left = shown(dimension, max(0, limit.hard - held - spent))
            name = "" if limit.scope == "total" else f" ({groups[limit.scope]})"
            raise BudgetExceeded(
                f"up to {shown(dimension, more)} more would make {shown(dimension, total)} {limit}{name}, the limit is "
                f"{shown(dimension, limit.hard)}: {shown(dimension, spent)} are spent, "
                f"{shown(dimension, held)} reserved, {left} left",
                hint="qimg budget show; what dead runs left reserved: qimg budget reconcile; a higher limit: "
                f"qimg budget set --per {limit.scope} {dimension}=AMOUNT",
            )
        if limit.soft is not None and total > limit.soft:
            warnings.append(
                f"{shown(dimension, total)} {limit} are spent or reserved, the soft limit is "
                f"{shown(dimension, limit.soft)}"
            )
    return tuple(warnings)
