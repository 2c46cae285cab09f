"""Which frequencies a circuit's result can have in its inputs (imports qimg_core.circuit; numpy).

A result of a circuit whose inputs are angles is a trigonometric polynomial in them: each gate with generator
eigenvalues that are one apart adds the frequencies -1, 0, 1 times the angle's scale, and the frequencies of
several occurrences add up (Schuld, Sweke, Meyer 2021, Phys. Rev. A 103, 032430, arXiv:2008.08605). Noise that does
not depend on the inputs changes the coefficients and leaves the frequencies.
"""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING

import numpy as np

from qimg_core.circuit.gates import CONTROLLED_ROTATIONS, GateName

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import FloatArray

Spectrum = tuple[float, ...]
"""The frequencies above 0 of one input, rising."""

MOST = 64
"""Frequencies of one input that are kept, the lowest."""
_WORKING = 4096
_DIGITS = 9


def spectra(circuit: Circuit) -> tuple[Spectrum, ...] | None:
    """The frequencies of each input, in the order of the inputs' columns.

    Returns:
        at most `MOST` a input; None where an input is an amplitude of ``prepare``, in which the result is a
        polynomial and not a trigonometric one.
    """
    columns = {parameter: column for column, parameter in enumerate(circuit.input_indices)}
    found: list[set[float]] = [{0.0} for _ in columns]
    for _, gate in circuit.occurrences():
        for angle in gate.angles:
            if angle.parameter not in columns:
                continue
            if gate.name is GateName.PREPARE:
                return None
            step = abs(angle.scale)
            steps = (step / 2, step) if gate.name in CONTROLLED_ROTATIONS else (step,)
            column = columns[angle.parameter]
            found[column] = _summed(found[column], steps)
    return tuple(tuple(sorted(f for f in one if f > 0)[:MOST]) for one in found)


def _summed(known: set[float], steps: Sequence[float]) -> set[float]:
    """Both signs stand for each other, so that the frequencies from 0 up are enough."""
    more = {round(abs(f + sign * s), _DIGITS) for f in known for s in steps for sign in (-1, 1)}
    return set(sorted(known | more)[:_WORKING])


def full_degree(found: Sequence[Spectrum]) -> int:
    """The degree at which `lattice` is complete: the series can then be exact."""
    return sum(len(one) for one in found)


def lattice(found: Sequence[Spectrum], degree: int, most: int) -> FloatArray | None:
    """The frequency vectors up to a degree, one of each pair w and -w, without 0.

    The degree of a vector is the sum of its components' places in the inputs' spectra, so the low degrees are the
    slow changes and the products of few inputs.

    Args:
        found: of `spectra`.
        degree: 1 or more.
        most: give up above so many vectors.

    Returns:
        float64 (vectors, inputs), or None where there are more.
    """
    out: list[FloatArray] = []
    for moved, places in _places([len(one) for one in found], degree):
        for signs in product((1.0, -1.0), repeat=len(moved) - 1):
            if len(out) >= most:
                return None
            vector = np.zeros(len(found))
            vector[list(moved)] = [
                sign * found[j][place - 1] for j, place, sign in zip(moved, places, (1.0, *signs), strict=True)
            ]
            out.append(vector)
    return np.array(out).reshape(len(out), len(found))


def _places(sizes: Sequence[int], degree: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(inputs that move, their places counted from 1) with a sum from 1 to the degree, by rising sum."""
    active = [j for j, size in enumerate(sizes) if size]
    for total in range(1, degree + 1):
        for count in range(1, min(total, len(active)) + 1):
            for moved in combinations(active, count):
                for places in _parts(total, [sizes[j] for j in moved]):
                    yield moved, places


def _parts(total: int, most: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Every way to write the total as a sum of parts from 1 to ``most``."""
    if len(most) == 1:
        if 1 <= total <= most[0]:
            yield (total,)
        return
    for here in range(1, min(total - len(most) + 1, most[0]) + 1):
        for rest in _parts(total - here, most[1:]):
            yield (here, *rest)
