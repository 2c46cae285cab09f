"""Rewriting gates: unitaries against the gates' own matrices and against Qiskit."""

from __future__ import annotations

import numpy as np
import pytest

from qimg_core.circuit import Circuit, CircuitBuilder, Gate, GateName
from qimg_core.circuit.gates import TWO_WIRE, UNITARY
from qimg_core.circuit.rewrite import MINIMAL, RULES, expand, rewrite

G = GateName
DEVICES = {
    "minimal": MINIMAL,
    "ibm": frozenset({G.RZ, G.SX, G.X, G.CZ}),
    "ion": frozenset({G.RX, G.RY, G.RZ, G.RXX}),
    "clifford": frozenset({G.H, G.P, G.CX}),
    "no-rz": frozenset({G.RX, G.RY, G.CZ}),
    "zz": frozenset({G.H, G.RZ, G.RZZ}),
}


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", sorted(UNITARY))
def test_every_gate_in_every_set(device, name, make_random, unitary, same_up_to_phase, rng):
    circuit = make_random(rng, 3, [name], 1)
    lowered = rewrite(circuit, DEVICES[device])
    assert {g.name for g in lowered.gates} <= DEVICES[device]
    assert lowered.parameters == circuit.parameters
    for value in rng.uniform(-2 * np.pi, 2 * np.pi, 3):
        values = [value] * len(circuit.parameters)
        same_up_to_phase(unitary(lowered, values), unitary(circuit, values))


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_rule_by_itself(name, unitary, same_up_to_phase, make_random, rng):
    circuit = make_random(rng, 3, [name], 1)
    for rule in RULES[name]:
        out = Circuit(3, tuple(expand(circuit.gates[0], {name: rule})), circuit.parameters)
        values = [0.731] * len(circuit.parameters)
        same_up_to_phase(unitary(out, values), unitary(circuit, values))


def test_whole_circuits_against_qiskit(make_random, rng, same_up_to_phase):
    """Qiskit's own unitaries (little-endian, hence reverse_bits) of the original, against our rewriting."""
    qiskit = pytest.importorskip("qiskit")
    from qiskit.quantum_info import Operator

    circuit = make_random(rng, 3, sorted(UNITARY), 40)
    values = rng.uniform(-6, 6, len(circuit.parameters))

    def build(c):
        out = qiskit.QuantumCircuit(3)
        for g in c.gates:
            angles = [a.offset if a.parameter is None else a.scale * values[a.parameter] + a.offset for a in g.angles]
            getattr(out, g.name.value)(*angles, *g.wires)
        return Operator(out.reverse_bits()).data

    same_up_to_phase(build(rewrite(circuit, MINIMAL)), build(circuit))


def test_a_gate_without_a_way_stays():
    circuit = Circuit(2, (Gate(G.CX, (0, 1)), Gate(G.H, (0,)), Gate(G.MEASURE, (0,))))
    names = [g.name for g in rewrite(circuit, frozenset({G.RZ, G.SX})).gates]
    assert names == [G.CX, G.RZ, G.SX, G.RZ, G.MEASURE]


def test_the_cheaper_rule_is_taken():
    swap = Circuit(2, (Gate(G.SWAP, (0, 1)),))
    assert [g.name for g in rewrite(swap, MINIMAL).gates] == [G.CX] * 3
    crx = rewrite(make_crx(), frozenset({G.RX, G.RY, G.RZ, G.CZ}))
    assert sum(g.name in TWO_WIRE for g in crx.gates) == 2
    assert len(crx.gates) == 4


def make_crx() -> Circuit:
    b = CircuitBuilder(2)
    return b.gate("crx", 0, 1, angles=(b.weight("a"),)).build()
