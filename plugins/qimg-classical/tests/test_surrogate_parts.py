"""The mathematics under a surrogate: spectrum, ridge, projection, interval; against brute force or a definition."""

from itertools import product

import numpy as np
import pytest

from qimg_classical.measured import MeasuredError, measure
from qimg_classical.outputs import free_columns, possible
from qimg_classical.regression import ridges
from qimg_classical.series import Cosines, Series, fourier_features, random_features
from qimg_classical.spectrum import full_degree, lattice, spectra
from qimg_core import CircuitBuilder, Expectation, LocalStates, Probabilities, pauli
from qimg_core.circuit.pauli import PauliString
from qimg_core.testing import ReferenceBackend


def heard(circuit, request, measurement):
    """Frequencies in the one input of a circuit by the discrete Fourier transform of its exact values."""
    points, period = 64, 4 * np.pi  # scales here are multiples of 1/2
    x = np.arange(points)[:, None] * period / points
    data = ReferenceBackend().run(request(circuit, x, measurement)).data
    strength = np.abs(np.fft.rfft(data, axis=0)).max(1) / points
    return {k / 2 for k in range(1, len(strength)) if strength[k] > 1e-9}


GATES = {
    "once": lambda b, x: b.ry(0, x),
    "twice": lambda b, x: b.ry(0, x).gate("rx", 1, angles=(x,)),
    "faster": lambda b, x: b.ry(0, x * 2).gate("rx", 1, angles=(x * -1.5,)),
    "phase": lambda b, x: b.gate("h", 0).gate("p", 0, angles=(x,)).gate("h", 0),
    "controlled": lambda b, x: b.gate("h", 0).gate("cry", 0, 1, angles=(x,)),
    "pair": lambda b, x: b.gate("h", 0).gate("rzz", 0, 1, angles=(x,)).gate("rx", 0, angles=(x + 0.4,)),
}


@pytest.mark.parametrize("gates", GATES.values(), ids=GATES)
def test_the_spectrum_holds_what_the_circuit_sounds_like(gates, make_lab):
    b = CircuitBuilder(2)
    x = b.input("x")
    b.ry(0, 0.3).gate("rx", 1, angles=(0.7,))
    gates(b, x)
    circuit = b.cx(0, 1).ry(0, 0.4).gate("rx", 1, angles=(0.9,)).cx(1, 0).build()
    measured = LocalStates([(0, 1)])
    (found,) = spectra(circuit)
    audible = heard(circuit, make_lab.request, measured)
    assert audible <= set(found)
    assert max(audible) == max(found)


def test_the_spectrum_of_a_circuit_by_hand(make_lab):
    # x: ry (1), crx (1/2 and 1), ry (1); y: rx with scale 2, rzz (1)
    assert spectra(make_lab.mixed()) == ((0.5, 1, 1.5, 2, 2.5, 3), (1, 2, 3))


def test_an_unused_input_has_no_spectrum_and_an_amplitude_is_no_angle():
    b = CircuitBuilder(1)
    b.input("unused")
    assert spectra(b.ry(0, b.input("x")).build()) == ((), (1.0,))
    b = CircuitBuilder(1)
    assert spectra(b.gate("prepare", 0, angles=(b.input("a"), b.input("b"))).build()) is None


def test_the_lattice_is_half_of_all_frequency_vectors():
    found = ((1.0, 2.0), (1.0,), (), (0.5, 1.0))
    every = set(product((-2, -1, 0, 1, 2), (-1, 0, 1), (0,), (-1, -0.5, 0, 0.5, 1))) - {(0, 0, 0, 0)}
    half = {tuple(v) for v in lattice(found, full_degree(found), 1000)}
    assert {tuple(-np.array(v)) for v in half} | half == every
    assert len(half) == len(every) // 2
    assert lattice(found, full_degree(found), len(half) - 1) is None
    degree_one = {tuple(v) for v in lattice(found, 1, 1000)}
    assert degree_one == {(1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0.5)}


def test_fourier_features_are_cosine_and_sine():
    x = np.array([[0.3, 0.5]])
    np.testing.assert_allclose(fourier_features(np.array([[1.0, 2.0]]))(x), [[np.cos(1.3), np.sin(1.3)]], atol=1e-15)


def test_random_features_make_a_gaussian_kernel():
    x = np.random.default_rng(0).normal(size=(6, 2)) * (1, 30)
    features = random_features(x, 200_000, 1.3, seed=4)(x) * np.sqrt(2 / 200_000)
    scaled = x / x.std(0)
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(-1)
    np.testing.assert_allclose(features @ features.T, np.exp(-distance / (2 * 1.3**2)), atol=0.015)  # ~ 6/sqrt(D)


def test_a_series_of_many_rows_is_the_sum_that_it_says():
    rng = np.random.default_rng(1)
    w, p, c, c0 = rng.normal(size=(4, 2)), rng.normal(size=4), rng.normal(size=(4, 3)), rng.normal(size=3)
    x = rng.normal(size=(5000, 2))
    expected = sum(c[k] * np.cos(x @ w[k] + p[k])[:, None] for k in range(4)) + c0
    np.testing.assert_allclose(Series(Cosines(w, p), c, c0)(x), expected, atol=1e-12)


def test_leave_one_out_is_what_leaving_one_out_gives():
    rng = np.random.default_rng(2)
    f, y = rng.normal(size=(12, 5)), rng.normal(size=(12, 2))
    top = np.linalg.svd(f - f.mean(0), compute_uv=False)[0] ** 2
    for ridge in ridges(f, y):
        for i in range(12):
            rest = np.arange(12) != i
            middle, mean = f[rest].mean(0), y[rest].mean(0)
            a = f[rest] - middle
            solved = np.linalg.solve(a.T @ a + ridge.strength * top * np.eye(5), a.T @ (y[rest] - mean))
            np.testing.assert_allclose(ridge.residuals[i], y[i] - mean - (f[i] - middle) @ solved, atol=1e-8)


def test_the_weakest_ridge_is_least_squares():
    rng = np.random.default_rng(3)
    f, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2))
    best = next(ridges(f, y))
    solved, *_ = np.linalg.lstsq(np.column_stack([f, np.ones(30)]), y, rcond=None)
    np.testing.assert_allclose(best.coefficients, solved[:4], atol=1e-9)
    np.testing.assert_allclose(best.intercept, solved[4], atol=1e-9)


def test_rows_that_decide_their_own_value_have_no_leave_one_out_error():
    rng = np.random.default_rng(3)
    first = next(ridges(rng.normal(size=(5, 40)), rng.normal(size=(5, 1))))
    assert np.isinf(first.residuals).all()


def test_distributions_go_to_the_nearest_one():
    rng = np.random.default_rng(5)
    values = rng.normal(size=(50, 4))
    nearest = possible(Probabilities([0, 1]), values)
    assert (nearest >= 0).all()
    np.testing.assert_allclose(nearest.sum(1), 1, atol=1e-12)
    others = rng.dirichlet(np.ones(4), size=200)  # the projection's defining inequality
    gaps = np.einsum("ri,rqi->rq", values - nearest, others[None] - nearest[:, None])
    assert gaps.max() < 1e-12
    inside = rng.dirichlet(np.ones(4), size=5)
    np.testing.assert_allclose(possible(Probabilities([0, 1]), inside), inside, atol=1e-15)


def test_expectations_stay_in_their_bounds_and_identities_are_exact():
    terms = Expectation([PauliString([(0, "Z")], -2), PauliString([], 3), pauli("X1")])
    assert free_columns(terms).tolist() == [True, False, True]
    np.testing.assert_array_equal(possible(terms, np.array([[2.5, 0.0, -1.5]])), [[2.0, 3.0, -1.0]])
    windows = LocalStates([(0,), (1, 0)])
    assert np.flatnonzero(~free_columns(windows)).tolist() == [0, 4]
    clipped = possible(windows, np.full((1, 20), -7.0))
    assert clipped[0, [0, 4]].tolist() == [1, 1]
    assert (np.delete(clipped, [0, 4]) == -1).all()


def test_the_measured_error_is_what_it_says():
    truth = np.zeros((4, 3))
    estimate = np.array([[1.0, 0, 9], [1, 2, 9], [1, 0, 9], [1, 0, 9]])
    whole, each = measure(estimate, truth, np.array([True, True, False]), seed=1)
    assert whole.rmse == pytest.approx(np.sqrt((4 + 4) / 8))
    assert (whole.largest, whole.n, whole.outputs) == (2.0, 4, 2)
    np.testing.assert_allclose(each.rmse, [1, 1, 9])
    np.testing.assert_allclose([each.low[0], each.high[0], each.largest[1]], [1, 1, 2])
    assert whole.low <= whole.rmse <= whole.high
    assert MeasuredError.from_json(whole.to_json()) == whole
    assert "n=4 inputs of 2 numbers" in str(whole)


def test_the_interval_holds_the_error_as_often_as_it_says():
    """Normal errors of deviation 1: 300 intervals of 95 %; the percentile bootstrap at n=60 covers about 93 %."""
    rng = np.random.default_rng(7)
    hits = 0
    for seed in range(300):
        whole, each = measure(rng.normal(size=(60, 1)), np.zeros((60, 1)), np.array([True]), seed)
        np.testing.assert_allclose([each.low[0], each.high[0]], [whole.low, whole.high])
        hits += whole.low <= 1.0 <= whole.high
    assert 0.88 <= hits / 300 <= 0.99
