"""Strongly entangling layers: a general rotation on every wire, CX rings of growing range (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_circuits.ansatzes.base import LayeredAnsatz, check_sizes
from qimg_core.circuit import CircuitBuilder

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class StronglyEntangling(LayeredAnsatz):
    """Schuld et al. 2018 (arXiv:1804.00633), with the ranges of PennyLane's StronglyEntanglingLayers.

    Layer l: RZ, RY, RZ on every wire (weights wire by wire, three each), then CX from each wire w to
    w + r modulo n, with range r = 1 + l modulo (n - 1).

    Args:
        n_wires: wires.
        layers: how many.
        spread: the start is uniform on [-spread, spread).
    """

    n_wires: int
    layers: int = 1
    spread: float = 0.5

    def __attrs_post_init__(self) -> None:
        check_sizes(self.n_wires, self.layers)

    def layer(self, index: int) -> Circuit:
        b, n = CircuitBuilder(self.n_wires), self.n_wires
        for w in range(n):
            for k, rotation in enumerate(("rz", "ry", "rz")):
                b.gate(rotation, w, angles=(b.weight(f"rot{w}.{k}"),))
        if n > 1:
            reach = 1 + index % (n - 1)
            for w in range(n):
                b.cx(w, (w + reach) % n)
        return b.build()
