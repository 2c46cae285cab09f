"""Distances between a pure state and a target a |s><s| + (1 - a) I/d, in closed form (imports torch).

For a = 1 they are the textbook ones between pure states, with F = |<psi|s>|^2.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

TINY = 1e-12
"""Under a square root: its slope stays finite where two states meet."""


def overlap(psi: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """F = |<psi|target>|^2 of unit states (rows, d) -> (rows,)."""
    product = (psi.conj() * target).sum(-1)
    return product.real.square() + product.imag.square()


def infidelity(psi: torch.Tensor, target: torch.Tensor, purity: torch.Tensor) -> torch.Tensor:
    """1 - <psi|sigma|psi> = 1 - a F - (1 - a)/d (arXiv:2602.03405, eq. 12) -> (rows,)."""
    return 1 - purity * overlap(psi, target) - (1 - purity) / psi.shape[-1]


def squared_error(psi: torch.Tensor, target: torch.Tensor, purity: torch.Tensor) -> torch.Tensor:
    """Mean over amplitudes of |psi - s|^2, for a mixed target its expectation over a Haar-random part -> (rows,).

    A Haar-random unit vector is 2 away on average: its mean is zero.
    """
    difference = psi - target
    error = (difference.real.square() + difference.imag.square()).sum(-1)
    return (purity * error + (1 - purity) * 2) / psi.shape[-1]


def trace_distance(psi: torch.Tensor, target: torch.Tensor, purity: torch.Tensor) -> torch.Tensor:
    """Half the trace norm of |psi><psi| - sigma; sqrt(1 - F) for a pure target -> (rows,).

    |psi><psi| - a |s><s| has rank two with eigenvalues ((1 - a) +- sqrt((1 - a)^2 + 4 a (1 - F))) / 2;
    (1 - a)/d comes off all d eigenvalues.
    """
    d, a = psi.shape[-1], purity
    root = ((1 - a).square() + 4 * a * (1 - overlap(psi, target)).clamp(min=0) + TINY).sqrt()
    floor = (1 - a) / d
    high, low = (1 - a + root) / 2 - floor, (1 - a - root) / 2 - floor
    return (high.abs() + low.abs() + (d - 2) * floor) / 2


Distance = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
LOSSES: dict[str, Distance] = {
    "infidelity": infidelity,
    "mse": squared_error,
    "trace-distance": trace_distance,
}
