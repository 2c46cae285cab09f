"""A dense numpy device: slow, small and plain enough to be believed (floor 8).

Every gate is its defining matrix put on its wires by reshaping, one row at a time. It is the oracle of
the tests and what a new engine is compared with; it is not for work.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, MeasurementKind
from qimg_core.circuit.gates import PARAMETRIC, UNITARY, GateName, matrix
from qimg_core.execution import array_digest
from qimg_core.job import RawResult
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from qimg_core.circuit.ir import Circuit, Gate
    from qimg_core.execution import ExecutionRequest, FloatArray

    Complex = npt.NDArray[np.complex128]


def statevector(circuit: Circuit, values: FloatArray) -> Complex:
    """The state that ``circuit`` makes of |0...0>, complex128 (2**n_wires,), wire 0 most significant.

    Args:
        circuit: unitary gates and ``prepare``.
        values: one number per entry of ``circuit.parameters``.
    """
    import numpy as np

    state = np.zeros(2**circuit.n_wires, dtype=complex)
    state[0] = 1
    for gate in circuit.gates:
        state = _apply(state, gate, values, circuit.n_wires)
    return state


def unitary(circuit: Circuit, values: FloatArray) -> Complex:
    """The circuit's matrix, complex128 (2**n, 2**n); unitary gates only."""
    import numpy as np

    columns = np.eye(2**circuit.n_wires, dtype=complex)
    for gate in circuit.gates:
        columns = np.stack([_apply(c, gate, values, circuit.n_wires) for c in columns.T], axis=1)
    return columns


def _apply(state: Complex, gate: Gate, values: FloatArray, n: int) -> Complex:
    import numpy as np

    angles = [a.offset + (0.0 if a.parameter is None else a.scale * values[a.parameter]) for a in gate.angles]
    k = len(gate.wires)
    tensor = np.moveaxis(state.reshape((2,) * n), gate.wires, range(k)).reshape(2**k, -1)
    if gate.name is GateName.PREPARE:
        size = 2**k
        amplitudes = np.asarray(angles[:size], dtype=complex)
        if len(angles) == 2 * size:
            amplitudes = amplitudes + 1j * np.asarray(angles[size:])
        tensor = np.outer(amplitudes, tensor[0])
    else:
        tensor = matrix(gate.name, angles[0] if gate.name in PARAMETRIC else None) @ tensor
    return np.moveaxis(tensor.reshape((2,) * n), range(k), gate.wires).reshape(-1)


def expectation(state: Complex, factors: Sequence[tuple[int, str]]) -> float:
    """<P> of a Pauli word given as (wire, letter) pairs."""
    import numpy as np

    n = int(np.log2(len(state)))
    moved = state
    for wire, letter in factors:
        tensor = np.moveaxis(moved.reshape((2,) * n), wire, 0).reshape(2, -1)
        tensor = matrix(GateName(letter.lower())) @ tensor
        moved = np.moveaxis(tensor.reshape((2,) * n), 0, wire).reshape(-1)
    return float(np.vdot(state, moved).real)


def probabilities(state: Complex, wires: Sequence[int]) -> FloatArray:
    """Marginal distribution over ``wires`` in the order given, (2**len(wires),)."""
    import numpy as np

    n = int(np.log2(len(state)))
    tensor = np.moveaxis((np.abs(state) ** 2).reshape((2,) * n), wires, range(len(wires)))
    return np.asarray(tensor.reshape(2 ** len(wires), -1).sum(1))


class ReferenceBackend(LocalBackend):
    """The oracle as a device: exact numbers, and seeded sampling of distributions."""

    name = "reference"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=10,
            gates=UNITARY | {GateName.PREPARE},
            measurements=frozenset(MeasurementKind),
            analytic=True,
            shots=(1, None),
            max_window=6,
            seeded=True,
            billing=Billing.FREE,
        )

    def run(self, request: ExecutionRequest) -> RawResult:
        import numpy as np

        values = request.circuit.values(request.inputs, request.weights)
        rng = np.random.Generator(np.random.PCG64(request.seed))
        data = np.stack([self._measure(statevector(request.circuit, v), request, rng) for v in values])
        return RawResult(data=data, shots=request.shots, raw_digest=array_digest(data) if request.shots else None)

    def _measure(self, state: Complex, request: ExecutionRequest, rng: Any) -> Any:
        import numpy as np

        measurement, shots = request.measurement, request.shots
        if isinstance(measurement, (Probabilities, Samples)):
            p = probabilities(state, measurement.wires)
            p = p / p.sum()
            if isinstance(measurement, Samples):
                drawn = rng.choice(len(p), size=shots or 1, p=p)
                shift = np.arange(len(measurement.wires))[::-1]
                return ((drawn[:, None] >> shift) & 1).astype(np.uint8)
            return p if shots is None else rng.multinomial(shots, p) / shots
        if isinstance(measurement, (Expectation, LocalStates)):
            return np.array([c * self._mean(expectation(state, f), shots, rng) for c, f in _words(measurement)])
        return state

    @staticmethod
    def _mean(exact: float, shots: int | None, rng: Any) -> float:
        if shots is None:
            return exact
        return float(2 * rng.binomial(shots, min(1.0, max(0.0, (1 + exact) / 2))) / shots - 1)


def _words(measurement: Expectation | LocalStates) -> list[tuple[float, tuple[tuple[int, str], ...]]]:
    if isinstance(measurement, Expectation):
        return [(t.coefficient, t.factors) for t in measurement.terms]
    out: list[tuple[float, tuple[tuple[int, str], ...]]] = []
    for window in measurement.windows:
        for letters in product("IXYZ", repeat=len(window)):
            out.append((1.0, tuple((w, p) for w, p in zip(window, letters, strict=True) if p != "I")))
    return out
