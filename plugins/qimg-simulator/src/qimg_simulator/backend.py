"""`SimulatorBackend`: qimg's own simulator as a device (imports qimg_core; torch by its parts).

Numpy in, numpy float64 out, computed in complex128. Torch tensors in, tensors out in the same graph:
float32 computes in complex64, float64 in complex128, on the tensors' own device.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

import qimg_simulator
from qimg_core.backend import LocalBackend
from qimg_core.capabilities import (
    Billing,
    Capabilities,
    DeviceKind,
    GradientMethod,
    MeasurementKind,
    Mismatch,
)
from qimg_core.circuit.gates import UNITARY, GateName
from qimg_core.errors import CapabilityError, DataError
from qimg_core.execution import RawResult, Snapshot, is_tensor
from qimg_core.measurement import Expectation, LocalStates, Probabilities, State
from qimg_simulator import readout
from qimg_simulator.plan import compile_plan
from qimg_simulator.program import Program

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest

MAX_WIRES = 22
MAX_NOISY_WIRES = 10
_PROGRAMS = 64


class SimulatorBackend(LocalBackend):
    """Batched, differentiable statevector and density-matrix engine in this process."""

    name: ClassVar[str] = "simulator"

    def __init__(self) -> None:
        super().__init__()
        self._programs: dict[tuple[object, ...], Program] = {}

    @property
    def capabilities(self) -> Capabilities:
        """Everything but mid-circuit measurement; with noise at most `MAX_NOISY_WIRES` wires."""
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=MAX_WIRES,
            gates=UNITARY | {GateName.PREPARE},
            measurements=frozenset(MeasurementKind),
            gradients=frozenset({GradientMethod.BACKPROP}),
            analytic=True,
            shots=(1, None),
            max_window=6,
            noise=True,
            contracts=True,
            seeded=True,
            billing=Billing.FREE,
        )

    def snapshot(self) -> Snapshot:
        """Versions, precision and threads: what a byte-equal replay needs to be the same."""
        return Snapshot(
            device=self.name,
            taken_at=dt.datetime.now(dt.UTC),
            data={
                "qimg-simulator": qimg_simulator.__version__,
                "torch": str(torch.__version__),
                "precision": "complex128 for numpy and float64 tensors, complex64 for float32 tensors",
                "threads": torch.get_num_threads(),
            },
        )

    def run(self, request: ExecutionRequest) -> RawResult:
        """Compute the whole request.

        Raises:
            CapabilityError: something outside `capabilities`, or noise on too many wires.
            DataError: tensors that are neither float32 nor float64, or amplitudes of norm other than 1.
        """
        self._check(request)
        if is_tensor(request.inputs):
            return self._exact(request, request.inputs, request.weights)
        inputs = torch.as_tensor(request.inputs, dtype=torch.float64)
        weights = torch.as_tensor(request.weights, dtype=torch.float64)
        with torch.no_grad():
            raw = self._exact(request, inputs, weights)
        return RawResult(data=raw.data.contiguous().numpy(), shots=None)

    def _check(self, request: ExecutionRequest) -> None:
        found = list(self.capabilities.check(request))
        n = request.circuit.n_wires
        if request.noise is not None and n > MAX_NOISY_WIRES:
            found.append(Mismatch("wires", f"{n} with noise", f"up to {MAX_NOISY_WIRES} with noise"))
        if found:
            raise CapabilityError(self.name, found)
        for what, array in (("inputs", request.inputs), ("weights", request.weights)):
            if is_tensor(array) and array.dtype not in (torch.float32, torch.float64):
                raise DataError(f"{what}: wanted float32 or float64 tensors, got {array.dtype}")

    def _program(self, request: ExecutionRequest, like: Tensor) -> Program:
        by_row = request.weights.ndim == 2
        key = (request.circuit.digest, by_row, like.dtype, like.device)
        found = self._programs.get(key)
        if found is None:
            found = Program(compile_plan(request.circuit, weights_by_row=by_row), like)
            while len(self._programs) >= _PROGRAMS:
                self._programs.pop(next(iter(self._programs)), None)
            self._programs[key] = found
        return found

    def _exact(self, request: ExecutionRequest, inputs: Tensor, weights: Tensor) -> RawResult:
        psi = self._program(request, inputs).state(inputs, weights)
        measurement = request.measurement
        data: Any
        if isinstance(measurement, Expectation):
            data = readout.expectation(psi, measurement.terms)
        elif isinstance(measurement, LocalStates):
            if request.readout is None:
                data = readout.local_states(psi, measurement.windows)
            else:
                matrices = [torch.as_tensor(h) for h in request.readout]
                data = readout.contracted(psi, measurement.windows, matrices)
        elif isinstance(measurement, Probabilities):
            data = readout.probabilities(psi, measurement.wires)
        elif isinstance(measurement, State):
            data = psi.t()
        else:
            raise CapabilityError(self.name, [Mismatch("shots", "samples without shots", "a number of shots")])
        return RawResult(data=data.expand(request.rows, *data.shape[1:]), shots=None)
