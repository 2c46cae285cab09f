"""Hardware-efficient layers: rotations, then an entangler along the wires (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from qimg_circuits.ansatzes.base import LayeredAnsatz, check_sizes, ring_or_chain
from qimg_circuits.arrays import one_of
from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class HardwareEfficient(LayeredAnsatz):
    """Kandala et al. 2017 (arXiv:1704.05018): one-qubit rotations on every wire, then CX or CZ.

    Weights of a layer: rotation by rotation, wire by wire.

    Args:
        n_wires: wires.
        layers: how many.
        rotations: in the order they are applied, of "rx", "ry", "rz".
        entangler: "cx" (control is the lower neighbour) or "cz".
        topology: "ring" (closed for three wires or more) or "chain".
        spread: the start is uniform on [-spread, spread).
    """

    n_wires: int
    layers: int = 1
    rotations: tuple[str, ...] = field(default=("ry", "rz"), converter=tuple)
    entangler: Literal["cx", "cz"] = field(default="cx", validator=one_of("cx", "cz"))
    topology: Literal["ring", "chain"] = field(default="ring", validator=one_of("ring", "chain"))
    spread: float = 0.5

    def __attrs_post_init__(self) -> None:
        check_sizes(self.n_wires, self.layers)
        if not self.rotations or not set(self.rotations) <= {"rx", "ry", "rz"}:
            raise ConfigurationError(f"rotations: wanted one or more of rx, ry, rz, got {self.rotations}")

    def layer(self, index: int) -> Circuit:
        b = CircuitBuilder(self.n_wires)
        for k, rotation in enumerate(self.rotations):
            for w in range(self.n_wires):
                b.gate(rotation, w, angles=(b.weight(f"{rotation}{k}.{w}"),))
        for pair in ring_or_chain(self.n_wires, self.topology):
            b.gate(self.entangler, *pair)
        return b.build()
