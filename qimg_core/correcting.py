"""The arithmetic of error mitigation: measured words in, corrected words and their errors out.

Imports circuit, measurement, confusion, extrapolation; numpy inside functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.circuit.gates import GateName, matrix
from qimg_core.confusion import Confusion, corrected, variance
from qimg_core.extrapolation import Extrapolated, extrapolate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.confusion import Words
    from qimg_core.execution import FloatArray
    from qimg_core.measurement import LocalStates
    from qimg_core.mitigation import Mitigation


@frozen(kw_only=True, eq=False)
class Corrected:
    """Pauli words without coefficients, (rows, width); identities are 1.

    Args:
        values: corrected.
        raw: as measured at noise factor 1.
        errors: standard errors of ``values``, those of the calibration included; meaningless without shots.
        amplification: variance over that of ``raw`` at the same number of shots; NaN where that is 0. Without
            shots that of many shots and a perfect calibration.
        by_factor: (factors, rows, width), freed of read-out errors.
        fitted: see `Extrapolated`.
        exponential: how many words were extrapolated by an exponential.
    """

    values: FloatArray
    raw: FloatArray
    errors: FloatArray
    amplification: FloatArray
    by_factor: FloatArray
    fitted: FloatArray
    exponential: int


def correct(
    asked: Words, measured: Sequence[FloatArray], confusion: Confusion, chosen: Mitigation, shots: int | None
) -> Corrected:
    """Free words of read-out errors at each noise factor, then extrapolate them to zero.

    Args:
        asked: the words, and where their sub-words stand.
        measured: per noise factor (rows, asked.measurement.width).
        confusion: read-out errors; empty for none.
        chosen: the methods.
        shots: per setting, row and factor; None for exact numbers.
    """
    import numpy as np

    shape = (len(measured[0]), asked.width)
    values, raw, by_factor = np.ones(shape), np.ones(shape), np.ones((len(measured), *shape))
    errors, amplification, fitted = np.zeros(shape), np.full(shape, np.nan), np.full(shape, np.nan)
    exponential = 0
    for group in asked.groups:
        at = group.entries
        found = [corrected(group, m, confusion) for m in measured]
        spread = np.stack([variance(group, m, confusion) for m in measured]) / (shots or 1)
        freed = np.stack([v for v, _ in found])
        zero = _to_zero(freed, chosen, None if shots is None else np.sqrt(spread))
        total = (zero.slopes**2 * spread).sum(0)
        for i, wire in enumerate(group.wires):
            for which, known in enumerate(confusion.variances(wire)):
                by_wire = np.stack([slopes[2 * i + which] for _, slopes in found])
                total += (zero.slopes * by_wire).sum(0) ** 2 * known
        before = variance(group, measured[0], Confusion()) / (shots or 1)
        some = before > 1e-12 / (shots or 1)
        values[:, at], by_factor[:, :, at], fitted[:, at] = zero.values, freed, zero.fitted
        raw[:, at], errors[:, at] = measured[0][:, group.columns[:, -1]], np.sqrt(total)
        amplification[:, at] = np.where(some, total / np.where(some, before, 1.0), np.nan)
        exponential += int(zero.exponential.sum())
    return Corrected(
        values=values,
        raw=raw,
        errors=errors,
        amplification=amplification,
        by_factor=by_factor,
        fitted=fitted,
        exponential=exponential,
    )


def _to_zero(measured: FloatArray, chosen: Mitigation, errors: FloatArray | None) -> Extrapolated:
    import numpy as np

    if chosen.folds:
        return extrapolate(measured, chosen.folds, chosen.extrapolation, errors)
    shape = measured.shape[1:]
    return Extrapolated(measured[0], np.ones(measured.shape), np.full(shape, np.nan), np.zeros(shape, dtype=bool))


def contract(vectors: FloatArray, measurement: LocalStates, readout: Sequence[Any]) -> FloatArray:
    """<H> (rows, sum K) of read-out matrices from Pauli vectors: sum_P <P> Tr(H P) / 2**k on each window.

    Args:
        vectors: (rows, measurement.width).
        measurement: the windows.
        readout: per window complex Hermitian (K, 2**k, 2**k).
    """
    import numpy as np

    letters = np.array([np.eye(2), *(matrix(g) for g in (GateName.X, GateName.Y, GateName.Z))])
    out = []
    for window, start, matrices in zip(measurement.windows, measurement.offsets[:-1], readout, strict=True):
        k = len(window)
        h = np.asarray(matrices).reshape(-1, *(2,) * (2 * k))
        for wire in range(k):  # the wire's row and column give way to one axis of four letters, at the end
            h = np.tensordot(h, letters, ((1, 1 + k - wire), (2, 1)))
        coefficients = h.reshape(len(h), 4**k).real / 2**k
        out.append(vectors[:, start : start + 4**k] @ coefficients.T)
    return np.concatenate(out, axis=1)
