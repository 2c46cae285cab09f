"""From a circuit to a short list of stages (imports qimg_core and `primitives`; no torch).

A stage is one of: *dense* (2x2 matrices on some wires, applied as a few Kronecker blocks),
*phase* (a product of diagonals), *permutation*, and, where all amplitudes are real, *turn* (RY by
row). Each primitive joins the earliest stage of its kind that it can reach by moving past stages on other wires.

Before the first stage there is the *preparation*: while a wire has met only its own gates, its
state is a vector of two numbers, and the state of all wires is a product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from attrs import Factory, define, frozen

from qimg_core.capabilities import Mismatch
from qimg_core.circuit.gates import GateName
from qimg_core.errors import CapabilityError
from qimg_simulator.primitives import (
    FIXED,
    Diagonal,
    Fixed,
    Permutation,
    Primitive,
    RealTurn,
    Rotation,
    WireOp,
    axis_of,
    primitives,
)

if TYPE_CHECKING:
    from qimg_core.circuit.ir import Angle, Circuit, Gate

StageKind = Literal["dense", "phase", "permutation", "turn"]

REAL = frozenset(
    {GateName.RY, GateName.H, GateName.X, GateName.Z, GateName.CX, GateName.CZ, GateName.SWAP, GateName.CCX}
)
"""Gates that keep real amplitudes real."""


@define
class Stage:
    """Primitives of one kind that are applied together, in order where they share wires."""

    kind: StageKind
    wires: set[int] = Factory(set)
    items: list[Primitive] = Factory(list)


@frozen
class PhaseStep:
    """diag(1, exp(i angle)) on a wire that is still alone."""

    angle: Angle


Step = Fixed | Rotation | PhaseStep


@frozen
class Plan:
    """What `evolve` runs.

    Args:
        circuit: where it came from.
        weights_by_row: the weights were (rows, n_weights), so every parameter differs by row.
        steps: per wire, the gates before it meets another wire (empty for prepared wires).
        prepared: the ``prepare`` gates, on disjoint wires.
        stages: everything else, in order.
        real: every amplitude is real.
    """

    circuit: Circuit
    weights_by_row: bool
    steps: tuple[tuple[Step, ...], ...]
    prepared: tuple[Gate, ...]
    stages: tuple[Stage, ...]
    real: bool = False

    def by_row(self, angle: Angle) -> bool:
        """Whether the angle differs from row to row."""
        return _by_row(self.circuit, angle, weights_by_row=self.weights_by_row)


def _by_row(circuit: Circuit, angle: Angle, *, weights_by_row: bool) -> bool:
    if angle.parameter is None:
        return False
    return weights_by_row or circuit.parameters[angle.parameter].role == "input"


def check_prepare(circuit: Circuit) -> None:
    """``prepare`` starts from |0...0>, so it must come first on its wires.

    Raises:
        CapabilityError: it follows another gate there.
    """
    touched: set[int] = set()
    for gate in circuit.gates:
        if gate.name is GateName.PREPARE and touched & set(gate.wires):
            offered = "prepare as the first gate of its wires"
            raise CapabilityError("simulator", [Mismatch("gates", f"prepare on {gate.wires} after a gate", offered)])
        touched.update(gate.wires)


def is_real(circuit: Circuit) -> bool:
    """Whether every gate keeps real amplitudes real."""
    return all(
        g.name in REAL or (g.name is GateName.PREPARE and len(g.angles) == 2 ** len(g.wires)) for g in circuit.gates
    )


def compile_plan(circuit: Circuit, *, weights_by_row: bool, real: bool = False) -> Plan:
    """Sort a circuit's gates into preparation and stages.

    Args:
        circuit: any unitary circuit.
        weights_by_row: the weights will be (rows, n_weights).
        real: compute with real numbers; only for circuits that `is_real` finds so.

    Raises:
        CapabilityError: ``prepare`` after another gate of its wires.
    """
    check_prepare(circuit)
    steps: list[list[Step]] = [[] for _ in range(circuit.n_wires)]
    alone = [True] * circuit.n_wires
    prepared: list[Gate] = []
    stages: list[Stage] = []
    for gate in circuit.gates:
        if gate.name is GateName.PREPARE:
            prepared.append(gate)
        elif len(gate.wires) == 1 and alone[gate.wires[0]]:
            steps[gate.wires[0]].append(_step(gate))
            continue
        else:
            by_row = bool(gate.angles) and _by_row(circuit, gate.angle, weights_by_row=weights_by_row)
            for primitive in primitives(gate, by_row=by_row, real=real):
                _place(stages, primitive)
        for wire in gate.wires:
            alone[wire] = False
    return Plan(circuit, weights_by_row, tuple(map(tuple, steps)), tuple(prepared), tuple(stages), real)


def _step(gate: Gate) -> Step:
    if gate.name in FIXED:
        return Fixed.of(gate.name)
    if gate.angle.parameter is None:
        return Fixed.of(gate.name, gate.angle.offset)
    if gate.name is GateName.P:
        return PhaseStep(gate.angle)
    return Rotation(axis_of(gate.name), gate.angle)


def _place(stages: list[Stage], primitive: Primitive) -> None:
    kind: StageKind
    if isinstance(primitive, WireOp):
        wires, kind = {primitive.wire}, "dense"
    elif isinstance(primitive, Diagonal):
        wires, kind = set(primitive.wires), "phase"
    elif isinstance(primitive, RealTurn):
        wires, kind = {primitive.wire}, "turn"
    else:
        assert isinstance(primitive, Permutation)
        wires, kind = set(primitive.wires), "permutation"
    found: Stage | None = None
    for stage in reversed(stages):
        if stage.kind == kind:
            found = stage
        if stage.wires & wires:
            break
    if found is None:
        found = Stage(kind)
        stages.append(found)
    found.wires |= wires
    found.items.append(primitive)
