"""Devices that mix up wires, words, rows or windows (floor 8; imports reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.circuit.pauli import PauliString
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.testing.mutants.mutant import Mutant
from qimg_core.testing.mutants.sound import SoundDevice

if TYPE_CHECKING:
    from qimg_core.execution import ExecutionRequest
    from qimg_core.job import RawResult


def _ordered(request: ExecutionRequest, wires: Any) -> ExecutionRequest:
    return evolve(request, measurement=type(request.measurement)(tuple(wires)))


class BitReversal(SoundDevice):
    """Outcomes are read from the last wire to the first."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if isinstance(request.measurement, (Probabilities, Samples)):
            request = _ordered(request, request.measurement.wires[::-1])
        return super().run(request)


class InversePermutation(SoundDevice):
    """The order of the wires is applied the wrong way round."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if isinstance(request.measurement, (Probabilities, Samples)):
            wires, straight = request.measurement.wires, sorted(request.measurement.wires)
            request = _ordered(request, [straight[wires.index(w)] for w in straight])
        return super().run(request)


class SortedWires(SoundDevice):
    """Outcomes are in the order of the register, whatever was asked."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if isinstance(request.measurement, (Probabilities, Samples)):
            request = _ordered(request, sorted(request.measurement.wires))
        return super().run(request)


class WindowsSorted(SoundDevice):
    """The order of the wires inside a window is ignored."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if isinstance(request.measurement, LocalStates):
            request = evolve(request, measurement=LocalStates([sorted(w) for w in request.measurement.windows]))
        return super().run(request)


class LittleEndianState(SoundDevice):
    """Amplitudes with wire 0 as the least significant bit."""

    def run(self, request: ExecutionRequest) -> RawResult:
        raw = super().run(request)
        if not isinstance(request.measurement, State) or request.noise is not None:
            return raw
        n = request.circuit.n_wires
        turned = raw.data.reshape((-1, *(2,) * n)).transpose(0, *range(n, 0, -1)).reshape(len(raw.data), -1)
        return evolve(raw, data=turned)


class IdleWiresDropped(SoundDevice):
    """Wires without gates vanish from distributions."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if isinstance(request.measurement, Probabilities):
            used = {w for g in request.circuit.gates for w in g.wires}
            request = _ordered(request, [w for w in request.measurement.wires if w in used] or (0,))
        return super().run(request)


class SignOfZ(SoundDevice):
    """Z is +1 where the bit is 1."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if isinstance(request.measurement, Expectation):
            turned = [evolve(t, coefficient=t.coefficient * (-1) ** len(t.factors)) for t in request.measurement.terms]
            request = evolve(request, measurement=Expectation(turned))
        return super().run(request)


class CoefficientsIgnored(SoundDevice):
    """Every term of an expectation counts once."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if isinstance(request.measurement, Expectation):
            plain = [PauliString(t.factors) for t in request.measurement.terms]
            request = evolve(request, measurement=Expectation(plain))
        return super().run(request)


class RowsReversed(SoundDevice):
    """A batch comes back from its last row to its first."""

    def run(self, request: ExecutionRequest) -> RawResult:
        raw = super().run(request)
        return evolve(raw, data=raw.data[::-1].copy())


class FirstWeights(SoundDevice):
    """Weights by row: the first row's for all."""

    def run(self, request: ExecutionRequest) -> RawResult:
        if request.weights.ndim == 2:
            request = evolve(request, weights=request.weights[0])
        return super().run(request)


class PreparedBackwards(SoundDevice):
    """A state that was prepared has its amplitudes in the other order."""

    def run(self, request: ExecutionRequest) -> RawResult:
        def turned(gate: Any) -> Any:
            return evolve(gate, wires=gate.wires[::-1]) if gate.name == "prepare" else gate

        gates = tuple(turned(g) for g in request.circuit.gates)
        return super().run(evolve(request, circuit=evolve(request.circuit, gates=gates)))


_CLASSES: dict[str, tuple[type[SoundDevice], str]] = {
    "bits reversed": (BitReversal, "C2.zoo3"),
    "inverse permutation of the wires": (InversePermutation, "C2.zoo3"),
    "wires in the register's order": (SortedWires, "C2.zoo3"),
    "order inside windows ignored": (WindowsSorted, "C8.windows"),
    "state little-endian": (LittleEndianState, "C8.state"),
    "idle wires dropped": (IdleWiresDropped, "C3"),
    "sign of Z": (SignOfZ, "C8.signs"),
    "coefficients ignored": (CoefficientsIgnored, "C8.words"),
    "prepared amplitudes in the other order": (PreparedBackwards, "C6.prepare"),
    "rows of a batch reversed": (RowsReversed, "C7"),
    "the first row's weights for all": (FirstWeights, "C5"),
}

MUTANTS = tuple(Mutant(name=name, make=cls, caught_by=case) for name, (cls, case) in _CLASSES.items())
