"""`StandardObservable`: an observable with a resource report (imports qimg_core)."""

from __future__ import annotations

from typing import Any

from qimg_core.circuit.resources import Resources
from qimg_core.errors import DataError
from qimg_core.observable import Observable


class StandardObservable(Observable):
    """An `Observable` that can say what it adds to a circuit."""

    def resources(self) -> Resources:
        """Measured wires, one layer of basis changes, no two-qubit gates, the trained numbers."""
        wires = len(self.measurement.wires)
        return Resources(wires=wires, depth=1, two_qubit_gates=0, parameters=self.n_parameters)


def check_data(data: Any, width: int, what: str) -> Any:
    """``data`` if it is (rows, width), as the measurement lays it out.

    Raises:
        DataError: it is not.
    """
    if getattr(data, "ndim", None) != 2 or data.shape[1] != width:
        raise DataError(f"{what}: wanted measured (rows, {width}), got {tuple(getattr(data, 'shape', ()))}")
    return data
