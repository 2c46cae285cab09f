"""The latest time that a log has seen (imports the interface of ledgers).

A clock that is set back would bring an expired approval to life. The newest entry alone does not show it: a run under
such a clock writes its own entries first, with the clock's time. Hence the latest time of many entries.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger

SKEW = dt.timedelta(seconds=5)
"""How far the clock may be behind the log before it counts as set back."""

_SEEN: WeakKeyDictionary[Ledger, dict[int, tuple[int, str]]] = WeakKeyDictionary()
"""Of an open log: where the reading began, to how far it is read and the latest time there. A log only grows."""


def latest(ledger: Ledger, start: int) -> dt.datetime | None:
    """The latest time of a log's entries from ``start`` on, UTC; None where there are none.

    Reads each entry once in the life of an open log.
    """
    known = _SEEN.setdefault(ledger, {})
    read, time = known.get(start, (start, ""))
    for entry in ledger.entries(start=read):
        read, time = entry.index + 1, max(time, entry.time)  # times have one form and width
    known[start] = (read, time)
    return dt.datetime.fromisoformat(time) if time else None
