"""Real data: MNIST and steel through QIMG_DATA, scikit-learn's digits."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from qimg_core.datasets import open_images

# Published counts of the official split, classes 0 to 9.
TRAIN = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


@pytest.fixture
def data() -> Path:
    given = os.environ.get("QIMG_DATA")
    if not given:
        pytest.skip("QIMG_DATA is not set: no real data here")
    return Path(given)


def test_mnist_is_mnist(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIMG_MNIST", str(data / "mnist"))
    train, test = open_images("mnist"), open_images("mnist", split="test")
    assert train.labels is not None
    assert test.labels is not None
    assert np.bincount(train.labels).tolist() == TRAIN
    assert np.bincount(test.labels).tolist() == TEST
    assert train.shape == (28, 28, 1)
    pixels = train.all()
    assert pixels.mean(dtype=np.float64) == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std(dtype=np.float64) == pytest.approx(0.3081, abs=5e-5)
    raw = gzip.decompress((data / "mnist" / "t10k-images-idx3-ubyte.gz").read_bytes())
    theirs = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 28, 28, 1)
    np.testing.assert_array_equal(np.rint(test.all() * 255), theirs)
    assert open_images(data / "mnist").digest == train.digest


def test_mnist_at_half_size_is_the_mean_of_four(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QIMG_MNIST", str(data / "mnist"))
    full, half = open_images("mnist", split="test"), open_images("mnist", split="test", size=14)
    blocks = np.rint(full.all() * 255).astype(int).reshape(-1, 14, 2, 14, 2).sum(axis=(2, 4))
    np.testing.assert_array_equal(np.rint(half.all()[..., 0] * 255), (blocks + 2) // 4)


def test_steel(data: Path) -> None:
    train = open_images(data / "neu-steel")
    assert (train.n, train.shape, train.n_classes) == (1500, (64, 64, 1), 6)
    assert open_images(data / "neu-steel", split="test").n == 270


def test_digits_are_scikit_learns() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    theirs = datasets.load_digits()
    train, test = open_images("digits"), open_images("digits", split="test")
    assert (train.n, test.n, train.shape) == (1438, 359, (8, 8, 1))
    assert train.n + test.n == len(theirs.target)
    np.testing.assert_array_equal(test.labels, theirs.target[4::5])
    np.testing.assert_array_equal(test.all()[..., 0] * 16, theirs.images[4::5])
