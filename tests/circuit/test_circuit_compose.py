"""Composition: unitaries of composed circuits against products and block matrices."""

from __future__ import annotations

import numpy as np
import pytest

from qimg_core.circuit import Circuit, CircuitBuilder, Gate, GateName
from qimg_core.circuit.compose import chain, controlled, interleave, repeat, tile
from qimg_core.circuit.gates import UNITARY
from qimg_core.errors import ConfigurationError

G = GateName


def encoder(n: int) -> Circuit:
    b = CircuitBuilder(n)
    for w in range(n):
        b.ry(w, b.input(f"x{w}"))
    return b.build()


def layer(n: int) -> Circuit:
    b = CircuitBuilder(n)
    for w in range(n):
        b.rx(w, b.weight(f"w{w}"))
    for w in range(n - 1):
        b.cx(w, w + 1)
    return b.build()


@pytest.mark.parametrize("name", sorted(UNITARY))
def test_controlled_gate_is_the_block_matrix(name, make_random, unitary, rng):
    """Exactly, phase included: |0><0| x 1 + |1><1| x U."""
    circuit = make_random(rng, 3, [name], 1)
    values = rng.uniform(-2 * np.pi, 2 * np.pi, len(circuit.parameters))
    got = unitary(controlled(circuit, 4, 0, (1, 2, 3)), values)
    wanted = np.eye(16, dtype=complex)
    wanted[8:, 8:] = unitary(circuit, values)
    np.testing.assert_allclose(got, wanted, atol=1e-12)


def test_controlled_circuit_with_the_control_last_and_wires_permuted(make_random, unitary, rng):
    circuit = make_random(rng, 3, sorted(UNITARY), 30)
    values = rng.uniform(-6, 6, len(circuit.parameters))
    got = unitary(controlled(circuit, 4, 3, (2, 0, 1)), values)
    inner = unitary(circuit.on((2, 0, 1), 3), values)
    zero, one = np.diag([1, 0]), np.diag([0, 1])
    np.testing.assert_allclose(got, np.kron(np.eye(8), zero) + np.kron(inner, one), atol=1e-11)


def test_controlled_refuses_what_is_no_unitary():
    with pytest.raises(ConfigurationError, match="no controlled version"):
        controlled(Circuit(1, (Gate(G.RESET, (0,)),)), 2, 1, (0,))
    with pytest.raises(ConfigurationError, match="control"):
        controlled(Circuit(1, (Gate(G.X, (0,)),)), 2, 0, (0,))


def test_interleave_multiplies_in_order(unitary, rng):
    x, w = rng.normal(size=(3, 2)), rng.normal(size=(3, 2))
    woven = interleave(encoder(2), layer(2), 3, share_inputs=False)
    assert (woven.n_inputs, woven.n_weights) == (6, 6)
    values = woven.values(x.reshape(1, -1), w.ravel())[0]
    wanted = np.eye(4)
    for l in range(3):
        wanted = unitary(layer(2), w[l]) @ unitary(encoder(2), x[l]) @ wanted
    np.testing.assert_allclose(unitary(woven, values), wanted, atol=1e-12)


def test_interleave_sharing_inputs(unitary, rng):
    x, w = rng.normal(size=2), rng.normal(size=(3, 2))
    woven = interleave(encoder(2), layer(2), 3, share_inputs=True)
    assert (woven.n_inputs, woven.n_weights) == (2, 6)
    wanted = np.eye(4)
    for l in range(3):
        wanted = unitary(layer(2), w[l]) @ unitary(encoder(2), x) @ wanted
    np.testing.assert_allclose(unitary(woven, woven.values(x[None], w.ravel())[0]), wanted, atol=1e-12)


def test_interleave_refuses():
    with pytest.raises(ConfigurationError, match="1 or more"):
        interleave(encoder(2), layer(2), 0, share_inputs=True)
    with pytest.raises(ConfigurationError, match="each of 3"):
        interleave(encoder(2), [layer(2)] * 2, 3, share_inputs=True)
    with pytest.raises(ConfigurationError, match="wires"):
        interleave(encoder(3), layer(2), 2, share_inputs=True)
    b = CircuitBuilder(1)
    prepares = b.gate("prepare", 0, angles=(b.input("a"), b.input("b"))).build()
    with pytest.raises(ConfigurationError, match="re-uploaded"):
        interleave(prepares, layer(1), 2, share_inputs=True)


@pytest.mark.parametrize("tied", [False, True])
def test_tile(tied, unitary, rng):
    pairs = [(0, 1), (2, 1)]
    tiled = tile(layer(2), pairs, 3, tied=tied)
    assert tiled.n_weights == (2 if tied else 4)
    w = rng.normal(size=tiled.n_weights)
    parts = [w, w] if tied else [w[:2], w[2:]]
    wanted = unitary(layer(2).on((2, 1), 3), parts[1]) @ unitary(layer(2).on((0, 1), 3), parts[0])
    np.testing.assert_allclose(unitary(tiled, w), wanted, atol=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_repeat(tied, unitary, rng):
    circuit = repeat(encoder(2).then(layer(2)), 2, tied=tied)
    assert (circuit.n_inputs, circuit.n_weights) == (2, 2 if tied else 4)
    x, w = rng.normal(size=2), rng.normal(size=circuit.n_weights)
    once = [unitary(layer(2), p) @ unitary(encoder(2), x) for p in ([w, w] if tied else [w[:2], w[2:]])]
    np.testing.assert_allclose(unitary(circuit, circuit.values(x[None], w)[0]), once[1] @ once[0], atol=1e-12)


def test_nothing_to_chain():
    with pytest.raises(ConfigurationError, match="none"):
        chain([])
