"""Between matrices and Pauli vectors (imports torch, numpy).

A Pauli vector has index base-4 over the wires, first most significant, digits I, X, Y, Z.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

# Tr(M P) of one wire from the entries of M in the order 00, 01, 10, 11; rows are P = I, X, Y, Z
_TRACES = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1j, -1j, 0], [1, 0, 0, -1]])
_ENTRIES = _TRACES.conj().T / 2  # its inverse: M = sum_P Tr(M P) P / 2
_OUTCOMES = np.array([[0.5, 0.5], [0.5, -0.5]])  # probabilities of +1 and -1 from 1 and <P>


def on_each_wire(flat: Tensor, k: int, table: npt.NDArray[Any] | Sequence[npt.NDArray[Any]]) -> Tensor:
    """Apply a square table to every digit of the last axis, three digits at a time.

    Args:
        flat: (..., base**k).
        k: how many digits.
        table: (base, base) for all digits, or one such table for each, first digit first.
    """
    tables = [table] * k if isinstance(table, np.ndarray) else table
    shape, done, base = flat.shape, 0, len(tables[0])
    while done < k:
        step = min(3, k - done)
        found = tuple((digit.dtype.str, digit.tobytes()) for digit in tables[done : done + step])
        block = _block(found, base, flat.dtype, flat.device)
        flat = torch.matmul(block, flat.reshape(-1, base**step, base ** (k - done - step)))
        done += step
    return flat.reshape(shape)


@lru_cache(maxsize=256)
def _block(tables: tuple[tuple[str, bytes], ...], base: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """The Kronecker product of square tables, each given as dtype and bytes."""
    out = np.ones((1, 1))
    for kind, content in tables:
        out = np.kron(out, np.frombuffer(content, dtype=kind).reshape(base, base))
    with torch.inference_mode(False):  # it outlives the mode of the first caller
        return torch.tensor(out if dtype.is_complex else out.real, dtype=dtype, device=device)


@lru_cache(maxsize=1024)
def _in_basis(basis: tuple[int, ...], device: torch.device) -> Tensor:
    """Where the Pauli strings lie that have I or the basis' letter on each wire, first wire most significant."""
    index = np.zeros(1, dtype=np.int64)
    for letter in basis:
        index = (index[:, None] * 4 + np.array([0, letter])[None]).reshape(-1)
    with torch.inference_mode(False):
        return torch.tensor(index, device=device)


def pauli_vector(matrices: Tensor) -> Tensor:
    """Tr(M P) for every Pauli string P: complex Hermitian (..., 2**k, 2**k) -> real (..., 4**k).

    Of a density matrix these are the expectation values; of an observable they are 2**k times its
    coefficients.
    """
    k = matrices.shape[-1].bit_length() - 1
    lead = matrices.shape[:-2]
    side_by_side = [axis for w in range(k) for axis in (w, k + w)]
    flat = matrices.reshape(-1, *(2,) * (2 * k)).permute(0, *(1 + a for a in side_by_side))
    return on_each_wire(flat.reshape(*lead, 4**k), k, _TRACES).real


def density_matrix(vector: Tensor) -> Tensor:
    """The inverse for states: rho = 2**-k sum_P <P> P, real (..., 4**k) -> complex (..., 2**k, 2**k)."""
    k = (vector.shape[-1].bit_length() - 1) // 2
    lead = vector.shape[:-1]
    flat = on_each_wire(vector.to(torch.promote_types(vector.dtype, torch.complex32)), k, _ENTRIES)
    apart = [2 * w for w in range(k)] + [2 * w + 1 for w in range(k)]
    return flat.reshape(-1, *(2,) * (2 * k)).permute(0, *(1 + a for a in apart)).reshape(*lead, 2**k, 2**k)


def distribution(vector: Tensor, basis: Sequence[int]) -> Tensor:
    """Probabilities of the outcomes when each wire is measured in its own Pauli basis.

    Args:
        vector: Pauli vectors (rows, 4**k).
        basis: per wire 1, 2 or 3 for X, Y or Z.

    Returns:
        (rows, 2**k), bit 0 for the eigenvalue +1.
    """
    picked = vector.index_select(1, _in_basis(tuple(basis), vector.device))
    return on_each_wire(picked, len(basis), _OUTCOMES)


def contract(vectors: Tensor, windows: Sequence[tuple[int, ...]], readout: Sequence[Tensor]) -> Tensor:
    """<H> (rows, sum K) of read-out matrices from the windows' Pauli vectors (rows, sum 4**k)."""
    out, at = [], 0
    for window, h in zip(windows, readout, strict=True):
        size = 4 ** len(window)
        coefficients = pauli_vector(h).to(vectors.dtype) / 2 ** len(window)
        out.append(vectors[:, at : at + size] @ coefficients.t())
        at += size
    return torch.cat(out, 1)
