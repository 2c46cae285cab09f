"""How the core waits, and how it asks again (imports errors, breaker)."""

from __future__ import annotations

import time
from collections.abc import Callable  # noqa: TC003
from typing import TYPE_CHECKING, TypeVar

from attrs import frozen

from qimg_core.errors import BackendUnavailable, ProtocolError, RateLimited, ResultError

if TYPE_CHECKING:
    from qimg_core.jobs.breaker import Breaker

T = TypeVar("T")


@frozen(kw_only=True)
class Polling:
    """How the core waits.

    Args:
        first, factor, longest: seconds before the second question, growth, and the upper bound.
        timeout: seconds for the jobs of one request, or None for no end.
        attempts: how often a submission that cannot have made a job is sent.
        reads: how often a question or a download is repeated while the provider fails.
        settle: seconds during which an uncertain job is looked up.
        looks: how often, in that time.
        sleep, clock: replaceable for tests.
    """

    first: float = 0.2
    factor: float = 1.6
    longest: float = 30.0
    timeout: float | None = None
    attempts: int = 4
    reads: int = 6
    settle: float = 20.0
    looks: int = 4
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic


def read_safely(ask: Callable[[], T], backend: str, polling: Polling, breaker: Breaker) -> T:
    """Ask a question that changes nothing, again and again while the provider fails.

    Args:
        ask: a poll, a look-up or a download.
        backend: name of the driver, for its breaker.
        polling: how often, and the pauses.
        breaker: of the session.

    Raises:
        BackendUnavailable, ProtocolError, ResultError: the last failure, after `Polling.reads` of them.
    """
    pause = polling.first
    for attempt in range(1, polling.reads + 1):
        try:
            answer = ask()
        except (BackendUnavailable, ProtocolError, ResultError) as cause:
            breaker.failed(backend)
            if attempt == polling.reads:
                raise
            after = cause.retry_after if isinstance(cause, RateLimited) else None
            polling.sleep(max(pause, after or 0.0))
            pause = min(pause * polling.factor, polling.longest)
        else:
            breaker.succeeded(backend)
            return answer
    raise AssertionError("unreachable")
