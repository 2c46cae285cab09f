"""`Encoder`: classical data -> circuit inputs (floor 4; imports circuit)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import FloatArray


class Encoder(ABC):
    """Turns a batch of classical vectors into the inputs of a fixed circuit.

    The circuit's inputs carry the data. Parameters that the encoder itself trains (scales of a
    re-uploading) live in `features`, not in the circuit. Implementations compute `features` with
    operators that numpy arrays and torch tensors share, so that it differentiates.
    """

    @property
    @abstractmethod
    def circuit(self) -> Circuit:
        """The encoding circuit; all its parameters have the role "input"."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Length of the classical vector it takes."""

    @abstractmethod
    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, n_features) -> (rows, circuit.n_inputs), numpy to numpy, torch to torch.

        Args:
            batch: the data.
            parameters: (n_parameters,) of the same kind; None where the encoder has none.

        Raises:
            DataError: the wrong shape, or values that cannot be encoded.
        """

    @property
    def n_parameters(self) -> int:
        """How many parameters `features` trains."""
        return 0

    def initial(self, seed: int) -> FloatArray:
        """(n_parameters,), the same for the same seed on every machine."""
        import numpy as np

        return np.zeros(self.n_parameters)

    @property
    def normalisation_loss(self) -> float:
        """Share of the input's degrees of freedom that encoding drops (1/n where the norm is lost)."""
        return 0.0
