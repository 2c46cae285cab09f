"""`Ansatz`: the trained part of a circuit (floor 4; imports circuit)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import FloatArray


class Ansatz(ABC):
    """A circuit whose parameters all have the role "weight", and where training starts."""

    @property
    @abstractmethod
    def circuit(self) -> Circuit:
        """The trainable circuit."""

    @abstractmethod
    def initial(self, seed: int) -> FloatArray:
        """(circuit.n_weights,), the same for the same seed on every machine."""
