"""A1 to A3: does an ansatz keep what `qimg_core.ansatz` says? (floor 8; imports the bench, reference)"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.ansatz import Ansatz
from qimg_core.circuit.gates import UNITARY
from qimg_core.circuit.ir import Circuit
from qimg_core.testing.conformance.case import Undecided, case
from qimg_core.testing.conformance.part.bench import PartBench, starts
from qimg_core.testing.reference import statevector, unitary

if TYPE_CHECKING:
    from qimg_core.testing.conformance.case import Checks

MOST_WIRES = 6


class AnsatzBench(PartBench[Ansatz]):
    """An ansatz under test."""


@case("A1", "the circuit is the same from every object, and every weight turns a gate")
def _circuit(bench: AnsatzBench, checks: Checks) -> None:
    first, again = bench.part.circuit, bench.make().circuit
    checks.that("the same digest", first.digest == again.digest, "two objects have two circuits")
    checks.that("the same digest from JSON", Circuit.from_json(first.to_json()).digest == first.digest)
    inputs = [p.name for p in first.parameters if p.role != "weight"]
    checks.that("weights only", not inputs, f"inputs: {inputs[:5]}")
    used = {a.parameter for g in first.gates for a in g.angles}
    idle = [p.name for i, p in enumerate(first.parameters) if i not in used]
    checks.that("every weight is used", not idle, f"no gate reads {idle[:5]}")
    checks.evidence |= {"wires": first.n_wires, "weights": first.n_weights, "digest": first.digest}
    checks.says = f"{first.n_wires} wires, {first.n_weights} weights"


@case("A2", "the start has a number for each weight, and depends on its seed alone")
def _initial(bench: AnsatzBench, checks: Checks) -> None:
    starts(bench, checks, bench.part.circuit.n_weights)


@case("A3", "at its start and elsewhere the circuit is unitary, and its weights matter")
def _unitarity(bench: AnsatzBench, checks: Checks) -> None:
    import numpy as np

    circuit = bench.part.circuit
    if circuit.n_wires > MOST_WIRES:
        raise Undecided(f"{circuit.n_wires} wires; the dense matrix is made up to {MOST_WIRES}")
    if not {g.name for g in circuit.gates} <= UNITARY:
        raise Undecided("it prepares, measures or resets")
    places = [np.asarray(bench.part.initial(3)), bench.rng("weights").uniform(-3, 3, circuit.n_weights)]
    for weights in places:
        u = unitary(circuit, weights)
        checks.near("U^dag U", u.conj().T @ u, np.eye(len(u)), 1e-10)
        checks.near("its first column is the state", u[:, 0], statevector(circuit, weights), 1e-10)
    if circuit.n_weights:
        u = unitary(circuit, places[1])
        for k in range(circuit.n_weights):
            moved = places[1].copy()
            moved[k] += 0.7
            overlap = abs(np.trace(u.conj().T @ unitary(circuit, moved))) / len(u)
            checks.that(f"weight {k} matters", overlap < 1 - 1e-9, "the unitary does not depend on it")


CASES = (_circuit, _initial, _unitarity)
