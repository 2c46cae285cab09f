"""The values of one job's life: intent, handle, status, snapshot, cost, raw result (floor 2; imports nothing of qimg).

All immutable and, but for the array of a `RawResult`, JSON-safe: a job can be found again from them in
another process, next week.
"""

from __future__ import annotations

import enum
import hashlib
import json
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    from qimg_core.capabilities import DeviceKind

JSON = None | bool | int | str | list["JSON"] | dict[str, "JSON"]


def job_key(run: str, ordinal: int, job: int, request: str) -> str:
    """The idempotency key of one job: SHA-256 of run, ordinal of the request, job, request digest; 64 hex digits."""
    return hashlib.sha256(f"{run}/{ordinal}/{job}/{request}".encode()).hexdigest()


@frozen(kw_only=True)
class Intent:
    """What is about to be sent. On disk before anything leaves the process.

    A transport retry and a resumed run have the same key; a deliberate repeat has a new ordinal and so
    a new key. Drivers hand `key` and `run` to the provider: its idempotency field, tags, or metadata.

    Args:
        run: the run id.
        ordinal: which request of the run.
        job: which job of the request.
        request: digest of the whole request.
        at: when the intent was written, ISO 8601; bounds a search in the provider's list of jobs.
    """

    run: str
    ordinal: int
    job: int
    request: str
    at: str = field(default="", eq=False)

    @cached_property
    def key(self) -> str:
        """See `job_key`."""
        return job_key(self.run, self.ordinal, self.job, self.request)


@frozen(kw_only=True)
class Cost:
    """Money, as bounds. ``high is None`` means that the price is not known, which is not free.

    Args:
        low, high: bounds in ``unit``.
        unit: the provider's own unit ("USD", "qpu_seconds", "credits").
        basis: the tariff in words.
        date: of the tariff, ISO 8601, where the provider dates it.
    """

    low: Decimal | None
    high: Decimal | None
    unit: str = "USD"
    basis: str = ""
    date: str | None = None

    @classmethod
    def free(cls, basis: str = "computed in this process") -> Cost:
        return cls(low=Decimal(0), high=Decimal(0), basis=basis)

    @classmethod
    def unknown(cls, basis: str, unit: str = "USD") -> Cost:
        return cls(low=None, high=None, basis=basis, unit=unit)

    @classmethod
    def exactly(cls, amount: Decimal, *, unit: str = "USD", basis: str, date: str | None = None) -> Cost:
        return cls(low=amount, high=amount, unit=unit, basis=basis, date=date)

    @property
    def is_free(self) -> bool:
        return self.high == 0

    def to_json(self) -> dict[str, JSON]:
        def text(value: Decimal | None) -> str | None:
            return None if value is None else str(value)

        return {
            "low": text(self.low),
            "high": text(self.high),
            "unit": self.unit,
            "basis": self.basis,
            "date": self.date,
        }


@frozen(kw_only=True)
class Snapshot:
    """A device's state at a moment: calibration of a QPU, or versions and precision of a simulator.

    Args:
        device: its name at the provider.
        taken_at: by this machine's clock.
        data: what the provider says, without floats (numbers as strings). A calibrated device gives the
            keys of `qimg_core.calibration`, so that a noise model can be made of it.
    """

    device: str
    taken_at: dt.datetime
    data: Mapping[str, JSON]

    @cached_property
    def digest(self) -> str:
        text = json.dumps({"device": self.device, "data": self.data}, separators=(",", ":"), sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()

    def changed(self, later: Snapshot) -> tuple[str, ...]:
        """The top-level keys of ``data`` that differ; empty where nothing drifted."""
        keys = {*self.data, *later.data}
        return tuple(sorted(k for k in keys if self.data.get(k) != later.data.get(k)))


class JobState(enum.StrEnum):
    """The life of a job at a provider."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


def _strings(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen(kw_only=True)
class JobHandle:
    """All that is needed to find the job again, in another process, next week. JSON-safe, never a secret.

    Args:
        backend: name of the driver.
        key: of the intent.
        provider_ids: the provider's own id of the job; several where one of ours is several of theirs.
        submitted_at: ISO 8601.
        extra: what the driver needs to read the result: measured wires, settings, layout.
    """

    backend: str
    key: str
    provider_ids: tuple[str, ...] = field(converter=_strings)
    submitted_at: str
    extra: Mapping[str, JSON] = field(factory=dict)

    def to_json(self) -> dict[str, JSON]:
        return {
            "backend": self.backend,
            "key": self.key,
            "provider_ids": list(self.provider_ids),
            "submitted_at": self.submitted_at,
            "extra": dict(self.extra),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> JobHandle:
        return cls(**document)


@frozen(kw_only=True)
class JobStatus:
    """A provider's answer to one question."""

    state: JobState
    detail: str = ""
    queue_position: int | None = None


@frozen(kw_only=True, eq=False)
class RawResult:
    """What a device returns for one job: the array as `Measurement` lays it out, and its own account.

    Args:
        data: the array.
        shots: that were really taken, per row and setting; the core compares them with what was asked.
        raw_digest: ``sha256:`` of `raw`, or of the drawn numbers of an in-process device.
        raw: the provider's answer as received; stored, so that decoding can be repeated.
        sampling: who drew the shots: "native" (the provider), "client" (we did, from exact numbers that
            it returned, with the request's seed) or "none" (exact numbers).
        kind: what really made the numbers, where that may differ from call to call.
        error: estimated error of a surrogate's numbers, in words.
        lowered_digest: digest of the text that the device executed.
        qpu_seconds: as the provider says.
        cost: what it billed, where the result says so; see `Backend.billed`.
        provider: other facts for the record. Never a secret.
    """

    data: Any
    shots: int | None
    raw_digest: str | None = None
    raw: bytes | None = None
    sampling: str | None = None
    kind: DeviceKind | None = None
    error: str | None = None
    lowered_digest: str | None = None
    qpu_seconds: str | None = None
    cost: Cost | None = None
    provider: Mapping[str, JSON] = field(factory=dict)
