"""A remote provider in memory, with the faults that real ones have (floor 8).

It runs jobs on the reference device, keeps them with the key that they came with, counts what it would
bill, and misbehaves as its `Faults` say. It lives as long as the object: a new `Session`, or a new
driver made with `again`, sees the same provider, as a new process would see the same cloud.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from attrs import define, evolve, field

from qimg_core.backend import Backend
from qimg_core.capabilities import Billing, Capabilities, Idempotency
from qimg_core.chunks import rows_of
from qimg_core.errors import (
    BackendUnavailable,
    JobLost,
    ProtocolError,
    RateLimited,
    ResultError,
    SubmissionUncertain,
)
from qimg_core.job import Cost, JobHandle, JobState, JobStatus, Snapshot
from qimg_core.testing.faults import Fault, Faults, Point
from qimg_core.testing.reference import ReferenceBackend

if TYPE_CHECKING:
    from qimg_core.execution import Plan
    from qimg_core.job import Intent, RawResult

Short = Literal["unavailable", "rate limited", "accepted then dropped", "lost before accept", "fails"]
_SHORT: dict[str, tuple[Fault, Point]] = {
    "rate limited": (Fault.TOO_MANY, Point.BEFORE_SEND),
    "accepted then dropped": (Fault.DROPPED, Point.AFTER_ACCEPT),
    "lost before accept": (Fault.DROPPED, Point.BEFORE_SEND),
}


@define
class Cloud:
    """What the provider keeps.

    Args:
        jobs: provider id -> (key, run, result).
        asked: provider id -> how often its state was asked.
        cancelled: provider ids.
        submits: submissions received, accepted or not.
        calibration: changes when the device is calibrated anew.
    """

    jobs: dict[str, tuple[str, str, RawResult]] = field(factory=dict)
    asked: dict[str, int] = field(factory=dict)
    cancelled: set[str] = field(factory=set)
    submits: int = 0
    calibration: int = 0


class FakeProvider(Backend):
    """A metered remote device.

    Args:
        fault: one fault by name, once; ``fails`` lets every job fail, ``unavailable`` refuses connections once.
        faults: a whole schedule instead.
        polls: how often a job answers "running" before it is done.
        price: per job in USD; None publishes no price.
        max_rows: rows of one job.
        max_shots: shots of one job.
        idempotency: what the provider does with keys.
        calibrated: whether it gives snapshots.
        cloud: the provider behind this driver; a new one by default.
    """

    name = "fake-provider"

    def __init__(
        self,
        *,
        fault: Short | None = None,
        faults: Faults | None = None,
        polls: int = 1,
        price: Decimal | None = Decimal("0.01"),
        max_rows: int | None = None,
        max_shots: int = 10_000,
        idempotency: Idempotency = Idempotency.TAG,
        calibrated: bool = False,
        cloud: Cloud | None = None,
    ) -> None:
        self.fault, self.faults = fault, faults or Faults()
        if fault in _SHORT:
            self.faults.add(*_SHORT[fault])
        self.polls, self.price, self.max_rows, self.max_shots = polls, price, max_rows, max_shots
        self.idempotency, self.calibrated = idempotency, calibrated
        self.cloud = cloud or Cloud()

    def again(self) -> FakeProvider:
        """A new driver of the same provider, as another process would have; without faults."""
        return type(self)(
            polls=self.polls,
            price=self.price,
            max_rows=self.max_rows,
            max_shots=self.max_shots,
            idempotency=self.idempotency,
            calibrated=self.calibrated,
            cloud=self.cloud,
        )

    @property
    def jobs(self) -> dict[str, tuple[str, str, RawResult]]:
        return self.cloud.jobs

    @property
    def submits(self) -> int:
        return self.cloud.submits

    @property
    def capabilities(self) -> Capabilities:
        return evolve(
            ReferenceBackend().capabilities,
            remote=True,
            billing=Billing.METERED,
            max_rows=self.max_rows,
            idempotency=self.idempotency,
            resumable=True,
            cancellable=True,
            calibrated=self.calibrated,
            shots=(1, self.max_shots),
        )

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        self.cloud.submits += 1
        if self.fault == "unavailable":
            self.fault = None
            raise BackendUnavailable("the connection was refused")
        self._strike(self.faults.take(Point.BEFORE_SEND), sending=True)
        found = self._of(intent.key) if self.idempotency is Idempotency.TOKEN else None
        if found is None:
            found = f"{intent.key}#{self.cloud.submits}"
            self.cloud.jobs[found] = (intent.key, intent.run, ReferenceBackend().run(rows_of(plan, job)))
        self._strike(self.faults.take(Point.AFTER_ACCEPT), sending=True)
        return self._handle(found)

    def _strike(self, fault: Fault | None, *, sending: bool) -> None:
        """Raise what a driver would raise."""
        if fault is None:
            return
        if fault is Fault.TOO_MANY:
            raise RateLimited("429: slow down", retry_after=3.0)
        if fault is Fault.RECALIBRATED:
            self.cloud.calibration += 1
        elif sending:
            answered = fault in (Fault.ERROR, Fault.UNAVAILABLE)
            raise SubmissionUncertain(f"{fault.value} while sending", answered=answered)
        elif fault in (Fault.UNKNOWN_STATE, Fault.MISSING_FIELDS, Fault.GARBAGE):
            raise ProtocolError(f"{fault.value} in the answer")
        elif fault is Fault.PARTIAL:
            raise ResultError("the result ends in the middle")
        else:
            raise BackendUnavailable(f"{fault.value} while reading")

    def _of(self, key: str) -> str | None:
        return next((i for i, (k, _, _) in self.cloud.jobs.items() if k == key), None)

    def _handle(self, provider_id: str) -> JobHandle:
        now = dt.datetime.now(dt.UTC).isoformat()
        key = provider_id.partition("#")[0]
        return JobHandle(backend=self.name, key=key, provider_ids=(provider_id,), submitted_at=now)

    def find(self, intent: Intent) -> JobHandle | None:
        found = None if self.idempotency is Idempotency.NONE else self._of(intent.key)
        return None if found is None else self._handle(found)

    def poll(self, handle: JobHandle) -> JobStatus:
        self._strike(self.faults.take(Point.AFTER_ACKNOWLEDGEMENT), sending=False)
        (name,) = handle.provider_ids
        if name not in self.cloud.jobs:
            raise JobLost(f"{self.name} knows no job {name}")
        if name in self.cloud.cancelled:
            return JobStatus(state=JobState.CANCELLED)
        asked = self.cloud.asked[name] = self.cloud.asked.get(name, 0) + 1
        if asked <= self.polls:
            return JobStatus(state=JobState.RUNNING)
        if self.fault == "fails":
            return JobStatus(state=JobState.FAILED, detail="the qubits were cold")
        return JobStatus(state=JobState.DONE)

    def fetch(self, handle: JobHandle) -> RawResult:
        self._strike(self.faults.take(Point.DURING_DOWNLOAD), sending=False)
        (name,) = handle.provider_ids
        if name not in self.cloud.jobs:
            raise JobLost(f"{self.name} knows no job {name}")
        return evolve(self.cloud.jobs[name][2], provider={"job": name}, sampling="native")

    def cancel(self, handle: JobHandle) -> bool:
        (name,) = handle.provider_ids
        if self.cloud.asked.get(name, 0) > self.polls:
            return False
        self.cloud.cancelled.add(name)
        return True

    def snapshot(self) -> Snapshot | None:
        if not self.calibrated:
            return None
        error = f"0.0{1 + self.cloud.calibration}"
        data: dict[str, Any] = {
            "schema": "qimg.calibration/1",
            "wires": {str(w): {"t1_us": "100", "t2_us": "80", "readout": [error, error]} for w in range(10)},
            "gates": {},
        }
        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data=data)

    def estimate(self, plan: Plan) -> Cost:
        return self._cost(plan.n_jobs)

    def billed(self, handle: JobHandle) -> Cost:
        return self._cost(1)

    def _cost(self, jobs: int) -> Cost:
        if self.price is None:
            return Cost.unknown("this provider publishes no price")
        return Cost.exactly(self.price * jobs, basis="price list of the fake provider", date="2026-11-01")
