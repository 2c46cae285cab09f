"""Writing gates in terms of others, exactly up to a global phase (imports errors, gates, ir).

Each rule is a textbook identity; a device's own gate set chooses between the rules by a cheapest
path, counting one for a one-qubit gate and ten for a two-qubit gate.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Angle, Circuit, Gate

if TYPE_CHECKING:
    from collections.abc import Iterable

G = GateName
MINIMAL = frozenset({G.RX, G.RY, G.RZ, G.CX})
"""Every unitary gate of the IR can be written in these."""


@frozen
class Step:
    """One gate of a rule: on the rule's own wires, with angle ``scale * a + offset``."""

    name: GateName
    wires: tuple[int, ...]
    scale: float = 0.0
    offset: float = 0.0


Rule = tuple[Step, ...]


def _c(name: GateName, wire: int, offset: float) -> Step:
    return Step(name, (wire,), 0.0, offset)


def _h(wire: int) -> Step:
    return Step(G.H, (wire,))


_HALF = math.pi / 2
_CX, _XC = Step(G.CX, (0, 1)), Step(G.CX, (1, 0))


def _phase(angle: float) -> tuple[Rule, ...]:
    return (_c(G.RZ, 0, angle),), (_c(G.P, 0, angle),)


def _conjugated(before: Rule, middle: Step, after: Rule) -> Rule:
    return (*before, middle, *after)


_BOTH_H = (_h(0), _h(1))
_CCX_TAIL: Rule = (  # Nielsen and Chuang, figure 4.9
    _h(2),
    Step(G.CX, (1, 2)),
    Step(G.TDG, (2,)),
    Step(G.CX, (0, 2)),
    Step(G.T, (2,)),
    Step(G.CX, (1, 2)),
    Step(G.TDG, (2,)),
    Step(G.CX, (0, 2)),
    Step(G.T, (1,)),
    Step(G.T, (2,)),
    _h(2),
    Step(G.CX, (0, 1)),
    Step(G.T, (0,)),
    Step(G.TDG, (1,)),
    Step(G.CX, (0, 1)),
)

RULES: dict[GateName, tuple[Rule, ...]] = {
    G.H: (
        (_c(G.RZ, 0, math.pi), _c(G.RY, 0, _HALF)),
        (_c(G.RZ, 0, _HALF), Step(G.SX, (0,)), _c(G.RZ, 0, _HALF)),
        (_c(G.RY, 0, _HALF), _c(G.RX, 0, math.pi)),
    ),
    G.X: ((_c(G.RX, 0, math.pi),), (Step(G.SX, (0,)), Step(G.SX, (0,)))),
    G.Y: ((_c(G.RY, 0, math.pi),),),
    G.Z: _phase(math.pi),
    G.S: _phase(_HALF),
    G.SDG: _phase(-_HALF),
    G.T: _phase(math.pi / 4),
    G.TDG: _phase(-math.pi / 4),
    G.SX: ((_c(G.RX, 0, _HALF),),),
    G.P: ((Step(G.RZ, (0,), 1.0),),),
    G.RZ: (
        (Step(G.P, (0,), 1.0),),
        _conjugated((_c(G.RX, 0, -_HALF),), Step(G.RY, (0,), 1.0), (_c(G.RX, 0, _HALF),)),
        _conjugated((_h(0),), Step(G.RX, (0,), 1.0), (_h(0),)),
    ),
    G.RX: (
        _conjugated((_h(0),), Step(G.RZ, (0,), 1.0), (_h(0),)),
        _conjugated((_c(G.RZ, 0, _HALF),), Step(G.RY, (0,), 1.0), (_c(G.RZ, 0, -_HALF),)),
        (
            _c(G.RZ, 0, _HALF),
            Step(G.SX, (0,)),
            Step(G.RZ, (0,), 1.0, math.pi),
            Step(G.SX, (0,)),
            _c(G.RZ, 0, _HALF),
        ),
    ),
    G.RY: (
        _conjugated((_c(G.RZ, 0, -_HALF),), Step(G.RX, (0,), 1.0), (_c(G.RZ, 0, _HALF),)),
        (Step(G.SX, (0,)), Step(G.RZ, (0,), 1.0, math.pi), Step(G.SX, (0,)), _c(G.RZ, 0, math.pi)),
    ),
    G.CX: (
        (_h(1), Step(G.CZ, (0, 1)), _h(1)),
        (
            _c(G.RY, 0, _HALF),
            Step(G.RXX, (0, 1), 0.0, _HALF),
            _c(G.RX, 0, -_HALF),
            _c(G.RX, 1, -_HALF),
            _c(G.RY, 0, -_HALF),
        ),
    ),
    G.CZ: (
        (_h(1), _CX, _h(1)),
        (_c(G.RZ, 0, _HALF), _c(G.RZ, 1, _HALF), Step(G.RZZ, (0, 1), 0.0, -_HALF)),
    ),
    G.SWAP: ((_CX, _XC, _CX),),
    G.CRZ: (
        (Step(G.RZ, (1,), 0.5), _CX, Step(G.RZ, (1,), -0.5), _CX),
        (Step(G.RZ, (1,), 0.5), Step(G.RZZ, (0, 1), -0.5)),
    ),
    G.CRY: (
        (Step(G.RY, (1,), 0.5), _CX, Step(G.RY, (1,), -0.5), _CX),
        (Step(G.RY, (1,), 0.5), Step(G.CZ, (0, 1)), Step(G.RY, (1,), -0.5), Step(G.CZ, (0, 1))),
    ),
    G.CRX: (
        (_h(1), Step(G.CRZ, (0, 1), 1.0), _h(1)),
        (Step(G.RX, (1,), 0.5), Step(G.CZ, (0, 1)), Step(G.RX, (1,), -0.5), Step(G.CZ, (0, 1))),
    ),
    G.RZZ: (
        (_CX, Step(G.RZ, (1,), 1.0), _CX),
        (*_BOTH_H, Step(G.RXX, (0, 1), 1.0), *_BOTH_H),
    ),
    G.RXX: ((*_BOTH_H, Step(G.RZZ, (0, 1), 1.0), *_BOTH_H),),
    G.RYY: (
        _conjugated(
            (_c(G.RX, 0, _HALF), _c(G.RX, 1, _HALF)),
            Step(G.RZZ, (0, 1), 1.0),
            (_c(G.RX, 0, -_HALF), _c(G.RX, 1, -_HALF)),
        ),
        _conjugated(
            (_c(G.RZ, 0, -_HALF), _c(G.RZ, 1, -_HALF)),
            Step(G.RXX, (0, 1), 1.0),
            (_c(G.RZ, 0, _HALF), _c(G.RZ, 1, _HALF)),
        ),
    ),
    G.CCX: (_CCX_TAIL,),
}


def cheapest_rules(gates: Iterable[GateName]) -> dict[GateName, Rule]:
    """The rule to use for each gate that is not in ``gates`` and can be written in them."""
    offered = frozenset(gates)
    cost: dict[GateName, int] = {g: 10 if g.n_wires == 2 else 1 for g in offered}
    chosen: dict[GateName, Rule] = {}
    improved = True
    while improved:
        improved = False
        for name, rules in RULES.items():
            if name in offered:
                continue
            for rule in rules:
                if all(step.name in cost for step in rule):
                    total = sum(cost[step.name] for step in rule)
                    if total < cost.get(name, total + 1):
                        cost[name], chosen[name], improved = total, rule, True
    return chosen


def expand(gate: Gate, rules: dict[GateName, Rule]) -> list[Gate]:
    """``gate`` written with ``rules`` until none applies; the gate itself where none does."""
    rule = rules.get(gate.name)
    if rule is None:
        return [gate]
    out: list[Gate] = []
    for step in rule:
        angles: tuple[Angle, ...] = ()
        if step.name.n_angles:
            angles = (_affine(gate.angles[0] if gate.angles else None, step),)
        out += expand(Gate(step.name, tuple(gate.wires[w] for w in step.wires), angles), rules)
    return out


def _affine(angle: Angle | None, step: Step) -> Angle:
    if angle is None or step.scale == 0.0:
        return Angle(offset=step.offset)
    if angle.parameter is None:  # one canonical form for constants, so that equal circuits have equal digests
        return Angle(offset=step.scale * angle.offset + step.offset)
    return Angle(angle.parameter, angle.scale * step.scale, angle.offset * step.scale + step.offset)


def rewrite(circuit: Circuit, gates: Iterable[GateName]) -> Circuit:
    """``circuit`` in ``gates`` only, exact up to a global phase, with the same parameters.

    Gates for which there is no way (``prepare``, ``measure``, ``reset``, or a set that cannot
    entangle) stay as they are, so that a capability check names them.
    """
    offered = frozenset(gates)
    if all(g.name in offered for g in circuit.gates):
        return circuit
    rules = cheapest_rules(offered)
    return evolve(circuit, gates=tuple(new for g in circuit.gates for new in expand(g, rules)))
