"""The cosine schedule and DDIM: noise to data and back, without drawing a number (imports torch, errors, flow).

At time t of T a point is x_t = sqrt(a_t) data + sqrt(1 - a_t) noise, a_0 = 1 and a_T all but 0 (Ho, Jain, Abbeel,
arXiv:2006.11239). DDIM (Song, Meng, Ermon, arXiv:2010.02502, eta = 0) takes a trained guess of the noise, draws the
conclusion about the data, and mixes both again with less noise.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_diffusion.flow import Trace

Predictor = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""(x (n, ...), t int64 (n,), labels (n,)) -> the noise in x, the shape of x."""

OFFSET = 0.008
LARGEST = 0.999


def cosine(times: int) -> torch.Tensor:
    """The share a_t of the data's variance that is left at t = 0, 1, ..., ``times``: float64 (times + 1,).

    a_t = f(t) / f(0), f(t) = cos^2((t / T + s) / (1 + s) * pi / 2), s = 0.008, and no step takes away more than 0.999
    of it (Nichol and Dhariwal, arXiv:2102.09672, equation 17).

    Raises:
        ConfigurationError: fewer than 2 times.
    """
    if times < 2:
        raise ConfigurationError(f"times: wanted 2 or more, got {times}")
    t = torch.arange(times + 1, dtype=torch.float64) / times
    f = torch.cos((t + OFFSET) / (1 + OFFSET) * math.pi / 2).square()
    kept = (f[1:] / f[:-1]).clamp(min=1 - LARGEST)
    return torch.cat([torch.ones(1, dtype=torch.float64), kept.cumprod(0)])


def mixed(data: torch.Tensor, noise: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """sqrt(a) data + sqrt(1 - a) noise; ``share`` a is (n,) or a scalar."""
    a = share.reshape(-1, *[1] * (data.ndim - 1)).to(data.dtype)
    return a.sqrt() * data + (1 - a).sqrt() * noise


def visited(times: int, steps: int) -> list[int]:
    """The steps + 1 times that a sampler visits, from ``times`` down to 0, evenly spread.

    Raises:
        ConfigurationError: no steps, or more than times.
    """
    if not 1 <= steps <= times:
        raise ConfigurationError(f"sample_steps: wanted 1 to {times}, as many as there are times, got {steps}")
    return [round(times * k / steps) for k in range(steps, -1, -1)]


def ddim(
    predict: Predictor,
    x: torch.Tensor,
    labels: torch.Tensor,
    shares: torch.Tensor,
    *,
    steps: int,
    trace: Trace | None = None,
) -> torch.Tensor:
    """Carry noise to data.

    Args:
        predict: the noise in a point; asked once a step.
        x: the points at the last time, (n, ...).
        labels: int64 (n,).
        shares: of `cosine`.
        steps: of the sampler.
        trace: sees (k, k / steps, x) before step k, and the end.

    Raises:
        ConfigurationError: no steps, or more than there are times.
    """
    way = visited(len(shares) - 1, steps)
    for k in range(steps):
        if trace is not None:
            trace(k, k / steps, x)
        x = _moved(predict, x, labels, shares, way[k], way[k], way[k + 1])
    if trace is not None:
        trace(steps, 1.0, x)
    return x


def unddim(
    predict: Predictor, x: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor, *, steps: int
) -> torch.Tensor:
    """Carry data to noise: the steps of `ddim` backwards. An estimate, as each guess is made where its step ends."""
    way = visited(len(shares) - 1, steps)
    for k in reversed(range(steps)):
        x = _moved(predict, x, labels, shares, way[k], way[k + 1], way[k])
    return x


def _moved(
    predict: Predictor, x: torch.Tensor, labels: torch.Tensor, shares: torch.Tensor, asked: int, now: int, then: int
) -> torch.Tensor:
    """A point at time ``now``, taken to time ``then`` by the noise that is predicted for time ``asked``."""
    noise = predict(x, torch.full((len(x),), asked, dtype=torch.int64), labels)
    a, b = (float(shares[t]) for t in (now, then))
    data = (x - math.sqrt(1 - a) * noise) / math.sqrt(a)
    return math.sqrt(b) * data + math.sqrt(1 - b) * noise
