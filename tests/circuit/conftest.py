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


def random_circuit(rng: np.random.Generator, n_wires: int, names: list[GateName], length: int) -> Circuit:
    from qimg_core.circuit import Angle, Parameter

    gates, parameters = [], []
    for i in range(length):
        name = names[i % len(names)]
        wires = tuple(int(w) for w in rng.permutation(n_wires)[: name.n_wires])
        angles: tuple[Angle, ...] = ()
        if name.n_angles:
            parameters.append(Parameter(f"a{i}", "weight"))
            angles = (Angle(len(parameters) - 1, float(rng.normal()), float(rng.normal())),)
        gates.append(Gate(name, wires, angles))
    return Circuit(n_wires, tuple(gates), tuple(parameters))


@pytest.fixture
def make_random() -> Callable[..., Circuit]:
    return random_circuit


@pytest.fixture
def same_up_to_phase() -> Callable[[Array, Array], None]:
    def check(got: Array, wanted: Array) -> None:
        overlap = np.vdot(wanted, got)
        assert abs(overlap) > 1e-3
        np.testing.assert_allclose(got * (abs(overlap) / overlap), wanted, atol=1e-10)

    return check
