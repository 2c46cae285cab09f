"""in-toto Statements v1 with SLSA provenance v1, one a run, signed as DSSE envelopes (imports qimg_core, dsse).

Formats: in-toto attestation framework, Statement v1; SLSA v1.0 provenance. One envelope a line (``.jsonl``), as in-toto
bundles are. ``sha256`` digests are of stored artefacts, byte by byte; a digest that qimg computes over content in its
own way bears another name (``qimgDataset``), so that no tool takes it for a file's.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_audit.dsse import sign
from qimg_core.errors import ConfigurationError
from qimg_core.exporting import Exported
from qimg_core.storage import ensure_folder, write_atomic
from qimg_core.trace_graph import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.ledger.base import Ledger
    from qimg_core.trace_graph import Graph, Node

STATEMENT = "https://in-toto.io/Statement/v1"
PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "https://pypi.org/project/qimg-core/#run-v1"
EXPORTED = "export.signed"

_GIVEN = ("activity", "seed", "backend", "fallback", "shots", "noise", "mitigation", "proposals", "training", "claims")
_INSIDE = ("qimg_core", "profile", "threads", "budget", "status", "total_executions", "total_rows", "total_shots")
_MADE = ("generator", "plugin", "config", "n", "condition", "seed", "settings", "quantum", "simulated", "device_kinds")
_USED = (
    NodeKind.WEIGHTS, NodeKind.DATA, NodeKind.CIRCUIT, NodeKind.CALIBRATION, NodeKind.NOISE, NodeKind.CODE,
    NodeKind.ENVIRONMENT, NodeKind.IMAGES,
)  # fmt: skip


def write(ledger: Ledger, graph: Graph, out: str) -> Exported:
    """Write one envelope for each run that the graph begins with.

    An entry ``export.signed`` with the digest of each payload is written first: what the log's key signed is on
    record, and under a head that both of its keys sign.

    Args:
        ledger: open for writing, as its key signs.
        graph: of the runs.
        out: the ``.jsonl`` file; must not exist.

    Raises:
        ConfigurationError: the file exists.
        LedgerError: the ledger is open for reading only.
    """
    path = Path(out)
    if path.exists():
        raise ConfigurationError(f"{path} exists already", hint="name a new file, e.g. runs.intoto.jsonl")
    statements = [statement(ledger, graph, run) for run in graph.starts]
    envelopes = [sign(ledger, document) for document in statements]
    text = "".join(json.dumps(e, sort_keys=True, separators=(",", ":")) + "\n" for e in envelopes)
    digest = ledger.put(text.encode())
    runs = [run.partition(":")[2] for run in graph.starts]
    facts = {"format": "in-toto", "runs": runs[:500], "count": len(runs), "artefacts": {"envelopes": digest}}
    entry = ledger.append(EXPORTED, facts=facts)
    ledger.checkpoint()
    ensure_folder(path.parent)
    write_atomic(path, text.encode())
    note = f"signed with Ed25519 and ML-DSA-44; entry {entry.index} names the file"
    return Exported(out=str(path), items=f"{len(envelopes)} statements", notes=(note,))


def statement(ledger: Ledger, graph: Graph, run: str) -> dict[str, Any]:
    """The statement of one run, by its node's id."""
    node = graph.nodes[run]
    made = list(graph.sources(run, NodeKind.IMAGES, NodeKind.WEIGHTS))
    facts = node.facts
    metadata = {"invocationId": f"urn:qimg:run:{node.run}"}
    for field, name in (("startedOn", "started"), ("finishedOn", "ended")):
        if name in facts:
            metadata[field] = facts[name]
    outputs = [{"entry": m.entries[0], **{k: m.facts[k] for k in _MADE if k in m.facts}} for m in made]
    return {
        "_type": STATEMENT,
        "subject": [_subject(m) for m in made] or [_last_entry(ledger, node)],
        "predicateType": PREDICATE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {k: facts[k] for k in _GIVEN if facts.get(k) is not None} | {"outputs": outputs},
                "internalParameters": {k: facts[k] for k in _INSIDE if facts.get(k) is not None}
                | {"gaps": list(_gaps(graph, run, made))},
                "resolvedDependencies": list(_dependencies(graph, run, made)),
            },
            "runDetails": {
                "builder": {"id": f"urn:qimg:log:{graph.log}", "version": {"qimg-core": facts.get("qimg_core", "?")}},
                "metadata": metadata,
                "byproducts": [_entries(ledger, node), *_raw(graph, run)],
            },
        },
    }


def _subject(node: Node) -> dict[str, Any]:
    name = "pixels" if node.kind is NodeKind.IMAGES else "weights"
    entry = {"entry": node.entries[0]}  # the first that names it is the one that recorded it
    label = node.facts.get("file") or f"images-{entry['entry']}"
    return {"name": label, "digest": {"sha256": _hex(node.artefacts[name])}, "annotations": {"kind": name, **entry}}


def _last_entry(ledger: Ledger, node: Node) -> dict[str, Any]:
    """A run that left nothing: its subject is its last entry."""
    entry = ledger.entry(node.entries[-1])
    return {
        "name": f"entry-{entry.index}",
        "digest": {"sha256": _hex(entry.digest)},
        "annotations": {"kind": entry.kind},
    }


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _gaps(graph: Graph, run: str, made: list[Node]) -> Iterator[str]:
    for node in (graph.nodes[run], *made, *graph.targets(run, NodeKind.DECISION, NodeKind.JOB)):
        yield from (f"{node.id}: {gap}" for gap in graph.gaps_of(node.id))


def _dependencies(graph: Graph, run: str, made: list[Node]) -> Iterator[dict[str, Any]]:
    """Everything that the run and what it made rest on directly; what these rest on is their own statement's."""
    own = {m.id for m in made}
    seen: set[str] = set()
    jobs = [node.id for node in graph.targets(run, NodeKind.JOB)]
    for source in (run, *jobs, *own):
        for edge in graph.origins(source):
            node = graph.nodes[edge.target]
            if node.kind in _USED and node.id not in own and node.id not in seen:
                seen.add(node.id)
                annotations = {"kind": node.kind.value, "relation": edge.relation}
                yield {"name": node.label, "digest": _digest(node), "annotations": annotations}


def _digest(node: Node) -> dict[str, str]:
    name = node.id.partition(":")[2]
    if node.kind is NodeKind.CODE:
        return {"gitCommit": name}
    stored = next(iter(node.artefacts.values()), None)
    if stored is not None:
        return {"sha256": _hex(stored)}
    own = {NodeKind.DATA: "qimgDataset", NodeKind.WEIGHTS: "qimgWeights", NodeKind.NOISE: "qimgArray"}
    if node.kind is NodeKind.CIRCUIT:
        return {"sha256": _hex(name)}  # a circuit's digest is that of its canonical bytes
    return {own.get(node.kind, "qimgContent"): _hex(name)}


def _entries(ledger: Ledger, node: Node) -> dict[str, Any]:
    """The run's entries in the log, by a digest over their bodies, in order, each with a newline."""
    hashed, indices = hashlib.sha256(), []
    for entry in ledger.entries(run=node.run):
        hashed.update(entry.body + b"\n")
        indices.append(entry.index)
    annotations = {"log": ledger.origin, "first": indices[0], "last": indices[-1], "count": len(indices)}
    return {"name": "ledger entries of the run", "digest": {"sha256": hashed.hexdigest()}, "annotations": annotations}


def _raw(graph: Graph, run: str) -> Iterator[dict[str, Any]]:
    for job in graph.targets(run, NodeKind.JOB):
        if "raw" in job.artefacts:
            ids = list(job.facts.get("provider_ids", ()))
            annotations = {"kind": "job", "provider_ids": ids, "state": job.facts.get("state", "open")}
            yield {"name": f"{job.label}, as received", "digest": {"sha256": _hex(job.artefacts["raw"])},
                   "annotations": annotations}  # fmt: skip
