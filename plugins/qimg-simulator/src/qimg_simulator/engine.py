"""What a backend asks of a computed state, the same for pure and noisy ones (imports torch).

`PureState` asks a program, `NoisyState` holds a Pauli vector with the read-out error already applied to
what is measured. All results are batch first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from qimg_simulator import readout
from qimg_simulator.reading import Anything, Distribution, Signed, z_masks
from qimg_simulator.windows import Windows as WindowReading

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch
    from torch import Tensor

    from qimg_core.circuit.pauli import PauliString
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

    @abstractmethod
    def full(self) -> Tensor:
        """Amplitudes (B, 2**n) or density matrices (B, 2**n, 2**n)."""


class PureState(ComputedState):
    """The state of a circuit without noise. It is computed anew for each question: ask once."""

    def __init__(self, program: PureProgram, inputs: Tensor, weights: Tensor) -> None:
        self._program, self._inputs, self._weights = program, inputs, weights
        self._n = program.plan.circuit.n_wires

    @property
    def device(self) -> torch.device:
        return self._inputs.device

    def _read(self, key: object, make: Callable[[], Reading], matrices: Sequence[Tensor] = ()) -> Tensor:
        return self._program.run(key, make, self._inputs, self._weights, matrices)

    def expectation(self, terms: Sequence[PauliString]) -> Tensor:
        key = ("expectation", tuple(terms))

        def make() -> Reading:
            masks = z_masks(terms, self._n)
            if masks is None:
                return Anything(lambda psi: readout.expectation(psi, terms))
            return Signed(self._n, masks, [t.coefficient for t in terms], self._program.like)

        return self._read(key, make)

    def local_states(self, windows: Windows) -> Tensor:
        key = ("local states", tuple(windows))
        return self._read(key, lambda: Anything(lambda psi: readout.local_states(psi, windows)))

    def contracted(self, windows: Windows, matrices: Sequence[Tensor]) -> Tensor:
        heights = tuple(len(h) for h in matrices)
        key = ("contracted", tuple(windows), heights)
        return self._read(key, lambda: WindowReading(self._n, list(windows), heights, self.device), matrices)

    def probabilities(self, wires: Sequence[int]) -> Tensor:
        return self._read(("probabilities", tuple(wires)), lambda: Distribution(self._n, wires))

    def full(self) -> Tensor:
        return self._read("state", lambda: Anything(lambda psi: psi.t()))
