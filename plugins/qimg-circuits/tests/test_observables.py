"""Observables: both routes of the adaptive one agree with Tr(rho H), shot errors with repeated sampling."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from qimg_circuits.observables import AdaptiveNonLocal, PauliStrings, ProbabilityReadout, combined
from qimg_circuits.observables.hermitian import hermitian, parameters_of, pauli_coefficients
from qimg_core.circuit import pauli
from qimg_core.errors import ConfigurationError, DataError

OBSERVABLES = {
    "sliding": AdaptiveNonLocal.sliding(4, 2),
    "sliding wrap": AdaptiveNonLocal.sliding(4, 3, wrap=True, per_window=2),
    "pairwise": AdaptiveNonLocal.pairwise(4),
    "combinatorial": AdaptiveNonLocal.combinatorial(4, 3),
    "global": AdaptiveNonLocal.all_wires(4, count=3),
    "ragged": combined(AdaptiveNonLocal.all_wires(4, count=2), AdaptiveNonLocal.pairwise(4)),
    "permuted": AdaptiveNonLocal([((2, 0, 1), 2), ((3,), 1)]),
    "diagonal": AdaptiveNonLocal.pairwise(4, diagonal=True, per_window=2),
}


def random_states(rng, rows, n):
    psi = rng.normal(size=(rows, 2**n)) + 1j * rng.normal(size=(rows, 2**n))
    return psi / np.linalg.norm(psi, axis=1, keepdims=True)


def reduced(psi, window):
    n = int(np.log2(psi.shape[1]))
    t = np.moveaxis(psi.reshape((-1, *(2,) * n)), [w + 1 for w in window], range(1, len(window) + 1))
    t = t.reshape(len(psi), 2 ** len(window), -1)
    return np.einsum("ria,rja->rij", t, t.conj())


def test_windows():
    assert OBSERVABLES["sliding"].measurement.windows == ((0, 1), (1, 2), (2, 3))
    assert AdaptiveNonLocal.sliding(4, 2, wrap=True).measurement.windows[-1] == (3, 0)
    assert AdaptiveNonLocal.sliding(3, 3, wrap=True).measurement.windows == ((0, 1, 2),)
    assert len(OBSERVABLES["pairwise"].windows) == 6
    assert len(AdaptiveNonLocal.combinatorial(6, 4).windows) == 15
    ragged = OBSERVABLES["ragged"]
    assert (ragged.n_features, ragged.n_parameters) == (8, 2 * 256 + 6 * 16)


@pytest.mark.parametrize("observable", OBSERVABLES.values(), ids=OBSERVABLES)
class TestAdaptive:
    def test_matrices_are_hermitian_and_cover_the_space(self, observable):
        w = observable.initial(4)
        assert w.shape == (observable.n_parameters,)
        for (wires, count), h in zip(observable.windows, observable.readout(w), strict=True):
            assert h.shape == (count, 2 ** len(wires), 2 ** len(wires))
            np.testing.assert_array_equal(h, np.conj(np.swapaxes(h, 1, 2)))
            assert np.abs(np.linalg.eigvalsh(h)).max() < 6

    def test_reduce_is_the_trace_is_the_readout(self, observable, pauli_vectors, rng):
        psi, w = random_states(rng, 3, 4), observable.initial(1)
        data = pauli_vectors(psi, observable.measurement.windows)
        wanted = [
            np.einsum("rij,kji->rk", reduced(psi, wires), h).real
            for (wires, _), h in zip(observable.windows, observable.readout(w), strict=True)
        ]
        np.testing.assert_allclose(observable.reduce(data, w), np.concatenate(wanted, 1), atol=1e-12)
        assert observable.reduce(data, w).shape == (3, observable.n_features)

    def test_torch_equals_numpy_and_differentiates(self, observable, pauli_vectors, rng):
        torch = pytest.importorskip("torch")
        psi, w = random_states(rng, 2, 4), observable.initial(2)
        data = pauli_vectors(psi, observable.measurement.windows)
        p = torch.tensor(w, requires_grad=True)
        d = torch.tensor(data, requires_grad=True)
        out = observable.reduce(d, p)
        np.testing.assert_allclose(out.detach().numpy(), observable.reduce(data, w), atol=1e-13)
        probe = rng.normal(size=out.shape)
        (out * torch.tensor(probe)).sum().backward()
        direction = rng.normal(size=len(w))  # linear in the parameters: the directional derivative is exact
        wanted = (observable.reduce(data, direction) * probe).sum()
        assert float(p.grad @ torch.tensor(direction)) == pytest.approx(wanted, abs=1e-10)
        shift = rng.normal(size=data.shape)
        wanted = (observable.reduce(shift, w) * probe).sum()
        assert float((d.grad * torch.tensor(shift)).sum()) == pytest.approx(wanted, abs=1e-10)

    def test_the_start_is_named_by_its_seed(self, observable):
        np.testing.assert_array_equal(observable.initial(9), observable.initial(9))
        assert not np.array_equal(observable.initial(9), observable.initial(10))

    def test_the_bound_holds_in_every_state(self, observable, pauli_vectors, rng):
        psi, w = random_states(rng, 20, 4), observable.initial(3)
        data = pauli_vectors(psi, observable.measurement.windows)
        exact, bound = observable.standard_error(w, 100, data), observable.standard_error(w, 100)
        assert exact.shape == (20, observable.n_features)
        assert bound.shape == (1, observable.n_features)
        assert (exact <= bound + 1e-12).all()


def test_every_hermitian_matrix_is_reached(rng):
    """(M + M^dag) / 2 of any M, there and back."""
    m = rng.normal(size=(3, 8, 8)) + 1j * rng.normal(size=(3, 8, 8))
    np.testing.assert_allclose(hermitian(parameters_of(m)), (m + np.conj(np.swapaxes(m, 1, 2))) / 2, atol=1e-14)


def test_pauli_coefficients_rebuild_the_matrix(rng):
    letters = [np.eye(2), np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])]
    h = hermitian(rng.normal(size=(2, 8, 8)))
    c = pauli_coefficients(h)
    basis = [np.kron(np.kron(a, b), d) for a, b, d in itertools.product(letters, repeat=3)]
    np.testing.assert_allclose(np.einsum("kp,pij->kij", c, basis), h, atol=1e-12)


def test_diagonal_equals_full_after_conjugation(pauli_vectors, rng):
    """H = V diag(c) V^dag in psi is diag(c) in V^dag psi."""
    full, diagonal = AdaptiveNonLocal.all_wires(3), AdaptiveNonLocal.all_wires(3, diagonal=True)
    w = full.initial(5)
    values, vectors = np.linalg.eigh(full.readout(w)[0][0])
    psi = random_states(rng, 4, 3)
    windows = full.measurement.windows
    got = diagonal.reduce(pauli_vectors(psi @ vectors.conj(), windows), values)
    np.testing.assert_allclose(got, full.reduce(pauli_vectors(psi, windows), w), atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_standard_error_is_that_of_repeated_sampling(k, rng):
    """Sample every basis many times over, estimate as LocalStates says, compare the spread."""
    observable, shots, repeats = AdaptiveNonLocal.all_wires(k, count=2), 50, 4000
    psi, w = random_states(rng, 1, k), observable.initial(6)
    to_z = {1: np.array([[1, 1], [1, -1]]) / np.sqrt(2), 2: np.array([[1, -1j], [1, 1j]]) / np.sqrt(2), 3: np.eye(2)}
    sums, counts = np.zeros((repeats, 4**k)), np.zeros(4**k)
    for basis in itertools.product((1, 2, 3), repeat=k):
        turn = np.eye(1)
        for letter in basis:
            turn = np.kron(turn, to_z[letter])
        p = np.abs(turn @ psi[0]) ** 2
        frequencies = rng.multinomial(shots, p / p.sum(), size=repeats) / shots
        for subset in itertools.product((0, 1), repeat=k):
            index = int("".join(str(l * s) for l, s in zip(basis, subset, strict=True)), 4)
            signs = [(-1) ** sum(s * (o >> (k - 1 - j) & 1) for j, s in enumerate(subset)) for o in range(2**k)]
            sums[:, index] += frequencies @ signs
            counts[index] += 1
    estimates = sums / counts
    features = observable.reduce(estimates, w)
    exact_vector = estimates.mean(0, keepdims=True)
    stated = observable.standard_error(w, shots, exact_vector)[0]
    np.testing.assert_allclose(features.std(0), stated, rtol=0.06)
    inside = np.abs(features - features.mean(0)) <= 2 * observable.standard_error(w, shots, estimates)
    assert inside.mean() > 0.93


def test_refusals():
    with pytest.raises(ConfigurationError, match="up to 6"):
        AdaptiveNonLocal.all_wires(7)
    with pytest.raises(ConfigurationError, match="1 to 3"):
        AdaptiveNonLocal.sliding(3, 4)
    with pytest.raises(ConfigurationError, match="distinct"):
        AdaptiveNonLocal([((0, 0), 1)])
    with pytest.raises(ConfigurationError, match="1 or more"):
        AdaptiveNonLocal([((0,), 0)])
    with pytest.raises(ConfigurationError, match="one window"):
        AdaptiveNonLocal([])
    with pytest.raises(ConfigurationError, match="equal"):
        combined(OBSERVABLES["diagonal"], OBSERVABLES["pairwise"])
    with pytest.raises(DataError, match="trained parameters"):
        OBSERVABLES["pairwise"].reduce(np.ones((1, 96)))
    with pytest.raises(DataError, match=r"wanted measured \(rows, 96\)"):
        OBSERVABLES["pairwise"].reduce(np.ones((1, 95)), OBSERVABLES["pairwise"].initial(0))
    with pytest.raises(DataError, match="shots"):
        OBSERVABLES["pairwise"].standard_error(OBSERVABLES["pairwise"].initial(0), 0)


def test_pauli_strings():
    observable = PauliStrings(["Z0 X2", pauli("Y1", 0.5)])
    assert observable.measurement.terms == (pauli("Z0 X2"), pauli("Y1", 0.5))
    data = np.array([[0.1, 0.2]])
    np.testing.assert_array_equal(observable.reduce(data), data)
    assert (observable.n_features, observable.n_parameters, observable.readout(None)) == (2, 0, None)
    with pytest.raises(ConfigurationError, match="one Pauli string"):
        PauliStrings([])
    with pytest.raises(DataError):
        observable.reduce(np.ones((1, 3)))


def test_probabilities():
    observable = ProbabilityReadout((2, 0))
    assert observable.measurement.wires == (2, 0)
    assert observable.n_features == 4
    assert observable.resources().wires == 2
    with pytest.raises(ConfigurationError, match="distinct"):
        ProbabilityReadout((1, 1))
