"""Basis encoding: the bits of a row name a basis state (imports qimg_core)."""

from __future__ import annotations

import math
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_circuits.arrays import at_least, check_batch
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import CircuitBuilder
from qimg_core.errors import DataError

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit


@frozen
class BasisEncoder(StandardEncoder):
    """(b_0, ..., b_{n-1}) -> |b_0 ... b_{n-1}>, by RY(pi b) on each wire, so with no phase.

    Args:
        n_bits: bits of a row, and wires.
    """

    n_bits: int

    def __attrs_post_init__(self) -> None:
        at_least(self.n_bits, 1, "n_bits")

    @cached_property
    def circuit(self) -> Circuit:
        b = CircuitBuilder(self.n_bits)
        for w in range(self.n_bits):
            b.ry(w, b.input(f"b{w}") * math.pi)
        return b.build()

    @property
    def n_features(self) -> int:
        return self.n_bits

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_bits) of zeros and ones, as they are.

        Raises:
            DataError: the wrong shape, or a value other than 0 and 1.
        """
        check_batch(batch, self.n_bits, "basis encoding")
        if not bool(((batch == 0) | (batch == 1)).all()):
            raise DataError("basis encoding takes bits: every value must be 0 or 1")
        return batch
