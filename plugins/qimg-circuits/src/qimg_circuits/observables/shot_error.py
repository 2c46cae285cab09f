"""The variance of a shot estimate of a read-out of local states (numpy)."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from qimg_core.execution import FloatArray


def shot_variance(coefficients: FloatArray, pauli_vectors: FloatArray | None) -> FloatArray:
    """Variance of sum_P coefficient_P <P> for one shot in each of the 3**k bases.

    In basis B an outcome o gives the number f_B(o) = sum over the Paulis P that B contains of
    coefficient_P / 3**(identities of P) times the sign of o, and the estimate is the sum over B of
    the means of f_B. Bases are independent, so their variances add.

    Args:
        coefficients: (K, 4**k), as `pauli_coefficients` gives them.
        pauli_vectors: (rows, 4**k), the states; None for the bound (max f_B - min f_B)**2 / 4 of
            each basis (Popoviciu), which holds in every state.

    Returns:
        (rows, K), or (1, K) for the bound. Estimated vectors may have outcomes of small negative
        "probability"; the variance of a basis is then cut off at 0.
    """
    size = coefficients.shape[1]
    k = (size.bit_length() - 1) // 2
    signs = _signs(k)
    rows = 1 if pauli_vectors is None else len(pauli_vectors)
    total = np.zeros((rows, len(coefficients)))
    for basis in itertools.product((1, 2, 3), repeat=k):
        members, identities = _members(basis)
        outcomes = (coefficients[:, members] / 3.0**identities) @ signs  # (K, 2**k)
        if pauli_vectors is None:
            total += (outcomes.max(axis=1) - outcomes.min(axis=1)) ** 2 / 4
            continue
        probabilities = pauli_vectors[:, members] @ signs / 2**k  # (rows, 2**k)
        mean = probabilities @ outcomes.T
        total += np.maximum(probabilities @ (outcomes**2).T - mean**2, 0.0)
    return total


def _members(basis: tuple[int, ...]) -> tuple[list[int], FloatArray]:
    """Index of the Pauli on each subset of the wires in this basis, and how many identities it has."""
    index, identities = [], []
    for subset in itertools.product((0, 1), repeat=len(basis)):
        digits = [letter * on for letter, on in zip(basis, subset, strict=True)]
        index.append(int("".join(map(str, digits)), 4))
        identities.append(float(subset.count(0)))
    return index, np.array(identities)


def _signs(k: int) -> FloatArray:
    """(subset, outcome): (-1)**(subset . outcome)."""
    one = np.array([[1.0, 1.0], [1.0, -1.0]])
    out = np.ones((1, 1))
    for _ in range(k):
        out = np.kron(out, one)
    return out
