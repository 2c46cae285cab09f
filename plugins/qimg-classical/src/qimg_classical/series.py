"""A sum of cosines: what both kinds of surrogate are (imports numpy).

``f(x) = intercept + sum_k coefficient_k cos(frequency_k . x + phase_k)``. A Fourier series takes the circuit's own
frequencies with the phases 0 and -pi/2 (cosine and sine); random Fourier features draw both (Rahimi and Recht 2007,
"Random Features for Large-Scale Kernel Machines", NIPS 20).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from qimg_core.execution import FloatArray

_ROWS = 4096


@frozen(eq=False)
class Cosines:
    """Features ``cos(x . frequencies^T + phases)``.

    Args:
        frequencies: float64 (features, inputs).
        phases: float64 (features,).
    """

    frequencies: FloatArray
    phases: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """(rows, inputs) -> (rows, features)."""
        return np.asarray(np.cos(x @ self.frequencies.T + self.phases))

    @property
    def count(self) -> int:
        return len(self.phases)


def fourier_features(vectors: FloatArray) -> Cosines:
    """Cosine and sine of each frequency vector, (vectors, inputs)."""
    phases = np.repeat([0.0, -np.pi / 2], len(vectors))
    return Cosines(np.concatenate([vectors, vectors]), phases)


def random_features(inputs: FloatArray, count: int, width: float, seed: int) -> Cosines:
    """Random features of a Gaussian kernel, ``exp(-|x - y|^2 / (2 width^2))`` of inputs in units of their spread.

    Args:
        inputs: (rows, inputs) whose standard deviations are the units.
        count: how many features.
        width: of the kernel.
        seed: of frequencies and phases.
    """
    spread = inputs.std(0)
    spread[spread == 0] = 1.0
    rng = np.random.Generator(np.random.PCG64(seed))
    frequencies = rng.standard_normal((count, inputs.shape[1])) / (width * spread)
    return Cosines(frequencies, rng.uniform(0, 2 * np.pi, count))


@frozen(eq=False)
class Series:
    """A fitted sum of cosines for several outputs.

    Args:
        features: shared by the outputs.
        coefficients: float64 (features, outputs).
        intercept: float64 (outputs,).
    """

    features: Cosines
    coefficients: FloatArray
    intercept: FloatArray

    def __call__(self, x: FloatArray) -> FloatArray:
        """(rows, inputs) -> (rows, outputs)."""
        out = np.empty((len(x), len(self.intercept)))
        for at in range(0, len(x), _ROWS):
            out[at : at + _ROWS] = self.features(x[at : at + _ROWS]) @ self.coefficients + self.intercept
        return out
