"""What the numbers of a measurement can be: bounds, and columns that are 1 by definition (imports qimg_core, numpy)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qimg_core.measurement import Expectation, LocalStates, Probabilities

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.execution import FloatArray
    from qimg_core.measurement import Measurement


def learnable(measurement: Measurement) -> bool:
    """Whether the numbers are smooth functions of the inputs: no samples, no states."""
    return isinstance(measurement, (Expectation, LocalStates, Probabilities))


def free_columns(measurement: Measurement) -> npt.NDArray[np.bool_]:
    """Which outputs can vary, bool (outputs,): False where <I> = 1 by definition, which says nothing of an error."""
    free = np.ones(measurement.width, dtype=bool)
    if isinstance(measurement, LocalStates):
        free[list(measurement.offsets[:-1])] = False
    elif isinstance(measurement, Expectation):
        free[[not t.factors for t in measurement.terms]] = False
    return free


def possible(measurement: Measurement, values: FloatArray) -> FloatArray:
    """The nearest numbers that the measurement can have, (rows, outputs).

    Expectation values within their bounds; distributions by Euclidean projection on the simplex (Held, Wolfe,
    Crowder 1974). A projection on a convex set that holds the truth takes nothing farther from it.
    """
    if isinstance(measurement, Probabilities):
        return _on_simplex(values)
    if isinstance(measurement, Expectation):
        bound = np.array([abs(t.coefficient) for t in measurement.terms])
        values = np.clip(values, -bound, bound)
        fixed = np.array([t.coefficient for t in measurement.terms])
    else:
        values = np.clip(values, -1.0, 1.0)
        fixed = np.ones(measurement.width)
    return np.where(free_columns(measurement), values, fixed)


def _on_simplex(values: FloatArray) -> FloatArray:
    falling = -np.sort(-values, axis=1)
    excess = (np.cumsum(falling, axis=1) - 1) / np.arange(1, values.shape[1] + 1)
    last = (falling > excess).sum(axis=1) - 1
    return np.asarray(np.maximum(values - np.take_along_axis(excess, last[:, None], 1), 0.0))
