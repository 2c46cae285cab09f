"""Calls of many threads, carried out together (imports errors).

What takes long and may be shared (a disk sync, a signature) is done once for all callers that wait. There is no
thread of its own: the first caller does the work of those that came while the last was busy, then the
next that waits takes over. So nothing has to be started or stopped, and an idle gathering costs nothing.
"""

from __future__ import annotations

import threading
from itertools import pairwise
from typing import TYPE_CHECKING, Generic, TypeVar

from qimg_core.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Item = TypeVar("Item")
Result = TypeVar("Result")


class _Caller(Generic[Item, Result]):
    """One that waits. Its gate opens when its result is there, or when it shall lead."""

    __slots__ = ("after", "error", "gate", "gone", "item", "lead", "result", "woken")

    def __init__(self, item: Item) -> None:
        self.item = item
        self.gate = threading.Lock()
        self.gate.acquire()
        self.lead = self.woken = self.gone = False
        self.after: _Caller[Item, Result] | None = None  # whom it wakes when it is woken
        self.result: Result | None = None
        self.error: BaseException | None = None


class Gathering(Generic[Item, Result]):
    """Joins calls.

    When a batch is done its callers are woken one by the other, and the last wakes who leads next. Thus few
    threads contend for the interpreter at a time, and callers that come again at once are in the next batch.

    Args:
        work: does several items at once and gives for each, in order, its result or the exception that is for
            its caller alone. What it raises itself goes to all of them.
        most: items in one call of ``work``.
    """

    def __init__(self, work: Callable[[Sequence[Item]], Sequence[Result | Exception]], *, most: int = 1024) -> None:
        self._work = work
        self._most = most
        self._lock = threading.Lock()
        self._waiting: list[_Caller[Item, Result]] = []
        self._busy = False

    def do(self, item: Item) -> Result:
        """Have an item done, with those of other threads; blocks until it is.

        Raises:
            Exception: what ``work`` gave for this item, or raised for all.
            LedgerError: the thread that did the work was interrupted; whether it was done is not known.
        """
        me: _Caller[Item, Result] = _Caller(item)
        with self._lock:
            self._waiting.append(me)
            me.lead = not self._busy
            self._busy = True
        if not me.lead:
            try:
                me.gate.acquire()
            except BaseException:
                self._leave(me)
                raise
        if me.lead:
            self._lead()
        else:
            self._wake(me.after)
        if me.error is not None:
            raise me.error
        return me.result  # type: ignore[return-value]

    def _lead(self) -> None:
        """Do what waits. The leader is the first that waits."""
        with self._lock:
            batch, self._waiting = self._waiting[: self._most], self._waiting[self._most :]
        others = batch[1:]
        try:
            results = self._work([caller.item for caller in batch])
            for caller, result in zip(batch, results, strict=True):
                if isinstance(result, Exception):
                    caller.error = result
                else:
                    caller.result = result
        except Exception as error:
            for caller in batch:
                caller.error = error
        except BaseException:  # an interrupt is the leader's own; the others must not wait for ever
            for caller in others:
                caller.error = LedgerError(
                    "the thread that wrote for this one was interrupted: whether the entry is in the log is not known",
                    hint="write again with the same retry key (Draft(key=...)), or look it up",
                )
            raise
        finally:
            for caller, after in pairwise(others):
                caller.after = after
            self._wake(others[0] if others else None)

    def _wake(self, caller: _Caller[Item, Result] | None) -> None:
        """Wake the next of a batch that is done; at its end, who leads the next batch."""
        with self._lock:
            while caller is not None and caller.gone:
                caller = caller.after
            if caller is None:
                if not self._waiting:
                    self._busy = False
                    return
                caller = self._waiting[0]
                caller.lead = True
            caller.woken = True
            caller.gate.release()

    def _leave(self, me: _Caller[Item, Result]) -> None:
        """A caller is interrupted while it waits: what nobody has begun is withdrawn."""
        with self._lock:
            if me in self._waiting:
                self._waiting.remove(me)
            if not me.woken:
                me.gone = True  # its result, if it has one, is nobody's
                return
        self._wake(None if me.lead else me.after)
