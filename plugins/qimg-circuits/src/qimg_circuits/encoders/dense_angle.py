"""Dense angle encoding: two numbers a wire (imports qimg_core)."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_circuits.arrays import at_least, check_batch, one_of
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import CircuitBuilder

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit

Convention = Literal["half", "larose"]


@frozen
class DenseAngleEncoder(StandardEncoder):
    """Two numbers a wire: wire k takes x = row[2k], the magnitude, and y = row[2k + 1], the phase.

    The literature has two encodings of this name, so the convention is named:

    - ``"half"``: RZ(y) RY(x) |0>, radians in half angles (arXiv:2602.03405, equation 18).
    - ``"larose"``: cos(pi x) |0> + exp(2 pi i y) sin(pi x) |1>, made for numbers in [0, 1]
      (LaRose and Coyle 2020, arXiv:2003.01695). Numbers outside repeat it; they are not refused.

    Args:
        n_wires: wires; a row has twice as many numbers.
        convention: "half" or "larose".
    """

    n_wires: int
    convention: Convention = field(default="half", validator=one_of("half", "larose"))

    def __attrs_post_init__(self) -> None:
        at_least(self.n_wires, 1, "n_wires")

    @cached_property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(self.n_wires)
        for w in range(self.n_wires):
            x, y = b.input(f"x{2 * w}"), b.input(f"x{2 * w + 1}")
            if self.convention == "half":
                b.ry(w, x).rz(w, y)
            else:
                b.ry(w, x * (2 * math.pi)).gate("p", w, angles=(y * (2 * math.pi),))
        return b.build()

    @property
    def n_features(self) -> int:
        return 2 * self.n_wires

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, 2 * n_wires), as they are."""
        return check_batch(batch, self.n_features, "dense angle encoding")
