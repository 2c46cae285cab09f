"""Where wires go on a device with few couplings, and the swaps that bring them together (imports qimg_core).

Plain and deterministic: a well-connected patch of qubits, and each two-qubit gate's first wire walks along a
shortest path inside the patch. It is for honest emulation of small circuits, not a rival of the providers'
compilers.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.circuit.gates import GateName
from qimg_core.circuit.ir import Gate
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Graph = dict[int, tuple[int, ...]]
"""Neighbours of each qubit, both ways, sorted."""


def undirected(edges: Mapping[int, Sequence[int]]) -> Graph:
    """A graph with every coupling in both directions."""
    found: dict[int, set[int]] = {q: set() for q in edges}
    for q, others in edges.items():
        for other in others:
            found[q].add(other)
            found.setdefault(other, set()).add(q)
    return {q: tuple(sorted(found[q])) for q in sorted(found)}


def patch(graph: Graph, size: int) -> tuple[int, ...]:
    """``size`` connected qubits with as many couplings among them as a greedy search finds; wire k on the k-th.

    Raises:
        ConfigurationError: no connected patch is that large.
    """
    best: tuple[int, tuple[int, ...]] | None = None
    for start in graph:
        chosen = [start]
        while len(chosen) < size:
            inside = set(chosen)
            border = sorted({n for q in chosen for n in graph[q]} - inside)
            if not border:
                break
            chosen.append(max(border, key=lambda q: (len(inside & set(graph[q])), -q)))
        if len(chosen) == size:
            couplings = sum(n in chosen for q in chosen for n in graph[q])
            if best is None or couplings > best[0]:
                best = couplings, tuple(chosen)
    if best is None:
        raise ConfigurationError(f"wanted {size} connected qubits, the device has no such patch")
    return best[1]


@frozen
class Routed:
    """Gates on physical qubits.

    Args:
        gates: with the swaps that were put in.
        places: where each wire is at the end.
        swaps: how many.
    """

    gates: tuple[Gate, ...]
    places: tuple[int, ...]
    swaps: int


def route(gates: Sequence[Gate], n_wires: int, graph: Graph) -> Routed:
    """Put gates of one and two wires on neighbouring qubits.

    Raises:
        ConfigurationError: the device is too small, or a gate has more than two wires.
    """
    start = patch(graph, n_wires)
    inside, places = set(start), list(start)
    out: list[Gate] = []
    swaps = 0
    for gate in gates:
        if len(gate.wires) > 2:
            raise ConfigurationError(f"{gate.name} on {len(gate.wires)} wires has to be written in smaller gates first")
        if len(gate.wires) == 2:
            path = _path(graph, inside, places[gate.wires[0]], places[gate.wires[1]])
            for here, there in pairwise(path[:-1]):
                out.append(Gate(GateName.SWAP, (here, there)))
                places = [there if p == here else here if p == there else p for p in places]
                swaps += 1
        out.append(Gate(gate.name, tuple(places[w] for w in gate.wires), gate.angles))
    return Routed(tuple(out), tuple(places), swaps)


def _path(graph: Graph, inside: set[int], start: int, goal: int) -> list[int]:
    """A shortest path within the patch, which is connected."""
    before: dict[int, int] = {start: start}
    frontier = [start]
    while goal not in before:
        found = []
        for q in frontier:
            for n in graph[q]:
                if n in inside and n not in before:
                    before[n] = q
                    found.append(n)
        frontier = found
    path = [goal]
    while path[-1] != start:
        path.append(before[path[-1]])
    return path[::-1]
