"""`Backend`: a stateless driver of one device (floor 4; imports errors, capabilities, execution).

Waiting, retries, budgets, fallback and the ledger live once, in the core. A driver never sleeps,
never retries a submit, and never picks another device. Every verb may be called from any thread,
with or without a running event loop.
"""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from qimg_core.capabilities import Billing, Mismatch
from qimg_core.errors import CapabilityError, JobLost
from qimg_core.job import Cost, JobHandle, JobState, JobStatus

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import ExecutionRequest, Footprint, Plan
    from qimg_core.explanation import Explanation
    from qimg_core.job import Intent, RawResult, Snapshot


class Backend(ABC):
    """What a provider plugin implements.

    A driver that serves several devices takes ``device`` (the part of the name after the first colon)
    and sets its own `name` to the whole.
    """

    name: str

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the device promises; checked before anything is sent."""

    @abstractmethod
    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        """Send job number ``job`` of the plan and return as soon as the provider has it.

        Args:
            plan: the admitted plan.
            job: which of its ``rows_per_job``.
            intent: hand its key and its run id to the provider (its own field, tags, metadata).

        Raises:
            SubmissionRejected: the provider said no; nothing runs.
            SubmissionUncertain: sent, and no answer that settles whether it was accepted: a broken
                connection, a time-out, any 5xx, an answer that cannot be read.
            BackendUnavailable: certainly not accepted (refused connection, 429); safe to try again.
            AuthenticationError: nothing was accepted.
        """

    @abstractmethod
    def poll(self, handle: JobHandle) -> JobStatus:
        """One question to the provider, no waiting."""

    @abstractmethod
    def fetch(self, handle: JobHandle) -> RawResult:
        """The result of a job whose state is DONE; the same array each time, in any process.

        Everything needed to read it is in the handle. Numbers drawn by us from exact ones that the
        provider returned use a seed from the handle, never fresh randomness.

        Raises:
            JobFailed, JobCancelled, JobLost, ResultError
        """

    def find(self, intent: Intent) -> JobHandle | None:
        """Look a job up by its key after `SubmissionUncertain` or a crash; None where there is none now."""
        return None

    def cancel(self, handle: JobHandle) -> bool:
        """Ask the provider to stop the job; False where it cannot, or where the job is over."""
        return False

    def billed(self, handle: JobHandle) -> Cost | None:
        """What the provider billed for a finished job; None while it does not say."""
        return None

    def rows_per_job(self, request: ExecutionRequest) -> int | None:
        """Most rows of one job of this request; None for no bound.

        Override it where a provider bounds circuits or gates and not rows. It may depend on the request's
        structure, not on its numbers.
        """
        return self.capabilities.max_rows

    def footprint(self, request: ExecutionRequest) -> Footprint | None:
        """The circuit's figures as the device will execute it, before anything is sent; None where unknown."""
        return None

    def explain(self, request: ExecutionRequest, *, gradient: bool = True) -> Explanation | None:
        """How the device would compute a request; None where it does not say. Computes and sends nothing.

        Args:
            request: its numbers do not matter, their shapes do.
            gradient: derivatives will be asked for.
        """
        return None

    def vjp(self, request: ExecutionRequest, cotangent: Any) -> tuple[Any, Any]:
        """Vector-Jacobian product, for devices that claim adjoint gradients.

        Args:
            request: exact (no shots), with one weights vector or one per row.
            cotangent: float64 (rows, measurement.width), the derivative of a loss by each number of the result.

        Returns:
            derivatives by inputs (rows, n_inputs), and by weights in the shape of the request's weights.
        """
        raise CapabilityError(self.name, [Mismatch("gradient", "adjoint", "none of its own")])

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

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        from qimg_core.chunks import rows_of

        self._done[intent.key] = self.run(rows_of(plan, job))
        now = dt.datetime.now(dt.UTC).isoformat()
        return JobHandle(backend=self.name, key=intent.key, provider_ids=(), submitted_at=now)

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
