"""Devices whose noise, shots, seeds or claims are not what they say (floor 8; imports reference)."""

from __future__ import annotations

import datetime as dt
import secrets
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.capabilities import GradientMethod
from qimg_core.chunks import rows_of
from qimg_core.errors import ResultError
from qimg_core.job import JobHandle, RawResult, Snapshot
from qimg_core.measurement import Probabilities, Samples
from qimg_core.noise import NoiseModel, NoiseRule, depolarizing
from qimg_core.testing.conformance.dense import expected
from qimg_core.testing.conformance.device.gradients import differences
from qimg_core.testing.mutants.mutant import Mutant
from qimg_core.testing.mutants.sound import SoundDevice

if TYPE_CHECKING:
    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import ExecutionRequest, Plan
    from qimg_core.job import Intent


class NoiseIgnored(SoundDevice):
    """A noise model is accepted and forgotten."""

    def run(self, request: ExecutionRequest) -> RawResult:
        return super().run(evolve(request, noise=None))


class NoiseEverywhere(SoundDevice):
    """A rule's gates are ignored: its channel follows every gate."""

    def run(self, request: ExecutionRequest) -> RawResult:
        noise = request.noise
        if noise is not None:
            everywhere = NoiseModel([NoiseRule(r.channel) for r in noise.rules], noise.readout)
            request = evolve(request, noise=everywhere)
        return super().run(request)


class OtherDepolarising(SoundDevice):
    """Depolarising noise by the convention of a Pauli-error probability."""

    def run(self, request: ExecutionRequest) -> RawResult:
        noise = request.noise
        if noise is not None:
            rules = [
                NoiseRule(depolarizing(4 * r.channel.pauli[1] * 4 / 3), r.gates)
                if r.channel.pauli is not None and len({*r.channel.pauli[1:]}) == 1
                else r
                for r in noise.rules
            ]
            request = evolve(request, noise=NoiseModel(rules, noise.readout))
        return super().run(request)


class ReadoutExchanged(SoundDevice):
    """p(1|0) and p(0|1) are taken for each other."""

    def run(self, request: ExecutionRequest) -> RawResult:
        noise = request.noise
        if noise is not None and noise.readout is not None:
            request = evolve(request, noise=NoiseModel(noise.rules, noise.readout[::-1]))
        return super().run(request)


class InventedCounts(SoundDevice):
    """Counts are the rounded probabilities."""

    def run(self, request: ExecutionRequest) -> RawResult:
        import numpy as np

        if request.shots is None or not isinstance(request.measurement, (Probabilities, Samples)):
            return super().run(request)
        p = expected(request)
        counts = np.floor(p * request.shots).astype(int)
        rest = request.shots - counts.sum(1)
        for row, more in enumerate(rest):
            largest = np.argsort(counts[row] - p[row] * request.shots)[:more]
            counts[row, largest] += 1
        if isinstance(request.measurement, Probabilities):
            return RawResult(data=counts / request.shots, shots=request.shots, raw_digest="sha256:0")
        k = len(request.measurement.wires)
        bits = ((np.arange(2**k)[:, None] >> np.arange(k - 1, -1, -1)) & 1).astype(np.uint8)
        data = np.stack([np.repeat(bits, row, axis=0) for row in counts])
        return RawResult(data=data, shots=request.shots, raw_digest="sha256:0")


class ShotsCapped(SoundDevice):
    """No more than 100 shots are taken, and the number that was asked is said."""

    def run(self, request: ExecutionRequest) -> RawResult:
        asked = request.shots
        if asked is not None and not isinstance(request.measurement, Samples):
            return evolve(super().run(evolve(request, shots=min(asked, 100))), shots=asked)
        return super().run(request)


class DefaultShots(SoundDevice):
    """Always 1024 shots."""

    def run(self, request: ExecutionRequest) -> RawResult:
        return super().run(evolve(request, shots=None if request.shots is None else 1024))


class SeedIgnored(SoundDevice):
    """Samples are fresh, whatever the seed."""

    def run(self, request: ExecutionRequest) -> RawResult:
        return super().run(evolve(request, seed=secrets.randbits(60)))


class OneStreamForAllRows(SoundDevice):
    """Every row is drawn with the same random numbers."""

    def run(self, request: ExecutionRequest) -> RawResult:
        import numpy as np

        if request.shots is None or request.rows == 1:
            return super().run(request)
        weights = request.weights if request.weights.ndim == 2 else np.tile(request.weights, (request.rows, 1))
        rows = [
            super(OneStreamForAllRows, self).run(evolve(request, inputs=x[None], weights=w[None])).data
            for x, w in zip(request.inputs, weights, strict=True)
        ]
        return RawResult(data=np.concatenate(rows), shots=request.shots, raw_digest="sha256:0")


class DrawnAgain(SoundDevice):
    """A result that is read again is drawn again."""

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        handle = super().submit(plan, job, intent=intent)
        self.requests = {**getattr(self, "requests", {}), handle.key: rows_of(plan, job)}
        return handle

    def fetch(self, handle: JobHandle) -> RawResult:
        super().fetch(handle)
        return self.run(evolve(self.requests[handle.key], seed=secrets.randbits(60)))


class TooFewWires(SoundDevice):
    """Ten wires are claimed, and there are six."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if request.circuit.n_wires > 6:
            raise ResultError("six wires are all there is")
        return super().run(request)


class ForeignException(SoundDevice):
    """A gate that its table lacks."""

    def run(self, request: ExecutionRequest) -> RawResult:
        table = dict.fromkeys(self.capabilities.gates - {"swap"}, True)
        for gate in request.circuit.gates:
            table[gate.name]
        return super().run(request)


class RestlessSnapshot(SoundDevice):
    """The moment is part of the snapshot's data."""

    def snapshot(self) -> Snapshot:
        now = dt.datetime.now(dt.UTC)
        return Snapshot(device=self.name, taken_at=now, data={"now": now.isoformat()})


class HalfAdjoint(SoundDevice):
    """Adjoint gradients are claimed; a parameter that several gates share counts half."""

    @property
    def capabilities(self) -> Capabilities:
        return evolve(super().capabilities, gradients={GradientMethod.ADJOINT})

    def vjp(self, request: ExecutionRequest, cotangent: Any) -> tuple[Any, Any]:
        inputs, weights = differences(request, cotangent)
        return inputs, weights / 2


_CLASSES: dict[str, tuple[type[SoundDevice], str]] = {
    "noise ignored": (NoiseIgnored, "C9.channels"),
    "noise after every gate": (NoiseEverywhere, "C9.channels"),
    "depolarising by another convention": (OtherDepolarising, "C9.channels"),
    "read-out errors exchanged": (ReadoutExchanged, "C9.channels"),
    "invented counts": (InventedCounts, "C12"),
    "shots capped in silence": (ShotsCapped, "C10"),
    "its own default of shots": (DefaultShots, "C10"),
    "seed ignored, though claimed": (SeedIgnored, "C11"),
    "all rows drawn with one stream": (OneStreamForAllRows, "C11"),
    "drawn again when read again": (DrawnAgain, "C18.twice"),
    "fewer wires than claimed": (TooFewWires, "C13.widest"),
    "a foreign exception escapes": (ForeignException, "C6"),
    "a restless snapshot": (RestlessSnapshot, "C17.snapshot"),
    "derivatives of shared weights halved": (HalfAdjoint, "C21.adjoint"),
}

MUTANTS = tuple(Mutant(name=name, make=cls, caught_by=case) for name, (cls, case) in _CLASSES.items())
