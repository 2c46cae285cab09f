"""A small class-conditional U-Net as a velocity field (imports torch).

Three scales (C, 2C, 4C channels), residual blocks with GroupNorm; time and class enter every block
as a scale and a shift (FiLM, Perez et al., arXiv:1709.07871). A map between may modulate the
coarsest features: that is the place the arms of a hybrid model exchange.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional


def time_features(t: torch.Tensor, n: int) -> torch.Tensor:
    """Sines and cosines of t (rows,) at n/2 frequencies from 1000 down to 1; (rows, n)."""
    half = n // 2
    frequencies = 1000 * torch.exp(-math.log(1000) * torch.arange(half, dtype=t.dtype) / half)
    angles = t[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)


class Block(nn.Module):
    """Two 3x3 convolutions, modulated by the embedding between, beside a skip.

    Args:
        n_in: channels in.
        n_out: channels out, a multiple of 4.
        embedding: length of the embedding.
    """

    def __init__(self, n_in: int, n_out: int, embedding: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(n_in, n_out, 3, padding=1)
        self.second = nn.Conv2d(n_out, n_out, 3, padding=1)
        self.norm1, self.norm2 = nn.GroupNorm(4, n_out), nn.GroupNorm(4, n_out)
        self.film = nn.Linear(embedding, 2 * n_out)
        self.skip = nn.Conv2d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
        """(rows, n_in, h, w), (rows, embedding) -> (rows, n_out, h, w)."""
        scale, shift = self.film(e)[:, :, None, None].chunk(2, 1)
        h = functional.silu(self.norm1(self.first(x)) * (1 + scale) + shift)
        out: torch.Tensor = self.skip(x) + functional.silu(self.norm2(self.second(h)))
        return out


class UNet(nn.Module):
    """v(x, t, label) for images.

    Args:
        channels: of the image.
        width: C, a multiple of 4.
        classes: labels 0 to classes - 1; label ``classes`` means any.
        middle: (rows, `UNet.features`) -> (rows, 8 C), half scale and half shift of the coarsest
            features, which are multiplied by 1 + scale; None leaves them alone.
        embedding: length of the time and class embedding.
        skips: false puts zeros where the finer scales are handed over: what is drawn has gone through the coarsest.

    Shape: x (rows, channels, h, w) with h and w multiples of 4; t (rows,); labels (rows,).
    """

    def __init__(
        self,
        *,
        channels: int,
        width: int,
        classes: int,
        middle: nn.Module | None,
        embedding: int = 64,
        skips: bool = True,
    ) -> None:
        super().__init__()
        c, e = width, embedding
        self.time = nn.Sequential(nn.Linear(32, e), nn.SiLU(), nn.Linear(e, e))
        self.label = nn.Embedding(classes + 1, e)
        self.stem = nn.Conv2d(channels, c, 3, padding=1)
        self.down1, self.down2, self.down3 = Block(c, c, e), Block(c, 2 * c, e), Block(2 * c, 4 * c, e)
        self.middle, self.skips = middle, skips
        self.bottom = Block(4 * c, 4 * c, e)
        self.up2, self.up1 = Block(6 * c, 2 * c, e), Block(3 * c, c, e)
        self.head = nn.Conv2d(c, channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)

    @staticmethod
    def features(width: int, embedding: int = 64) -> int:
        """What ``middle`` takes: 4 C channels on a 2x2 grid, and the embedding."""
        return 4 * width * 4 + embedding

    def forward(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The velocity, the shape of x."""
        e = functional.silu(self.time(time_features(t, 32)) + self.label(labels))
        h1 = self.down1(self.stem(x), e)
        h2 = self.down2(functional.avg_pool2d(h1, 2), e)
        h3 = self.down3(functional.avg_pool2d(h2, 2), e)
        if self.middle is not None:
            pooled = functional.adaptive_avg_pool2d(h3, 2).flatten(1)
            scale, shift = self.middle(torch.cat([pooled, e], 1))[:, :, None, None].chunk(2, 1)
            h3 = h3 * (1 + scale) + shift
        if not self.skips:
            h1, h2 = torch.zeros_like(h1), torch.zeros_like(h2)
        h = self.bottom(h3, e)
        h = self.up2(torch.cat([functional.interpolate(h, scale_factor=2), h2], 1), e)
        h = self.up1(torch.cat([functional.interpolate(h, scale_factor=2), h1], 1), e)
        out: torch.Tensor = self.head(h)
        return out
