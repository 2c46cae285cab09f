"""A quantum convolution: the two-qubit block on neighbouring wires (imports qimg_core)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import field, frozen

from qimg_circuits.ansatzes.base import LayeredAnsatz, check_sizes, ring_or_chain
from qimg_circuits.ansatzes.two_qubit import canonical_block, general_block
from qimg_circuits.arrays import one_of
from qimg_core.circuit.compose import tile

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class Convolution(LayeredAnsatz):
    """The Vatan-Williams block on (0, 1), (2, 3), ..., then on (1, 2), (3, 4), ...

    With topology "ring" the last wire is joined to the first: on 4 wires (0, 1), (2, 3), (1, 2),
    (3, 0), which are the pairs of arXiv:2602.03405 as released; "chain" leaves (3, 0) out.

    Args:
        n_wires: wires, 2 or more.
        layers: how many.
        block: "general" (15 weights) or "core" (3 weights, the published model's).
        topology: "ring" or "chain".
        tied: all blocks of a layer share their weights, as in a classical convolution.
        spread: the start is uniform on [-spread, spread).
    """

    n_wires: int
    layers: int = 1
    block: Literal["general", "core"] = field(default="general", validator=one_of("general", "core"))
    topology: Literal["ring", "chain"] = field(default="ring", validator=one_of("ring", "chain"))
    tied: bool = False
    spread: float = 0.5

    def __attrs_post_init__(self) -> None:
        check_sizes(self.n_wires, self.layers, least_wires=2)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Where the block goes, in order."""
        pairs = ring_or_chain(self.n_wires, self.topology)
        return pairs[0::2] + pairs[1::2]

    def layer(self, index: int) -> Circuit:
        block = general_block() if self.block == "general" else canonical_block()
        return tile(block, self.pairs, self.n_wires, tied=self.tied)
