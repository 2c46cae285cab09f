"""Reduced states and Pauli words of amplitudes and density matrices (imports numpy).

Batch first; wire 0 is the most significant bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Complex = npt.NDArray[np.complex128]
    Floats = npt.NDArray[np.float64]


def reduced(state: Complex, wires: Sequence[int]) -> Complex:
    """The state of some wires, complex (rows, 2**k, 2**k), first wire most significant.

    Args:
        state: amplitudes (rows, 2**n) or density matrices (rows, 2**n, 2**n).
        wires: k of the n.
    """
    rows, n, k = len(state), state.shape[1].bit_length() - 1, len(wires)
    rest = [w for w in range(n) if w not in wires]
    if state.ndim == 2:
        axes = [0, *(1 + w for w in (*wires, *rest))]
        block = state.reshape(rows, *(2,) * n).transpose(axes).reshape(rows, 2**k, -1)
        return np.asarray(block @ block.conj().transpose(0, 2, 1))
    axes = [0, *(1 + w for w in (*wires, *rest)), *(1 + n + w for w in (*wires, *rest))]
    block = state.reshape(rows, *(2,) * (2 * n)).transpose(axes).reshape(rows, 2**k, 2 ** (n - k), 2**k, 2 ** (n - k))
    return np.asarray(np.einsum("xaibi->xab", block))


def means(rho: Complex, factors: Sequence[Complex]) -> Floats:
    """Tr(rho O) for every product of one operator per wire, float64 (rows, product of counts).

    Args:
        rho: (rows, 2**k, 2**k).
        factors: per wire the operators (count, 2, 2); the first wire's index is most significant in the result.
    """
    table = rho[:, None]
    for operators in factors:
        rows, done, size, _ = table.shape
        split = table.reshape(rows, done, 2, size // 2, 2, size // 2)
        table = np.einsum("xdrRcC,pcr->xdpRC", split, operators).reshape(rows, -1, size // 2, size // 2)
    return np.asarray(table[:, :, 0, 0].real)


def apply(state: Complex, operator: Complex, wires: Sequence[int]) -> Complex:
    """An operator (2**k, 2**k) on some wires of amplitudes (2**n,)."""
    n, k = len(state).bit_length() - 1, len(wires)
    moved = np.moveaxis(state.reshape((2,) * n), wires, range(k))
    done = (operator @ moved.reshape(2**k, -1)).reshape((2,) * n)
    return np.asarray(np.moveaxis(done, range(k), wires).reshape(-1))
