"""The circuits of Sim et al.: their counts, and expressibility against published values."""

from __future__ import annotations

import numpy as np
import pytest

from qimg_circuits.library import NUMBERS, sim_circuit
from qimg_core.circuit.gates import TWO_WIRE
from qimg_core.errors import UnknownName

# Table 1 of arXiv:1905.10876 at n = 4, L = 1: angles, two-qubit gates
COUNTS = {
    1: (8, 0), 2: (8, 3), 3: (11, 3), 4: (11, 3), 5: (28, 12), 6: (28, 12), 7: (19, 3), 8: (19, 3), 9: (4, 3),
    10: (8, 4), 11: (12, 3), 12: (12, 3), 13: (16, 8), 14: (16, 8), 15: (8, 8), 16: (11, 3), 17: (11, 3),
    18: (12, 4), 19: (12, 4),
}  # fmt: skip
# D_KL of the fidelities against Haar, as published for n = 4, L = 1
PUBLISHED = {3: 0.24, 4: 0.13, 6: 0.004, 16: 0.26, 17: 0.14, 18: 0.24}


@pytest.mark.parametrize("number", NUMBERS)
def test_counts(number):
    circuit = sim_circuit(number)
    two = sum(g.name in TWO_WIRE for g in circuit.gates)
    assert (circuit.n_weights, two) == COUNTS[number]


# (control, target) of the two-qubit gates in the order of figure 2, wires from the top
PAIRS = {
    2: "32 21 10", 5: "32 31 30 23 21 20 13 12 10 03 02 01", 7: "10 32 21", 10: "32 21 10 30", 11: "10 32 21",
    13: "30 23 12 01 32 03 10 21", 15: "30 23 12 01 32 03 10 21", 16: "10 32 21", 19: "30 23 12 01",
}  # fmt: skip


@pytest.mark.parametrize("number", PAIRS)
def test_pairs_are_the_drawn_ones(number):
    got = [f"{g.wires[0]}{g.wires[1]}" for g in sim_circuit(number).gates if g.name in TWO_WIRE]
    assert got == PAIRS[number].split()


def test_circuit_10_opens_once():
    assert sim_circuit(10, layers=3).n_weights == 4 + 3 * 4


def test_unknown_number():
    with pytest.raises(UnknownName, match="20"):
        sim_circuit(20)


@pytest.mark.slow
@pytest.mark.parametrize("number", PUBLISHED)
def test_expressibility_is_the_published_one(number, states, rng):
    """75 bins, 4,000 pairs; 15 % or 0.005, as the table has two digits."""
    circuit, pairs = sim_circuit(number), 4000
    w = rng.uniform(0, 2 * np.pi, (2 * pairs, circuit.n_weights))
    psi = states(circuit, np.zeros((2 * pairs, 0)), w)
    fidelity = np.abs(np.einsum("ri,ri->r", psi[:pairs].conj(), psi[pairs:])) ** 2
    counts, edges = np.histogram(fidelity, bins=75, range=(0, 1))
    p = counts / pairs
    q = (1 - edges[:-1]) ** 15 - (1 - edges[1:]) ** 15
    used = p > 0
    divergence = float((p[used] * np.log(p[used] / q[used])).sum())
    assert divergence == pytest.approx(PUBLISHED[number], rel=0.15, abs=0.005)
