"""Finite shots on PennyLane's devices: distributions, seeds, independence. All seeds are fixed."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from attrs import evolve
from scipy import stats

from qimg_core.circuit import CircuitBuilder, PauliString, pauli
from qimg_core.errors import ResultError
from qimg_core.execution import ExecutionRequest
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.settings import settings_for
from qimg_core.testing.reference import ReferenceBackend
from qimg_pennylane.backend import PennyLaneBackend

DEVICES = ["lightning.qubit", "default.qubit", "default.mixed"]
ALPHA = 1e-3
"""Size of each family of tests below; a family's members share it equally (Bonferroni)."""


def circuit() -> Any:
    b = CircuitBuilder(4)
    for layer in range(2):
        for q in range(4):
            b.ry(q, b.input(f"x{layer}{q}")).rz(q, b.weight(f"w{layer}{q}")).rx(q, b.weight(f"v{layer}{q}"))
        for q in range(4):
            b.cx(q, (q + 1) % 4)
    return b.build()


def request(measurement: Any, shots: int | None, seed: int | None = 5, rows: int = 3, **more: Any) -> ExecutionRequest:
    c = circuit()
    x = np.random.default_rng(0).uniform(-3, 3, (rows, c.n_inputs))
    w = np.random.default_rng(1).uniform(-3, 3, c.n_weights)
    return ExecutionRequest(
        circuit=c, inputs=more.pop("x", x), weights=w, measurement=measurement, shots=shots, seed=seed, **more
    )


def exact(r: ExecutionRequest, measurement: Any = None) -> Any:
    return ReferenceBackend().run(evolve(r, measurement=measurement or r.measurement, shots=None)).data


@pytest.mark.parametrize("device", DEVICES)
def test_samples_have_the_exact_distribution_by_chi_square(device: str) -> None:
    orders = [(0, 1, 2, 3), (2, 0, 1), (3, 1)]
    for wires in orders:
        r = request(Samples(wires), 8000)
        bits = PennyLaneBackend(device).run(r).data
        assert bits.shape == (3, 8000, len(wires)) and bits.dtype == np.uint8
        index = (bits.astype(int) << np.arange(len(wires) - 1, -1, -1)).sum(2)
        for row, p in zip(index, exact(r, Probabilities(wires)), strict=True):
            seen, rare = np.bincount(row, minlength=len(p)), p * 8000 < 5
            observed = [*seen[~rare], *([seen[rare].sum()] if rare.any() else [])]
            wanted = [*p[~rare] * 8000, *([p[rare].sum() * 8000] if rare.any() else [])]
            assert stats.chisquare(observed, np.array(wanted) * 8000 / sum(wanted)).pvalue > ALPHA / (len(orders) * 3)


@pytest.mark.parametrize("device", DEVICES)
def test_probabilities_are_frequencies_of_the_measured_order(device: str) -> None:
    r = request(Probabilities((2, 0)), 4000)
    out, p = PennyLaneBackend(device).run(r).data, exact(r)
    np.testing.assert_allclose(out * 4000, np.rint(out * 4000), atol=1e-9)
    np.testing.assert_allclose(out.sum(1), 1, atol=1e-12)
    assert (np.abs(out - p) < stats.norm.isf(ALPHA / 2 / p.size) * np.sqrt(p * (1 - p) / 4000)).all()


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "measurement",
    [
        Expectation([pauli("Z0"), pauli("X1 Y3", -2.0), pauli("Y0 Z1 X2 X3", 0.5), PauliString((), 3.0), pauli("Y1")]),
        LocalStates([(2, 0), (3, 1), (0,)]),
    ],
    ids=["expectation", "local states"],
)
def test_means_lie_within_their_standard_errors(device: str, measurement: Any) -> None:
    """A word that s settings read has variance (c**2 - mean**2) / (shots * s); their scores spread like normals."""
    r = request(measurement, 4000, rows=4)
    out, mean = PennyLaneBackend(device).run(r).data, exact(r)
    if isinstance(measurement, Expectation):
        words = [(t.coefficient, dict(t.factors)) for t in measurement.terms]
    else:
        words = [
            (1.0, {w: p for w, p in zip(window, letters, strict=True) if p != "I"})
            for window in measurement.windows
            for letters in itertools.product("IXYZ", repeat=len(window))
        ]
    z = []
    for column, (scale, word) in enumerate(words):
        if not word:
            assert np.array_equal(out[:, column], np.full(4, scale))
            continue
        readers = [s for s in settings_for(measurement) if all(s.letters()[w] == p for w, p in word.items())]
        sigma = np.sqrt((scale**2 - mean[:, column] ** 2) / (4000 * len(readers)))
        z += list((out[:, column] - mean[:, column]) / sigma)
    assert np.abs(z).max() < stats.norm.isf(ALPHA / 2 / len(z))
    low, high = stats.chi2.ppf([ALPHA / 2, 1 - ALPHA / 2], len(z)) / len(z)
    slack = 2.0 if isinstance(measurement, LocalStates) else 1.0  # words of one setting are not independent
    assert low / slack < np.mean(np.square(z)) < high * slack


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(
    "measurement", [Samples((2, 0)), Probabilities((1, 3)), Expectation([pauli("X0 Z1")]), LocalStates([(0, 2)])]
)
def test_a_seed_fixes_the_draws_and_their_digest(device: str, measurement: Any) -> None:
    a, b, c = (PennyLaneBackend(device).run(request(measurement, 100, seed)) for seed in (5, 5, 6))
    assert np.array_equal(a.data, b.data) and a.raw_digest == b.raw_digest and a.sampling == "native"
    assert not np.array_equal(a.data, c.data) and a.raw_digest != c.raw_digest
    assert a.shots == 100
    np.random.seed(0)  # a device left to numpy's global state would follow it
    first = PennyLaneBackend(device).run(request(measurement, 100, None)).data
    np.random.seed(0)
    assert not np.array_equal(first, PennyLaneBackend(device).run(request(measurement, 100, None)).data)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("same", ["inputs", "no inputs"])
def test_equal_rows_are_drawn_independently(device: str, same: str) -> None:
    """Correlation of shots of equal rows, and of neighbouring shots, is within its normal bound of zero."""
    r = request(Samples((1,)), 5000, rows=4)
    r = evolve(r, inputs=np.repeat(r.inputs[:1], 4, axis=0))
    if same == "no inputs":
        c = CircuitBuilder(2).h(1).build()
        r = evolve(r, circuit=c, inputs=np.zeros((4, 0)), weights=np.zeros(0))
    bits = PennyLaneBackend(device).run(r).data[:, :, 0].astype(float)
    z = (bits - bits.mean(1, keepdims=True)) / bits.std(1, keepdims=True)
    found = [(z[a] * z[b]).mean() for a, b in itertools.combinations(range(4), 2)]
    found += [(row[1:] * row[:-1]).mean() for row in z]
    assert np.abs(found).max() < stats.norm.isf(ALPHA / 2 / len(found)) / np.sqrt(5000)


@pytest.mark.parametrize("device", DEVICES)
def test_settings_are_drawn_independently(device: str) -> None:
    """X and Y of |0>: two settings of one fair coin each; equal draws would give equal estimates."""
    c = CircuitBuilder(1).gate("z", 0).build()
    r = ExecutionRequest(
        circuit=c,
        inputs=np.zeros((20, 0)),
        weights=np.zeros(0),
        measurement=Expectation([pauli("X0"), pauli("Y0")]),
        shots=1000,
        seed=1,
    )
    x, y = PennyLaneBackend(device).run(r).data.T
    assert abs(np.corrcoef(x, y)[0, 1]) < stats.norm.isf(ALPHA / 2) / np.sqrt(20)


def test_blocks_of_shots_keep_the_order_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Row k of nine is |k's lowest bit>; one tape at a time."""
    b = CircuitBuilder(2)
    c = b.rx(0, b.input("x")).build()
    x = np.pi * (np.arange(9) % 2)[:, None].astype(float)
    for limit in (1, 2**25):
        monkeypatch.setattr("qimg_pennylane.sampled._BITS", limit)
        for device in DEVICES:
            r = ExecutionRequest(circuit=c, inputs=x, weights=np.zeros(0), measurement=Samples((1, 0)), shots=3, seed=1)
            bits = PennyLaneBackend(device).run(r).data
            assert (bits[:, :, 0] == 0).all() and (bits[:, :, 1] == (np.arange(9) % 2)[:, None]).all()


@pytest.mark.parametrize("device", DEVICES)
def test_amplitudes_of_single_precision_are_sampled(device: str) -> None:
    """A torch layer's amplitudes have norm 1 to 1e-7 each; of two registers PennyLane's samplers ask for more."""
    b = CircuitBuilder(2)
    amplitudes = (b.input("a"), b.input("b"))
    circuit = b.gate("prepare", 0, angles=amplitudes).gate("prepare", 1, angles=amplitudes).build()
    x = np.array([[1.0, 0.0], [0.6, 0.8]]) * (1 + 4e-7)
    r = ExecutionRequest(
        circuit=circuit, inputs=x, weights=np.zeros(0), measurement=Probabilities((0, 1)), shots=100, seed=1
    )
    assert np.array_equal(PennyLaneBackend(device).run(r).data[0], [1.0, 0.0, 0.0, 0.0])


def test_a_device_that_takes_other_shots_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    import pennylane as qml

    real = qml.execute

    def short(tapes: Any, *args: Any, **kwargs: Any) -> Any:
        return [np.asarray(r)[:-1] for r in real(tapes, *args, **kwargs)]

    monkeypatch.setattr(qml, "execute", short)
    with pytest.raises(ResultError, match="wanted 10 shots"):
        PennyLaneBackend().run(request(Samples((0,)), 10, rows=1))
