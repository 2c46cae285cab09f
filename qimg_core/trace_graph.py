"""A graph of where things come from: its values, and walks along it (floor 6; imports errors, attrs).

An edge leads from what came later to what it came from, so walking *back* follows edges and walking
*forward* goes against them. What is missing is a node too, of kind ``gap``, with its reason.
"""

from __future__ import annotations

from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SCHEMA = "qimg.trace/1"


class NodeKind(StrEnum):
    """What a node stands for."""

    IMAGE = "image"
    IMAGES = "images"
    RUN = "run"
    WEIGHTS = "weights"
    DATA = "data"
    CIRCUIT = "circuit"
    DEVICE = "device"
    CALIBRATION = "calibration"
    JOB = "job"
    DECISION = "decision"
    APPROVAL = "approval"
    NOISE = "noise"
    CODE = "code"
    ENVIRONMENT = "environment"
    CHECK = "check"
    MARK = "mark"
    TAKEDOWN = "takedown"
    GAP = "gap"


PRODUCTS = (NodeKind.IMAGES, NodeKind.WEIGHTS)
"""What runs make."""
BIRTH = ("made by", "trained by")
"""Relations of a thing to the run that made it."""


@frozen(kw_only=True)
class Node:
    """One thing that the record names.

    Args:
        id: ``kind:name``; the name is an entry's index, a run id, a digest, a job key.
        kind: what it is.
        label: a few words for people.
        facts: from the entries that name it, without floats.
        artefacts: names to digests of stored bytes.
        entries: indices of the entries that name it, in order.
        run: the run that these entries belong to, where there is one.
    """

    id: str
    kind: NodeKind
    label: str
    facts: Mapping[str, Any] = field(factory=dict)
    artefacts: Mapping[str, str] = field(factory=dict)
    entries: tuple[int, ...] = ()
    run: str | None = None

    def merged(self, other: Node) -> Node:
        """Both together but for the entries: the other's facts win where both have one; the longer label stays."""
        label = max(self.label, other.label, key=len)
        return evolve(
            self,
            label=label,
            facts={**self.facts, **other.facts},
            artefacts={**self.artefacts, **other.artefacts},
            run=self.run if self.run == other.run else self.run or other.run,
        )

    def to_json(self) -> dict[str, Any]:
        """For ``--json`` and for exports."""
        return {
            "id": self.id,
            "kind": self.kind.value,
            "label": self.label,
            "run": self.run,
            "entries": list(self.entries),
            "facts": dict(self.facts),
            "artefacts": dict(self.artefacts),
        }


@frozen
class Edge:
    """``source`` came from ``target``: read "source relation target", e.g. "images:4 made by run:...".

    ``entry`` is the index of the entry that says so, None where it follows from the shape of the log.
    """

    source: str
    target: str
    relation: str
    entry: int | None = None

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {"source": self.source, "target": self.target, "relation": self.relation, "entry": self.entry}


def node_id(kind: NodeKind, name: object) -> str:
    """The id of a node."""
    return f"{kind.value}:{name}"


@frozen(kw_only=True)
class Graph:
    """Nodes by id and the edges between them.

    Args:
        log: the origin of the ledger.
        starts: ids that the trace began with.
        nodes: by id, in the order in which they were met.
        edges: each once, in that order.
    """

    log: str
    starts: tuple[str, ...]
    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]

    @cached_property
    def _back(self) -> dict[str, list[Edge]]:
        return _by(self.edges, "source")

    @cached_property
    def _forward(self) -> dict[str, list[Edge]]:
        return _by(self.edges, "target")

    def origins(self, node: str) -> tuple[Edge, ...]:
        """Edges to what a node came from."""
        return tuple(self._back.get(node, ()))

    def uses(self, node: str) -> tuple[Edge, ...]:
        """Edges from what came of a node."""
        return tuple(self._forward.get(node, ()))

    def of_kind(self, *kinds: NodeKind) -> Iterator[Node]:
        """Nodes of these kinds, in order."""
        return (node for node in self.nodes.values() if node.kind in kinds)

    def targets(self, node: str, *kinds: NodeKind) -> Iterator[Node]:
        """What a node came from directly, of these kinds."""
        return (self.nodes[e.target] for e in self.origins(node) if self.nodes[e.target].kind in kinds)

    def sources(self, node: str, *kinds: NodeKind) -> Iterator[Node]:
        """What came of a node directly, of these kinds."""
        return (self.nodes[e.source] for e in self.uses(node) if self.nodes[e.source].kind in kinds)

    def gaps_of(self, node: str) -> tuple[str, ...]:
        """What a node lacks, ``field: reason``."""
        return tuple(gap.label for gap in self.targets(node, NodeKind.GAP))

    def without_gaps(self) -> Graph:
        """The same graph without the nodes of what is missing."""
        kept = {i: n for i, n in self.nodes.items() if n.kind is not NodeKind.GAP}
        return evolve(self, nodes=kept, edges=tuple(e for e in self.edges if e.target in kept))

    def to_json(self) -> dict[str, Any]:
        """One document."""
        return {
            "schema": SCHEMA,
            "log": self.log,
            "starts": list(self.starts),
            "nodes": [node.to_json() for node in self.nodes.values()],
            "edges": [edge.to_json() for edge in self.edges],
        }


def _by(edges: Iterable[Edge], end: str) -> dict[str, list[Edge]]:
    out: dict[str, list[Edge]] = {}
    for edge in edges:
        out.setdefault(getattr(edge, end), []).append(edge)
    return out


class GraphBuilder:
    """Collects nodes and edges; the same node from several entries becomes one."""

    def __init__(self) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: dict[Edge, None] = {}
        self._entries: dict[str, dict[int, None]] = {}
        self._back: dict[str, list[Edge]] = {}
        self._forward: dict[str, list[Edge]] = {}

    def add(self, nodes: Iterable[Node], edges: Iterable[Edge]) -> None:
        """Take nodes and edges in."""
        for node in nodes:
            known = self.nodes.get(node.id)
            self.nodes[node.id] = node if known is None else known.merged(node)
            self._entries.setdefault(node.id, {}).update(dict.fromkeys(node.entries))
        for edge in edges:
            if edge not in self.edges:
                self.edges[edge] = None
                self._back.setdefault(edge.source, []).append(edge)
                self._forward.setdefault(edge.target, []).append(edge)

    def origins(self, node: str) -> tuple[Edge, ...]:
        """Edges to what a node came from, as far as it is known."""
        return tuple(self._back.get(node, ()))

    def uses(self, node: str) -> tuple[Edge, ...]:
        """Edges from what came of a node, as far as it is known."""
        return tuple(self._forward.get(node, ()))

    def graph(self, log: str, starts: Iterable[str], reached: Iterable[str]) -> Graph:
        """What was reached of it, and every edge between.

        Raises:
            ConfigurationError: nothing was reached.
        """
        kept = {i: evolve(self.nodes[i], entries=tuple(sorted(self._entries[i]))) for i in reached if i in self.nodes}
        if not kept:
            raise ConfigurationError("the ledger names no such thing", hint="qimg ledger log lists its runs")
        edges = tuple(e for e in self.edges if e.source in kept and e.target in kept)
        return Graph(log=log, starts=tuple(starts), nodes=kept, edges=edges)
