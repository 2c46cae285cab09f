"""How a feature network is trained: a small convolutional classifier on real images (imports numpy, torch).

Apart from `feature_network`, so that judging with a network loads nothing of its training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from qimg_core.errors import DataError
from qimg_metrics.feature_network import CONVOLUTIONS, POOLED, WIDTH, FeatureNetwork, dataset_digest
from qimg_metrics.image.arrays import checked_images, checked_labels

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike


class _Trainee(nn.Module):
    """The network as trained: with batch normalisation and drop-out, which freezing folds in and leaves out."""

    def __init__(self, channels: int, n_classes: int) -> None:
        super().__init__()
        self.convs, self.norms = nn.ModuleList(), nn.ModuleList()
        for out, stride in CONVOLUTIONS:
            self.convs.append(nn.Conv2d(channels, out, 3, stride, 1, bias=False))
            self.norms.append(nn.BatchNorm2d(out))
            channels = out
        self.feature = nn.Linear(channels * POOLED**2, WIDTH)
        self.head = nn.Linear(WIDTH, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = functional.relu(norm(conv(x)))
        x = functional.dropout(functional.adaptive_avg_pool2d(x, POOLED).flatten(1), 0.2, self.training)
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
    batch = min(128, n)
    steps = n // batch  # a last, short batch would disturb batch normalisation
    rise = 0.5 if steps * epochs == 4 else 0.25  # a quarter of 4 steps is a phase of none, by which torch divides
    with torch.random.fork_rng(devices=[]):  # leaves the caller's random state as it was
        torch.manual_seed(seed)
        model = _Trainee(c, n_classes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=4e-3, epochs=epochs, steps_per_epoch=steps, pct_start=rise
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
