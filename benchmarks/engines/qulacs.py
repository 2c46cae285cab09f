"""qulacs: a C++ simulator of one circuit at a time, with its own backprop (imports qulacs, numpy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import qulacs

from benchmarks.engines.base import Engine, bits_to_counts
from benchmarks.task import split_rot

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Source, Task

PAULI = {"x": 1, "y": 2, "z": 3}


class Qulacs(Engine):
    """A loop over rows; one parametric circuit, complex128. Rotations turn the other way: R(t) = exp(+i t/2 P)."""

    packages = ("qulacs", "numpy")

    def refuses(self, task: Task) -> str | None:
        if task.amplitudes:
            return "its backprop has no derivative by the initial state"
        if task.reading in ("windows", "postselected"):
            return "its backprop takes Pauli observables with fixed coefficients"
        return None

    def circuit(self, task: Task) -> tuple[qulacs.ParametricQuantumCircuit, list[tuple[Source, float]]]:
        """The circuit, and for each of its parameters where it comes from and its factor."""
        circuit = qulacs.ParametricQuantumCircuit(task.wires)
        sources: list[tuple[Source, float]] = []
        for gate in split_rot(task.gates):
            if not gate.angles:
                getattr(circuit, {"h": "add_H_gate", "cx": "add_CNOT_gate", "cz": "add_CZ_gate"}[gate.name])(
                    *gate.wires
                )
                continue
            axis, source = gate.name[-1], gate.angles[0]
            if len(gate.wires) == 1:
                getattr(circuit, f"add_parametric_R{axis.upper()}_gate")(gate.wires[0], 0.0)
                sources.append((source, -1.0))
            elif gate.name[0] == "r":
                circuit.add_parametric_multi_Pauli_rotation_gate(list(gate.wires), [PAULI[axis]] * 2, 0.0)
                sources.append((source, -1.0))
            else:  # controlled: half a turn of the target, and back about Z on the control
                circuit.add_parametric_multi_Pauli_rotation_gate([gate.wires[1]], [PAULI[axis]], 0.0)
                circuit.add_parametric_multi_Pauli_rotation_gate(list(gate.wires), [3, PAULI[axis]], 0.0)
                sources += [(source, -0.5), (source, 0.5)]
        return circuit, sources

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        circuit, sources = self.circuit(task)
        n, c = task.wires, arrays["c"]
        shared = [(k, i, f) for k, ((kind, i), f) in enumerate(sources) if kind == "w"]
        by_row = [(k, i, f) for k, ((kind, i), f) in enumerate(sources) if kind == "x"]
        each = []
        for q in range(n):
            each.append(qulacs.Observable(n))
            each[q].add_operator(1.0, f"Z {q}")
        state = qulacs.QuantumState(n)

        def set_shared() -> None:
            for k, i, f in shared:
                circuit.set_parameter(k, f * float(arrays["w"][i]))

        def run_row(row: int) -> None:
            for k, i, f in by_row:
                circuit.set_parameter(k, f * float(arrays["x"][row, i]))
            state.set_zero_state()
            circuit.update_quantum_state(state)

        def whole() -> Arrays:
            values = np.empty((task.rows, n))
            gx, gw = np.zeros(arrays["x"].shape), np.zeros(arrays["w"].shape)
            set_shared()
            for row in range(task.rows):
                run_row(row)
                values[row] = [z.get_expectation_value(state) for z in each]
                weighted = qulacs.Observable(n)
                for q in range(n):
                    weighted.add_operator(float(c[row, q]), f"Z {q}")
                gradient = circuit.backprop(weighted)
                for k, i, f in shared:
                    gw[i] += f * gradient[k]
                for k, i, f in by_row:
                    gx[row, i] += f * gradient[k]
            return {"values": values, "x": gx, "w": gw}

        def sample() -> Arrays:
            set_shared()
            outcomes = []
            for row in range(task.rows):
                run_row(row)
                outcomes.append(state.sampling(task.shots))
            return {"outcomes": np.array(outcomes)}

        return whole if task.shots is None else sample

    def counts(self, task: Task, raw: Arrays) -> Arrays:
        # qulacs: qubit 0 is the least significant bit, and ours is the most significant
        bits = (raw["outcomes"][..., None] >> np.arange(task.wires)) & 1
        return {"counts": bits_to_counts(bits, task.wires)}
