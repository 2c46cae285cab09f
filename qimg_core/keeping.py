"""Keeping an executed request with its numbers: the writing side of proposals (floor 5; imports execution).

Pure but for the artefacts that it stores through ``put``; who appends the entry is the session's business.
`qimg_core.proposals` finds and reads what is kept here. numpy and safetensors inside functions.
"""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.capabilities import DeviceKind
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.execution import array_digest, is_tensor
from qimg_core.measurement import measurement_to_json
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qimg_core.execution import ExecutionRecord, ExecutionRequest
    from qimg_core.job import JSON
    from qimg_core.measurement import Measurement

KEPT = "proposal.kept"
SCHEMA = "qimg.proposal/1"
_RAWS = 64  # digests that an entry shows; an entry has 65,535 bytes, the artefact has all of them


def _canonical(document: Any) -> bytes:
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


def measurement_digest(measurement: Measurement) -> str:
    """``sha256:`` of the measurement's document: two measurements of equal digest have the same layout."""
    return sha256_digest(_canonical(measurement_to_json(measurement)))


def worth_keeping(record: ExecutionRecord) -> bool:
    """Whether an execution's numbers come from a device: not from a surrogate, not from an earlier proposal."""
    return record.device_kind != DeviceKind.SURROGATE.value and record.reused is None


def keep(
    put: Callable[[bytes], str],
    request: ExecutionRequest,
    record: ExecutionRecord,
    data: Any,
    *,
    run: str,
    at: dt.datetime,
    snapshot: str | None = None,
) -> dict[str, JSON]:
    """Store an executed request with its numbers.

    The arrays (inputs, weights, data) go into one safetensors artefact that also says what was measured; the
    circuit goes into another, whose digest is the circuit's own.

    Args:
        put: stores an artefact durably, returns its digest.
        request: what was executed.
        record: of its execution.
        data: the result, laid out as the measurement says; numpy array or tensor.
        run: the run id.
        at: when it was executed, with a time zone.
        snapshot: digest of the device's snapshot, where there is one.

    Returns:
        facts of the entry ``proposal.kept`` to append.

    Raises:
        ConfigurationError: not `worth_keeping`, or ``at`` has no time zone.
        DataError: the record or the data belong to another request.
    """
    if not worth_keeping(record):
        raise ConfigurationError(f"request {record.ordinal}: only numbers that a device made are kept for later use")
    if at.tzinfo is None:
        raise ConfigurationError("at: wanted a time with its zone, e.g. datetime.now(UTC)")
    if record.request.startswith("sha256:") and record.request != request.digest:
        raise DataError(f"the record is of request {record.request}, not of {request.digest}")
    numbers = _array(data)
    if len(numbers) != request.rows:
        raise DataError(f"data: wanted {request.rows} rows, got {len(numbers)}")
    inputs, weights = _array(request.inputs), _array(request.weights)
    readout = None if request.readout is None else [array_digest(h) for h in request.readout]
    document = {
        "schema": SCHEMA,
        "measurement": measurement_to_json(request.measurement),
        "noise": None if request.noise is None else request.noise.to_json(),
        "readout": readout,
        "mitigation": None if request.mitigation is None else request.mitigation.to_json(),
        "complex": bool(numbers.dtype.kind == "c"),
        "raw": list(record.raw),
    }
    return {
        "schema": SCHEMA,
        "request": request.digest,
        "any_seed": evolve(request, seed=None).digest,
        "circuit": request.circuit.digest,
        "measurement": measurement_digest(request.measurement),
        "inputs": array_digest(inputs),
        "weights": array_digest(weights),
        "output": array_digest(numbers),
        "noise": None if request.noise is None else request.noise.digest,
        "plain": readout is None and request.mitigation is None,
        "rows": request.rows,
        "shots": request.shots,
        "seed": None if request.seed is None else str(request.seed),
        "backend": record.ran_backend,
        "device_kind": record.device_kind,
        "run": run,
        "ordinal": record.ordinal,
        "snapshot": snapshot,
        "at": at.astimezone(dt.UTC).isoformat(),
        "raw": list(record.raw[:_RAWS]),
        "raws": len(record.raw),
        "artefacts": {
            "proposal": put(packed(document, inputs, weights, numbers)),
            "circuit": put(request.circuit.canonical()),
        },
    }


def _array(values: Any) -> Any:
    import numpy as np

    return np.ascontiguousarray(values.detach().cpu().numpy() if is_tensor(values) else values)


def packed(document: Mapping[str, Any], inputs: Any, weights: Any, data: Any) -> bytes:
    """One metadata key, so that equal proposals have equal bytes; complex numbers as pairs of real ones."""
    from safetensors.numpy import save

    if document["complex"]:
        data = data.view(data.real.dtype).reshape(*data.shape, 2)
    metadata = {"qimg": _canonical(document).decode()}
    return bytes(save({"inputs": inputs, "weights": weights, "data": data}, metadata))


def unpacked(blob: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Document and arrays (inputs, weights, data) of an artefact that `packed` made; raises what a reader raises."""
    from safetensors.numpy import load

    size = int.from_bytes(blob[:8], "little")
    document = json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["qimg"])
    arrays = load(blob)
    if document["complex"]:
        data = arrays["data"]
        arrays["data"] = data.view("c16" if data.dtype.itemsize == 8 else "c8")[..., 0]
    return document, arrays
