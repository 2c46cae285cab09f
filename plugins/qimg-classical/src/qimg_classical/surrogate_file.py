"""A surrogate as a file: safetensors with one JSON document (imports qimg_core, safetensors; runs nothing it reads).

Equal fits give equal bytes. The document holds the digests of all arrays and is itself hashed, so that a changed
bit is noticed. Somebody who writes new digests too is shown by the file's own digest, which the ledger's entry
``surrogate.fitted`` holds: `qimg surrogate show FILE --ledger RUNS`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import asdict, evolve

from qimg_classical.measured import ByOutput, MeasuredError
from qimg_classical.series import Cosines, Series
from qimg_classical.surrogate import Surrogate
from qimg_classical.training_set import Function
from qimg_core.errors import WeightsError
from qimg_core.execution import array_digest
from qimg_core.measurement import measurement_from_json
from qimg_core.proposals import measurement_digest
from qimg_core.storage import sha256_digest

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = "qimg.surrogate/1"
_BY_OUTPUT = ("rmse", "low", "high", "largest")


def to_bytes(surrogate: Surrogate) -> bytes:
    """The file's content."""
    from safetensors.numpy import save

    s = surrogate.series
    arrays = {
        "frequencies": s.features.frequencies,
        "phases": s.features.phases,
        "coefficients": s.coefficients,
        "intercept": s.intercept,
        "low": surrogate.low,
        "high": surrogate.high,
        **{f"error.{name}": getattr(surrogate.by_output, name) for name in _BY_OUTPUT},
    }
    arrays = {name: np.ascontiguousarray(array, dtype=np.float64) for name, array in arrays.items()}
    document = {
        "schema": SCHEMA,
        "function": asdict(surrogate.function),
        "wires": surrogate.wires,
        "error": surrogate.error.to_json(),
        "facts": dict(surrogate.facts),
        "arrays": {name: array_digest(array) for name, array in arrays.items()},
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    sealed = json.dumps({"document": text, "digest": sha256_digest(text.encode())}, sort_keys=True)
    return bytes(save(arrays, {"qimg": sealed}))


def from_bytes(blob: bytes, where: str = "the surrogate") -> Surrogate:
    """Read `to_bytes` back.

    Raises:
        WeightsError: truncated, foreign, or changed since it was written.
    """
    try:
        document, arrays = _opened(blob)
        surrogate = _surrogate(document, arrays)
    except WeightsError as error:
        raise WeightsError(f"{where} {error.message}", hint="fit it again, or restore it from a copy") from error
    except Exception as cause:  # whatever a damaged file makes a reader raise
        raise WeightsError(f"{where} is no surrogate file: {cause}", hint="qimg surrogate fit makes one") from cause
    return evolve(surrogate, digest=sha256_digest(blob))


def load(path: str | Path) -> Surrogate:
    """Read a surrogate's file.

    Raises:
        WeightsError: no such file, or as `from_bytes`.
    """
    try:
        blob = Path(path).read_bytes()
    except OSError as cause:
        raise WeightsError(
            f"cannot read the surrogate {path}: {cause.strerror}", hint=f"qimg surrogate fit --out {path}"
        ) from cause
    return from_bytes(blob, str(path))


def _opened(blob: bytes) -> tuple[Mapping[str, Any], dict[str, Any]]:
    from safetensors.numpy import load as load_arrays

    size = int.from_bytes(blob[:8], "little")
    sealed = json.loads(json.loads(blob[8 : 8 + size])["__metadata__"]["qimg"])
    text = sealed["document"]
    if sha256_digest(text.encode()) != sealed["digest"]:
        raise WeightsError("was changed after it was written: its document has another digest")
    document = json.loads(text)
    if document.get("schema") != SCHEMA:
        raise WeightsError(f"is of schema {document.get('schema')!r}, wanted {SCHEMA!r}")
    arrays = load_arrays(blob)
    for name, digest in document["arrays"].items():
        if array_digest(arrays[name]) != digest:
            raise WeightsError(f"was changed after it was written: {name} has another digest")
        if not np.isfinite(arrays[name]).all():
            raise WeightsError(f"holds NaN or infinite values in {name}")
    return document, arrays


def _surrogate(document: Mapping[str, Any], arrays: Mapping[str, Any]) -> Surrogate:
    series = Series(Cosines(arrays["frequencies"], arrays["phases"]), arrays["coefficients"], arrays["intercept"])
    measurement = measurement_from_json(document["facts"]["measurement"])
    function = Function(**document["function"])
    features, outputs = series.coefficients.shape
    shapes = (arrays["frequencies"].shape, arrays["low"].shape, (outputs,))
    if shapes != ((features, len(arrays["high"])), arrays["high"].shape, (measurement.width,)):
        raise WeightsError("holds arrays whose shapes do not fit each other")
    if measurement_digest(measurement) != function.measurement:
        raise WeightsError("names a measurement of another digest")
    return Surrogate(
        function=function,
        measurement=measurement,
        wires=int(document["wires"]),
        series=series,
        low=arrays["low"],
        high=arrays["high"],
        error=MeasuredError.from_json(document["error"]),
        by_output=ByOutput(*(arrays[f"error.{name}"] for name in _BY_OUTPUT)),
        facts=document["facts"],
    )
