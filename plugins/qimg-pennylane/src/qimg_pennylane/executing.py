"""Rows in, PennyLane results out: batches of tapes on one fresh device (imports qimg_core, numpy, PennyLane).

Whatever a device raises becomes one of `qimg_core.errors` here.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import pennylane as qml
from attrs import frozen
from pennylane.devices import ExecutionConfig

from qimg_core.capabilities import Mismatch
from qimg_core.errors import CapabilityError, JobFailed, QimgError, ResultError, SubmissionUncertain
from qimg_pennylane.devices import make_device, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from qimg_core.execution import ExecutionRequest
    from qimg_pennylane.devices import DeviceFacts
    from qimg_pennylane.tapes import Template

_REFUSALS = (
    qml.exceptions.DeviceError,
    qml.exceptions.WireError,
    qml.exceptions.DecompositionUndefinedError,
    MemoryError,
    NotImplementedError,
)
_AMPLITUDES = 2**22
"""Most numbers of all states that are held at once: 64 MiB."""
_TAPES = 128
"""Most tapes that are held at once."""


@frozen(eq=False)
class Block:
    """Rows that one tape computes: ``columns`` hold numbers where ``rows`` is 1, else arrays for what differs."""

    columns: Sequence[Any]
    rows: int


def columns_of(request: ExecutionRequest) -> list[Any]:
    """Per parameter: (rows,), or a number where all rows share it."""
    circuit, weights = request.circuit, request.weights
    out: list[Any] = [None] * len(circuit.parameters)
    for k, p in enumerate(circuit.input_indices):
        out[p] = np.asarray(request.inputs[:, k], dtype=float)
    for k, p in enumerate(circuit.weight_indices):
        out[p] = np.asarray(weights[:, k], dtype=float) if weights.ndim == 2 else float(weights[k])
    return out


def row(columns: Sequence[Any], index: int) -> list[float]:
    """One row's numbers."""
    return [float(c[index]) if np.ndim(c) else c for c in columns]


def blocks(facts: DeviceFacts, template: Template, request: ExecutionRequest) -> Iterator[Block]:
    """The request's rows as blocks, in order; broadcast where the device can and the memory allows.

    Where no angle differs by row there is one block of one row.
    """
    columns = columns_of(request)
    rows = template.row_numbers(columns)
    step = max(1, _AMPLITUDES // state_size(facts, request)) if facts.broadcasts else 1
    for start in range(0, rows, step):
        count = min(step, rows - start)
        if count == 1:
            yield Block(row(columns, start), 1)
        else:
            yield Block([c[start : start + count] if np.ndim(c) else c for c in columns], count)


def batches(facts: DeviceFacts, request: ExecutionRequest, found: Iterable[Block]) -> Iterator[list[Block]]:
    """Blocks that run together: not too many tapes, nor too many numbers in their states."""
    size = state_size(facts, request)
    batch: list[Block] = []
    for block in found:
        if batch and (len(batch) >= _TAPES or (sum(b.rows for b in batch) + block.rows) * size > _AMPLITUDES):
            yield batch
            batch = []
        batch.append(block)
    if batch:
        yield batch


def state_size(facts: DeviceFacts, request: ExecutionRequest) -> int:
    """Numbers of one row's state."""
    return int(2 ** (request.circuit.n_wires * (2 if facts.noise else 1)))


class Runner:
    """One device object for one request.

    Args:
        facts: of the device.
        name: of the driver, for messages.
        wires: of the circuit.
        seed: for a seeded device; None draws from the system's entropy.
        options: given to the device as they are.
    """

    def __init__(
        self, facts: DeviceFacts, name: str, wires: int, *, seed: int | None, options: Mapping[str, Any]
    ) -> None:
        self._facts, self._name, self._options = facts, name, options
        self.device = make_device(facts, wires, seed=seed, options=options)

    def execute(self, tapes: Sequence[Any]) -> list[Any]:
        """Results of the tapes, in order.

        Raises:
            CapabilityError: the device does not take the circuit.
            JobFailed: a device of this process failed.
            SubmissionUncertain: another device failed; PennyLane does not tell whether anything was sent.
        """
        with self._errors():
            return list(qml.execute(tapes, self.device, diff_method=None, interface=None, cache=False))

    def derivatives(self, tapes: Sequence[Any]) -> list[Any]:
        """Adjoint derivatives of tapes with one expectation value each: per tape (trainable parameters,)."""
        with self._errors():
            wanted = ExecutionConfig(gradient_method="adjoint", use_device_gradient=True)
            config = self.device.setup_execution_config(wanted)
            found = self.device.compute_derivatives(list(tapes), config)
        return [np.asarray(one).real.astype(float).reshape(-1) for one in found]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what PennyLane raises into our errors."""
        try:
            yield
        except QimgError:
            raise
        except Exception as cause:  # a device may raise anything
            text = without_secrets(f"{type(cause).__name__}: {cause}", self._options)
            if not self._facts.local:
                raise SubmissionUncertain(
                    f"{self._name} failed, and PennyLane does not say whether the circuit was accepted: {text}",
                    hint="look at the provider's list of jobs before sending it again",
                ) from cause
            if isinstance(cause, _REFUSALS):
                raise CapabilityError(self._name, [Mismatch("circuit", "this circuit", text)]) from cause
            raise JobFailed(f"{self._name} failed: {text}") from cause


def finite(name: str, array: Any) -> Any:
    """The same array.

    Raises:
        ResultError: there is a NaN or an infinity in it.
    """
    if not np.isfinite(array).all():
        raise ResultError(f"{name} returned numbers that are not finite")
    return array
