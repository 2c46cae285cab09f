"""The whole vector on sets whose verdict is known: copies, noise, a mean image, real images."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from qimg_core.datasets import open_images
from qimg_core.errors import DataError
from qimg_metrics.evaluation import Evaluation, evaluate, evaluate_against, table
from qimg_metrics.features import FeatureNetwork, shipped_network, train_feature_network
from qimg_metrics.image.reference import Reference, prepare_reference

Split = tuple[NDArray[np.float32], NDArray[np.int64]]


def strokes(n: int, seed: int) -> Split:
    """Four classes: one bright quarter of a small noisy image."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    images = 0.5 * rng.random((n, 8, 8, 1), dtype=np.float32)
    for image, label in zip(images, labels, strict=True):
        y, x = 4 * (label // 2), 4 * (label % 2)
        image[y : y + 4, x : x + 4] += 0.5 * rng.random(dtype=np.float32)
    return images, labels


@pytest.fixture(scope="module")
def toy() -> dict[str, Any]:
    train, test = strokes(3000, 0), strokes(600, 1)
    network = train_feature_network(*train, seed=0, epochs=2)
    return {
        "train": train[0],
        "train_labels": train[1],
        "test": test[0],
        "test_labels": test[1],
        "network": network,
        "seed": 3,
    }


@pytest.fixture(scope="module")
def real_like(toy: dict[str, Any]) -> Evaluation:
    images, labels = strokes(300, 2)
    return evaluate(images, labels, **toy, allow_small=True)


def test_fresh_images_of_the_same_kind_pass_every_gate(real_like: Evaluation) -> None:
    assert real_like.kid.low < 0 < real_like.kid.high
    assert real_like.frechet_ratio.value < 2 and real_like.frechet_ratio.low < 1 < real_like.frechet_ratio.high
    assert real_like.recall.value > 0.8 and real_like.precision.value > 0.8 and real_like.coverage.value > 0.85
    assert real_like.class_accuracy is not None and real_like.class_accuracy.value > 0.85
    assert real_like.nn_ratio.low < 1.05 and real_like.nn_ratio.high > 0.95
    assert [e.name for e in real_like.estimates][:3] == ["kid", "frechet", "frechet_floor"]
    for e in (*real_like.estimates, *real_like.per_class):
        assert e.low <= e.value <= e.high, e
        assert e.n > 0 and e.method


def test_same_seed_same_evaluation(toy: dict[str, Any], real_like: Evaluation) -> None:
    images, labels = strokes(300, 2)
    assert evaluate(images, labels, **toy, allow_small=True) == real_like
    assert evaluate(images, labels, **{**toy, "seed": 4}, allow_small=True) != real_like


def test_copies_look_perfect_but_for_the_nearest_neighbour(toy: dict[str, Any]) -> None:
    e = evaluate(toy["train"][:300], toy["train_labels"][:300], **toy, allow_small=True)
    assert e.coverage.value > 0.85 and e.frechet_ratio.value < 2
    assert e.nn_ratio.value == 0.0 and "copies of a training image: 300" in e.nn_ratio.note


def test_wrong_classes_are_seen_only_by_the_class_metrics(toy: dict[str, Any]) -> None:
    images, labels = strokes(300, 2)
    e = evaluate(images, (labels + 1) % 4, **toy, allow_small=True)
    assert e.class_accuracy is not None and e.class_accuracy.value < 0.05
    assert e.coverage.value > 0.85


def test_nothing_asked(toy: dict[str, Any]) -> None:
    images, _ = strokes(300, 2)
    e = evaluate(images, None, **toy, allow_small=True)
    assert e.class_accuracy is None and e.per_class == () and e.frechet_ratio_asked is None
    assert "class_accuracy" not in e.table()
    assert e.class_jsd.n_reference == 3000


def test_json_holds_no_floats_and_the_tables_name_everything(real_like: Evaluation) -> None:
    plain = real_like.to_json()

    def walk(value: object) -> None:
        assert not isinstance(value, float)
        if isinstance(value, dict):
            for v in value.values():
                walk(v)
        elif isinstance(value, list):
            for v in value:
                walk(v)

    walk(plain)
    again = json.loads(json.dumps(plain))
    for e in real_like.estimates:
        held = again["metrics"][e.name]
        assert [float(held[k]) for k in ("value", "low", "high")] == [e.value, e.low, e.high]
    text = real_like.table()
    for e in (*real_like.estimates, *real_like.per_class):
        assert f"| {e.name} |" in text
    assert real_like.network in text


def test_arms_side_by_side(real_like: Evaluation) -> None:
    without = attrs.evolve(real_like, class_accuracy=None, per_class=())
    lines = table({"hybrid": real_like, "twin": without}).splitlines()
    assert lines[0] == "| metric | hybrid | twin |"
    assert lines[2].startswith("| kid | ")
    row = next(line for line in lines if line.startswith("| class_accuracy |"))
    assert row.endswith("| - |")
    widths = {line.count("|") for line in lines if line.startswith("|")}
    assert widths == {4}
    with pytest.raises(DataError, match="different feature networks"):
        table({"a": real_like, "b": attrs.evolve(real_like, network="sha256:other")})
    with pytest.raises(DataError):
        table({})


def test_too_few_and_bad_images_are_refused_before_anything_is_computed(toy: dict[str, Any]) -> None:
    images, labels = strokes(300, 2)
    with pytest.raises(DataError, match="300 images are too few"):
        evaluate(images, labels, **toy)
    nan = images.copy()
    nan[0, 0, 0, 0] = np.nan
    for bad in (nan, images[:0], images[..., 0], images - 1):
        with pytest.raises(DataError, match="generated images"):
            evaluate(bad, labels, **toy, allow_small=True)
    for asked in (labels[:10], labels + 4, labels * 0.5):
        with pytest.raises(DataError, match="asked"):
            evaluate(images, asked, **toy, allow_small=True)
    with pytest.raises(DataError, match="shape"):
        evaluate(images[:, :6], labels, **toy, allow_small=True)


def test_a_floor_of_another_n_or_a_foreign_network_is_refused(toy: dict[str, Any]) -> None:
    reference = prepare_reference(**toy, n=200, allow_small=True)
    images, labels = strokes(300, 2)
    with pytest.raises(DataError, match="floor of 200"):
        evaluate_against(images, labels, reference, allow_small=True)
    with pytest.raises(DataError, match="made for other data"):
        prepare_reference(**{**toy, "test_labels": (toy["test_labels"] + 1) % 4}, n=200, allow_small=True)
    with pytest.raises(DataError, match="disjoint draws"):
        prepare_reference(**toy, n=1600, allow_small=True)


# Real images from here on.


@pytest.fixture(scope="module")
def mnist() -> tuple[Split, Split]:
    folder = os.environ.get("QIMG_DATA")
    if not folder:
        pytest.skip("QIMG_DATA is not set: no MNIST to evaluate on")
    train, test = (open_images(Path(folder) / "mnist", split=split) for split in ("train", "test"))
    splits: list[Split] = [(source.all(), np.array(source.labels)) for source in (train, test)]
    # The files are in the order of the writers: 2,000 images in a row come from few hands and are no fair sample.
    order = np.random.default_rng(0).permutation(len(splits[0][0]))
    return (splits[0][0][order], splits[0][1][order]), splits[1]


@pytest.fixture(scope="module")
def judge() -> FeatureNetwork:
    return shipped_network("mnist-28")


@pytest.fixture(scope="module")
def reference(mnist: tuple[Split, Split], judge: FeatureNetwork) -> Reference:
    """The first 2,000 training images in the order of `mnist` are kept out, to serve as a perfect generator."""
    (train, labels), (test, test_labels) = mnist
    return prepare_reference(
        train=train[2000:], train_labels=labels[2000:], test=test, test_labels=test_labels, network=judge, n=2000
    )


@pytest.mark.slow
def test_shipped_network_has_the_accuracy_of_its_record(mnist: tuple[Split, Split], judge: FeatureNetwork) -> None:
    images, labels = mnist[1]
    right = int((judge.classify(images) == labels).sum())
    assert judge.accuracy is not None
    assert abs(right - judge.accuracy[0]) <= 2  # another machine may round another way
    assert right >= 9900


@pytest.mark.slow
def test_real_digits_score_as_real_and_spoilt_ones_worse(mnist: tuple[Split, Split], reference: Reference) -> None:
    (train, labels), _ = mnist
    images, asked = train[:2000], labels[:2000]
    rng = np.random.default_rng(0)

    def score(arm: NDArray[np.floating]) -> Evaluation:
        return evaluate_against(np.clip(arm, 0, 1).astype(np.float32), asked, reference, resamples=100)

    real = score(images)
    assert real.class_accuracy is not None
    assert real.class_accuracy.value > 0.99 and real.frechet_ratio.value < 1.7
    assert real.kid.low < 0 < real.kid.high
    assert real.recall.value > 0.85 and real.coverage.value > 0.85 and 0.9 < real.nn_ratio.value < 1.1

    blur = score(uniform_filter(images, size=(1, 3, 3, 1)))
    noise = score(images + 0.3 * rng.standard_normal(images.shape))
    for spoilt in (blur, noise):
        assert spoilt.kid.low > 0 and spoilt.kid.value > 5 * abs(real.kid.value)
        assert spoilt.frechet.low > real.frechet.high
        assert spoilt.coverage.high < real.coverage.low
        assert spoilt.class_accuracy is not None
        assert spoilt.class_accuracy.value < real.class_accuracy.value
    mean = score(train.mean(axis=0)[None] + 0.02 * rng.standard_normal(images.shape))
    assert mean.recall.value < 0.01 and mean.coverage.value < 0.01 and mean.class_entropy.value < 0.2
    uniform = score(rng.random(images.shape))
    assert uniform.recall.value < 0.01 and uniform.coverage.value < 0.01 and uniform.nn_ratio.low > 1.5
    assert min(mean.frechet_ratio.low, uniform.frechet_ratio.low) > 50


@pytest.mark.slow
def test_copied_digits_are_caught(mnist: tuple[Split, Split], reference: Reference) -> None:
    (train, labels), _ = mnist
    copies = evaluate_against(train[2000:4000], labels[2000:4000], reference, resamples=100)
    assert copies.nn_ratio.high == 0.0
    assert copies.coverage.value > 0.85
