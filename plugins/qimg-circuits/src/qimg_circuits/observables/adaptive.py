"""Adaptive Non-Local Observables: trained Hermitian matrices on windows of wires (imports qimg_core, numpy)."""

from __future__ import annotations

import itertools
from functools import cached_property
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_circuits.arrays import at_least, check_parameters, namespace
from qimg_circuits.observables.base import StandardObservable, check_data
from qimg_circuits.observables.hermitian import diagonal, hermitian, pauli_coefficients
from qimg_circuits.observables.shot_error import shot_variance
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.measurement import LocalStates

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.execution import FloatArray

MOST_WIRES = 6
"""Widest window: 6 on simulators. On hardware 4 is the most, for its 3**4 bases."""


def _windows(windows: Iterable[tuple[Iterable[int], int]]) -> tuple[tuple[tuple[int, ...], int], ...]:
    return tuple((tuple(int(w) for w in wires), int(count)) for wires, count in windows)


@frozen
class AdaptiveNonLocal(StandardObservable):
    """K trained Hermitian observables on each window: features Tr(rho_window H).

    Lin, Tseng, Chen, Yoo 2025, "Adaptive Non-local Observable on Quantum Neural Networks"
    (arXiv:2504.13414). A matrix on k wires has 4**k real parameters: a 2**k x 2**k array, row by row,
    with c_ii on the diagonal, a_ij above and b_ij mirrored below, and H_ij = a_ij + i b_ij. That is
    every (M + M^dag) / 2 once, where M itself would need twice as many. With ``diagonal=True`` it has
    2**k, H = diag(c): as general, where a trained circuit on the window comes before it.

    Parameters are ordered window by window, matrix by matrix; features likewise. They often want a
    larger learning rate than the circuit's weights (arXiv:2501.05663: about a hundred times).

    Build one with `sliding`, `pairwise`, `combinatorial`, `all_wires`, and join them with `combined`.

    Args:
        windows: (wires in order, K) for each window; first wire most significant.
        diagonal: diagonal matrices only.
        spread: multiplies the standard deviation of `initial`.
    """

    windows: tuple[tuple[tuple[int, ...], int], ...] = field(converter=_windows)
    diagonal: bool = False
    spread: float = 1.0

    def __attrs_post_init__(self) -> None:
        if not self.windows:
            raise ConfigurationError("wanted one window or more")
        for wires, count in self.windows:
            at_least(count, 1, f"matrices on window {wires}")
            if len(wires) > MOST_WIRES:
                raise ConfigurationError(f"window {wires}: wanted up to {MOST_WIRES} wires, got {len(wires)}")
        _ = self.measurement  # refuses repeated and negative wires

    @classmethod
    def sliding(
        cls,
        n_wires: int,
        k: int,
        *,
        per_window: int = 1,
        wrap: bool = False,
        diagonal: bool = False,
        spread: float = 1.0,
    ) -> AdaptiveNonLocal:
        """Windows of k neighbours: n - k + 1 of them, or n when they ``wrap`` around (k < n)."""
        _check_k(n_wires, k)
        starts = range(n_wires if wrap and k < n_wires else n_wires - k + 1)
        windows = [(tuple((s + j) % n_wires for j in range(k)), per_window) for s in starts]
        return cls(windows, diagonal, spread)

    @classmethod
    def combinatorial(
        cls, n_wires: int, k: int, *, per_window: int = 1, diagonal: bool = False, spread: float = 1.0
    ) -> AdaptiveNonLocal:
        """Every choice of k of the wires."""
        _check_k(n_wires, k)
        return cls([(w, per_window) for w in itertools.combinations(range(n_wires), k)], diagonal, spread)

    @classmethod
    def pairwise(
        cls, n_wires: int, *, per_window: int = 1, diagonal: bool = False, spread: float = 1.0
    ) -> AdaptiveNonLocal:
        """Every pair of wires."""
        return cls.combinatorial(n_wires, 2, per_window=per_window, diagonal=diagonal, spread=spread)

    @classmethod
    def all_wires(
        cls, n_wires: int, *, count: int = 1, diagonal: bool = False, spread: float = 1.0
    ) -> AdaptiveNonLocal:
        """``count`` matrices on all wires at once (global), up to 6 wires."""
        return cls([(tuple(range(n_wires)), count)], diagonal, spread)

    @cached_property
    def measurement(self) -> LocalStates:
        return LocalStates(tuple(wires for wires, _ in self.windows))

    @property
    def n_features(self) -> int:
        return sum(count for _, count in self.windows)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each window's parameters begin; one more entry for the end."""
        sizes = [count * self._size(wires) for wires, count in self.windows]
        return (0, *itertools.accumulate(sizes))

    @property
    def n_parameters(self) -> int:
        return self.offsets[-1]

    def _size(self, wires: tuple[int, ...]) -> int:
        return int((2 if self.diagonal else 4) ** len(wires))

    def initial(self, seed: int) -> FloatArray:
        """Normal (PCG64) with standard deviation spread * 2**(-k / 2), so eigenvalues are of order ``spread``."""
        import numpy as np

        draw = np.random.Generator(np.random.PCG64(seed)).normal(size=self.n_parameters)
        for (wires, _), start, stop in zip(self.windows, self.offsets, self.offsets[1:], strict=False):
            draw[start:stop] *= self.spread * 2.0 ** (-len(wires) / 2)
        return np.asarray(draw)

    def readout(self, parameters: Any) -> tuple[Any, ...]:
        """Per window the matrices, (K, 2**k, 2**k) complex Hermitian, same kind of array as ``parameters``."""
        check_parameters(parameters, self.n_parameters, "adaptive observable")
        out: list[Any] = []
        at = 0
        # neighbouring windows of as many wires are made together: the number of operations is what takes time
        for size, members in itertools.groupby(self.windows, key=lambda w: len(w[0])):
            counts = [count for _, count in members]
            d, total = 2**size, sum(counts)
            stop = at + total * (d if self.diagonal else d * d)
            block = parameters[at:stop]
            matrices = diagonal(block.reshape(total, d)) if self.diagonal else hermitian(block.reshape(total, d, d))
            ends = [0, *itertools.accumulate(counts)]
            out.extend(matrices[i:j] for i, j in itertools.pairwise(ends))
            at = stop
        return tuple(out)

    def coefficients(self, parameters: Any) -> tuple[Any, ...]:
        """Per window the Pauli coefficients, (K, 4**k) real: a feature is their product with the Pauli vector."""
        return tuple(pauli_coefficients(matrices) for matrices in self.readout(parameters))

    def reduce(self, data: Any, parameters: Any = None) -> Any:
        """Pauli vectors (rows, sum 4**k) -> (rows, n_features): Tr(rho H) of each matrix on its window.

        Raises:
            DataError: the wrong shape of either.
        """
        check_data(data, self.measurement.width, "adaptive observable")
        offsets = self.measurement.offsets
        parts = [
            data[:, start:stop] @ c.T
            for c, start, stop in zip(self.coefficients(parameters), offsets, offsets[1:], strict=False)
        ]
        return namespace(data).concatenate(parts, 1)

    def standard_error(self, parameters: FloatArray, shots: int, data: FloatArray | None = None) -> FloatArray:
        """Standard error of each feature when every basis of a window is measured with ``shots``.

        For estimates as `LocalStates` states them: each of the 3**k bases of a window has ``shots``
        shots, and a Pauli with identities averages all bases that contain it.

        Args:
            parameters: (n_parameters,), numpy.
            shots: per basis.
            data: (rows, width) Pauli vectors, exact or estimated: gives the error in those states.
                None gives a bound for every state, from the range of the outcomes.

        Returns:
            (rows, n_features) with ``data``, else (1, n_features). Two of them on either side are a
            95 % interval.

        Raises:
            DataError: wrong shapes, or no shots.
        """
        import numpy as np

        if shots < 1:
            raise DataError(f"shots: wanted 1 or more, got {shots}")
        if data is not None:
            check_data(data, self.measurement.width, "adaptive observable")
        offsets = self.measurement.offsets
        variances = [
            shot_variance(c, None if data is None else data[:, start:stop])
            for c, start, stop in zip(self.coefficients(parameters), offsets, offsets[1:], strict=False)
        ]
        return np.asarray(np.sqrt(np.concatenate(variances, axis=1) / shots))


def combined(*observables: AdaptiveNonLocal) -> AdaptiveNonLocal:
    """One observable with all windows, in order: for example one global and every pair.

    Raises:
        ConfigurationError: none given, or they differ in ``diagonal`` or ``spread``.
    """
    kinds = {(o.diagonal, o.spread) for o in observables}
    if len(kinds) != 1:
        raise ConfigurationError(f"wanted observables with equal (diagonal, spread), got {sorted(kinds)}")
    ((is_diagonal, spread),) = kinds
    return AdaptiveNonLocal([w for o in observables for w in o.windows], is_diagonal, spread)


def _check_k(n_wires: int, k: int) -> None:
    if not 1 <= k <= n_wires:
        raise ConfigurationError(f"k: wanted 1 to {n_wires} wires in a window, got {k}")
