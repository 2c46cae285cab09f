"""What the jobs of one request share on their way (imports journal, polling, breaker)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.jobs.polling import read_safely

if TYPE_CHECKING:
    from typing import TypeVar

    from qimg_core.backend import Backend
    from qimg_core.execution import Plan
    from qimg_core.job import Intent, JobHandle, RawResult
    from qimg_core.jobs.breaker import Breaker
    from qimg_core.jobs.journal import Journal
    from qimg_core.jobs.polling import Polling

    T = TypeVar("T")

Written = Sequence[tuple[str, "dict[str, Any]"]]


@frozen(kw_only=True)
class Outbox:
    """The run's side of its jobs.

    Args:
        write: appends entries in one durable commit.
        put, get: store and read artefacts.
        journal: what an earlier process of the same run knew.
    """

    write: Callable[[Written], object]
    put: Callable[[bytes], str]
    get: Callable[[str], bytes]
    journal: Journal


@frozen(kw_only=True, eq=False)
class Finished:
    """One job with its result.

    Args:
        intent, handle: of the job.
        raw: its result, without the bytes that are stored.
        drift: what of the calibration changed while it ran.
        adopted: it was found again, or its result was in the ledger.
    """

    intent: Intent
    handle: JobHandle
    raw: RawResult
    drift: tuple[str, ...] = ()
    adopted: bool = False


@frozen(kw_only=True, eq=False)
class Road:
    """One plan on its way through one driver.

    Args:
        backend: to whom.
        plan: what is sent; None where nothing will be.
        run: the run id.
        outbox: the run's ledger.
        polling: how to wait.
        breaker: of the session.
    """

    backend: Backend
    plan: Plan | None
    run: str
    outbox: Outbox
    polling: Polling
    breaker: Breaker

    @property
    def name(self) -> str:
        return self.backend.name

    def read(self, ask: Callable[[], T]) -> T:
        """See `qimg_core.jobs.polling.read_safely`."""
        return read_safely(ask, self.backend.name, self.polling, self.breaker)
