"""Exact numbers: which PennyLane measurement gives them, and how they are laid out (imports numpy, PennyLane).

Words and distributions are asked of the device. Local states are read from the state where the device returns
one: that is exact, and far cheaper than 4**k expectation values a window.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
from pennylane.tape import QuantumScript

from qimg_core.errors import ResultError
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_pennylane.executing import batches, blocks, finite
from qimg_pennylane.noise import confused, read_paulis, readout_errors
from qimg_pennylane.states import means, reduced

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from qimg_core.execution import ExecutionRequest
    from qimg_core.measurement import Measurement
    from qimg_pennylane.devices import DeviceFacts
    from qimg_pennylane.executing import Runner
    from qimg_pennylane.noise import Errors
    from qimg_pennylane.tapes import Template

    Array = npt.NDArray[Any]
    Word = tuple[tuple[int, str], ...]

_LETTERS = {"X": qml.X, "Y": qml.Y, "Z": qml.Z}


def observable(word: Word) -> Any:
    """A Pauli word, not the empty one, as PennyLane's."""
    factors = [_LETTERS[letter](wire) for wire, letter in word]
    return factors[0] if len(factors) == 1 else qml.prod(*factors)


def exact(request: ExecutionRequest, template: Template, facts: DeviceFacts, runner: Runner, name: str) -> Array:
    """The result of a request without shots, as its measurement lays it out."""
    measurement = request.measurement
    errors = readout_errors(request.noise, measurement.wires)
    words = _words(measurement, facts) if errors is None else ()
    asked = _asked(measurement, words)
    parts: list[Array] = []
    for batch in batches(facts, request, blocks(facts, template, request) if asked else ()):
        tapes = [QuantumScript(template.bind(b.columns), asked) for b in batch]
        for found, block in zip(runner.execute(tapes), batch, strict=True):
            several = [np.asarray(a) for a in (found if len(asked) > 1 else (found,))]
            if words:
                values = {w: a.real.reshape(block.rows) for w, a in zip(words, several, strict=True)}
                parts.append(_from_words(measurement, values, block.rows))
            else:
                array = several[0] if block.rows > 1 else several[0][None]
                parts.append(_from_array(measurement, array, errors, name))
    data = np.concatenate(parts) if parts else _from_words(measurement, {}, 1)
    return np.asarray(finite(name, data if len(data) == request.rows else np.repeat(data, request.rows, axis=0)))


def _words(measurement: Measurement, facts: DeviceFacts) -> tuple[Word, ...]:
    """The distinct Pauli words to ask of the device; none where a state or a distribution is read."""
    if isinstance(measurement, Expectation):
        return tuple(dict.fromkeys(t.factors for t in measurement.terms if t.factors))
    if isinstance(measurement, LocalStates) and facts.state is None:
        return tuple(dict.fromkeys(w for window in measurement.windows for w in _window_words(window) if w))
    return ()


def _window_words(window: Sequence[int]) -> list[Word]:
    return [
        tuple((w, p) for w, p in sorted(zip(window, letters, strict=True)) if p != "I")
        for letters in product("IXYZ", repeat=len(window))
    ]


def _asked(measurement: Measurement, words: Sequence[Word]) -> list[Any]:
    if words:
        return [qml.expval(observable(w)) for w in words]
    if isinstance(measurement, Probabilities):
        return [qml.probs(wires=measurement.wires)]
    if isinstance(measurement, Expectation) and not measurement.wires:
        return []  # nothing but identities
    return [qml.state()]


def _from_words(measurement: Measurement, found: dict[Word, Array], rows: int) -> Array:
    one = np.ones(rows)
    if isinstance(measurement, Expectation):
        columns = [t.coefficient * (found[t.factors] if t.factors else one) for t in measurement.terms]
    else:
        assert isinstance(measurement, LocalStates)
        columns = [found[w] if w else one for window in measurement.windows for w in _window_words(window)]
    return np.stack(columns, 1)


def _from_array(measurement: Measurement, array: Array, errors: Errors | None, name: str) -> Array:
    """From amplitudes, density matrices or a distribution."""
    if isinstance(measurement, State):
        return array.astype(complex)
    if isinstance(measurement, Probabilities):
        plain: Array = array.real.astype(float)
        if not np.allclose(plain.sum(1), 1, atol=1e-3):
            raise ResultError(f"{name} returned probabilities that do not sum to 1")
        return plain if errors is None else confused(plain, errors, measurement.wires)
    if isinstance(measurement, LocalStates):
        return np.concatenate(
            [means(reduced(array, window), [read_paulis(errors, w) for w in window]) for window in measurement.windows],
            1,
        )
    assert isinstance(measurement, Expectation)
    columns = []
    for term in measurement.terms:
        factors = [read_paulis(errors, w)["IXYZ".index(p)][None] for w, p in term.factors]
        rho = reduced(array, term.wires) if factors else np.ones((len(array), 1, 1), dtype=complex)
        columns.append(term.coefficient * means(rho, factors))
    return np.concatenate(columns, 1)
