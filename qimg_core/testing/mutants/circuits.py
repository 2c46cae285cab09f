"""Devices that run another circuit than they were given (floor 8; imports reference)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.circuit.gates import PARAMETRIC, GateName
from qimg_core.testing.mutants.mutant import Mutant
from qimg_core.testing.mutants.sound import SoundDevice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qimg_core.circuit.ir import Gate
    from qimg_core.execution import ExecutionRequest
    from qimg_core.job import RawResult

G = GateName


class Rewriting(SoundDevice):
    """Each gate goes through `change` first.

    Args:
        change: a gate to what is done instead.
    """

    def __init__(self, change: Callable[[Gate], Iterable[Gate]]) -> None:
        super().__init__()
        self.change = change

    def run(self, request: ExecutionRequest) -> RawResult:
        gates = tuple(g for gate in request.circuit.gates for g in self.change(gate))
        return super().run(evolve(request, circuit=evolve(request.circuit, gates=gates)))


def _scaled(names: Iterable[GateName], factor: float) -> Callable[[Gate], list[Gate]]:
    chosen = frozenset(names)
    return lambda g: [evolve(g, angles=tuple(a * factor for a in g.angles)) if g.name in chosen else g]


def _renamed(names: dict[GateName, GateName]) -> Callable[[Gate], list[Gate]]:
    return lambda g: [evolve(g, name=names.get(g.name, g.name))]


def _dropped(name: GateName) -> Callable[[Gate], list[Gate]]:
    return lambda g: [] if g.name is name else [g]


def _turned(names: Iterable[GateName]) -> Callable[[Gate], list[Gate]]:
    chosen = frozenset(names)
    return lambda g: [evolve(g, wires=g.wires[::-1]) if g.name in chosen else g]


def _angles(change: Callable[[Any], Any]) -> Callable[[Gate], list[Gate]]:
    return lambda g: [evolve(g, angles=tuple(change(a) for a in g.angles)) if g.name in PARAMETRIC else g]


def _first_only(g: Gate) -> list[Gate]:
    return [evolve(g, angles=tuple(evolve(a, offset=0.0) if a.parameter is not None else a for a in g.angles))]


_CHANGES: dict[str, tuple[Callable[[Gate], Iterable[Gate]], str]] = {
    "control and target of cx swapped": (_turned([G.CX]), "C6"),
    "control and target of cry swapped": (_turned([G.CRY]), "C6"),
    "angles negated": (_scaled(PARAMETRIC, -1), "C6"),
    "angle of rx negated": (_scaled([G.RX], -1), "C6"),
    "rxx with half its angle": (_scaled([G.RXX], 0.5), "C6"),
    "rzz with twice its angle": (_scaled([G.RZZ], 2), "C6"),
    "angles in turns": (_scaled(PARAMETRIC, 2 * math.pi), "C6"),
    "t and tdg exchanged": (_renamed({G.T: G.TDG, G.TDG: G.T}), "C6"),
    "sdg is s": (_renamed({G.SDG: G.S}), "C6"),
    "sx is x": (_renamed({G.SX: G.X}), "C6"),
    "y is x": (_renamed({G.Y: G.X}), "C6"),
    "ryy is rxx": (_renamed({G.RYY: G.RXX}), "C6"),
    "crz is rzz": (_renamed({G.CRZ: G.RZZ}), "C6"),
    "phase gate dropped": (_dropped(G.P), "C6"),
    "a gate it does not know is left out": (_dropped(G.RYY), "C6"),
    "scale of affine angles ignored": (_angles(lambda a: evolve(a, scale=math.copysign(1.0, a.scale))), "C5"),
    "offset of affine angles ignored": (_first_only, "C5"),
}

MUTANTS = tuple(
    Mutant(name=name, make=lambda change=change: Rewriting(change), caught_by=case)  # type: ignore[misc]
    for name, (change, case) in _CHANGES.items()
)
