"""Qiskit Aer: values and counts, no derivatives (imports qiskit, qiskit_aer)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import SparsePauliOp
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel, depolarizing_error

from benchmarks.engines.base import Engine
from benchmarks.task import split_rot

if TYPE_CHECKING:
    from benchmarks.engines.base import Step
    from benchmarks.task import Arrays, Task


class Aer(Engine):
    """One circuit with bound weights, the rows by ``parameter_binds``; single precision, one thread."""

    packages = ("qiskit", "qiskit-aer")

    def refuses(self, task: Task) -> str | None:
        return None if self.values_only or task.shots is not None else "it has no derivatives"

    def prepare(self, task: Task, arrays: Arrays) -> Step:
        n, x, w = task.wires, arrays["x"], arrays["w"]
        inputs = ParameterVector("x", task.n_inputs)
        circuit = QuantumCircuit(n)
        for gate in split_rot(task.gates):
            angles = [inputs[i] if kind == "x" else float(w[i]) for kind, i in gate.angles]
            getattr(circuit, gate.name)(*angles, *gate.wires)
        options: dict[str, Any] = {"method": "statevector"}
        if task.noise is not None:  # Aer's error keeps 1 - p of the state: X, Y, Z with p / 4 each
            noise, error = NoiseModel(), depolarizing_error(4 * task.noise / 3, 1)
            one = sorted({g.name for g in split_rot(task.gates) if len(g.wires) == 1})
            two = sorted({g.name for g in task.gates if len(g.wires) == 2})
            noise.add_all_qubit_quantum_error(error, one)
            noise.add_all_qubit_quantum_error(error.tensor(error), two)
            options = {"method": "density_matrix", "noise_model": noise}
        simulator = AerSimulator(precision="single", max_parallel_threads=1, **options)
        rows = range(task.rows)

        def bind() -> list[dict[Any, list[float]]]:
            return [{inputs[i]: [float(v) for v in x[:, i]] for i in range(task.n_inputs)}]

        if task.shots is not None:
            circuit.measure_all()

            def sample() -> Arrays:
                result = simulator.run(circuit, parameter_binds=bind(), shots=task.shots).result()
                return {"counts": [result.get_counts(row) for row in rows]}  # type: ignore[dict-item]

            return sample
        for q in range(n):
            circuit.save_expectation_value(SparsePauliOp("Z"), [q], label=f"z{q}")

        def values() -> Arrays:
            result = simulator.run(circuit, parameter_binds=bind()).result()
            return {"values": np.array([[result.data(row)[f"z{q}"] for q in range(n)] for row in rows])}

        return values

    def counts(self, task: Task, raw: Arrays) -> Arrays:
        out = np.zeros((task.rows, 2**task.wires), dtype=np.int64)
        for row, found in enumerate(raw["counts"]):
            for bits, count in found.items():  # rightmost bit is wire 0
                out[row, int(bits[::-1], 2)] = count
        return {"counts": out}
