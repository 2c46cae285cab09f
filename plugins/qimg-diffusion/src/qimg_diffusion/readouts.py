"""Read-outs by name for re-uploading circuits (imports qimg_core, qimg_circuits).

`pairs`, `sliding` and `global` are full Hermitian matrices (Lin et al., arXiv:2504.13414), which a device without
amplitudes reads in 3**k bases for a window of k wires. `diagonal` has real diagonal matrices only and one basis: as
general where a trained circuit on the window comes before it, and the form for hardware.
"""

from __future__ import annotations

from functools import cache, cached_property
from itertools import combinations, groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import field, frozen

from qimg_circuits.arrays import check_parameters, like, namespace
from qimg_circuits.observables.adaptive import MOST_WIRES, AdaptiveNonLocal
from qimg_circuits.observables.base import StandardObservable, check_data
from qimg_core.circuit import PauliString
from qimg_core.errors import ConfigurationError
from qimg_core.measurement import Expectation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.execution import FloatArray
    from qimg_core.observable import Observable

READOUTS = ("pairs", "sliding", "global", "diagonal")


def _adaptive(windows: Iterable[tuple[tuple[int, ...], int]]) -> AdaptiveNonLocal:
    return AdaptiveNonLocal(windows, diagonal=True)


@frozen
class DiagonalNonLocal(StandardObservable):
    """``AdaptiveNonLocal(windows, diagonal=True)`` from products of Z alone: the same features, in one basis.

    `AdaptiveNonLocal` asks for the whole state of each window, so a device would measure 3**k bases and the read-out
    would ignore all but one of them. Here every word of I and Z that a window holds is measured, and a matrix
    H = diag(c) is Tr(rho H) = sum_s 2**-k (sum_b (-1)**(b.s) c_b) <Z^s>, s over the subsets of the window.

    Args:
        adaptive: the windows, (wires in order, K) each. Parameters, their order, their initial values and the features
            are its own.
    """

    adaptive: AdaptiveNonLocal = field(converter=_adaptive)

    @cached_property
    def _words(self) -> list[tuple[int, ...]]:
        """Sets of wires whose Z are multiplied: each once, by the first window that has it."""
        found: dict[tuple[int, ...], None] = {}
        for wires, _ in self.adaptive.windows:
            found |= dict.fromkeys(_subsets(wires))
        return list(found)

    @cached_property
    def _groups(self) -> list[tuple[int, int, int, Any]]:
        """Neighbouring windows of one form, read together, as the number of operations is what takes time: wires of
        each, matrices of each, where their parameters begin, and columns (windows, 2**k - 1) of the words.
        """
        at, out, place = 0, [], {word: i for i, word in enumerate(self._words)}
        for (size, each), group in groupby(self.adaptive.windows, key=lambda w: (len(w[0]), w[1])):
            columns = np.array([[place[s] for s in _subsets(wires)] for wires, _ in group])
            out.append((size, each, self.adaptive.offsets[at], columns))
            at += len(columns)
        return out

    @cached_property
    def measurement(self) -> Expectation:
        return Expectation(tuple(PauliString(tuple((w, "Z") for w in word)) for word in self._words))

    @property
    def n_features(self) -> int:
        return self.adaptive.n_features

    @property
    def n_parameters(self) -> int:
        return self.adaptive.n_parameters

    def initial(self, seed: int) -> FloatArray:
        """As `AdaptiveNonLocal.initial`."""
        return self.adaptive.initial(seed)

    def reduce(self, data: Any, parameters: Any = None) -> Any:
        """<Z^s> (rows, words) -> (rows, n_features).

        Raises:
            DataError: the wrong shape of either.
        """
        check_data(data, len(self._words), "diagonal observable")
        check_parameters(parameters, self.n_parameters, "diagonal observable")
        xp, parts = namespace(data), []
        for size, each, start, columns in self._groups:
            n = len(columns)
            signs = xp.asarray(like(data, _signs(size)), dtype=data.dtype)
            c = parameters[start : start + n * each * 2**size].reshape(n, each, 2**size) @ signs
            seen = xp.einsum("rws,wks->rwk", data[:, like(data, columns)], c[:, :, 1:]) + c[None, :, :, 0]
            parts.append(seen.reshape(len(data), -1))
        return xp.concatenate(parts, 1)


def _subsets(wires: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The subsets of a window but the empty one, in binary order: its first wire is the most significant bit."""
    k = len(wires)
    return [tuple(sorted(w for j, w in enumerate(wires) if s >> (k - 1 - j) & 1)) for s in range(1, 2**k)]


@cache
def _signs(k: int) -> FloatArray:
    """2**-k (-1)**(b.s), rows b, columns s."""
    index = np.arange(2**k)
    signs: FloatArray = (-1.0) ** np.bitwise_count(index[:, None] & index[None])
    return signs / 2.0**k


def readout(
    name: str, wires: int, windows: Iterable[tuple[tuple[int, ...], int]], *, neighbours: int = 2
) -> Observable:
    """The trained observables of a circuit.

    Args:
        name: ``pairs``: ``windows`` and one matrix on every pair of wires. ``sliding``: ``windows`` and one matrix on
            every ``neighbours`` wires in a row. ``global``: ``windows`` alone, which have all wires, up to 6.
            ``diagonal``: those of ``pairs``, each matrix diagonal.
        wires: of the circuit.
        windows: wires and how many matrices on them.
        neighbours: wires of a sliding window, up to 6.

    Raises:
        ConfigurationError: another name, a window that does not fit, or no window for ``global``.
    """
    check_readout(name, wires, neighbours=neighbours)
    given = list(windows)
    if name == "global":
        if not given:
            raise ConfigurationError(
                "readout global: wanted matrices on all wires, got none", hint="--set observables=16"
            )
        return AdaptiveNonLocal(given)
    if name == "sliding":
        return AdaptiveNonLocal([*given, *AdaptiveNonLocal.sliding(wires, neighbours).windows])
    every = [*given, *((pair, 1) for pair in combinations(range(wires), 2))]
    return DiagonalNonLocal(every) if name == "diagonal" else AdaptiveNonLocal(every)


def check_readout(name: str, wires: int, *, neighbours: int) -> None:
    """Refuse a name or a number of neighbours that no read-out has.

    Raises:
        ConfigurationError.
    """
    if name not in READOUTS:
        raise ConfigurationError(f"readout: wanted one of {', '.join(READOUTS)}, got {name!r}")
    if not 1 <= neighbours <= min(wires, MOST_WIRES):
        raise ConfigurationError(f"neighbours: wanted 1 to {min(wires, MOST_WIRES)} wires in a row, got {neighbours}")
