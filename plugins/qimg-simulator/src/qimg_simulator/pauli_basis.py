"""Between matrices and Pauli vectors (imports torch, numpy).

A Pauli vector has index base-4 over the wires, first most significant, digits I, X, Y, Z.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# Tr(M P) of one wire from the entries of M in the order 00, 01, 10, 11; rows are P = I, X, Y, Z
_TRACES = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1j, -1j, 0], [1, 0, 0, -1]])
_ENTRIES = _TRACES.conj().T / 2  # its inverse: M = sum_P Tr(M P) P / 2


def _on_each_wire(flat: Tensor, k: int, table: np.ndarray[tuple[int, int], np.dtype[np.complex128]]) -> Tensor:
    """Apply a 4x4 table to every base-4 digit of the last axis, three digits at a time."""
    shape, done = flat.shape, 0
    while done < k:
        step = min(3, k - done)
        block = np.ones((1, 1))
        for _ in range(step):
            block = np.kron(block, table)
        t = torch.tensor(block, dtype=flat.dtype, device=flat.device)
        flat = torch.matmul(t, flat.reshape(-1, 4**step, 4 ** (k - done - step)))
        done += step
    return flat.reshape(shape)


def pauli_vector(matrices: Tensor) -> Tensor:
    """Tr(M P) for every Pauli string P: complex Hermitian (..., 2**k, 2**k) -> real (..., 4**k).

    Of a density matrix these are the expectation values; of an observable they are 2**k times its
    coefficients.
    """
    k = matrices.shape[-1].bit_length() - 1
    lead = matrices.shape[:-2]
    side_by_side = [axis for w in range(k) for axis in (w, k + w)]
    flat = matrices.reshape(-1, *(2,) * (2 * k)).permute(0, *(1 + a for a in side_by_side))
    return _on_each_wire(flat.reshape(*lead, 4**k), k, _TRACES).real


def density_matrix(vector: Tensor) -> Tensor:
    """The inverse for states: rho = 2**-k sum_P <P> P, real (..., 4**k) -> complex (..., 2**k, 2**k)."""
    k = (vector.shape[-1].bit_length() - 1) // 2
    lead = vector.shape[:-1]
    flat = _on_each_wire(vector.to(torch.promote_types(vector.dtype, torch.complex32)), k, _ENTRIES)
    apart = [2 * w for w in range(k)] + [2 * w + 1 for w in range(k)]
    return flat.reshape(-1, *(2,) * (2 * k)).permute(0, *(1 + a for a in apart)).reshape(*lead, 2**k, 2**k)


def contract(vectors: Tensor, windows: tuple[tuple[int, ...], ...], readout: tuple[Tensor, ...]) -> Tensor:
    """<H> (rows, sum K) of read-out matrices from the windows' Pauli vectors (rows, sum 4**k)."""
    out, at = [], 0
    for window, h in zip(windows, readout, strict=True):
        size = 4 ** len(window)
        out.append(vectors[:, at : at + size] @ pauli_vector(h).t() / 2 ** len(window))
        at += size
    return torch.cat(out, 1)
