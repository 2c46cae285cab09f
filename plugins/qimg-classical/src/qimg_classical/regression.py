"""Least squares with a ridge, and its leave-one-out error (imports numpy).

One singular value decomposition serves every strength of the ridge; the leave-one-out residual of row i is
``residual_i / (1 - H_ii)`` with the hat matrix H (Hastie, Tibshirani, Friedman, "The Elements of Statistical
Learning", 2nd ed., section 7.10). The intercept is not penalised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.execution import FloatArray

STRENGTHS = (1e-13, 1e-10, 1e-8, 1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
"""Ridges that are tried, in units of the largest squared singular value."""
_SATURATED = 1e-9


@frozen(eq=False)
class Ridge:
    """One solution.

    Args:
        strength: in units of the largest squared singular value.
        coefficients: (features, outputs).
        intercept: (outputs,).
        residuals: leave-one-out residuals (rows, outputs); infinite where a row decides its own value.
    """

    strength: float
    coefficients: FloatArray
    intercept: FloatArray
    residuals: FloatArray


def ridges(features: FloatArray, targets: FloatArray) -> Iterator[Ridge]:
    """A solution for each of `STRENGTHS`.

    Args:
        features: (rows, features).
        targets: (rows, outputs).
    """
    middle, mean = features.mean(0), targets.mean(0)
    u, s, vt = np.linalg.svd(features - middle, full_matrices=False)
    top = float(s[0] ** 2) if len(s) and s[0] > 0 else 1.0
    turned = u.T @ (targets - mean)
    for strength in STRENGTHS:
        shrunk = s / (s**2 + strength * top)
        fitted = u @ ((s * shrunk)[:, None] * turned) + mean
        free = 1 - 1 / len(features) - (u**2) @ (s * shrunk)
        with np.errstate(divide="ignore", invalid="ignore"):
            residuals = np.where(free[:, None] > _SATURATED, (targets - fitted) / free[:, None], np.inf)
        coefficients = vt.T @ (shrunk[:, None] * turned)
        yield Ridge(strength, coefficients, mean - middle @ coefficients, residuals)
