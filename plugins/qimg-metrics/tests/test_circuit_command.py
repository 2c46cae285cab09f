"""``qimg evaluate`` from end to end on the toy generator: card, JSON, entry, and bad input that writes nothing."""

import json
import subprocess
import sys

import numpy as np
import pytest

from qimg_core import Registry, Session
from qimg_core.cli import main
from qimg_core.config import config_to_json
from qimg_core.ledger.opening import open_ledger
from qimg_core.testing.toy import ToyPlugin
from qimg_core.weights import save_weights
from qimg_metrics import plugin
from qimg_metrics.features import train_feature_network


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Real 2x2 images of three classes, a network that knows them, and weights of two arms of the toy."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(3)
    sets = {}
    for split, n in (("train", 600), ("test", 200)):
        labels = np.arange(n) % 3
        pixels = (np.eye(4)[labels] * 0.7 + 0.3 * rng.random((n, 4))).reshape(n, 2, 2, 1).astype(np.float32)
        sets |= {f"x_{split}": pixels, f"y_{split}": labels}
    np.savez(folder / "corners.npz", **sets)
    train_feature_network(sets["x_train"], sets["y_train"], seed=0, epochs=25).save(folder / "net.safetensors")
    registry = Registry(discover=False)
    registry.register(ToyPlugin(), "toy")
    registry.register(plugin, "metrics")
    good = np.pi * (1 - np.eye(4)[:3])
    with Session(None, seed=1, backend="reference", registry=registry) as session:
        for arm in ("quantum", "twin"):
            model = session.generator("toy", arm=arm)
            facts = {"config": config_to_json(model.config), "dataset": "corners"}
            save_weights(
                folder / f"{arm}.safetensors", {"weights": good.astype(np.float32)}, format="toy/1", facts=facts
            )
    return folder, registry


@pytest.fixture
def evaluate(world, tmp_path, monkeypatch, capsys):
    folder, registry = world
    monkeypatch.chdir(tmp_path)

    def call(*argv, data="corners.npz", network="net.safetensors", small=True):
        common = [
            "--generator",
            "toy",
            "--data",
            folder / data,
            "--network",
            folder / network,
            "--backend",
            "reference",
        ]
        code = main([str(a) for a in ("evaluate", *common, *(["--allow-small"] if small else []), *argv)], registry)
        out, err = capsys.readouterr()
        return code, out, err

    return folder, call


def test_two_arms_side_by_side(evaluate, tmp_path):
    folder, call = evaluate
    given = ["--weights", folder / "quantum.safetensors", "--weights", f"twin={folder / 'twin.safetensors'}"]
    code, out, err = call(*given, "--n", 60, "--seed", 5, "--out", "card/e.md", "--json")
    assert code == 0, err
    document = json.loads(out)
    assert list(document["arms"]) == ["quantum", "twin"]
    assert document["arms"]["quantum"]["quantum"] is True
    assert document["arms"]["twin"]["quantum"] is False
    card = (tmp_path / "card/e.md").read_text()
    assert "| metric | quantum | twin |" in card
    assert f"Run {document['run']}, entry {document['entry']}" in card
    written = json.loads((tmp_path / "card/e.json").read_text())
    assert written["arms"] == document["arms"]

    with open_ledger(tmp_path / "runs", Registry(discover=False), read_only=True) as ledger:
        entry = ledger.entry(document["entry"])
        assert entry.kind == "evaluation.made"
        facts = entry.facts
        assert (facts["n"], facts["seed"], facts["network"]) == (60, "5", document["network"])
        for arm, found in facts["arms"].items():
            images = ledger.entry(found["images_entry"])
            assert images.facts["pixels"] == found["pixels"]
            assert images.facts["seed"] == "5"
            whole = document["arms"][arm]["metrics"]
            assert {k: m["value"] for k, m in found["metrics"].items()} == {k: m["value"] for k, m in whole.items()}
            assert {"kid", "frechet", "coverage", "class_accuracy", "nn_ratio"} <= set(whole)
            assert float(whole["kid"]["low"]) <= float(whole["kid"]["value"]) <= float(whole["kid"]["high"])
        kept = json.loads(ledger.get(facts["artefacts"]["evaluation"]))
        assert kept["arms"] == document["arms"]
        assert ledger.verify().verdict == "pass"

    code, again, _ = call(*given[2:], "--n", 60, "--seed", 5, "--out", "card/again.md", "--json")
    assert json.loads(again)["arms"]["twin"]["metrics"] == document["arms"]["twin"]["metrics"]


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--weights", "mnits"], "no weights of toy named 'mnits'"),
        ([], "no weights ship with toy"),
        (["--weights", "W", "--weights", "b=W", "--weights", "b=W"], "names the arm 'b' twice"),
        (["--weights", "W", "--weights", "W"], "two of the weights are of the arm 'quantum'"),
        (["--weights", "W", "--out", "card.txt"], "does not end in .md"),
        (["--weights", "W", "--n", "400"], "two disjoint draws of 400"),
        (["--weights", "W", "--size", "4"], "the feature network takes (2, 2, 1)"),
        (["--weights", "W", "--data", "nowhere.npz"], "no file or folder nowhere.npz"),
        (["--weights", "W", "--network", "mnits-28"], "did you mean 'mnist-28'"),
        (["--weights", "W", "--condition", "x"], "class numbers"),
    ],
)
def test_bad_input_ends_with_2_and_writes_nothing(evaluate, tmp_path, argv, words):
    folder, call = evaluate
    code, _, err = call(
        "--n",
        90,
        *(
            str(folder / "quantum.safetensors") if a == "W" else a.replace("=W", f"={folder / 'quantum.safetensors'}")
            for a in argv
        ),
    )
    assert code == 2
    assert words in err
    assert list(tmp_path.iterdir()) == []


def test_a_small_n_is_refused_unless_it_is_asked_for(evaluate, tmp_path):
    folder, call = evaluate
    code, _, err = call("--weights", folder / "quantum.safetensors", "--n", 60, small=False)
    assert code == 2
    assert "at least 1000" in err
    assert list(tmp_path.iterdir()) == []


def test_the_command_is_listed_without_being_imported(world):
    program = (
        "import sys; from qimg_core import Registry; from qimg_metrics import plugin; r = Registry(discover=False);"
        "r.register(plugin, 'metrics'); assert list(r.specs('command')) == ['evaluate', 'metrics'];"
        "assert not {'numpy', 'torch', 'scipy', 'click'} & set(sys.modules), sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
