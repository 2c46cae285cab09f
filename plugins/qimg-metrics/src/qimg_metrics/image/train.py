"""Train a feature network for a labelled data set and write it with its card, the record of how it was made.

The card stands beside the weights as JSON: digest of the weights, test accuracy with its interval, data, seed,
versions and the command that does it again. Imports qimg_core's data sets, torch.
"""

from __future__ import annotations

import json
import platform
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors
import torch

from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.storage import write_atomic
from qimg_metrics.bootstrap import clopper_pearson, generator
from qimg_metrics.feature_network import FORMAT, FeatureNetwork
from qimg_metrics.feature_training import train_feature_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from qimg_core.datasets import ImageSource


def train_network(
    train: ImageSource,
    test: ImageSource,
    out: Path,
    *,
    name: str,
    seed: int = 0,
    epochs: int = 8,
    command: str = "",
    progress: Callable[[int, int, float], object] | None = None,
) -> tuple[FeatureNetwork, dict[str, Any]]:
    """Train on one source, test on the other, write `out` and, beside it, its card ending in ``.json``.

    Args:
        train: labelled real images; never images that a generator made.
        test: labelled images of the same shape and classes, which the training does not see.
        out: the weights file.
        name: of the network, e.g. ``fashion-28``.
        seed: of weights, order, shifts and noise.
        epochs: passes over the training images; small sets want more.
        command: what a reader would type to do it again.
        progress: as in `train_feature_network`.

    Returns:
        The network and its card.

    Raises:
        DataError: no labels, other shapes, a class in the test images that the training images lack. Nothing is
            trained or written then.
    """
    _check(train, test)
    assert train.labels is not None
    assert test.labels is not None
    start = time.perf_counter()
    network = train_feature_network(train.all(), train.labels, seed=seed, epochs=epochs, progress=progress)
    seconds = time.perf_counter() - start
    network = network.tested(test.all(), test.labels)
    record = card(network, train, test, name=name, command=command, seconds=seconds)
    write_atomic(out, network.to_bytes())
    write_atomic(out.with_suffix(".json"), (json.dumps(record, indent=2) + "\n").encode())
    return network, record


def card(
    network: FeatureNetwork, train: ImageSource, test: ImageSource, *, name: str, command: str, seconds: float
) -> dict[str, Any]:
    """The facts of a tested network, without floats."""
    assert network.accuracy is not None
    right, n = network.accuracy
    low, high = clopper_pearson(right, n)
    return {
        "what": "independent classifier whose features the image metrics compare; saw real training images only, "
        "shifted by up to 2 pixels, half with normal noise up to 0.1",
        "name": name,
        "format": FORMAT,
        "weights": network.digest,
        "accuracy": {
            "value": repr(right / n),
            "low": repr(low),
            "high": repr(high),
            "level": "0.95",
            "method": "Clopper-Pearson",
            "right": right,
            "n": n,
            "on": "the test split, float16 weights as stored",
        },
        "dataset": {
            "name": train.name,
            "digest": network.metadata["dataset"],
            "sources": {"train": train.digest, "test": test.digest},
            "files": {**train.provenance.get("unpacked_files", {}), **test.provenance.get("unpacked_files", {})},
            "shape": network.metadata["shape"],
            "classes": network.n_classes,
            "n_train": train.n,
            "n_test": test.n,
        },
        "seed": int(network.metadata["seed"]),
        "epochs": int(network.metadata["epochs"]),
        "seconds": round(seconds),
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "numpy": np.__version__,
            "safetensors": str(safetensors.__version__),
            "machine": platform.machine(),
        },
        "command": command,
    }


def held_out(source: ImageSource, share: float, *, seed: int) -> tuple[ArraySource, ArraySource]:
    """Training and test images from data that come without a split: of each class, `share` is held out at random.

    Raises:
        DataError: no labels, or a class too small to have an image on both sides.
        ConfigurationError: a share that is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ConfigurationError(f"wanted a share between 0 and 1 to hold out, got {share}")
    if source.labels is None:
        raise DataError(f"{source.name} has no labels, which a classifier learns")
    rng = generator(seed, "held_out_for_network")
    test: list[int] = []
    for c in np.unique(source.labels):
        rows = rng.permutation(np.flatnonzero(source.labels == c))
        k = max(1, round(share * len(rows)))
        if k >= len(rows):
            raise DataError(f"{source.name} has {len(rows)} images of class {c}: too few to hold {share:.0%} out")
        test += rows[:k].tolist()
    chosen = np.isin(np.arange(source.n), test)

    def part(rows: Any, split: str) -> ArraySource:
        how = {"of": source.digest, "held_out": repr(share), "seed": seed, "split": split}
        labels = np.asarray(source.labels)[rows]
        return ArraySource(
            name=f"{source.name}/{split}", pixels=source.images(np.flatnonzero(rows)), labels=labels, provenance=how
        )

    return part(~chosen, "rest"), part(chosen, "held-out")


def _check(train: ImageSource, test: ImageSource) -> None:
    for source in (train, test):
        if source.labels is None:
            raise DataError(f"{source.name} has no labels, which a classifier learns")
    if train.shape != test.shape:
        raise DataError(f"{train.name} has images {train.shape}, {test.name} {test.shape}", hint="--size")
    if test.n_classes > train.n_classes:
        raise DataError(f"{test.name} has {test.n_classes} classes, {train.name} {train.n_classes}")
