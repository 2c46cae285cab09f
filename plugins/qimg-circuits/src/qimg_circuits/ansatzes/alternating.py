"""Layers of several ansatzes in turn (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_circuits.ansatzes.base import LayeredAnsatz
from qimg_core.circuit.compose import chain
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class Alternating(LayeredAnsatz):
    """Layer l is layer l of the first part, then layer l of the second, and so on.

    ``Alternating((Convolution(4, 10, block="core"), ClusterMixing(4, 10)))`` is the block of
    arXiv:2602.03405: 16 weights a layer.

    Args:
        parts: ansatzes with the same number of layers, on the same number of wires.
        spread: the start is uniform on [-spread, spread); the parts' own spreads do not count.
    """

    parts: tuple[LayeredAnsatz, ...] = field(converter=tuple)
    spread: float = 0.5

    def __attrs_post_init__(self) -> None:
        sizes = {(p.layers, p.layer(0).n_wires) for p in self.parts}
        if len(sizes) != 1:
            raise ConfigurationError(f"wanted parts with equal (layers, wires), got {sorted(sizes)}")

    @property
    def layers(self) -> int:  # type: ignore[override]
        """The parts' number of layers."""
        return self.parts[0].layers

    def layer(self, index: int) -> Circuit:
        return chain(part.layer(index).renamed(f"p{k}.") for k, part in enumerate(self.parts))
