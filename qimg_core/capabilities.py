"""What a device can do, in closed types, and the check of a request against it (imports errors, circuit)."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.circuit.gates import GateName
    from qimg_core.execution import ExecutionRequest


class DeviceKind(enum.StrEnum):
    """Where numbers come from. Only ``qpu`` is quantum hardware; simulators are classical computers."""

    QPU = "qpu"
    SIMULATOR = "simulator"
    SURROGATE = "surrogate"  # a classical stand-in: its output is never called quantum


class MeasurementKind(enum.StrEnum):
    """The measurements of `qimg_core.execution`."""

    EXPECTATION = "expectation"
    LOCAL_STATES = "local_states"
    PROBABILITIES = "probabilities"
    SAMPLES = "samples"
    STATE = "state"


class GradientMethod(enum.StrEnum):
    """How a derivative is had."""

    BACKPROP = "backprop"
    ADJOINT = "adjoint"
    PARAMETER_SHIFT = "parameter_shift"


class Idempotency(enum.StrEnum):
    """How a job can be told from its double."""

    TOKEN = "token"  # the provider takes our key and makes one job of it, however often it is sent
    TAG = "tag"  # our key goes into a tag or metadata, and `Backend.find` looks it up
    NONE = "none"  # neither: an uncertain submission stays uncertain


class Billing(enum.StrEnum):
    """Whether using the device costs money."""

    FREE = "free"
    METERED = "metered"
    UNKNOWN = "unknown"


@frozen
class Mismatch:
    """One thing wanted that the device does not offer."""

    field: str
    wanted: str
    offered: str

    def __str__(self) -> str:
        return f"{self.field}: wanted {self.wanted}, offered {self.offered}"


def _gates(names: Iterable[GateName]) -> frozenset[GateName]:
    return frozenset(names)


def _kinds(kinds: Iterable[MeasurementKind]) -> frozenset[MeasurementKind]:
    return frozenset(kinds)


def _methods(methods: Iterable[GradientMethod]) -> frozenset[GradientMethod]:
    return frozenset(methods)


@frozen(kw_only=True)
class Capabilities:
    """A device's promise. The conformance kit tests every claim, both ways.

    Args:
        kind: what the device is.
        max_wires: most wires of one circuit.
        gates: gates the driver accepts; the core lowers others where it can.
        measurements: measurement kinds it returns.
        gradients: gradient methods it offers natively (parameter shift needs no claim).
        analytic: ``shots=None`` (exact numbers) is allowed.
        shots: (fewest, most) shots of a row, ``most=None`` for no limit; None where it cannot sample.
        max_window: most wires of a `LocalStates` window.
        max_rows: most rows of one job.
        max_in_flight: most jobs that wait or run at once.
        noise: accepts a `NoiseModel` with the request.
        contracts: accepts ``request.readout`` and contracts local states with it itself.
        successor: name of the device that circuits with more than ``max_wires`` are handed to, where it is installed.
        groups: accepts weights (groups, n_weights); elsewhere lowering gives each row its vector.
        seeded: the same seed gives the same samples.
        remote: work leaves this process.
        cancellable: `Backend.cancel` can stop a job.
        resumable: a job's handle is good in another process.
        idempotency: what a repeated submission of one key does.
        calibrated: `Backend.snapshot` gives a calibration that can drift.
        compiles: `Backend.footprint` gives the circuit's figures as the device executes it.
        billing: whether it costs.
    """

    kind: DeviceKind
    max_wires: int
    gates: frozenset[GateName] = field(converter=_gates)
    measurements: frozenset[MeasurementKind] = field(converter=_kinds)
    gradients: frozenset[GradientMethod] = field(default=frozenset(), converter=_methods)
    analytic: bool
    shots: tuple[int, int | None] | None
    max_window: int = 4
    max_rows: int | None = None
    max_in_flight: int | None = None
    noise: bool = False
    contracts: bool = False
    groups: bool = False
    successor: str | None = None
    seeded: bool = False
    remote: bool = False
    cancellable: bool = False
    resumable: bool = False
    idempotency: Idempotency = Idempotency.NONE
    calibrated: bool = False
    compiles: bool = False
    billing: Billing = Billing.UNKNOWN

    def check(self, request: ExecutionRequest) -> tuple[Mismatch, ...]:
        """Everything in ``request`` that this device does not offer; empty means it can run."""
        found: list[Mismatch] = []

        def need(ok: bool, name: str, wanted: object, offered: object) -> None:
            if not ok:
                found.append(Mismatch(name, str(wanted), str(offered)))

        circuit, shots, measurement = request.circuit, request.shots, request.measurement
        need(circuit.n_wires <= self.max_wires, "wires", circuit.n_wires, f"up to {self.max_wires}")
        missing = {g.name for g in circuit.gates} - self.gates
        need(not missing, "gates", ", ".join(sorted(missing)), ", ".join(sorted(self.gates)))
        kind = measurement.kind
        need(kind in self.measurements, "measurement", kind, ", ".join(sorted(self.measurements)))
        widest = max((len(w) for w in getattr(measurement, "windows", ())), default=0)
        need(widest <= self.max_window, "window", f"{widest} wires", f"up to {self.max_window}")
        if shots is None:
            need(self.analytic, "shots", "exact numbers (shots=None)", f"finite shots {self.shots}")
        elif self.shots is None:
            need(False, "shots", shots, "exact numbers only")
        else:
            low, high = self.shots
            need(low <= shots and (high is None or shots <= high), "shots", shots, f"{low} to {high or 'any'}")
        need(request.noise is None or self.noise, "noise", "a noise model", "none")
        need(request.readout is None or self.contracts, "readout", "contracted read-out", "Pauli vectors")
        need(self.seeded or not request.require_seed, "seed", "seeded sampling", "unseeded sampling")
        return tuple(found)
