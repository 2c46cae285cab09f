"""What is needed to read a job's result, kept with the job: in its handle, and in IonQ's metadata of it.

So that a job which is found again by its key alone, in another process, can be read.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.capabilities import Mismatch
from qimg_core.errors import CapabilityError, ConfigurationError, ProtocolError
from qimg_core.measurement import measurement_from_json, measurement_to_json
from qimg_core.settings import Setting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.job import JSON, Intent
    from qimg_core.measurement import Measurement

VERSION = 1
LONGEST = 48 * 1024
"""Characters of a note in IonQ's metadata."""

_READ = re.compile(r"(\d+)([XYZ])")


@frozen(kw_only=True)
class Note:
    """How to read a result.

    Args:
        measurement: what was asked.
        settings: the circuits of each row, in order.
        rows, qubits: of the job.
        shots: of each circuit; None for exact numbers.
        seed: of the shots that are drawn here; None where IonQ counts.
        averaged: frequencies without counts (debiasing).
        lowered: digest of the circuits as they were sent.
    """

    measurement: Measurement
    settings: tuple[Setting, ...]
    rows: int
    qubits: int
    shots: int | None
    seed: int | None
    averaged: bool
    lowered: str

    @property
    def circuits(self) -> int:
        """How many the job has: rows times settings, all settings of the first row first."""
        return self.rows * len(self.settings)

    def to_json(self) -> dict[str, JSON]:
        """For a handle: no floats; the seed as text, for it may pass 2**53."""
        return {
            "note": VERSION,
            "measurement": measurement_to_json(self.measurement),
            "settings": ["".join(f"{w}{p}" for w, p in s.basis) for s in self.settings],
            "rows": self.rows,
            "qubits": self.qubits,
            "shots": self.shots,
            "seed": None if self.seed is None else str(self.seed),
            "averaged": self.averaged,
            "lowered": self.lowered,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Note:
        """Read `to_json` back.

        Raises:
            ProtocolError: it is of another version, or none.
        """
        if document.get("note") != VERSION:
            raise ProtocolError(f"wanted a note of version {VERSION} with the job, got {document.get('note')!r}")
        try:
            return cls(
                measurement=measurement_from_json(document["measurement"]),
                settings=tuple(Setting(_READ.findall(text)) for text in document["settings"]),
                rows=document["rows"],
                qubits=document["qubits"],
                shots=document["shots"],
                seed=None if document["seed"] is None else int(document["seed"]),
                averaged=document["averaged"],
                lowered=document["lowered"],
            )
        except (KeyError, TypeError, ValueError, ConfigurationError) as cause:
            raise ProtocolError(f"the note with the job is damaged: {cause!r}") from cause

    def metadata(self, intent: Intent, device: str) -> dict[str, str]:
        """For the job at IonQ: the intent's key and run, and this note.

        Raises:
            CapabilityError: the measurement is too long to be kept there.
        """
        text = json.dumps(self.to_json(), separators=(",", ":"), sort_keys=True)
        packed = base64.b64encode(zlib.compress(text.encode(), 9)).decode()
        if len(packed) > LONGEST:
            wanted = f"{len(self.settings)} settings whose description takes {len(packed)} characters"
            raise CapabilityError(
                device,
                [Mismatch("measurement", wanted, f"up to {LONGEST} characters")],
                hint="measure fewer terms or windows in one request",
            )
        return {"qimg_key": intent.key, "qimg_run": intent.run, "qimg_note": packed}


def note_from_metadata(metadata: Mapping[str, Any]) -> Note:
    """Read `Note.metadata` back.

    Raises:
        ProtocolError: there is no note, or it is damaged.
    """
    try:
        packed = base64.b64decode(metadata["qimg_note"], validate=True)
        opened = zlib.decompressobj()
        document = json.loads(opened.decompress(packed, 64 * LONGEST))
    except (KeyError, ValueError, TypeError, zlib.error) as cause:
        raise ProtocolError(f"the job carries our key and no note that can be read: {cause!r}") from cause
    if not isinstance(document, dict):
        raise ProtocolError("the job carries our key and a note that is none")
    return Note.from_json(document)
