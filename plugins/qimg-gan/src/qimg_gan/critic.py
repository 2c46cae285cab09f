"""The critic of a Wasserstein GAN, classical, and its losses (imports torch)."""

from __future__ import annotations

import torch
from torch import nn


class Critic(nn.Module):
    """Strided convolutions and a hidden layer; the class enters by projection (arXiv:1802.05637).

    Args:
        size: height and width of an image, a multiple of 2**stages.
        channels: of the image.
        classes: 1 judges images without their class.
        width: channels of the first convolution; each further one has twice as many.
        stages: convolutions, each halves the image.
    """

    def __init__(self, *, size: int, channels: int, classes: int, width: int = 16, stages: int = 2) -> None:
        super().__init__()
        hidden = 4 * width
        parts: list[nn.Module] = []
        for k in range(stages):
            parts += [nn.Conv2d(width << (k - 1) if k else channels, width << k, 4, 2, 1), nn.LeakyReLU(0.2)]
        wide = (width << (stages - 1)) * (size >> stages) ** 2
        self.features = nn.Sequential(*parts, nn.Flatten(), nn.Linear(wide, hidden), nn.LeakyReLU(0.2))
        self.score = nn.Linear(hidden, 1)
        self.label = nn.Embedding(classes, hidden) if classes > 1 else None

    def forward(self, pixels: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores (n,) of images (n, channels, size, size) in [0, 1] and their classes (n,)."""
        return _score(self.features(2 * pixels - 1), labels, self.score, self.label)


class LatentCritic(nn.Module):
    """Two hidden layers on vectors; the class enters by projection as in `Critic`.

    Args:
        n: length of a vector.
        classes: 1 judges vectors without their class.
        width: of the hidden layers.
    """

    def __init__(self, *, n: int, classes: int, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Linear(n, width), nn.LeakyReLU(0.2), nn.Linear(width, width), nn.LeakyReLU(0.2)
        )
        self.score = nn.Linear(width, 1)
        self.label = nn.Embedding(classes, width) if classes > 1 else None

    def forward(self, vectors: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Scores (n,) of vectors (n, d) and their classes (n,)."""
        return _score(self.features(vectors), labels, self.score, self.label)


def _score(h: torch.Tensor, labels: torch.Tensor, score: nn.Linear, label: nn.Embedding | None) -> torch.Tensor:
    out: torch.Tensor = score(h)[:, 0]
    if label is not None:
        out = out + (h * label(labels)).sum(1) / h.shape[1] ** 0.5
    return out


def critic_loss(
    critic: nn.Module,
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
        real: images (n, channels, size, size), or whatever it judges (n, ...).
        fake: as many made ones.
        labels: (n,) of both.
        where: (n,) in [0, 1], the point between each pair at which the slope is taken.
        penalty: weight of (slope - 1)**2.
    """
    distance = critic(real, labels).mean() - critic(fake, labels).mean()
    t = where.view(-1, *[1] * (real.ndim - 1))
    between = (t * real + (1 - t) * fake).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between, labels).sum(), between, create_graph=True)
    bend = (slope.flatten(1).norm(dim=1) - 1).square().mean()
    return penalty * bend - distance, distance.detach()


def generator_loss(critic: nn.Module, fake: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """What the generator lowers: minus the critic's mean score of its images."""
    loss: torch.Tensor = -critic(fake, labels).mean()
    return loss
