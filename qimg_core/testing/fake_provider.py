"""A remote provider in memory, with the faults that real ones have (floor 8).

It runs jobs on the reference device, keeps them by idempotency key, counts what it would bill, and can
be told to misbehave at one point: refuse, accept and drop the connection, be slow, or fail the job.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from attrs import evolve

from qimg_core.backend import Backend
from qimg_core.capabilities import Billing, Capabilities, Idempotency
from qimg_core.chunks import rows_of
from qimg_core.errors import BackendUnavailable, JobLost, RateLimited, SubmissionUncertain
from qimg_core.job import Cost, JobHandle, JobState, JobStatus
from qimg_core.testing.reference import ReferenceBackend

if TYPE_CHECKING:
    from qimg_core.execution import Plan
    from qimg_core.job import Intent, RawResult

Fault = Literal["unavailable", "rate limited", "accepted then dropped", "lost before accept", "fails"]


class FakeProvider(Backend):
    """A metered remote device.

    Args:
        fault: what goes wrong, once (``fails`` every time).
        polls: how often a job answers "running" before it is done.
        price: per job in USD; None publishes no price.
        max_rows: rows of one job.
    """

    name = "fake-provider"

    def __init__(
        self,
        *,
        fault: Fault | None = None,
        polls: int = 1,
        price: Decimal | None = Decimal("0.01"),
        max_rows: int | None = None,
    ) -> None:
        self.fault, self.polls, self.price, self.max_rows = fault, polls, price, max_rows
        self.jobs: dict[str, RawResult] = {}
        self.asked: dict[str, int] = {}
        self.submits = 0

    @property
    def capabilities(self) -> Capabilities:
        return evolve(
            ReferenceBackend().capabilities,
            remote=True,
            billing=Billing.METERED,
            max_rows=self.max_rows,
            idempotency=Idempotency.TAG,
            resumable=True,
            shots=(1, 10_000),
        )

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        key = intent.key
        self.submits += 1
        fault = self.fault
        if fault != "fails":
            self.fault = None
        if fault == "unavailable":
            raise BackendUnavailable("503: try later")
        if fault == "rate limited":
            raise RateLimited("429: slow down", retry_after=3.0)
        if fault == "lost before accept":
            raise SubmissionUncertain("the connection broke while sending", hint="look the job up by its key")
        self.jobs[f"{key}#{self.submits}"] = ReferenceBackend().run(rows_of(plan, job))
        if fault == "accepted then dropped":
            raise SubmissionUncertain("the connection broke after sending", hint="look the job up by its key")
        return self._handle(f"{key}#{self.submits}")

    def _handle(self, provider_id: str) -> JobHandle:
        now = dt.datetime.now(dt.UTC).isoformat()
        key = provider_id.partition("#")[0]
        return JobHandle(backend=self.name, key=key, provider_ids=(provider_id,), submitted_at=now)

    def find(self, intent: Intent) -> JobHandle | None:
        found = [p for p in self.jobs if p.startswith(intent.key + "#")]
        return self._handle(found[0]) if found else None

    def poll(self, handle: JobHandle) -> JobStatus:
        asked = self.asked[handle.key] = self.asked.get(handle.key, 0) + 1
        if asked <= self.polls:
            return JobStatus(state=JobState.RUNNING)
        if self.fault == "fails":
            return JobStatus(state=JobState.FAILED, detail="the qubits were cold")
        return JobStatus(state=JobState.DONE)

    def fetch(self, handle: JobHandle) -> RawResult:
        try:
            raw = self.jobs[handle.provider_ids[0]]
        except KeyError:
            raise JobLost(f"{self.name} knows no job {handle.provider_ids}") from None
        return evolve(raw, cost=self._cost(1), provider={"job": handle.provider_ids[0]})

    def estimate(self, plan: Plan) -> Cost:
        return self._cost(plan.n_jobs)

    def _cost(self, jobs: int) -> Cost:
        if self.price is None:
            return Cost.unknown("this provider publishes no price")
        return Cost(low=self.price * jobs, high=self.price * jobs, basis="price list of the fake provider")
