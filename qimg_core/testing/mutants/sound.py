"""The device that mutants are made of: right, until something is changed (floor 8; imports reference, dense)."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from attrs import evolve

from qimg_core.execution import array_digest
from qimg_core.job import RawResult, Snapshot
from qimg_core.testing.conformance.dense import expected
from qimg_core.testing.reference import ReferenceBackend

if TYPE_CHECKING:
    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import ExecutionRequest


class SoundDevice(ReferenceBackend):
    """The reference device, with exact noise and a snapshot; windows of three wires at most, to be quick."""

    name = "sound"

    @property
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities, noise=True, max_window=3)

    def snapshot(self) -> Snapshot:
        import numpy as np

        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data={"numpy": np.__version__})

    def run(self, request: ExecutionRequest) -> RawResult:
        if request.shots is not None:
            return super().run(request)
        data = expected(request)  # from the reference's states, kept from one mutant to the next
        return RawResult(data=data, shots=None, raw_digest=array_digest(data), sampling="none")
