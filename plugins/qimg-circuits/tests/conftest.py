"""A small dense reference: every gate as a full matrix from `gates.matrix`, by index arithmetic alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from qimg_core.circuit import Circuit, Gate, GateName, matrix

if TYPE_CHECKING:
    from collections.abc import Callable

Array = np.ndarray


def apply(gate: Gate, values: Array, state: Array) -> Array:
    """One gate on (2**n, columns); ``prepare`` sets the amplitudes of wires that are still |0>."""
    n = int(np.log2(len(state)))
    k = len(gate.wires)
    angles = [a.offset if a.parameter is None else a.scale * values[a.parameter] + a.offset for a in gate.angles]
    if gate.name is GateName.PREPARE:
        amplitudes = np.asarray(angles)
        if len(angles) == 2 * 2**k:
            amplitudes = amplitudes[: 2**k] + 1j * amplitudes[2**k :]
        unitary = np.zeros((2**k, 2**k), dtype=complex)
        unitary[:, 0] = amplitudes
    else:
        unitary = matrix(gate.name, *angles)
    tensor = np.moveaxis(state.reshape((2,) * n + (-1,)), gate.wires, range(k))
    shape = tensor.shape
    tensor = (unitary @ tensor.reshape(2**k, -1)).reshape(shape)
    return np.moveaxis(tensor, range(k), gate.wires).reshape(len(state), -1)


def unitary_of(circuit: Circuit, values: Array | None = None) -> Array:
    """(2**n, 2**n); ``values`` in the order of ``circuit.parameters``."""
    numbers = np.zeros(len(circuit.parameters)) if values is None else np.asarray(values)
    state = np.eye(2**circuit.n_wires, dtype=complex)
    for gate in circuit.gates:
        state = apply(gate, numbers, state)
    return state


@pytest.fixture
def unitary() -> Callable[..., Array]:
    return unitary_of


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_260_203)


@pytest.fixture
def states() -> Callable[..., Array]:
    """(rows, 2**n) of an encoder's circuit on a batch, or of any circuit with inputs and weights."""

    def run(circuit: Circuit, inputs: Array, weights: Array | None = None) -> Array:
        values = circuit.values(inputs, np.zeros(0) if weights is None else weights)
        return np.stack([unitary_of(circuit, row)[:, 0] for row in values])

    return run


@pytest.fixture
def pauli_vectors() -> Callable[..., Array]:
    """Pauli vectors of windows of pure states, by the trace with explicit matrices."""
    letters = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]

    def run(psi: Array, windows: tuple[tuple[int, ...], ...]) -> Array:
        n = int(np.log2(psi.shape[1]))
        columns = []
        for window in windows:
            for index in range(4 ** len(window)):
                digits = [(index // 4 ** (len(window) - 1 - k)) % 4 for k in range(len(window))]
                factors = [np.eye(2)] * n
                for wire, digit in zip(window, digits, strict=True):
                    factors[wire] = letters[digit]
                full = np.eye(1)
                for f in factors:
                    full = np.kron(full, f)
                columns.append(np.einsum("ri,ij,rj->r", psi.conj(), full, psi).real)
        return np.stack(columns, axis=1)

    return run


@pytest.fixture
def same_up_to_phase() -> Callable[[Array, Array], None]:
    def check(got: Array, wanted: Array) -> None:
        overlap = np.vdot(wanted, got)
        assert abs(overlap) > 1e-3
        np.testing.assert_allclose(got * (abs(overlap) / overlap), wanted, atol=1e-10)

    return check
