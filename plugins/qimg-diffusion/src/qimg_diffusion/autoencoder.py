"""Compressors: images to short vectors of mean 0 and spread 1, and back (imports torch, errors).

A flow in a small space needs a map into it. `Autoencoder` is trained (a variational one, Kingma and
Welling, arXiv:1312.6114); `Principal` is computed: the principal components.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

COMPRESSORS = ("vae", "pca")


class Compressor(nn.Module):
    """Images (n, c, h, w) in [0, 1] to vectors (n, d) and back. `fit_frames` comes before `encode`.

    With one frame for all, vectors are shifted by their mean and divided by their spread. With a frame for
    each class, they are shifted by the class's mean and whitened by the Cholesky factor of its covariance: a
    Gaussian per class is had in closed form, in every arm alike, and what a flow learns is the rest.

    Args:
        d: length of the vectors.
        classes: how many frames; None for one for all.
    """

    mean: torch.Tensor
    spread: torch.Tensor
    root: torch.Tensor

    def __init__(self, d: int, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        if classes is None:
            self.register_buffer("mean", torch.zeros(d))
            self.register_buffer("spread", torch.ones(d))
        else:
            self.register_buffer("mean", torch.zeros(classes, d))
            self.register_buffer("root", torch.eye(d).repeat(classes, 1, 1))

    @abstractmethod
    def raw(self, pixels: torch.Tensor) -> torch.Tensor:
        """Vectors before they are shifted and scaled."""

    @abstractmethod
    def pixels(self, raw: torch.Tensor) -> torch.Tensor:
        """Images of such vectors."""

    def encode(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) and labels (n,) -> (n, d)."""
        return self.framed(self.raw(pixels), labels)

    def framed(self, raw: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Raw vectors (n, d) in their frames."""
        if self.classes is None:
            return (raw - self.mean) / self.spread
        shifted = (raw - self.mean[labels])[:, :, None]
        white: torch.Tensor = torch.linalg.solve_triangular(self.root[labels], shifted, upper=False)[:, :, 0]
        return white

    def decode(self, z: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, d) in their frames, and labels (n,) -> (n, c, h, w) in [0, 1]."""
        if self.classes is None:
            return self.pixels(z * self.spread + self.mean).clamp(0, 1)
        raw = torch.einsum("nij,nj->ni", self.root[labels], z) + self.mean[labels]
        return self.pixels(raw).clamp(0, 1)

    def fit_frames(self, parts: Iterable[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Compute the frames from all images, given in parts, and their labels; returns their vectors (n, d).

        A class without enough images to whiten takes the frame of all.
        """
        with torch.no_grad():
            raw = torch.cat([self.raw(part) for part in parts])
            if self.classes is None:
                self.mean.copy_(raw.mean(0))
                self.spread.copy_(raw.std(0).clamp(min=1e-6))
                return self.framed(raw, labels)
            everything = _frame(raw)
            for k in range(self.classes):
                own = raw[labels == k]
                self.mean[k], self.root[k] = _frame(own) if len(own) > 4 * raw.shape[1] else everything
            return torch.cat(
                [self.framed(r, y) for r, y in zip(torch.split(raw, 4096), torch.split(labels, 4096), strict=True)]
            )


def _frame(raw: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean (d,) and lower Cholesky factor (d, d) of vectors (n, d), computed in double precision."""
    x = raw.double()
    mean = x.mean(0)
    centred = x - mean
    covariance = centred.T @ centred / max(1, len(x) - 1)
    floor = 1e-6 * covariance.diagonal().mean().clamp(min=1e-6)
    root = torch.linalg.cholesky(covariance + floor * torch.eye(len(covariance), dtype=torch.float64))
    return mean.to(raw.dtype), root.to(raw.dtype)


class Autoencoder(Compressor):
    """Variational autoencoder, two strided convolutions each way.

    Args:
        size: height and width, a multiple of 4.
        channels: of the image.
        d: length of the vectors.
        classes: see `Compressor`.
        width: channels of the first convolution; the second has twice as many.
        kl: weight of the prior term. Below 1 keeps images sharp; the flow learns what it leaves of
            the vectors' distribution.
        contrast: factor of the decoder's logits when it draws. A mean over what a short vector leaves
            open is blurred; above 1 takes some of that back. Training does not use it.
    """

    def __init__(
        self,
        *,
        size: int,
        channels: int,
        d: int,
        classes: int | None = None,
        width: int = 16,
        kl: float = 0.1,
        contrast: float = 1.0,
    ) -> None:
        super().__init__(d, classes)
        if size % 4:
            raise ConfigurationError(f"the autoencoder takes a size that is a multiple of 4, got {size}")
        self.kl, self.contrast, w, side = kl, contrast, width, size // 4
        self.encoder = nn.Sequential(
            nn.Conv2d(channels, w, 4, 2, 1), nn.SiLU(), nn.Conv2d(w, 2 * w, 4, 2, 1), nn.SiLU(), nn.Flatten(),
            nn.Linear(2 * w * side**2, 8 * w), nn.SiLU(), nn.Linear(8 * w, 2 * d),
        )  # fmt: skip
        self.decoder = nn.Sequential(
            nn.Linear(d, 8 * w), nn.SiLU(), nn.Linear(8 * w, 2 * w * side**2), nn.SiLU(),
            nn.Unflatten(1, (2 * w, side, side)), nn.ConvTranspose2d(2 * w, w, 4, 2, 1), nn.SiLU(),
            nn.ConvTranspose2d(w, channels, 4, 2, 1),
        )  # fmt: skip

    def raw(self, pixels: torch.Tensor) -> torch.Tensor:
        """The mean of each image's posterior, (n, d)."""
        mean: torch.Tensor = self.encoder(pixels).chunk(2, 1)[0]
        return mean

    def pixels(self, raw: torch.Tensor) -> torch.Tensor:
        """(n, d) -> (n, c, h, w)."""
        out: torch.Tensor = torch.sigmoid(self.contrast * self.decoder(raw))
        return out

    def loss(self, pixels: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Cross-entropy of the pixels plus ``kl`` times the divergence from N(0, 1), per pixel; a scalar.

        Args:
            pixels: (n, c, h, w).
            noise: standard normal (n, d).
        """
        mean, log_variance = self.encoder(pixels).chunk(2, 1)
        logits = self.decoder(mean + noise * (log_variance / 2).exp())
        pixel = functional.binary_cross_entropy_with_logits(logits, pixels, reduction="sum")
        prior = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
        loss: torch.Tensor = (pixel + self.kl * prior) / pixels.numel()
        return loss


class Principal(Compressor):
    """The first d principal components of the training images.

    Args:
        size: height and width.
        channels: of the image.
        d: length of the vectors.
        classes: see `Compressor`.
    """

    centre: torch.Tensor
    components: torch.Tensor

    def __init__(self, *, size: int, channels: int, d: int, classes: int | None = None) -> None:
        super().__init__(d, classes)
        self.shape = (channels, size, size)
        self.register_buffer("centre", torch.zeros(channels * size**2))
        self.register_buffer("components", torch.zeros(d, channels * size**2))

    def fit_components(self, parts: Iterable[torch.Tensor]) -> None:
        """Compute them, in double precision; each component's largest entry is positive."""
        n, total, squares = 0, torch.zeros(1), torch.zeros(1)
        for part in parts:
            x = part.flatten(1).double()
            n, total, squares = n + len(x), total + x.sum(0), squares + x.T @ x
        mean = total / n
        _, columns = torch.linalg.eigh(squares / n - torch.outer(mean, mean))
        vectors = columns.T.flip(0)[: len(self.components)]
        largest = vectors.gather(1, vectors.abs().argmax(1, keepdim=True))
        self.centre.copy_(mean)
        self.components.copy_(vectors * largest.sign())

    def raw(self, pixels: torch.Tensor) -> torch.Tensor:
        """(n, c, h, w) -> (n, d)."""
        return (pixels.flatten(1) - self.centre) @ self.components.T

    def pixels(self, raw: torch.Tensor) -> torch.Tensor:
        """(n, d) -> (n, c, h, w)."""
        return (raw @ self.components + self.centre).reshape(-1, *self.shape)
