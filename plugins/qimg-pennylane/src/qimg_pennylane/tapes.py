"""A circuit as PennyLane operations, gate by gate (imports qimg_core, numpy, PennyLane).

Every gate of the IR has a PennyLane operation of the same matrix, phase included. ``prepare`` gates come first
on their wires, so all of them together are one `StatePrep` at the front: PennyLane's devices take that one
natively, and would synthesise any other from rotations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml

from qimg_core.capabilities import Mismatch
from qimg_core.circuit.gates import GateName
from qimg_core.errors import CapabilityError, DataError
from qimg_pennylane.noise import channels_after

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle, Circuit, Gate
    from qimg_core.noise import NoiseModel

    Complex = npt.NDArray[np.complex128]

G = GateName
FIXED: dict[GateName, Callable[[Any], Any]] = {
    G.H: qml.Hadamard,
    G.X: qml.X,
    G.Y: qml.Y,
    G.Z: qml.Z,
    G.S: qml.S,
    G.SDG: lambda wires: qml.adjoint(qml.S(wires)),
    G.T: qml.T,
    G.TDG: lambda wires: qml.adjoint(qml.T(wires)),
    G.SX: qml.SX,
    G.CX: qml.CNOT,
    G.CZ: qml.CZ,
    G.SWAP: qml.SWAP,
    G.CCX: qml.Toffoli,
}
ROTATION: dict[GateName, Callable[..., Any]] = {
    G.RX: qml.RX,
    G.RY: qml.RY,
    G.RZ: qml.RZ,
    G.P: qml.PhaseShift,
    G.CRX: qml.CRX,
    G.CRY: qml.CRY,
    G.CRZ: qml.CRZ,
    G.RXX: qml.IsingXX,
    G.RYY: qml.IsingYY,
    G.RZZ: qml.IsingZZ,
}


class Template:
    """A circuit compiled once; `bind` puts numbers in. Operations without a parameter are shared by all rows.

    Args:
        circuit: unitary gates, and ``prepare`` as the first gate of its wires.
        noise: channels to put after the gates, for a density-matrix device.

    Raises:
        CapabilityError: a ``prepare`` after another gate of its wires.
    """

    def __init__(self, circuit: Circuit, noise: NoiseModel | None = None) -> None:
        self.circuit = circuit
        self.prepared: list[Gate] = []
        self.gates: list[Gate] = []
        self._steps: list[tuple[Gate | None, list[Any]]] = []  # a gate to bind or None, then fixed operations
        touched: set[int] = set()
        for gate in circuit.gates:
            if gate.name is G.PREPARE:
                if touched & set(gate.wires):
                    offered = "prepare as the first gate of its wires"
                    raise CapabilityError(
                        "pennylane", [Mismatch("gates", f"prepare on {gate.wires} after a gate", offered)]
                    )
                self.prepared.append(gate)
            else:
                self.gates.append(gate)
                after = [] if noise is None else channels_after(gate, noise)
                if any(a.parameter is not None for a in gate.angles):
                    self._steps.append((gate, after))
                else:
                    self._steps.append((None, [operation(gate, [a.offset for a in gate.angles]), *after]))
            touched |= set(gate.wires)

    @property
    def prepared_wires(self) -> tuple[int, ...]:
        """Wires of all ``prepare`` gates, in the order of `amplitudes`."""
        return tuple(w for g in self.prepared for w in g.wires)

    def bind(self, columns: Sequence[Any], *, normalise: bool = False) -> list[Any]:
        """The operations for one row, or for a batch.

        Args:
            columns: per entry of `Circuit.parameters` a number, or (rows,) to broadcast over rows.
            normalise: divide amplitudes by their norm, which is 1 up to rounding; samplers are strict about that.

        Raises:
            DataError: amplitudes whose norm is not 1.
        """
        out: list[Any] = []
        if self.prepared:
            state = self.amplitudes(columns)
            if normalise:
                state = state / np.linalg.norm(state, axis=-1, keepdims=True)
            out.append(qml.StatePrep(state, wires=self.prepared_wires, validate_norm=False))
        for gate, fixed in self._steps:
            if gate is not None:
                out.append(operation(gate, [value(a, columns) for a in gate.angles]))
            out += fixed
        return out

    def amplitudes(self, columns: Sequence[Any]) -> Complex:
        """The product of all prepared states, complex (..., 2**k) over `prepared_wires`."""
        whole = np.ones(1, dtype=complex)
        for gate in self.prepared:
            one = prepared_state(gate, columns)
            whole = (whole[..., :, None] * one[..., None, :]).reshape(
                *np.broadcast(whole[..., 0], one[..., 0]).shape, -1
            )
        return whole

    def row_numbers(self, columns: Sequence[Any]) -> int:
        """How many rows ``columns`` hold as far as this circuit reads them; 1 where nothing differs by row."""
        used = {a.parameter for g in self.circuit.gates for a in g.angles if a.parameter is not None}
        return max((np.size(columns[p]) for p in used), default=1)


def operation(gate: Gate, values: Sequence[Any]) -> Any:
    """One gate with its angles' numbers."""
    if gate.name in FIXED:
        return FIXED[gate.name](gate.wires)
    return ROTATION[gate.name](values[0], wires=gate.wires)


def value(angle: Angle, columns: Sequence[Any]) -> Any:
    """``scale * parameter + offset``."""
    return angle.offset if angle.parameter is None else angle.scale * columns[angle.parameter] + angle.offset


def prepared_state(gate: Gate, columns: Sequence[Any]) -> Complex:
    """Amplitudes of one ``prepare``, complex (..., 2**k).

    Raises:
        DataError: the norm is off by more than 1e-6.
    """
    table = np.stack(np.broadcast_arrays(*[value(a, columns) for a in gate.angles]), axis=-1).astype(float)
    size = 2 ** len(gate.wires)
    state = table[..., :size] + 1j * (table[..., size:] if table.shape[-1] > size else 0.0)
    worst = float(np.abs((np.abs(state) ** 2).sum(-1) - 1).max())
    if not worst <= 1e-6:
        raise DataError(
            f"prepare: amplitudes must have norm 1, a row's squared norm is off by {worst:.3g}",
            hint="normalise the amplitudes, or use an encoder, which does",
        )
    return np.asarray(state)
