"""`FakeDevice`, the devices ``ibm:fake_...``: IBM's machines simulated offline, with noise (imports isa, shared).

Everything runs on a classical computer. The SDK's own local mode is not used: it rounds angles to five decimals
and simulates devices of a hundred qubits at full width, six seconds a job. Here the transpiled circuit runs on the
qubits that it touches. Idle time has no noise, because circuits are not scheduled.
"""

from __future__ import annotations

import datetime as dt
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, MeasurementKind
from qimg_core.errors import CapabilityError
from qimg_core.job import RawResult, Snapshot
from qimg_core.seeds import derive_seed
from qimg_ibm.calibration import calibration_of, readout_of
from qimg_ibm.isa import Compiler, digest_of_all
from qimg_ibm.local import from_counts, versions
from qimg_ibm.offline import NoisyDevice, documents, open_snapshot, part_of
from qimg_ibm.shared import of_settings
from qimg_ibm.walker import GATES

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest, Footprint

COUNTED = frozenset(MeasurementKind) - {MeasurementKind.STATE}
"""What can be had from counts."""


class FakeDevice(LocalBackend):
    """A device of IBM from the snapshot of its calibration in the SDK. A classical simulation, free, seeded.

    Args:
        device: such as ``fake_guadalupe``.

    Raises:
        UnknownName: the SDK has no such device.
    """

    def __init__(self, device: str) -> None:
        super().__init__()
        self.name = f"ibm:{device}"
        self._backend = open_snapshot(device)
        self._device = device

    @cached_property
    def _compiler(self) -> Compiler:
        return Compiler(part_of(self._backend.target), self._device)

    @cached_property
    def _noisy(self) -> NoisyDevice:
        return NoisyDevice(self._compiler.backend.target, readout_of(self._calibration))

    @cached_property
    def _calibration(self) -> dict[str, Any]:
        return calibration_of(documents(self._backend)[1])

    @property
    def capabilities(self) -> Capabilities:
        """As a real device: shots only, its own connectivity and noise."""
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=self._backend.num_qubits,
            gates=GATES,
            measurements=COUNTED,
            analytic=False,
            shots=(1, 1_000_000),
            max_window=4,
            seeded=True,
            calibrated=True,
            compiles=True,
            billing=Billing.FREE,
        )

    def footprint(self, request: ExecutionRequest) -> Footprint:
        """Of the transpiled circuit."""
        return self._compiler.footprint(request)

    def snapshot(self) -> Snapshot:
        """The calibration of the day on which IBM took the snapshot, and the versions of what computes."""
        data = {**self._calibration, "versions": versions()}
        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data=data)

    def run(self, request: ExecutionRequest) -> RawResult:
        """Transpile, bind, simulate, count.

        Raises:
            CapabilityError: something outside `capabilities`, or a circuit that does not fit.
            JobFailed: Aer could not run it, for example for lack of memory.
        """
        if found := self.capabilities.check(request):
            raise CapabilityError(self.name, found)
        assert request.shots is not None
        settings, made = self._compiler.all(request)
        values = request.circuit.values(request.inputs, request.weights)
        seeds = [None if request.seed is None else derive_seed(request.seed, "setting", k) for k in range(len(made))]
        tables = of_settings(made, self._noisy, values, shots=request.shots, seeds=seeds)
        data, digest = from_counts(request, settings, tables)
        return RawResult(
            data=data,
            shots=request.shots,
            raw_digest=digest,
            sampling="native",
            lowered_digest=digest_of_all(made),
            provider={
                "layout": [list(isa.layout) for isa in made],
                "method": self._noisy.method(made[0].qubits),
                "transpiled": self._compiler.words,
            },
        )
