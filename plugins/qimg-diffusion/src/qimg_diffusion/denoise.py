"""The net of `latent-diffusion`: the noise in a noisy latent (imports torch, layers, schedule, errors)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn

from qimg_diffusion.schedule import cosine

if TYPE_CHECKING:
    from qimg_diffusion.layers import ArmMap

N_TIMES = 9
WEIGHTINGS = ("noise", "velocity")


class NoiseField(nn.Module):
    """noise(x_t, t, label): what is known in closed form, and a map of [x_t, class embedding, time features].

    Were the latents standard normal, the noise expected in x_t = sqrt(a) data + sqrt(1 - a) noise would be
    sqrt(1 - a) x_t. The map gives the rest, in units of sqrt(a): the v of Salimans and Ho (arXiv:2202.00512), of
    spread about 1 at every t. The closed form has no parameters, is the same in every arm, and by itself takes noise
    to noise.

    Args:
        times: T; t is 1 .. T.
        embedding: length of the class embedding.
        classes: labels 0 to classes - 1; label ``classes`` means any.
        layer: the map, from latent + embedding + 9 numbers to latent.
    """

    shares: torch.Tensor

    def __init__(self, *, times: int, embedding: int, classes: int, layer: ArmMap) -> None:
        super().__init__()
        self.register_buffer("shares", cosine(times), persistent=False)
        self.label = nn.Embedding(classes + 1, embedding)
        self.layer = layer

    def forward(self, x: torch.Tensor, t: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """The noise (rows, d) in points x (rows, d) at times t, int64 (rows,)."""
        share = self.shares[t].to(x.dtype)[:, None]
        past = (t.to(x.dtype) / (len(self.shares) - 1))[:, None]
        waves = math.pi * past * 2 ** torch.arange((N_TIMES - 1) // 2)
        features = torch.cat([x, self.label(labels), past, waves.sin(), waves.cos()], 1)
        out: torch.Tensor = (1 - share).sqrt() * x + share.sqrt() * self.layer(features)
        return out


def noise_loss(guess: torch.Tensor, noise: torch.Tensor, share: torch.Tensor, weighting: str) -> torch.Tensor:
    """Mean squared error of the guessed noise; a scalar.

    Args:
        guess: (rows, d).
        noise: (rows, d).
        share: a of each row, (rows,).
        weighting: ``noise``: all rows alike (Ho et al., arXiv:2006.11239). ``velocity``: divided by a, which is the
            squared error of v (arXiv:2202.00512) and asks more of the noisy end, where the class is decided.
    """
    square = (guess - noise).square().mean(1)
    return (square / share.to(square.dtype) if weighting == "velocity" else square).mean()
