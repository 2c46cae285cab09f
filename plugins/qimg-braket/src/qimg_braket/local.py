"""Braket's local simulators as devices: ``braket:local`` and ``braket:dm`` (imports qimg_core, numpy; the SDK later).

A program of each row is run once with ``shots=0`` for its state vector or density matrix, and everything is
read from that by us. Two facts of the vendor's simulator make it so: it has no seed, and some versions return
exact probabilities of reordered targets in the inverse order. Classical simulation in this process.
"""

from __future__ import annotations

import datetime as dt
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

import qimg_braket
from qimg_braket.qasm import NAMES, digest, with_result
from qimg_braket.states import distribution, exact, perfect, sampled
from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, MeasurementKind, Mismatch
from qimg_core.circuit.gates import CONTROLLED_ROTATIONS
from qimg_core.circuit.resources import resources
from qimg_core.errors import CapabilityError, ResultError
from qimg_core.execution import Footprint, array_digest
from qimg_core.job import RawResult, Snapshot
from qimg_core.measurement import Samples, State
from qimg_core.settings import bound, settings_for

if TYPE_CHECKING:
    from qimg_braket.states import Complex, Readout
    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import ExecutionRequest
    from qimg_core.noise import NoiseModel

GATES = frozenset(NAMES) | CONTROLLED_ROTATIONS


def versions() -> dict[str, str]:
    """Of what computes here."""
    names = ("amazon-braket-sdk", "amazon-braket-default-simulator", "numpy")
    return {"qimg-braket": qimg_braket.__version__, **{name: version(name) for name in names}}


def as_written(request: ExecutionRequest, *, basis: str = "as written") -> Footprint:
    """The circuit's figures before any compiler of a provider has seen it."""
    r = resources(request.circuit)
    return Footprint(wires=r.wires, depth=r.depth, two_qubit_gates=r.two_qubit_gates, basis=basis)


def refuse_impossible(name: str, request: ExecutionRequest, capabilities: Capabilities) -> None:
    """What capabilities cannot say: samples need shots, and a state cannot have any.

    Raises:
        CapabilityError
    """
    found = list(capabilities.check(request))
    if request.shots is None and isinstance(request.measurement, Samples):
        found.append(Mismatch("shots", "samples without a number of shots", "1 or more"))
    if request.shots is not None and isinstance(request.measurement, State):
        found.append(Mismatch("shots", f"a state from {request.shots} shots", "a state without shots"))
    if found:
        raise CapabilityError(name, found)


class LocalSimulatorBackend(LocalBackend):
    """The state vector simulator ``braket_sv``, under the name ``braket:local``."""

    engine: ClassVar[str] = "braket_sv"
    result: ClassVar[str] = "state_vector"
    device: ClassVar[str] = "local"
    max_wires: ClassVar[int] = 20
    noisy: ClassVar[bool] = False

    def __init__(self) -> None:
        super().__init__()
        from braket.devices import LocalSimulator

        self.name = f"braket:{self.device}"
        self._simulator = LocalSimulator(self.engine)

    @property
    def capabilities(self) -> Capabilities:
        """Every gate; ``max_wires`` is this driver's bound, the simulator itself would go on."""
        kinds = frozenset(MeasurementKind)
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=self.max_wires,
            gates=GATES,
            measurements=kinds - {MeasurementKind.STATE} if self.noisy else kinds,
            analytic=True,
            shots=(1, None),
            max_window=6,
            noise=self.noisy,
            seeded=True,
            billing=Billing.FREE,
        )

    def snapshot(self) -> Snapshot:
        """Versions and precision."""
        data = {**versions(), "engine": self.engine, "precision": "complex128"}
        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data=dict(data))

    def footprint(self, request: ExecutionRequest) -> Footprint:
        """As written: a simulator compiles nothing."""
        return as_written(request)

    def run(self, request: ExecutionRequest) -> RawResult:
        """One program a row; shots are drawn by us from the exact distribution with the request's seed.

        Raises:
            CapabilityError: samples without shots, a state with shots, or anything outside `capabilities`.
            ResultError: the simulator's state has the wrong size or norm.
        """
        refuse_impossible(self.name, request, self.capabilities)
        values = request.circuit.values(request.inputs, request.weights)
        texts = [with_result(bound(request.circuit, row), self.result, request.noise) for row in values]
        known: dict[str, Complex] = {}
        for text in texts:
            if text not in known:
                known[text] = self._state(text, request.circuit)
        states = [known[text] for text in texts]
        raw: Any
        readout = _readout(request.noise)
        facts: dict[str, Any] = {"engine": self.engine, **versions()}
        if readout is not perfect:
            facts["readout"] = "the confusion matrix of each wire was applied by qimg-braket, not by the simulator"
        if request.shots is None:
            data = np.stack(states) if isinstance(request.measurement, State) else None
            data = exact(states, request.measurement, readout) if data is None else data
            raw, sampling = np.stack(states), "none"
        else:
            settings = settings_for(request.measurement)
            rows = [[distribution(s, setting, readout) for setting in settings] for s in states]
            data, raw = sampled(rows, request.measurement, request.shots, request.seed)
            sampling = "client"
        return RawResult(
            data=data,
            shots=request.shots,
            raw_digest=array_digest(raw),
            sampling=sampling,
            lowered_digest=digest(texts),
            provider=facts,
        )

    def _state(self, text: str, circuit: Circuit) -> Complex:
        from braket.ir.openqasm import Program

        answer = self._simulator.run(Program(source=text), shots=0).result()
        state = np.asarray(answer.values[0], dtype=np.complex128)
        size = 2**circuit.n_wires
        wanted = (size, size) if self.noisy else (size,)
        norm = np.trace(state).real if state.ndim == 2 else np.vdot(state, state).real
        if state.shape != wanted or abs(norm - 1) > 1e-6:
            raise ResultError(f"{self.name}: wanted a state {wanted} of norm 1, got {state.shape} of norm {norm:.6g}")
        return state


class LocalDensityMatrixBackend(LocalSimulatorBackend):
    """The density matrix simulator ``braket_dm``, with noise, under the name ``braket:dm``.

    Channels become Braket noise pragmas after the gates; read-out errors, for which Braket has no pragma, are
    applied to the exact distribution by us, and the record says so. ``State`` is not claimed: without noise
    it asks for amplitudes, which a density matrix gives only up to a phase.
    """

    engine: ClassVar[str] = "braket_dm"
    result: ClassVar[str] = "density_matrix"
    device: ClassVar[str] = "dm"
    max_wires: ClassVar[int] = 10
    noisy: ClassVar[bool] = True


def _readout(noise: NoiseModel | None) -> Readout:
    if noise is None or (noise.readout is None and not noise.wire_readout):
        return perfect
    return lambda wire: noise.readout_of(wire) or (0.0, 0.0)
