"""The training command: weights and card that agree, the same weights again, and refusals before anything is done."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from scipy.stats import binomtest

from qimg_core.cli.app import cli
from qimg_core.datasets import ArraySource, ImageSource, open_images
from qimg_core.errors import ConfigurationError, DataError
from qimg_metrics.features import FeatureNetwork, shipped_names, shipped_network, shipped_record
from qimg_metrics.image.train import held_out, train_network


def idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    place = tmp_path / "bright-or-dark"
    place.mkdir()
    for split, n in (("train", 512), ("t10k", 100)):
        labels = rng.integers(0, 2, n).astype(np.uint8)
        images = (labels[:, None, None] * 150 + rng.integers(0, 100, (n, 8, 8))).astype(np.uint8)
        (place / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (place / f"{split}-labels-idx1-ubyte").write_bytes(idx(labels))  # one of each kind
    return place


def sources(folder: Path) -> tuple[ImageSource, ImageSource]:
    return open_images(folder, split="train"), open_images(folder, split="test")


def test_weights_and_card_agree(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "toy.safetensors"
    _, card = train_network(*sources(folder), out, seed=3, epochs=8, name="toy")
    network = FeatureNetwork.load(out)
    assert card == json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert card["weights"] == network.digest
    assert network.accuracy == (card["accuracy"]["right"], 100)
    assert card["accuracy"]["right"] >= 98
    test = open_images(folder, split="test")
    assert card["accuracy"]["right"] == int((network.classify(test.all()) == test.labels).sum())
    raw = (folder / "t10k-labels-idx1-ubyte").read_bytes()
    assert card["dataset"]["files"]["t10k-labels-idx1-ubyte"] == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert (card["dataset"]["n_train"], card["dataset"]["n_test"], card["dataset"]["classes"]) == (512, 100, 2)
    assert str(tmp_path) not in json.dumps(card)  # a card names no place on this machine
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bright-or-dark", "toy.json", "toy.safetensors"]


def test_the_same_seed_gives_the_same_weights_from_the_command(folder: Path, tmp_path: Path) -> None:
    network, _ = train_network(*sources(folder), tmp_path / "one.safetensors", seed=3, epochs=1, name="toy")
    out = tmp_path / "toy.safetensors"
    words = ["metrics", "train-network", str(folder), "--out", str(out), "--seed", "3", "--epochs", "1", "--json"]
    done = CliRunner().invoke(cli, words)
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert said["weights"] == network.digest == FeatureNetwork.load(out).digest
    assert said["command"] == (
        "qimg metrics train-network bright-or-dark --out toy.safetensors --name toy --seed 3 --epochs 1"
    )
    again = CliRunner().invoke(cli, words)
    assert isinstance(again.exception, ConfigurationError) and "exists already" in str(again.exception)


def test_data_without_a_split_hold_some_of_each_class_out(folder: Path, tmp_path: Path) -> None:
    whole = open_images(folder, split="train")
    rest, out = held_out(whole, 0.25, seed=1)
    assert rest.n + out.n == whole.n
    for c in (0, 1):
        assert out.labels is not None and whole.labels is not None
        assert int((out.labels == c).sum()) == round(0.25 * int((whole.labels == c).sum()))
    digests = {image.tobytes() for image in rest.all()}
    assert not digests & {image.tobytes() for image in out.all()}
    assert held_out(whole, 0.25, seed=1)[1].digest == out.digest != held_out(whole, 0.25, seed=2)[1].digest
    with pytest.raises(ConfigurationError, match="between 0 and 1"):
        held_out(whole, 1.0, seed=1)
    with pytest.raises(DataError, match="too few to hold"):
        held_out(ArraySource(name="few", pixels=whole.all()[:2], labels=[0, 1]), 0.5, seed=1)
    with pytest.raises(DataError, match="no labels"):
        held_out(ArraySource(name="bare", pixels=whole.all()[:9]), 0.5, seed=1)


def test_data_that_do_not_fit_are_refused_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    train, test = sources(folder)
    assert train.labels is not None
    bare = ArraySource(name="bare", pixels=train.all())
    small = ArraySource(name="small", pixels=test.all()[:, :6], labels=test.labels)
    more = ArraySource(name="more", pixels=test.all(), labels=np.asarray(test.labels) + 1)
    for pair, match in (((bare, test), "no labels"), ((train, small), "6"), ((train, more), "3 classes")):
        with pytest.raises(DataError, match=match):
            train_network(*pair, tmp_path / "toy.safetensors", epochs=1, name="toy")
    assert [p.name for p in tmp_path.iterdir()] == ["bright-or-dark"]


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_network_is_the_one_of_its_card(name: str) -> None:
    network, card = shipped_network(name), shipped_record(name)
    assert card["name"] == name and card["weights"] == network.digest
    assert network.accuracy == (card["accuracy"]["right"], card["accuracy"]["n"])
    low, high = binomtest(card["accuracy"]["right"], card["accuracy"]["n"]).proportion_ci(method="exact")
    assert float(card["accuracy"]["low"]) == pytest.approx(low, abs=1e-9)
    assert float(card["accuracy"]["high"]) == pytest.approx(high, abs=1e-9)
