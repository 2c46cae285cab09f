"""Distances between ensembles of pure states, each with its slope (imports torch, numpy, scipy, qimg_circuits).

An ensemble is (m, K, d): K branches of each of m draws with weights (m, K) whose rows add up to 1; K = 1 where
outcomes were drawn. The squared MMD with the kernel F = |<a|b>|^2 equals ||rho_x - rho_y||_HS^2 of the mean density
matrices: it cannot see anything else of an ensemble, nor can the trace distance of the means. F + F^2 sees second
moments as well; transport distances see all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from qimg_circuits.quantum_kernels import fidelities, squared_mmd
from qimg_core.errors import DataError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_diffusion.quddpm.config import QuDDPMConfig


def mmd(
    x: torch.Tensor, weights: torch.Tensor, y: torch.Tensor, *, powers: Sequence[int] = (1,), unbiased: bool = False
) -> torch.Tensor:
    """Squared MMD with the kernel sum_k F^k over ``powers`` (each normalised by their number) -> scalar.

    Args:
        x: branches (m, K, d).
        weights: of them (m, K).
        y: states (n, d).
        powers: 1 is blind to all but mean states; 2 is not.
        unbiased: without pairs of a draw with itself. Otherwise the published estimator, which for two samples of one
            distribution is (1 - mean F) (1/m + 1/n) on average.
    """
    branches = x.shape[1]
    flat, p = x.flatten(0, 1), (weights / len(x)).flatten()
    xx, xy, yy = (_powers(fidelities(a, b), powers) for a, b in ((flat, flat), (flat, y), (y, y)))
    out: torch.Tensor = squared_mmd(xx, xy, yy, x_weights=p, unbiased=unbiased, group=branches)
    return out


def wasserstein(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Mean of 1 - F over the best matching of two equal numbers of states (m, d): the 1-Wasserstein distance.

    The matching is exact (Hungarian algorithm); the slope is that of the matched cost.

    Raises:
        DataError: other numbers of states.
    """
    if x.shape != y.shape:
        raise DataError(f"matching wants as many states on both sides, got {tuple(x.shape)} and {tuple(y.shape)}")
    cost = 1 - fidelities(x, y)
    rows, columns = linear_sum_assignment(cost.detach().numpy())
    out: torch.Tensor = cost[rows, columns].mean()
    return out


def sinkhorn(
    x: torch.Tensor, weights: torch.Tensor, y: torch.Tensor, *, smoothing: float, rounds: int = 60
) -> torch.Tensor:
    """Sinkhorn divergence S(x, y) - S(x, x)/2 - S(y, y)/2 of cost 1 - F (Feydy et al. 2019, arXiv:1810.08278).

    Args:
        x: branches (m, K, d).
        weights: of them (m, K).
        y: states (n, d).
        smoothing: entropic, in units of the cost; towards 0 it is `wasserstein`.
        rounds: of the iteration in logarithms; the slope is that of the potentials reached.
    """
    flat, p = x.flatten(0, 1), (weights / len(x)).flatten()
    q = p.new_full((len(y),), 1 / len(y))
    sides = ((flat, p, y, q), (flat, p, flat, p), (y, q, y, q))
    xy, xx, yy = (_entropic(1 - fidelities(a, b), u, v, smoothing, rounds) for a, u, b, v in sides)
    return xy - (xx + yy) / 2


def trace_distance(x: torch.Tensor, weights: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Half the trace norm of the difference of the mean density matrices. Arguments as in `mmd`."""
    values = torch.linalg.eigvalsh(mean_state(x, weights) - mean_state(y[:, None], y.real.new_ones(len(y), 1)))
    out: torch.Tensor = values.abs().sum() / 2
    return out


def mean_state(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """The mean density matrix (d, d) of branches (m, K, d) with weights (m, K)."""
    p = (weights / len(x)).flatten().to(x.dtype)
    return torch.einsum("n,ni,nj->ij", p, x.flatten(0, 1), x.flatten(0, 1).conj())


def loss_of(config: QuDDPMConfig, x: torch.Tensor, weights: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The loss that a configuration names. Arguments as in `mmd`."""
    if config.loss in ("mmd", "mmd2"):
        return mmd(x, weights, y, powers=(1,) if config.loss == "mmd" else (1, 2), unbiased=True)
    if config.loss == "wasserstein":
        return wasserstein(x[:, 0], y)
    if config.loss == "sinkhorn":
        return sinkhorn(x, weights, y, smoothing=config.smoothing)
    if config.loss == "trace":
        return trace_distance(x, weights, y)
    raise UnknownName("loss", config.loss, ("mmd", "mmd2", "wasserstein", "sinkhorn", "trace"))


def between(a: object, b: object, *, powers: Sequence[int] = (1,), unbiased: bool = False) -> float:
    """`mmd` of two plain ensembles of states, numpy (n, d) and (m, d)."""
    x, y = (torch.from_numpy(np.array(v, dtype=np.complex128)) for v in (a, b))
    return float(mmd(x[:, None], x.real.new_ones(len(x), 1), y, powers=powers, unbiased=unbiased))


def transport(a: object, b: object) -> float:
    """`wasserstein` of two plain ensembles of equally many states, numpy (n, d)."""
    x, y = (torch.from_numpy(np.array(v, dtype=np.complex128)) for v in (a, b))
    return float(wasserstein(x, y))


def _powers(f: torch.Tensor, powers: Sequence[int]) -> torch.Tensor:
    total = f ** powers[0]
    for k in powers[1:]:
        total = total + f**k
    return total / len(powers)


def _entropic(cost: torch.Tensor, p: torch.Tensor, q: torch.Tensor, eps: float, rounds: int) -> torch.Tensor:
    """Dual value of entropic transport. The potentials are found without a graph; their last update has one."""
    # an outcome that cannot happen weighs nothing: its logarithm must not be minus infinity
    log_p, log_q = (w.clamp(min=1e-30).log() for w in (p, q))
    with torch.no_grad():
        fixed, g = cost.detach(), torch.zeros_like(q)
        for _ in range(rounds):
            f = -eps * torch.logsumexp((g - fixed) / eps + log_q, 1)
            g = -eps * torch.logsumexp((f[:, None] - fixed) / eps + log_p[:, None], 0)
    # by the envelope theorem the slope by the cost is the plan, and by the weights the potential
    with torch.no_grad():
        plan = torch.exp((f[:, None] + g - fixed) / eps + log_p[:, None] + log_q)
        value = (p * f).sum() + (q * g).sum()
    moving = (plan * cost).sum() + (p * f).sum() + (q * g).sum()
    return value + moving - moving.detach()
