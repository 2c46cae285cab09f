"""Where sampling starts: normal numbers, or latents made of a circuit's bit strings (imports qimg_core, torch, numpy).

A string has one bit for each latent number. ``depth`` strings make a binary fraction for each, first string most
significant, and the fraction's place in the normal distribution is the number (the copula map of arXiv:2507.01886):
wires whose bits are correlated give correlated latents. The circuit is taught the means and the pair correlations of
the signs of real latents, which is read in one basis; it is a Born machine whose strings are drawn as shots, once for
as many images as one likes.
"""

from __future__ import annotations

from abc import abstractmethod
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np
import torch

from qimg_circuits.observables.pauli_strings import PauliStrings
from qimg_core.circuit import PauliString
from qimg_core.circuit.pauli import each
from qimg_diffusion.bit_strings import fair_layer, strings_of
from qimg_diffusion.layers import ArmMap, ClassicalMap

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.session import Session
    from qimg_core.torch_layer import QuantumLayer

    Bits = npt.NDArray[np.uint8]

MOST_BITS = 16
DEEPEST = 16


class Source(ArmMap):
    """Bit strings with a trained law. Its layer has no rows: nothing goes in."""

    @abstractmethod
    def forward(self) -> torch.Tensor:
        """Means of the signs (+1 for a bit 0) and of their products in pairs: (bits + bits (bits - 1) / 2,)."""

    @abstractmethod
    def strings(self, n: int, seed: int) -> Bits:
        """(n, bits) of 0 and 1."""


class CircuitSource(Source):
    """H on every wire, so that bits are fair at first, strongly entangling layers, measured in the Z basis.

    Args:
        session: runs it.
        bits: wires.
        layers: of the circuit.
        entangled: with its two-wire gates.
        seed: of its initial weights.
        frozen: the weights stay there.
    """

    quantum: QuantumLayer

    def __init__(self, session: Session, bits: int, layers: int, *, entangled: bool, seed: int, frozen: bool) -> None:
        super().__init__()
        self.session = session
        pairs = [PauliString(((i, "Z"), (j, "Z"))) for i, j in combinations(range(bits), 2)]
        self.quantum = fair_layer(
            session,
            bits,
            layers,
            PauliStrings([*each("Z", range(bits)), *pairs]),
            entangled=entangled,
            seed=seed,
            label="start",
            frozen=frozen,
        )

    def forward(self) -> torch.Tensor:
        """See `Source.forward`: one request of one row."""
        out: torch.Tensor = self.quantum(self.quantum.weights.new_zeros(1, 0))[0]
        return out

    def strings(self, n: int, seed: int) -> Bits:
        """See `strings_of`."""
        return strings_of(self.quantum, n, seed)


class ClassicalSource(Source):
    """The twin: a perceptron gives the logarithm of each string's chance, normalised over all strings.

    Args:
        bits: of a string.
        parameters: how many trained numbers.
    """

    quantum = None
    signs: torch.Tensor

    def __init__(self, bits: int, parameters: int) -> None:
        super().__init__()
        index = torch.arange(2**bits)
        found = 1.0 - 2.0 * (index[:, None] >> torch.arange(bits - 1, -1, -1) & 1)
        self.register_buffer("signs", found, persistent=False)
        self.layer = ClassicalMap(bits, 1, parameters=parameters)

    def law(self) -> torch.Tensor:
        """Chances of all strings, (2**bits,), first bit most significant."""
        out: torch.Tensor = self.layer(self.signs)[:, 0].softmax(0)
        return out

    def forward(self) -> torch.Tensor:
        """See `Source.forward`."""
        return moments(self.signs, self.law())

    def strings(self, n: int, seed: int) -> Bits:
        """Drawn by numpy's PCG64."""
        with torch.no_grad():
            law = self.law().double().numpy()
        drawn = np.random.Generator(np.random.PCG64(seed)).choice(len(law), n, p=law / law.sum())
        bits: Bits = (self.signs.numpy()[drawn] < 0).astype(np.uint8)
        return bits


def moments(signs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Means of signs (n, bits) and of their products in pairs, by weights (n,) that add up to 1."""
    weighted = weights[:, None] * signs
    rows, columns = torch.triu_indices(signs.shape[1], signs.shape[1], 1)
    return torch.cat([weighted.sum(0), (weighted.T @ signs)[rows, columns]])


def signs_of(latents: torch.Tensor) -> torch.Tensor:
    """What a source learns of real latents (n, d): `moments` of their signs, as a bit 1 makes a number positive."""
    signs = torch.where(latents > 0, -1.0, 1.0).to(latents.dtype)
    return moments(signs, latents.new_full((len(latents),), 1 / len(latents)))


def latents_of(noise: torch.Tensor, pool: Bits) -> torch.Tensor:
    """Standard normal noise chooses strings, strings become latents.

    Shots are independent, so any choice of them is as good as the next: a small pool gives many latents, and a latent
    is a function of its noise.

    Args:
        noise: (n, depth).
        pool: (strings, bits).

    Returns:
        (n, bits) float32: ndtri(sum_s bit_s 2**-(s + 1) + 2**-(depth + 1)), divided so that fair and independent bits
        give spread 1.
    """
    at = (torch.special.ndtr(noise.double()) * len(pool)).long().clamp(max=len(pool) - 1)
    bits, depth = torch.from_numpy(pool)[at].double(), noise.shape[1]
    fraction = torch.einsum("nsw,s->nw", bits, 0.5 ** torch.arange(1, depth + 1, dtype=torch.float64))
    every = (torch.arange(2**depth, dtype=torch.float64) + 0.5) / 2**depth
    spread = torch.special.ndtri(every).square().mean().sqrt()
    out: torch.Tensor = (torch.special.ndtri(fraction + 0.5 ** (depth + 1)) / spread).float()
    return out
