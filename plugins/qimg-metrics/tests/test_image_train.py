"""The training command: reads IDX, writes weights and a record that agree, and refuses damaged files first."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from qimg_core.errors import DataError
from qimg_metrics.features import FeatureNetwork
from qimg_metrics.image.train import read_idx, train


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


def test_weights_and_record_agree(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "toy.safetensors"
    train(folder, out, seed=3, epochs=8, name="toy")
    network, record = FeatureNetwork.load(out), json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert record["weights"] == network.digest
    assert network.accuracy == (record["accuracy"]["right"], 100)
    assert record["accuracy"]["right"] >= 98
    raw = (folder / "t10k-labels-idx1-ubyte").read_bytes()
    assert record["dataset"]["files"]["t10k-labels-idx1-ubyte"] == "sha256:" + hashlib.sha256(raw).hexdigest()
    assert str(tmp_path) not in json.dumps(record)  # a record names no place on this machine
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bright-or-dark", "toy.json", "toy.safetensors"]


def test_damaged_and_missing_files_are_refused_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    good = (folder / "t10k-labels-idx1-ubyte").read_bytes()
    for bad in (good[:-1], good + b"x", good[:2], b"\0\0\x0d" + good[3:], b""):
        (folder / "t10k-labels-idx1-ubyte").write_bytes(bad)
        with pytest.raises(DataError, match="t10k-labels"):
            train(folder, tmp_path / "toy.safetensors", seed=0, epochs=1, name="toy")
    packed = folder / "train-images-idx3-ubyte.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(DataError, match="train-images"):
        read_idx(packed)
    packed.unlink()
    with pytest.raises(DataError, match="train-images"):
        train(folder, tmp_path / "toy.safetensors", seed=0, epochs=1, name="toy")
    assert [p.name for p in tmp_path.iterdir()] == ["bright-or-dark"]
