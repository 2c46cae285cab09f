"""Nodes of a trace, made from entries (floor 6; imports trace_graph)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.trace_graph import Node, NodeKind, node_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.ledger.entry import Entry


def gap_node(owner: str, name: str, reason: str, entry: int | None = None) -> Node:
    """What a node lacks."""
    entries = () if entry is None else (entry,)
    facts = {"field": name, "reason": reason}
    return Node(id=f"gap:{owner}/{name}", kind=NodeKind.GAP, label=f"{name}: {reason}", facts=facts, entries=entries)


def pick(facts: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Some of the facts, those that there are."""
    return {name: facts[name] for name in names if name in facts}


def own(entry: Entry, kind: NodeKind, name: object, label: str, facts: dict[str, Any] | None = None) -> Node:
    """A node of the entry's run."""
    return Node(
        id=node_id(kind, name), kind=kind, label=label, facts=facts or {}, entries=(entry.index,), run=entry.run
    )


def shared(entry: Entry, kind: NodeKind, name: object, label: str, facts: dict[str, Any] | None = None) -> Node:
    """A node that belongs to no run alone."""
    return Node(id=node_id(kind, name), kind=kind, label=label, facts=facts or {}, entries=(entry.index,))


def run_id(entry: Entry) -> str:
    """The node id of the entry's run."""
    return node_id(NodeKind.RUN, entry.run)


def storing(node: Node, artefacts: Mapping[str, str | None]) -> Node:
    """The node with these artefacts, those that are None left out."""
    return evolve(node, artefacts={k: v for k, v in artefacts.items() if v is not None})
