"""The independent, frozen network whose features the image metrics compare (imports numpy, torch, safetensors).

Inception weights cannot be had offline and were never trained on such images, so qimg ships its own classifier and
names it by digest. Distances are comparable only within one network: every report states `FeatureNetwork.digest`.

The penultimate features are layer-normalised. Raw ReLU features have an arbitrary scale (two trainings of one network
differ tenfold in the Frechet distance); normalised ones have mean 0, variance 1 and so a bounded distance.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional

from qimg_core.errors import DataError, UnknownName, WeightsError
from qimg_metrics.image.arrays import checked_images, checked_labels

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

FORMAT = "qimg-feature-network/1"
WIDTH = 64
_POOLED = 4
_CONVOLUTIONS = ((16, 1), (32, 2), (32, 1), (64, 2), (64, 1))  # (channels out, stride)
_BATCH = 500


@attrs.frozen(eq=False)
class FeatureNetwork:
    """A frozen classifier: `len(_CONVOLUTIONS)` 3x3 convolutions, a `WIDTH`-d feature layer, one linear read-out.

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

    def save(self, path: str | Path) -> None:
        """Write a safetensors file whose metadata holds the facts and the digest of the weights."""
        facts = {**self.metadata, "format": FORMAT, "sha256": self.digest}
        Path(path).write_bytes(safetensors.torch.save(dict(self.weights), metadata=facts))

    @classmethod
    def load(cls, path: str | Path) -> FeatureNetwork:
        """Read what `save` wrote.

        Raises:
            WeightsError: no such file, truncated, of another format, or its weights do not match their digest.
        """
        hint = "train one with: python -m qimg_metrics.image.train"
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
                for i, (_, stride) in enumerate(_CONVOLUTIONS):
                    x = functional.relu(
                        functional.conv2d(x, w[f"conv{i}.weight"], w[f"conv{i}.bias"], stride=stride, padding=1)
                    )
                x = functional.adaptive_avg_pool2d(x, _POOLED).flatten(1)
                x = functional.layer_norm(
                    functional.relu(functional.linear(x, w["feature.weight"], w["feature.bias"])), (WIDTH,)
                )
                features.append(x.double().numpy())
                logits.append(functional.linear(x, w["head.weight"], w["head.bias"]).double().numpy())
        return np.concatenate(features), np.concatenate(logits)


def _layers() -> list[str]:
    return [f"conv{i}" for i in range(len(_CONVOLUTIONS))] + ["feature", "head"]


class _Trainee(nn.Module):
    """The network as trained: with batch normalisation and drop-out, which freezing folds in and leaves out."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for out, stride in _CONVOLUTIONS:
            self.convs.append(nn.Conv2d(channels, out, 3, stride, 1, bias=False))
            self.norms.append(nn.BatchNorm2d(out))
            channels = out
        self.feature = nn.Linear(channels * _POOLED**2, WIDTH)
        self.head = nn.Linear(WIDTH, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.relu(norm(conv(x)))
        x = functional.dropout(functional.adaptive_avg_pool2d(x, _POOLED).flatten(1), 0.2, self.training)
        out: Tensor = self.head(functional.layer_norm(functional.relu(self.feature(x)), (WIDTH,)))
        return out

    def frozen(self) -> dict[str, Tensor]:
        weights: dict[str, Tensor] = {}
        with torch.no_grad():
            for i, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
                assert isinstance(conv, nn.Conv2d)
                assert isinstance(norm, nn.BatchNorm2d)
                assert norm.running_var is not None
                assert norm.running_mean is not None
                scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
                weights[f"conv{i}.weight"] = conv.weight * scale[:, None, None, None]
                weights[f"conv{i}.bias"] = norm.bias - norm.running_mean * scale
            for name in ("feature", "head"):
                layer = getattr(self, name)
                weights[f"{name}.weight"], weights[f"{name}.bias"] = layer.weight, layer.bias
        return {
            name: tensor.detach().half().contiguous().clone(memory_format=torch.contiguous_format)
            for name, tensor in weights.items()
        }


def train_feature_network(
    images: ArrayLike,
    labels: ArrayLike,
    *,
    seed: int,
    epochs: int = 8,
    progress: Callable[[int, int, float], object] | None = None,
) -> FeatureNetwork:
    """Train a classifier on real images and freeze it.

    AdamW, one-cycle learning rate (peak 4e-3), batch 128. Every image is shifted by up to 2 pixels, half of them get
    normal noise of standard deviation up to 0.1: without it the network calls digits with noise that a reader hardly
    sees by another name (accuracy 0.92 instead of 0.997 at 0.1), and a judge of generated images must not. Two calls
    with the same arguments give the same weights in one environment (torch build and number of threads).

    Args:
        images: real training images (n, h, w, c) in [0, 1]. Never images that a generator made.
        labels: class of each, 0 .. classes - 1.
        seed: of initial weights, order, shifts and drop-out.
        epochs: passes over the images.
        progress: called with (epoch done, epochs, mean loss).

    Raises:
        DataError: bad images or labels, or fewer than two classes.
    """
    array = checked_images(images, "training images")
    target = checked_labels(labels, len(array), "training labels")
    n_classes = int(target.max()) + 1
    if n_classes < 2 or epochs < 1:
        raise DataError(f"wanted at least two classes and one epoch, got {n_classes} and {epochs}")
    y = torch.from_numpy(target)
    n, h, w, c = array.shape
    with torch.random.fork_rng(devices=[]):  # leaves the caller's random state as it was
        torch.manual_seed(seed)
        model = _Trainee(c, n_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        batch = min(128, n)
        steps = n // batch  # a last, short batch would disturb batch normalisation
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=4e-3, epochs=epochs, steps_per_epoch=steps, pct_start=0.25
        )
        for epoch in range(epochs):
            total = 0.0
            for index in torch.randperm(n)[: steps * batch].reshape(steps, batch):
                part = np.ascontiguousarray(array[index.numpy()].transpose(0, 3, 1, 2), dtype=np.float32)
                x = _noisy(_shifted(torch.from_numpy(part)))
                x = x.contiguous(memory_format=torch.channels_last)  # a quarter faster
                loss = functional.cross_entropy(model(x), y[index])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                schedule.step()
                total += float(loss.detach())
            if progress is not None:
                progress(epoch + 1, epochs, total / steps)
    facts = {
        "shape": f"{h}x{w}x{c}",
        "classes": str(n_classes),
        "seed": str(seed),
        "epochs": str(epochs),
        "dataset": dataset_digest(array, target),
        "n_train": str(n),
    }
    return FeatureNetwork(model.frozen(), facts)


def _shifted(x: Tensor, by: int = 2) -> Tensor:
    """Each image (b, c, h, w) moved by its own whole number of pixels in -by .. by, zeros coming in."""
    b, _, h, w = x.shape
    padded = functional.pad(x, (by, by, by, by))
    rows = torch.randint(0, 2 * by + 1, (b, 1)) + torch.arange(h)
    columns = torch.randint(0, 2 * by + 1, (b, 1)) + torch.arange(w)
    picked = padded.permute(0, 2, 3, 1)[torch.arange(b)[:, None, None], rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def _noisy(x: Tensor, most: float = 0.1) -> Tensor:
    """Half of the images with normal noise, its standard deviation uniform in 0 .. most, cut to [0, 1]."""
    sigma = torch.rand(len(x), 1, 1, 1) * most * (torch.rand(len(x), 1, 1, 1) < 0.5)
    return (x + sigma * torch.randn_like(x)).clamp(0.0, 1.0)


def dataset_digest(images: NDArray[Any], labels: NDArray[Any]) -> str:
    """``sha256:`` over the shape, the 8-bit pixels (rounded to nearest) and the labels (64-bit little-endian)."""
    sha = hashlib.sha256(("qimg.dataset/1\n" + "x".join(map(str, images.shape)) + "\n").encode())
    for start in range(0, len(images), _BATCH):
        sha.update(np.floor(images[start : start + _BATCH] * 255.0 + 0.5).astype(np.uint8).tobytes())
    sha.update(np.asarray(labels).astype("<i8").tobytes())
    return f"sha256:{sha.hexdigest()}"


def shipped_network(name: str = "mnist-28") -> FeatureNetwork:
    """A network that comes with this package; its training record is ``weights/<name>.json``.

    Raises:
        UnknownName: none of that name is shipped.
        WeightsError: the file is damaged.
    """
    folder = Path(__file__).parent / "weights"
    known = sorted(path.stem for path in folder.glob("*.safetensors"))
    if name not in known:
        raise UnknownName("feature network", name, known)
    return FeatureNetwork.load(folder / f"{name}.safetensors")


def shipped_record(name: str = "mnist-28") -> dict[str, Any]:
    """The training record of a shipped network: accuracy with its interval, seed, versions, data, command.

    Raises:
        UnknownName: none of that name is shipped.
    """
    folder = Path(__file__).parent / "weights"
    if not (folder / f"{name}.json").is_file():
        raise UnknownName("feature network", name, sorted(path.stem for path in folder.glob("*.json")))
    record: dict[str, Any] = json.loads((folder / f"{name}.json").read_text("utf-8"))
    return record
