"""Parameter-shift gradients as one broadcast request (floor 4; imports errors, circuit, execution).

A parameter that several gates use, or that is scaled, breaks the plain shift rule; its *occurrences*
do not. Every occurrence gets a parameter of its own, all shifts of all rows travel in one request,
and a Jacobian brings the derivatives back to the caller's parameters.

Rules: two shifts of pi/2 for rotations whose generator has two eigenvalues (Schuld et al. 2019,
arXiv:1811.11184); four shifts for controlled rotations (Anselmetti et al. 2021, arXiv:2104.05695).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from qimg_core.capabilities import Mismatch
from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, GateName
from qimg_core.circuit.ir import Angle, Circuit, Parameter
from qimg_core.errors import CapabilityError

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest, FloatArray

_PLUS, _MINUS = (math.sqrt(2) + 1) / (4 * math.sqrt(2)), (math.sqrt(2) - 1) / (4 * math.sqrt(2))
TWO_TERM = ((math.pi / 2, 0.5), (-math.pi / 2, -0.5))
FOUR_TERM = ((math.pi / 2, _PLUS), (-math.pi / 2, -_PLUS), (3 * math.pi / 2, -_MINUS), (-3 * math.pi / 2, _MINUS))


@frozen(eq=False)
class Occurrences:
    """A circuit with one weight per occurrence: angle = J @ values + offset.

    Args:
        circuit: the rewritten circuit; inputs only where ``prepare`` uses them.
        jacobian: (occurrences, parameters), columns in the order of the old `Circuit.parameters`.
        offset: (occurrences,).
        shifts: per shifted row: (occurrence, angle, coefficient).
    """

    circuit: Circuit
    jacobian: FloatArray
    offset: FloatArray
    shifts: tuple[tuple[int, float, float], ...]


def by_occurrence(circuit: Circuit) -> Occurrences:
    """Give every parameterised rotation a parameter of its own.

    Raises:
        CapabilityError: ``prepare`` depends on a parameter, which no shift rule covers.
    """
    import numpy as np

    rows = list(circuit.occurrences())
    if any(g.name is GateName.PREPARE for _, g in rows):
        raise CapabilityError(
            "parameter shift",
            [Mismatch("gate", "gradients through prepare", "rotations only")],
            hint="use a device that differentiates natively, or an angle encoder",
        )
    jacobian = np.zeros((len(rows), len(circuit.parameters)))
    offset = np.zeros(len(rows))
    gates = list(circuit.gates)
    shifts: list[tuple[int, float, float]] = []
    for k, (at, gate) in enumerate(rows):
        angle = gate.angle
        assert angle.parameter is not None
        jacobian[k, angle.parameter], offset[k] = angle.scale, angle.offset
        gates[at] = evolve(gate, angles=(Angle(k),))
        rule = FOUR_TERM if gate.name in CONTROLLED_ROTATIONS else TWO_TERM
        shifts += [(k, shift, coefficient) for shift, coefficient in rule]
    parameters = tuple(Parameter(f"occurrence{k}", "weight") for k in range(len(rows)))
    return Occurrences(Circuit(circuit.n_wires, gates, parameters), jacobian, offset, tuple(shifts))


def shifted(request: ExecutionRequest, plan: Occurrences) -> ExecutionRequest:
    """One request: the rows themselves first, then all shifts of row 0, of row 1, ...

    Returns:
        A request of rows * (1 + len(plan.shifts)) rows.
    """
    import numpy as np

    values = request.circuit.values(request.inputs, request.weights)
    base = values @ plan.jacobian.T + plan.offset
    steps = np.zeros((len(plan.shifts), base.shape[1]))
    for i, (k, shift, _) in enumerate(plan.shifts):
        steps[i, k] = shift
    moved = (base[:, None, :] + steps[None]).reshape(-1, base.shape[1])
    weights = np.concatenate([base, moved])
    return evolve(request, circuit=plan.circuit, inputs=np.zeros((len(weights), 0)), weights=weights)


def gather(data: Any, rows: int, plan: Occurrences) -> tuple[Any, Any]:
    """Measured rows of `shifted` -> (values (rows, width), derivatives (rows, width, parameters))."""
    import numpy as np

    flat = np.asarray(data, dtype=float).reshape(len(data), -1)
    moved = flat[rows:].reshape(rows, len(plan.shifts), -1)
    by_angle = np.zeros((rows, plan.jacobian.shape[0], flat.shape[1]))
    for i, (k, _, coefficient) in enumerate(plan.shifts):
        by_angle[:, k] += coefficient * moved[:, i]
    return flat[:rows], np.einsum("rkw,kp->rwp", by_angle, plan.jacobian)
