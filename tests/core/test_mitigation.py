"""Error mitigation: folding, read-out correction, extrapolation, their errors; against exact numbers and resampling."""

import json

import numpy as np
import pytest
import torch
from attrs import evolve

from qimg_core.capabilities import MeasurementKind
from qimg_core.circuit import Angle, Circuit, CircuitBuilder, Gate, GateName, Parameter, PauliString, each, pauli
from qimg_core.circuit.folding import fold
from qimg_core.circuit.gates import UNITARY
from qimg_core.confusion import words
from qimg_core.errors import ConfigurationError, ResultError
from qimg_core.execution import ExecutionRequest
from qimg_core.extrapolation import extrapolate, weights
from qimg_core.measurement import Expectation, LocalStates, Probabilities
from qimg_core.mitigating import combine, parts
from qimg_core.mitigation import Mitigation
from qimg_core.noise import NoiseModel, NoiseRule, amplitude_damping, dephasing, depolarizing
from qimg_core.seeds import derive_seed
from qimg_core.testing.reference import ReferenceBackend, unitary
from qimg_simulator.backend import SimulatorBackend

TERMS = [pauli("Z0 X2", -0.7), pauli("Y1"), PauliString((), 2.5), pauli("X0 Y1 Z2", 3.0), pauli("Y1", 0.5)]
WINDOWS = [(2, 0), (1,)]
READOUT = NoiseModel((), (0.02, 0.05), ((1, 0.11, 0.03),))
SLOW = pytest.mark.slow
BOTH = Mitigation(readout=True, folds=(1, 3, 5))


def random_circuit(n, depth, seed, rows=2):
    rng = np.random.default_rng(seed)
    b = CircuitBuilder(n)
    for layer in range(depth):
        for wire in range(n):
            b.ry(wire, b.input(f"x{layer}.{wire}") * 0.7).rz(wire, b.weight(f"w{layer}.{wire}")).gate("sx", wire)
        for wire in range(n - 1):
            b.cx(wire, wire + 1)
    circuit = b.build()
    return circuit, rng.uniform(-3, 3, (rows, circuit.n_inputs)), rng.uniform(-3, 3, circuit.n_weights)


def request_of(measurement, mitigation, *, noise=None, depth=2, seed=1, n=3, rows=2, **more):
    circuit, x, w = random_circuit(n, depth, seed, rows)
    return ExecutionRequest(
        circuit=circuit, inputs=x, weights=w, measurement=measurement, noise=noise, mitigation=mitigation, **more
    )


def mitigated(request, **more):
    """Parts, executed on the noisy simulator, combined."""
    made = parts(request)
    results = [SimulatorBackend().run(p.request).data for p in made.parts]
    return combine(request, made, results, joint=False, **more)


def exact(request):
    """Without noise, from the dense reference device."""
    return ReferenceBackend().run(evolve(request, noise=None, shots=None, mitigation=None, readout=None)).data


# -- folding and parts -------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 3, 5])
def test_folding_repeats_every_gate_and_changes_nothing(factor):
    rng = np.random.default_rng(2)
    parameters, gates = [], []
    for name in sorted(UNITARY):
        angles = ()
        if name.n_angles:
            parameters.append(Parameter(f"p{len(parameters)}", "weight"))
            angles = (Angle(len(parameters) - 1, rng.uniform(-2, 2), 0.3),)
        gates.append(Gate(name, tuple(int(w) for w in rng.permutation(3)[: name.n_wires]), angles))
    circuit = Circuit(3, gates, parameters)
    values = rng.uniform(-3, 3, len(parameters))
    folded = fold(circuit, factor)
    assert len(folded.gates) == factor * len(circuit.gates)
    assert folded.parameters == circuit.parameters
    overlap = np.trace(unitary(circuit, values).conj().T @ unitary(folded, values)) / 8
    assert abs(overlap) == pytest.approx(1, abs=1e-12)


def test_what_cannot_be_folded_is_refused():
    prepared = CircuitBuilder(1).gate("prepare", 0, angles=(1.0, 0.0)).build()
    with pytest.raises(ConfigurationError, match="prepare, which cannot be undone"):
        fold(prepared, 3)
    reset = Circuit(1, [Gate(GateName.RESET, (0,)), Gate(GateName.MEASURE, (0,))])
    with pytest.raises(ConfigurationError, match="measure, reset"):
        fold(reset, 3)
    with pytest.raises(ConfigurationError, match="odd factor"):
        fold(Circuit(1), 2)


def test_parts_are_plain_requests_with_seeds_of_their_own():
    chosen = Mitigation(readout=True, folds=(1, 3), calibration_shots=77)
    request = evolve(request_of(Expectation(TERMS), chosen, shots=50, noise=READOUT), seed=9)
    made = parts(request)
    assert made.names == ("fold 1", "fold 3", "read-out 0", "read-out 1")
    assert [p.seed for p in made.requests] == [derive_seed(9, "mitigation", name) for name in made.names]
    assert [p.shots for p in made.requests] == [50, 50, 77, 77]
    assert [p.rows for p in made.requests] == [2, 2, 1, 1]
    assert all(p.mitigation is None and p.noise is READOUT for p in made.requests)
    assert made.requests[0].circuit == request.circuit
    assert len(made.requests[1].circuit.gates) == 3 * len(request.circuit.gates)
    assert [g.name.value for g in made.requests[3].circuit.gates] == ["x", "x", "x"]
    assert made.requests[2].measurement == Expectation(each("Z", range(3)))
    assert ["fold" in " ".join(p.decisions) for p in made.parts] == [False, True, False, False]
    again = parts(request)
    assert [p.digest for p in again.requests] == [p.digest for p in made.requests]
    assert len({p.digest for p in made.requests}) == 4
    assert all(p.seed is None for p in parts(request_of(Expectation(TERMS), chosen)).requests)


def test_terms_are_asked_with_their_subwords_only_for_readout():
    asked = parts(request_of(Expectation(TERMS), Mitigation(readout=True))).requests[0].measurement
    assert isinstance(asked, Expectation)
    found = [str(t) for t in asked.terms]
    assert found[:3] == ["Z0 X2", "Y1", "X0 Y1 Z2"]  # whole words first: they decide the settings
    assert set(found) == {"Z0 X2", "Z0", "X2", "Y1", "X0 Y1 Z2", "X0 Y1", "X0 Z2", "Y1 Z2", "X0", "Z2"}
    alone = parts(request_of(Expectation(TERMS), Mitigation(folds=(1, 3)))).requests[0].measurement
    assert {str(t) for t in alone.terms} == {"Z0 X2", "Y1", "X0 Y1 Z2"}
    windows = parts(request_of(LocalStates(WINDOWS), BOTH)).requests[0].measurement
    assert windows == LocalStates(WINDOWS)
    with pytest.raises(ConfigurationError, match="up to 8 letters, got one of 9"):
        words(Expectation([PauliString([(w, "Z") for w in range(9)])]), subwords=True)


def test_what_mitigation_does_not_cover_is_refused():
    for measurement, mitigation, words_of in (
        (Expectation(TERMS), None, "with a mitigation"),
        (Probabilities((0,)), BOTH, "not probabilities"),
    ):
        with pytest.raises(ConfigurationError, match=words_of):
            parts(request_of(measurement, mitigation))
    circuit, x, w = random_circuit(3, 1, 0)
    tensors = ExecutionRequest(
        circuit=circuit,
        inputs=torch.tensor(x),
        weights=torch.tensor(w),
        measurement=Expectation(TERMS),
        mitigation=BOTH,
    )
    with pytest.raises(ConfigurationError, match="numpy"):
        parts(tensors)
    assert MeasurementKind.PROBABILITIES == "probabilities"


# -- exact numbers -------------------------------------------------------------------------------


@pytest.mark.parametrize("measurement", [Expectation(TERMS), LocalStates(WINDOWS), LocalStates([(2, 0, 1)])])
def test_pure_readout_noise_is_undone_exactly(measurement):
    request = request_of(measurement, Mitigation(readout=True), noise=READOUT)
    data, facts = mitigated(request)
    wanted = exact(request)
    np.testing.assert_allclose(data, wanted, atol=1e-9)
    raw = np.array(facts["raw"], dtype=float) if isinstance(facts["raw"], list) else None
    assert raw is None or abs(raw - wanted).max() > 0.03
    matrix = np.array(facts["readout"]["1"]["matrix"], dtype=float)
    np.testing.assert_allclose(matrix, [[0.89, 0.03], [0.11, 0.97]], atol=1e-12)
    assert facts["standard_error"] is None


def test_the_identity_stays_one():
    request = request_of(LocalStates(WINDOWS), BOTH, noise=READOUT, shots=40)
    data, _ = mitigated(evolve(request, seed=3))
    assert (data[:, [0, 16]] == 1.0).all()
    data, facts = mitigated(request_of(Expectation([PauliString((), 2.5)]), BOTH, noise=READOUT))
    assert (data == 2.5).all()
    assert facts["variance_amplification"]["mean"] is None


@pytest.mark.parametrize("readout", [None, (0.04, 0.1)])
def test_the_exponential_undoes_depolarization_of_one_wire(readout):
    """Each of G gates multiplies a Pauli word by 1 - p, a circuit folded f times by (1 - p)**(G f)."""
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).rz(0, 0.4).rx(0, b.weight("w")).build()
    noise = NoiseModel((NoiseRule(depolarizing(0.03)),), readout)
    ideal_x = NoiseModel((NoiseRule(depolarizing(0.03), {"ry", "rz", "rx"}),), readout)  # calibration circuits use x
    request = ExecutionRequest(
        circuit=circuit,
        inputs=np.array([[0.7], [2.0]]),
        weights=np.array([0.9]),
        measurement=Expectation([pauli("Z0"), pauli("X0", -2.0), pauli("Y0")]),
        noise=noise if readout is None else ideal_x,
        mitigation=Mitigation(readout=readout is not None, folds=(1, 3, 7), extrapolation="exponential"),
    )
    data, facts = mitigated(request)
    np.testing.assert_allclose(data, exact(request), atol=1e-9)
    assert facts["exponential"] == 6
    np.testing.assert_allclose(np.array(facts["fitted"], dtype=float), -3 * np.log(0.97), atol=1e-9)


@pytest.mark.parametrize("factors", [(1, 3), (1, 3, 5), (1, 5, 7, 11)])
def test_linear_and_richardson_are_polynomial_fits(factors):
    rng = np.random.default_rng(0)
    measured = rng.uniform(-1, 1, (len(factors), 4))
    for how, degree in (("linear", 1), ("richardson", len(factors) - 1)):
        fit = np.polyfit(factors, measured, degree)
        np.testing.assert_allclose(extrapolate(measured, factors, how).values, fit[-1], atol=1e-9)
        np.testing.assert_allclose(weights(factors, how).sum(), 1, atol=1e-12)
        if how == "linear":
            np.testing.assert_allclose(extrapolate(measured, factors, how).fitted, fit[0], atol=1e-9)


def test_the_exponential_gives_way_to_the_line():
    factors = (1, 3, 5)
    good, sign, steep, zero = [0.5, 0.4, 0.32], [0.2, 0.01, -0.02], [0.3, 0.003, 0.00003], [0.2, 0.1, 0.0]
    measured = np.array([good, sign, steep, zero]).T
    found = extrapolate(measured, factors, "exponential")
    assert found.exponential.tolist() == [True, False, False, False]
    assert found.values[0] == pytest.approx(0.5 * 0.8**-0.5, abs=1e-12)
    np.testing.assert_allclose(found.values[1:], extrapolate(measured, factors, "linear").values[1:], atol=1e-12)
    unsure = extrapolate(measured, factors, "exponential", np.full(measured.shape, 0.2))
    assert not unsure.exponential.any()
    step = 1e-6  # slopes are derivatives
    for at in range(3):
        moved = measured[:, :1].copy()
        moved[at] += step
        up = extrapolate(moved, factors, "exponential").values[0]
        assert found.slopes[at, 0] == pytest.approx((up - found.values[0]) / step, rel=1e-4)


def test_contracted_readouts_are_contracted_after_correction():
    rng = np.random.default_rng(4)
    matrices = []
    for k in (2, 1):
        m = rng.normal(size=(3, 2**k, 2**k)) + 1j * rng.normal(size=(3, 2**k, 2**k))
        matrices.append(m + m.conj().transpose(0, 2, 1))
    request = request_of(LocalStates(WINDOWS), Mitigation(readout=True), noise=READOUT, readout=tuple(matrices))
    assert parts(request).requests[0].readout is None
    data, _ = mitigated(request)
    clean = evolve(request, noise=None, mitigation=None)
    np.testing.assert_allclose(data, SimulatorBackend().run(clean).data, atol=1e-9)


# -- a known noise model ---------------------------------------------------------------------------

NOISY = NoiseModel(
    (
        NoiseRule(depolarizing(0.006), {"cx"}),
        NoiseRule(amplitude_damping(0.002)),
        NoiseRule(dephasing(0.001), {"ry", "sx"}),
    ),
    (0.02, 0.05),
)


@pytest.mark.parametrize(
    ("mitigation", "shots"),
    [
        (Mitigation(folds=(1, 3)), None),
        (Mitigation(readout=True), None),
        (BOTH, None),
        pytest.param(Mitigation(readout=True, folds=(1, 3, 5), extrapolation="richardson"), None, marks=SLOW),
        (Mitigation(readout=True, folds=(1, 3, 5), extrapolation="exponential"), None),
        (Mitigation(readout=True, folds=(1, 3), calibration_shots=100_000), 20_000),
    ],
    ids=["linear", "read-out", "both", "richardson", "exponential", "both with shots"],
)
@pytest.mark.parametrize("measurement", [Expectation(TERMS), LocalStates(WINDOWS)], ids=["terms", "windows"])
def test_corrected_numbers_are_closer_in_nine_of_ten_circuits(mitigation, shots, measurement):
    closer, before, after = 0, [], []
    for seed in range(20):
        request = request_of(measurement, mitigation, noise=NOISY, seed=seed, rows=1, shots=shots)
        request = evolve(request, seed=seed if shots else None)
        made = parts(request)
        results = [SimulatorBackend().run(p.request).data for p in made.parts]
        data, _ = combine(request, made, results, joint=False)
        unmitigated = SimulatorBackend().run(_without(request)).data
        wanted = exact(request)
        before.append(np.sqrt(((unmitigated - wanted) ** 2).mean()))
        after.append(np.sqrt(((data - wanted) ** 2).mean()))
        closer += after[-1] < before[-1]
    print(f"{closer}/20 closer; rms error {np.mean(before):.4f} -> {np.mean(after):.4f}")
    assert closer >= 18


def _without(request):
    return evolve(request, mitigation=None)


# -- standard errors and variances -------------------------------------------------------------------


def resampled(measurement, mitigation, shots, joint, draw, times=1000):
    """Every part drawn anew ``times`` times: (values, raw) (times, width), and the facts of each."""
    request = request_of(measurement, mitigation, noise=NOISY, seed=5, rows=1, shots=shots)
    made = parts(request)
    rng = np.random.default_rng(6)
    drawn = [draw(rng, p.request, times) for p in made.parts]
    out, facts = [], []
    for i in range(times):
        data, found = combine(request, made, [d[i : i + 1] for d in drawn], joint=joint)
        out.append(data[0])
        facts.append(found)
    raw = np.array([f["raw"][0] for f in facts], dtype=float)
    return np.array(out), raw, facts


def draw_on_simulator(rng, request, times):
    """The simulator's own sampling, one row a repetition."""
    many = evolve(
        request, inputs=np.repeat(request.inputs, times, axis=0), seed=int(rng.integers(2**40)), shots=request.shots
    )
    return SimulatorBackend().run(many).data


def draw_jointly(rng, request, times):
    """Every term from the same shots: outcomes of all wires in the one basis that the terms share."""
    basis = {w: p for t in request.measurement.terms for w, p in t.factors}
    assert all(basis[w] == p for t in request.measurement.terms for w, p in t.factors)
    wires = sorted(basis)
    window = SimulatorBackend().run(evolve(request, measurement=LocalStates([wires]), shots=None)).data[0]
    signs = np.array(
        [[(-1) ** ((i >> (len(wires) - 1 - w)) & 1) for w in range(len(wires))] for i in range(2 ** len(wires))]
    )
    p = np.zeros(2 ** len(wires))
    for subset in range(2 ** len(wires)):
        digits = [("IXYZ".index(basis[w]) if (subset >> k) & 1 else 0) for k, w in enumerate(wires)]
        index = int("".join(map(str, digits)), 4)
        p += window[index] * np.prod([signs[:, k] for k in range(len(wires)) if digits[k]], axis=0) / len(p)
    counts = rng.multinomial(request.shots, np.clip(p, 0, None) / np.clip(p, 0, None).sum(), size=times)
    columns = [np.prod(signs[:, [wires.index(w) for w, _ in t.factors]], axis=1) for t in request.measurement.terms]
    return counts / request.shots @ np.array(columns).T


SAME_BASIS = Expectation([pauli("X0 Y1 Z2"), pauli("X0 Z2", 2.0), pauli("Y1", -0.5)])


@pytest.mark.parametrize(
    ("how", "measurement", "joint", "draw"),
    [
        pytest.param("linear", SAME_BASIS, True, draw_jointly, id="linear, same shots"),
        pytest.param("richardson", SAME_BASIS, True, draw_jointly, id="richardson, same shots", marks=SLOW),
        pytest.param("exponential", SAME_BASIS, True, draw_jointly, id="exponential, same shots", marks=SLOW),
        pytest.param("linear", SAME_BASIS, False, draw_on_simulator, id="linear, apart", marks=SLOW),
        pytest.param("exponential", SAME_BASIS, False, draw_on_simulator, id="exponential, apart", marks=SLOW),
        pytest.param("linear", LocalStates([(0, 1)]), True, draw_on_simulator, id="linear, windows", marks=SLOW),
        pytest.param(
            "richardson", LocalStates([(0, 1)]), True, draw_on_simulator, id="richardson, windows", marks=SLOW
        ),
    ],
)
def test_variances_are_those_of_a_thousand_repetitions(how, measurement, joint, draw):
    """Shots and calibration shots drawn anew; 1000 draws know a variance to 4.5 % (one standard deviation)."""
    mitigation = Mitigation(readout=True, folds=(1, 3, 5), extrapolation=how, calibration_shots=500)
    values, raw, facts = resampled(measurement, mitigation, 4000, joint, draw)
    seen, told = values.std(0, ddof=1), np.array([f["standard_error"][0] for f in facts], dtype=float)
    known = raw.std(0) > 0
    ratio = np.median(told, 0)[known] / seen[known]
    grown = (seen[known] / raw.std(0, ddof=1)[known]) ** 2
    means = [float(f["variance_amplification"]["mean"]) for f in facts]
    print(f"{how}: standard errors told/seen {ratio.min():.3f} to {ratio.max():.3f}")
    print(f"variances times {grown.mean():.2f}, told {np.median(means):.2f}")
    assert ratio == pytest.approx(1, abs=0.08)
    assert np.median(means) == pytest.approx(grown.mean(), rel=0.1)


def test_without_shots_the_amplification_is_that_of_many_shots():
    """Linear 1, 3: weights 3/2 and -1/2, and 1 / b**2 of each wire without bias."""
    noise = NoiseModel((), (0.1, 0.1))
    request = request_of(Expectation([pauli("Z0")]), Mitigation(readout=True, folds=(1, 3)), noise=noise, rows=1)
    _, facts = mitigated(request)
    assert float(facts["variance_amplification"]["mean"]) == pytest.approx((1.5**2 + 0.5**2) / 0.8**2, rel=1e-9)
    assert facts["weights"] == ["1.5", "-0.5"]


# -- facts and bad answers -------------------------------------------------------------------------


def floats_in(document):
    if isinstance(document, dict):
        return any(floats_in(v) for v in document.values())
    if isinstance(document, list):
        return any(floats_in(v) for v in document)
    return isinstance(document, float)


def test_facts_hold_no_floats_and_stay_small():
    request = request_of(LocalStates([(0, 1, 2)]), BOTH, noise=NOISY, rows=40, shots=100)
    _, facts = mitigated(request)
    text = json.dumps(facts)
    assert not floats_in(json.loads(text))
    assert len(text) < 6000
    assert facts["result"]["shape"] == [40, 64]
    assert facts["result"]["digest"].startswith("sha256:")
    small = mitigated(request_of(Expectation(TERMS), BOTH, noise=NOISY, shots=100))[1]
    assert not floats_in(small)
    assert set(small["by_factor"]) == {"1", "3", "5"}
    assert np.array(small["standard_error"], dtype=float).shape == (2, 5)
    assert len(small["readout"]["0"]["standard_errors"]) == 2


def test_answers_that_cannot_be_used_are_named():
    request = request_of(Expectation([pauli("Z0")]), Mitigation(readout=True))
    made = parts(request)
    good = [np.zeros((2, 1)), np.array([[0.9]]), np.array([[-0.8]])]
    assert combine(request, made, good)[0] == pytest.approx(-(0.05 / 0.85))
    with pytest.raises(ResultError, match="read-out 0: wanted finite"):
        combine(request, made, [good[0], np.array([[np.nan]]), good[2]])
    with pytest.raises(ResultError, match=r"fold 1: .*\(2, 1\), got shape \(1, 2\)"):
        combine(request, made, [good[0].T, *good[1:]])
    with pytest.raises(ResultError, match="wire 0: .* nothing to correct"):
        combine(request, made, [good[0], np.array([[0.02]]), np.array([[-0.02]])])
