"""Circuits without inputs whose measured bit strings are what is wanted (imports qimg_core, qimg_circuits, numpy)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_circuits.ansatzes.strongly_entangling import StronglyEntangling
from qimg_circuits.encoders.base import StandardEncoder
from qimg_core.circuit import Circuit, CircuitBuilder
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Samples
from qimg_core.torch_layer import QuantumLayer
from qimg_diffusion.layers import without_entanglers

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.observable import Observable
    from qimg_core.session import Session

    Bits = npt.NDArray[np.uint8]


@frozen
class NoInputs(StandardEncoder):
    """Nothing is encoded: rows of no numbers."""

    n_wires: int

    @property
    def circuit(self) -> Circuit:
        return Circuit(self.n_wires)

    @property
    def n_features(self) -> int:
        return 0

    def features(self, batch: Any, parameters: Any = None) -> Any:
        """(rows, 0), as it is."""
        return batch


def fair_layer(
    session: Session,
    wires: int,
    layers: int,
    observable: Observable,
    *,
    entangled: bool,
    seed: int,
    label: str,
    frozen: bool,
) -> QuantumLayer:
    """H on every wire, so that bits are fair at first, then strongly entangling layers.

    Args:
        session: runs it.
        wires: bits of a string.
        layers: of the circuit.
        observable: what is read for training.
        entangled: with its two-wire gates.
        seed: of its initial weights.
        label: for the record.
        frozen: the weights stay there.
    """
    ansatz, b = StronglyEntangling(wires, layers, spread=math.pi / 4), CircuitBuilder(wires)
    for w in range(wires):
        b.h(w)
    circuit = b.build().then(ansatz.circuit)
    return QuantumLayer(
        session,
        NoInputs(wires),
        circuit if entangled else without_entanglers(circuit),
        observable,
        initial=ansatz.initial(seed),
        seed=seed,
        label=label,
        frozen=frozen,
    )


def strings_of(layer: QuantumLayer, n: int, seed: int) -> Bits:
    """(n, wires): one request of n shots, with the session's noise model; column w is wire w."""
    request = ExecutionRequest(
        circuit=layer.circuit,
        inputs=np.zeros((1, 0)),
        weights=layer.weights.detach().double().numpy().copy(),
        measurement=Samples(range(layer.circuit.n_wires)),
        shots=n,
        seed=seed,
        noise=layer.session.noise_model,
    )
    return np.ascontiguousarray(layer.session.execute(request, label="strings").data[0], dtype=np.uint8)
