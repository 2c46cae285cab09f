"""Braket's result documents as counts (imports qimg_core, numpy; no SDK, whose readers guess where we must not).

The schemas are ``braket.task_result.gate_model_task_result`` and ``...program_set_task_result``. A document that is cut
off, lacks programs or holds anything but bits is a `ResultError`; nothing is filled in.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from qimg_core.errors import ResultError
from qimg_core.settings import Outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from qimg_core.settings import Setting

Bits = tuple[int, ...]
_TOLERANCE = 1e-6


@frozen
class Tally:
    """What one program gave.

    Args:
        counts: outcome over all wires in order -> how often; empty where the device gave only probabilities.
        weights: outcome -> share, summing to 1.
        shots: that were taken.
    """

    counts: Mapping[Bits, int]
    weights: Mapping[Bits, float]
    shots: int

    def over(self, wires: Sequence[int]) -> Tally:
        """Of some wires, in the order given."""
        counts: Counter[Bits] = Counter()
        weights: dict[Bits, float] = {}
        for bits, count in self.counts.items():
            counts[tuple(bits[w] for w in wires)] += count
        for bits, weight in self.weights.items():
            key = tuple(bits[w] for w in wires)
            weights[key] = weights.get(key, 0.0) + weight
        return Tally(counts, weights, self.shots)


@frozen
class Failure:
    """A program of a set that gave nothing, and why."""

    reason: str


@frozen
class Part:
    """One file of a result, as it came.

    Args:
        key: its name in S3.
        data: its bytes.
    """

    key: str
    data: bytes = field(repr=False)


@frozen
class Decoded:
    """A task's result.

    Args:
        programs: one for each program, in the order in which they were sent.
        parts: the files, in the order in which they were read.
        milliseconds: that a managed simulator took, as it says.
    """

    programs: tuple[Tally | Failure, ...]
    parts: tuple[Part, ...]
    milliseconds: int | None = None


def decode(
    bucket: str,
    folder: str,
    wires: int,
    shots: Sequence[int],
    get: Callable[[str, str], bytes],
    taken: int | None = None,
) -> Decoded:
    """Download and read one task's result.

    Args:
        bucket: where it lies in S3.
        folder: of the task in the bucket.
        wires: of the circuits.
        shots: asked of each program.
        get: (bucket, key) -> bytes.
        taken: shots that Braket calls successful, where it says so; for tasks of one program.

    Raises:
        ResultError: a document that cannot be read, or the wrong number of programs.
    """
    reader = _Reader(bucket, get)
    document = reader.json(f"{folder}/results.json")
    name = _field(document, "braketSchemaHeader", dict).get("name")
    if name == "braket.task_result.gate_model_task_result":
        if len(shots) != 1:
            raise ResultError(f"wanted a result of {len(shots)} programs, got the result of one")
        took = ((document.get("additionalMetadata") or {}).get("simulatorMetadata") or {}).get("executionDuration")
        programs: tuple[Tally | Failure, ...] = (_tally(document, wires, taken or shots[0]),)
        return Decoded(programs, tuple(reader.parts), None if took is None else int(took))
    if name == "braket.task_result.program_set_task_result":
        programs = tuple(_programs(document, folder, wires, shots, reader))
        if len(programs) != len(shots):
            raise ResultError(f"wanted the results of {len(shots)} programs, got {len(programs)}")
        return Decoded(programs, tuple(reader.parts))
    raise ResultError(f"wanted a Braket result document, got schema {name!r}")


class _Reader:
    """Downloads, and remembers what it downloaded."""

    def __init__(self, bucket: str, get: Callable[[str, str], bytes]) -> None:
        self.bucket, self._get = bucket, get
        self.parts: list[Part] = []

    def json(self, key: str, bucket: str | None = None) -> dict[str, Any]:
        data = self._get(bucket or self.bucket, key)
        self.parts.append(Part(key, data))
        try:
            document = json.loads(data)
        except ValueError as cause:
            raise ResultError(f"{key} is no JSON document; its {len(data)} bytes may be cut off") from cause
        if not isinstance(document, dict):
            raise ResultError(f"{key}: wanted a JSON object, got {type(document).__name__}")
        return document


def _programs(
    document: Mapping[str, Any], folder: str, wires: int, shots: Sequence[int], reader: _Reader
) -> Iterator[Tally | Failure]:
    """Programs in order; what is not inlined lies in files beside the first."""
    place = document.get("s3Location")
    bucket, prefix = (str(place[0]), str(place[1])) if place else (reader.bucket, folder)
    for index, item in enumerate(_field(document, "programResults", list)):
        here = prefix
        if isinstance(item, str):
            here = f"{prefix}/{item}".rpartition("/")[0]
            item = reader.json(f"{prefix}/{item}", bucket)
        executables = _field(item, "executableResults", list)
        if len(executables) != 1:
            raise ResultError(f"program {index}: wanted one executable, as was sent, got {len(executables)}")
        found = executables[0]
        if isinstance(found, str):
            found = reader.json(f"{here}/{found}", bucket)
        failure = found.get("failureMetadata")
        if failure is not None:
            yield Failure(str(failure.get("failureReason") or "no reason given"))
        else:
            yield _tally(found, wires, shots[index] if index < len(shots) else 1)


def _tally(document: Mapping[str, Any], wires: int, asked: int) -> Tally:
    order = document.get("measuredQubits")
    if not isinstance(order, list) or sorted(order) != list(range(wires)):
        raise ResultError(f"wanted the measured qubits 0 to {wires - 1}, got {order!r}")
    place = [order.index(w) for w in range(wires)]
    measurements = document.get("measurements")
    if measurements:
        try:
            table = np.asarray(measurements)
        except ValueError as cause:
            raise ResultError(f"wanted rows of {wires} bits, got rows of several lengths") from cause
        if (
            table.ndim != 2
            or table.shape[1] != wires
            or table.dtype.kind not in "iu"
            or not np.isin(table, (0, 1)).all()
        ):
            raise ResultError(f"wanted rows of {wires} bits, got something else")
        values, number = np.unique(table[:, place], axis=0, return_counts=True)
        total = int(number.sum())
        counts = {tuple(int(b) for b in v): int(c) for v, c in zip(values, number, strict=True)}
        return Tally(counts, {b: c / total for b, c in counts.items()}, total)
    probabilities = document.get("measurementProbabilities")
    if not isinstance(probabilities, dict) or not probabilities:
        raise ResultError("a result without measurements and without probabilities")
    weights: dict[Bits, float] = {}
    for text, p in probabilities.items():
        if len(text) != wires or set(text) - {"0", "1"} or not isinstance(p, (int, float)) or not 0 <= p <= 1:
            raise ResultError(f"wanted outcomes of {wires} bits with probabilities, got {text!r}: {p!r}")
        weights[tuple(int(text[k]) for k in place)] = float(p)
    total_p = sum(weights.values())
    if abs(total_p - 1) > _TOLERANCE:
        raise ResultError(f"the probabilities sum to {total_p!r}")
    counts = {b: round(p * asked) for b, p in weights.items()}
    # multiples of 1/shots are counts in another form; anything else was processed, and is not dressed up as counts
    exact = (
        all(abs(p * asked - counts[b]) <= 1e-6 * asked for b, p in weights.items()) and sum(counts.values()) == asked
    )
    shares = {b: p / total_p for b, p in weights.items()}
    return Tally({b: c for b, c in counts.items() if c} if exact else {}, shares, asked)


def outcomes(rows: Sequence[Tally], setting: Setting) -> Outcomes:
    """What one setting gave, for every row."""
    over = [row.over(setting.wires) for row in rows]
    if all(t.counts for t in over):
        return Outcomes.counted([t.counts for t in over], len(setting.wires))
    seen = sorted({bits for t in over for bits in t.weights})
    weights = np.array([[t.weights.get(bits, 0.0) for bits in seen] for t in over])
    return Outcomes(np.array(seen, dtype=np.uint8), weights)


def raw_of(decoded: Sequence[Decoded]) -> tuple[bytes, str]:
    """What the provider returned, as one piece of bytes with its digest: a single file as it is, several in JSON."""
    parts = [part for d in decoded for part in d.parts]
    if len(parts) == 1:
        data = parts[0].data
    else:
        files = [{"key": p.key, "text": p.data.decode("utf-8", "replace")} for p in parts]
        document = {"schema": "qimg.braket.raw/1", "files": files}
        data = json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    return data, "sha256:" + hashlib.sha256(data).hexdigest()


def _field(document: Any, name: str, kind: type) -> Any:
    found = document.get(name) if isinstance(document, dict) else None
    if not isinstance(found, kind):
        raise ResultError(f"a result without {name!r}")
    return found
