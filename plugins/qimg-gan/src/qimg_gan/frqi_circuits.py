"""The circuits of `frqi-gan`: address wires and a colour wire, and how noise enters (imports qimg_core, qimg_circuits).

The address is big-endian over the first wires in Z-order (Morton): the first two wires say which quarter of the image,
the next two which quarter of that. The colour is the last wire.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_circuits.arrays import check_batch
from qimg_circuits.encoders.angle import AngleEncoder
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import Circuit, CircuitBuilder

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.encoder import Encoder
    from qimg_core.execution import FloatArray

ADDRESSES = ("still", "mixed")


@frozen
class ControlledTurns(StandardEncoder):
    """CRY from each address wire to the colour and RY on the colour, each by a number of its own, as it is.

    The address is only read, so that all places keep the same chance. Angles of an address wire are multiplied by its
    `weight`, and all of them by ``scale``.
    """

    address: int
    scale: float = 1.0

    @property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(self.address + 1)
        for w in range(self.address):
            b.gate("cry", w, self.address, angles=(b.input(f"cry{w}") * (self.scale * weight(w)),))
        return b.ry(self.address, b.input("ry") * self.scale).build()

    @property
    def n_features(self) -> int:
        return self.address + 1

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, address + 1), as they are."""
        return check_batch(batch, self.n_features, "controlled turns")


def weight(wire: int) -> float:
    """2 for the wires of the coarsest bits of y and x, half as much for each finer pair: images are smooth at first."""
    return 2.0 * 0.5 ** (wire // 2)


def upload(address: int, kind: str, layers: int) -> Encoder:
    """How a layer takes the noise, one number a wire: `ControlledTurns`, or RY by half of it on every wire.

    Those add up over the layers as long as nothing is between them; a share of 1 / layers keeps the sum small at first.
    """
    return ControlledTurns(address, 1 / layers) if kind == "still" else AngleEncoder(address + 1, "y", 0.5)


def layer(address: int, kind: str) -> Circuit:
    """What follows an upload."""
    return writing_layer(address) if kind == "still" else mixing_layer(address)


def writing_layer(address: int) -> Circuit:
    """CRZ from each address wire to the colour, then RY RZ RY there: address + 3 weights.

    CRZ does not commute with the CRY of the uploads, which makes the colour a nonlinear function of the address.
    """
    b = CircuitBuilder(address + 1)
    for w in range(address):
        b.gate("crz", w, address, angles=(b.weight(f"crz{w}") * weight(w),))
    for k, axis in enumerate(("ry", "rz", "ry")):
        b.gate(axis, address, angles=(b.weight(f"turn{k}"),))
    return b.build()


def z_order(size: int) -> npt.NDArray[np.int64]:
    """Address of each pixel in reading order, (size * size,) int64: the bits y x y x ..., coarse first.

    Args:
        size: height and width, a power of 2.
    """
    y, x = np.divmod(np.arange(size * size), size)
    out = np.zeros(size * size, dtype=np.int64)
    for bit in reversed(range(size.bit_length() - 1)):
        out = out * 4 + (y >> bit & 1) * 2 + (x >> bit & 1)
    return out


def opening(address: int) -> Circuit:
    """All places alike, H on each address wire, and RY by one weight on the colour, the last wire."""
    b = CircuitBuilder(address + 1)
    for w in range(address):
        b.h(w)
    return b.ry(address, b.weight("brightness")).build()


def mixing_layer(address: int) -> Circuit:
    """After an upload: a real block on each two neighbours, then CRY from each address wire to the colour.

    A block is RY RY CX RY RY CX, which keeps amplitudes real; first the pairs (0, 1), (2, 3), ..., then (1, 2), ...
    5 * address weights; the last ``address`` are those of the CRY.
    """
    n = address + 1
    b = CircuitBuilder(n)
    for first in [*range(0, n - 1, 2), *range(1, n - 1, 2)]:
        for half in range(2):
            for w in (first, first + 1):
                b.ry(w, b.weight(f"{first}.{half}.{w - first}"))
            b.cx(first, first + 1)
    for w in range(address):
        b.gate("cry", w, address, angles=(b.weight(f"write{w}"),))
    return b.build()


def initial_weights(n: int, brightness: float, seed: int) -> FloatArray:
    """(n,): the colour starts at the brightness asked for, all other angles small."""
    rest = np.random.Generator(np.random.PCG64(seed)).normal(size=n - 1) * 0.05
    return np.concatenate([[math.acos(1 - 2 * brightness)], rest])
