"""Fitting: exact where the series is complete, an error that is the error, refusals that say what is missing."""

import numpy as np
import pytest
from attrs import evolve

from qimg_classical.fitting import _split, fit, needed
from qimg_classical.surrogate_file import from_bytes, to_bytes
from qimg_classical.training_set import choose
from qimg_core import CircuitBuilder, Expectation, LocalStates, Probabilities, Samples, pauli
from qimg_core.errors import ConfigurationError, DataError, WeightsError
from qimg_core.noise import parse_noise
from qimg_core.proposals import Proposals
from qimg_core.testing import ReferenceBackend
from qimg_simulator.backend import SimulatorBackend

FRESH = np.random.default_rng(99).uniform(-2 * np.pi, 2 * np.pi, (60, 2))


def truth(request):
    return ReferenceBackend().run(request).data


def test_one_angle_is_learned_exactly(lab):
    """<Z> after ry(x) is cos(x): one frequency, 1, which the circuit itself names."""
    made = fit(lab.learn(lab.turn(), 30))
    assert made.facts["fit"] | {"ridge": 0, "leave_one_out_rmse": 0, "tried": []} == {
        "kind": "fourier",
        "features": 2,
        "degree": 1,
        "complete": True,
        "ridge": 0,
        "leave_one_out_rmse": 0,
        "seed": "0",
        "train": 20,
        "held_out": 10,
        "tried": [],
    }
    x = np.linspace(-9, 9, 200)[:, None]
    np.testing.assert_allclose(made.estimate(x)[:, 0], np.cos(x[:, 0]), atol=1e-8)
    assert made.error.largest < 1e-8


@pytest.mark.parametrize(
    "measurement",
    [Expectation([pauli("Z0 Z2"), pauli("X1")]), LocalStates([(2, 0), (1,)]), Probabilities([2, 0])],
    ids=["expectation", "local states", "probabilities"],
)
def test_the_whole_spectrum_is_exact_on_fresh_inputs(lab, measurement):
    made = fit(lab.learn(lab.mixed(), 180, measurement), kind="fourier", seed=3)
    assert made.facts["fit"]["complete"]
    np.testing.assert_allclose(
        made.estimate(FRESH), truth(lab.request(lab.mixed(), FRESH, measurement)), rtol=0, atol=1e-8
    )


def test_a_circuit_with_noise_keeps_its_frequencies(lab):
    noise = parse_noise("depolarizing=0.05,damping=0.1,readout=0.03")
    x = np.random.default_rng(8).uniform(-2 * np.pi, 2 * np.pi, (150, 2))
    lab.record(lab.request(lab.mixed(), x, noise=noise))
    made = fit(lab.table(), kind="fourier")
    exact = SimulatorBackend().run(lab.request(lab.mixed(), FRESH, noise=noise)).data
    np.testing.assert_allclose(made.estimate(FRESH), exact, atol=1e-8)
    assert np.abs(exact - truth(lab.request(lab.mixed(), FRESH))).max() > 0.05  # the noise is not nothing


def test_the_error_is_that_of_fresh_recorded_points(make_lab):
    """Few shots and many features: the training residual would be far too small, and the interval must not be."""
    hits, ratios = 0, []
    lab, points = make_lab(), np.random.default_rng(99).uniform(-np.pi, np.pi, (3000, 2))
    template = lab.learn(lab.mixed(), 20)
    for seed in range(24):
        x = np.random.default_rng(seed).uniform(-np.pi, np.pi, (120, 2))
        sampled = SimulatorBackend().run(lab.request(lab.mixed(), x, shots=40, seed=seed)).data
        made = fit(evolve(template, inputs=x, targets=sampled), kind="fourier", seed=seed)
        fresh = SimulatorBackend().run(lab.request(lab.mixed(), points, shots=40, seed=1000 + seed)).data
        real = np.sqrt(np.mean((made.estimate(points) - fresh) ** 2))
        hits += made.error.low <= real <= made.error.high
        ratios.append(made.error.rmse / real)
    assert hits >= 19  # 24 intervals of 95 %, percentile bootstrap at n=30: fewer than 19 has p < 0.005 at 92 %
    assert 0.93 < np.mean(ratios) < 1.07


def test_the_choice_does_not_see_the_held_out_inputs(lab):
    training = lab.learn(lab.mixed(), 120, shots=40)
    made = fit(training, seed=2)
    spoiled = training.targets.copy()
    _, out = _split(len(training.inputs), 2)
    spoiled[out] = -np.sign(spoiled[out])
    again = fit(evolve(training, targets=spoiled), seed=2)
    assert again.facts["fit"] == made.facts["fit"]
    np.testing.assert_array_equal(again.series.coefficients, made.series.coefficients)
    assert again.error.rmse > 2 * made.error.rmse


def test_auto_takes_the_kind_that_leaves_the_smaller_error(lab):
    training = lab.learn(lab.mixed(), 600)
    made = fit(training)
    errors = {}
    for t in made.facts["fit"]["tried"]:
        errors[t["kind"]] = min(errors.get(t["kind"], np.inf), float(t["leave_one_out_rmse"]))
    assert set(errors) == {"fourier", "features"}
    assert made.facts["fit"]["kind"] == min(errors, key=errors.get) == "fourier"
    features = fit(training, kind="features")
    assert features.facts["fit"]["kind"] == "features"
    actual = np.abs(features.estimate(FRESH) - truth(lab.request(lab.mixed(), FRESH)))
    assert 1e-4 < features.error.rmse < 0.1
    assert np.sqrt((actual**2).mean()) == pytest.approx(features.error.rmse, rel=0.6)


def test_amplitudes_are_learned_with_random_features_only(lab):
    b = CircuitBuilder(1)
    circuit = b.gate("prepare", 0, angles=(b.input("a"), b.input("b"))).ry(0, 0.4).build()
    angles = np.random.default_rng(3).uniform(-np.pi, np.pi, 80)
    lab.record(lab.request(circuit, np.column_stack([np.cos(angles), np.sin(angles)])))
    with pytest.raises(ConfigurationError, match="no Fourier series"):
        fit(lab.table(), kind="fourier")
    made = fit(lab.table())
    assert made.facts["fit"]["kind"] == "features"
    new = np.linspace(-3, 3, 50)
    estimate = made.estimate(np.column_stack([np.cos(new), np.sin(new)]))[:, 0]
    np.testing.assert_allclose(estimate, np.cos(2 * new + 0.4), atol=0.05)  # ry(2t) makes (cos t, sin t)


def test_a_series_is_cut_at_a_whole_degree(lab):
    training = lab.learn(lab.mixed(), 120)
    for most, features in ((20, [4, 12]), (11, [4])):  # degree 2 adds two single frequencies and a pair of products
        made = fit(training, kind="fourier", max_features=most)
        assert [t["features"] for t in made.facts["fit"]["tried"]] == features
        assert [t["degree"] for t in made.facts["fit"]["tried"]] == [1, 2][: len(features)]
        assert not made.facts["fit"]["complete"]
    assert made.error.rmse > 1e-3


def test_repeated_inputs_are_averaged_and_never_in_both_parts(lab):
    x = np.random.default_rng(1).uniform(-1, 1, (25, 1))
    asked = [lab.request(lab.turn(), x, shots=10, seed=s) for s in range(8)]
    lab.record(*asked)
    training = lab.table()
    assert (len(training.inputs), training.rows, training.shots) == (25, 200, (10,))
    data = np.mean([SimulatorBackend().run(r).data for r in asked], axis=0)
    np.testing.assert_allclose(training.targets[:, 0], data[np.argsort(x[:, 0]), 0], atol=1e-15)


@pytest.mark.parametrize("kind", ["auto", "fourier", "features"])
def test_too_few_say_how_many_are_needed(make_lab, kind):
    lab = make_lab()
    with pytest.raises(DataError, match="19 distinct inputs are too few .* 20 are needed\n.*of 1 more"):
        fit(lab.learn(lab.turn(), 19), kind=kind)
    assert fit(make_lab().learn(lab.turn(), 20), kind=kind).error.n == 10


def test_how_many_are_needed_grows_with_the_inputs(make_lab):
    b = CircuitBuilder(8)
    for k in range(8):
        b.ry(k, b.input(f"x{k}"))
    circuit = b.build()
    least = needed(18)  # 16 features of degree 1, nine tenths full
    assert least == 28
    assert fit(make_lab().learn(circuit, least), kind="fourier").facts["fit"]["train"] == 18
    with pytest.raises(DataError, match=f"27 distinct inputs .* {least} are needed"):
        fit(make_lab().learn(circuit, least - 1), kind="fourier")
    with pytest.raises(ConfigurationError, match="has 16 features, 8 are allowed"):
        fit(make_lab().learn(circuit, 60), kind="fourier", max_features=8)


def test_what_cannot_be_learned_is_refused(lab, make_lab):
    x = np.linspace(-1, 1, 30)[:, None]
    lab.record(lab.request(lab.turn(), x, Samples([0]), shots=5, seed=1))
    with pytest.raises(DataError, match="not samples"):
        lab.table()
    lab = make_lab()
    lab.record(lab.request(lab.mixed(), np.zeros((2, 2)), weights=np.array([[0.1], [0.2]])))
    with pytest.raises(DataError, match="weights differ from row to row"):
        lab.table()
    lab = make_lab()
    lab.record(lab.request(CircuitBuilder(1).ry(0, 0.3).build(), np.zeros((3, 0))))
    with pytest.raises(DataError, match="reuse the proposal"):
        lab.table()
    lab = make_lab()
    b = CircuitBuilder(1)
    b.input("unused")
    with pytest.raises(DataError, match="turn no gate"):
        fit(lab.learn(b.ry(0, 0.4).build(), 30))
    lab = make_lab()
    with pytest.raises(DataError, match="fixed by definition"):
        fit(lab.learn(lab.turn(), 30, Expectation([pauli("")])))
    with pytest.raises(ConfigurationError, match="kind: wanted one of"):
        fit(make_lab().learn(lab.turn(), 30), kind="magic")


def test_proposals_of_several_functions_are_never_mixed(lab):
    x = np.linspace(-1, 1, 5)[:, None]
    circuit = lab.turn()
    noise = parse_noise("depolarizing=0.1")
    with pytest.raises(DataError, match="no proposals in the ledger"):
        choose(Proposals(lab.ledger), {})
    ours, theirs = lab.request(circuit, x), lab.request(circuit, x, Expectation([pauli("X0")]))
    lab.record(ours, theirs, backend=ReferenceBackend())
    lab.record(ours)
    lab.record(lab.request(circuit, x, noise=noise))
    with pytest.raises(ConfigurationError, match="of 4 functions") as caught:
        choose(Proposals(lab.ledger), {})
    assert str(caught.value).count("5 rows: circuit " + circuit.digest[7:19]) == 4
    (found,) = choose(Proposals(lab.ledger), {"backend": "simulator", "noise": "none"})
    assert (found.backend, found.noise) == ("simulator", None)
    (found,) = choose(Proposals(lab.ledger), {"noise": noise.digest[:15]})
    assert found.noise == noise.digest
    with pytest.raises(DataError, match=r"no proposals of circuit abc in the ledger \(4 others\)"):
        choose(Proposals(lab.ledger), {"circuit": "abc"})


def test_equal_fits_are_equal_files_and_another_seed_is_another_split(lab):
    training = lab.learn(lab.mixed(), 60, shots=100)
    one, other = fit(training, kind="fourier", seed=1), fit(training, kind="fourier", seed=2)
    assert to_bytes(one) == to_bytes(fit(training, kind="fourier", seed=1))
    assert np.abs(one.series.intercept - other.series.intercept).max() > 1e-3
    assert one.error.rmse != other.error.rmse
    drawn = [fit(training, kind="features", seed=s).series.features.phases for s in (1, 1, 2)]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    assert not np.isin(drawn[0], drawn[2]).any()


def test_a_file_says_everything_again(lab):
    made = fit(lab.learn(lab.mixed(), 60, LocalStates([(1, 0)])), seed=1)
    read = from_bytes(to_bytes(made))
    np.testing.assert_array_equal(read.estimate(FRESH), made.estimate(FRESH))
    assert (read.function, read.error, read.wires) == (made.function, made.error, made.wires)
    assert read.facts == made.facts
    np.testing.assert_array_equal(read.by_output.low, made.by_output.low)
    kept = [(p.entry, p.entry_digest) for p in Proposals(lab.ledger)]
    assert [tuple(s) for s in read.facts["source"]["proposals"]] == kept
    assert read.facts["source"]["log"] == lab.ledger.origin


def test_a_changed_byte_anywhere_is_noticed(lab):
    blob = to_bytes(fit(lab.learn(lab.turn(), 20)))
    missed = []
    for at in range(0, len(blob), 5):
        changed = bytearray(blob)
        changed[at] ^= 1
        try:
            from_bytes(bytes(changed))
        except WeightsError:
            continue
        missed.append(at)
    assert missed == []
    for part in (b"", blob[:7], blob[:-1], blob[: len(blob) // 2], b"PK" + blob):
        with pytest.raises(WeightsError):
            from_bytes(part)
