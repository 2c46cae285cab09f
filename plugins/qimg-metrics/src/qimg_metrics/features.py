"""Feature networks by name: those that ship, and where to find how one is made (imports the modules beside it)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from qimg_core.errors import UnknownName
from qimg_metrics.feature_network import FeatureNetwork, dataset_digest
from qimg_metrics.feature_training import train_feature_network

__all__ = [
    "FeatureNetwork",
    "dataset_digest",
    "shipped_names",
    "shipped_network",
    "shipped_record",
    "train_feature_network",
]


_FOLDER = Path(__file__).parent / "weights"


def shipped_names() -> tuple[str, ...]:
    """The networks that come with this package, one for each data set and size."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.safetensors")))


def shipped_network(name: str = "mnist-28") -> FeatureNetwork:
    """A network that comes with this package; its training record is ``weights/<name>.json``.

    Raises:
        UnknownName: none of that name is shipped.
        WeightsError: the file is damaged.
    """
    if name not in shipped_names():
        raise UnknownName("feature network", name, shipped_names())
    return FeatureNetwork.load(_FOLDER / f"{name}.safetensors")


def shipped_record(name: str = "mnist-28") -> dict[str, Any]:
    """The training record of a shipped network: accuracy with its interval, seed, versions, data, command.

    Raises:
        UnknownName: none of that name is shipped.
    """
    if name not in shipped_names():
        raise UnknownName("feature network", name, shipped_names())
    record: dict[str, Any] = json.loads((_FOLDER / f"{name}.json").read_text("utf-8"))
    return record
