"""`Observable`: what is measured and how numbers become features (floor 4; imports measurement)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qimg_core.execution import FloatArray
    from qimg_core.measurement import Measurement


class Observable(ABC):
    """A measurement and a (possibly trained) linear read-out of it."""

    @property
    @abstractmethod
    def measurement(self) -> Measurement:
        """What the device measures; never depends on the parameters."""

    @property
    @abstractmethod
    def n_features(self) -> int:
        """Length of the vector that `reduce` makes."""

    @abstractmethod
    def reduce(self, data: Any, parameters: Any = None) -> Any:
        """(rows, ...) as the measurement documents -> (rows, n_features), numpy or torch."""

    @property
    def n_parameters(self) -> int:
        """How many parameters the read-out trains."""
        return 0

    def initial(self, seed: int) -> FloatArray:
        """(n_parameters,), the same for the same seed on every machine."""
        import numpy as np

        return np.zeros(self.n_parameters)

    def readout(self, parameters: Any) -> tuple[Any, ...] | None:
        """For `LocalStates` measurements that are a read-out by Hermitian matrices: per window,
        (K, 2**k, 2**k) complex, same kind of array as ``parameters``, such that `reduce` equals the
        concatenated Tr(rho_window H). A differentiable device may contract it directly. None elsewhere.
        """
        return None
