"""A trace as a text tree, as DOT and as SVG (floor 7; imports trace_graph)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from qimg_core.trace_graph import NodeKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from qimg_core.trace_graph import Edge, Graph, Node

_COLOURS = {
    NodeKind.IMAGE: "#dbeafe", NodeKind.IMAGES: "#dbeafe", NodeKind.RUN: "#f1f5f9", NodeKind.WEIGHTS: "#dcfce7",
    NodeKind.DATA: "#fef9c3", NodeKind.CIRCUIT: "#ede9fe", NodeKind.DEVICE: "#ffedd5", NodeKind.CALIBRATION: "#ffedd5",
    NodeKind.GAP: "#ffffff",
}  # fmt: skip
_WIDE, _TALL, _PAD, _STEP = 250, 34, 10, 90


def tree(graph: Graph, *, forward: bool = False, shown: Callable[[Node], str] | None = None) -> list[str]:
    """Lines of an indented tree; what hangs in several places is written out once.

    Args:
        graph: the trace.
        forward: what came of the starts, not what they came from.
        shown: more words for a node, after its label.
    """
    lines: list[str] = []
    seen: set[str] = set()
    for start in graph.starts:
        lines += _tree(graph, start, "", "", "", forward, seen, shown)
    return lines


def _tree(
    graph: Graph,
    name: str,
    relation: str,
    head: str,
    rest: str,
    forward: bool,
    seen: set[str],
    shown: Callable[[Node], str] | None,
) -> Iterator[str]:
    node = graph.nodes[name]
    words = f"{relation} {node.label}".strip()
    more = shown(node) if shown is not None else ""
    again = name in seen
    edges = graph.uses(name) if forward else graph.origins(name)
    yield f"{head}{words}{f'  [{more}]' if more else ''}{'  (see above)' if again and edges else ''}"
    if again:
        return
    seen.add(name)
    gaps: dict[str, list[str]] = {}  # what is missing stands first: a reader must not have to scroll for it
    for edge in edges:
        if (facts := graph.nodes[edge.target].facts) and graph.nodes[edge.target].kind is NodeKind.GAP:
            gaps.setdefault(facts["reason"], []).append(facts["field"])
    ordered = [e for e in edges if graph.nodes[e.target].kind is not NodeKind.GAP]
    for position, (reason, names) in enumerate(gaps.items()):
        yield f"{rest}{'|' if ordered or position < len(gaps) - 1 else '`'}- lacks: {', '.join(names)}: {reason}"
    for position, edge in enumerate(ordered):
        last = position == len(ordered) - 1
        other, word = (edge.source, f"<- {edge.relation}:") if forward else (edge.target, f"{edge.relation}:")
        yield from _tree(
            graph,
            other,
            word,
            rest + ("`- " if last else "|- "),
            rest + ("   " if last else "|  "),
            forward,
            seen,
            shown,
        )


def dot(graph: Graph) -> str:
    """The graph in the DOT language; edges lead from what came later to what it came from."""
    lines = ["digraph trace {", "  rankdir=LR;", '  node [shape=box, style="filled", fontname="sans-serif"];']
    for node in graph.nodes.values():
        style = ', style="dashed"' if node.kind is NodeKind.GAP else ""
        bold = ", penwidth=2" if node.id in graph.starts else ""
        lines.append(f'  {_quoted(node.id)} [label={_quoted(node.label)}, fillcolor="{_colour(node)}"{style}{bold}];')
    for edge in graph.edges:
        lines.append(f"  {_quoted(edge.source)} -> {_quoted(edge.target)} [label={_quoted(edge.relation)}];")
    return "\n".join([*lines, "}", ""])


def _quoted(text: str) -> str:
    """A DOT string: JSON's escapes of quotes and backslashes are DOT's too; line ends do not occur."""
    return json.dumps(" ".join(text.split()), ensure_ascii=False)


def _colour(node: Node) -> str:
    return _COLOURS.get(node.kind, "#f8fafc")


def svg(graph: Graph) -> str:
    """A standalone drawing: what came later on the left, what it came from on the right."""
    columns = _columns(graph)
    place: dict[str, tuple[int, int]] = {}
    height = 0
    for column, names in enumerate(columns):
        for row, name in enumerate(names):
            place[name] = (_PAD + column * (_WIDE + _STEP), _PAD + row * (_TALL + _PAD))
        height = max(height, _PAD + len(names) * (_TALL + _PAD))
    width = _PAD + len(columns) * (_WIDE + _STEP) - _STEP + _PAD
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="11"><rect width="{width}" height="{height}" fill="white"/>'
    )
    lines = [head, *(_line(edge, place) for edge in graph.edges)]
    lines += [_box(node, *place[node.id], node.id in graph.starts) for node in graph.nodes.values()]
    return "\n".join([*lines, "</svg>", ""])


def _columns(graph: Graph) -> list[list[str]]:
    """Nodes by their longest way from anything that nothing came of; a circle is cut where it closes."""
    depth: dict[str, int] = {}
    open_: set[str] = set()

    def far(name: str) -> int:
        if name in depth:
            return depth[name]
        open_.add(name)
        before = [far(e.source) for e in graph.uses(name) if e.source not in open_]
        open_.discard(name)
        depth[name] = 1 + max(before, default=-1)
        return depth[name]

    columns: list[list[str]] = []
    for name in graph.nodes:
        at = far(name)
        while len(columns) <= at:
            columns.append([])
        columns[at].append(name)
    return columns


def _line(edge: Edge, place: dict[str, tuple[int, int]]) -> str:
    (x1, y1), (x2, y2) = place[edge.source], place[edge.target]
    x1, y1, y2 = x1 + _WIDE, y1 + _TALL // 2, y2 + _TALL // 2
    middle = (x1 + x2) // 2
    return (
        f'<path d="M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2}" fill="none" stroke="#94a3b8">'
        f"<title>{escape(edge.relation)}</title></path>"
    )


def _box(node: Node, x: int, y: int, start: bool) -> str:
    dash = ' stroke-dasharray="4 3"' if node.kind is NodeKind.GAP else ""
    label = node.label if len(node.label) <= 44 else node.label[:43] + "…"
    return (
        f'<g><title>{escape(node.label)}</title><rect x="{x}" y="{y}" width="{_WIDE}" height="{_TALL}" rx="4" '
        f'fill="{_colour(node)}" stroke="#334155" stroke-width="{2 if start else 1}"{dash}/>'
        f'<text x="{x + 6}" y="{y + 14}" fill="#64748b">{node.kind.value}</text>'
        f'<text x="{x + 6}" y="{y + 28}">{escape(label)}</text></g>'
    )
