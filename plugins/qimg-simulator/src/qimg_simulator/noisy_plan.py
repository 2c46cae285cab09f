"""From a circuit with noise to a short list of stages (imports qimg_core, channels, primitives; no torch).

A stage is one of: *runs* (4x4 matrices on some wires), *map* (Clifford gates on two wires and Pauli
noise: a signed and scaled gather), *turns* (rotations by an angle of its own in each row) and *fixed*
(one constant matrix on three wires). Each factor joins the earliest stage of its kind that it can
reach by moving past stages on other wires; noise joins the stage of its gate.

Before the first stage there is the *start*: while a wire has met only its own gates, it has a Pauli
vector of four numbers of its own, and the state of all wires is a product.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from attrs import Factory, define, frozen

from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, GateName, matrix
from qimg_simulator.channels import channel_transfer, transfer
from qimg_simulator.plan import check_prepare
from qimg_simulator.primitives import FIXED, FROM_Z, TO_Z, Axis, Fixed, Rotation, axis_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.circuit.ir import Angle, Circuit, Gate
    from qimg_core.noise import NoiseModel

G = GateName
Kind = Literal["runs", "map", "turns", "fixed"]
Factor = Fixed | Rotation
Item = tuple[tuple[int, ...], "Factor | GateName"]


@define
class Stage:
    """Items of one kind, in order: wires with a matrix or rotation, or with the name of a two-wire gate."""

    kind: Kind
    wires: set[int] = Factory(set)
    items: list[Item] = Factory(list)


@frozen(eq=False)
class NoisyPlan:
    """What a `NoisyProgram` is made of.

    Args:
        circuit: where it came from.
        weights_by_row: the weights will be (rows, n_weights), so every parameter differs by row.
        start: per wire, what happens before it meets another wire (empty for prepared wires).
        prepared: the ``prepare`` gates, on disjoint wires.
        stages: everything else, in order.
    """

    circuit: Circuit
    weights_by_row: bool
    start: tuple[tuple[Factor, ...], ...]
    prepared: tuple[Gate, ...]
    stages: tuple[Stage, ...]


def is_diagonal(factor: Fixed) -> bool:
    """Whether a 4x4 matrix only scales Pauli strings, as Pauli noise does."""
    m = factor.array
    return bool(np.array_equal(m, np.diag(np.diag(m))))


class _Compiler:
    def __init__(self, circuit: Circuit, noise: NoiseModel, *, weights_by_row: bool) -> None:
        self.circuit, self.by_row = circuit, weights_by_row
        self.rules = [(r, Fixed.from_array(channel_transfer(r.channel))) for r in noise.rules]
        self.start: list[list[Factor]] = [[] for _ in range(circuit.n_wires)]
        self.alone = [True] * circuit.n_wires
        self.prepared: list[Gate] = []
        self.stages: list[Stage] = []

    def gate(self, gate: Gate) -> None:
        name, wires = gate.name, gate.wires
        if name is G.PREPARE:
            self.prepared.append(gate)
            self.meet(wires)
            return
        if name in FIXED:
            self.fixed(name, wires[0])
        elif name in (G.RX, G.RY, G.RZ):
            self.turn(axis_of(name), wires[0], gate.angle)
        elif name is G.P:  # RZ up to a global phase, which a density matrix does not have
            self.turn("z", wires[0], gate.angle)
        elif name in (G.CX, G.CZ, G.SWAP):
            self.clifford(name, wires)
        elif name is G.CCX:
            self.meet(wires)
            self.place("fixed", wires, Fixed.from_array(transfer([matrix(name)])))
        else:
            self.two_wire_rotation(gate)
        for rule, channel in self.rules:
            for wire in rule.targets(name, wires):
                self.noise(channel, wire)

    def two_wire_rotation(self, gate: Gate) -> None:
        """RPP(t) = turn P to Z, CX, RZ(t), CX, turn back; CRZ(t) = RZ(t/2) on the target, then RZZ(-t/2)."""
        a, b = gate.wires
        controlled = gate.name in CONTROLLED_ROTATIONS
        axis = axis_of(gate.name)
        turned = (b,) if controlled else (a, b)
        for name in TO_Z[axis]:
            for wire in turned:
                self.fixed(name, wire)
        angle = gate.angle * 0.5 if controlled else gate.angle
        if controlled:
            self.turn("z", b, angle)
        self.clifford(G.CX, (a, b))
        self.turn("z", b, -angle if controlled else angle)
        self.clifford(G.CX, (a, b))
        for name in FROM_Z[axis]:
            for wire in turned:
                self.fixed(name, wire)

    def fixed(self, name: GateName, wire: int) -> None:
        self.one(wire, Fixed.from_array(transfer([matrix(name)])))

    def turn(self, axis: Axis, wire: int, angle: Angle) -> None:
        if angle.parameter is None:
            self.one(wire, Fixed.from_array(transfer([matrix(GateName("r" + axis), angle.offset)])))
        else:
            self.one(wire, Rotation(axis, angle))

    def one(self, wire: int, factor: Factor) -> None:
        if self.alone[wire]:
            self.start[wire].append(factor)
        elif isinstance(factor, Rotation) and differs_by_row(self.circuit, factor.angle, weights_by_row=self.by_row):
            self.place("turns", (wire,), factor)
        else:
            self.place("runs", (wire,), factor)

    def noise(self, channel: Fixed, wire: int) -> None:
        last = next((s for s in reversed(self.stages) if wire in s.wires), None)
        if last is not None and last.kind == "map" and is_diagonal(channel):
            last.items.append(((wire,), channel))
        else:
            self.one(wire, channel)

    def clifford(self, name: GateName, wires: tuple[int, ...]) -> None:
        self.meet(wires)
        self.place("map", wires, name)

    def meet(self, wires: tuple[int, ...]) -> None:
        for wire in wires:
            self.alone[wire] = False

    def place(self, kind: Kind, wires: tuple[int, ...], what: Factor | GateName) -> None:
        found: Stage | None = None
        for stage in reversed(self.stages):
            if stage.kind == kind and kind != "fixed":
                found = stage
            if stage.wires & set(wires):
                break
        if found is None:
            found = Stage(kind)
            self.stages.append(found)
        found.wires.update(wires)
        found.items.append((wires, what))


def differs_by_row(circuit: Circuit, angle: Angle, *, weights_by_row: bool) -> bool:
    """Whether an angle has a value of its own in each row of the batch."""
    if angle.parameter is None:
        return False
    return weights_by_row or circuit.parameters[angle.parameter].role == "input"


def compile_noisy(circuit: Circuit, noise: NoiseModel, *, weights_by_row: bool) -> NoisyPlan:
    """Sort gates and noise into start and stages.

    Args:
        circuit: unitary gates, and ``prepare`` first on its wires.
        noise: its rules; the read-out error belongs to the measurement.
        weights_by_row: see `NoisyPlan`.

    Raises:
        CapabilityError: ``prepare`` after another gate of its wires.
    """
    check_prepare(circuit)
    c = _Compiler(circuit, noise, weights_by_row=weights_by_row)
    for gate in circuit.gates:
        c.gate(gate)
    return NoisyPlan(circuit, weights_by_row, tuple(map(tuple, c.start)), tuple(c.prepared), tuple(c.stages))


def gather_of(stage: Stage, n: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """A *map* stage as new[i] = scale[i] * old[index[i]] over the 4**n Pauli strings."""
    i = np.arange(4**n)
    index, scale = i, np.ones(4**n)
    for wires, what in stage.items:
        shifts = [2 * (n - 1 - w) for w in wires]
        if isinstance(what, Fixed):
            scale = scale * np.diag(what.array).real[(i >> shifts[0]) & 3]
            continue
        assert isinstance(what, GateName)
        source, sign = clifford_table(what)
        own = ((i >> shifts[0]) & 3) * 4 + ((i >> shifts[1]) & 3)
        rest = i & ~((3 << shifts[0]) | (3 << shifts[1]))
        step = rest | (source[own] >> 2 << shifts[0]) | ((source[own] & 3) << shifts[1])
        # new[i] = sign[i] old[step[i]], old[j] = scale[j] before[index[j]]
        index, scale = index[step], sign[own] * scale[step]
    return index, scale


def clifford_table(name: GateName) -> tuple[npt.NDArray[np.int64], npt.NDArray[Any]]:
    """(source, sign), 16 each: new[i] = sign[i] * old[source[i]] for a Clifford gate on two wires."""
    small = np.rint(transfer([matrix(name)]))
    return np.abs(small).argmax(1), small.sum(1)
