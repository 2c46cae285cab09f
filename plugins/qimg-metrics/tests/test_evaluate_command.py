"""``qimg evaluate`` and ``qimg metrics`` from end to end on a small model: card, JSON, record, what images cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from qimg_core.cli.app import cli
from qimg_core.datasets import open_images
from qimg_core.ledger import SQLiteLedger
from qimg_core.session import Session
from qimg_core.training import train
from qimg_metrics.features import train_feature_network

pytest.importorskip("qimg_diffusion")


def squares(n: int, seed: int) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, n)
    images = rng.integers(0, 120, (n, 8, 8)).astype(np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[4 * label : 4 * label + 4] += 120
    return images, labels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set, a network for it, and a model trained for a few steps."""
    place = tmp_path_factory.mktemp("evaluate")
    (place / "data").mkdir()
    for split, n, seed in (("train", 700, 0), ("t10k", 200, 1)):
        for part, array in zip(("images", "labels"), squares(n, seed), strict=True):
            axes = array.ndim
            head = bytes([0, 0, 8, axes]) + b"".join(int(s).to_bytes(4, "big") for s in array.shape)
            file = place / "data" / f"{split}-{part}-idx{axes}-ubyte"
            file.write_bytes(head + array.astype(np.uint8).tobytes())
    source = open_images(place / "data")
    assert source.labels is not None
    train_feature_network(source.all(), source.labels, seed=0, epochs=4).save(place / "network.safetensors")
    with Session(place / "runs", seed=1, activity="train") as session:
        model = session.generator("hybrid-unet", arm="bypass", size=8, classes=2, width=8, sample_steps=3)
        train(session, model, source, steps=40, out=place / "small.safetensors")
    return place


def run(place: Path, *words: str) -> tuple[int, Any]:
    shared = ["--data", str(place / "data"), "--network", str(place / "network.safetensors"), "--json"]
    done = CliRunner().invoke(cli, [*words, *shared])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    return done.exit_code, json.loads(done.stdout)


def test_evaluate_writes_every_metric_and_what_an_accepted_image_cost(place: Path) -> None:
    words = ["evaluate", "--generator", "hybrid-unet", "--weights", f"small={place / 'small.safetensors'}", "--n", "60"]
    where = ["--out", str(place / "card.md"), "--ledger", str(place / "runs"), "--seed", "4", "--allow-small"]
    code, said = run(place, *words, *where)
    assert code == 0
    arm = said["arms"]["small"]
    further = {"ndb", "sliced_wasserstein", "sliced_wasserstein_floor", "authenticity", "structural_coherence"}
    assert further | {"accepted", "train_on_synthetic", "train_on_real", "kid", "nn_ratio"} <= set(arm["metrics"])
    for metric in arm["metrics"].values():
        assert float(metric["low"]) <= float(metric["value"]) <= float(metric["high"])
        assert set(metric) == {"name", "value", "low", "high", "level", "n", "n_reference", "method", "note"}
    spent, share = arm["spent"], float(arm["metrics"]["accepted"]["value"])
    assert spent["executions"] == 0 and spent["shots"] == 0 and float(spent["cost"]) == 0  # the bypass has no circuit
    each = spent["per_accepted"]["seconds"]
    assert float(each["value"]) == pytest.approx(float(spent["seconds"]) / (60 * share), rel=1e-2)
    assert float(said["arms"]["small"]["metrics"]["train_on_real"]["value"]) > 0.9
    card = (place / "card.md").read_text()
    assert "| structural_coherence |" in card and "seconds per accepted image" in card
    assert json.loads((place / "card.json").read_text())["arms"] == said["arms"]
    with SQLiteLedger.open(str(place / "runs"), create=False, read_only=True) as log:
        facts = log.entry(said["entry"]).facts
    assert facts["arms"]["small"]["metrics"]["ndb"]["value"] == arm["metrics"]["ndb"]["value"]
    assert facts["arms"]["small"]["spent"]["seconds"] == spent["seconds"]


def test_a_circuits_requests_are_counted_as_the_record_counts_them(place: Path) -> None:
    settings = {"size": 8, "classes": 2, "width": 8, "sample_steps": 3, "wires": 2, "sample_batch": 25}
    with Session(place / "circuit", seed=1, activity="train") as session:
        model = session.generator("hybrid-unet", **settings)
        train(session, model, open_images(place / "data"), steps=1, out=place / "circuit.safetensors")
    words = ["evaluate", "--generator", "hybrid-unet", "--weights", f"circuit={place / 'circuit.safetensors'}"]
    where = ["--n", "60", "--out", str(place / "requests.md"), "--ledger", str(place / "circuit"), "--seed", "4"]
    code, said = run(place, *words, *where, "--allow-small")
    assert code == 0
    with SQLiteLedger.open(str(place / "circuit"), create=False, read_only=True) as log:
        recorded = sum(e.facts["count"] for e in log.entries(run=said["run"], kind="executions"))
    spent = said["arms"]["circuit"]["spent"]
    assert spent["executions"] == recorded == 3 * 3  # three steps of the solver for each of three batches


def test_evaluate_refuses_few_images_without_the_flag(place: Path) -> None:
    words = ["evaluate", "--generator", "hybrid-unet", "--weights", str(place / "small.safetensors"), "--n", "999"]
    shared = ["--data", str(place / "data"), "--network", str(place / "network.safetensors")]
    done = CliRunner().invoke(cli, [*words, *shared, "--ledger", str(place / "few"), "--out", str(place / "few.md")])
    assert "too few for an evaluation" in str(done.exception)
    assert not (place / "few.md").exists()


def test_trace_is_printed_and_recorded(place: Path) -> None:
    words = ["metrics", "trace", "--generator", "hybrid-unet", "--weights", str(place / "small.safetensors")]
    code, said = run(place, *words, "--n", "16", "--ledger", str(place / "runs"), "--seed", "4")
    assert code == 0 and [p["step"] for p in said["points"]] == [0, 1, 2, 3]
    assert float(said["points"][-1]["to_end"]["value"]) < 1e-6 < float(said["points"][0]["to_end"]["value"])
    with SQLiteLedger.open(str(place / "runs"), create=False, read_only=True) as log:
        entry = log.entry(said["entry"])
    assert entry.kind == "trace.measured"
    assert entry.facts["points"][0]["kid"]["value"] == said["points"][0]["kid"]["value"]


def test_convergence_reads_what_training_wrote(place: Path) -> None:
    path = place / "small.loss.csv"
    done = CliRunner().invoke(cli, ["metrics", "convergence", str(path), "--fraction", "0.5", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)[str(path)]
    assert found["n"] == 40 and 5 <= float(found["value"]) <= 40
