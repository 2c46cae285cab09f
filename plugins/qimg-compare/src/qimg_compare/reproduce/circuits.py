"""The circuit whose entanglement arXiv:2602.03405 publishes, and its Q (imports qimg_circuits, qimg_metrics).

Q is the measure of Meyer and Wallach. From the notebook of the authors' repository (commit d4b58c5): RY(pi/4) on each
of four wires, then layers of the three-weight block on (0, 1), (2, 3), (1, 2) and of the cluster mixing, 13 weights a
layer.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from qimg_circuits.ansatzes.alternating import Alternating
from qimg_circuits.ansatzes.cluster_mixing import ClusterMixing
from qimg_circuits.ansatzes.convolution import Convolution
from qimg_core.circuit import CircuitBuilder
from qimg_metrics.circuit.entanglement import meyer_wallach

if TYPE_CHECKING:
    from qimg_core.circuit import Circuit
    from qimg_core.session import Session
    from qimg_metrics.bootstrap import Estimate

WIRES = 4


def notebook_circuit(layers: int) -> Circuit:
    """The circuit, 13 weights a layer."""
    start = CircuitBuilder(WIRES)
    for wire in range(WIRES):
        start.ry(wire, math.pi / 4)
    convolution = Convolution(WIRES, layers, block="core", topology="chain")
    both = Alternating((convolution, ClusterMixing(WIRES, layers)))  # type: ignore[arg-type]  # mypy loses the converter
    return start.build().then(both.circuit)


def entanglement(session: Session, layers: int, *, samples: int = 20_000) -> Estimate:
    """Mean Q over weights uniform in [0, 2 pi), with its bootstrap interval over ``samples`` states."""
    return meyer_wallach(notebook_circuit(layers), samples=samples, seed=layers, session=session)
