"""Finite shots: one tape per setting, drawn by the device from one seed (imports qimg_core, numpy, PennyLane).

All tapes run on one device object in a fixed order, rows first within a setting, so the seed fixes every draw
and no two rows or settings share one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
from pennylane.tape import QuantumScript

from qimg_core.errors import ResultError
from qimg_core.execution import array_digest
from qimg_core.measurement import Samples
from qimg_core.settings import Outcomes, read, settings_for
from qimg_pennylane.executing import Block, blocks, columns_of, row
from qimg_pennylane.noise import readout_channels, readout_errors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy.typing as npt

    from qimg_core.execution import ExecutionRequest
    from qimg_core.settings import Setting
    from qimg_pennylane.devices import DeviceFacts
    from qimg_pennylane.executing import Runner
    from qimg_pennylane.noise import Errors
    from qimg_pennylane.tapes import Template

    Array = npt.NDArray[Any]

_BITS = 2**25
"""Most bits that are held as PennyLane returns them, eight bytes each."""
_TAPES = 128
"""Most tapes that are held at once."""


def sampled(
    request: ExecutionRequest, template: Template, facts: DeviceFacts, runner: Runner, name: str
) -> tuple[Array, str, dict[str, Any]]:
    """The result of a request with shots.

    Returns:
        the array, the digest of what was drawn, and the draws as a document: per setting its wires, bases and
        counts (empty for `Samples`, whose draws are the result).

    Raises:
        ResultError: the device returned another number of shots, or no bits.
    """
    settings = settings_for(request.measurement)
    errors = readout_errors(request.noise, request.measurement.wires)
    outcomes, drawn, document = [], [], []
    for setting in settings:
        draws = _draws(request, template, facts, runner, setting, errors, name)
        if isinstance(request.measurement, Samples):
            data = np.concatenate(list(draws))
            return data, array_digest(data), {}
        table = _outcomes([one for bits in draws for one in _tally(bits)], len(setting.wires))
        outcomes.append(table)
        assert table.counts is not None
        drawn += [table.bits.astype(np.int64).reshape(-1), table.counts.reshape(-1)]
        document.append(
            {
                "basis": [[w, p] for w, p in setting.basis],
                "outcomes": ["".join(map(str, b)) for b in table.bits.tolist()],
                "counts": table.counts.tolist(),
            }
        )
    digest = array_digest(np.concatenate(drawn))
    return read(request.measurement, settings, outcomes), digest, {"shots": request.shots, "settings": document}


def _draws(
    request: ExecutionRequest,
    template: Template,
    facts: DeviceFacts,
    runner: Runner,
    setting: Setting,
    errors: Errors | None,
    name: str,
) -> Iterator[Array]:
    """Bits of one setting, uint8 (rows, shots, wires) a block, in the order of the rows."""
    shots, wires = request.shots or 0, setting.wires
    ending = [op for wire, letter in setting.basis for op in _to_z(wire, letter)]
    if errors is not None:
        ending += readout_channels(errors, wires)
    asked = [qml.sample(wires=wires)]
    batch: list[Block] = []
    whole = _blocks(request, template, facts)
    for index, block in enumerate(whole):
        batch.append(block)
        held = sum(b.rows for b in batch) * shots * len(wires)
        if held < _BITS and len(batch) < _TAPES and index + 1 < len(whole):
            continue
        tapes = [QuantumScript([*template.bind(b.columns, normalise=True), *ending], asked, shots=shots) for b in batch]
        for b, found in zip(batch, runner.execute(tapes), strict=True):
            bits = np.asarray(found)
            if bits.size != b.rows * shots * len(wires) or not np.isin(bits, (0, 1)).all():
                raise ResultError(
                    f"{name}: wanted {shots} shots of {len(wires)} wires in {b.rows} rows, got an array {bits.shape}"
                )
            yield bits.reshape(b.rows, shots, len(wires)).astype(np.uint8)
        batch = []


def _blocks(request: ExecutionRequest, template: Template, facts: DeviceFacts) -> list[Block]:
    """As `blocks`, but equal rows are drawn each on their own."""
    found = list(blocks(facts, template, request))
    if sum(b.rows for b in found) == request.rows:
        return found
    return [Block(row(columns_of(request), r), 1) for r in range(request.rows)]


def _to_z(wire: int, letter: str) -> list[Any]:
    if letter == "Z":
        return []
    return [qml.adjoint(qml.S(wire)), qml.Hadamard(wire)] if letter == "Y" else [qml.Hadamard(wire)]


def _tally(bits: Array) -> list[tuple[Array, Array]]:
    """Per row: which outcomes came, as big-endian numbers, and how often."""
    places = 2 ** np.arange(bits.shape[2] - 1, -1, -1, dtype=np.int64)
    return [np.unique(one @ places, return_counts=True) for one in bits.astype(np.int64)]


def _outcomes(rows: Sequence[tuple[Array, Array]], wires: int) -> Outcomes:
    seen = np.unique(np.concatenate([index for index, _ in rows]))
    counts = np.zeros((len(rows), len(seen)), dtype=np.int64)
    for r, (index, count) in enumerate(rows):
        counts[r, np.searchsorted(seen, index)] = count
    bits = ((seen[:, None] >> np.arange(wires - 1, -1, -1)) & 1).astype(np.uint8)
    return Outcomes(bits, counts / counts.sum(1, keepdims=True), counts)
