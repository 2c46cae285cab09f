"""Gates and noise as real matrices on Pauli vectors (imports qimg_core, numpy).

The Pauli transfer matrix of a map E on k wires is R[i, j] = 2**-k Tr(P_i E(P_j)), with Pauli strings
in base 4, first wire most significant, digits I, X, Y, Z.
"""

from __future__ import annotations

from functools import reduce
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.circuit.gates import GateName, matrix

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.noise import Channel
    from qimg_simulator.primitives import Axis

    Array = npt.NDArray[Any]

_PAULIS = [np.eye(2, dtype=complex), *(matrix(GateName(p)) for p in "xyz")]
AXIS_DIGITS: dict[Axis, tuple[int, int]] = {"x": (2, 3), "y": (3, 1), "z": (1, 2)}
"""The two digits that a rotation turns: the first towards the second."""


def transfer(kraus: list[Array]) -> Array:
    """The Pauli transfer matrix of rho -> sum_K K rho K^dag, real (4**k, 4**k)."""
    k = len(kraus[0]).bit_length() - 1
    strings = np.array([reduce(np.kron, word) for word in product(_PAULIS, repeat=k)])
    out = np.zeros((4**k, 4**k))
    for operator in kraus:
        moved = operator @ strings @ operator.conj().T
        out += np.einsum("iab,jba->ij", strings, moved).real / 2**k
    return out


def channel_transfer(channel: Channel) -> Array:
    """The 4x4 matrix of a one-qubit noise channel."""
    if channel.pauli is not None:
        return transfer([np.sqrt(max(p, 0.0)) * s for p, s in zip(channel.pauli, _PAULIS, strict=True)])
    return transfer([np.array(k, dtype=complex) for k in channel.kraus])


def confusion_transfer(readout: tuple[float, float]) -> Array:
    """What read-out errors (p(1|0), p(0|1)) make of the expectation value of X, Y or Z of a measured wire.

    <P> -> (1 - p(1|0) - p(0|1)) <P> + p(0|1) - p(1|0), from the confusion matrix
    [[1 - p(1|0), p(0|1)], [p(1|0), 1 - p(0|1)]] on the outcomes (+1, -1).
    """
    up, down = readout
    out = np.eye(4) * (1 - up - down)
    out[0, 0] = 1.0
    out[1:, 0] = down - up
    return out


def _rotations() -> dict[Axis, Array]:
    out: dict[Axis, Array] = {}
    for axis, (p, q) in AXIS_DIGITS.items():
        still, cosine, sine = np.eye(4), np.zeros((4, 4)), np.zeros((4, 4))
        still[p, p] = still[q, q] = 0
        cosine[p, p] = cosine[q, q] = 1
        sine[q, p], sine[p, q] = 1, -1
        out[axis] = np.stack([still, cosine, sine])
    return out


ROTATIONS = _rotations()
"""A rotation is a 4x4 matrix, linear in 1, cos and sin of its angle: those three parts (3, 4, 4)."""
