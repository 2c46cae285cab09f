"""`ToucanBackend`: a device that gives the distribution of the outcomes of a circuit (imports qimg_core, numpy)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

import numpy as np
from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, MeasurementKind
from qimg_core.circuit import matrix
from qimg_core.circuit.gates import PARAMETRIC, GateName
from qimg_core.execution import array_digest
from qimg_core.job import RawResult, Snapshot
from qimg_core.settings import Outcomes, bound_circuits, read

import qimg_toucan

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from qimg_core.circuit import Circuit
    from qimg_core.execution import ExecutionRequest

    Floats = npt.NDArray[np.float64]


class ToucanBackend(LocalBackend):
    """Six wires and five gates; the core writes other gates with them. `bound_circuits` itself adds H and SDG."""

    name = "toucan"

    @property
    def capabilities(self) -> Capabilities:
        """A promise: the core refuses what is not in it, and the conformance kit tries what is."""
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=6,
            gates={GateName.RY, GateName.RZ, GateName.CX, GateName.H, GateName.SDG},
            measurements=set(MeasurementKind) - {MeasurementKind.STATE},
            analytic=True,
            shots=(1, None),
            max_window=2,
            seeded=True,
            billing=Billing.FREE,
        )

    def snapshot(self) -> Snapshot:
        """What a repetition needs to give the same numbers; without floats."""
        data = {"qimg-toucan": qimg_toucan.__version__, "numpy": np.__version__}
        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data=data)

    def run(self, request: ExecutionRequest) -> RawResult:
        """Every row in every basis that the measurement needs; `read` makes the result of the outcomes."""
        settings, circuits = bound_circuits(request)
        rng = np.random.Generator(np.random.PCG64(request.seed))
        outcomes = []
        for k, setting in enumerate(settings):
            rows = np.stack([self.distribution(row[k], setting.wires) for row in circuits])
            if request.shots is None:
                outcomes.append(Outcomes.dense(rows))
                continue
            drawn = rng.multinomial(request.shots, rows / rows.sum(axis=1, keepdims=True))
            bits = list(np.ndindex(*(2,) * len(setting.wires)))
            counted = [{b: int(c) for b, c in zip(bits, row, strict=True) if c} for row in drawn]
            outcomes.append(Outcomes.counted(counted, len(setting.wires)))
        data = read(request.measurement, settings, outcomes)
        sampling = "none" if request.shots is None else "native"
        return RawResult(data=data, shots=request.shots, raw_digest=array_digest(data), sampling=sampling)

    def distribution(self, circuit: Circuit, wires: Sequence[int]) -> Floats:
        """(2**len(wires),): probabilities of the outcomes of ``wires`` in the order given, first one most significant.

        Args:
            circuit: of claimed gates whose angles are all numbers; wire 0 is the most significant.
            wires: those that are measured.
        """
        n = circuit.n_wires
        state = np.zeros((2,) * n, dtype=complex)
        state[(0,) * n] = 1
        for gate in circuit.gates:
            k = len(gate.wires)
            u = matrix(gate.name, gate.angle.offset if gate.name in PARAMETRIC else None)
            moved = np.moveaxis(state, gate.wires, range(k))
            state = np.moveaxis((u @ moved.reshape(2**k, -1)).reshape(moved.shape), range(k), gate.wires)
        p = np.moveaxis(np.abs(state) ** 2, wires, range(len(wires)))
        return p.reshape(2 ** len(wires), -1).sum(axis=1)
