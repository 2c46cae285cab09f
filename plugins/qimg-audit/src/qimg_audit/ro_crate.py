"""An RO-Crate of the trace with its artefacts (imports qimg_core).

Formats: RO-Crate 1.1, profile Process Run Crate 0.5 (https://w3id.org/ro/wfrun/process/0.5): each run is a CreateAction
with an instrument, objects and results. Files are the ledger's artefacts as they are, and ``trace.json``.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.exporting import Exported
from qimg_core.storage import ensure_folder, storage_error, sync_folder
from qimg_core.trace_graph import NodeKind

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.trace_graph import Graph, Node

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", "https://w3id.org/ro/terms/workflow-run/context"]
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
METADATA = "ro-crate-metadata.json"
_STATUS = {"ok": "http://schema.org/CompletedActionStatus", None: "http://schema.org/ActiveActionStatus"}
_FAILED = "http://schema.org/FailedActionStatus"
_FORMATS = {"circuit": "application/json", "environment": "application/json", "snapshot": "application/json",
            "losses": "text/csv", "image_digests": "application/json"}  # fmt: skip


def write(ledger: Ledger, graph: Graph, out: str) -> Exported:
    """Write a crate into a new folder; it appears whole or not at all.

    Args:
        ledger: gives the artefacts.
        graph: of the runs.
        out: the folder; must not exist.

    Raises:
        ConfigurationError: it exists.
        StorageError: it cannot be written.
    """
    target = Path(out)
    if target.exists():
        raise ConfigurationError(f"{target} exists already", hint="name a new folder")
    ensure_folder(target.parent)
    work = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        (work / "artefacts").mkdir(parents=True)
        sizes, notes = _copy(ledger, graph, work / "artefacts")
        trace = json.dumps(graph.to_json(), indent=1, sort_keys=True).encode() + b"\n"
        (work / "trace.json").write_bytes(trace)
        entities = _entities(graph, sizes, len(trace))
        document = {"@context": CONTEXT, "@graph": entities}
        (work / METADATA).write_bytes(json.dumps(document, indent=1).encode() + b"\n")
        work.replace(target)
    except OSError as error:
        raise storage_error(error, "write the crate", target) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    sync_folder(target.parent)
    return Exported(out=str(target), items=f"{len(sizes)} artefacts", notes=notes)


def _copy(ledger: Ledger, graph: Graph, folder: Path) -> tuple[dict[str, int], tuple[str, ...]]:
    """Size by digest of what was copied, and what could not be."""
    sizes: dict[str, int] = {}
    notes: list[str] = []
    for digest in dict.fromkeys(d for node in graph.nodes.values() for d in node.artefacts.values()):
        try:
            data = ledger.get(digest)
        except LedgerError as error:  # erased or lost: a gap node says so
            notes.append(f"left out: {error.message}")
            continue
        (folder / digest.removeprefix("sha256:")).write_bytes(data)
        sizes[digest] = len(data)
    return sizes, tuple(notes)


def _ref(name: str) -> dict[str, str]:
    return {"@id": name}


def _path(digest: str) -> str:
    return f"artefacts/{digest.removeprefix('sha256:')}"


def _entities(graph: Graph, sizes: dict[str, int], trace: int) -> list[dict[str, Any]]:
    runs = list(graph.of_kind(NodeKind.RUN))
    times = [str(n.facts[k]) for n in runs for k in ("ended", "started") if k in n.facts]
    files = [_file(graph, digest, size) for digest, size in sizes.items()]
    things = [n for n in graph.nodes.values() if n.kind not in (NodeKind.RUN, NodeKind.GAP)]
    contextual = [_thing(graph, n) for n in things if not _parts(n, sizes)]
    listing = {"@id": "trace.json", "@type": "File", "name": "The trace: nodes, edges, gaps",
               "encodingFormat": "application/json", "contentSize": str(trace)}  # fmt: skip
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": f"Runs of the qimg log {graph.log}",
        "description": "Generated images and what they rest on, exported from an append-only log.",
        "datePublished": max(times, default="1970-01-01")[:10],
        "license": "The record states none.",
        "conformsTo": _ref(PROFILE),
        "hasPart": [_ref(f["@id"]) for f in (listing, *files)],
        "mentions": [_ref(f"#{n.id}") for n in runs],
    }
    versions = sorted({str(n.facts["qimg_core"]) for n in runs if "qimg_core" in n.facts})
    return [
        {
            "@id": METADATA,
            "@type": "CreativeWork",
            "conformsTo": _ref("https://w3id.org/ro/crate/1.1"),
            "about": _ref("./"),
        },
        root,
        {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"},
        *({"@id": _software(v), "@type": "SoftwareApplication", "name": "qimg-core", "softwareVersion": v,
           "url": "https://pypi.org/project/qimg-core/"} for v in versions),
        *(_action(graph, n, sizes) for n in runs),
        listing,
        *files,
        *contextual,
    ]  # fmt: skip


def _software(version: str) -> str:
    return f"#qimg-core-{version}"


def _parts(node: Node, sizes: dict[str, int]) -> list[str]:
    return [_path(d) for d in node.artefacts.values() if d in sizes]


def _refs(nodes: list[Node], sizes: dict[str, int]) -> list[dict[str, str]]:
    """A node is its files, or an entity of its own where it has none."""
    names = (name for node in nodes for name in _parts(node, sizes) or [f"#{node.id}"])
    return [_ref(name) for name in dict.fromkeys(names)]


def _action(graph: Graph, run: Node, sizes: dict[str, int]) -> dict[str, Any]:
    facts = run.facts
    made = list(graph.sources(run.id, NodeKind.IMAGES, NodeKind.WEIGHTS, NodeKind.CHECK))
    rests = [n for m in (run, *made) for n in graph.targets(m.id) if n.kind not in (NodeKind.RUN, NodeKind.GAP)]
    used = [n for n in rests if n.id not in {m.id for m in made}]
    status = facts.get("status")
    out: dict[str, Any] = {
        "@id": f"#{run.id}",
        "@type": "CreateAction",
        "name": run.label,
        "actionStatus": _ref(_STATUS.get(status, _FAILED)),
        "object": _refs(used, sizes),
        "result": _refs(made, sizes),
    }
    if "qimg_core" in facts:
        out["instrument"] = _ref(_software(str(facts["qimg_core"])))
    for name, fact in (("startTime", "started"), ("endTime", "ended"), ("error", "error")):
        if facts.get(fact) is not None:
            out[name] = facts[fact]
    if gaps := graph.gaps_of(run.id):
        out["description"] = "Missing: " + "; ".join(gaps)
    return out


def _file(graph: Graph, digest: str, size: int) -> dict[str, Any]:
    owners = [(n, name) for n in graph.nodes.values() for name, d in n.artefacts.items() if d == digest]
    node, name = owners[0]
    return {
        "@id": _path(digest),
        "@type": "File",
        "name": f"{name}: {node.label}",
        "encodingFormat": _FORMATS.get(name, "application/octet-stream"),
        "contentSize": str(size),
        "sha256": digest.removeprefix("sha256:"),
    }


def _thing(graph: Graph, node: Node) -> dict[str, Any]:
    """What has no bytes in the ledger: data, a device, a decision, code."""
    kinds = {NodeKind.DATA: "Dataset", NodeKind.DEVICE: "SoftwareApplication", NodeKind.CODE: "SoftwareSourceCode"}
    out = {
        "@id": f"#{node.id}",
        "@type": kinds.get(node.kind, "CreativeWork"),
        "name": node.label,
        "identifier": node.id.partition(":")[2],
    }
    if gaps := graph.gaps_of(node.id):
        out["description"] = "Missing: " + "; ".join(gaps)
    return out
