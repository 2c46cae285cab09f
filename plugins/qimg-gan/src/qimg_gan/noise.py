"""Bit strings as noise: how they become latents, and classical strings to compare with (imports numpy, torch, errors).

A string has one bit a wire. `depth` strings make one binary fraction for each wire, first string most significant,
and the fraction's place in the normal distribution is the latent number of that wire::

    f_w = sum_s bit[s, w] 2**-(s + 1) + 2**-(depth + 1)          in (0, 1)
    z_w = ndtri(f_w) / norm                                      norm: so that fair bits give spread 1

So wires whose bits are correlated give correlated latents (after the copula map of arXiv:2507.01886). With depth 1 the
latents are -1 and +1: a Bernoulli prior. Which strings of a pool an image gets is chosen by its own initial noise:
shots are independent, so any choice of them is as good as the next, and a small pool gives many latents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from qimg_core.errors import DataError

if TYPE_CHECKING:
    import numpy.typing as npt

    Bits = npt.NDArray[np.uint8]
    Float = npt.NDArray[np.float64]

DEEPEST = 24
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(48)


def latents_of(bits: torch.Tensor) -> torch.Tensor:
    """The map above: bits (..., depth, wires) of 0 and 1 -> (..., wires) float32."""
    depth = bits.shape[-2]
    share = 0.5 ** torch.arange(1, depth + 1, dtype=torch.float64)
    fraction = torch.einsum("...sw,s->...w", bits.double(), share) + 0.5 ** (depth + 1)
    out: torch.Tensor = (torch.special.ndtri(fraction) / norm(depth)).float()
    return out


def norm(depth: int) -> float:
    """Spread of ndtri of the 2**depth fractions, all with the same chance.

    Raises:
        DataError: a depth below 1 or above 24.
    """
    if not 1 <= depth <= DEEPEST:
        raise DataError(f"depth: wanted 1 to {DEEPEST} strings a fraction, got {depth}")
    each = (torch.arange(2**depth, dtype=torch.float64) + 0.5) / 2**depth
    return float(torch.special.ndtri(each).square().mean().sqrt())


def chosen(noise: torch.Tensor, pool: torch.Tensor) -> torch.Tensor:
    """Strings of a pool, one for each number of standard normal noise.

    Args:
        noise: (...) float32.
        pool: (strings, wires) uint8.

    Returns:
        (..., wires) uint8; each string with the same chance.
    """
    at = (torch.special.ndtr(noise.double()) * len(pool)).long().clamp(max=len(pool) - 1)
    return pool[at]


def fair(n: int, wires: int, seed: int) -> Bits:
    """(n, wires) fair and independent bits from numpy's PCG64."""
    return np.random.Generator(np.random.PCG64(seed)).integers(0, 2, (n, wires), dtype=np.uint8)


def moments(bits: Bits) -> tuple[Float, Float]:
    """Chances of a 1 (wires,), and of two 1s together (wires, wires), of strings (n, wires)."""
    x = bits.astype(np.float64)
    return x.mean(0), x.T @ x / len(x)


# -- the classical copula: normal numbers cut at a threshold have any marginals and pair correlations ------------


def copula(ones: Float, pairs: Float) -> tuple[Float, Float, float]:
    """Normal numbers whose signs have the given chances (Emrich and Piedmonte, Am. Stat. 45, 302, 1991).

    Args:
        ones: (wires,) chance of a 1.
        pairs: (wires, wires) chance of two 1s together.

    Returns:
        thresholds (wires,); a root (wires, wires): bit = [root @ normal < threshold]; and by how much, at most, pair
        chances had to be given up because no normal numbers have them all (0 where they do).
    """
    # a bit that never changes has no finite threshold; 1e-4 is below what a pool of strings can show
    p = np.clip(ones, 1e-4, 1 - 1e-4)
    h = torch.special.ndtri(torch.from_numpy(p)).numpy()
    n = len(p)
    rows, columns = np.triu_indices(n, 1)
    low, high = np.full(len(rows), -0.999), np.full(len(rows), 0.999)
    for _ in range(50):  # `both` grows with the correlation
        middle = (low + high) / 2
        less = both(h[rows], h[columns], middle) < pairs[rows, columns]
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    wanted = np.eye(n)
    wanted[rows, columns] = wanted[columns, rows] = (low + high) / 2
    values, vectors = np.linalg.eigh(wanted)
    root = vectors * np.sqrt(np.maximum(values, 0))
    root /= np.linalg.norm(root, axis=1, keepdims=True)
    had = (root @ root.T)[rows, columns]
    lost = np.abs(both(h[rows], h[columns], had) - both(h[rows], h[columns], wanted[rows, columns]))
    return h, root, float(lost.max(initial=0.0))


def both(h: Float, k: Float, r: Float) -> Float:
    """P(X < h, Y < k) of standard normal X, Y with correlation r, elementwise.

    Plackett's identity (Biometrika 41, 351, 1954), integrated over the angle asin(r) by Gauss-Legendre.
    """
    a, b = (torch.special.ndtr(torch.from_numpy(np.asarray(x, dtype=np.float64))).numpy() for x in (h, k))
    end = np.arcsin(r)[..., None]
    angle = end * (_NODES + 1) / 2
    h, k = np.asarray(h)[..., None], np.asarray(k)[..., None]
    inside = np.exp(-(h * h - 2 * h * k * np.sin(angle) + k * k) / (2 * np.cos(angle) ** 2))
    out: Float = a * b + (inside * _WEIGHTS).sum(-1) * end[..., 0] / 2 / (2 * np.pi)
    return out


def copula_strings(thresholds: Float, root: Float, n: int, seed: int) -> Bits:
    """(n, wires) strings of the copula, from numpy's PCG64."""
    normal = np.random.Generator(np.random.PCG64(seed)).standard_normal((n, root.shape[1]))
    return (normal @ root.T < thresholds).astype(np.uint8)
