"""The critic of a Wasserstein GAN, classical, and its losses (imports torch)."""

from __future__ import annotations

import torch
from torch import nn


class Critic(nn.Module):
    """Two strided convolutions and a hidden layer; the class enters by projection (arXiv:1802.05637).

    Args:
        size: height and width of an image, a multiple of 4.
        channels: of the image.
        classes: 1 judges images without their class.
        width: channels of the first convolution.
    """

    def __init__(self, *, size: int, channels: int, classes: int, width: int = 16) -> None:
        super().__init__()
        hidden = 4 * width
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Flatten(), nn.Linear(2 * width * (size // 4) ** 2, hidden), nn.LeakyReLU(0.2),
        )  # fmt: skip
        self.score = nn.Linear(hidden, 1)
        self.label = nn.Embedding(classes, hidden) if classes > 1 else None

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores (n,) of images (n, channels, size, size) in [0, 1] and their classes (n,)."""
        h = self.features(2 * pixels - 1)
        out: torch.Tensor = self.score(h)[:, 0]
        if self.label is not None:
            out = out + (h * self.label(labels)).sum(1) / h.shape[1] ** 0.5
        return out


def critic_loss(
    critic: Critic,
    real: torch.Tensor,
    fake: torch.Tensor,
    labels: torch.Tensor,
    where: torch.Tensor,
    *,
    penalty: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Wasserstein loss with gradient penalty (Gulrajani et al., arXiv:1704.00028), and the distance that it estimates.

    Args:
        critic: what is trained.
        real: images (n, channels, size, size).
        fake: as many made ones.
        labels: (n,) of both.
        where: (n,) in [0, 1], the point between each pair at which the slope is taken.
        penalty: weight of (slope - 1)**2.
    """
    distance = critic(real, labels).mean() - critic(fake, labels).mean()
    t = where[:, None, None, None]
    between = (t * real + (1 - t) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, labels).sum(), between, create_graph=True)
    bend = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty * bend - distance, distance.detach()


def generator_loss(critic: Critic, fake: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What the generator lowers: minus the critic's mean score of its images."""
    loss: torch.Tensor = -critic(fake, labels).mean()
    return loss
