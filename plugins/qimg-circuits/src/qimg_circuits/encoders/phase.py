"""Phase encoding: one number a wire, as a relative phase (imports qimg_core)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_circuits.arrays import at_least, check_batch
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import CircuitBuilder

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class PhaseEncoder(StandardEncoder):
    """x -> (|0> + exp(i scale x_k) |1>) / sqrt(2) on wire k: H, then P(scale * x_k).

    Args:
        n_wires: numbers of a row, and wires.
        scale: multiplies the data, in radians.
    """

    n_wires: int
    scale: float = 1.0

    def __attrs_post_init__(self) -> None:
        at_least(self.n_wires, 1, "n_wires")

    @cached_property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(self.n_wires)
        for w in range(self.n_wires):
            b.h(w).gate("p", w, angles=(b.input(f"x{w}") * self.scale,))
        return b.build()

    @property
    def n_features(self) -> int:
        return self.n_wires

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_wires), as they are; any real number is a phase."""
        return check_batch(batch, self.n_wires, "phase encoding")
