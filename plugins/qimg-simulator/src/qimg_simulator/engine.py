"""What a backend asks of a computed state, the same for pure and noisy ones (imports torch).

`PureState` holds amplitudes, `NoisyState` a Pauli vector with the read-out error already applied to
what is measured. All results are batch first.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qimg_simulator import readout
from qimg_simulator.channels import confusion_transfer
from qimg_simulator.noisy_steps import at_digits
from qimg_simulator.pauli_basis import contract, density_matrix, distribution, on_each_wire

if TYPE_CHECKING:
    from qimg_core.circuit.pauli import PauliString

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
    """Amplitudes (2**n, B)."""

    def __init__(self, psi: Tensor) -> None:
        self._psi = psi

    @property
    def device(self) -> torch.device:
        return self._psi.device

    def expectation(self, terms: Sequence[PauliString]) -> Tensor:
        return readout.expectation(self._psi, terms)

    def local_states(self, windows: Windows) -> Tensor:
        return readout.local_states(self._psi, windows)

    def contracted(self, windows: Windows, matrices: Sequence[Tensor]) -> Tensor:
        return readout.contracted(self._psi, windows, matrices)

    def probabilities(self, wires: Sequence[int]) -> Tensor:
        return readout.probabilities(self._psi, wires)

    def full(self) -> Tensor:
        return self._psi.t()


class NoisyState(ComputedState):
    """A Pauli vector (4**n, B), and the read-out errors (p(1|0), p(0|1)) of each of its n wires, or None."""

    def __init__(self, vector: Tensor, errors: Sequence[tuple[float, float] | None]) -> None:
        self._vector = self._measured = vector
        if any(e is not None for e in errors):
            tables = [confusion_transfer(e or (0.0, 0.0)) for e in errors]
            self._measured = on_each_wire(vector.t(), len(errors), tables).t()

    @property
    def device(self) -> torch.device:
        return self._vector.device

    def expectation(self, terms: Sequence[PauliString]) -> Tensor:
        n = (self._vector.shape[0].bit_length() - 1) // 2
        index = [sum("IXYZ".index(p) << (2 * (n - 1 - w)) for w, p in t.factors) for t in terms]
        scale = torch.tensor([t.coefficient for t in terms], dtype=self._vector.dtype, device=self._vector.device)
        return self._measured.index_select(0, torch.tensor(index, device=self._vector.device)).t() * scale

    def local_states(self, windows: Windows) -> Tensor:
        return torch.cat([at_digits(self._measured, w) for w in windows], 1)

    def contracted(self, windows: Windows, matrices: Sequence[Tensor]) -> Tensor:
        return contract(self.local_states(windows), windows, matrices)

    def probabilities(self, wires: Sequence[int]) -> Tensor:
        return distribution(at_digits(self._measured, wires), [3] * len(wires))

    def full(self) -> Tensor:
        return density_matrix(self._vector.t())
