"""The closed gate vocabulary of the circuit IR and the matrices that define it (imports errors only).

Matrices act on the gate's wires in the order they are listed, first wire most significant
(big-endian): ``cx`` on wires (c, t) is [[1,0,0,0],[0,1,0,0],[0,0,0,1],[0,0,1,0]].
Rotations are exp(-i angle G / 2). ``p`` is diag(1, exp(i angle)). ``sx`` is the square root of X
with determinant i (Qiskit's). OpenQASM 3's stdgates.inc uses the same names and phases, except
that it has no rxx, ryy, rzz.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IR_VERSION = 1


class GateName(enum.StrEnum):
    """Every operation of IR version 1. Adding one is a minor release: capabilities list gates."""

    H = "h"
    X = "x"
    Y = "y"
    Z = "z"
    S = "s"
    SDG = "sdg"
    T = "t"
    TDG = "tdg"
    SX = "sx"
    RX = "rx"
    RY = "ry"
    RZ = "rz"
    P = "p"
    CX = "cx"
    CZ = "cz"
    SWAP = "swap"
    CRX = "crx"
    CRY = "cry"
    CRZ = "crz"
    RXX = "rxx"
    RYY = "ryy"
    RZZ = "rzz"
    CCX = "ccx"
    PREPARE = "prepare"
    MEASURE = "measure"
    RESET = "reset"

    @property
    def n_wires(self) -> int | None:
        """How many wires it takes; None for ``prepare``, which takes one or more."""
        if self is GateName.PREPARE:
            return None
        return 3 if self is GateName.CCX else 2 if self in TWO_WIRE else 1

    @property
    def n_angles(self) -> int:
        """1 for parameterised gates, else 0. ``prepare`` takes 2**k or 2 * 2**k, see `Gate`."""
        return int(self in PARAMETRIC)


G = GateName
TWO_WIRE = frozenset({G.CX, G.CZ, G.SWAP, G.CRX, G.CRY, G.CRZ, G.RXX, G.RYY, G.RZZ})
ROTATIONS = frozenset({G.RX, G.RY, G.RZ, G.P, G.RXX, G.RYY, G.RZZ})
"""Gates of two eigenvalues one apart (up to a phase), where the two-term shift rule is exact."""
CONTROLLED_ROTATIONS = frozenset({G.CRX, G.CRY, G.CRZ})
"""Gates of three frequencies, where the four-term shift rule is exact (Wierichs et al. 2022, arXiv 2107.12390)."""
PARAMETRIC = ROTATIONS | CONTROLLED_ROTATIONS
NON_UNITARY = frozenset({G.MEASURE, G.RESET})
UNITARY = frozenset(G) - NON_UNITARY - {G.PREPARE}


def matrix(name: GateName, angle: float | None = None) -> npt.NDArray[np.complex128]:
    """The defining unitary, complex128 of shape (2**k, 2**k).

    Args:
        name: any gate of `UNITARY`.
        angle: in radians, for gates of `PARAMETRIC`.
    """
    import numpy as np

    eye, x = np.eye(2, dtype=complex), np.array([[0, 1], [1, 0]], dtype=complex)
    y, z = np.array([[0, -1j], [1j, 0]]), np.diag([1.0 + 0j, -1])
    constant = {
        G.H: (x + z) / np.sqrt(2),
        G.X: x,
        G.Y: y,
        G.Z: z,
        G.S: np.diag([1, 1j]),
        G.SDG: np.diag([1, -1j]),
        G.T: np.diag([1, np.exp(0.25j * np.pi)]),
        G.TDG: np.diag([1, np.exp(-0.25j * np.pi)]),
        G.SX: np.array([[1 + 1j, 1 - 1j], [1 - 1j, 1 + 1j]]) / 2,
        G.CZ: np.diag([1.0 + 0j, 1, 1, -1]),
        G.SWAP: np.eye(4, dtype=complex)[[0, 2, 1, 3]],
        G.CX: np.eye(4, dtype=complex)[[0, 1, 3, 2]],
        G.CCX: np.eye(8, dtype=complex)[[0, 1, 2, 3, 4, 5, 7, 6]],
    }
    if name in constant:
        return np.asarray(constant[name], dtype=complex)
    if name not in PARAMETRIC or angle is None:
        raise ValueError(f"{name} has no matrix" if name not in PARAMETRIC else f"{name} needs an angle")
    if name is G.P:
        return np.diag([1, np.exp(1j * angle)])
    generator = {"x": x, "y": y, "z": z}
    if name in (G.RXX, G.RYY, G.RZZ):
        pauli = generator[name.value[-1]]
        return np.asarray(_rotation(np.kron(pauli, pauli), angle))
    rotation = _rotation(generator[name.value[-1]], angle)
    if name in CONTROLLED_ROTATIONS:
        return np.block([[eye, np.zeros((2, 2))], [np.zeros((2, 2)), rotation]])
    return rotation


def _rotation(generator: npt.NDArray[np.complex128], angle: float) -> npt.NDArray[np.complex128]:
    import numpy as np

    out = np.cos(angle / 2) * np.eye(len(generator)) - 1j * np.sin(angle / 2) * generator
    return np.asarray(out, dtype=complex)
