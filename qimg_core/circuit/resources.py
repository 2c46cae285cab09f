"""What a circuit asks of a device: wires, depth, two-qubit gates (imports gates, ir, multiplex, rewrite).

State preparation and the Toffoli gate are first written in one- and two-qubit gates; all others
count as they stand.
"""

from __future__ import annotations

from attrs import evolve, frozen

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Circuit, Gate
from qimg_core.circuit.multiplex import n_preparation_angles, preparation_gates
from qimg_core.circuit.rewrite import rewrite


@frozen(kw_only=True)
class Resources:
    """What a circuit asks of a device, for the resource report.

    Args:
        wires: qubits.
        depth: gates on the longest path, each counting 1, `prepare` and `ccx` written in rotations and CX.
        two_qubit_gates: after the same rewriting.
        parameters: inputs plus weights.
        normalisation_loss: share of the input's degrees of freedom that encoding drops, in shortest
            decimal form: "0" where nothing is lost.
    """

    wires: int
    depth: int
    two_qubit_gates: int
    parameters: int
    normalisation_loss: str = "0"


def resources(circuit: Circuit, normalisation_loss: float = 0.0) -> Resources:
    """The report of one circuit."""
    plain = elementary(circuit)
    loss = "0" if normalisation_loss == 0 else repr(float(normalisation_loss))
    return Resources(
        wires=circuit.n_wires,
        depth=depth(plain),
        two_qubit_gates=two_qubit_gates(plain),
        parameters=len(circuit.parameters),
        normalisation_loss=loss,
    )


def depth(circuit: Circuit) -> int:
    """Gates on the longest path through the wires, every gate counting 1."""
    reached = [0] * circuit.n_wires
    for gate in circuit.gates:
        after = 1 + max(reached[w] for w in gate.wires)
        for w in gate.wires:
            reached[w] = after
    return max(reached)


def two_qubit_gates(circuit: Circuit) -> int:
    """Gates on exactly two wires."""
    return sum(len(g.wires) == 2 and g.name is not GateName.PREPARE for g in circuit.gates)


def elementary(circuit: Circuit) -> Circuit:
    """``circuit`` with `prepare` and `ccx` written in rotations and CX.

    For counting: the rotations of a `prepare` have placeholder angles, since the real ones are
    computed from each row's amplitudes (see `qimg_core.lowering`).
    """
    gates: list[Gate] = []
    for gate in circuit.gates:
        if gate.name is GateName.PREPARE:
            is_complex = len(gate.angles) != 2 ** len(gate.wires)
            count = n_preparation_angles(len(gate.wires), complex_state=is_complex)
            gates += preparation_gates(gate.wires, [Angle()] * count, complex_state=is_complex)
        else:
            gates.append(gate)
    return rewrite(evolve(circuit, gates=tuple(gates)), frozenset(GateName) - {GateName.CCX})
