"""`StandardEncoder`: an encoder with a resource report (imports qimg_core)."""

from __future__ import annotations

from qimg_core.circuit.resources import Resources, resources
from qimg_core.encoder import Encoder


class StandardEncoder(Encoder):
    """An `Encoder` that can say what its circuit costs."""

    def resources(self) -> Resources:
        """Wires, depth, two-qubit gates and the share of the data that encoding drops."""
        return resources(self.circuit, self.normalisation_loss)
