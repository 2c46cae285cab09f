"""1D cluster-state mixing: H, a chain of CZ, RX (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_circuits.ansatzes.base import LayeredAnsatz, check_sizes
from qimg_core.circuit import CircuitBuilder

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class ClusterMixing(LayeredAnsatz):
    """U(phi) = [product of RX(phi_j)] [product of CZ_{j, j+1}] H on every wire (arXiv:2602.03405).

    From |0...0> and phi = 0 it makes the 1D cluster state, stabilised by Z_{j-1} X_j Z_{j+1}. Alone
    it spreads entanglement but reaches few states; put it between trained blocks.

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
        b = CircuitBuilder(self.n_wires)
        for w in range(self.n_wires):
            b.h(w)
        for w in range(self.n_wires - 1):
            b.cz(w, w + 1)
        for w in range(self.n_wires):
            b.rx(w, b.weight(f"phi{w}"))
        return b.build()
