"""Hermitian matrices from real parameters, and their Pauli coefficients (numpy and torch alike)."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_circuits.arrays import like, namespace

if TYPE_CHECKING:
    import numpy.typing as npt

_PAULIS = np.array([[[1, 0], [0, 1]], [[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])


def hermitian(parameters: Any) -> Any:
    """(K, d, d) real -> (K, d, d) complex Hermitian.

    The real d x d array of a matrix holds c_ii on its diagonal, a_ij above and b_ij, mirrored, below:
    H_ii = c_ii, and H_ij = a_ij + i b_ij = conj(H_ji) for i < j with b_ij at row j, column i.
    """
    above, on, below = (like(parameters, mask) for mask in _masks(parameters.shape[-1]))
    xp = namespace(parameters)
    a, b = parameters * above, parameters * below
    real = a + xp.swapaxes(a, 1, 2) + parameters * on
    imaginary = xp.swapaxes(b, 1, 2) - b
    return real + 1j * imaginary


@cache
def _masks(d: int) -> tuple[npt.NDArray[np.bool_], ...]:
    ones = np.ones((d, d), dtype=bool)
    return np.triu(ones, 1), np.eye(d, dtype=bool), np.tril(ones, -1)


def parameters_of(matrices: npt.NDArray[np.complex128]) -> npt.NDArray[np.float64]:
    """The inverse of `hermitian`, numpy: M may be any (K, d, d); it stands for (M + M^dag) / 2."""
    h = (matrices + np.conj(np.swapaxes(matrices, 1, 2))) / 2
    above, on, below = _masks(h.shape[-1])
    return np.asarray(h.real * (above | on) + np.swapaxes(h.imag, 1, 2) * below)


def diagonal(parameters: Any) -> Any:
    """(K, d) real -> (K, d, d) complex diagonal matrices."""
    eye = like(parameters, np.eye(parameters.shape[1], dtype=bool))
    return parameters[:, :, None] * eye + 0j


def pauli_coefficients(matrices: Any) -> Any:
    """(K, 2**k, 2**k) Hermitian -> (K, 4**k) real: 2**-k Tr(P H), so that Tr(rho H) = sum_P <P> coefficient.

    Order of P as in `LocalStates`: first wire most significant, I, X, Y, Z = 0, 1, 2, 3.
    """
    xp = namespace(matrices)
    count, d = matrices.shape[0], matrices.shape[1]
    paulis = like(matrices, _PAULIS)
    if paulis.dtype != matrices.dtype:
        paulis = paulis.to(matrices.dtype) if xp is not np else paulis.astype(matrices.dtype)
    out, rest = matrices.reshape(count, d, d, 1), d
    while rest > 1:
        rest //= 2
        out = out.reshape(count, 2, rest, 2, rest, -1)
        out = xp.einsum("kiajbd,pji->kabdp", out, paulis).reshape(count, rest, rest, -1)
    return out.reshape(count, -1).real / d
