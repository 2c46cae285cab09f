"""The noiseless engine against Qiskit's and PennyLane's, on random circuits of every gate."""

from __future__ import annotations

import itertools
import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch

from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, pauli
from qimg_core.circuit.gates import UNITARY, matrix
from qimg_core.errors import CapabilityError, DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_simulator.backend import SimulatorBackend

GATES = sorted(UNITARY)
PAULI = {
    "I": np.eye(2, dtype=complex),
    **{p.upper(): matrix(GateName(p)) for p in "xyz"},
}


def random_circuit(n: int, n_gates: int, seed: int, *, first: tuple[Gate, ...] = ()) -> Circuit:
    """Every gate in turn on random wires; angles are inputs, weights or constants, scaled and shifted."""
    rng = np.random.default_rng(seed)
    names = [g for g in GATES if (GateName(g).n_wires or 1) <= n]
    order = [names[i] for i in rng.permutation(n_gates) % len(names)]
    parameters: list[Parameter] = []
    gates = []
    for name in order:
        wires = tuple(int(w) for w in rng.permutation(n)[: GateName(name).n_wires])
        angles: tuple[Angle, ...] = ()
        if GateName(name).n_angles:
            role = rng.integers(4)
            if role == 3:
                angles = (Angle(offset=rng.uniform(-6, 6)),)
            else:
                again = parameters and rng.random() < 0.3
                if not again:
                    parameters.append(Parameter(f"p{len(parameters)}", "input" if role == 0 else "weight"))
                index = int(rng.integers(len(parameters))) if again else len(parameters) - 1
                angles = (Angle(index, *(rng.uniform(-2, 2, 2) if rng.random() < 0.5 else ())),)
        gates.append(Gate(name, wires, angles))
    return Circuit(n, first + tuple(gates), tuple(parameters))


def numbers(circuit: Circuit, rows: int, seed: int, *, by_row: bool = False) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    shape = (rows, circuit.n_weights) if by_row else (circuit.n_weights,)
    return rng.uniform(-2 * np.pi, 2 * np.pi, (rows, circuit.n_inputs)), rng.uniform(-2 * np.pi, 2 * np.pi, shape)


def run(circuit: Circuit, x: Any, w: Any, measurement: Any, **more: Any) -> Any:
    return SimulatorBackend().run(ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=measurement, **more)).data


def qiskit_states(circuit: Circuit, x: Any, w: Any) -> Any:
    """Each row through Qiskit's own gates and Statevector; its qubits are little-endian."""
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import Statevector

    out = []
    for row in circuit.values(x, w):
        qc = QuantumCircuit(circuit.n_wires)
        for gate in circuit.gates:
            values = [a.offset + (0 if a.parameter is None else a.scale * row[a.parameter]) for a in gate.angles]
            if gate.name is GateName.PREPARE:
                size = 2 ** len(gate.wires)
                vector = np.array(values[:size]) + (1j * np.array(values[size:]) if len(values) > size else 0)
                qc.initialize(vector, list(gate.wires)[::-1])
            else:
                getattr(qc, gate.name.value)(*values, *gate.wires)
        state = Statevector(np.eye(2**circuit.n_wires)[0])
        if circuit.gates and circuit.gates[0].name is GateName.PREPARE:
            state = Statevector.from_instruction(_plain(qc))
        else:
            state = state.evolve(qc)
        out.append(state.reverse_qargs().data)
    return np.array(out)


def _plain(qc: Any) -> Any:
    """`initialize` without its reset, so that it is a unitary from |0>."""
    from qiskit.circuit.library import StatePreparation

    out = qc.copy_empty_like()
    for item in qc.data:
        operation = item.operation
        if operation.name == "initialize":
            operation = StatePreparation(np.array(operation.params))
        out.append(operation, item.qubits)
    return out


@pytest.mark.parametrize("by_row", [False, True])
@pytest.mark.parametrize(("n", "n_gates", "seed"), [(1, 30, 0), (2, 60, 1), (3, 70, 2), (4, 80, 3), (5, 90, 4), (6, 90, 5)])
def test_states_agree_with_qiskit(n: int, n_gates: int, seed: int, by_row: bool) -> None:
    circuit = random_circuit(n, n_gates, seed)
    x, w = numbers(circuit, 3, seed, by_row=by_row)
    ours = run(circuit, x, w, State())
    assert ours.dtype == np.complex128
    np.testing.assert_allclose(ours, qiskit_states(circuit, x, w), atol=1e-10)
