"""What is needed to read a job's result, and reading it (imports qimg_core; the SDK's decoders inside).

The same document goes into the handle and, as metadata of the first circuit, into the job itself, which
IBM returns with the result. So a job that is found again by its tag can be read without anything else.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, DataError, ResultError
from qimg_core.measurement import measurement_from_json, measurement_to_json
from qimg_core.settings import Outcomes, Setting, read
from qimg_ibm.walker import REGISTER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy as np
    import numpy.typing as npt

    from qimg_core.job import JSON
    from qimg_core.measurement import Measurement

    Bits = npt.NDArray[np.bool_]

METADATA = "qimg"
VERSION = 1


def _settings(items: Iterable[Setting]) -> tuple[Setting, ...]:
    return tuple(items)


@frozen(kw_only=True)
class Reading:
    """How to read a job.

    Args:
        key: of the job's intent.
        measurement: what was asked.
        settings: one circuit of the job each, in order.
        rows: of the job.
        shots: asked, of each row and setting.
        circuits: of the job for each setting: 1 where the rows are values of its parameters, or ``rows`` where
            it has none, because then there is nothing to broadcast.
    """

    key: str
    measurement: Measurement
    settings: tuple[Setting, ...] = field(converter=_settings)
    rows: int
    shots: int
    circuits: tuple[int, ...]

    def to_json(self) -> dict[str, JSON]:
        """Without floats. Bit j of the register is the j-th wire of its setting."""
        return {
            "version": VERSION,
            "key": self.key,
            "measurement": measurement_to_json(self.measurement),
            "settings": [[[w, p] for w, p in s.basis] for s in self.settings],
            "register": REGISTER,
            "bits": "bit j of the register is the j-th wire of the setting",
            "rows": self.rows,
            "shots": self.shots,
            "circuits": list(self.circuits),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Reading:
        """Read `to_json` back.

        Raises:
            ResultError: not such a document.
        """
        try:
            if document["version"] != VERSION:
                raise ResultError(f"the job was sent by another qimg-ibm (reading version {document['version']!r})")
            return cls(
                key=str(document["key"]),
                measurement=measurement_from_json(document["measurement"]),
                settings=[Setting(s) for s in document["settings"]],
                rows=int(document["rows"]),
                shots=int(document["shots"]),
                circuits=tuple(int(n) for n in document["circuits"]),
            )
        except (KeyError, TypeError, ValueError, ConfigurationError) as cause:
            raise ResultError(f"the job does not say how to read it: {type(cause).__name__} {cause}") from cause

    def array(self, circuits: list[Bits]) -> tuple[Any, int]:
        """The result array, and the shots that were taken of each row and setting.

        Args:
            circuits: (rows, shots, bits) of each circuit.

        Raises:
            ResultError: another number of circuits, rows, shots or bits than the job had.
        """
        import numpy as np

        if len(circuits) != sum(self.circuits):
            raise ResultError(f"wanted the results of {sum(self.circuits)} circuits, got {len(circuits)}")
        taken = {bits.shape[1] for bits in circuits}
        if len(taken) != 1:
            raise ResultError(f"the circuits of one job have different numbers of shots: {sorted(taken)}")
        blocks, at = [], 0
        for count in self.circuits:
            blocks.append(np.concatenate(circuits[at : at + count]))
            at += count
        outcomes = []
        for setting, bits in zip(self.settings, blocks, strict=True):
            k = len(setting.wires)
            if bits.shape[0] != self.rows or bits.shape[2] != k:
                raise ResultError(
                    f"wanted {self.rows} rows of {self.shots} shots of {k} bits, got an array of shape {bits.shape}"
                )
            outcomes.append(Outcomes.counted([_counts(row) for row in bits], k))
        try:
            return read(self.measurement, self.settings, outcomes), int(taken.pop())
        except DataError as cause:
            raise ResultError(f"the result cannot be read: {cause.message}") from cause


def _counts(shots: Bits) -> dict[tuple[int, ...], int]:
    import numpy as np

    if not len(shots):
        raise ResultError("the result has a row without shots")
    seen, counts = np.unique(shots.astype(np.uint8), axis=0, return_counts=True)
    return {tuple(int(b) for b in bits): int(c) for bits, c in zip(seen, counts, strict=True)}


def decode(text: str) -> tuple[list[Bits], Reading | None, dict[str, JSON]]:
    """IBM's answer, read by IBM's own decoders.

    Args:
        text: the body of ``GET /jobs/{id}/results``.

    Returns:
        for each circuit (rows, shots, bits), bit j being classical bit j; the reading that the job
        carries; and when it executed, as IBM says.

    Raises:
        ResultError: it cannot be read.
    """
    from qiskit_ibm_runtime.decoders.defaults import DEFAULT_DECODERS

    try:
        result: Any = text
        timing: dict[str, JSON] = {}
        for decoder in DEFAULT_DECODERS["executor"]:
            if decoder.is_applicable(result):
                result = decoder.decode(result)
                timing = timing or _timing(result)
        circuits = [_bits(pub.data[REGISTER]) for pub in result]
        metadata = result[0].metadata.get("circuit_metadata") or {}
    except Exception as cause:  # the border to the SDK's decoders: an answer that they cannot read is no result
        raise ResultError(f"IBM's answer cannot be read: {type(cause).__name__} {str(cause)[:200]}") from cause
    carried = metadata.get(METADATA)
    return circuits, None if carried is None else Reading.from_json(json.loads(carried)), timing


def _bits(array: Any) -> Bits:
    """(rows, shots, bits) of Qiskit's `BitArray`, with one row where there are none."""
    bits = array.to_bool_array(order="little")  # column k is classical bit k
    if bits.ndim not in (2, 3):
        raise ValueError(f"an array of {bits.ndim} axes")
    return bits if bits.ndim == 3 else bits[None]  # type: ignore[no-any-return]


def _timing(result: Any) -> dict[str, JSON]:
    spans = list(getattr(getattr(result, "metadata", None), "chunk_timing", None) or ())
    if not spans:
        return {}
    return {
        "executed_from": min(s.start for s in spans).isoformat(),
        "executed_to": max(s.stop for s in spans).isoformat(),
    }
