"""Amounts: whole numbers by dimension, never floats; unlike dimensions are never added (imports errors).

``jobs`` and ``shots`` count. Every other dimension is a unit that a provider prices in (``USD``, ``credits``,
``qpu_seconds``), in millionths: 1.25 USD are 1,250,000.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

Amounts = Mapping[str, int]

COUNTED = ("jobs", "shots")
QPU = "qpu_seconds"
MICRO = 1_000_000
MOST = 2**62
_DIMENSION = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,15}")
_NUMBER = re.compile(r"\d{1,12}(\.\d{1,6})?")


def micro(value: Decimal) -> int:
    """Millionths, rounded up: what is reserved is never less than the bound."""
    return int((value * MICRO).to_integral_value(ROUND_CEILING))


def added(parts: Iterable[Amounts]) -> dict[str, int]:
    """The sum, dimension by dimension."""
    out: dict[str, int] = {}
    for part in parts:
        for dimension, amount in part.items():
            out[dimension] = out.get(dimension, 0) + amount
    return out


def number(dimension: str, amount: int) -> str:
    """An amount as a decimal text without its unit."""
    if dimension in COUNTED:
        return f"{amount}"
    text = f"{Decimal(amount) / MICRO:.6f}".rstrip("0")
    whole, _, part = text.partition(".")
    return f"{whole}.{part.ljust(2, '0')}"


def shown(dimension: str, amount: int) -> str:
    """For people: ``1.25 USD``, ``12 jobs``."""
    return f"{number(dimension, amount)} {dimension}"


def all_shown(amounts: Amounts) -> str:
    """Several, priced ones first; ``nothing`` where all are zero."""
    order = sorted(amounts, key=lambda d: (d in COUNTED, d))
    return ", ".join(shown(d, amounts[d]) for d in order if amounts[d]) or "nothing"


def parse_amount(dimension: str, text: str) -> int:
    """Read ``12.50`` of a priced unit, or a whole number of jobs or shots.

    Raises:
        ConfigurationError: no such number, or more than six decimals.
    """
    if not _NUMBER.fullmatch(text) or (dimension in COUNTED and "." in text):
        wanted = "a whole number" if dimension in COUNTED else "a number with up to six decimals"
        raise ConfigurationError(f"{dimension}: wanted {wanted} such as 100, got {text!r}")
    return int(text) if dimension in COUNTED else micro(Decimal(text))


def check_dimension(text: str) -> str:
    """A dimension's name.

    Raises:
        ConfigurationError: it has other characters than letters, digits and ``_``.
    """
    if not _DIMENSION.fullmatch(text):
        raise ConfigurationError(f"wanted jobs, shots or a unit such as USD, got {text!r}")
    return text


def exact(text: object) -> Decimal:
    """A decimal number that a ledger or a bill names.

    Raises:
        ConfigurationError: it is none, or negative.
    """
    try:
        value = Decimal(str(text))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value < 0:
        raise ConfigurationError(f"wanted an amount from 0 up, got {text!r}")
    return value
