"""The exports as their reference libraries read them."""

import copy
import hashlib
import json
import os
import warnings
from pathlib import Path

import pytest

from qimg_audit.dsse import verify
from qimg_core.errors import LedgerCorrupt
from qimg_core.ledger import SQLiteLedger
from qimg_core.ledger.envelope import pae


def export(qimg, form, out, *more):
    code, text, err = qimg("export", "--format", form, "--out", out, *more, "--json")
    assert code == 0, err
    return json.loads(text)


# -- in-toto -------------------------------------------------------------------------------------


def test_pae_is_the_specifications_example():
    # https://github.com/secure-systems-lab/dsse/blob/master/protocol.md
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def envelopes(qimg, *more):
    export(qimg, "in-toto", "r.intoto.jsonl", *more)
    return [json.loads(line) for line in Path("r.intoto.jsonl").read_text().splitlines()]


def log_keys(ledger):
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PublicKey
    from securesystemslib.signer import SSlibKey

    made = zip((Ed25519PublicKey, MLDSA44PublicKey), ledger.keys, strict=True)
    return [SSlibKey.from_crypto(c.from_public_bytes(k.public), keyid=f"{k.name}+{k.id.hex()}") for c, k in made]


def test_securesystemslib_accepts_our_envelopes_and_no_changed_one(record, qimg):
    dsse = pytest.importorskip("securesystemslib.dsse")
    from securesystemslib.exceptions import VerificationError

    found = envelopes(qimg)
    assert len(found) == 4
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        both, keys = log_keys(ledger), ledger.keys
        for envelope in found:
            dsse.Envelope.from_dict(copy.deepcopy(envelope)).verify(both, 2)  # Ed25519 and ML-DSA-44
            assert verify(envelope, keys)["_type"] == "https://in-toto.io/Statement/v1"
        changed = copy.deepcopy(found[0])
        changed["payloadType"] = "application/json"
        with pytest.raises(LedgerCorrupt):
            verify(changed, keys)
        with pytest.raises(VerificationError):
            dsse.Envelope.from_dict(changed).verify(both, 1)
        half = copy.deepcopy(found[0])
        half["signatures"][1]["sig"] = half["signatures"][0]["sig"]
        with pytest.raises(LedgerCorrupt, match="ML-DSA-44"):
            verify(half, keys)
        for broken in ({}, {**found[0], "payload": "%%"}, {**found[0], "signatures": []}):
            with pytest.raises(LedgerCorrupt):
                verify(broken, keys)
        signed = next(iter(ledger.entries(kind="export.signed")))
        digest = hashlib.sha256(Path("r.intoto.jsonl").read_bytes()).hexdigest()
        assert signed.artefacts["envelopes"] == f"sha256:{digest}"
        assert ledger.verify().ok


def test_in_toto_attestation_validates_our_statements(record, qimg):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the generated protobuf code of that dormant package
        pytest.importorskip("in_toto_attestation")
        import google.protobuf.json_format as pb_json
        from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
        from in_toto_attestation.v1 import statement_pb2
        from in_toto_attestation.v1.statement import Statement
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        statements = [verify(e, ledger.keys) for e in envelopes_of(qimg)]
        for document in statements:
            parsed = pb_json.ParseDict(document, statement_pb2.Statement())
            Statement.copy_from_pb(parsed).validate()
            pb_json.ParseDict(document["predicate"], provenance_pb2.Provenance())
        by = {s["predicate"]["runDetails"]["metadata"]["invocationId"].rpartition(":")[2]: s for s in statements}
        one = by[record["one"]]
        (subject,) = one["subject"]
        entry = ledger.entry(record["entry one"])
        assert hashlib.sha256(ledger.get(entry.artefacts["pixels"])).hexdigest() == subject["digest"]["sha256"]
        rests = {d["annotations"]["kind"]: d for d in one["predicate"]["buildDefinition"]["resolvedDependencies"]}
        weights = Path("w.safetensors").read_bytes()
        assert rests["weights"]["digest"] == {"sha256": hashlib.sha256(weights).hexdigest()}
        assert one["predicate"]["buildDefinition"]["externalParameters"]["seed"] == "5"
        data = by[record["train"]]["predicate"]["buildDefinition"]["resolvedDependencies"]
        assert any("qimgDataset" in d["digest"] for d in data)
        bodies = b"".join(e.body + b"\n" for e in ledger.entries(run=record["one"]))
        (entries, *_) = one["predicate"]["runDetails"]["byproducts"]
        assert entries["digest"]["sha256"] == hashlib.sha256(bodies).hexdigest()


def envelopes_of(qimg):
    with_path = Path("again.intoto.jsonl")
    # the ledger of the caller is open for reading; the export writes through a second handle of the same process
    export(qimg, "in-toto", with_path)
    return [json.loads(line) for line in with_path.read_text().splitlines()]


def test_no_float_and_nothing_personal_is_signed(record, qimg, monkeypatch):
    import base64

    def refuse(text):
        raise AssertionError(f"a float: {text}")

    host, user = os.uname().nodename, os.environ.get("USER", "nobody-of-this-name")
    for envelope in envelopes(qimg, "--run", record["one"]):
        text = base64.b64decode(envelope["payload"]).decode()
        json.loads(text, parse_float=refuse)
        assert str(Path.cwd()) not in text
        assert host not in text or len(host) < 4
        assert user not in text or user == "root"


# -- PROV ----------------------------------------------------------------------------------------


def test_prov_reads_our_document_and_finds_the_same_graph(record, qimg):
    prov = pytest.importorskip("prov.model")
    export(qimg, "prov", "p.json")
    document = prov.ProvDocument.deserialize("p.json", format="json")
    again = json.loads(document.serialize(format="json"))
    ours = json.loads(Path("p.json").read_text())
    for kind in ("entity", "activity", "agent", "wasGeneratedBy", "used", "wasDerivedFrom", "wasAssociatedWith"):
        assert len(again[kind]) == len(ours[kind]) > 0, kind
    assert set(again["entity"]) == set(ours["entity"])
    run = f"log:run/{record['one']}"
    assert ours["activity"][run]["qimg:seed"] == "5"
    assert "purpose: not stated by the caller" in ours["activity"][run]["qimg:gap"]
    births = {(b["prov:entity"], b["prov:activity"]) for b in ours["wasGeneratedBy"].values()}
    assert (f"log:images/{record['entry one']}", run) in births


# -- RO-Crate ------------------------------------------------------------------------------------


def test_rocrate_reads_our_crate(record, qimg):
    rocrate = pytest.importorskip("rocrate.rocrate")
    export(qimg, "ro-crate", "crate", "--run", record["one"])
    crate = rocrate.ROCrate("crate")
    assert crate.root_dataset["conformsTo"].id == "https://w3id.org/ro/wfrun/process/0.5"
    actions = {e.id: e for e in crate.get_entities() if e.type == "CreateAction"}
    assert set(actions) == {f"#run:{record['one']}", f"#run:{record['train']}"}  # the run, and what it rests on
    one = actions[f"#run:{record['one']}"]
    assert one["instrument"].type == "SoftwareApplication"
    assert one["actionStatus"] == "http://schema.org/CompletedActionStatus" or one["actionStatus"].id.endswith(
        "CompletedActionStatus"
    )
    results = {r.id for r in one["result"]}
    assert results
    for result in one["result"]:
        data = (Path("crate") / result.id).read_bytes()
        assert hashlib.sha256(data).hexdigest() == result["sha256"] == Path(result.id).name
        assert result["contentSize"] == str(len(data))
    ids = {e.id for e in crate.get_entities()}
    document = json.loads(Path("crate/ro-crate-metadata.json").read_text())
    for reference in _references(document["@graph"]):  # nothing points nowhere
        assert reference in ids or reference.startswith("http"), reference


def _references(value):
    if isinstance(value, dict):
        if set(value) == {"@id"}:
            yield value["@id"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def test_a_crate_without_an_erased_artefact_says_so(record, qimg, tmp_path):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        digest = ledger.entry(record["entry one"]).artefacts["pixels"]
    next(p for p in tmp_path.rglob(digest.removeprefix("sha256:")) if p.is_file()).unlink()
    done = export(qimg, "ro-crate", "crate", "--run", record["one"])
    assert any(digest in note for note in done["notes"])
    assert not (Path("crate/artefacts") / digest.removeprefix("sha256:")).exists()


# -- MLflow --------------------------------------------------------------------------------------


def test_mlflow_finds_our_runs_with_exact_losses(record, qimg):
    pytest.importorskip("mlflow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # MLflow's own
        export(qimg, "mlflow", "store", "--run", record["train"], "--run", record["one"])
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=Path("store").absolute().as_uri())
        with SQLiteLedger.open("runs", read_only=True) as ledger:
            experiment = client.get_experiment_by_name(ledger.origin)
            saved = next(iter(ledger.entries(kind="weights.saved")))
            losses = ledger.get(saved.artefacts["losses"]).decode().splitlines()[1:]
        runs = {r.data.tags["qimg.run"]: r for r in client.search_runs([experiment.experiment_id])}
        assert set(runs) == {record["train"], record["one"]}
        train = runs[record["train"]]
        assert train.info.status == "FINISHED"
        history = sorted(client.get_metric_history(train.info.run_id, "loss"), key=lambda m: m.step)
        assert [f"{m.step},{m.value!r}" for m in history] == losses
        assert train.data.params["training.generator"] == "toy"
        assert runs[record["one"]].data.params["seed"] == "5"
        folder = f"weights-{saved.index}"
        local = client.download_artifacts(train.info.run_id, f"{folder}/weights.safetensors")
        assert Path(local).read_bytes() == Path("w.safetensors").read_bytes()
        assert train.info.user_id in ("", "unknown")
        code, _, err = qimg("export", "--format", "mlflow", "--out", "store", "--run", record["one"])
    assert code == 2
    assert "already" in err


def test_mlflow_in_sqlite(record, qimg):
    pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy", reason="MLflow's database stores need sqlalchemy, which is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        export(qimg, "mlflow", "sqlite:///runs.sqlite", "--run", record["one"])
    assert Path("runs.sqlite").exists()


# -- all -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("form", "out"), [("in-toto", "x.jsonl"), ("prov", "x.json"), ("ro-crate", "x")])
def test_nothing_is_written_over(record, qimg, form, out):
    Path(out).write_text("mine")
    code, _, err = qimg("export", "--format", form, "--out", out)
    assert code == 2
    assert "exists already" in err
    assert Path(out).read_text() == "mine"
