"""The values that travel: request -> plan -> handle -> raw result -> record (floor 3).

All immutable. Imports errors, circuit, capabilities, measurement, noise; numpy only inside functions.
"""

from __future__ import annotations

import enum
import hashlib
import json
from decimal import Decimal
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import DataError
from qimg_core.measurement import measurement_to_json

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping

    import numpy as np
    import numpy.typing as npt

    from qimg_core.capabilities import GradientMethod
    from qimg_core.circuit.ir import Circuit
    from qimg_core.measurement import Measurement
    from qimg_core.noise import NoiseModel

    FloatArray = npt.NDArray[np.float64]

JSON = None | bool | int | str | list["JSON"] | dict[str, "JSON"]


def is_tensor(array: object) -> bool:
    """Whether ``array`` is a torch tensor, without importing torch."""
    return hasattr(array, "detach")


def array_digest(array: Any) -> str:
    """``sha256:`` over dtype, shape and the little-endian C-order bytes of a numpy array or tensor."""
    import numpy as np

    if is_tensor(array):
        array = array.detach().cpu().numpy()
    array = np.ascontiguousarray(array)
    array = array.astype(array.dtype.newbyteorder("<"), copy=False)
    head = f"{array.dtype.str}{array.shape}".encode()
    return "sha256:" + hashlib.sha256(head + array.tobytes()).hexdigest()


@frozen(kw_only=True, eq=False)
class ExecutionRequest:
    """One circuit over a batch of rows: the unit of work, of cost and of the record.

    Args:
        circuit: what to run.
        inputs: (rows, circuit.n_inputs), numpy float64, or a torch tensor for a differentiable
            device (then the result is a tensor in the same graph).
        weights: (circuit.n_weights,) shared by all rows, or (rows, n_weights); same kind of array.
        measurement: what is measured, and so the layout of the result.
        shots: per row (and per basis where a measurement needs several); None asks for exact numbers.
        seed: for sampling; the same request with the same seed gives the same samples where the
            device is ``seeded``.
        require_seed: refuse devices whose sampling cannot be seeded.
        noise: disturbs the circuit on simulators.
        readout: (optional) per window of a `LocalStates` measurement, complex Hermitian matrices
            (K, 2**k, 2**k): ask for <H> (rows, sum K) instead of Pauli vectors. Only for devices that
            claim `contracts`; the numbers are the same.

    Raises:
        DataError: shapes that do not fit the circuit, NaN or infinite values (numpy).
    """

    circuit: Circuit
    inputs: Any
    weights: Any
    measurement: Measurement
    shots: int | None = None
    seed: int | None = None
    require_seed: bool = False
    noise: NoiseModel | None = None
    readout: tuple[Any, ...] | None = None

    def __attrs_post_init__(self) -> None:
        c, x, w = self.circuit, self.inputs, self.weights
        if x.ndim != 2 or x.shape[1] != c.n_inputs or x.shape[0] < 1:
            raise DataError(f"inputs: wanted (rows, {c.n_inputs}) with rows >= 1, got {tuple(x.shape)}")
        if tuple(w.shape) not in ((c.n_weights,), (x.shape[0], c.n_weights)):
            raise DataError(f"weights: wanted ({c.n_weights},) or ({x.shape[0]}, {c.n_weights}), got {tuple(w.shape)}")
        if self.shots is not None and self.shots < 1:
            raise DataError(f"shots: wanted 1 or more, or None for exact numbers, got {self.shots}")
        wires = self.measurement.wires
        if wires and max(wires) >= c.n_wires:
            raise DataError(f"measured wire {max(wires)} is not among the circuit's {c.n_wires}")
        if not is_tensor(x):
            import numpy as np

            if not (np.isfinite(x).all() and np.isfinite(w).all()):
                raise DataError("inputs and weights must be finite; there is a NaN or an infinity")

    @property
    def rows(self) -> int:
        return int(self.inputs.shape[0])

    @property
    def structure(self) -> tuple[object, ...]:
        """What a plan depends on besides the numbers; equal structures share a plan."""
        return (
            self.circuit.digest,
            self.measurement,
            self.rows,
            self.shots,
            self.noise.digest if self.noise else None,
            self.require_seed,
            is_tensor(self.inputs),
            self.readout is not None,
        )

    @cached_property
    def inputs_digest(self) -> str:
        """`array_digest` of the inputs."""
        return array_digest(self.inputs)

    @cached_property
    def weights_digest(self) -> str:
        """`array_digest` of the weights."""
        return array_digest(self.weights)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` over everything that decides the result, the arrays by their digests."""
        document = {
            "circuit": self.circuit.digest,
            "inputs": self.inputs_digest,
            "weights": self.weights_digest,
            "measurement": measurement_to_json(self.measurement),
            "shots": self.shots,
            "seed": self.seed,
            "noise": self.noise.digest if self.noise else None,
            "readout": None if self.readout is None else [array_digest(h) for h in self.readout],
        }
        text = json.dumps(document, separators=(",", ":"), sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@frozen(kw_only=True)
class Cost:
    """Money, as bounds. ``high is None`` means that the price is not known, which is not free.

    Args:
        low, high: bounds in ``unit``.
        unit: the provider's own unit ("USD", "qpu_seconds", "credits").
        basis: the tariff and its date, in words.
    """

    low: Decimal | None
    high: Decimal | None
    unit: str = "USD"
    basis: str = ""

    @classmethod
    def free(cls) -> Cost:
        return cls(low=Decimal(0), high=Decimal(0), basis="computed in this process")

    @classmethod
    def unknown(cls, basis: str) -> Cost:
        return cls(low=None, high=None, basis=basis)

    @property
    def is_free(self) -> bool:
        return self.high == 0

    def to_json(self) -> dict[str, JSON]:
        def text(value: Decimal | None) -> str | None:
            return None if value is None else str(value)

        return {"low": text(self.low), "high": text(self.high), "unit": self.unit, "basis": self.basis}


@frozen(kw_only=True)
class Snapshot:
    """A device's state at a moment: calibration of a QPU, or versions and precision of a simulator."""

    device: str
    taken_at: dt.datetime
    data: Mapping[str, JSON]

    @cached_property
    def digest(self) -> str:
        text = json.dumps({"device": self.device, "data": self.data}, separators=(",", ":"), sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@frozen(kw_only=True, eq=False)
class Plan:
    """A request made concrete for one device. Pure data: it can be shown and agreed to before it spends.

    Args:
        request: as the caller gave it.
        lowered: the request in the device's own gates; the same object where nothing was rewritten.
        backend: the device's name.
        gradient: how a derivative will be had, or None.
        rows_per_job: the rows of each job, in order.
        cost: bounds for all jobs together.
        decisions: everything chosen on the caller's behalf, in words.
    """

    request: ExecutionRequest
    lowered: ExecutionRequest
    backend: str
    gradient: GradientMethod | None
    rows_per_job: tuple[int, ...]
    cost: Cost
    decisions: tuple[str, ...] = ()

    @property
    def n_jobs(self) -> int:
        return len(self.rows_per_job)

    @property
    def total_shots(self) -> int:
        """Upper bound of shots over all rows, not counting bases."""
        return self.request.rows * (self.request.shots or 0)


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
    """All that is needed to find the job again, in another process, next week. JSON-safe."""

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
    """What a device returns for one job: the array as `Measurement` lays it out, and its own account."""

    data: Any
    shots: int | None
    raw_digest: str | None = None
    lowered_digest: str | None = None
    qpu_seconds: str | None = None
    cost: Cost | None = None
    provider: Mapping[str, JSON] = field(factory=dict)


@frozen(kw_only=True)
class ExecutionRecord:
    """The provenance of one result; the ledger stores exactly this (see `to_json`)."""

    ordinal: int
    label: str
    asked_backend: str
    ran_backend: str
    device_kind: str
    fallback_reason: str | None
    request: str
    circuit: str
    inputs: str | None
    weights: str | None
    output: str | None
    rows: int
    shots: int | None
    seed: int | None
    noise: str | None
    gradient: str | None
    precision: str
    decisions: tuple[str, ...] = ()
    jobs: tuple[JobHandle, ...] = ()
    raw: tuple[str, ...] = ()

    def to_json(self) -> dict[str, JSON]:
        from attrs import asdict

        out: dict[str, JSON] = asdict(self, recurse=False)
        out["decisions"] = list(self.decisions)
        out["jobs"] = [j.to_json() for j in self.jobs]
        out["raw"] = list(self.raw)
        return out


@frozen(kw_only=True, eq=False)
class Result:
    """Numbers with their record. ``data`` is laid out as the request's measurement says."""

    data: Any
    request: ExecutionRequest
    record: ExecutionRecord
