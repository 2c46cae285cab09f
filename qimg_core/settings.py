"""Measurement settings: which wires a device reads in which Pauli basis, and how counts become results.

For drivers of devices that give counts or distributions of bound circuits. Windows and Pauli words that
agree wire by wire share a setting (qubit-wise commuting), so eight ring windows of two wires need nine
settings and not seventy-two. Floor 3; imports errors, circuit, measurement; numpy inside functions.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Circuit, Gate
from qimg_core.errors import CapabilityError, DataError
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from qimg_core.execution import ExecutionRequest, FloatArray
    from qimg_core.measurement import Measurement

    Bits = npt.NDArray[np.uint8]


def _basis(pairs: Iterable[tuple[int, str]]) -> tuple[tuple[int, str], ...]:
    return tuple((int(w), p) for w, p in pairs)


@frozen
class Setting:
    """One way to read a circuit.

    Args:
        basis: (wire, "X" | "Y" | "Z") for every wire that is read; outcomes are in this order.
    """

    basis: tuple[tuple[int, str], ...] = field(converter=_basis)

    @property
    def wires(self) -> tuple[int, ...]:
        return tuple(w for w, _ in self.basis)

    def letters(self) -> dict[int, str]:
        """Basis of each wire."""
        return dict(self.basis)


@frozen(eq=False)
class Outcomes:
    """What one setting gave, for every row.

    Args:
        bits: uint8 (outcomes, wires of the setting): the distinct outcomes, in the setting's wire order.
        weights: float64 (rows, outcomes): relative frequency or probability; rows sum to 1.
        counts: int64 of the same shape, where the device counted.
    """

    bits: Bits
    weights: FloatArray
    counts: npt.NDArray[np.int64] | None = None

    @classmethod
    def dense(cls, probabilities: FloatArray) -> Outcomes:
        """From distributions (rows, 2**wires), big-endian."""
        import numpy as np

        k = int(probabilities.shape[1]).bit_length() - 1
        return cls(_all_bits(k), np.asarray(probabilities, dtype=np.float64))

    @classmethod
    def counted(cls, rows: Sequence[Mapping[tuple[int, ...], int]], wires: int) -> Outcomes:
        """From counts per row: outcome bits, in the setting's wire order, to how often.

        Raises:
            DataError: a row without counts, or an outcome of another length.
        """
        import numpy as np

        seen = sorted({tuple(bits) for row in rows for bits in row})
        if not seen or any(len(b) != wires for b in seen) or any(sum(row.values()) < 1 for row in rows):
            raise DataError(f"counts: wanted outcomes of {wires} wires in every row")
        index = {bits: i for i, bits in enumerate(seen)}
        table = np.zeros((len(rows), len(seen)), dtype=np.int64)
        for r, row in enumerate(rows):
            for bits, count in row.items():
                table[r, index[tuple(bits)]] += count
        return cls(np.array(seen, dtype=np.uint8), table / table.sum(1, keepdims=True), table)


def settings_for(measurement: Measurement) -> tuple[Setting, ...]:
    """The settings that a measurement needs, few by greedy covering.

    Raises:
        CapabilityError: a state cannot be had from counts.
    """
    if isinstance(measurement, (Probabilities, Samples)):
        return (Setting([(w, "Z") for w in measurement.wires]),)
    if isinstance(measurement, Expectation):
        tasks: list[dict[int, str]] = [dict(t.factors) for t in measurement.terms if t.factors]
    elif isinstance(measurement, LocalStates):
        tasks = [
            dict(zip(window, letters, strict=True))
            for k in sorted({len(w) for w in measurement.windows}, reverse=True)
            for letters in product("XYZ", repeat=k)
            for window in measurement.windows
            if len(window) == k
        ]
    else:
        from qimg_core.capabilities import Mismatch

        raise CapabilityError("a counting device", [Mismatch("measurement", "a state", "counts")])
    found: list[dict[int, str]] = []
    left = tasks
    while left:
        chosen: dict[int, str] = {}
        rest = []
        for task in left:
            if all(chosen.get(w, p) == p for w, p in task.items()):
                chosen |= task
            else:
                rest.append(task)
        found.append(chosen)
        left = rest
    everything = sorted({w for s in found for w in s})
    return tuple(Setting([(w, s.get(w, "Z")) for w in everything]) for s in found) or (Setting([(0, "Z")]),)


def rotated(circuit: Circuit, setting: Setting) -> Circuit:
    """The circuit followed by the rotations that bring the setting's bases to Z; wires keep their places."""
    gates = list(circuit.gates)
    for wire, letter in setting.basis:
        if letter == "Y":
            gates.append(Gate(GateName.SDG, (wire,)))
        if letter in "XY":
            gates.append(Gate(GateName.H, (wire,)))
    return Circuit(circuit.n_wires, tuple(gates), circuit.parameters)


def bound(circuit: Circuit, values: Sequence[float]) -> Circuit:
    """The circuit with every angle a number.

    Args:
        circuit: any.
        values: one number per `Circuit.parameters`, a row of ``circuit.values(inputs, weights)``.
    """

    def fixed(a: Angle) -> Angle:
        return a if a.parameter is None else Angle(None, 1.0, a.scale * float(values[a.parameter]) + a.offset)

    gates = tuple(Gate(g.name, g.wires, tuple(fixed(a) for a in g.angles)) if g.angles else g for g in circuit.gates)
    return Circuit(circuit.n_wires, gates, ())


def bound_circuits(request: ExecutionRequest) -> tuple[tuple[Setting, ...], list[list[Circuit]]]:
    """Settings, and for each row one bound circuit per setting."""
    settings = settings_for(request.measurement)
    values = request.circuit.values(request.inputs, request.weights)
    turned = [rotated(request.circuit, s) for s in settings]
    return settings, [[bound(c, row) for c in turned] for row in values]


def read(measurement: Measurement, settings: Sequence[Setting], outcomes: Sequence[Outcomes]) -> Any:
    """The result array of a measurement from the outcomes of its settings.

    Args:
        measurement: what was asked.
        settings: of `settings_for`.
        outcomes: one per setting, in order.

    Returns:
        the array as the measurement lays it out; samples are the counts written out, their order means nothing.
    """
    import numpy as np

    rows = len(outcomes[0].weights)
    if isinstance(measurement, Probabilities):
        return _marginal(settings[0], outcomes[0], measurement.wires)
    if isinstance(measurement, Samples):
        counts = outcomes[0].counts
        if counts is None:
            raise DataError("samples need counts; the device gave probabilities")
        return np.stack([np.repeat(outcomes[0].bits, row, axis=0) for row in counts])
    if isinstance(measurement, Expectation):
        out = np.zeros((rows, measurement.width))
        for column, term in enumerate(measurement.terms):
            if not term.factors:
                out[:, column] = term.coefficient
                continue
            means = [
                _parity(s, o, term.wires) for s, o in zip(settings, outcomes, strict=True) if _reads(s, term.factors)
            ]
            out[:, column] = term.coefficient * np.mean(means, axis=0)
        return out
    assert isinstance(measurement, LocalStates)
    blocks = [_pauli_vector(window, settings, outcomes) for window in measurement.windows]
    return np.concatenate(blocks, axis=1)


def _reads(setting: Setting, factors: Iterable[tuple[int, str]]) -> bool:
    letters = setting.letters()
    return all(letters.get(w) == p for w, p in factors)


def _parity(setting: Setting, outcomes: Outcomes, wires: Sequence[int]) -> FloatArray:
    import numpy as np

    columns = [setting.wires.index(w) for w in wires]
    signs = 1.0 - 2.0 * (outcomes.bits[:, columns].sum(axis=1) % 2)
    return np.asarray(outcomes.weights @ signs)


def _marginal(setting: Setting, outcomes: Outcomes, wires: Sequence[int]) -> FloatArray:
    """(rows, 2**len(wires)), big-endian over the wires in the order given."""
    import numpy as np

    columns = [setting.wires.index(w) for w in wires]
    index = np.zeros(len(outcomes.bits), dtype=np.int64)
    for c in columns:
        index = 2 * index + outcomes.bits[:, c]
    out = np.zeros((len(outcomes.weights), 2 ** len(columns)))
    np.add.at(out.T, index, outcomes.weights.T)
    return out


def _pauli_vector(window: tuple[int, ...], settings: Sequence[Setting], outcomes: Sequence[Outcomes]) -> FloatArray:
    """(rows, 4**k): every setting that reads the window adds the words it can see; agreeing ones are averaged."""
    import numpy as np

    k = len(window)
    total = np.zeros((len(outcomes[0].weights), 4**k))
    hits = np.zeros(4**k)
    for setting, found in zip(settings, outcomes, strict=True):
        letters = setting.letters()
        if not all(w in letters for w in window):
            continue
        values, index = _marginal(setting, found, window), np.zeros(1, dtype=np.int64)
        for position, wire in enumerate(window):  # signed sums over each subset of the wires
            view = values.reshape(len(values), 2**position, 2, -1)
            both = np.stack([view[:, :, 0] + view[:, :, 1], view[:, :, 0] - view[:, :, 1]], 2)
            values = both.reshape(len(values), -1)
            index = (index[:, None] * 4 + np.array([0, "IXYZ".index(letters[wire])])[None]).reshape(-1)
        total[:, index] += values
        hits[index] += 1
    return total / hits


def _all_bits(k: int) -> Bits:
    import numpy as np

    index = np.arange(2**k)
    return ((index[:, None] >> np.arange(k - 1, -1, -1)) & 1).astype(np.uint8)
