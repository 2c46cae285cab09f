"""Zero-noise extrapolation of numbers measured at several noise factors (imports errors; numpy inside functions).

Linear and Richardson extrapolation (Temme et al. 2017, arXiv:1612.02058) are weighted sums of the measured values;
the exponential (Endo et al. 2018, arXiv:1712.09271; Giurgica-Tiron et al. 2020, arXiv:2005.10921) is A exp(-b x),
decaying to zero as depolarization lets Pauli words decay, fitted by least squares to the logarithms.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import FloatArray
    from qimg_core.mitigation import Extrapolation


@frozen(eq=False)
class Extrapolated:
    """Values at noise factor 0.

    Args:
        values: of any shape.
        slopes: ``(factors, *shape)``, derivative of the value by each measured number, for error propagation.
        fitted: what was fitted besides the value: the line's slope, or the decay b; NaN for Richardson.
        exponential: where the exponential was used.
    """

    values: FloatArray
    slopes: FloatArray
    fitted: FloatArray
    exponential: Any


def weights(factors: Sequence[int], how: Extrapolation) -> FloatArray:
    """(factors,): the value at 0 is the sum of these times the measured values; for the exponential, of logarithms.

    Linear: ordinary least squares, 1/n - mean(x) (x_j - mean(x)) / sum (x - mean(x))**2. Richardson: Lagrange's
    polynomial at 0, prod_k x_k / (x_k - x_j). They sum to 1.
    """
    import numpy as np

    x = np.asarray(factors, dtype=float)
    if how == "richardson":
        return np.array([np.prod([b / (b - a) for b in x if b != a]) for a in x])
    return np.asarray(1 / len(x) - x.mean() * _line(x))


def extrapolate(
    measured: FloatArray, factors: Sequence[int], how: Extrapolation, errors: FloatArray | None = None
) -> Extrapolated:
    """Extrapolate each number on its own.

    The exponential gives way to the line where it makes no sense: the numbers differ in sign, one is zero within two
    standard errors, or the value would leave [-1, 1], where Pauli words live, by more than two standard errors.

    Args:
        measured: ``(factors, *shape)``, Pauli words without their coefficients.
        factors: noise factors, increasing.
        how: see `qimg_core.mitigation`.
        errors: standard errors of ``measured``; None where it is exact.
    """
    import numpy as np

    x, c = np.asarray(factors, dtype=float), weights(factors, how)
    by_line = c if how != "exponential" else weights(factors, "linear")
    line = np.tensordot(by_line, measured, 1)
    slopes = np.broadcast_to(by_line.reshape(-1, *[1] * line.ndim), measured.shape).copy()
    fitted = np.full(line.shape, np.nan) if how == "richardson" else np.tensordot(_line(x), measured, 1)
    if how != "exponential":
        return Extrapolated(line, slopes, fitted, np.zeros(line.shape, dtype=bool))
    least = 1e-12 if errors is None else np.maximum(2 * errors, 1e-12)
    safe = (np.abs(measured) > least).all(0) & (np.abs(np.sign(measured).sum(0)) == len(x))
    logs = np.log(np.where(safe, np.abs(measured), 1.0))
    amplitude = np.sign(measured[0]) * np.exp(np.tensordot(c, logs, 1))
    steep = amplitude * c.reshape(-1, *[1] * line.ndim) / np.where(safe, measured, 1.0)
    slack = 1e-9 if errors is None else 2 * np.sqrt((steep**2 * errors**2).sum(0))
    safe = safe & (np.abs(amplitude) <= 1 + slack)
    return Extrapolated(
        np.where(safe, amplitude, line),
        np.where(safe, steep, slopes),
        np.where(safe, -np.tensordot(_line(x), logs, 1), fitted),
        safe,
    )


def _line(x: FloatArray) -> FloatArray:
    """(factors,): the slope of the least-squares line is the sum of these times the values."""
    away = x - x.mean()
    slope: FloatArray = away / (away**2).sum()
    return slope
