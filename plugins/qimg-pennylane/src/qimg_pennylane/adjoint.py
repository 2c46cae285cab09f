"""Vector-Jacobian products by the device's adjoint method (imports qimg_core, numpy, PennyLane).

For a row with cotangent c the loss is <H>, H the measured observables weighted by c. One adjoint pass (Jones and
Gacon 2020, arXiv:2009.02823) gives the derivative of <H> by every angle; angles are affine in the parameters,
which the chain rule undoes by hand. Amplitudes of ``prepare`` are differentiated as free numbers: <H> = <a|O|a>
with O = U^dag H U has the derivative 2 Re(O a) by the real parts and 2 Im(O a) by the imaginary ones; O a comes
from running the circuit backwards on H U a.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
from pennylane.tape import QuantumScript

from qimg_core.capabilities import Mismatch
from qimg_core.errors import CapabilityError, DataError
from qimg_pennylane.executing import columns_of, finite, row
from qimg_pennylane.tapes import prepared_state
from qimg_pennylane.weighted import weighted

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_core.execution import ExecutionRequest
    from qimg_pennylane.executing import Runner
    from qimg_pennylane.tapes import Template
    from qimg_pennylane.weighted import Weighted

    Floats = npt.NDArray[np.float64]

_TAPES = 64
"""Rows whose operations are in memory at once."""


def vjp(
    request: ExecutionRequest, cotangent: Any, template: Template, runner: Runner, name: str
) -> tuple[Floats, Floats]:
    """See `qimg_core.backend.Backend.vjp`.

    Raises:
        CapabilityError: a measurement that is no expectation value, or a request with shots.
        DataError: a cotangent of the wrong shape.
    """
    circuit, rows = request.circuit, request.rows
    c = np.asarray(cotangent, dtype=float)
    if c.shape != (rows, request.measurement.width):
        raise DataError(f"cotangent: wanted {(rows, request.measurement.width)}, got {c.shape}")
    loss = None if request.shots is not None else weighted(request.measurement, c, circuit.n_wires)
    if loss is None:
        wanted = f"{request.measurement.kind} with shots={request.shots}"
        offered = "exact expectation values, local states and probabilities"
        raise CapabilityError(name, [Mismatch("gradient", wanted, offered)])
    columns = columns_of(request)
    by_parameter = np.zeros((rows, len(circuit.parameters)))
    at, scales, parameters = _occurrences(template)
    prepared = any(a.parameter is not None for g in template.prepared for a in g.angles)
    busy = [r for r in range(rows) if c[r].any()]  # a row that the loss does not read costs nothing
    for start in range(0, len(busy), _TAPES):
        chosen = busy[start : start + _TAPES]
        bound = {r: template.bind(row(columns, r)) for r in chosen}
        if at:
            tapes = [QuantumScript(bound[r], [qml.expval(loss.observable(r))], trainable_params=at) for r in chosen]
            for r, derivative in zip(chosen, runner.derivatives(tapes), strict=True):
                np.add.at(by_parameter[r], parameters, scales * derivative)
        if prepared:
            for r in chosen:
                by_parameter[r] += _by_amplitudes(template, row(columns, r), bound[r], loss, r, runner)
    finite(name, by_parameter[np.isfinite(c).all(1)])
    for_inputs = by_parameter[:, list(circuit.input_indices)]
    for_weights = by_parameter[:, list(circuit.weight_indices)]
    return for_inputs, for_weights.sum(0) if request.weights.ndim == 1 else for_weights


def _occurrences(template: Template) -> tuple[list[int], Floats, list[int]]:
    """Where the tape's trainable numbers lie, and by which scale and parameter each came about."""
    at, scales, parameters = [], [], []
    position = int(bool(template.prepared))  # the prepared state is the tape's first number
    for gate in template.gates:
        for angle in gate.angles:
            if angle.parameter is not None:
                at.append(position)
                scales.append(angle.scale)
                parameters.append(angle.parameter)
            position += 1
    return at, np.array(scales), parameters


def _by_amplitudes(
    template: Template, values: Sequence[float], operations: list[Any], loss: Weighted, index: int, runner: Runner
) -> Floats:
    """Derivatives by the parameters that ``prepare`` reads, (parameters,), for one row."""
    out = np.zeros(len(values))
    (state,) = runner.execute([QuantumScript(operations, [qml.state()])])
    pushed = loss.times(index, np.asarray(state, dtype=complex))
    norm = float(np.linalg.norm(pushed))
    if norm == 0:
        return out
    n, on = template.circuit.n_wires, template.prepared_wires
    start = qml.StatePrep(pushed / norm, wires=range(n), validate_norm=False)
    backwards = [qml.adjoint(op) for op in reversed(operations[1:])]
    (back,) = runner.execute([QuantumScript([start, *backwards], [qml.state()])])
    whole = norm * np.asarray(back, dtype=complex).reshape((2,) * n)
    pulled = np.moveaxis(whole, on, range(len(on))).reshape(2 ** len(on), -1)[:, 0]  # the other wires start in |0>
    registers = [prepared_state(g, values) for g in template.prepared]
    for k, gate in enumerate(template.prepared):
        tensor: Any = pulled.reshape([len(r) for r in registers])
        for axis in reversed(range(len(registers))):
            if axis != k:
                tensor = np.tensordot(tensor, registers[axis].conj(), axes=(axis, 0))
        both = np.concatenate([2 * tensor.real, 2 * tensor.imag])
        for angle, derivative in zip(gate.angles, both, strict=False):  # a real state has no imaginary angles
            if angle.parameter is not None:
                out[angle.parameter] += angle.scale * derivative
    return out
