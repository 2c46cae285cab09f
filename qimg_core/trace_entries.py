"""What one entry says about where things come from: entry -> nodes and edges, pure (floor 6; imports trace_graph, job).

Each function reads one kind of entry. Kinds that name no origin (``executions``, ``compare.measured``, ...) say
nothing here; they count in their run. ``policy.*`` and ``approval.*`` entries are decisions and approvals of
their run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.job import job_key
from qimg_core.trace_graph import Edge, Node, NodeKind, node_id
from qimg_core.trace_nodes import gap_node, own, pick, run_id, shared, storing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qimg_core.ledger.entry import Entry

    Said = tuple[list[Node], list[Edge]]

_RUN_FACTS = ("activity", "qimg_core", "seed", "backend", "fallback", "shots", "noise", "mitigation", "proposals")
_MADE_FACTS = (
    "generator", "plugin", "config", "n", "condition", "seed", "noise", "noise_source", "settings", "shape", "pixels",
    "marks", "quantum", "simulated", "device_kinds",
)  # fmt: skip
_PLAN_FACTS = ("rows", "shots", "gradient", "cost", "footprint", "decisions", "fallback_reason", "policies")
_JOB_FACTS = ("raw", "shots", "sampling", "device_kind", "qpu_seconds", "billed", "drift", "provider")


def said_by(entry: Entry) -> Said:
    """The nodes and edges of one entry; an entry of a run always names the run."""
    reader = _READERS.get(entry.kind)
    if reader is None:
        family = entry.kind.partition(".")[0]
        reader = _decision if family == "policy" else _approval if family == "approval" else None
    nodes, edges = reader(entry) if reader is not None else ([], [])
    if entry.run is not None:
        nodes = [_run(entry), *nodes]
    owner = nodes[-1].id if nodes else None
    if owner is not None:
        for gap in entry.gaps:
            at = owner if entry.kind != "training.started" or gap.field != "licence" else _owner_of_licence(entry)
            nodes.append(gap_node(at, gap.field, gap.reason, entry.index))
            edges.append(Edge(at, nodes[-1].id, "lacks", entry.index))
    return nodes, edges


def _run(entry: Entry) -> Node:
    return own(entry, NodeKind.RUN, entry.run, f"run {entry.run}")


def _started(entry: Entry) -> Said:
    facts = entry.facts
    me = run_id(entry)
    run: dict[str, Any] = {**pick(facts, (*_RUN_FACTS, "budget", "profile", "threads"))}
    run["started" if entry.kind == "run.started" else "resumed"] = entry.time
    if entry.claims:
        run["claims"] = entry.claims
    nodes, edges = [], []
    git = facts.get("git")
    if git is not None:
        state = ", with changes" if git["modified"] else ""
        nodes.append(shared(entry, NodeKind.CODE, git["commit"], f"git commit {git['commit'][:12]}{state}", git))
        edges.append(Edge(me, nodes[-1].id, "ran the code", entry.index))
    digest = entry.artefacts.get("environment")
    if digest is not None:
        found = storing(shared(entry, NodeKind.ENVIRONMENT, digest, "packages and machine"), {"environment": digest})
        nodes, edges = [*nodes, found], [*edges, Edge(me, found.id, "ran in", entry.index)]
    label = f"run {entry.run}, {facts['activity']}"
    nodes.append(own(entry, NodeKind.RUN, entry.run, label, run))  # last: the entry's gaps are the run's
    return nodes, edges


def _finished(entry: Entry) -> Said:
    facts = {f"total_{k}" if k in ("executions", "rows", "shots") else k: v for k, v in entry.facts.items()}
    return [own(entry, NodeKind.RUN, entry.run, f"run {entry.run}", {**facts, "ended": entry.time})], []


def _admitted(entry: Entry) -> Said:
    facts, me = entry.facts, run_id(entry)
    device = shared(
        entry, NodeKind.DEVICE, facts["backend"], f"device {facts['backend']}, {facts['device_kind']}",
        {"device_kind": facts["device_kind"]},
    )  # fmt: skip
    circuit = _circuit(entry, facts["circuit"])
    nodes: list[Node] = [device, circuit]
    edges = [
        Edge(me, device.id, "ran on", entry.index),
        Edge(me, circuit.id, "ran the circuit", entry.index),
    ]
    snapshot = facts.get("snapshot")
    if snapshot is not None:
        nodes.append(_calibration(entry, snapshot["digest"], entry.artefacts.get("snapshot")))
        edges += [
            Edge(me, nodes[-1].id, "with the device as in", entry.index),
            Edge(nodes[-1].id, device.id, "state of", entry.index),
        ]
    asked = ", ".join(facts["policies"]) or "no policy was asked"
    plan = {**pick(facts, _PLAN_FACTS), "verdict": "allow", "backend": facts["backend"], "circuit": facts["circuit"]}
    nodes.append(own(entry, NodeKind.DECISION, entry.index, f"plan admitted in entry {entry.index}: {asked}", plan))
    edges.append(Edge(me, nodes[-1].id, "admitted by", entry.index))
    edges += _answers(entry, nodes[-1].id, facts.get("policy_decisions", ()))
    return nodes, edges


def _answers(entry: Entry, plan: str, indices: Iterable[int]) -> list[Edge]:
    """From a plan's fate to the entries of what each policy answered."""
    return [Edge(plan, node_id(NodeKind.DECISION, i), "on the answer of", entry.index) for i in indices]


def _circuit(entry: Entry, digest: str) -> Node:
    node = shared(entry, NodeKind.CIRCUIT, digest, f"circuit {digest[7:19]}")
    return storing(node, {"circuit": entry.artefacts.get("circuit")})


def _calibration(entry: Entry, digest: str, stored: str | None) -> Node:
    return storing(shared(entry, NodeKind.CALIBRATION, digest, f"device state {digest[7:19]}"), {"snapshot": stored})


def _refused(entry: Entry) -> Said:
    facts = {"verdict": "deny", **entry.facts}
    what = "plan refused" if entry.kind == "plan.refused" else "images withheld"
    node = own(entry, NodeKind.DECISION, entry.index, f"{what} in entry {entry.index}: {facts['reasons']}", facts)
    answers = _answers(entry, node.id, facts.get("decisions", ()))
    return [node], [Edge(run_id(entry), node.id, "refused by", entry.index), *answers]


def _decision(entry: Entry) -> Said:
    node = own(entry, NodeKind.DECISION, entry.index, f"{entry.kind} in entry {entry.index}", entry.facts)
    return [node], _of_run(entry, node, "decided by")


def _approval(entry: Entry) -> Said:
    node = own(entry, NodeKind.APPROVAL, entry.index, f"{entry.kind} in entry {entry.index}", entry.facts)
    return [node], _of_run(entry, node, "approved by")


def _of_run(entry: Entry, node: Node, relation: str) -> list[Edge]:
    run = entry.run or entry.facts.get("run")
    return [] if run is None else [Edge(node_id(NodeKind.RUN, run), node.id, relation, entry.index)]


def _made(entry: Entry) -> Said:
    facts = entry.facts
    label = f"{facts['n']} images of entry {entry.index}, {facts['generator']}"
    me = node_id(NodeKind.IMAGES, entry.index)
    mine = {**pick(facts, _MADE_FACTS), "made": entry.time, "weights": facts["weights"]}
    nodes: list[Node] = []
    edges = [Edge(me, run_id(entry), "made by", entry.index)]
    if facts["weights"] is not None:
        nodes.append(_weights(entry, facts["weights"], facts["generator"], entry.artefacts.get("weights")))
        edges.append(Edge(me, nodes[-1].id, "from the weights", entry.index))
    for digest in (facts.get("model") or {}).get("circuits", ()):
        nodes.append(shared(entry, NodeKind.CIRCUIT, digest, f"circuit {digest[7:19]}"))
        edges.append(Edge(me, nodes[-1].id, "of the circuit", entry.index))
    if facts.get("seed") is None and facts.get("noise") is not None:
        origin = facts.get("noise_source") or {}
        noise = shared(entry, NodeKind.NOISE, facts["noise"], f"noise {facts['noise'][7:19]}", dict(origin))
        stored = {"noise": entry.artefacts["noise"]} if "noise" in entry.artefacts else {}
        nodes.append(storing(noise, stored))
        edges.append(Edge(me, nodes[-1].id, "began with", entry.index))
    stored = {k: v for k, v in entry.artefacts.items() if k in ("pixels", "image_digests")}
    nodes.append(storing(own(entry, NodeKind.IMAGES, entry.index, label, mine), stored))
    return nodes, edges


def _weights(entry: Entry, digest: str, generator: str, stored: str | None) -> Node:
    node = shared(entry, NodeKind.WEIGHTS, digest, f"weights {digest[7:19]} of {generator}", {"generator": generator})
    return storing(node, {"weights": stored})


def _training(entry: Entry) -> Said:
    facts, me = entry.facts, run_id(entry)
    data = facts["data"]
    nodes = [shared(entry, NodeKind.DATA, data["digest"], f"data {data['name']}, {data['n']} images", dict(data))]
    edges = [Edge(me, nodes[0].id, "learned", entry.index)]
    if facts.get("resumes"):
        before = node_id(NodeKind.RUN, facts["resumes"])
        nodes.append(Node(id=before, kind=NodeKind.RUN, label=f"run {facts['resumes']}", run=facts["resumes"]))
        edges.append(Edge(me, before, "goes on with", entry.index))
    if facts.get("from_weights"):
        nodes.append(_weights(entry, facts["from_weights"], facts["generator"], entry.artefacts.get("weights")))
        edges.append(Edge(me, nodes[-1].id, "began with", entry.index))
    run = {"training": pick(facts, ("generator", "plugin", "config", "arm", "steps", "from_step", "parameters"))}
    nodes.append(own(entry, NodeKind.RUN, entry.run, f"run {entry.run}", run))
    return nodes, edges


def _owner_of_licence(entry: Entry) -> str:
    return node_id(NodeKind.DATA, entry.facts["data"]["digest"])


def _saved(entry: Entry) -> Said:
    facts = entry.facts
    node = _weights(entry, facts["digest"], facts["generator"], entry.artefacts.get("weights"))
    mine = {**node.facts, **pick(facts, ("format", "file", "steps", "config", "arm")), "saved": entry.time}
    stored = {**node.artefacts, **{k: v for k, v in entry.artefacts.items() if k == "losses"}}
    made = evolve(node, facts=mine, artefacts=stored)
    return [made], [Edge(made.id, run_id(entry), "trained by", entry.index)]


def _intended(entry: Entry) -> Said:
    facts, me = entry.facts, run_id(entry)
    device = shared(entry, NodeKind.DEVICE, facts["backend"], f"device {facts['backend']}")
    nodes, edges = [device], []
    for job in facts["jobs"]:
        key = job_key(str(entry.run), facts["ordinal"], job, facts["request"])
        mine = {"ordinal": facts["ordinal"], "job": job, "request": facts["request"], "backend": facts["backend"]}
        nodes.append(own(entry, NodeKind.JOB, key, f"job {key[:12]}", mine))
        edges += [
            Edge(me, nodes[-1].id, "sent", entry.index),
            Edge(nodes[-1].id, device.id, "ran on", entry.index),
        ]
    return nodes, edges


def _job(entry: Entry) -> Said:
    facts = entry.facts
    key = str(facts["key"])
    mine: dict[str, Any] = {}
    nodes: list[Node] = []
    edges: list[Edge] = []
    if entry.kind in ("job.submitted", "job.adopted"):
        handle = facts.get("handle") or {}
        mine = {"accepted": True, **pick(handle, ("provider_ids", "submitted_at"))}
    elif entry.kind == "job.ended":
        mine = {"state": facts["state"], "reason": facts["reason"]}
    elif entry.kind == "job.resolved":
        mine = {"state": "never sent", "reason": facts["stated"]}
    else:
        mine = {"state": "finished", **pick(facts, _JOB_FACTS)}
        for moment in ("before", "after"):
            digest = facts.get(f"snapshot_{moment}")
            if digest is not None:
                nodes.append(_calibration(entry, digest, entry.artefacts.get(f"snapshot_{moment}")))
                edges.append(Edge(node_id(NodeKind.JOB, key), nodes[-1].id, f"calibrated {moment} as", entry.index))
    node = own(entry, NodeKind.JOB, key, f"job {key[:12]}", mine)
    stored = {k: v for k, v in entry.artefacts.items() if k in ("data", "raw", "handle")}
    return [*nodes, storing(node, stored)], edges


def _replayed(entry: Entry) -> Said:
    facts = entry.facts
    label = f"replay {facts['verdict']} in entry {entry.index}"
    node = own(entry, NodeKind.CHECK, entry.index, label, {**facts, "made": entry.time})
    edges = [Edge(node.id, node_id(NodeKind.RUN, facts["of"]), "repeats", entry.index)]
    if facts.get("entry") is not None and facts.get("product") in (None, "images"):
        edges.append(Edge(node.id, node_id(NodeKind.IMAGES, facts["entry"]), "repeats", entry.index))
    edges.append(Edge(node.id, run_id(entry), "made by", entry.index))
    return [node], edges


def _marked(entry: Entry) -> Said:
    facts = entry.facts
    mine = {**pick(facts, ("format", "n", "layers")), "pixels": facts["after"]["pixels"], "marked": entry.time}
    node = own(entry, NodeKind.MARK, entry.index, f"marked copy in entry {entry.index}", mine)
    if facts["of"] is not None:
        return [node], [Edge(node.id, node_id(NodeKind.IMAGES, facts["of"]["entry"]), "copy of", entry.index)]
    gap = gap_node(node.id, "of", "the picture was not found in a ledger when it was marked", entry.index)
    return [gap, node], [Edge(node.id, gap.id, "lacks", entry.index)]


def _taken_down(entry: Entry) -> Said:
    facts = entry.facts
    label = f"taken down in entry {entry.index}: {facts['reason']}"
    node = own(entry, NodeKind.TAKEDOWN, entry.index, label, pick(facts, ("what", "reason", "reference")))
    of = facts["of"]
    at = None if of is None else of["entry"] if isinstance(of, dict) else of[1]
    return [node], [] if at is None else [Edge(node.id, node_id(NodeKind.IMAGES, at), "takes down", entry.index)]


def _reused(entry: Entry) -> Said:
    source = entry.facts["source"]
    return [], [Edge(run_id(entry), node_id(NodeKind.RUN, source["run"]), "took numbers of", entry.index)]


_READERS: dict[str, Callable[[Entry], Said]] = {
    "run.started": _started,
    "run.resumed": _started,
    "run.finished": _finished,
    "plan.admitted": _admitted,
    "plan.refused": _refused,
    "images.withheld": _refused,
    "images.made": _made,
    "training.started": _training,
    "weights.saved": _saved,
    "jobs.intended": _intended,
    "job.submitted": _job,
    "job.adopted": _job,
    "job.finished": _job,
    "job.ended": _job,
    "job.resolved": _job,
    "replay.compared": _replayed,
    "proposal.reused": _reused,
    "images.marked": _marked,
    "images.taken_down": _taken_down,
}
LINKING = tuple(kind for kind in _READERS if kind not in ("run.finished", "run.resumed"))
"""Kinds whose entries name something beside their own run."""
