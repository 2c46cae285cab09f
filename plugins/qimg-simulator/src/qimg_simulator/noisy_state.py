"""`NoisyState`: the state of a circuit with noise, ready to be measured (imports torch, engine, noisy).

Pauli strings are read without computing the whole state; everything else is read from its Pauli
vector, computed at the first question. Read-out errors are in all that is measured, not in `full`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from qimg_simulator.channels import confusion_transfer
from qimg_simulator.engine import ComputedState, Windows
from qimg_simulator.noisy_steps import at_digits
from qimg_simulator.pauli_basis import contract, density_matrix, distribution, on_each_wire

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.circuit.pauli import PauliString
    from qimg_simulator.noisy import NoisyProgram


class NoisyState(ComputedState):
    """What a program makes of inputs and weights.

    Args:
        program: of the circuit and its noise.
        inputs: (B, n_inputs).
        weights: (n_weights,) or (B, n_weights), as the program was made for.
        errors: read-out errors (p(1|0), p(0|1)) of each wire, or None: those of the program's noise.
    """

    def __init__(
        self,
        program: NoisyProgram,
        inputs: Tensor,
        weights: Tensor,
        errors: Sequence[tuple[float, float] | None],
    ) -> None:
        self._program, self._inputs, self._weights = program, inputs, weights
        self._errors = errors

    @property
    def device(self) -> torch.device:
        return self._inputs.device

    @cached_property
    def _vector(self) -> Tensor:
        return self._program.state(self._inputs, self._weights)

    @cached_property
    def _measured(self) -> Tensor:
        if all(e is None for e in self._errors):
            return self._vector
        tables = [confusion_transfer(e or (0.0, 0.0)) for e in self._errors]
        return on_each_wire(self._vector.t(), len(tables), tables).t()

    def expectation(self, terms: Sequence[PauliString]) -> Tensor:
        return self._program.expectation(self._inputs, self._weights, terms)

    def local_states(self, windows: Windows) -> Tensor:
        return torch.cat([at_digits(self._measured, w) for w in windows], 1)

    def contracted(self, windows: Windows, matrices: Sequence[Tensor]) -> Tensor:
        return contract(self.local_states(windows), windows, matrices)

    def probabilities(self, wires: Sequence[int]) -> Tensor:
        return distribution(at_digits(self._measured, wires), [3] * len(wires))

    def full(self) -> Tensor:
        return density_matrix(self._vector.t())
