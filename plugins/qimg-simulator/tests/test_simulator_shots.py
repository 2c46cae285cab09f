"""Finite shots: statistics against the exact numbers, seeds, layouts. All seeds are fixed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from qimg_core.circuit import Circuit, CircuitBuilder, PauliString, pauli
from qimg_core.errors import CapabilityError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.noise import NoiseModel, NoiseRule, depolarizing
from qimg_core.seeds import derive_seed
from qimg_simulator.backend import SimulatorBackend

NOISE = NoiseModel((NoiseRule(depolarizing(0.05)),), (0.03, 0.01))


def entangler(n: int = 4) -> Circuit:
    b = CircuitBuilder(n)
    for layer in range(2):
        for q in range(n):
            b.ry(q, b.input(f"x{layer}{q}")).rz(q, b.weight(f"w{layer}{q}"))
        for q in range(n):
            b.cx(q, (q + 1) % n)
    return b.build()


CIRCUIT = entangler()
X = np.random.default_rng(0).uniform(-3, 3, (3, CIRCUIT.n_inputs))
W = np.random.default_rng(1).uniform(-3, 3, CIRCUIT.n_weights)


def raw(
    measurement: Any, shots: int | None = None, seed: int | None = 0, noise: NoiseModel | None = None, **more: Any
) -> Any:
    x, w = more.pop("x", X), more.pop("w", W)
    request = ExecutionRequest(
        circuit=CIRCUIT, inputs=x, weights=w, measurement=measurement, shots=shots, seed=seed, noise=noise, **more
    )
    return SimulatorBackend().run(request)


@pytest.mark.parametrize("noise", [None, NOISE], ids=["pure", "noisy"])
@pytest.mark.parametrize("wires", [(0, 1, 2, 3), (2, 0, 1)])
def test_samples_have_the_exact_distribution(wires: tuple[int, ...], noise: NoiseModel | None) -> None:
    shots = 20_000
    bits = raw(Samples(wires), shots, noise=noise).data
    assert bits.shape == (3, shots, len(wires)) and bits.dtype == np.uint8
    exact = raw(Probabilities(wires), noise=noise).data
    index = (bits.astype(int) << np.arange(len(wires) - 1, -1, -1)).sum(2)
    for row, p in zip(index, exact, strict=True):
        keep = p * shots > 5
        seen = np.bincount(row, minlength=len(p))
        observed, wanted = np.append(seen[keep], seen[~keep].sum()), np.append(p[keep], p[~keep].sum()) * shots
        observed, wanted = observed[wanted > 1e-9], wanted[wanted > 1e-9]
        assert stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > 1e-4


def test_shots_of_a_row_are_independent_of_each_other_and_of_other_rows() -> None:
    """The same state in every row: lag-1 and cross-row correlations within 5 sigma of zero."""
    x = np.repeat(X[:1], 4, axis=0)
    first = raw(Samples((1,)), 20_000, x=x).data[:, :, 0].astype(float)
    first -= first.mean(1, keepdims=True)
    first /= first.std(1, keepdims=True)
    for a, b in itertools.combinations(range(4), 2):
        assert abs((first[a] * first[b]).mean()) < 5 / np.sqrt(20_000)
    assert abs((first[:, 1:] * first[:, :-1]).mean()) < 5 / np.sqrt(4 * 20_000)


@pytest.mark.parametrize(
    "measurement", [Samples((2, 0)), Probabilities((1, 3)), Expectation([pauli("X0 Z1")]), LocalStates([(0, 2)])]
)
def test_a_seed_fixes_the_draws_and_the_digest_of_what_was_drawn(measurement: Any) -> None:
    a, b, c = (raw(measurement, 100, seed) for seed in (5, 5, 6))
    assert np.array_equal(a.data, b.data) and a.raw_digest == b.raw_digest
    assert not np.array_equal(a.data, c.data) and a.raw_digest != c.raw_digest
    assert a.shots == 100
    free = [raw(measurement, 100, None).data for _ in range(2)]
    assert not np.array_equal(*free)


def test_frequencies_are_counts_over_shots() -> None:
    out = raw(Probabilities((3, 1)), 500).data
    assert np.allclose(out * 500, np.rint(out * 500)) and np.allclose(out.sum(1), 1)
    exact = raw(Probabilities((3, 1))).data
    assert (np.abs(out - exact) < 5 * np.sqrt(exact * (1 - exact) / 500) + 1e-12).all()


@pytest.mark.parametrize("noise", [None, NOISE], ids=["pure", "noisy"])
def test_expectations_lie_within_five_standard_errors(noise: NoiseModel | None) -> None:
    terms = [pauli("Z0"), pauli("X1 Y3", -2.0), pauli("Z0 Z1 Z2 Z3", 0.5), PauliString((), 3.0)]
    exact = raw(Expectation(terms), noise=noise).data
    out = raw(Expectation(terms), 4000, noise=noise).data
    scale = np.array([1, 2, 0.5, 3])
    error = np.sqrt(np.clip(scale**2 - exact**2, 0, None) / 4000)
    assert (np.abs(out - exact) <= 5 * error + 1e-12).all()
    assert np.array_equal(out[:, 3], np.full(3, 3.0))


def test_local_states_on_ten_thousand_shots_lie_within_their_stated_interval() -> None:
    """Variance (1 - <P>**2) / (shots * 3**(k - m)) for a string with m letters, as documented: the
    standardised errors are within 5 and their spread is that of a standard normal."""
    measurement = LocalStates([(2, 0, 1), (3, 1), (0,)])
    exact, out = raw(measurement).data, raw(measurement, 10_000).data
    scores = []
    for i, window in enumerate(measurement.windows):
        for j, word in enumerate(itertools.product("IXYZ", repeat=len(window))):
            m = sum(letter != "I" for letter in word)
            column = measurement.offsets[i] + j
            if m == 0:
                assert np.array_equal(out[:, column], np.ones(3))
                continue
            sigma = np.sqrt((1 - exact[:, column] ** 2) / (10_000 * 3 ** (len(window) - m)))
            scores.extend((out[:, column] - exact[:, column]) / np.maximum(sigma, 1e-9))
    z = np.array(scores)
    assert np.abs(z).max() < 5
    assert 0.85 < z.std() < 1.15


def test_contracted_readout_with_shots_is_linear_in_the_same_draws() -> None:
    rng = np.random.default_rng(3)
    m = rng.normal(size=(2, 4, 4)) + 1j * rng.normal(size=(2, 4, 4))
    h = (m + m.conj().transpose(0, 2, 1)) / 2
    vector = raw(LocalStates([(3, 1)]), 300, 4).data
    out = raw(LocalStates([(3, 1)]), 300, 4, readout=(h,)).data
    paulis = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    words = np.array([np.kron(a, b) for a in paulis for b in paulis])
    np.testing.assert_allclose(out, vector @ np.einsum("kij,pji->pk", h, words).real / 4, atol=1e-12)


def test_tensors_with_shots_come_back_detached() -> None:
    x, w = torch.tensor(X, dtype=torch.float32, requires_grad=True), torch.tensor(W, dtype=torch.float32)
    out = raw(Expectation([pauli("Z0")]), 50, x=x, w=w).data
    assert out.dtype == torch.float32 and not out.requires_grad
    assert raw(Samples((0, 1)), 50, x=x, w=w).data.dtype == torch.uint8


def test_what_cannot_be_sampled_is_refused() -> None:
    with pytest.raises(CapabilityError, match="shots"):
        raw(Samples((0,)))
    with pytest.raises(CapabilityError, match="shots"):
        raw(State(), 10)


def test_exact_numbers_have_no_raw_digest() -> None:
    assert raw(Probabilities((0,))).raw_digest is None


def test_the_stream_of_a_seed_stays_what_it_was() -> None:
    """Recorded runs replay byte for byte: numpy's PCG64 named by the seed, one multinomial per row, in order."""
    circuit = CircuitBuilder(2).h(0).h(1).build()
    x, w, wires = np.zeros((3, 0)), np.zeros(0), (0, 1)
    request = {"circuit": circuit, "inputs": x, "weights": w, "shots": 64, "seed": 11}
    stream = np.random.Generator(np.random.PCG64(derive_seed(11, "simulator", "shots")))
    drawn = SimulatorBackend().run(ExecutionRequest(measurement=Probabilities(wires), **request)).data
    assert np.array_equal(drawn * 64, stream.multinomial(64, np.full((3, 4), 0.25)))
    stream = np.random.Generator(np.random.PCG64(derive_seed(11, "simulator", "shots")))
    bits = SimulatorBackend().run(ExecutionRequest(measurement=Samples(wires), **request)).data
    assert np.array_equal(bits[..., 0], stream.random((3, 64)) >= 0.5)
