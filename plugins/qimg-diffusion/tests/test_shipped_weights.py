"""The weights that ship: they load, and the signed record of their training leads to them."""

import base64
import json
from importlib.resources import files

import pytest

from qimg_core import Registry, Session
from qimg_core.ledger.merkle import leaf_hash, verify_inclusion
from qimg_core.ledger.note import Checkpoint, VerifierKey, open_note
from qimg_core.weights import load_weights

SHIPPED = [
    ("hybrid-unet", "mnist"),
    ("hybrid-unet", "fashion"),
    ("quantum-latent-flow", "mnist"),
    ("quantum-latent-flow", "mnist-global"),
]


def path(name, weights, suffix):
    return files("qimg_diffusion") / "weights" / f"{name}-{weights}.{suffix}"


@pytest.mark.parametrize(("name", "weights"), SHIPPED)
def test_shipped_weights_load_and_are_small(name, weights):
    file = path(name, weights, "safetensors")
    assert file.stat().st_size <= 3 * 2**20
    session = Session(None, seed=1, registry=Registry())
    model = session.generator(name, weights=weights)
    assert model.arm == "quantum"
    assert model.saved.facts["data"]["n"] == 60_000


@pytest.mark.parametrize(("name", "weights"), SHIPPED)
def test_the_training_record_is_signed_and_names_these_weights(name, weights):
    record = json.loads(path(name, weights, "json").read_text())
    keys = tuple(VerifierKey.parse(k) for k in record["keys"])
    note = record["checkpoint"].encode()
    opened = open_note(note, keys)
    assert opened.verified == ("Ed25519", "ML-DSA-44")
    head = Checkpoint.parse(note.partition(b"\n\n")[0] + b"\n")
    bodies = {}
    for entry in record["entries"]:
        body = entry["body"].encode()
        proof = tuple(base64.b64decode(h) for h in entry["proof"])
        assert verify_inclusion(entry["index"], head.size, leaf_hash(body), proof, head.root)
        assert not verify_inclusion(entry["index"], head.size, leaf_hash(body + b" "), proof, head.root)
        document = json.loads(body)
        bodies[document["kind"]] = document
    saved = bodies["weights.saved"]["facts"]
    loaded = load_weights(str(path(name, weights, "safetensors")))
    assert saved["digest"] == loaded.facts.get("retuned_from", loaded.digest)
    assert saved["data"]["digest"] == loaded.facts["data"]["digest"]
    assert bodies["training.started"]["run"] == loaded.facts["run"]
    assert bodies["run.finished"]["facts"]["status"] == "ok"
