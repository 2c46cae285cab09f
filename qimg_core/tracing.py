"""Tracing: from an image back to run, weights, data, circuit, device and code, and forward again (floor 7).

`trace` walks from one thing, `trace_runs` gives everything that some runs rest on; exports are made of the latter.
Back it reads the runs on the way only; forward it looks once through the entries that link things. Imports
trace_graph, trace_entries, ledger.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.ledger.entry import DIGEST
from qimg_core.trace_entries import LINKING, said_by
from qimg_core.trace_graph import BIRTH, PRODUCTS, Edge, Graph, GraphBuilder, Node, NodeKind, node_id
from qimg_core.trace_nodes import gap_node

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from qimg_core.ledger.base import Ledger

_BY_DIGEST = (
    NodeKind.WEIGHTS, NodeKind.DATA, NodeKind.CIRCUIT, NodeKind.CALIBRATION, NodeKind.NOISE, NodeKind.ENVIRONMENT,
)  # fmt: skip
_ENTRIES = (
    NodeKind.IMAGES, NodeKind.CHECK, NodeKind.DECISION, NodeKind.APPROVAL, NodeKind.MARK, NodeKind.TAKEDOWN,
)  # fmt: skip


def trace(ledger: Ledger, start: str, *, back: bool = True, forward: bool = False, index: int | None = None) -> Graph:
    """Where one thing comes from, and what came of it.

    Args:
        ledger: open for reading at least.
        start: a node's id, see `starting_point`.
        back: follow what it came from.
        forward: follow what came of it.
        index: of images, begin with this one alone.

    Raises:
        ConfigurationError: the ledger names no such thing, or neither direction is asked.
        LedgerError: no such image.
    """
    if not (back or forward):
        raise ConfigurationError("a trace goes back, forward or both")
    reader = _Reader(ledger)
    begin = start
    reader.meet(start, forward=forward)
    if index is not None:
        begin = reader.single(start, index)
    reached = dict.fromkeys(_walk(reader, [begin], forward=False) if back else [begin])
    if forward:
        reached.update(dict.fromkeys(_walk(reader, [start], forward=True)))
    return reader.finished((begin,), reached)


def trace_runs(ledger: Ledger, runs: Iterable[str]) -> Graph:
    """Everything that these runs made, and all that it rests on.

    Raises:
        ConfigurationError: no such run.
    """
    reader = _Reader(ledger)
    starts = []
    for run in dict.fromkeys(runs):
        me = node_id(NodeKind.RUN, run)
        reader.meet(me)
        if me not in reader.builder.nodes:
            raise ConfigurationError(f"no entries of the run {run!r}", hint="list the runs with: qimg ledger log")
        starts += [me, *(e.source for e in reader.builder.uses(me) if e.relation in BIRTH)]
    reached = dict.fromkeys(_walk(reader, starts, forward=False))
    return reader.finished(tuple(s for s in starts if s.startswith("run:")), reached)


def starting_point(ledger: Ledger, name: str) -> str:
    """The id of the node that a word names.

    Args:
        ledger: where to look.
        name: an entry's index; a digest of weights, data, a circuit, noise, a device's state or of pixels; a
            device's name after ``device:``; a git commit after ``code:``; a node's id.

    Raises:
        ConfigurationError: nothing of that name, or an entry that is no thing to trace.
    """
    kind, colon, _ = name.partition(":")
    if name.isdecimal():
        return _of_entry(ledger, int(name))
    if colon and kind in {k.value for k in NodeKind} - {"gap", "image"}:
        return name
    if not DIGEST.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is neither an entry, a run nor a digest", hint="qimg ledger log lists runs; digests: sha256:..."
        )
    for entry in (e for k in LINKING for e in ledger.entries(kind=k)):
        for node in said_by(entry)[0]:
            if node.kind in _BY_DIGEST and node.id.endswith(name):
                return node.id
            if node.kind in (*PRODUCTS, NodeKind.MARK) and name in (node.facts.get("pixels"), *node.artefacts.values()):
                return node.id
    raise ConfigurationError(f"no entry of this ledger names {name}", hint="qimg ledger log --entries")


def _of_entry(ledger: Ledger, index: int) -> str:
    try:
        entry = ledger.entry(index)
    except LedgerError as error:
        raise ConfigurationError(error.message) from error
    own = [n for n in said_by(entry)[0] if n.kind is not NodeKind.GAP and n.entries == (index,)]
    if not own:
        raise ConfigurationError(
            f"entry {index} is {entry.kind}, which names nothing to trace", hint="qimg ledger log --entries"
        )
    return own[-1].id


class _Reader:
    """Reads runs into a graph when a node of theirs is met."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger, self.builder = ledger, GraphBuilder()
        self._read: set[str] = set()
        self._named: dict[str, dict[str | int, None]] | None = None
        self._savers: dict[str, dict[str, None]] | None = None

    def meet(self, node: str, *, forward: bool = False) -> None:
        """Read what has to be known to go on from a node."""
        kind, _, name = node.partition(":")
        if kind == NodeKind.RUN:
            self._run(name)
        elif kind in _ENTRIES:
            known = self.builder.nodes.get(node)
            if known is None or known.run not in self._read:
                self._entry(int(name))
        elif kind == NodeKind.WEIGHTS:
            for run in self._saved(node):
                self._run(run)
        elif not forward:
            self._known(node)
        if forward:
            for place in self._names().get(node, ()):
                self._place(place)

    def _place(self, place: str | int) -> None:
        """Read a run by its id, or an entry of no run by its index."""
        if isinstance(place, int):
            self._entry(place)
        else:
            self._run(place)

    def _known(self, node: str) -> None:
        """A node that was not met on the way, but asked for by name: read the first run that names it."""
        if node not in self.builder.nodes:
            for place in list(self._names().get(node, ()))[:1]:
                self._place(place)

    def _entry(self, index: int) -> None:
        try:
            entry = self.ledger.entry(index)
        except LedgerError as error:
            raise ConfigurationError(error.message, hint="qimg ledger log --entries") from error
        if entry.run is not None:
            self._run(entry.run)
        else:
            self.builder.add(*said_by(entry))

    def _run(self, run: str) -> None:
        if run in self._read:
            return
        self._read.add(run)
        kinds: dict[str, int] = {}
        for entry in self.ledger.entries(run=run):
            kinds[entry.kind] = kinds.get(entry.kind, 0) + 1
            self.builder.add(*said_by(entry))
        me = node_id(NodeKind.RUN, run)
        if me in self.builder.nodes:
            self.builder.add([Node(id=me, kind=NodeKind.RUN, label="", facts={"entries": kinds}, run=run)], [])

    def _saved(self, node: str) -> Iterable[str]:
        """Runs that saved these weights."""
        if self._savers is None:
            self._savers = {}
            for entry in self.ledger.entries(kind="weights.saved"):
                mine = self._savers.setdefault(node_id(NodeKind.WEIGHTS, entry.facts["digest"]), {})
                mine[str(entry.run)] = None
        return self._savers.get(node, ())

    def _names(self) -> dict[str, dict[str | int, None]]:
        """Node id -> runs, and entries of no run, that name it; one look through the entries that link."""
        if self._named is None:
            self._named = {}
            for entry in (e for kind in LINKING for e in self.ledger.entries(kind=kind)):
                nodes, edges = said_by(entry)
                for name in {n.id for n in nodes} | {e.target for e in edges}:
                    self._named.setdefault(name, {})[entry.index if entry.run is None else entry.run] = None
        return self._named

    def single(self, images: str, index: int) -> str:
        """The node of one image of several."""
        node = self.builder.nodes.get(images)
        if node is None or node.kind is not NodeKind.IMAGES:
            raise ConfigurationError(f"{images} are no images")
        digests = json.loads(self.ledger.get(node.artefacts["image_digests"]))
        if not 0 <= index < len(digests):
            raise LedgerError(f"{images} has {len(digests)} images, there is no image {index}")
        entry = int(images.partition(":")[2])
        facts: dict[str, Any] = {"pixels": digests[index], "index": index}
        condition = node.facts.get("condition")
        if condition is not None:
            facts["condition"] = condition[index]
        one = Node(
            id=f"image:{node.id.partition(':')[2]}/{index}",
            kind=NodeKind.IMAGE,
            label=f"image {index} of entry {entry}",
            facts=facts,
            entries=(entry,),
            run=node.run,
        )
        self.builder.add([one], [Edge(one.id, node.id, "one of", entry)])
        return one.id

    def finished(self, starts: tuple[str, ...], reached: dict[str, None]) -> Graph:
        """The graph, with what is missing though no entry says so."""
        for name in list(reached):
            node = self.builder.nodes.get(name)
            if node is None or node.kind is NodeKind.GAP:
                continue
            for what, reason in _missing(self, node):
                gap = gap_node(node.id, what, reason)
                self.builder.add([gap], [Edge(node.id, gap.id, "lacks")])
                reached[gap.id] = None
        return self.builder.graph(self.ledger.origin, starts, reached)


def _walk(reader: _Reader, starts: list[str], *, forward: bool) -> Iterator[str]:
    seen: set[str] = set()
    waiting = list(reversed(starts))
    circuit = starts[0] if starts[0].startswith("circuit:") else None
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        reader.meet(node, forward=forward)
        if node not in reader.builder.nodes:
            continue
        yield node
        if forward:
            waiting += reversed([e.source for e in _forward(reader, node, circuit)])
        else:
            waiting += reversed([e.target for e in reader.builder.origins(node)])


def _forward(reader: _Reader, node: str, circuit: str | None) -> Iterator[Edge]:
    """Edges to what came of a node.

    A run that ran a circuit may have made images without it: where the trace began with a circuit, images that
    name others only are not followed through their run.
    """
    for edge in reader.builder.uses(node):
        stated = _circuits(reader, edge.source) if circuit is not None and edge.relation == "made by" else ()
        if not stated or circuit in stated:
            yield edge


def _circuits(reader: _Reader, images: str) -> tuple[str, ...]:
    return tuple(e.target for e in reader.builder.origins(images) if e.relation == "of the circuit")


def _missing(reader: _Reader, node: Node) -> Iterator[tuple[str, str]]:
    facts, nodes = node.facts, reader.builder
    if node.kind is NodeKind.RUN and "started" not in facts:
        yield "start", "no entry of this ledger begins this run"
    elif node.kind is NodeKind.RUN and "ended" not in facts:
        yield "end", "the run did not end: it was killed, or is under way"
    elif node.kind is NodeKind.JOB and "state" not in facts:
        yield "outcome", "accepted, no result yet" if facts.get("accepted") else "it is not known whether it was sent"
    elif node.kind is NodeKind.DECISION and facts.get("policies") == []:
        yield "policy", "no policy was asked about this plan, and nobody approved it"
    elif node.kind is NodeKind.WEIGHTS and not any(e.relation == "trained by" for e in nodes.origins(node.id)):
        yield "training", "no run of this ledger trained them"
    for name, digest in node.artefacts.items():
        if not reader.ledger.has(digest):
            yield f"artefact {name}", f"{digest} is not in the ledger"
