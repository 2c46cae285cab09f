"""Depth and counts, against hand counts and Qiskit."""

from __future__ import annotations

import pytest

from qimg_core.circuit import Circuit, CircuitBuilder, Gate, GateName
from qimg_core.circuit.resources import Resources, depth, resources, two_qubit_gates

G = GateName


def test_ghz_by_hand():
    circuit = CircuitBuilder(3).h(0).cx(0, 1).cx(1, 2).build()
    assert resources(circuit) == Resources(wires=3, depth=3, two_qubit_gates=2, parameters=0)


@pytest.mark.parametrize(("n", "is_complex"), [(1, False), (3, False), (3, True), (5, True)])
def test_prepare_counts_follow_the_paper(n, is_complex):
    """2**n - 2 CX for the magnitudes, and as many again for the phases."""
    size = 2**n * (2 if is_complex else 1)
    b = CircuitBuilder(n)
    circuit = b.gate("prepare", *range(n), angles=tuple(b.input(f"a{i}") for i in range(size))).build()
    report = resources(circuit, normalisation_loss=0.125)
    assert report.two_qubit_gates == (2**n - 2) * (2 if is_complex else 1)
    assert report.parameters == size
    assert report.normalisation_loss == "0.125"


def test_toffoli_is_six_cx():
    assert resources(Circuit(3, (Gate(G.CCX, (0, 1, 2)),))).two_qubit_gates == 6


def test_depth_against_qiskit(make_random, rng):
    qiskit = pytest.importorskip("qiskit")
    names = sorted({G.H, G.T, G.RX, G.CX, G.CRZ, G.RZZ, G.SWAP})
    circuit = make_random(rng, 5, names, 60)
    theirs = qiskit.QuantumCircuit(5)
    for g in circuit.gates:
        getattr(theirs, g.name.value)(*([0.1] * len(g.angles)), *g.wires)
    assert depth(circuit) == theirs.depth()
    assert two_qubit_gates(circuit) == theirs.num_nonlocal_gates()
