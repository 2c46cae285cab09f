"""Rewriting what a device does not claim into what it does (floor 4; imports circuit, errors, execution).

Exact up to a global phase, which no measurement sees.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Circuit, Gate, Parameter
from qimg_core.circuit.multiplex import n_preparation_angles, preparation_angles, preparation_gates
from qimg_core.circuit.rewrite import cheapest_rules, rewrite
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.execution import is_tensor

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest, FloatArray


def lower(request: ExecutionRequest, gates: frozenset[GateName]) -> tuple[ExecutionRequest, tuple[str, ...]]:
    """``request`` in the device's own gates, and what was decided, in words.

    ``prepare`` becomes rotations and CX with one new input for each angle, computed row by row from
    the amplitudes, so the circuit's structure does not depend on the data. Inputs and weights that
    only a rewritten ``prepare`` read are left out. Every other unitary gate is rewritten with the
    same parameters. A gate that cannot be had from ``gates`` stays, and `Capabilities.check` names it.

    Args:
        request: what is to run.
        gates: what the device claims.

    Raises:
        DataError: the amplitudes of a ``prepare`` do not have norm 1.
        ConfigurationError: a gradient is wanted through a ``prepare`` that has to be rewritten.
    """
    wanted = Counter(g.name for g in request.circuit.gates if g.name not in gates)
    if not wanted:
        return request, ()
    decisions: list[str] = []
    prepared = wanted.pop(GateName.PREPARE, 0)
    if prepared and _can_prepare(gates):
        before = request.circuit
        request = _without_prepare(request)
        rotations = len(request.circuit.gates) - len(before.gates) + prepared
        decisions.append(
            f"{prepared} prepare written as {rotations} RY, RZ and CX; the angles are computed from each row's "
            "amplitudes (uniformly controlled rotations, quant-ph/0407010)"
        )
    rules = cheapest_rules(gates)
    for name, count in sorted(wanted.items()):
        if name in rules:
            used = ", ".join(dict.fromkeys(step.name.value for step in rules[name]))
            decisions.append(f"{count} {name.value} written with {used}")
    circuit = rewrite(request.circuit, gates)
    return evolve(request, circuit=circuit), tuple(decisions)


def _can_prepare(gates: frozenset[GateName]) -> bool:
    rules = cheapest_rules(gates)
    return all(g in gates or g in rules for g in (GateName.RY, GateName.RZ, GateName.CX))


@frozen
class _Lowered:
    """The new gates, with angles that index ``parameters`` of the old circuit, then the new angles."""

    gates: list[Gate] = field(factory=list)
    names: list[str] = field(factory=list)
    columns: list[Any] = field(factory=list)


def _without_prepare(request: ExecutionRequest) -> ExecutionRequest:
    import numpy as np

    circuit, inputs, weights = request.circuit, request.inputs, request.weights
    if any(getattr(a, "requires_grad", False) for a in (inputs, weights)):
        raise ConfigurationError(
            "no gradient passes through a state preparation that is rewritten in rotations",
            hint="choose a differentiable device that claims prepare, such as --backend simulator",
        )
    values = circuit.values(_numpy(inputs), _numpy(weights))
    out = _Lowered()
    taken = {p.name for p in circuit.parameters}
    for position, gate in enumerate(circuit.gates):
        if gate.name is not GateName.PREPARE:
            out.gates.append(gate)
            continue
        amplitudes = _amplitudes(gate, values, exact=not is_tensor(inputs))
        columns = preparation_angles(amplitudes)
        count = n_preparation_angles(len(gate.wires), complex_state=np.iscomplexobj(amplitudes))
        if all(a.parameter is None for a in gate.angles):
            angles = [Angle(offset=float(v)) for v in columns[0]]
        else:
            prefix = f"prepare{position}"
            while any(name.startswith(f"{prefix}.") for name in taken):
                prefix += "'"
            start = len(circuit.parameters) + len(out.names)
            angles = [Angle(start + k) for k in range(count)]
            out.names.extend(f"{prefix}.{k}" for k in range(count))
            out.columns.append(columns)
        out.gates.extend(preparation_gates(gate.wires, angles, complex_state=np.iscomplexobj(amplitudes)))
    return _rebuilt(request, out)


def _rebuilt(request: ExecutionRequest, out: _Lowered) -> ExecutionRequest:
    """Drop the parameters nobody reads any more; append the new inputs."""
    import numpy as np

    circuit = request.circuit
    only_prepared = {a.parameter for g in circuit.gates if g.name is GateName.PREPARE for a in g.angles}
    only_prepared -= {a.parameter for g in out.gates for a in g.angles}
    kept = [i for i in range(len(circuit.parameters)) if i not in only_prepared]
    parameters = [circuit.parameters[i] for i in kept] + [Parameter(name, "input") for name in out.names]
    old_to_new = {old: new for new, old in enumerate(kept)}
    first_new = len(circuit.parameters)
    old_to_new |= {first_new + k: len(kept) + k for k in range(len(out.names))}
    gates = tuple(
        evolve(
            g,
            angles=tuple(a if a.parameter is None else evolve(a, parameter=old_to_new[a.parameter]) for a in g.angles),
        )
        if g.angles
        else g
        for g in out.gates
    )
    inputs = request.inputs[:, [k for k, i in enumerate(circuit.input_indices) if i in old_to_new]]
    weights = request.weights[..., [k for k, i in enumerate(circuit.weight_indices) if i in old_to_new]]
    if out.columns:
        angles: FloatArray = np.concatenate(out.columns, axis=1)
        inputs = _joined(inputs, angles)
    return evolve(request, circuit=Circuit(circuit.n_wires, gates, tuple(parameters)), inputs=inputs, weights=weights)


def _amplitudes(gate: Gate, values: FloatArray, *, exact: bool) -> Any:
    """(rows, 2**k), real or complex, with the norm checked."""
    import numpy as np

    size = 2 ** len(gate.wires)
    columns = [
        np.full(len(values), a.offset) if a.parameter is None else a.scale * values[:, a.parameter] + a.offset
        for a in gate.angles
    ]
    table = np.stack(columns, axis=1)
    amplitudes = table if table.shape[1] == size else table[:, :size] + 1j * table[:, size:]
    off = np.abs((np.abs(amplitudes) ** 2).sum(axis=1) - 1.0)
    if off.max() > (1e-8 if exact else 1e-4):  # tensors may be float32
        row = int(off.argmax())
        raise DataError(f"prepare: wanted amplitudes of norm 1, row {row} is off by {off[row]:.3g} in the norm squared")
    return amplitudes


def _numpy(array: Any) -> FloatArray:
    import numpy as np

    return np.asarray(array.detach().cpu().numpy() if is_tensor(array) else array, dtype=np.float64)


def _joined(inputs: Any, angles: FloatArray) -> Any:
    import numpy as np

    if not is_tensor(inputs):
        return np.concatenate([inputs, angles], axis=1)
    whole = inputs.new_empty((inputs.shape[0], inputs.shape[1] + angles.shape[1]))
    whole[:, : inputs.shape[1]] = inputs
    whole[:, inputs.shape[1] :] = inputs.new_tensor(angles)
    return whole
