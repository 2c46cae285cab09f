"""From IonQ's probabilities to the result of a measurement (imports the note; numpy).

IonQ names an outcome by a decimal number whose bit k is qubit k, always over all qubits. Which of them were
measured, and in which order, is ours to pick. What counts is never made up: probabilities of a device that counts
must be whole numbers of its shots.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.errors import ResultError
from qimg_core.seeds import derive_seed
from qimg_core.settings import Outcomes, read

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_core.settings import Setting
    from qimg_ionq.note import Note

    Floats = npt.NDArray[np.float64]

SLACK = 1e-6
"""How far a sum of probabilities may be from 1, and a count, in parts of its shots, from a whole number."""

Histogram = tuple["npt.NDArray[np.int64]", "Floats"]
"""Outcomes (ascending) and their probabilities."""


def pack(body: bytes, children: Sequence[str] | None, shots: int | None) -> bytes:
    """What IonQ returned, as received, with the two things from the job's answer that reading it needs.

    Args:
        body: of the result.
        children: ids of the circuits in their order, for a job of several.
        shots: that IonQ says it took.
    """
    head = json.dumps({"children": children, "shots": shots}, separators=(",", ":"))
    return head[:-1].encode() + b',"result":' + body + b"}"


def decode(raw: bytes, note: Note) -> tuple[Any, int | None]:
    """The result array, and the shots of each circuit that were taken.

    Args:
        raw: of `pack`.
        note: how to read it.

    Raises:
        ResultError: it is no result of this job, or counts that no counting can give.
    """
    try:
        document = json.loads(raw)
        found, children, told = document["result"], document["children"], document["shots"]
    except (ValueError, KeyError, TypeError, RecursionError) as cause:
        raise ResultError(f"ionq: the result is no JSON ({len(raw)} bytes)") from cause
    histograms = [_histogram(h, note.qubits) for h in _in_order(found, children, note.circuits)]
    shots = note.shots
    if note.shots is not None and note.seed is None and told is not None:
        shots = told
    per = len(note.settings)
    outcomes = [_outcomes(s, histograms[i::per], note, i, shots) for i, s in enumerate(note.settings)]
    return read(note.measurement, note.settings, outcomes), shots


def _in_order(found: Any, children: Sequence[str] | None, circuits: int) -> list[Any]:
    if not isinstance(found, dict):
        raise ResultError(f"ionq: wanted a result object, got {type(found).__name__}")
    if circuits == 1 and not (len(found) == 1 and all(isinstance(h, dict) for h in found.values())):
        return [found]
    if len(found) != circuits:
        raise ResultError(f"ionq: wanted results of {circuits} circuits, got {len(found)}")
    if children is None or circuits == 1:
        return list(found.values())  # as IonQ's own clients read it: in the order of the document
    if set(children) != set(found):
        raise ResultError("ionq: the result's circuits are not those of the job")
    return [found[c] for c in children]


def _histogram(entries: Any, qubits: int) -> Histogram:
    if not isinstance(entries, dict) or not entries:
        raise ResultError("ionq: wanted probabilities of one outcome at least, got none")
    keys = [int(k) if k.isascii() and k.isdecimal() and len(k) < 19 else -1 for k in entries]
    values = list(entries.values())
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) and -1e-9 <= v <= 1 + SLACK for v in values)
    if min(keys) < 0 or max(keys) >= 2**qubits or len(set(keys)) != len(keys) or not numbers:
        raise ResultError(
            f"ionq: wanted a probability for each of some outcomes of {qubits} qubits, got something else"
        )
    order = np.argsort(np.array(keys, dtype=np.int64))
    p = np.array(values, dtype=np.float64)[order]
    total = p.sum()
    if abs(total - 1) > SLACK:
        raise ResultError(f"ionq: wanted probabilities that sum to 1, got a sum of {total!r}")
    return np.array(keys, dtype=np.int64)[order], np.clip(p, 0, None)


def _outcomes(setting: Setting, histograms: Sequence[Histogram], note: Note, index: int, shots: int | None) -> Outcomes:
    keys = np.unique(np.concatenate([k for k, _ in histograms]))
    table = np.zeros((len(histograms), len(keys)))
    for row, (k, p) in enumerate(histograms):
        table[row, np.searchsorted(keys, k)] = p
    bits = ((keys[:, None] >> np.array(setting.wires)) & 1).astype(np.uint8)
    if shots is None or note.averaged:
        return Outcomes(bits, table)
    if note.seed is not None:
        counts = np.zeros(table.shape, dtype=np.int64)
        for row, (k, p) in enumerate(histograms):
            rng = np.random.Generator(np.random.PCG64(derive_seed(note.seed, "row", row, "setting", index)))
            counts[row, np.searchsorted(keys, k)] = rng.multinomial(shots, p / p.sum())
    else:
        counts = _counted(table, shots)
    return Outcomes(bits, counts / shots, counts)


def _counted(table: Floats, shots: int) -> npt.NDArray[np.int64]:
    exact = table * shots
    counts = np.rint(exact).astype(np.int64)
    off = np.abs(exact - counts).max()
    if off > min(SLACK * shots, 0.1) or (counts.sum(axis=1) != shots).any():
        raise ResultError(
            f"ionq: invented counts: the probabilities are no whole numbers of {shots} shots (off by up to {off:.3g})",
            hint="what IonQ returned can be fetched again; nothing is rounded in its place",
        )
    return counts
