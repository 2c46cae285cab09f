"""Finite shots from exact distributions, with seeds (imports numpy; torch for reshaping).

Everything is drawn from one numpy PCG64 stream, named by the request's seed, in a fixed order: rows
first within a distribution, then bases, then windows. Rows are independent.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from qimg_core.seeds import derive_seed
from qimg_simulator.pauli_basis import distribution

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    FloatArray = npt.NDArray[np.float64]
    Counts = npt.NDArray[np.int64]


def generator(seed: int | None) -> np.random.Generator:
    """The stream of a request; without a seed, a new one from the system's entropy."""
    return np.random.Generator(np.random.PCG64(None if seed is None else derive_seed(seed, "simulator", "shots")))


def _proper(p: Any) -> FloatArray:
    """Rounding may leave -1e-17 and sums off by 1e-16, which numpy's multinomial refuses."""
    out = np.clip(np.asarray(p, dtype=np.float64), 0.0, None)
    return np.asarray(out / out.sum(-1, keepdims=True))


def counts(rng: np.random.Generator, p: Tensor, shots: int) -> Counts:
    """How often each outcome came, int64 (rows, outcomes)."""
    return np.asarray(rng.multinomial(shots, _proper(p.double().cpu().numpy())), dtype=np.int64)


def samples(rng: np.random.Generator, p: Tensor, shots: int) -> npt.NDArray[np.uint8]:
    """(rows, shots, k) bits from distributions (rows, 2**k); shots are independent and in random order."""
    steps = np.cumsum(_proper(p.double().cpu().numpy()), axis=1)
    k = steps.shape[1].bit_length() - 1
    out = np.empty((len(steps), shots, k), dtype=np.uint8)
    for row, step in enumerate(steps):
        drawn = np.searchsorted(step[:-1], rng.random(shots), side="right")
        out[row] = (drawn[:, None] >> np.arange(k - 1, -1, -1)) & 1
    return out


def expectations(
    rng: np.random.Generator, exact: Tensor, scales: Sequence[float], shots: int
) -> tuple[FloatArray, Counts]:
    """Each term measured on its own with ``shots``: the mean of that many outcomes +1 and -1.

    Args:
        rng: the request's stream.
        exact: <P> (rows, terms) without the coefficients.
        scales: the coefficients.
        shots: per row and term.

    Returns:
        estimates (rows, terms), and how often +1 came.
    """
    up = np.clip((1 + exact.double().cpu().numpy()) / 2, 0.0, 1.0)
    plus = np.asarray(rng.binomial(shots, up), dtype=np.int64)
    return np.asarray((2 * plus / shots - 1) * np.array(scales)), plus


def pauli_vectors(rng: np.random.Generator, exact: Tensor, k: int, shots: int) -> tuple[FloatArray, Counts]:
    """A window's Pauli vector from shots in each of the 3**k bases.

    A Pauli string with letters on m of the k wires is read from all 3**(k - m) bases that agree with
    it, so its variance is (1 - <P>**2) / (shots * 3**(k - m)).

    Args:
        rng: the request's stream.
        exact: (rows, 4**k).
        k: wires of the window.
        shots: per row and basis.

    Returns:
        estimates (rows, 4**k), and the counts (rows, 3**k, 2**k).
    """
    total = np.zeros(exact.shape)
    hits = np.zeros(4**k)
    seen = []
    for basis in product((1, 2, 3), repeat=k):
        found = counts(rng, distribution(exact, basis), shots)
        seen.append(found)
        values, index = found / shots, np.zeros(1, dtype=np.int64)
        for wire, letter in enumerate(basis):  # signed sums over each subset of the wires
            view = values.reshape(len(values), 2**wire, 2, -1)
            values = np.stack([view[:, :, 0] + view[:, :, 1], view[:, :, 0] - view[:, :, 1]], 2).reshape(
                len(values), -1
            )
            index = (index[:, None] * 4 + np.array([0, letter])[None]).reshape(-1)
        total[:, index] += values
        hits[index] += 1
    return total / hits, np.stack(seen, 1)


def as_tensor(array: npt.NDArray[Any], like: Tensor) -> Tensor:
    """On the device of ``like``; real numbers in its precision, bits as uint8."""
    dtype = torch.uint8 if array.dtype == np.uint8 else like.dtype
    return torch.as_tensor(array, dtype=dtype, device=like.device)
