"""The values that travel: request -> plan -> result with its record (floor 3).

All immutable. Imports errors, circuit, capabilities, measurement, noise, job; numpy only inside functions.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from qimg_core.errors import DataError
from qimg_core.measurement import measurement_to_json

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from qimg_core.capabilities import GradientMethod
    from qimg_core.circuit.ir import Circuit
    from qimg_core.job import JSON, Cost, JobHandle
    from qimg_core.measurement import Measurement
    from qimg_core.mitigation import Mitigation
    from qimg_core.noise import NoiseModel

    FloatArray = npt.NDArray[np.float64]


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
        weights: (circuit.n_weights,) shared by all rows; or (groups, n_weights), where ``groups`` divides the rows and
            each vector serves as many consecutive rows, up to (rows, n_weights); same kind of array.
        measurement: what is measured, and so the layout of the result.
        shots: per row (and per basis where a measurement needs several); None asks for exact numbers.
        seed: for sampling; the same request with the same seed gives the same samples where the
            device is ``seeded``.
        require_seed: refuse devices whose sampling cannot be seeded.
        noise: disturbs the circuit on simulators.
        readout: (optional) per window of a `LocalStates` measurement, complex Hermitian matrices
            (K, 2**k, 2**k): ask for <H> (rows, sum K) instead of Pauli vectors. Only for devices that
            claim `contracts`; the numbers are the same.
        mitigation: (optional) error mitigation of expectation values; the core plans and records each
            extra circuit that it takes.

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
    mitigation: Mitigation | None = None

    def __attrs_post_init__(self) -> None:
        c, x, w = self.circuit, self.inputs, self.weights
        if x.ndim != 2 or x.shape[1] != c.n_inputs or x.shape[0] < 1:
            raise DataError(f"inputs: wanted (rows, {c.n_inputs}) with rows >= 1, got {tuple(x.shape)}")
        shared = tuple(w.shape) == (c.n_weights,)
        if not shared and (w.ndim != 2 or w.shape[1] != c.n_weights or not len(w) or x.shape[0] % len(w)):
            wanted = f"({c.n_weights},), or (groups, {c.n_weights}) with groups that divide the {x.shape[0]} rows"
            raise DataError(f"weights: wanted {wanted}, got {tuple(w.shape)}")
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
    def groups(self) -> int | None:
        """How many weight vectors serve several rows each; None where all rows share one or each has its own."""
        if self.weights.ndim == 1 or len(self.weights) == self.rows:
            return None
        return len(self.weights)

    def by_row(self) -> ExecutionRequest:
        """The same request with a weight vector for each row, where there are `groups`; else itself."""
        if self.groups is None:
            return self
        each = self.rows // self.groups
        w = self.weights
        return evolve(self, weights=w.repeat_interleave(each, 0) if is_tensor(w) else w.repeat(each, 0))

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
            self.groups,
            self.readout is not None,
            self.mitigation,
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
        document: dict[str, Any] = {
            "circuit": self.circuit.digest,
            "inputs": self.inputs_digest,
            "weights": self.weights_digest,
            "measurement": measurement_to_json(self.measurement),
            "shots": self.shots,
            "seed": self.seed,
            "noise": self.noise.digest if self.noise else None,
            "readout": None if self.readout is None else [array_digest(h) for h in self.readout],
        }
        if self.mitigation is not None:
            document["mitigation"] = self.mitigation.to_json()
        text = json.dumps(document, separators=(",", ":"), sort_keys=True)
        return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


@frozen(kw_only=True)
class Footprint:
    """What one circuit of a plan asks of the device as it will be executed there.

    Args:
        wires: qubits it touches.
        depth: gates on the longest path.
        two_qubit_gates: how many.
        duration_us: of one shot, shortest decimal form, where the device's timing is known.
        basis: what was counted: "as written", or "transpiled for ibm_fez, level 1, seed 7".
        digest: of the text that will be executed, where there is one.
    """

    wires: int
    depth: int
    two_qubit_gates: int
    duration_us: str | None = None
    basis: str = "as written"
    digest: str | None = None

    def to_json(self) -> dict[str, JSON]:
        from attrs import asdict

        return asdict(self)


@frozen(kw_only=True, eq=False)
class Plan:
    """A request made concrete for one device. Pure data: it can be shown and agreed to before it spends.

    Args:
        request: as the caller gave it.
        lowered: the request in the device's own gates; the same object where nothing was rewritten.
        backend: the device's name.
        gradient: how a derivative will be had, or None.
        rows_per_job: the rows of each block of rows, in order: one job, or one for each piece of shots.
        shots_per_job: pieces of shots that a device of fewer shots takes one after the other; else empty.
        cost: bounds for all jobs together.
        decisions: everything chosen on the caller's behalf, in words.
        footprint: of the largest circuit as the device will execute it; None for free work in this process.
        parts: with error mitigation, the plans of the circuits that it takes; cost and jobs are theirs together.
    """

    request: ExecutionRequest
    lowered: ExecutionRequest
    backend: str
    gradient: GradientMethod | None
    rows_per_job: tuple[int, ...]
    cost: Cost
    shots_per_job: tuple[int, ...] = ()
    decisions: tuple[str, ...] = ()
    footprint: Footprint | None = None
    parts: tuple[Plan, ...] = ()

    @property
    def n_jobs(self) -> int:
        return (
            sum(p.n_jobs for p in self.parts) if self.parts else len(self.rows_per_job) * (len(self.shots_per_job) or 1)
        )

    @property
    def total_shots(self) -> int:
        """Upper bound of shots over all rows, not counting bases."""
        if self.parts:
            return sum(p.total_shots for p in self.parts)
        return self.request.rows * (self.request.shots or 0)


@frozen(kw_only=True)
class Chunk:
    """Where a part of a merged result came from.

    Args:
        job: which job of the plan.
        rows: (first, one after the last) row of the request.
        shots: taken per row and setting.
        key: of the job's intent.
        raw: digest of what the provider returned.
        sampling: see `RawResult.sampling`.
    """

    job: int
    rows: tuple[int, int]
    shots: int | None
    key: str
    raw: str | None = None
    sampling: str | None = None


@frozen(kw_only=True)
class ExecutionRecord:
    """The provenance of one result; the ledger stores exactly this (see `to_json`).

    Args:
        ordinal: which request of the run.
        label: which part of a model asked.
        asked_backend, ran_backend, device_kind, fallback_reason: what was asked, what ran, and why that.
        request, circuit, inputs, weights, output: digests.
        rows, shots, seed, noise, gradient, precision: as executed.
        decisions: everything chosen on the caller's behalf.
        jobs: handles of remote jobs.
        raw: digests of what the provider returned, one per job.
        chunks: where each part of a merged result came from.
        footprint: the circuit as the device executed it.
        drift: what of the calibration changed between the snapshots before and after.
        reused: where the numbers were taken from instead of a device: ``run/ordinal of an earlier execution``.
        mitigation: role in an error mitigation.
        error: a surrogate's estimated error.
    """

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
    chunks: tuple[Chunk, ...] = ()
    footprint: Footprint | None = None
    drift: tuple[str, ...] = ()
    reused: str | None = None
    mitigation: str | None = None
    error: str | None = None

    def to_json(self) -> dict[str, JSON]:
        from attrs import asdict

        out: dict[str, JSON] = asdict(self, recurse=False)
        out["decisions"] = list(self.decisions)
        out["jobs"] = [j.to_json() for j in self.jobs]
        out["raw"] = list(self.raw)
        out["chunks"] = [asdict(c) for c in self.chunks]
        out["footprint"] = None if self.footprint is None else self.footprint.to_json()
        out["drift"] = list(self.drift)
        for optional in ("chunks", "footprint", "drift", "reused", "mitigation", "error"):
            if not out[optional]:  # free work in this process has none of these; its lines stay short
                del out[optional]
        return out


@frozen(kw_only=True, eq=False)
class Result:
    """Numbers with their record. ``data`` is laid out as the request's measurement says."""

    data: Any
    request: ExecutionRequest
    record: ExecutionRecord
