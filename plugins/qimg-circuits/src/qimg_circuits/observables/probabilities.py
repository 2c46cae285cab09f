"""Probabilities of the outcomes of some wires (imports qimg_core)."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from qimg_circuits.observables.base import StandardObservable, check_data
from qimg_core.measurement import Probabilities


@frozen
class ProbabilityReadout(StandardObservable):
    """2**k features: the probability of each outcome of k wires, first wire most significant.

    Args:
        wires: distinct wires in the order they are read.
    """

    wires: tuple[int, ...] = field(converter=tuple)

    def __attrs_post_init__(self) -> None:
        _ = self.measurement  # refuses no wires, repeated ones, negative ones

    @property
    def measurement(self) -> Probabilities:
        return Probabilities(self.wires)

    @property
    def n_features(self) -> int:
        return int(2 ** len(self.wires))

    def reduce(self, data: Any, parameters: Any = None) -> Any:
        """(rows, 2**k), as measured."""
        return check_data(data, self.n_features, "probabilities")
