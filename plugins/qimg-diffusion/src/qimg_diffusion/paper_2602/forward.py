"""The two forward processes: what the code does and what the paper defines (imports torch, numpy).

*code*: z_t = sqrt(a_t) z_0 + sqrt(1 - a_t) e, with e standard normal in real and in imaginary part
(Ho et al., arXiv:2006.11239, eq. 4); the net learns the posterior mean (eq. 7). Both are normalised.

*paper*: rho_t = (1 - p_t) rho_{t-1} + p_t I/d, so rho_t = a_t rho_0 + (1 - a_t) I/d with
a_t = prod (1 - p_s) (arXiv:2602.03405, eq. 9-10); the net learns rho_{t-1} (eq. 11-12). A net that
takes vectors is given pure states whose average is rho_t: the image's state with probability a_t,
else a Haar-random one. The target is the mixed state itself, in closed form.
"""

from __future__ import annotations

import numpy as np
import torch
from attrs import frozen

from qimg_diffusion.paper_2602.states import unit_norm


@frozen(eq=False)
class Schedule:
    """Linear noise schedule, indexed by t = 0 (data) to T.

    Args:
        betas: (T + 2,): 0, then T + 1 values from first to last; entry T + 1 is never used (released).
        alphas: (T + 2,): cumulative products of 1 - beta.
    """

    betas: torch.Tensor
    alphas: torch.Tensor

    @classmethod
    def linear(cls, first: float, last: float, timesteps: int) -> Schedule:
        betas = np.insert(np.linspace(first, last, timesteps + 1), 0, 0.0)
        return cls(torch.from_numpy(betas).float(), torch.from_numpy(np.cumprod(1 - betas)).float())


@frozen(eq=False)
class Pairs:
    """Inputs of the net with their targets.

    Args:
        inputs: unit states (rows, d).
        targets: unit states (rows, d).
        purity: (rows,): the target is ``purity * |target><target| + (1 - purity) I/d``; 1 is the pure state.
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    purity: torch.Tensor


def gaussian(states: torch.Tensor, t: torch.Tensor, schedule: Schedule, rng: np.random.Generator) -> Pairs:
    """The released process.

    Args:
        states: real or complex amplitudes (rows, d), of any norm.
        t: int64 (rows,), 1 to T.
        schedule: of T.
        rng: of the noise.
    """
    a, before, beta = (v[:, None] for v in (schedule.alphas[t], schedule.alphas[t - 1], schedule.betas[t]))
    noisy = a.sqrt() * states + (1 - a).sqrt() * _normal(rng, len(t), states.shape[1])
    mean = before.sqrt() * beta / (1 - a) * states + (1 - beta).sqrt() * (1 - before) / (1 - a) * noisy
    return Pairs(unit_norm(noisy), unit_norm(mean), torch.ones(len(t)))


def depolarising(states: torch.Tensor, t: torch.Tensor, schedule: Schedule, rng: np.random.Generator) -> Pairs:
    """The paper's process, by pure states whose average is rho_t. Arguments as in `gaussian`."""
    clean = unit_norm(states.to(torch.complex64))
    haar = unit_norm(_normal(rng, len(t), states.shape[1]))
    kept = torch.from_numpy(rng.random(len(t), dtype=np.float32)) < schedule.alphas[t]
    return Pairs(torch.where(kept[:, None], clean, haar), clean, schedule.alphas[t - 1])


def channel(rho: torch.Tensor, alpha: float) -> torch.Tensor:
    """Eq. 10: alpha rho + (1 - alpha) Tr(rho) I/d for density matrices (..., d, d)."""
    d = rho.shape[-1]
    trace = torch.diagonal(rho, dim1=-2, dim2=-1).sum(-1)[..., None, None]
    return alpha * rho + (1 - alpha) * trace * torch.eye(d, dtype=rho.dtype) / d


def _normal(rng: np.random.Generator, rows: int, d: int) -> torch.Tensor:
    return torch.view_as_complex(torch.from_numpy(rng.standard_normal((rows, d, 2), dtype=np.float32)))
