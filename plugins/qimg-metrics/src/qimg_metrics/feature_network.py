"""The independent, frozen network whose features the image metrics compare (imports numpy, torch, safetensors).

Inception weights cannot be had offline and were never trained on such images, so qimg ships its own classifier and
names it by digest. Distances are comparable only within one network: every report states `FeatureNetwork.digest`.

The penultimate features are layer-normalised. Raw ReLU features have an arbitrary scale (two trainings of one network
differ tenfold in the Frechet distance); normalised ones have mean 0, variance 1 and so a bounded distance.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional

from qimg_core.errors import DataError, WeightsError
from qimg_metrics.image.arrays import checked_images, checked_labels

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

FORMAT = "qimg-feature-network/1"
WIDTH = 64
POOLED = 4
CONVOLUTIONS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1))  # (channels out, stride)
_BATCH = 500


@attrs.frozen(eq=False)
class FeatureNetwork:
    """A frozen classifier: `len(CONVOLUTIONS)` 3x3 convolutions, a `WIDTH`-d feature layer, one linear read-out.

    Args:
        weights: float16 tensors by name (``conv0.weight`` .. ``head.bias``), batch normalisation folded in.
        metadata: text facts: format, shape, classes, seed, epochs, dataset, accuracy.
    """

    weights: Mapping[str, Tensor] = attrs.field(repr=False)
    metadata: Mapping[str, str]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape (h, w, c) of the images it was trained on; it takes no other."""
        h, w, c = (int(v) for v in self.metadata["shape"].split("x"))
        return h, w, c

    @property
    def n_classes(self) -> int:
        """How many classes it tells apart."""
        return len(self.weights["head.bias"])

    @property
    def digest(self) -> str:
        """``sha256:`` over names, shapes and float16 bytes of the weights; metadata is not part of it."""
        sha = hashlib.sha256(f"{FORMAT}\n".encode())
        for name in sorted(self.weights):
            array = self.weights[name].contiguous().numpy()
            sha.update(f"{name} {'x'.join(map(str, array.shape))}\n".encode())
            sha.update(array.astype("<f2").tobytes())
        return f"sha256:{sha.hexdigest()}"

    def features(self, images: ArrayLike) -> NDArray[np.float64]:
        """Layer-normalised penultimate features, float64 of shape (n, 64), of images (n, h, w, c) in [0, 1].

        Raises:
            DataError: the images are not of the network's shape, not in [0, 1], or none.
        """
        return self._run(images)[0]

    def logits(self, images: ArrayLike) -> NDArray[np.float64]:
        """Unnormalised log-probabilities, float64 of shape (n, classes). Raises as `features`."""
        return self._run(images)[1]

    def classify(self, images: ArrayLike) -> NDArray[np.int64]:
        """The most probable class of each image, shape (n,). Raises as `features`."""
        return self.features_and_classes(images)[1]

    def features_and_classes(self, images: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Both at the price of one pass. Raises as `features`."""
        features, logits = self._run(images)
        return features, np.argmax(logits, axis=1).astype(np.int64)

    def features_and_logits(self, images: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """`features` and `logits` at the price of one pass. Raises as `features`."""
        return self._run(images)

    def tested(self, images: ArrayLike, labels: ArrayLike) -> FeatureNetwork:
        """The same network with its accuracy on these held-out images in the metadata (``right/n``)."""
        found = self.classify(images)
        asked = checked_labels(labels, len(found), n_classes=self.n_classes)
        facts = {**self.metadata, "accuracy": f"{int((found == asked).sum())}/{len(found)}"}
        return attrs.evolve(self, metadata=facts)

    @property
    def accuracy(self) -> tuple[int, int] | None:
        """(right, n) on the held-out images it was tested with, or None."""
        if "accuracy" not in self.metadata:
            return None
        right, n = self.metadata["accuracy"].split("/")
        return int(right), int(n)

    def to_bytes(self) -> bytes:
        """A safetensors file whose metadata holds the facts and the digest of the weights."""
        facts = {**self.metadata, "format": FORMAT, "sha256": self.digest}
        return bytes(safetensors.torch.save(dict(self.weights), metadata=facts))

    def save(self, path: str | Path) -> None:
        """Write `to_bytes` into a file."""
        Path(path).write_bytes(self.to_bytes())

    @classmethod
    def load(cls, path: str | Path) -> FeatureNetwork:
        """Read what `save` wrote.

        Raises:
            WeightsError: no such file, truncated, of another format, or its weights do not match their digest.
        """
        hint = "train one with: qimg metrics train-network DATA --out FILE.safetensors"
        try:
            with safetensors.safe_open(str(path), framework="pt") as file:
                facts: dict[str, str] = dict(file.metadata() or {})
                weights: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, safetensors.SafetensorError) as error:
            raise WeightsError(f"cannot read a feature network from {path}: {error}", hint=hint) from error
        if facts.get("format") != FORMAT:
            raise WeightsError(f"{path}: wanted format {FORMAT}, found {facts.get('format', 'none')}", hint=hint)
        expected = {f"{layer}.{part}" for layer in _layers() for part in ("weight", "bias")}
        if set(weights) != expected or any(w.dtype != torch.float16 for w in weights.values()):
            raise WeightsError(f"{path}: the tensors are not those of a {FORMAT} file", hint=hint)
        network = cls(weights, {k: v for k, v in facts.items() if k not in ("format", "sha256")})
        if facts.get("sha256") != network.digest:
            raise WeightsError(f"{path}: the weights do not match their digest {facts.get('sha256')}", hint=hint)
        return network

    def _run(self, images: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        array = checked_images(images)
        if array.shape[1:] != self.shape:
            raise DataError(f"the feature network takes images of shape {self.shape}, got {array.shape[1:]}")
        w = {name: tensor.float() for name, tensor in self.weights.items()}
        features, logits = [], []
        with torch.inference_mode():
            for start in range(0, len(array), _BATCH):
                part = np.array(array[start : start + _BATCH].transpose(0, 3, 1, 2), dtype=np.float32, order="C")
                x = torch.from_numpy(part)
                for i, (_, stride) in enumerate(CONVOLUTIONS):
                    x = functional.relu(
                        functional.conv2d(x, w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride=stride, padding=1)
                    )
                x = functional.adaptive_avg_pool2d(x, POOLED).flatten(1)
                x = functional.layer_norm(
                    functional.relu(functional.linear(x, w["feature.weight"], w["feature.bias"])), (WIDTH,)
                )
                features.append(x.double().numpy())
                logits.append(functional.linear(x, w["head.weight"], w["head.bias"]).double().numpy())
        return np.concatenate(features), np.concatenate(logits)


def _layers() -> list[str]:
    return [f"conv{i}" for i in range(len(CONVOLUTIONS))] + ["feature", "head"]


def dataset_digest(images: NDArray[Any], labels: NDArray[Any]) -> str:
    """``sha256:`` over the shape, the 8-bit pixels (rounded to nearest) and the labels (64-bit little-endian)."""
    sha = hashlib.sha256(("qimg.dataset/1\n" + "x".join(map(str, images.shape)) + "\n").encode())
    for start in range(0, len(images), _BATCH):
        sha.update(np.floor(images[start : start + _BATCH] * 255.0 + 0.5).astype(np.uint8).tobytes())
    sha.update(np.asarray(labels).astype("<i8").tobytes())
    return f"sha256:{sha.hexdigest()}"
