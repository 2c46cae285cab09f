"""`Backend`: a stateless driver of one device (floor 4; imports errors, capabilities, execution).

Waiting, retries, budgets, fallback and the ledger live once, in the core. A driver never sleeps,
never retries a submit, and never picks another device. Every verb may be called from any thread,
with or without a running event loop.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from qimg_core.capabilities import Billing
from qimg_core.errors import JobLost
from qimg_core.execution import Cost, JobHandle, JobState, JobStatus

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import ExecutionRequest, Plan, RawResult, Snapshot


class Backend(ABC):
    """What a provider plugin implements."""

    name: ClassVar[str]

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the device promises; checked before anything is sent."""

    @abstractmethod
    def submit(self, plan: Plan, job: int, *, key: str) -> JobHandle:
        """Send job number ``job`` of the plan and return as soon as the provider has it.

        Args:
            plan: the admitted plan.
            job: which of its ``rows_per_job``.
            key: the idempotency key; hand it to the provider (its own field, a tag, metadata).

        Raises:
            SubmissionRejected, SubmissionUncertain, BackendUnavailable, AuthenticationError
        """

    @abstractmethod
    def poll(self, handle: JobHandle) -> JobStatus:
        """One question to the provider, no waiting."""

    @abstractmethod
    def fetch(self, handle: JobHandle) -> RawResult:
        """The result of a job whose state is DONE; the same bytes each time.

        Raises:
            JobFailed, JobCancelled, JobLost, ResultError
        """

    def find(self, key: str) -> JobHandle | None:
        """Look a job up by its key after `SubmissionUncertain` or a crash."""
        return None

    def cancel(self, handle: JobHandle) -> bool:
        """Ask the provider to stop the job; False where it cannot."""
        return False

    def estimate(self, plan: Plan) -> Cost:
        """What the plan will cost, before it is sent."""
        if self.capabilities.billing is Billing.FREE:
            return Cost.free()
        return Cost.unknown(f"{self.name} publishes no tariff")

    def snapshot(self) -> Snapshot | None:
        """The device's state now: calibration, or a simulator's versions and precision."""
        return None

    def close(self) -> None:
        """Let go of connections. May be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class LocalBackend(Backend):
    """A device in this process: implement `run`, and the job verbs come for free."""

    def __init__(self) -> None:
        self._done: dict[str, RawResult] = {}

    @abstractmethod
    def run(self, request: ExecutionRequest) -> RawResult:
        """Compute the whole request. Tensors in, tensors out, inside the same autograd graph."""

    def submit(self, plan: Plan, job: int, *, key: str) -> JobHandle:
        from qimg_core.chunks import rows_of

        self._done[key] = self.run(rows_of(plan, job))
        now = dt.datetime.now(dt.UTC).isoformat()
        return JobHandle(backend=self.name, key=key, provider_ids=(), submitted_at=now)

    def poll(self, handle: JobHandle) -> JobStatus:
        return JobStatus(state=JobState.DONE)

    def fetch(self, handle: JobHandle) -> RawResult:
        try:
            return self._done[handle.key]
        except KeyError:
            raise JobLost(f"{self.name} keeps results in memory and has none for {handle.key}") from None

    def forget(self, handle: JobHandle) -> None:
        """Drop a result that has been recorded."""
        self._done.pop(handle.key, None)
