"""A dense simulator of IonQ's gates, least significant qubit first; it shares no code with qimg's (imports numpy)."""

from __future__ import annotations

import cmath
import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Complex = npt.NDArray[np.complex128]
    Floats = npt.NDArray[np.float64]

_R = math.sqrt(0.5)
_FIXED: dict[str, list[list[complex]]] = {
    "x": [[0, 1], [1, 0]],
    "not": [[0, 1], [1, 0]],
    "cnot": [[0, 1], [1, 0]],
    "y": [[0, -1j], [1j, 0]],
    "z": [[1, 0], [0, -1]],
    "h": [[_R, _R], [_R, -_R]],
    "s": [[1, 0], [0, 1j]],
    "si": [[1, 0], [0, -1j]],
    "t": [[1, 0], [0, cmath.exp(0.25j * math.pi)]],
    "ti": [[1, 0], [0, cmath.exp(-0.25j * math.pi)]],
    "v": [[0.5 + 0.5j, 0.5 - 0.5j], [0.5 - 0.5j, 0.5 + 0.5j]],
    "vi": [[0.5 - 0.5j, 0.5 + 0.5j], [0.5 + 0.5j, 0.5 - 0.5j]],
    "swap": [[1, 0, 0, 0], [0, 0, 1, 0], [0, 1, 0, 0], [0, 0, 0, 1]],
}


def gate_matrix(name: str, rotation: float) -> Complex:
    """The gate without its controls; a gate of two targets is symmetric in them."""
    c, s = math.cos(rotation / 2), math.sin(rotation / 2)
    turned: dict[str, list[list[complex]]] = {
        "rx": [[c, -1j * s], [-1j * s, c]],
        "ry": [[c, -s], [s, c]],
        "rz": [[complex(c, -s), 0], [0, complex(c, s)]],
        "xx": [[c, 0, 0, -1j * s], [0, c, -1j * s, 0], [0, -1j * s, c, 0], [-1j * s, 0, 0, c]],
        "yy": [[c, 0, 0, 1j * s], [0, c, -1j * s, 0], [0, -1j * s, c, 0], [1j * s, 0, 0, c]],
        "zz": [
            [complex(c, -s), 0, 0, 0],
            [0, complex(c, s), 0, 0],
            [0, 0, complex(c, s), 0],
            [0, 0, 0, complex(c, -s)],
        ],
    }
    return np.array(turned[name] if name in turned else _FIXED[name], dtype=complex)


def qubits_of(gate: dict[str, Any]) -> tuple[list[int], list[int]]:
    """(targets, controls) of a gate, in whichever of the two spellings it has."""
    targets = gate["targets"] if "targets" in gate else [gate["target"]]
    controls = gate["controls"] if "controls" in gate else [gate["control"]] if "control" in gate else []
    return [int(t) for t in targets], [int(c) for c in controls]


@lru_cache(maxsize=4096)
def _places(qubits: int, targets: tuple[int, ...], controls: tuple[int, ...]) -> tuple[npt.NDArray[np.int64], ...]:
    """Where the amplitudes are that a gate mixes, one array for each value of its targets."""
    index = np.arange(2**qubits)
    wanted, free = sum(1 << c for c in controls), sum(1 << t for t in targets)
    base = index[(index & wanted == wanted) & (index & free == 0)]
    return tuple(base + sum(((j >> k) & 1) << t for k, t in enumerate(targets)) for j in range(2 ** len(targets)))


def distribution(gates: Sequence[dict[str, Any]], qubits: int) -> Floats:
    """Probabilities (2**qubits,) after the gates on ``|0...0>``; bit k of the index is qubit k."""
    state = np.zeros(2**qubits, dtype=complex)
    state[0] = 1
    for gate in gates:
        targets, controls = qubits_of(gate)
        unitary = gate_matrix(gate["gate"], float(gate.get("rotation", 0.0)))
        find = _places if qubits <= 12 else _places.__wrapped__  # large ones are not kept
        places = find(qubits, tuple(targets), tuple(controls))
        before = [state[p] for p in places]
        for row, place in zip(unitary, places, strict=True):
            state[place] = sum(row[i] * before[i] for i in range(len(before)))
    return np.asarray(abs(state) ** 2)
