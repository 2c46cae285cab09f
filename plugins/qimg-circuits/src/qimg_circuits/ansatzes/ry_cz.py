"""RY and CZ layers, the patch generator's circuit (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_circuits.ansatzes.base import LayeredAnsatz, check_sizes
from qimg_core.circuit import CircuitBuilder

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class RYCZ(LayeredAnsatz):
    """RY on every wire, then CZ on (0, 1), (1, 2), ...: Huang et al. 2021 (arXiv:2010.06201).

    The state stays real. One weight a wire and layer.

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
            b.ry(w, b.weight(f"ry{w}"))
        for w in range(self.n_wires - 1):
            b.cz(w, w + 1)
        return b.build()
