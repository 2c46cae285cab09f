"""What every step of a pure circuit is, and the numbers that steps read and differentiate (imports torch).

A state is (G, 2**n, B): G groups of rows with weights of their own, wire 0 the most significant bit, the
batch last. Real or complex. Gradients follow torch: for a real loss, the cotangent of a complex z is
dL/dRe z + i dL/dIm z.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Literal

import torch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

Way = Literal["forward", "adjoint", "transpose"]
"""What becomes of a state, of a state backwards, of the conjugate of a cotangent."""


class Values:
    """The numbers of a run.

    Args:
        blocks: by wires, (blocks, G, d, d).
        shared: angles that rows share, (m, G).
        rows: angles by row, (m, G, B).
    """

    def __init__(self, blocks: Mapping[int, Tensor], shared: Tensor, rows: Tensor) -> None:
        self.blocks, self.shared, self.rows = blocks, shared, rows
        self.phases: dict[int, Tensor] = {}  # kept from the forward pass, by Phase.number
        self.room = 0  # bytes of phases that are kept without being asked for


class Grads:
    """Room for the gradient of each of `Values`; those of ``blocks`` are conjugated, as cotangents travel."""

    def __init__(self, values: Values) -> None:
        self.blocks: dict[int, dict[int, Tensor]] = {size: {} for size in values.blocks}
        self.shared = torch.zeros_like(values.shared)
        self.rows = torch.zeros_like(values.rows)

    def add_block(self, size: int, index: int, gradient: Tensor) -> None:
        """To the matrix (G, d, d) of a block, conjugated."""
        found = self.blocks[size].get(index)
        self.blocks[size][index] = gradient if found is None else found + gradient

    def stacked(self, values: Values) -> dict[int, Tensor]:
        """By wires, (blocks, G, d, d), conjugated."""
        out = {}
        for size, found in self.blocks.items():
            like = values.blocks[size]
            if found:
                out[size] = torch.stack(
                    [found[i] if i in found else torch.zeros_like(like[i]) for i in range(like.shape[0])]
                )
        return out


class Step(ABC):
    """A unitary map of the state."""

    @abstractmethod
    def apply(self, psi: Tensor, values: Values, *, keep: bool = False) -> Tensor:
        """The new state; ``keep`` says that a gradient will be asked for."""

    @abstractmethod
    def transposed(self, conjugate: Tensor, values: Values) -> Tensor:
        """The transposed map: how the conjugate of a cotangent travels back.

        Cotangents travel conjugated, because then neither matrices nor states need a conjugated copy.
        """

    def pull(self, before: Tensor, after: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        """Add the gradient of the step's own numbers to ``grads``; ``conjugate`` is that of the cotangent after it."""

    @abstractmethod
    def write(self, psi: Tensor, out: Tensor, values: Values, way: Way = "forward") -> None:
        """Put the map of ``psi`` into ``out``, another contiguous array of its shape."""

    def reduce(self, before: Tensor, conjugate: Tensor, values: Values, grads: Grads) -> None:
        """`pull` from the state and the conjugate of the cotangent before the step.

        Of steps on disjoint wires, one after the other, each may be given those before the first.
        """

    @property
    def by_row(self) -> bool:
        """Whether it differs from row to row."""
        return False

    @property
    def varies(self) -> bool:
        """Whether it has numbers of its own that a gradient may be asked of."""
        return False
