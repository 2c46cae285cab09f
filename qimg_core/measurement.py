"""What is measured and the exact layout of what comes back (floor 2; imports errors, circuit).

There are no bit strings in qimg. A result is an array with declared axes, and a tuple of wires is
always read in the order given, first wire most significant.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import field, frozen

from qimg_core.capabilities import MeasurementKind
from qimg_core.circuit.pauli import PauliString
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def _wires(wires: Iterable[int]) -> tuple[int, ...]:
    out = tuple(int(w) for w in wires)
    if not out or len(set(out)) != len(out) or min(out) < 0:
        raise ConfigurationError(f"wanted one or more distinct wires, got {out}")
    return out


def _terms(terms: Iterable[PauliString]) -> tuple[PauliString, ...]:
    return tuple(terms)


def _windows(windows: Iterable[Iterable[int]]) -> tuple[tuple[int, ...], ...]:
    return tuple(_wires(window) for window in windows)


@frozen
class Expectation:
    """Expectation values, float64 (rows, len(terms)): coefficient times <P>, one column a term."""

    kind: ClassVar[MeasurementKind] = MeasurementKind.EXPECTATION
    terms: tuple[PauliString, ...] = field(converter=_terms)

    @property
    def wires(self) -> tuple[int, ...]:
        return tuple(sorted({w for t in self.terms for w in t.wires}))

    @property
    def width(self) -> int:
        return len(self.terms)


@frozen
class LocalStates:
    """The reduced state of each window of wires as a Pauli vector.

    float64 (rows, sum of 4**len(window)): the windows' blocks one after the other (see `offsets`).
    Inside a block the index is a base-4 number over the window's wires in the order given, first
    wire most significant, digits I, X, Y, Z = 0, 1, 2, 3; the value is <P>, so entry 0 is 1 and
    rho = 2**-k sum_P <P> P.

    Every observable on a window is a linear read-out of its block. With shots, each qubit-wise
    basis (X, Y, Z)**k of a window is measured with the request's number of shots.
    """

    kind: ClassVar[MeasurementKind] = MeasurementKind.LOCAL_STATES
    windows: tuple[tuple[int, ...], ...] = field(converter=_windows)

    @property
    def wires(self) -> tuple[int, ...]:
        return tuple(sorted({w for window in self.windows for w in window}))

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """Where each window's block begins; one more entry for the end."""
        out = [0]
        for window in self.windows:
            out.append(out[-1] + 4 ** len(window))
        return tuple(out)

    @property
    def width(self) -> int:
        return self.offsets[-1]


@frozen
class Probabilities:
    """float64 (rows, 2**len(wires)); reshaped to (2,) * len(wires), axis k is ``wires[k]``."""

    kind: ClassVar[MeasurementKind] = MeasurementKind.PROBABILITIES
    wires: tuple[int, ...] = field(converter=_wires)

    @property
    def width(self) -> int:
        return int(2 ** len(self.wires))


@frozen
class Samples:
    """uint8 (rows, shots, len(wires)): column k is ``wires[k]``."""

    kind: ClassVar[MeasurementKind] = MeasurementKind.SAMPLES
    wires: tuple[int, ...] = field(converter=_wires)

    @property
    def width(self) -> int:
        return len(self.wires)


@frozen
class State:
    """Simulators only: complex128 (rows, 2**n_wires) amplitudes over all wires in order, wire 0 most
    significant; with a noise model the density matrix, (rows, 2**n_wires, 2**n_wires).
    """

    kind: ClassVar[MeasurementKind] = MeasurementKind.STATE
    wires: tuple[int, ...] = ()
    width: ClassVar[int] = 0


Measurement = Expectation | LocalStates | Probabilities | Samples | State


def measurement_to_json(measurement: Measurement) -> dict[str, Any]:
    """A document without floats, read back by `measurement_from_json`."""
    kind = {"kind": measurement.kind.value}
    if isinstance(measurement, Expectation):
        terms = [[repr(t.coefficient), [[w, p] for w, p in t.factors]] for t in measurement.terms]
        return {**kind, "terms": terms}
    if isinstance(measurement, LocalStates):
        return {**kind, "windows": [list(w) for w in measurement.windows]}
    if isinstance(measurement, State):
        return dict(kind)
    return {**kind, "wires": list(measurement.wires)}


def measurement_from_json(document: Mapping[str, Any]) -> Measurement:
    """Read `measurement_to_json` back."""
    kind = document.get("kind")
    if kind == "expectation":
        return Expectation(tuple(PauliString(tuple((w, p) for w, p in f), float(c)) for c, f in document["terms"]))
    if kind == "local_states":
        return LocalStates(document["windows"])
    if kind == "probabilities":
        return Probabilities(document["wires"])
    if kind == "samples":
        return Samples(document["wires"])
    if kind == "state":
        return State()
    raise ConfigurationError(f"wanted a measurement document, got kind {kind!r}")
