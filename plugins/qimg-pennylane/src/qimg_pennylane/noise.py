"""Our noise models on a density-matrix device: channels after gates, confused read-out (imports numpy, PennyLane)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml

from qimg_core.circuit.gates import GateName, matrix

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import numpy.typing as npt

    from qimg_core.circuit.ir import Gate
    from qimg_core.noise import Channel, NoiseModel

    Complex = npt.NDArray[np.complex128]
    Errors = Mapping[int, tuple[float, float]]

PAULIS = np.array([np.eye(2), *(matrix(GateName(p)) for p in "xyz")])
"""I, X, Y, Z: complex (4, 2, 2)."""


def kraus(channel: Channel) -> list[Complex]:
    """Its Kraus operators, without those of probability 0."""
    if channel.pauli is not None:
        return [np.asarray(np.sqrt(p) * m) for p, m in zip(channel.pauli, PAULIS, strict=True) if p > 0]
    return [np.array(k, dtype=complex) for k in channel.kraus]


def channels_after(gate: Gate, noise: NoiseModel) -> list[Any]:
    """What follows one unitary gate: for each rule that names it, its channel on each of the gate's wires."""
    return [
        qml.QubitChannel(kraus(rule.channel), wires=wire)
        for rule in noise.rules
        for wire in rule.targets(gate.name, gate.wires)
    ]


def readout_errors(noise: NoiseModel | None, wires: Iterable[int]) -> Errors | None:
    """(p(1|0), p(0|1)) of each wire that is read with errors; None where read-out is perfect."""
    if noise is None:
        return None
    found = {w: pair for w in wires if (pair := noise.readout_of(w)) is not None}
    return found or None


def readout_channels(errors: Errors, wires: Iterable[int]) -> list[Any]:
    """Flips just before a Z measurement: on diagonals this channel is the confusion matrix.

    Args:
        errors: of each wire that has them.
        wires: that are read.
    """
    out = []
    for wire in wires:
        if wire not in errors:
            continue
        p10, p01 = errors[wire]
        operators = [
            np.diag([np.sqrt(1 - p10), np.sqrt(1 - p01)]),
            np.array([[0, 0], [np.sqrt(p10), 0]]),
            np.array([[0, np.sqrt(p01)], [0, 0]]),
        ]
        out.append(qml.QubitChannel([k for k in operators if k.any()], wires=wire))
    return out


def read_paulis(errors: Errors | None, wire: int) -> Complex:
    """The observables that are really measured on a wire where I, X, Y, Z are meant: complex (4, 2, 2).

    With confusion, P becomes (1 - p(1|0) - p(0|1)) P + (p(0|1) - p(1|0)) I: the outcome +1 of any P is read as
    bit 0.
    """
    if errors is None or wire not in errors:
        return PAULIS
    p10, p01 = errors[wire]
    out = (1 - p10 - p01) * PAULIS + (p01 - p10) * PAULIS[:1]
    out[0] = PAULIS[0]
    return np.asarray(out, dtype=np.complex128)


def confused(probabilities: npt.NDArray[np.float64], errors: Errors, wires: Sequence[int]) -> npt.NDArray[np.float64]:
    """Distributions (rows, 2**k) over wires as they are read: each wire's matrix [[1 - p10, p01], [p10, 1 - p01]]."""
    k = probabilities.shape[1].bit_length() - 1
    out = probabilities.reshape(len(probabilities), *(2,) * k)
    for axis in range(1, k + 1):
        p10, p01 = errors.get(wires[axis - 1], (0.0, 0.0))
        confusion = np.array([[1 - p10, p01], [p10, 1 - p01]])
        out = np.moveaxis(np.tensordot(confusion, out, axes=(1, axis)), 0, axis)
    return np.asarray(out.reshape(len(probabilities), -1))
