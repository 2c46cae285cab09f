"""The observable whose expectation value is a loss: measured observables weighted by a cotangent (imports PennyLane).

One per row, so that one adjoint pass per row is enough however many numbers the measurement has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml

from qimg_core.circuit.gates import GateName, matrix
from qimg_core.measurement import Expectation, LocalStates, Probabilities
from qimg_pennylane.exact import observable
from qimg_pennylane.noise import PAULIS
from qimg_pennylane.states import apply

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.measurement import Measurement

    Floats = npt.NDArray[np.float64]
    Complex = npt.NDArray[np.complex128]


class Weighted(ABC):
    """H = sum_k c_k O_k for every row of a cotangent c (rows, width)."""

    @abstractmethod
    def observable(self, row: int) -> Any:
        """H as PennyLane's; coefficients by row, everything else shared."""

    @abstractmethod
    def times(self, row: int, state: Complex) -> Complex:
        """H applied to amplitudes (2**n,)."""


class WeightedWords(Weighted):
    """Pauli words with coefficients; equal words are one."""

    def __init__(self, measurement: Expectation, c: Floats) -> None:
        self._words = list(dict.fromkeys(t.factors for t in measurement.terms))
        self._coefficients = np.zeros((len(c), len(self._words)))
        for k, term in enumerate(measurement.terms):
            self._coefficients[:, self._words.index(term.factors)] += term.coefficient * c[:, k]
        self._terms = [observable(word) if word else qml.Identity(0) for word in self._words]

    def observable(self, row: int) -> Any:
        return qml.Hamiltonian(self._coefficients[row], self._terms)

    def times(self, row: int, state: Complex) -> Complex:
        total = np.zeros_like(state)
        for coefficient, word in zip(self._coefficients[row], self._words, strict=True):
            moved = state
            for wire, letter in word:
                moved = apply(moved, matrix(GateName(letter.lower())), (wire,))
            total += coefficient * moved
        return total


class WeightedWindows(Weighted):
    """One Hermitian matrix per window: sum_P c_P P over its 4**k words (far fewer terms than words)."""

    def __init__(self, measurement: LocalStates, c: Floats) -> None:
        self._windows = measurement.windows
        ends = measurement.offsets[1:]
        starts = measurement.offsets[:-1]
        self._matrices = [_hermitian(c[:, a:b], len(w)) for a, b, w in zip(starts, ends, self._windows, strict=True)]

    def observable(self, row: int) -> Any:
        pairs = zip(self._matrices, self._windows, strict=True)
        return qml.Hamiltonian(np.ones(len(self._windows)), [qml.Hermitian(m[row], wires=w) for m, w in pairs])

    def times(self, row: int, state: Complex) -> Complex:
        total = np.zeros_like(state)
        for m, window in zip(self._matrices, self._windows, strict=True):
            total += apply(state, m[row], window)
        return total


class WeightedDistribution(Weighted):
    """A diagonal: sum_b c_b |b><b| on the measured wires."""

    def __init__(self, measurement: Probabilities, c: Floats, wires: int) -> None:
        self._c, self._wires = c, wires
        everything = np.arange(2**wires)
        self._index = np.zeros(2**wires, dtype=np.int64)
        for w in measurement.wires:
            self._index = 2 * self._index + ((everything >> (wires - 1 - w)) & 1)

    def _diagonal(self, row: int) -> Complex:
        return np.asarray(self._c[row][self._index], dtype=np.complex128)

    def observable(self, row: int) -> Any:
        from scipy.sparse import csr_matrix

        size = 2**self._wires
        sparse = csr_matrix((self._diagonal(row), np.arange(size), np.arange(size + 1)))
        return qml.SparseHamiltonian(sparse, wires=range(self._wires))

    def times(self, row: int, state: Complex) -> Complex:
        return self._diagonal(row) * state


def weighted(measurement: Measurement, c: Floats, wires: int) -> Weighted | None:
    """The weighted observables of a measurement on ``wires`` wires; None for states and samples."""
    if isinstance(measurement, Expectation):
        return WeightedWords(measurement, c)
    if isinstance(measurement, LocalStates):
        return WeightedWindows(measurement, c)
    return WeightedDistribution(measurement, c, wires) if isinstance(measurement, Probabilities) else None


def _hermitian(block: Floats, k: int) -> Complex:
    """sum_P c_P P for every row: (rows, 4**k) -> (rows, 2**k, 2**k)."""
    rows = len(block)
    table = block.reshape(rows, 1, 1, -1).astype(complex)
    for _ in range(k):  # one wire at a time, first wire most significant
        _, a, b, rest = table.shape
        split = table.reshape(rows, a, b, 4, rest // 4)
        table = np.einsum("xabpr,pij->xaibjr", split, PAULIS).reshape(rows, 2 * a, 2 * b, rest // 4)
    return np.asarray(table[..., 0], dtype=np.complex128)
