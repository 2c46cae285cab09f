"""qimg's noise models in Aer, channel by channel (imports qimg_core, numpy; qiskit and Aer inside functions).

Each channel is put into the circuit behind the gate that it follows, as an instruction of its own, so nothing
depends on how Aer matches gate names: rotations that only turn a measurement basis are not followed by noise.
Conventions: our ``depolarizing(p)`` is Aer's ``depolarizing_error(p, 1)``; both are stored as Pauli
probabilities (1 - 3p/4, p/4, p/4, p/4), and Kraus operators are the same matrices on both sides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, matrix
from qimg_ibm.walker import check_gate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import FloatArray
    from qimg_core.noise import Channel, NoiseModel

LETTERS = "IXYZ"


def to_error(channel: Channel) -> Any:
    """A channel as Aer's `QuantumError`."""
    from qiskit_aer.noise import kraus_error, pauli_error

    if channel.pauli is not None:
        p = np.clip(channel.pauli, 0.0, 1.0)
        return pauli_error(list(zip(LETTERS, p / p.sum(), strict=True)))
    return kraus_error([np.array(k, dtype=complex) for k in channel.kraus])


def noisy(circuit: Circuit, model: NoiseModel, basis: Circuit) -> Any:
    """A bound circuit with its noise, then the gates that turn the measurement bases, as a `QuantumCircuit`.

    Args:
        circuit: bound; disturbed.
        model: its rules follow the gates they name, in order, on each wire.
        basis: bound; undisturbed.
    """
    from qiskit import QuantumCircuit

    rules = [(rule, to_error(rule.channel).to_instruction()) for rule in model.rules]
    out = QuantumCircuit(circuit.n_wires)
    for gate in circuit.gates:
        _append(out, gate)
        for rule, instruction in rules:
            for wire in rule.targets(gate.name, gate.wires):
                out.append(instruction, [wire])
    for gate in basis.gates:
        _append(out, gate)
    return out


def _append(out: Any, gate: Any) -> None:
    check_gate(gate.name)
    angles = [a.offset for a in gate.angles]
    if (
        gate.name in CONTROLLED_ROTATIONS
    ):  # Aer's density matrices do not know them; Qiskit's matrices are little-endian
        out.unitary(matrix(gate.name, angles[0]), list(reversed(gate.wires)))
    else:
        getattr(out, gate.name.value)(*angles, *gate.wires)


def confused(probabilities: FloatArray, model: NoiseModel | None, wires: Sequence[int]) -> FloatArray:
    """Distributions (rows, 2**k) over ``wires``, first most significant, after the model's read-out errors."""
    if model is None:
        return probabilities
    rows, k = len(probabilities), len(wires)
    table = probabilities.reshape(rows, *(2,) * k)
    for axis, wire in enumerate(wires, 1):
        found = model.readout_of(wire)
        if found is not None:
            p10, p01 = found
            flip = np.array([[1 - p10, p01], [p10, 1 - p01]])
            table = np.moveaxis(np.tensordot(flip, table, axes=(1, axis)), 0, axis)
    return np.asarray(table.reshape(rows, 2**k))


def readout_model(model: NoiseModel | None, wires: Sequence[int]) -> Any:
    """An Aer noise model with nothing but the read-out errors of some wires; None for none."""
    if model is None or all(model.readout_of(w) is None for w in wires):
        return None
    from qiskit_aer.noise import NoiseModel as AerNoise
    from qiskit_aer.noise import ReadoutError

    out = AerNoise()
    for wire in wires:
        found = model.readout_of(wire)
        if found is not None:
            p10, p01 = found
            out.add_readout_error(ReadoutError([[1 - p10, p10], [p01, 1 - p01]]), [wire])
    return out


def frequencies(counts: Sequence[dict[str, int]], k: int) -> list[dict[tuple[int, ...], int]]:
    """Aer's counts, keyed by hexadecimal numbers whose bit j is classical bit j, keyed by bits instead."""
    out = []
    for row in counts:
        table: dict[tuple[int, ...], int] = {}
        for key, count in row.items():
            value = int(key, 16)
            table[tuple((value >> j) & 1 for j in range(k))] = int(count)
        out.append(table)
    return out
