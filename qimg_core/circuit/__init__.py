"""The circuit IR (floor 1: imports errors only). Small enough to learn in ten minutes."""

from qimg_core.circuit.builder import CircuitBuilder
from qimg_core.circuit.gates import IR_VERSION, GateName, matrix
from qimg_core.circuit.ir import Angle, Circuit, Gate, Parameter
from qimg_core.circuit.pauli import PauliString, each, pauli

__all__ = [
    "IR_VERSION",
    "Angle",
    "Circuit",
    "CircuitBuilder",
    "Gate",
    "GateName",
    "Parameter",
    "PauliString",
    "each",
    "matrix",
    "pauli",
]
