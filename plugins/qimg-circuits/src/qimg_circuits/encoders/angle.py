"""Angle encoding: one number a wire, as a rotation angle (imports qimg_core)."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_circuits.arrays import at_least, check_batch, one_of
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import CircuitBuilder

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit

Axis = Literal["x", "y", "z"]


@frozen
class AngleEncoder(StandardEncoder):
    """x -> R(scale * x_k) on wire k, R one of RX, RY, RZ. Period 2 pi / scale up to a sign.

    RZ leaves |0> as it is: axis z is of use between other gates, in re-uploading.

    Args:
        n_wires: numbers of a row, and wires.
        axis: "x", "y" or "z".
        scale: multiplies the data, in radians.
    """

    n_wires: int
    axis: Axis = field(default="y", validator=one_of("x", "y", "z"))
    scale: float = 1.0

    def __attrs_post_init__(self) -> None:
        at_least(self.n_wires, 1, "n_wires")

    @cached_property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(self.n_wires)
        for w in range(self.n_wires):
            b.gate(f"r{self.axis}", w, angles=(b.input(f"x{w}") * self.scale,))
        return b.build()

    @property
    def n_features(self) -> int:
        return self.n_wires

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_wires), as they are; any real number is an angle."""
        return check_batch(batch, self.n_wires, "angle encoding")
