"""Tracing back and forward on records whose shape is known, and what is missing in them."""

import json
import xml.etree.ElementTree as ET

import networkx as nx
import numpy as np
import pytest

from qimg_core import Registry, Session
from qimg_core.admission import Decision
from qimg_core.circuit import CircuitBuilder, each
from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, LedgerError
from qimg_core.execution import ExecutionRequest
from qimg_core.hooks import hookimpl
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.measurement import Expectation
from qimg_core.replay import replay_images
from qimg_core.testing.fake_provider import FakeProvider
from qimg_core.testing.toy import ToyPlugin
from qimg_core.trace_drawing import dot, svg, tree
from qimg_core.trace_graph import NodeKind
from qimg_core.tracing import starting_point, trace, trace_runs
from qimg_core.training import train


@pytest.fixture
def registry():
    r = Registry(discover=False)
    r.register(ToyPlugin(), "toy")
    return r


@pytest.fixture
def source():
    rng = np.random.default_rng(3)
    pixels = rng.random((6, 2, 2, 1)).astype(np.float32)
    return ArraySource(name="six", pixels=pixels, labels=np.arange(6) % 3, provenance={"made": "by this test"})


@pytest.fixture
def record(registry, source, tmp_path):
    """Two trainings on one data set; images of the first, replayed, and of the second."""
    runs = {}
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        for name, seed in (("a", 3), ("b", 4)):
            with Session(ledger, seed=seed, backend="reference", registry=registry, activity="train") as s:
                train(s, s.generator("toy"), source, steps=2, out=tmp_path / f"{name}.safetensors")
            runs[name] = s.run
            with Session(ledger, seed=seed, backend="reference", registry=registry, activity="generate") as s:
                made = s.generator("toy", weights=tmp_path / f"{name}.safetensors").sample(4, seed=1)
            runs[f"images of {name}"], runs[f"entry of {name}"] = s.run, made.entry
        runs["replay"] = replay_images(ledger, run=runs["images of a"], registry=registry).new_run
        yield ledger, runs, source


def ids(graph, kind):
    return {n.id.partition(":")[2] for n in graph.of_kind(kind)}


def test_back_from_images_is_what_made_them_and_nothing_else(record):
    ledger, runs, source = record
    graph = trace(ledger, f"images:{runs['entry of a']}")
    assert ids(graph, NodeKind.RUN) == {runs["images of a"], runs["a"]}
    assert ids(graph, NodeKind.DATA) == {source.digest}
    assert ids(graph, NodeKind.IMAGES) == {str(runs["entry of a"])}
    saved = next(iter(ledger.entries(run=runs["a"], kind="weights.saved"))).facts["digest"]
    assert ids(graph, NodeKind.WEIGHTS) == {saved}
    admitted = [e for r in (runs["a"], runs["images of a"]) for e in ledger.entries(run=r, kind="plan.admitted")]
    assert ids(graph, NodeKind.CIRCUIT) == {e.facts["circuit"] for e in admitted}
    assert ids(graph, NodeKind.DECISION) == {str(e.index) for e in admitted}
    assert ids(graph, NodeKind.DEVICE) == {"reference"}
    assert not ids(graph, NodeKind.CHECK)


def test_forward_from_data_are_all_weights_images_and_replays(record):
    ledger, runs, source = record
    graph = trace(ledger, starting_point(ledger, source.digest), back=False, forward=True)
    replayed = next(iter(ledger.entries(run=runs["replay"], kind="images.made"))).index
    every = {str(runs["entry of a"]), str(runs["entry of b"]), str(replayed)}
    assert ids(graph, NodeKind.IMAGES) == every
    assert len(ids(graph, NodeKind.WEIGHTS)) == 2
    assert len(ids(graph, NodeKind.CHECK)) == 1
    saved = next(iter(ledger.entries(run=runs["b"], kind="weights.saved"))).facts["digest"]
    one = trace(ledger, f"weights:{saved}", back=False, forward=True)
    assert ids(one, NodeKind.IMAGES) == {str(runs["entry of b"])}


def test_weights_lead_back_to_those_that_they_began_with(record, registry, tmp_path):
    ledger, runs, source = record
    first = next(iter(ledger.entries(run=runs["a"], kind="weights.saved"))).facts["digest"]
    with Session(ledger, seed=9, backend="reference", registry=registry, activity="train") as s:
        toy, weights = s.generator("toy"), tmp_path / "a.safetensors"
        done = train(s, toy, source, steps=2, out=tmp_path / "c.safetensors", weights=weights)
    graph = trace(ledger, f"weights:{done.digest}")
    assert ids(graph, NodeKind.WEIGHTS) == {first, done.digest}
    assert ids(graph, NodeKind.RUN) == {runs["a"], s.run}


def test_forward_and_back_are_the_ends_of_the_same_edges(record):
    """What a thing's forward trace reaches is what reaches it going back, by another program's graph search."""
    ledger, _, _ = record
    every = trace_runs(ledger, [e.run for e in ledger.entries(kind="run.started")])
    other = nx.DiGraph((e.source, e.target) for e in every.edges)
    for name in [n.id for n in every.of_kind(NodeKind.WEIGHTS, NodeKind.DATA, NodeKind.IMAGES, NodeKind.RUN)]:
        forward = {i for i in trace(ledger, name, back=False, forward=True).nodes if not i.startswith("gap:")}
        assert forward == {name} | {i for i in nx.ancestors(other, name) if not i.startswith("gap:")}, name
        back = {i for i in trace(ledger, name).nodes if not i.startswith("gap:")}
        assert back == {name} | {i for i in nx.descendants(other, name) if not i.startswith("gap:")}, name


def test_every_edge_names_an_entry_that_says_so(record):
    ledger, runs, _ = record
    for edge in trace(ledger, f"images:{runs['entry of a']}").edges:
        if edge.entry is None:
            continue
        text = ledger.entry(edge.entry).body.decode()
        kind, _, name = edge.target.partition(":")
        assert kind == "gap" or name in text or name == str(edge.entry), edge


def test_one_image_of_several(record):
    ledger, runs, _ = record
    graph = trace(ledger, f"images:{runs['entry of a']}", index=2)
    (one,) = graph.of_kind(NodeKind.IMAGE)
    entry = ledger.entry(runs["entry of a"])
    assert one.facts["pixels"] == json.loads(ledger.get(entry.artefacts["image_digests"]))[2]
    assert graph.starts == (one.id,)
    with pytest.raises(LedgerError, match="no image 4"):
        trace(ledger, f"images:{runs['entry of a']}", index=4)


def test_what_a_word_names(record):
    ledger, runs, _ = record
    entry = ledger.entry(runs["entry of a"])
    assert starting_point(ledger, str(entry.index)) == f"images:{entry.index}"
    assert starting_point(ledger, entry.facts["pixels"]) == f"images:{entry.index}"
    assert starting_point(ledger, entry.facts["weights"]) == f"weights:{entry.facts['weights']}"
    assert starting_point(ledger, "device:reference") == "device:reference"
    assert starting_point(ledger, "0") == f"run:{runs['a']}"
    for wrong, said in (("99999", "no entry"), ("sha256:" + "0" * 64, "names"), ("nothing", "neither")):
        with pytest.raises(ConfigurationError, match=said):
            starting_point(ledger, wrong)
    with pytest.raises(ConfigurationError, match="no such thing"):
        trace(ledger, "weights:sha256:" + "0" * 64)


def test_a_run_that_ran_a_circuit_does_not_claim_images_of_another(registry, tmp_path):
    b = CircuitBuilder(2)
    b.ry(0, b.input("x"))
    other = b.build()
    request = ExecutionRequest(
        circuit=other, inputs=np.ones((1, 1)), weights=np.zeros(0), measurement=Expectation(each("Z", [0]))
    )
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        with Session(ledger, seed=1, backend="reference", registry=registry) as s:
            s.execute(request)
            made = s.generator("toy").sample(2)
        graph = trace(ledger, f"circuit:{other.digest}", back=False, forward=True)
        assert ids(graph, NodeKind.RUN) == {s.run}
        assert not ids(graph, NodeKind.IMAGES)
        mine = ledger.entry(made.entry).facts["model"]["circuits"][0]
        assert ids(trace(ledger, f"circuit:{mine}", back=False, forward=True), NodeKind.IMAGES) == {str(made.entry)}


def gaps(graph):
    return {(n.facts["field"], n.facts["reason"]) for n in graph.of_kind(NodeKind.GAP)}


def test_what_is_missing_is_there_with_its_reason(registry, tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        session = Session(ledger, seed=1, backend="reference", registry=registry)
        made = session.generator("toy").sample(2)
        found = gaps(trace(ledger, f"images:{made.entry}"))
        assert ("weights", "the model was not loaded from a weights file") in found
        assert ("end", "the run did not end: it was killed, or is under way") in found
        assert ("policy", "no policy was asked about this plan, and nobody approved it") in found
        assert ("purpose", "not stated by the caller") in found
        session.close()
        assert "end" not in {f for f, _ in gaps(trace(ledger, f"images:{made.entry}"))}
        entry = ledger.entry(made.entry)
        digest = entry.artefacts["pixels"].removeprefix("sha256:")
        (file,) = [p for p in tmp_path.rglob(digest) if p.is_file()]
        file.unlink()
        assert "artefact pixels" in {f for f, _ in gaps(trace(ledger, f"images:{made.entry}"))}


def test_weights_of_another_ledger_have_no_training_here(record, registry, tmp_path):
    with SQLiteLedger.open(tmp_path / "elsewhere") as ledger:
        with Session(ledger, seed=1, backend="reference", registry=registry) as s:
            made = s.generator("toy", weights=tmp_path / "a.safetensors").sample(1)
        assert ("training", "no run of this ledger trained them") in gaps(trace(ledger, f"images:{made.entry}"))


class Allowing:
    @hookimpl
    def qimg_admit(self, plan, context):
        return Decision(verdict="allow", policy="house rules", reasons=("small",))


def test_jobs_calibrations_policies_and_what_the_device_lost(registry, tmp_path):
    registry.register(Allowing(), "allowing")
    device = FakeProvider(calibrated=True)
    b = CircuitBuilder(1)
    b.ry(0, b.input("x"))
    request = ExecutionRequest(
        circuit=b.build(), inputs=np.ones((1, 1)), weights=np.zeros(0), measurement=Expectation(each("Z", [0])), shots=9
    )
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        with Session(
            ledger, seed=1, backend=device, registry=registry, polling=Polling(first=0.0, sleep=lambda _: None)
        ) as session:
            session.execute(request)
        graph = trace(ledger, f"run:{session.run}")
        (job,) = graph.of_kind(NodeKind.JOB)
        assert job.facts["state"] == "finished"
        assert job.facts["provider_ids"] == list(device.jobs)
        assert job.facts["billed"]["high"] == "0.01"
        relations = {(e.source.partition(":")[0], e.relation, e.target.partition(":")[0]) for e in graph.edges}
        assert ("run", "sent", "job") in relations
        assert ("job", "calibrated before as", "calibration") in relations
        assert ("job", "calibrated after as", "calibration") in relations
        assert "policy" not in {f for f, _ in gaps(graph)}
        (decision,) = [n for n in graph.of_kind(NodeKind.DECISION) if "policies" in n.facts]
        assert decision.facts["policies"] == ["house rules"]
        (state,) = graph.of_kind(NodeKind.CALIBRATION)
        assert f"run:{session.run}" in trace(ledger, state.id, back=False, forward=True).nodes


def test_an_approval_and_a_policy_entry_join_their_run(registry, tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        with Session(ledger, seed=1, backend="reference", registry=registry) as session:
            made = session.generator("toy").sample(1)
        ledger.append("approval.given", facts={"run": session.run, "by": "key 7"})
        ledger.append("policy.decided", run=session.run, facts={"verdict": "allow"})
        graph = trace(ledger, f"images:{made.entry}")
        assert {n.label.split()[0] for n in graph.of_kind(NodeKind.DECISION)} >= {"policy.decided"}


def test_the_drawings_hold_every_node(record):
    ledger, runs, _ = record
    graph = trace(ledger, f"images:{runs['entry of a']}", back=True, forward=True)
    root = ET.fromstring(svg(graph))
    space = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{space}g")) == len(graph.nodes)
    assert len(root.findall(f"{space}path")) == len(graph.edges)
    text = dot(graph)
    assert text.count(" -> ") == len(graph.edges)
    assert all(json.dumps(name) in text for name in graph.nodes)
    lines = "\n".join(tree(graph))
    for node in graph.nodes.values():
        if node.kind not in (NodeKind.GAP, NodeKind.CHECK):
            assert node.label in lines
    assert "lacks: purpose" in lines
    assert json.loads(json.dumps(graph.to_json()))["schema"] == "qimg.trace/1"


def test_a_trace_has_a_direction(record):
    with pytest.raises(ConfigurationError, match="back, forward or both"):
        trace(record[0], "run:x", back=False)
    with pytest.raises(ConfigurationError, match="no entries of the run"):
        trace_runs(record[0], ["nobody"])


def test_marked_copies_and_takedowns_hang_on_their_images(record):
    ledger, runs, _ = record
    made, digest = runs["entry of a"], "sha256:" + "5" * 64
    of = {"run": runs["images of a"], "entry": made}
    before, after = {"file": digest, "pixels": digest}, {"file": digest, "pixels": "sha256:" + "6" * 64}
    facts = {"of": of, "format": "png", "n": 4, "layers": ["label"], "before": before, "after": after}
    marked = ledger.append("images.marked", facts=facts)
    ledger.append("images.marked", facts={**facts, "of": None, "after": {**after, "pixels": "sha256:" + "7" * 64}})
    ledger.append("images.taken_down", facts={"what": "x", "reason": "other", "reference": "", "of": of})
    forward = trace(ledger, f"images:{made}", back=False, forward=True)
    assert ids(forward, NodeKind.MARK) == {str(marked.index)}
    assert len(ids(forward, NodeKind.TAKEDOWN)) == 1
    start = starting_point(ledger, after["pixels"])
    assert start == f"mark:{marked.index}"
    assert runs["a"] in ids(trace(ledger, start), NodeKind.RUN)
    assert "of" in {f for f, _ in gaps(trace(ledger, starting_point(ledger, "sha256:" + "7" * 64)))}
