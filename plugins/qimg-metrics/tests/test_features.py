"""The frozen network: trained on toy classes, saved, loaded, refused when damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

from qimg_core.errors import DataError, UnknownName, WeightsError
from qimg_metrics.features import FeatureNetwork, shipped_network, shipped_record, train_feature_network


def bars(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Class 0: a horizontal bar; class 1: a vertical bar; class 2: neither."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = 0.2 * rng.random((n, 12, 12, 1))
    for image, label, at in zip(images, labels, rng.integers(2, 9, n), strict=True):
        if label == 0:
            image[at : at + 2] = 1.0
        elif label == 1:
            image[:, at : at + 2] = 1.0
    return images, labels


@pytest.fixture(scope="module")
def network() -> FeatureNetwork:
    images, labels = bars(600, 0)
    return train_feature_network(images, labels, seed=1, epochs=25)


def test_learns_classes_it_can_learn(network: FeatureNetwork) -> None:
    images, labels = bars(300, 1)
    assert (network.classify(images) == labels).mean() > 0.97
    tested = network.tested(images, labels)
    assert tested.accuracy is not None and tested.accuracy[1] == 300
    assert tested.digest == network.digest and network.accuracy is None


def test_features_are_layer_normalised_and_logits_linear_in_them(network: FeatureNetwork) -> None:
    images, _ = bars(40, 2)
    features = network.features(images)
    assert features.shape == (40, 64) and features.dtype == np.float64
    np.testing.assert_allclose(features.mean(axis=1), 0.0, atol=1e-6)
    np.testing.assert_allclose(features.var(axis=1), 1.0, atol=1e-2)
    head = {k: network.weights[f"head.{k}"].double().numpy() for k in ("weight", "bias")}
    np.testing.assert_allclose(network.logits(images), features @ head["weight"].T + head["bias"], atol=1e-4)
    both, classes = network.features_and_classes(images)
    np.testing.assert_array_equal(both, features)
    np.testing.assert_array_equal(classes, network.logits(images).argmax(axis=1))


def test_folding_batch_normalisation_changes_nothing() -> None:
    from qimg_metrics.feature_training import _Trainee

    torch.manual_seed(3)
    model = _Trainee(1, 4)
    for _ in range(3):  # gives running statistics that are not 0 and 1
        model(torch.rand(64, 1, 10, 10))
    model.eval()
    x = torch.rand(8, 1, 10, 10)
    frozen = FeatureNetwork(model.frozen(), {"shape": "10x10x1"})
    with torch.no_grad():
        wanted = F.log_softmax(model(x), dim=1).double().numpy()
    found = frozen.logits(x.permute(0, 2, 3, 1).numpy())
    found = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(found, wanted, atol=5e-3)  # float16 storage


def test_same_seed_same_weights_other_seed_others_and_random_state_untouched() -> None:
    images, labels = bars(200, 4)
    torch.manual_seed(11)
    before = torch.get_rng_state()
    seen: list[tuple[int, int, float]] = []
    one = train_feature_network(images, labels, seed=5, epochs=1, progress=lambda *a: seen.append(a))
    assert torch.equal(before, torch.get_rng_state())
    assert [s[:2] for s in seen] == [(1, 1)]
    assert train_feature_network(images, labels, seed=5, epochs=1).digest == one.digest
    assert train_feature_network(images, labels, seed=6, epochs=1).digest != one.digest
    assert one.metadata["dataset"] == train_feature_network(images, labels, seed=6, epochs=1).metadata["dataset"]


def test_round_trip(network: FeatureNetwork, tmp_path: Path) -> None:
    images, labels = bars(50, 6)
    path = tmp_path / "n.safetensors"
    network.tested(images, labels).save(path)
    again = FeatureNetwork.load(path)
    assert again.digest == network.digest and again.shape == (12, 12, 1) and again.n_classes == 3
    assert again.accuracy is not None
    np.testing.assert_array_equal(again.features(images), network.features(images))


def test_damaged_and_foreign_files_are_refused(network: FeatureNetwork, tmp_path: Path) -> None:
    good = tmp_path / "good.safetensors"
    network.save(good)
    raw = good.read_bytes()
    cases = {
        "short": raw[:-100],
        "empty": b"",
        "text": b"not weights at all",
        "flipped": raw[:-1] + bytes([raw[-1] ^ 1]),
    }
    for name, data in cases.items():
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(WeightsError, match=name):
            FeatureNetwork.load(path)
    foreign = tmp_path / "foreign"
    safetensors.torch.save_file({"w": torch.zeros(2)}, str(foreign))
    with pytest.raises(WeightsError, match="format"):
        FeatureNetwork.load(foreign)
    safetensors.torch.save_file({"w": torch.zeros(2)}, str(foreign), metadata={"format": "qimg-feature-network/1"})
    with pytest.raises(WeightsError, match="tensors"):
        FeatureNetwork.load(foreign)
    with pytest.raises(WeightsError, match="nowhere"):
        FeatureNetwork.load(tmp_path / "nowhere")


def test_bad_images_are_refused(network: FeatureNetwork) -> None:
    images, labels = bars(20, 7)
    nan = images.copy()
    nan[3, 2, 1, 0] = np.nan
    for bad in (images[..., 0], images[:, :10], images[:0], nan, images * 2, (images * 255).astype(np.uint8)):
        with pytest.raises(DataError):
            network.features(bad)
    for few, short in ((images, labels[:5]), (images, labels * 0), (nan, labels), (images, labels - 1)):
        with pytest.raises(DataError):
            train_feature_network(few, short, seed=0, epochs=1)


def test_shipped_network_and_its_record_agree() -> None:
    network, record = shipped_network("mnist-28"), shipped_record("mnist-28")
    assert record["weights"] == network.digest
    assert network.accuracy == (record["accuracy"]["right"], record["accuracy"]["n"])
    assert float(record["accuracy"]["low"]) >= 0.99 and record["accuracy"]["n"] == 10_000
    assert network.metadata["dataset"] == record["dataset"]["digest"]
    with pytest.raises(UnknownName, match="mnist-28"):
        shipped_network("mnist-82")
