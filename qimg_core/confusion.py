"""Read-out errors of each wire, and Pauli words freed of them (imports errors, measurement; numpy inside functions).

A wire is read wrongly with p(1|0) and p(0|1), whichever basis was turned to Z, independently of the other wires
(tensored read-out mitigation: Bravyi et al. 2021, arXiv:2006.14044). Then the mean of a letter becomes

    <P'> = a + b <P>,   a = p(0|1) - p(1|0),   b = 1 - p(1|0) - p(0|1),

and for a word on wires W each wire stands for P = (P' - a) / b, so that

    <P_W> = sum over S in W of  prod_{w in S} 1/b_w  prod_{w in W - S} (-a_w / b_w)  <P'_S>:

a word needs its sub-words, which `words` asks for. Variances use that P'_S P'_T = P'_(S xor T) on shots that
both were read from.
"""

from __future__ import annotations

from functools import cached_property, reduce
from itertools import product
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.circuit.pauli import PauliString
from qimg_core.errors import ConfigurationError, ResultError
from qimg_core.measurement import Expectation, LocalStates

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qimg_core.execution import FloatArray

_MOST_LETTERS = 8
_LEAST_SIGNAL = 0.05


@frozen(eq=False)
class Alike:
    """Words on the same wires.

    Args:
        wires: W.
        entries: (words,) columns of the result that they fill.
        columns: (words, 2**len(wires)) columns of the measured words' numbers that hold their sub-words, subsets of
            W counted in base 2 with the first wire most significant; -1 for the identity.
        kernel: per wire (2, 2), see `variance`.
        share: of the variance that is left by averaging bases.
    """

    wires: tuple[int, ...]
    entries: Any
    columns: Any
    kernel: tuple[tuple[float, float], tuple[float, float]]
    share: float

    @cached_property
    def table(self) -> FloatArray:
        """The kernels of all wires together, (2**len(wires), 2**len(wires)), symmetric."""
        import numpy as np

        return np.asarray(reduce(np.kron, [np.array(self.kernel)] * len(self.wires)))


@frozen(eq=False)
class Words:
    """What to measure so that a measurement's words can be corrected, and where each sub-word stands.

    Args:
        measurement: to be asked of the device; terms without coefficients.
        groups: words by their wires; identities are in none.
        width: numbers of the result.
    """

    measurement: Expectation | LocalStates
    groups: tuple[Alike, ...]
    width: int


def words(measurement: Expectation | LocalStates, *, subwords: bool, joint: bool = True) -> Words:
    """The words of a measurement with all their sub-words, or alone.

    Args:
        measurement: what the caller asked.
        subwords: add the sub-words; the local states of a window have them.
        joint: terms that agree wire by wire are read from the same shots; False where a device measures each
            term on its own.

    Raises:
        ConfigurationError: a term of more than eight letters, which would need more than 256 terms.
    """
    if isinstance(measurement, LocalStates):
        return _of_windows(measurement)
    longest = max((len(t.factors) for t in measurement.terms), default=0)
    if subwords and longest > _MOST_LETTERS:
        raise ConfigurationError(
            f"read-out correction: wanted terms of up to {_MOST_LETTERS} letters, got one of {longest}",
            hint="its sub-words would be 2**letters terms; measure shorter terms, or leave the read-out uncorrected",
        )
    column = {t.factors: i for i, t in enumerate(_distinct(t.factors for t in measurement.terms if t.factors))}
    places: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
    for entry, term in enumerate(measurement.terms):
        if not term.factors:
            continue
        row = []
        for chosen in product((0, 1), repeat=len(term.factors)):
            part = tuple(f for f, c in zip(term.factors, chosen, strict=True) if c)
            if not part:
                row.append(-1)
            elif subwords or all(chosen):
                row.append(column.setdefault(part, len(column)))
            else:
                row.append(-1)  # not measured, and not needed: its coefficient is 0
        places.setdefault(term.wires, []).append((entry, row))
    kernel = ((1.0, 1.0), (1.0, 1.0)) if joint else ((1.0, 0.0), (0.0, 1.0))
    asked = Expectation([PauliString(f) for f in column] or [PauliString(((0, "Z"),))])
    return Words(asked, tuple(_alike(w, found, kernel, 1.0) for w, found in places.items()), measurement.width)


def _distinct(found: Any) -> list[PauliString]:
    return [PauliString(f) for f in dict.fromkeys(found)]


def _of_windows(measurement: LocalStates) -> Words:
    groups = []
    for window, start in zip(measurement.windows, measurement.offsets, strict=False):
        k = len(window)
        places: dict[tuple[int, ...], list[tuple[int, list[int]]]] = {}
        for index, letters in enumerate(product(range(4), repeat=k)):
            used = [i for i in range(k) if letters[i]]
            if not used:
                continue
            row = []
            for chosen in product((0, 1), repeat=len(used)):
                digits = [letters[i] if i in used and chosen[used.index(i)] else 0 for i in range(k)]
                row.append(start + reduce(lambda n, d: 4 * n + d, digits, 0) if any(digits) else -1)
            places.setdefault(tuple(window[i] for i in used), []).append((start + index, row))
        kernel = ((1.0, 1.0), (1.0, 3.0))
        groups += [_alike(w, found, kernel, 3.0**-k) for w, found in places.items()]
    return Words(measurement, tuple(groups), measurement.width)


def _alike(wires: tuple[int, ...], found: list[tuple[int, list[int]]], kernel: Any, share: float) -> Alike:
    import numpy as np

    return Alike(wires, np.array([e for e, _ in found]), np.array([row for _, row in found]), kernel, share)


@frozen(eq=False)
class Confusion:
    """Read-out errors by wire, as two calibration circuits showed them.

    Args:
        zeros: <Z'> of each wire where all wires were ``|0>``: a + b.
        ones: the same where they were ``|1>``: a - b.
        shots: of either circuit; None for exact numbers.
    """

    zeros: Mapping[int, float] = field(factory=dict)
    ones: Mapping[int, float] = field(factory=dict)
    shots: int | None = None

    def line(self, wire: int) -> tuple[float, float]:
        """(a, b) of a wire; (0, 1) where it was not calibrated, so that nothing is corrected."""
        if wire not in self.zeros:
            return 0.0, 1.0
        return (self.zeros[wire] + self.ones[wire]) / 2, (self.zeros[wire] - self.ones[wire]) / 2

    def errors(self, wire: int) -> tuple[float, float]:
        """(p(1|0), p(0|1))."""
        return (1 - self.zeros[wire]) / 2, (1 + self.ones[wire]) / 2

    def variances(self, wire: int) -> tuple[float, float]:
        """Of ``zeros`` and ``ones``; 0 where they are exact."""
        if self.shots is None or wire not in self.zeros:
            return 0.0, 0.0
        return (1 - self.zeros[wire] ** 2) / self.shots, (1 - self.ones[wire] ** 2) / self.shots

    def check(self) -> None:
        """Refuse to invert what carries no information.

        Raises:
            ResultError: b below 0.05 on a wire.
        """
        for wire in self.zeros:
            if self.line(wire)[1] < _LEAST_SIGNAL:
                one, zero = self.errors(wire)
                raise ResultError(
                    f"read-out of wire {wire}: p(1|0) = {one:.3g} and p(0|1) = {zero:.3g} leave nothing to correct",
                    hint="take another qubit, more calibration shots, or leave the read-out uncorrected",
                )


def corrected(group: Alike, measured: FloatArray, confusion: Confusion) -> tuple[FloatArray, FloatArray]:
    """Words freed of read-out errors, and how they change with the calibration.

    Args:
        group: words on the same wires.
        measured: (rows, columns) numbers of `Words.measurement`.
        confusion: of their wires.

    Returns:
        (rows, words), and derivatives (2 len(wires), rows, words) by ``zeros`` and ``ones`` of each wire in turn.
    """
    import numpy as np

    parts = subwords(group, measured)
    lines = [confusion.line(w) for w in group.wires]
    values = parts @ _product([(-a / b, 1 / b) for a, b in lines])
    slopes = []
    for at in range(len(lines)):
        a, b = lines[at]
        by_a, by_b = (
            parts @ _product([one if i == at else (-c / d, 1 / d) for i, (c, d) in enumerate(lines)])
            for one in ((-1 / b, 0.0), (a / b**2, -1 / b**2))
        )
        slopes += [(by_a + by_b) / 2, (by_a - by_b) / 2]
    return values, np.stack(slopes)


def variance(group: Alike, measured: FloatArray, confusion: Confusion) -> FloatArray:
    """Of `corrected` words from one shot per setting, the calibration taken as exact; (rows, words).

    Var = share * sum over S, T of c_S c_T prod_w kernel[s_w, t_w] (<P'_(S xor T)> - <P'_S> <P'_T>). The kernel is 1
    everywhere for words read from the same shots, the identity for words measured apart, and ((1, 1), (1, 3)) for
    windows of which all 3**k bases are measured and agreeing ones averaged, with share 3**-k.
    """
    import numpy as np

    parts, k = subwords(group, measured), group.kernel
    pairs = [(-a / b, 1 / b) for a, b in (confusion.line(w) for w in group.wires)]
    both = _product([(k[0][0] * c * c + k[1][1] * d * d, 2 * k[0][1] * c * d) for c, d in pairs])
    weighted = parts * _product(pairs)
    spread = parts @ both - ((weighted @ group.table) * weighted).sum(2)
    return np.asarray(group.share * np.maximum(spread, 0.0))


def subwords(group: Alike, measured: FloatArray) -> FloatArray:
    """(rows, words, 2**len(wires)) with 1 for the identity."""
    import numpy as np

    return np.where(group.columns[None] < 0, 1.0, measured[:, np.maximum(group.columns, 0)])


def _product(pairs: Sequence[tuple[float, float]]) -> FloatArray:
    import numpy as np

    return np.asarray(reduce(lambda a, b: np.multiply.outer(a, b).ravel(), [np.array(p) for p in pairs]))
