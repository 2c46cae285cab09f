"""A task as a PennyLane quantum function, for every interface (imports pennylane)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pennylane as qml

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.task import Task

GATES = {
    "rx": qml.RX,
    "ry": qml.RY,
    "rz": qml.RZ,
    "rot": qml.Rot,
    "h": qml.Hadamard,
    "cx": qml.CNOT,
    "cz": qml.CZ,
    "rxx": qml.IsingXX,
    "ryy": qml.IsingYY,
    "rzz": qml.IsingZZ,
    "crx": qml.CRX,
    "cry": qml.CRY,
    "crz": qml.CRZ,
}


def tape(task: Task) -> Callable[..., Any]:
    """The quantum function (x, w, h); columns of x and of w by row, or w a vector."""

    def circuit(x: Any, w: Any, h: Any = None) -> Any:
        if task.amplitudes:
            qml.AmplitudeEmbedding(x, wires=range(task.wires), normalize=True)
        for gate in task.gates:
            angles = [(x if kind == "x" else w)[..., i] for kind, i in gate.angles]
            GATES[gate.name](*angles, wires=gate.wires)
            if task.noise is not None:
                for wire in gate.wires:
                    qml.DepolarizingChannel(task.noise, wires=wire)
        if task.reading == "z":
            return [qml.expval(qml.PauliZ(q)) for q in range(task.wires)]
        if task.reading == "windows":
            return [qml.expval(qml.Hermitian(h[i], wires=window)) for i, window in enumerate(task.windows)]
        if task.reading == "counts":
            return qml.sample(wires=range(task.wires))
        return qml.probs(wires=range(task.wires))

    return circuit
