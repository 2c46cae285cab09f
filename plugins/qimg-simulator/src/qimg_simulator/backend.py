"""`SimulatorBackend`: qimg's own simulator as a device (imports qimg_core; torch by its parts).

Numpy in, numpy float64 out, computed in complex128. Torch tensors in, tensors out in the same graph:
float32 computes in complex64, float64 in complex128, on the tensors' own device.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from attrs import evolve
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
from qimg_core.errors import CapabilityError, ConfigurationError, DataError
from qimg_core.execution import array_digest, is_tensor
from qimg_core.job import RawResult, Snapshot
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_simulator.compiled import CompiledProgram, kernels
from qimg_simulator.engine import ComputedState, PureState
from qimg_simulator.explaining import explain
from qimg_simulator.noisy import NoisyProgram
from qimg_simulator.noisy_state import NoisyState
from qimg_simulator.pauli_basis import contract
from qimg_simulator.plan import compile_plan, is_real
from qimg_simulator.pure import PureProgram
from qimg_simulator.sampling import as_tensor, counts, expectations, generator, pauli_vectors, samples

if TYPE_CHECKING:
    import numpy.typing as npt

    from qimg_core.execution import ExecutionRequest
    from qimg_core.explanation import Explanation

MAX_WIRES = 22
ENGINES = ("", "torch", "kernels")
MAX_NOISY_WIRES = 10
CAPABILITIES = Capabilities(
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
    groups=True,
    successor="pennylane:lightning.qubit",
    seeded=True,
    billing=Billing.FREE,
)
"""Everything but mid-circuit measurement."""
_PROGRAMS = 64


class SimulatorBackend(LocalBackend):
    """Batched, differentiable statevector and density-matrix engine in this process.

    Args:
        device: ``torch`` never uses compiled kernels, ``kernels`` demands that they are installed; the default takes
            them where they are.

    Raises:
        ConfigurationError: another device, or kernels that are not there.
        PluginLoadError: kernels that are there and broken.
    """

    def __init__(self, device: str = "") -> None:
        super().__init__()
        if device not in ENGINES:
            raise ConfigurationError(
                f"simulator: wanted simulator, simulator:torch or simulator:kernels, got {device!r}"
            )
        self.name = f"simulator:{device}" if device else "simulator"
        self._kernels = None if device == "torch" else kernels()
        if device == "kernels" and self._kernels is None:
            raise ConfigurationError("simulator:kernels: no compiled kernels here", hint="pip install qimg-kernels")
        # glibc gives freed blocks back to the system, and every step would fault its pages in again (half the time of
        # some), until a block of this size was freed once; it is never touched, so it costs no memory
        torch.empty(31 * 2**18)
        self._fits: tuple[object, ...] | None = None  # parts of the last request that fitted
        self._programs: dict[tuple[object, ...], PureProgram | CompiledProgram | NoisyProgram] = {}

    @property
    def capabilities(self) -> Capabilities:
        """Everything but mid-circuit measurement; with noise at most `MAX_NOISY_WIRES` wires."""
        return CAPABILITIES

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
                "kernels": None if self._kernels is None else self._kernels[1],
            },
        )

    def explain(self, request: ExecutionRequest, *, gradient: bool = True) -> Explanation:
        """See `Backend.explain`.

        Raises:
            CapabilityError: the request does not fit.
        """
        self._check(request)
        like = torch.empty(0, dtype=torch.float32 if is_tensor(request.inputs) else torch.float64)
        return explain(self._program(request, like), request, gradient=gradient and request.shots is None)

    def run(self, request: ExecutionRequest) -> RawResult:
        """Compute the whole request.

        With shots: `Samples` are independent shots; `Probabilities` are frequencies; every term of an
        `Expectation` is measured on its own with that many shots; `LocalStates` measures each window
        in each of its 3**k bases with that many shots and averages the bases that agree with a Pauli
        string. Shots are drawn from numbers detached from any graph.

        Raises:
            CapabilityError: something outside `capabilities`, or noise on too many wires.
            DataError: tensors that are neither float32 nor float64, inputs and weights of different kinds,
                or amplitudes of norm other than 1.
        """
        self._check(request)
        tensors = is_tensor(request.inputs)
        inputs, weights = request.inputs, request.weights
        if not tensors:
            inputs, weights = (torch.tensor(a, dtype=torch.float64) for a in (inputs, weights))
        engine = "statevector" if request.noise is None else "pauli transfer"
        if tensors and request.shots is None:
            exact = self._exact(request, self._state(request, inputs, weights))
            return RawResult(data=exact, shots=None, provider={"engine": engine})
        with torch.no_grad():
            state = self._state(request, inputs, weights)
            if request.shots is None:
                data = self._exact(request, state).resolve_conj().contiguous().numpy()
                return RawResult(data=data, shots=None, provider={"engine": engine})
            array, drawn = self._sampled(request, state, request.shots)
        out = as_tensor(array, inputs) if tensors else array
        return RawResult(data=out, shots=request.shots, raw_digest=array_digest(drawn), provider={"engine": engine})

    def _check(self, request: ExecutionRequest) -> None:
        for what, array in (("inputs", request.inputs), ("weights", request.weights)):
            if is_tensor(array) and array.dtype not in (torch.float32, torch.float64):
                raise DataError(f"{what}: wanted float32 or float64 tensors, got {array.dtype}")
        if is_tensor(request.inputs) != is_tensor(request.weights) or (
            is_tensor(request.inputs) and request.inputs.dtype != request.weights.dtype
        ):
            kinds = " and ".join(f"{type(a).__name__} {a.dtype}" for a in (request.inputs, request.weights))
            raise DataError(f"inputs and weights: wanted arrays of the same kind and dtype, got {kinds}")
        asked = (request.circuit, request.measurement, request.noise, request.shots, request.readout is None)
        fits = self._fits
        if fits is not None and all(a is b for a, b in zip(asked, fits, strict=True)):
            return  # a training asks the same every step
        self._check_offer(request)
        self._fits = asked

    def _check_offer(self, request: ExecutionRequest) -> None:
        found = list(self.capabilities.check(request))
        n = request.circuit.n_wires
        if request.noise is not None and n > MAX_NOISY_WIRES:
            found.append(Mismatch("wires", f"{n} with noise", f"up to {MAX_NOISY_WIRES} with noise"))
        if request.shots is None and isinstance(request.measurement, Samples):
            found.append(Mismatch("shots", "samples without a number of shots", "1 or more"))
        if request.shots is not None and isinstance(request.measurement, State):
            found.append(Mismatch("shots", f"a state from {request.shots} shots", "a state without shots"))
        if found:
            raise CapabilityError(self.name, found)
        if not isinstance(request.measurement, State) and request.measurement.width == 0:
            raise DataError(f"{request.measurement.kind}: wanted one term or window at least, got none")

    def _program(self, request: ExecutionRequest, like: Tensor) -> PureProgram | CompiledProgram | NoisyProgram:
        several, groups = request.weights.ndim == 2, request.groups is not None
        key = (request.circuit.digest, several, groups, request.noise and request.noise.digest, like.dtype, like.device)
        found = self._programs.get(key)
        if found is None:
            found = self._made(request, like)
            while len(self._programs) >= _PROGRAMS:
                self._programs.pop(next(iter(self._programs)), None)
            self._programs[key] = found
        return found

    def _made(self, request: ExecutionRequest, like: Tensor) -> PureProgram | CompiledProgram | NoisyProgram:
        circuit, several = request.circuit, request.weights.ndim == 2
        if request.noise is not None:
            return NoisyProgram(circuit, request.noise, weights_by_row=several, like=like)
        if self._kernels is not None:
            kernel, plan = self._kernels[0], compile_plan(circuit, weights_by_row=several)
            if kernel.supports(plan, like):
                return CompiledProgram(kernel, plan, like)
        by_row = several and request.groups is None
        return PureProgram(compile_plan(circuit, weights_by_row=by_row, real=is_real(circuit)), like)

    def _state(self, request: ExecutionRequest, inputs: Tensor, weights: Tensor) -> ComputedState:
        program = self._program(request, inputs)
        if isinstance(program, PureProgram):
            return PureState(program, inputs, weights)
        if weights.ndim == 2 and len(weights) != len(inputs):
            weights = weights.repeat_interleave(len(inputs) // len(weights), 0)
        if isinstance(program, CompiledProgram):
            return PureState(program, inputs, weights)
        assert request.noise is not None
        errors = [request.noise.readout_of(wire) for wire in range(request.circuit.n_wires)]
        return NoisyState(program, inputs, weights, errors)

    def _exact(self, request: ExecutionRequest, state: ComputedState) -> Tensor:
        matrices = None
        if request.readout is not None:
            matrices = [torch.as_tensor(h, device=state.device) for h in request.readout]
        data = state.exact(request.measurement, matrices)
        if data.shape[0] == request.rows:
            return data
        return data.expand(request.rows, *data.shape[1:])

    def _sampled(
        self, request: ExecutionRequest, state: ComputedState, shots: int
    ) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """The result, and the raw numbers that were drawn."""
        m, rows, rng = request.measurement, request.rows, generator(request.seed)
        if isinstance(m, Samples):
            p = state.probabilities(m.wires)
            bits = samples(rng, p.expand(rows, -1), shots)
            return bits, bits
        if isinstance(m, Probabilities):
            drawn = counts(rng, state.probabilities(m.wires).expand(rows, -1), shots)
            return drawn / shots, drawn
        if isinstance(m, Expectation):
            plain = [evolve(t, coefficient=1.0) for t in m.terms]
            exact = state.expectation(plain).expand(rows, -1)
            return expectations(rng, exact, [t.coefficient for t in m.terms], shots)
        assert isinstance(m, LocalStates)
        vectors, seen = [], []
        every = state.local_states(m.windows).expand(rows, -1)
        sizes = [4 ** len(window) for window in m.windows]
        for window, exact in zip(m.windows, torch.split(every, sizes, 1), strict=True):
            vector, drawn = pauli_vectors(rng, exact, len(window), shots)
            vectors.append(vector)
            seen.append(drawn.reshape(rows, -1))
        estimate = np.concatenate(vectors, 1)
        if request.readout is not None:
            matrices = [torch.as_tensor(h).detach().cpu().to(torch.complex128) for h in request.readout]
            estimate = contract(torch.tensor(estimate), m.windows, matrices).numpy()
        return estimate, np.concatenate(seen, 1)
