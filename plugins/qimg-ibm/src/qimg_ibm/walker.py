"""From qimg's circuit to Qiskit's, gate by gate (imports qimg_core; qiskit inside functions).

Wire k is qubit k. Qiskit reads bit strings little-endian; here nothing is a string: measured wire number j
goes to classical bit j of the register ``c``, and whoever reads results reads by that number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.circuit.gates import UNITARY, GateName
from qimg_core.errors import CapabilityError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.circuit.ir import Angle, Circuit

GATES = UNITARY
"""Every unitary gate has a method of the same name on `qiskit.QuantumCircuit`, and the same matrix."""
REGISTER = "c"


def parameter_name(index: int) -> str:
    """Of the circuit's parameter number ``index``; the user's own names stay here."""
    return f"p{index:05d}"


def parameter_index(name: str) -> int:
    """Read `parameter_name` back."""
    return int(name[1:])


def to_qiskit(circuit: Circuit, measured: Sequence[int] = ()) -> Any:
    """The circuit as a `qiskit.QuantumCircuit`.

    Args:
        circuit: unitary gates; angles of parameters become ``scale * p + offset`` of a Qiskit Parameter.
        measured: wires to measure at the end, number j into bit j of the register `REGISTER`.

    Raises:
        CapabilityError: a gate that is not unitary.
    """
    from qiskit import ClassicalRegister, QuantumCircuit
    from qiskit.circuit import Parameter

    parameters = [Parameter(parameter_name(i)) for i in range(len(circuit.parameters))]

    def angle(a: Angle) -> Any:
        if a.parameter is None:
            return a.offset
        found = parameters[a.parameter]
        if a.scale == 1.0 and a.offset == 0.0:
            return found
        return a.scale * found + a.offset

    out = QuantumCircuit(circuit.n_wires)
    for gate in circuit.gates:
        check_gate(gate.name)
        getattr(out, gate.name.value)(*(angle(a) for a in gate.angles), *gate.wires)
    if measured:
        register = ClassicalRegister(len(measured), REGISTER)
        out.add_register(register)
        out.measure(list(measured), list(register))
    return out


def check_gate(name: GateName) -> None:
    """Refuse what has no unitary.

    Raises:
        CapabilityError
    """
    if name not in GATES:
        from qimg_core.capabilities import Mismatch

        raise CapabilityError("ibm", [Mismatch("gates", name.value, ", ".join(sorted(GATES)))])
