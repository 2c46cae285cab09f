"""All settings of a circuit from one noisy evolution (imports offline, local; Qiskit and Aer inside functions).

The settings of a measurement differ in the turns at the end only. Each circuit is cut into a body and, on each
qubit, the gates behind its last two-qubit gate. Gates and noise of different qubits commute, so the cut changes no
number. Bodies are computed once as density matrices; each setting goes on from there, with the seeds that it would
have by itself, and gives the same counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_ibm.local import run_aer
from qimg_ibm.offline import of_rows, restricted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import FloatArray
    from qimg_ibm.isa import Isa
    from qimg_ibm.offline import NoisyDevice


def of_settings(
    made: Sequence[Isa], device: NoisyDevice, values: FloatArray, *, shots: int, seeds: Sequence[int | None]
) -> list[list[dict[str, int]]]:
    """`of_rows` for each of the circuits; the common part is computed once.

    Args:
        made: one circuit in its settings.
        device: whose noise.
        values: (rows, parameters of qimg's circuit).
        shots: of each row and setting.
        seeds: of the settings.

    Returns:
        for each setting and row, Aer's counts.
    """
    qubits = made[0].qubits
    cut = None
    if len(made) > 1 and device.method(qubits) == "density_matrix" and all(i.qubits == qubits for i in made):
        cut = [divided(restricted(isa.circuit, qubits)) for isa in made]
    if cut is None or any(_lines(body) != _lines(cut[0][0]) for body, _ in cut):
        return [of_rows(i, device, values, shots=shots, seed=s) for i, s in zip(made, seeds, strict=True)]
    states = _states(cut[0][0], made[0], device, values)
    return [
        _continued(tail, isa, states, device, values, shots=shots, seed=seed)
        for (_, tail), isa, seed in zip(cut, made, seeds, strict=True)
    ]


def divided(circuit: Any) -> tuple[Any, Any]:
    """A circuit up to each qubit's last gate of two qubits, and the rest of it."""
    last: dict[Any, int] = {}
    for k, item in enumerate(circuit.data):
        if len(item.qubits) > 1:
            last.update(dict.fromkeys(item.qubits, k))
    body, tail = circuit.copy_empty_like(), circuit.copy_empty_like()
    for k, item in enumerate(circuit.data):
        first = all(k <= last.get(q, -1) for q in item.qubits) and item.operation.name != "measure"
        (body if first else tail).append(item)
    return body, tail


def _lines(circuit: Any) -> list[list[tuple[Any, ...]]]:
    """What happens on each qubit, in order: two circuits of equal lines are the same circuit."""
    place = {q: k for k, q in enumerate(circuit.qubits)}
    out: list[list[tuple[Any, ...]]] = [[] for _ in place]
    for item in circuit.data:
        wires = tuple(place[q] for q in item.qubits)
        word = (item.operation.name, wires, tuple(str(p) for p in item.operation.params))
        for wire in wires:
            out[wire].append(word)
    return out


def _bound(circuit: Any, isa: Isa, values: FloatArray) -> list[Any]:
    """The circuit, a part of ``isa``, with each row's numbers."""
    column = {p: k for k, p in enumerate(isa.circuit.parameters)}
    used = list(circuit.parameters)
    return [circuit.assign_parameters({p: row[column[p]] for p in used}) for row in isa.values(values)]


def _states(body: Any, isa: Isa, device: NoisyDevice, values: FloatArray) -> list[Any]:
    circuits = _bound(body, isa, values)
    for circuit in circuits:
        circuit.save_density_matrix()
    found = run_aer(circuits, method="density_matrix", seed=0, noise=device.model(isa.qubits))
    return [data["density_matrix"] for data in found]


def _continued(
    tail: Any,
    isa: Isa,
    states: Sequence[Any],
    device: NoisyDevice,
    values: FloatArray,
    *,
    shots: int,
    seed: int | None,
) -> list[dict[str, int]]:
    from qiskit_aer.library import SetDensityMatrix

    circuits = []
    for state, rest in zip(states, _bound(tail, isa, values), strict=True):
        circuit = rest.copy_empty_like()
        circuit.append(SetDensityMatrix(state), range(circuit.num_qubits))
        for item in rest.data:
            circuit.append(item)
        circuits.append(circuit)
    found = run_aer(circuits, method="density_matrix", seed=seed, shots=shots, noise=device.model(isa.qubits))
    return [data["counts"] for data in found]
