"""A Born machine: a circuit whose measured bit strings are the sample (imports qimg_core, qimg_circuits, torch, numpy).

Its law is trained towards target strings by the maximum mean discrepancy (MMD) of exact or measured probabilities
(Liu and Wang, arXiv:1804.04168), or left as it started. Strings are then drawn as shots, in one request of one row:
what a device is asked for, once for as many images as one likes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from qimg_circuits.observables.probabilities import ProbabilityReadout
from qimg_core.errors import DataError
from qimg_diffusion.bit_strings import fair_layer, strings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from qimg_core.session import Session

    Bits = npt.NDArray[np.uint8]
    Pixels = npt.NDArray[np.floating]

KERNELS = (0.2, 0.5, 0.8)
"""What a wire in which two strings differ takes off their likeness, by kernel: a Gaussian of the Hamming distance d is
kappa**d. Small kappa compares whole strings, large kappa single wires and pairs."""


class BornMachine(torch.nn.Module):
    """The circuit, its law for training and its strings.

    Args:
        session: runs it.
        wires: bits of a string.
        layers: of the circuit.
        entangled: with its two-wire gates.
        seed: of its initial weights.
        frozen: the weights stay there.
    """

    def __init__(self, session: Session, wires: int, layers: int, *, entangled: bool, seed: int, frozen: bool) -> None:
        super().__init__()
        self.session = session
        law = ProbabilityReadout([*range(wires)])
        self.quantum = fair_layer(
            session, wires, layers, law, entangled=entangled, seed=seed, label="prior", frozen=frozen
        )

    def forward(self) -> torch.Tensor:
        """The law, (2**wires,), first wire most significant."""
        out: torch.Tensor = self.quantum(self.quantum.weights.new_zeros(1, 0))[0]
        return out

    def strings(self, n: int, seed: int) -> Bits:
        """See `strings_of`."""
        return strings_of(self.quantum, n, seed)


def law_of(strings: Bits) -> torch.Tensor:
    """Shares of the outcomes among strings (n, wires): (2**wires,), first wire most significant."""
    wires = strings.shape[1]
    outcomes = strings.astype(np.int64) @ (1 << np.arange(wires - 1, -1, -1))
    return torch.from_numpy(np.bincount(outcomes, minlength=2**wires) / len(strings)).float()


def mmd(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Squared maximum mean discrepancy of two laws (2**wires,), the mean over `KERNELS`; a scalar, 0 where they agree.

    The kernel matrix is a product over wires and is never built.

    Raises:
        DataError: shapes that differ or are no power of 2.
    """
    wires = p.numel().bit_length() - 1
    if p.shape != q.shape or p.numel() != 2**wires:
        raise DataError(f"wanted two laws of 2**wires outcomes, got {tuple(p.shape)} and {tuple(q.shape)}")
    d = p - q
    total = d.new_zeros(())
    for kappa in KERNELS:
        k = d.view([2] * wires)
        for w in range(wires):
            k = k + kappa * k.flip(w)
        total = total + (d * k.reshape(-1)).sum()
    return total / len(KERNELS)


def targets(parts: Iterable[Pixels], wires: int, seed: int) -> Bits:
    """Correlated strings of real images: on which side of its median each of ``wires`` random projections lies.

    Args:
        parts: all images, (n, h, w, c) after (n, h, w, c).
        wires: bits of a string.
        seed: of the projections.

    Returns:
        (images, wires): balanced bits, correlated as the images' main directions are.
    """
    rng, shadows, projections = np.random.Generator(np.random.PCG64(seed)), [], None
    for part in parts:
        flat = part.reshape(len(part), -1).astype(np.float64)
        if projections is None:
            projections = rng.standard_normal((flat.shape[1], wires))
        shadows.append(flat @ projections)
    shadow = np.concatenate(shadows)
    return (shadow > np.median(shadow, axis=0)).astype(np.uint8)
