"""Numbers from a state vector or a density matrix: distributions, Pauli vectors, shots (imports numpy, qimg_core).

A state is complex128 (2**n,), or (2**n, 2**n) for a density matrix; wire 0 is most significant. Read-out errors
act as the confusion matrix [[1 - p10, p01], [p10, 1 - p01]] on each read wire, p10 = p(1|0), p01 = p(0|1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.circuit.gates import GateName, matrix
from qimg_core.errors import ResultError
from qimg_core.measurement import Expectation, LocalStates
from qimg_core.seeds import derive_seed
from qimg_core.settings import Outcomes, Setting, read, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from qimg_core.measurement import Measurement

    Complex = npt.NDArray[np.complex128]
    Floats = npt.NDArray[np.float64]
    Readout = Callable[[int], tuple[float, float]]

_I = np.eye(2, dtype=complex)
_PAULI = {"I": _I, **{p: matrix(GateName(p.lower())) for p in "XYZ"}}
_TO_Z = {"X": matrix(GateName.H), "Y": matrix(GateName.H) @ matrix(GateName.SDG), "Z": _I}


def perfect(wire: int) -> tuple[float, float]:
    """No read-out errors."""
    return 0.0, 0.0


def wires_of(state: Complex) -> int:
    """How many wires a state has."""
    return int(state.shape[0]).bit_length() - 1


def distribution(state: Complex, setting: Setting, readout: Readout = perfect) -> Floats:
    """Probabilities of the setting's outcomes, (2**wires,), first wire of the setting most significant."""
    n, ket = wires_of(state), state.ndim == 1
    turned = state.reshape((2,) * (n if ket else 2 * n))
    for wire, letter in setting.basis:
        if letter != "Z":
            turned = _on_axis(turned, _TO_Z[letter], wire)
            if not ket:
                turned = _on_axis(turned, _TO_Z[letter].conj(), n + wire)
    p = np.abs(turned) ** 2 if ket else np.einsum("ii->i", turned.reshape(2**n, 2**n)).real.reshape((2,) * n)
    return confused(_marginal(p, setting.wires), setting.wires, readout)


def marginal(p: Floats, wires: Sequence[int]) -> Floats:
    """Of a distribution (2**n,) over all wires in order: (2**len(wires),) over ``wires`` in the order given."""
    return _marginal(p.reshape((2,) * (int(p.size).bit_length() - 1)), wires)


def confused(p: Floats, wires: Sequence[int], readout: Readout) -> Floats:
    """A distribution after read-out errors on each of its wires."""
    tensor = p.reshape((2,) * len(wires))
    for axis, wire in enumerate(wires):
        one, zero = readout(wire)
        if one or zero:
            tensor = _on_axis(tensor, np.array([[1 - one, zero], [one, 1 - zero]]), axis)
    return np.asarray(tensor.reshape(-1), dtype=np.float64)


def expectation(state: Complex, factors: Sequence[tuple[int, str]], readout: Readout = perfect) -> float:
    """<P> of a Pauli word as a device with these read-out errors reports it, exactly."""
    n, ket = wires_of(state), state.ndim == 1
    moved = state.reshape((2,) * n + (() if ket else (2**n,)))
    for wire, letter in factors:
        one, zero = readout(wire)
        moved = _on_axis(moved, (1 - one - zero) * _PAULI[letter] + (zero - one) * _I, wire)
    if ket:
        return float(np.vdot(state, moved.reshape(-1)).real)
    return float(np.trace(moved.reshape(2**n, 2**n)).real)


def pauli_vector(state: Complex, window: Sequence[int], readout: Readout = perfect) -> Floats:
    """The window's block of `qimg_core.measurement.LocalStates`, (4**k,)."""
    n, k = wires_of(state), len(window)
    if state.ndim == 1:
        m = np.moveaxis(state.reshape((2,) * n), window, range(k)).reshape(2**k, -1)
        rho = m @ m.conj().T
    else:
        both = [*window, *(n + w for w in window)]
        rest = 2 ** (n - k)
        moved = np.moveaxis(state.reshape((2,) * (2 * n)), both, range(2 * k)).reshape(2**k, 2**k, rest, rest)
        rho = np.einsum("abcc->ab", moved)
    values = rho.reshape((2,) * (2 * k))
    basis = np.stack([_PAULI[p] for p in "IXYZ"])
    for position, wire in enumerate(window):
        one, zero = readout(wire)
        operators = (1 - one - zero) * basis + (zero - one) * _I
        operators[0] = _I
        # one pair of axes (row, column) becomes one axis of four at the end: sum_ij rho_ij P_ji
        values = np.tensordot(values, operators, axes=([0, k - position], [2, 1]))
    return np.asarray(values.reshape(-1).real)


def exact(states: Sequence[Complex], measurement: Measurement, readout: Readout = perfect) -> Any:
    """The exact result of a measurement, one row a state."""
    if isinstance(measurement, Expectation):
        rows = [[t.coefficient * expectation(s, t.factors, readout) for t in measurement.terms] for s in states]
        return np.array(rows).reshape(len(states), measurement.width)
    if isinstance(measurement, LocalStates):
        return np.stack([np.concatenate([pauli_vector(s, w, readout) for w in measurement.windows]) for s in states])
    setting = Setting([(w, "Z") for w in measurement.wires])
    return np.stack([distribution(s, setting, readout) for s in states])


def sampled(
    distributions: Sequence[Sequence[Floats]], measurement: Measurement, shots: int, seed: int | None
) -> tuple[Any, npt.NDArray[np.int64]]:
    """Shots drawn by us from exact distributions.

    Args:
        distributions: for each row, one (2**wires,) per setting of `qimg_core.settings.settings_for`.
        measurement: what is asked.
        shots: per row and setting.
        seed: of the request; None draws fresh ones.

    Returns:
        the result array, and the counts, int64 (rows, outcomes of all settings one after the other).
    """
    rng = np.random.Generator(np.random.PCG64(None if seed is None else derive_seed(seed, "braket", "shots")))
    settings = settings_for(measurement)
    outcomes, drawn = [], []
    for index in range(len(settings)):
        p = np.stack([_proper(row[index]) for row in distributions])
        counts = np.asarray(rng.multinomial(shots, p), dtype=np.int64)
        dense = Outcomes.dense(counts / shots)
        outcomes.append(Outcomes(dense.bits, dense.weights, counts))
        drawn.append(counts)
    return read(measurement, settings, outcomes), np.concatenate(drawn, axis=1)


def _proper(p: Floats) -> Floats:
    """Without the rounding that numpy's multinomial refuses; anything worse is an error."""
    if p.min() < -1e-9 or abs(p.sum() - 1) > 1e-6:
        raise ResultError(f"wanted a distribution, got a sum of {p.sum():.6g} and a smallest entry of {p.min():.3g}")
    clipped = np.clip(p, 0.0, None)
    return np.asarray(clipped / clipped.sum())


def _on_axis(tensor: Any, operator: Any, axis: int) -> Any:
    """``operator`` (2, 2) on one axis of length 2."""
    return np.moveaxis(np.tensordot(operator, tensor, axes=([1], [axis])), 0, axis)


def _marginal(p: Floats, wires: Sequence[int]) -> Floats:
    moved = np.moveaxis(p, wires, range(len(wires)))
    return np.asarray(moved.reshape(2 ** len(wires), -1).sum(1))
