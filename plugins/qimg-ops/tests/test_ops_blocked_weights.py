"""Images of blocked weights are withheld, also where their model asks nothing of any device."""

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from qimg_core.config import config_to_json
from qimg_core.errors import AdmissionDenied
from qimg_core.ledger import MemoryLedger, SQLiteLedger
from qimg_core.session import Session
from qimg_core.testing.toy import ToyConfig
from qimg_core.weights import save_weights
from qimg_rollout import blocks

given = run_path(str(Path(__file__).with_name("stops_bench.py")))
folder, run, entries = (given[n] for n in ("folder", "run", "entries"))


@pytest.fixture(params=["twin", "quantum"])
def weights(request, folder):
    """A classical arm, and one with a circuit; the file and its digest."""
    facts = {"config": config_to_json(ToyConfig(arm=request.param))}
    arrays = {"weights": np.zeros((3, 4), np.float32)}
    return Path("w.safetensors"), save_weights("w.safetensors", arrays, format="toy/1", facts=facts)


def test_a_block_of_weights_withholds_their_images_and_its_release_gives_them_back(weights, registry):
    path, digest = weights
    with MemoryLedger() as log, Session(log, seed=1, backend="reference", registry=registry) as session:
        model = session.generator("toy", weights=path)
        assert len(model.sample(2)) == 2
        other = blocks.block(log, {"weights": "sha256:" + "0" * 64}, reason="others", by="operator")
        assert len(model.sample(2)) == 2
        entry = blocks.block(log, {"weights": digest}, reason="trained on the wrong set", by="operator")
        with pytest.raises(AdmissionDenied, match="trained on the wrong set") as refused:
            model.sample(2)
        assert f"qimg rollout release {entry.index}" in refused.value.hint
        made = len(list(log.entries(kind="images.made")))
        assert made == 2
        assert len(session.generator("toy", arm="twin").sample(2)) == 2  # no weights file at all
        blocks.release(log, entry.index, reason="over", by="operator")
        assert len(model.sample(2)) == 2
        assert other.index in {b.entry for b in blocks.in_force(log)}


def test_a_stop_of_weights_reaches_a_run_that_asks_no_device(folder, registry, run):
    facts = {"config": config_to_json(ToyConfig(arm="twin"))}
    arrays = {"weights": np.zeros((3, 4), np.float32)}
    digest = save_weights("w.safetensors", arrays, format="toy/1", facts=facts)
    with Session("runs", seed=1, backend="reference", registry=registry) as session:
        model = session.generator("toy", weights="w.safetensors")
        model.sample(2)
        name = run("incident", "open", "--title", "t")["id"]
        held = run("incident", "contain", name, "--weights", digest, "--wait", "0")
        assert not held["recorded"]
        with pytest.raises(AdmissionDenied, match=name):
            model.sample(2)
        assert entries("incident.opened")[0].facts["incident"] == name
    assert json.dumps(entries("images.withheld")[0].facts).count(name) == 1
    with SQLiteLedger.open("runs", read_only=True) as log:
        assert log.verify().ok
