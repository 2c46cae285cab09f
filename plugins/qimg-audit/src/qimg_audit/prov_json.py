"""W3C PROV-JSON of the trace (imports qimg_core).

Formats: PROV-DM (W3C Recommendation, 30 April 2013), PROV-JSON (W3C Submission, 24 April 2013). Runs and jobs are
activities, devices are agents, the rest are entities; which relation an edge becomes follows from the two. What is
missing is an attribute ``qimg:gap`` of what lacks it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from qimg_core.errors import ConfigurationError
from qimg_core.exporting import Exported
from qimg_core.storage import ensure_folder, write_atomic
from qimg_core.trace_graph import BIRTH, NodeKind

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.trace_graph import Graph, Node

NAMESPACE = "https://pypi.org/project/qimg-core/#"
_ACTIVITIES = (NodeKind.RUN, NodeKind.JOB)
_BORN = ("wasGeneratedBy", "prov:entity", "prov:activity")
_RELATIONS = {
    ("activity", "entity"): ("used", "prov:activity", "prov:entity"),
    ("activity", "agent"): ("wasAssociatedWith", "prov:activity", "prov:agent"),
    ("activity", "activity"): ("wasInformedBy", "prov:informed", "prov:informant"),
    ("entity", "entity"): ("wasDerivedFrom", "prov:generatedEntity", "prov:usedEntity"),
    ("entity", "agent"): ("wasAttributedTo", "prov:entity", "prov:agent"),
    ("entity", "activity"): ("wasInfluencedBy", "prov:influencee", "prov:influencer"),
}


def write(ledger: Ledger, graph: Graph, out: str) -> Exported:
    """Write the graph as one PROV-JSON document.

    Args:
        ledger: unused: the graph has everything.
        graph: of the runs.
        out: the file; must not exist.

    Raises:
        ConfigurationError: the file exists.
    """
    path = Path(out)
    if path.exists():
        raise ConfigurationError(f"{path} exists already", hint="name a new file, e.g. runs.prov.json")
    found = document(graph)
    ensure_folder(path.parent)
    write_atomic(path, (json.dumps(found, indent=1, sort_keys=True) + "\n").encode())
    count = sum(len(found.get(kind, ())) for kind in ("entity", "activity", "agent"))
    return Exported(out=str(path), items=f"{count} elements")


def document(graph: Graph) -> dict[str, Any]:
    """The PROV-JSON document of a trace."""
    out: dict[str, Any] = {"prefix": {"qimg": NAMESPACE, "log": f"urn:qimg:log:{quote(graph.log, safe='/.-_')}#"}}
    for node in graph.nodes.values():
        if node.kind is not NodeKind.GAP:
            out.setdefault(_class(node), {})[_name(node)] = _attributes(graph, node)
    for number, edge in enumerate(graph.edges):
        source, target = graph.nodes[edge.source], graph.nodes[edge.target]
        if target.kind is NodeKind.GAP:
            continue
        relation, one, two = _RELATIONS[_class(source), _class(target)]
        if edge.relation in BIRTH:
            relation, one, two = _BORN
        body: dict[str, Any] = {one: _name(source), two: _name(target), "prov:label": edge.relation}
        if edge.entry is not None and relation != "wasInfluencedBy":
            body["qimg:entry"] = edge.entry
        out.setdefault(relation, {})[f"_:r{number}"] = body
    return out


def _class(node: Node) -> str:
    return "activity" if node.kind in _ACTIVITIES else "agent" if node.kind is NodeKind.DEVICE else "entity"


def _name(node: Node) -> str:
    kind, _, name = node.id.partition(":")
    return f"log:{kind}/{quote(name, safe='/.-_')}"


def _attributes(graph: Graph, node: Node) -> dict[str, Any]:
    out: dict[str, Any] = {
        "prov:label": node.label,
        "prov:type": {"$": f"qimg:{node.kind.value}", "type": "prov:QUALIFIED_NAME"},
    }
    if node.kind is NodeKind.RUN:
        for name, fact in (("prov:startTime", "started"), ("prov:endTime", "ended")):
            if fact in node.facts:
                out[name] = node.facts[fact]
    for name, value in node.facts.items():
        if value is not None:
            plain = isinstance(value, (str, bool, int))
            out[f"qimg:{name}"] = value if plain else json.dumps(value, sort_keys=True, separators=(",", ":"))
    for name, digest in node.artefacts.items():
        out[f"qimg:artefact_{name}"] = digest
    if node.entries:
        out["qimg:entries"] = ",".join(map(str, node.entries))
    if gaps := graph.gaps_of(node.id):
        out["qimg:gap"] = list(gaps)
    return out
