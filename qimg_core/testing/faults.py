"""What can go wrong between a driver and its provider, and where (floor 8; imports nothing of qimg).

A `Faults` schedule is given to a fake server (`qimg_core.testing.server`) or to `FakeProvider`. Each
planned fault strikes at one point of a job's way, a number of times, and is then used up.
"""

from __future__ import annotations

import enum
import threading
from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class Point(enum.StrEnum):
    """Where on a job's way."""

    BEFORE_SEND = "before send"  # the submission reaches the provider, which accepts nothing
    AFTER_ACCEPT = "after accept"  # the job exists; its acknowledgement goes wrong
    AFTER_ACKNOWLEDGEMENT = "after acknowledgement"  # a question about its state goes wrong
    DURING_DOWNLOAD = "during download"  # the result goes wrong on its way


class Fault(enum.StrEnum):
    """What goes wrong."""

    TOO_MANY = "429"
    ERROR = "500"
    UNAVAILABLE = "503"
    DROPPED = "dropped"  # the connection is closed without an answer
    HANG = "hang"  # no answer until the client gives up
    GARBAGE = "garbage"  # 200 with something that is no JSON
    UNKNOWN_STATE = "unknown state"  # a word that the documentation does not have
    MISSING_FIELDS = "missing fields"  # 200 with an empty document
    PARTIAL = "partial result"  # the body ends in the middle
    RECALIBRATED = "recalibrated"  # the device is calibrated anew while the job runs


@define
class Planned:
    """One fault at one point, ``times`` times."""

    fault: Fault
    point: Point
    times: int = 1


class Faults:
    """A schedule, and callbacks for tests that must act at a point (such as killing the client).

    Args:
        planned: in any order; the first that fits a point strikes.
    """

    def __init__(self, planned: Iterable[Planned] = ()) -> None:
        self.planned = list(planned)
        self.struck: list[tuple[Point, Fault]] = []
        self._at: dict[Point, Callable[[], None]] = {}
        self._lock = threading.Lock()

    def add(self, fault: Fault | str, point: Point | str, times: int = 1) -> Faults:
        """Plan one more; returns itself."""
        self.planned.append(Planned(Fault(fault), Point(point), times))
        return self

    def call(self, point: Point | str, action: Callable[[], None]) -> None:
        """Do ``action`` once when a job is at ``point``, before any answer is given."""
        self._at[Point(point)] = action

    def take(self, point: Point) -> Fault | None:
        """The fault that strikes now, used up; None for none."""
        action = self._at.pop(point, None)
        if action is not None:
            action()
        with self._lock:
            for planned in self.planned:
                if planned.point is point and planned.times > 0:
                    planned.times -= 1
                    self.struck.append((point, planned.fault))
                    return planned.fault
        return None


@define
class Seen:
    """One request that a fake server received. Bodies are kept for the tests; headers of value are not."""

    method: str
    path: str
    body: bytes = field(repr=False)
    authorized: bool = False
