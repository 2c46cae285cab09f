"""A classical image generator of transposed convolutions (imports torch, numpy)."""

from __future__ import annotations

import torch
from torch import nn


def stages_of(size: int) -> int:
    """Halvings between an image and its smallest features: 2 up to 32 pixels, else 3."""
    return 2 if size <= 32 else 3


class Upsampling(nn.Module):
    """Latents and class -> small features -> twice as large, again and again -> pixels.

    Args:
        latent: length of the latents.
        classes: 1 makes images without a class.
        size: height and width, a multiple of 2**stages_of(size).
        channels: of the image.
        width: channels before the last convolution; each earlier one has twice as many.
    """

    def __init__(self, *, latent: int, classes: int, size: int, channels: int, width: int) -> None:
        super().__init__()
        self.classes, stages = classes, stages_of(size)
        wide, side = width << (stages - 1), size >> stages
        parts: list[nn.Module] = [
            nn.Linear(latent + (classes if classes > 1 else 0), wide * side**2),
            nn.Unflatten(1, (wide, side, side)),
        ]
        for k in range(stages - 1, 0, -1):
            n = width << k
            parts += [nn.GroupNorm(4, n), nn.ReLU(), nn.ConvTranspose2d(n, n // 2, 4, 2, 1)]
        parts += [nn.GroupNorm(4, width), nn.ReLU(), nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Sigmoid()]
        self.parts = nn.Sequential(*parts)

    def forward(self, latents: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(n, latent) and (n,) -> (n, channels, size, size) in [0, 1]."""
        x = latents
        if self.classes > 1:
            x = torch.cat([x, nn.functional.one_hot(labels, self.classes).to(x.dtype)], 1)
        out: torch.Tensor = self.parts(x)
        return out
