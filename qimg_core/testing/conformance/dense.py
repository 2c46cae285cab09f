"""What a right device returns: exact numbers of any request, with noise too (floor 8; imports circuit, measurement).

Without noise from the state vector of `qimg_core.testing.reference`; with noise from a dense density matrix to
which each gate and each Kraus operator is applied as it is defined. Slow and plain, to be believed.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

from qimg_core.circuit.gates import PARAMETRIC, GateName, matrix
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.testing.reference import expectation, probabilities, statevector

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from qimg_core.circuit.ir import Circuit
    from qimg_core.execution import ExecutionRequest, FloatArray
    from qimg_core.noise import Channel, NoiseModel

    Complex = npt.NDArray[np.complex128]


def expected(request: ExecutionRequest) -> Any:
    """The exact result, laid out as the request's measurement says; for `Samples` their distribution."""
    import numpy as np

    values = request.circuit.values(request.inputs, request.weights)
    if request.noise is None:
        rows = [_pure(_state(request.circuit, tuple(v)), request) for v in values]
    else:
        rows = [_mixed(density_matrix(request.circuit, v, request.noise), request, request.noise) for v in values]
    data = np.stack(rows)
    if request.readout is None:
        return data
    assert isinstance(request.measurement, LocalStates)
    return contracted(data, request.measurement, request.readout)


def distribution(request: ExecutionRequest, wires: Sequence[int]) -> FloatArray:
    """Exact probabilities (rows, 2**len(wires)) of a request's circuit, over other wires than it measures."""
    from attrs import evolve

    found: FloatArray = expected(evolve(request, measurement=Probabilities(wires), readout=None))
    return found


@lru_cache(maxsize=256)
def _state(circuit: Circuit, values: tuple[float, ...]) -> Complex:
    """The same circuits are measured in several orders."""
    import numpy as np

    return statevector(circuit, np.array(values))


def _pure(state: Complex, request: ExecutionRequest) -> Any:
    import numpy as np

    m = request.measurement
    if isinstance(m, (Probabilities, Samples)):
        return probabilities(state, m.wires)
    if isinstance(m, Expectation):
        return np.array([c * expectation(state, f) for c, f in pauli_words(m)])
    if isinstance(m, LocalStates):
        return np.concatenate([pauli_coefficients(reduced(state, w)) * 2 ** len(w) for w in m.windows])
    return state


def reduced(state: Complex, window: Sequence[int]) -> Complex:
    """Density matrix (2**k, 2**k) of some wires, first one most significant."""
    import numpy as np

    n, k = len(state).bit_length() - 1, len(window)
    tensor = np.moveaxis(state.reshape((2,) * n), window, range(k)).reshape(2**k, -1)
    return np.asarray(tensor @ tensor.conj().T)


def _mixed(rho: Complex, request: ExecutionRequest, noise: NoiseModel) -> Any:
    import numpy as np

    m = request.measurement
    if isinstance(m, (Probabilities, Samples)):
        return read_out(marginal(rho, m.wires), noise.readout)
    if isinstance(m, (Expectation, LocalStates)):
        return np.array([c * noisy_mean(rho, f, noise.readout) for c, f in pauli_words(m)])
    return rho


def pauli_words(measurement: Expectation | LocalStates) -> list[tuple[float, tuple[tuple[int, str], ...]]]:
    """(coefficient, ((wire, letter), ...)) of each number of a result, in order."""
    if isinstance(measurement, Expectation):
        return [(t.coefficient, t.factors) for t in measurement.terms]
    return [
        (1.0, tuple((w, p) for w, p in zip(window, letters, strict=True) if p != "I"))
        for window in measurement.windows
        for letters in product("IXYZ", repeat=len(window))
    ]


def density_matrix(circuit: Circuit, values: FloatArray, noise: NoiseModel) -> Complex:
    """The state of ``circuit`` with a channel on each wire of each gate that a rule names, (2**n, 2**n).

    Args:
        circuit: unitary gates, and ``prepare``, which no noise follows.
        values: one number per entry of ``circuit.parameters``.
        noise: its rules, in order; its read-out errors are not applied here.
    """
    import numpy as np

    n = circuit.n_wires
    rho = np.zeros((2**n, 2**n), dtype=complex)
    rho[0, 0] = 1
    for gate in circuit.gates:
        angles = [a.offset + (0.0 if a.parameter is None else a.scale * values[a.parameter]) for a in gate.angles]
        if gate.name is GateName.PREPARE:
            rho = _on_both(rho, _preparing(angles, len(gate.wires)), gate.wires, n)
            continue
        rho = _on_both(rho, matrix(gate.name, angles[0] if gate.name in PARAMETRIC else None), gate.wires, n)
        for rule in noise.rules:
            if not rule.gates or gate.name in rule.gates:
                for wire in gate.wires:
                    rho = _channel(rho, rule.channel, wire, n)
    return rho


def _preparing(amplitudes: Sequence[float], k: int) -> Complex:
    """Takes |0...0> to the state; what it does to anything else is of no matter."""
    import numpy as np

    out = np.zeros((2**k, 2**k), dtype=complex)
    a = np.asarray(amplitudes, dtype=complex)
    out[:, 0] = a if len(a) == 2**k else a[: 2**k] + 1j * a[2**k :]
    return out


def _on_both(rho: Complex, m: Complex, wires: Sequence[int], n: int) -> Complex:
    """M rho M^dag with M on some wires."""
    return _on_rows(_on_rows(rho, m, wires, n).conj().T, m, wires, n).conj().T


def _on_rows(a: Complex, m: Complex, wires: Sequence[int], n: int) -> Complex:
    import numpy as np

    k = len(wires)
    tensor = np.moveaxis(a.reshape((2,) * n + (-1,)), wires, range(k))
    moved = (m @ tensor.reshape(2**k, -1)).reshape(tensor.shape)
    return np.moveaxis(moved, range(k), wires).reshape(a.shape)


def _channel(rho: Complex, channel: Channel, wire: int, n: int) -> Complex:
    import numpy as np

    if channel.pauli is None:
        kraus = [np.array(k, dtype=complex) for k in channel.kraus]
    else:
        letters = [np.eye(2, dtype=complex), *(matrix(g) for g in (GateName.X, GateName.Y, GateName.Z))]
        kraus = [np.sqrt(max(p, 0.0)) * letter for p, letter in zip(channel.pauli, letters, strict=True)]
    return np.asarray(sum(_on_both(rho, k, (wire,), n) for k in kraus))


def marginal(rho: Complex, wires: Sequence[int]) -> FloatArray:
    """Probabilities (2**len(wires),) in the order of the wires given."""
    import numpy as np

    n = len(rho).bit_length() - 1
    tensor = np.moveaxis(np.diag(rho).real.reshape((2,) * n), wires, range(len(wires)))
    return np.asarray(tensor.reshape(2 ** len(wires), -1).sum(1))


def read_out(p: FloatArray, errors: tuple[float, float] | None) -> FloatArray:
    """Each measured bit goes through [[1 - p(1|0), p(0|1)], [p(1|0), 1 - p(0|1)]]."""
    import numpy as np

    if errors is None:
        return p
    one, zero = errors
    confusion = np.array([[1 - one, zero], [one, 1 - zero]])
    k = len(p).bit_length() - 1
    tensor = p.reshape((2,) * k)
    for axis in range(k):
        tensor = np.moveaxis(np.tensordot(confusion, tensor, (1, axis)), 0, axis)
    return np.asarray(tensor.reshape(-1))


def noisy_mean(rho: Complex, factors: Sequence[tuple[int, str]], errors: tuple[float, float] | None) -> float:
    """<P>, read in its basis through the read-out errors: the parity of the bits of its wires."""
    import numpy as np

    n = len(rho).bit_length() - 1
    turned = rho
    for wire, letter in factors:
        if letter == "Y":
            turned = _on_both(turned, matrix(GateName.SDG), (wire,), n)
        if letter in "XY":
            turned = _on_both(turned, matrix(GateName.H), (wire,), n)
    p = read_out(marginal(turned, [w for w, _ in factors]), errors)
    parity = np.array([(-1.0) ** int(i).bit_count() for i in range(len(p))])
    return float(parity @ p)


def contracted(vectors: FloatArray, measurement: LocalStates, readout: Sequence[Any]) -> FloatArray:
    """Tr(rho H) of each matrix on its window, from Pauli vectors: rho = 2**-k sum_P <P> P.

    Args:
        vectors: (rows, width) as `LocalStates` lays them out.
        measurement: the windows.
        readout: per window (K, 2**k, 2**k).
    """
    import numpy as np

    columns = []
    for matrices, start in zip(readout, measurement.offsets, strict=False):
        for h in np.asarray(matrices):
            c = pauli_coefficients(h)
            columns.append(vectors[:, start : start + len(c)] @ c)
    return np.stack(columns, axis=1)


def pauli_coefficients(h: Complex) -> FloatArray:
    """(4**k,): 2**-k Tr(P H) for each Pauli word of a (2**k, 2**k) matrix, in the order of `LocalStates`."""
    import numpy as np

    letters = np.stack([np.eye(2, dtype=complex), *(matrix(g) for g in (GateName.X, GateName.Y, GateName.Z))])
    k = len(h).bit_length() - 1
    left = h.reshape(1, 2**k, 2**k)
    for _ in range(k):  # take the trace with each letter on the first wire that is left
        half = left.shape[1] // 2
        blocks = left.reshape(len(left), 2, half, 2, half)
        left = np.einsum("nabcd,pca->npbd", blocks, letters).reshape(-1, half, half)
    return np.asarray(left.reshape(-1).real / 2**k)
