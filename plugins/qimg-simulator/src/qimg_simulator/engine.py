"""What a backend asks of a computed state, the same for pure and noisy ones (imports torch).

`PureState` asks a program, `NoisyState` holds a Pauli vector with the read-out error already applied to
what is measured. All results are batch first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_simulator import readout
from qimg_simulator.reading import Anything, Distribution, Signed, z_masks
from qimg_simulator.windows import Windows as WindowReading

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from qimg_core.circuit.pauli import PauliString
    from qimg_core.measurement import Measurement
    from qimg_simulator.compiled import CompiledProgram
    from qimg_simulator.pure import PureProgram
    from qimg_simulator.reading import Reading

Windows = Sequence[tuple[int, ...]]


class ComputedState(ABC):
    """The state of a circuit for a batch, ready to be measured."""

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Where the numbers lie."""

    @abstractmethod
    def expectation(self, terms: Sequence[PauliString]) -> Tensor:
        """(B, len(terms)) with coefficients."""

    @abstractmethod
    def local_states(self, windows: Windows) -> Tensor:
        """(B, sum 4**k)."""

    @abstractmethod
    def contracted(self, windows: Windows, matrices: Sequence[Tensor]) -> Tensor:
        """(B, sum K)."""

    @abstractmethod
    def probabilities(self, wires: Sequence[int]) -> Tensor:
        """(B, 2**k)."""

    def exact(self, measurement: Measurement, matrices: Sequence[Tensor] | None) -> Tensor:
        """(B or 1, ...) of a measurement but `Samples`; ``matrices`` of the windows, or None for Pauli vectors."""
        if isinstance(measurement, Expectation):
            return self.expectation(measurement.terms)
        if isinstance(measurement, LocalStates):
            windows = measurement.windows
            return self.local_states(windows) if matrices is None else self.contracted(windows, matrices)
        if isinstance(measurement, Probabilities):
            return self.probabilities(measurement.wires)
        return self.full()

    @abstractmethod
    def full(self) -> Tensor:
        """Amplitudes (B, 2**n) or density matrices (B, 2**n, 2**n)."""


def reading_of(
    measurement: Measurement, n: int, like: Tensor, heights: tuple[int, ...] | None = None
) -> tuple[object, Callable[[], Reading]]:
    """What reads a measurement from a pure state: a key, and a function that makes it.

    Args:
        measurement: anything but `Samples`, which are drawn from probabilities.
        n: wires.
        like: a tensor of the real dtype on the device.
        heights: how many read-out matrices each window of `LocalStates` has; None for Pauli vectors.
    """
    if isinstance(measurement, Expectation):
        terms = measurement.terms
        return measurement, lambda: _expectation(terms, n, like)
    if isinstance(measurement, LocalStates):
        windows = measurement.windows
        if heights is None:
            return measurement, lambda: Anything(lambda psi: readout.local_states(psi, windows))
        return (measurement, heights), lambda: WindowReading(n, list(windows), heights, like.device)
    if isinstance(measurement, Probabilities | Samples):
        wires = measurement.wires
        return ("probabilities", wires), lambda: Distribution(n, wires)
    return "state", lambda: Anything(lambda psi: psi.t())


def _expectation(terms: Sequence[PauliString], n: int, like: Tensor) -> Reading:
    masks = z_masks(terms, n)
    if masks is None:
        return Anything(lambda psi: readout.expectation(psi, terms))
    return Signed(n, masks, [t.coefficient for t in terms], like)


class PureState(ComputedState):
    """The state of a circuit without noise. It is computed anew for each question: ask once."""

    def __init__(self, program: PureProgram | CompiledProgram, inputs: Tensor, weights: Tensor) -> None:
        self._program, self._inputs, self._weights = program, inputs, weights

    @property
    def device(self) -> torch.device:
        return self._inputs.device

    def exact(self, measurement: Measurement, matrices: Sequence[Tensor] | None = None) -> Tensor:
        heights = None if matrices is None else tuple(len(h) for h in matrices)
        key, make = reading_of(measurement, self._program.plan.circuit.n_wires, self._program.like, heights)
        return self._program.run(key, make, self._inputs, self._weights, matrices or ())

    def expectation(self, terms: Sequence[PauliString]) -> Tensor:
        return self.exact(Expectation(terms))

    def local_states(self, windows: Windows) -> Tensor:
        return self.exact(LocalStates(windows))

    def contracted(self, windows: Windows, matrices: Sequence[Tensor]) -> Tensor:
        return self.exact(LocalStates(windows), matrices)

    def probabilities(self, wires: Sequence[int]) -> Tensor:
        return self.exact(Probabilities(wires))

    def full(self) -> Tensor:
        return self.exact(State())
