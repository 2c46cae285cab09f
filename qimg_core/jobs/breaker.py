"""A circuit breaker for each provider (imports errors).

A provider that fails several times in a row is left alone for a while: callers get `BreakerOpen` at once
and a chain goes on to its next device. After the pause one call is let through; its outcome decides.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from attrs import define

from qimg_core.errors import BreakerOpen

if TYPE_CHECKING:
    from collections.abc import Callable


@define
class _State:
    failures: int = 0
    opened_at: float | None = None
    probing: bool = False


class Breaker:
    """Counts the failures of providers, by the name of the driver. Safe for several threads.

    Args:
        after: failures in a row that open it.
        pause: seconds that it stays open.
        clock: monotonic seconds; replaceable for tests.
    """

    def __init__(self, *, after: int = 5, pause: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.after, self.pause, self._clock = after, pause, clock
        self._states: dict[str, _State] = {}
        self._lock = threading.Lock()

    def check(self, backend: str) -> None:
        """May the provider be called now?

        Raises:
            BreakerOpen: not yet, or a probe is under way.
        """
        with self._lock:
            state = self._states.get(backend)
            if state is None or state.opened_at is None:
                return
            left = state.opened_at + self.pause - self._clock()
            if left > 0 or state.probing:
                raise BreakerOpen(
                    f"{backend} failed {state.failures} times in a row and is left alone "
                    f"for {max(left, 0):.0f} s more; nothing was sent",
                    hint="wait, or name another device with --fallback",
                )
            state.probing = True

    def succeeded(self, backend: str) -> None:
        """The provider answered as it should."""
        with self._lock:
            self._states.pop(backend, None)

    def failed(self, backend: str) -> None:
        """The provider was not reachable, or broke its protocol."""
        with self._lock:
            state = self._states.setdefault(backend, _State())
            state.failures += 1
            state.probing = False
            if state.failures >= self.after:
                state.opened_at = self._clock()

    def is_open(self, backend: str) -> bool:
        """Whether calls are refused now."""
        with self._lock:
            state = self._states.get(backend)
            return state is not None and state.opened_at is not None and self._clock() < state.opened_at + self.pause
