"""`LayeredAnsatz`: layers one after the other, uniform start, resource report (imports qimg_core)."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from qimg_circuits.arrays import at_least
from qimg_core.ansatz import Ansatz
from qimg_core.circuit.compose import chain
from qimg_core.circuit.resources import Resources, resources

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit
    from qimg_core.execution import FloatArray


class LayeredAnsatz(Ansatz):
    """An ansatz made of layers, each with weights of its own.

    Subclasses have the fields ``layers`` and ``spread``, and write `layer`.
    """

    layers: int
    spread: float

    @abstractmethod
    def layer(self, index: int) -> Circuit:
        """Layer ``index`` alone: the circuit and weights that follow after ``index`` others."""

    @property
    def circuit(self) -> Circuit:
        """All layers; the weights of layer l, named ``l{l}.name``, come before those of layer l + 1."""
        return chain(self.layer(index).renamed(f"l{index}.") for index in range(self.layers))

    def initial(self, seed: int) -> FloatArray:
        """Uniform on [-spread, spread), radians, from numpy's PCG64."""
        return uniform(seed, self.circuit.n_weights, self.spread)

    def resources(self) -> Resources:
        """Wires, depth, two-qubit gates."""
        return resources(self.circuit)


def uniform(seed: int, size: int, spread: float) -> FloatArray:
    """(size,) numbers, uniform on [-spread, spread)."""
    import numpy as np

    return np.random.Generator(np.random.PCG64(seed)).uniform(-spread, spread, size)


def check_sizes(n_wires: int, layers: int, *, least_wires: int = 1) -> None:
    """Refuse too few wires or layers.

    Raises:
        ConfigurationError: either is too small.
    """
    at_least(n_wires, least_wires, "n_wires")
    at_least(layers, 1, "layers")


def ring_or_chain(n_wires: int, topology: str) -> tuple[tuple[int, int], ...]:
    """Neighbours (0, 1), (1, 2), ...; a ring of three or more wires closes with (n - 1, 0)."""
    pairs = tuple((w, w + 1) for w in range(n_wires - 1))
    return (*pairs, (n_wires - 1, 0)) if topology == "ring" and n_wires > 2 else pairs
