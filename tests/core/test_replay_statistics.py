"""Statistical replay: the tests against closed forms and enumerations, the verdicts on devices with fresh shots."""

import itertools
import math
import secrets

import numpy as np
import pytest
from attrs import evolve
from scipy import stats

from qimg_core import Registry, Session
from qimg_core.capabilities import DeviceKind
from qimg_core.circuit import CircuitBuilder, each
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.execution import ExecutionRequest
from qimg_core.hooks import BackendSpec, hookimpl
from qimg_core.ledger import SQLiteLedger
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.paired import paired_test
from qimg_core.replay import replay_images
from qimg_core.request_replay import replay_requests
from qimg_core.testing import ReferenceBackend, reference
from qimg_core.testing.toy import ToyPlugin
from qimg_core.two_samples import compare, fisher, holm, same_rows


class FreshShots(ReferenceBackend):
    """A device as hardware is: nobody can give it a seed."""

    name = "fresh"

    @property
    def capabilities(self):
        return evolve(super().capabilities, kind=DeviceKind.QPU, seeded=False)

    def run(self, request):
        return super().run(evolve(request, seed=secrets.randbits(60)))


class FreshPlugin:
    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="fresh", target=f"{__name__}:FreshShots", summary="unseeded")]


@pytest.fixture
def registry(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or __import__(__name__))
    r = Registry(discover=False)
    r.register(ToyPlugin(), "toy")
    r.register(FreshPlugin(), "fresh")
    return r


def circuit():
    b = CircuitBuilder(3)
    for wire in range(3):
        b.ry(wire, b.input(f"x{wire}"))
    return b.cx(0, 1).cx(1, 2).build()


def request(measurement, shots, seed=1, rows=4):
    x = np.random.default_rng(5).uniform(0.3, 2.5, (rows, 3))
    return ExecutionRequest(
        circuit=circuit(), inputs=x, weights=np.zeros(0), measurement=measurement, shots=shots, seed=seed
    )


# -- the tests themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(("x", "y", "n"), [(3, 9, 12), (0, 5, 7), (50, 50, 100), (980, 1000, 1000), (1, 0, 1)])
def test_fisher_is_scipys(x, y, n):
    wanted = stats.fisher_exact([[x, n - x], [y, n - y]]).pvalue
    assert fisher(x, y, n) == pytest.approx(wanted, rel=1e-9)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    assert holm([0.9, 0.8]) == (1.0, 1.0)


def exact_split(a, b):
    """p of the G-test by every split of the pool, each with its multivariate hypergeometric weight."""
    pool, n = a + b, int(a.sum())
    shared = pool / pool.sum()

    def g(c):
        return 2 * sum(k * math.log(k / (c.sum() * s)) for k, s in zip(c, shared, strict=True) if k)

    seen = g(a) + g(b)
    above = total = 0
    for first in itertools.product(*(range(k + 1) for k in pool)):
        if sum(first) == n:
            c = np.array(first)
            weight = math.prod(math.comb(int(k), i) for k, i in zip(pool, first, strict=True))
            total += weight
            above += weight * (g(c) + g(pool - c) >= seen - 1e-9)
    return above / total


@pytest.mark.parametrize(("a", "b"), [([5, 2, 1], [2, 3, 3]), ([4, 4, 0], [4, 0, 4]), ([3, 3, 2], [3, 3, 2])])
def test_the_permutation_test_is_the_exact_one(a, b):
    a, b = np.array(a), np.array(b)
    wanted = exact_split(a, b)
    found = same_rows(a[None], b[None], seed=3)
    draws = 2_000 if found > 0.05 else 20_000
    assert found == pytest.approx(wanted, abs=5 * math.sqrt(wanted * (1 - wanted) / draws) + 1e-3)


def test_p_of_equal_devices_is_uniform_enough_and_rows_add_up():
    rng = np.random.default_rng(8)
    p = np.array([[0.6, 0.2, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])
    found = [same_rows(rng.multinomial(60, p), rng.multinomial(60, p), seed=i) for i in range(200)]
    assert stats.binomtest(sum(x <= 0.05 for x in found), 200, 0.05, alternative="greater").pvalue > 1e-4
    assert np.mean(found) > 0.35
    other = np.array([[0.45, 0.35, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25]])
    assert same_rows(rng.multinomial(600, p), rng.multinomial(600, other), seed=1) < 1e-3


def test_the_paired_test_is_the_enumeration_of_signs():
    rng = np.random.default_rng(2)
    a = rng.integers(0, 200, (9, 3, 3, 1)).astype(np.uint8)
    b = (a + rng.integers(0, 12, a.shape)).astype(np.uint8)
    d = (b.astype(float) - a).reshape(9, -1) / 255
    contrast = (b.astype(float) + a).reshape(9, -1) / 2
    contrast = (contrast - contrast.mean(0)) / (contrast - contrast.mean(0)).std()

    def statistic(signs):
        both = np.concatenate([d, d * contrast], axis=1)  # a shift and a fading
        return float(((np.array(signs) @ both) ** 2).sum())

    lengths = [statistic(s) for s in itertools.product((-1, 1), repeat=9)]
    wanted = np.mean([x >= statistic(np.ones(9)) - 1e-9 for x in lengths])
    found = paired_test(a, b, seed=4, alpha=0.05)
    assert found.p == pytest.approx(wanted, abs=4 * math.sqrt(wanted / 20_000) + 1e-3)
    assert found.shift == pytest.approx(math.sqrt((d.mean(0) ** 2).mean()))


def test_the_paired_test_sees_what_it_says_it_sees():
    rng = np.random.default_rng(6)
    seen = 0
    for trial in range(40):
        noise = rng.normal(0, 12, (2, 24, 4, 4, 1))
        was, now = np.clip(120 + noise, 0, 255).round().astype(np.uint8)
        shift = paired_test(was, now, seed=trial, alpha=0.01, draws=4_000).detectable
        moved = np.clip(now.astype(float) + shift * 255, 0, 255).round().astype(np.uint8)
        seen += paired_test(was, moved, seed=trial, alpha=0.01, draws=4_000).p <= 0.01
    assert seen >= 34  # 36 expected at least; 34 leaves room for chance


def test_few_pairs_prove_nothing_and_other_shapes_are_refused():
    a = np.zeros((3, 2, 2, 1), np.uint8)
    assert paired_test(a, a, seed=1, alpha=0.01).detectable == math.inf
    with pytest.raises(DataError, match="same images"):
        paired_test(a, a[:2], seed=1, alpha=0.01)


MEASURED = [
    (Probabilities((0, 1, 2)), "permutation test of G"),
    (Samples((2, 0)), "permutation test of G"),
    (Expectation(each("Z", range(3))), "Fisher's exact test"),
    (LocalStates(((0, 1),)), "Hoeffding's bound"),
]


@pytest.mark.parametrize(("measurement", "method"), MEASURED, ids=[m.kind.value for m, _ in MEASURED])
def test_equal_devices_are_equal_and_a_detectable_fault_is_seen(measurement, method):
    shots = 400
    a, b = (ReferenceBackend().run(request(measurement, shots, seed)).data for seed in (11, 12))
    same = compare(measurement, a, b, shots=shots, alpha=0.01, seed=3)
    assert same.method == method
    assert same.p > 0.01
    assert 0 < same.detectable < 0.5
    other = evolve(request(measurement, shots, 12), inputs=request(measurement, shots).inputs + 0.9)
    assert compare(measurement, a, ReferenceBackend().run(other).data, shots=shots, alpha=0.01, seed=3).p < 0.01


def test_numbers_that_are_no_counts_are_not_tested():
    smooth = np.array([[0.251, 0.249, 0.25, 0.25]])
    found = compare(Probabilities((0, 1)), smooth, smooth, shots=100, alpha=0.01, seed=1)
    assert found.p is None
    assert found.detectable == math.inf


def test_the_detectable_distance_of_a_mean_is_seen_nine_times_of_ten():
    shots, alpha = 500, 0.01
    measurement = Expectation(each("Z", [0]))
    half = compare(measurement, np.zeros((1, 1)), np.zeros((1, 1)), shots=shots, alpha=alpha, seed=1).detectable
    rng = np.random.default_rng(4)
    x, y = rng.binomial(shots, 0.5 - half / 2, 2000), rng.binomial(shots, 0.5 + half / 2, 2000)
    power = np.mean([fisher(int(i), int(j), shots) <= alpha for i, j in zip(x[:400], y[:400], strict=True)])
    assert power > 0.82  # Fisher's test is a little conservative


# -- verdicts ------------------------------------------------------------------------------------


def kept(tmp_path, registry, *, shots=2000, backend="reference", measurement=None, n=3):
    with Session(tmp_path / "runs", seed=7, backend=backend, registry=registry, proposals="keep") as session:
        for i in range(n):
            session.execute(request(measurement or Probabilities((0, 1)), shots, seed=100 + i if shots else None))
    return session.run


def test_requests_with_fresh_shots_pass_fail_or_cannot_tell(tmp_path, registry, monkeypatch):
    run = kept(tmp_path, registry)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        done = replay_requests(ledger, run, registry=registry, seed=8)
        assert done.verdict == "pass", done
        assert done.method == "requests"
        assert float(done.measured["detectable"]) <= 0.1
        facts = next(iter(ledger.entries(run=done.new_run, kind="replay.compared"))).facts
        assert facts["product"] == "requests"
        assert facts["stated"] == {"alpha": "0.01", "effect": "0.1"}
        assert len(list(ledger.entries(run=done.new_run, kind="executions"))) >= 1
        cannot = replay_requests(ledger, run, registry=registry, seed=8, effect=0.01)
        assert cannot.verdict == "inconclusive"
        assert "0.01 was asked" in cannot.first_difference
        some = replay_requests(ledger, run, registry=registry, seed=8, limit=2)
        assert some.measured["requests"] == "2 of 3"
        real = reference.probabilities
        monkeypatch.setattr(reference, "probabilities", lambda s, w: 0.8 * real(s, w) + 0.2 / 2 ** len(w))
        bad = replay_requests(ledger, run, registry=registry, seed=8)
        assert bad.verdict == "fail"
        assert "differ" in bad.first_difference
        assert ledger.verify().ok


def test_exact_numbers_are_compared_to_the_byte(tmp_path, registry, monkeypatch):
    run = kept(tmp_path, registry, shots=None)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        assert replay_requests(ledger, run, registry=registry).verdict == "pass"
        real = reference.probabilities
        monkeypatch.setattr(reference, "probabilities", lambda s, w: real(s, w) * (1 + 1e-12))
        assert replay_requests(ledger, run, registry=registry).verdict == "fail"


def test_the_recorded_seed_and_runs_without_numbers_are_refused(tmp_path, registry):
    run = kept(tmp_path, registry, n=1)
    with Session(tmp_path / "runs", seed=1, backend="reference", registry=registry) as session:
        session.execute(request(Probabilities((0,)), 10))
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        size = len(ledger)
        with pytest.raises(ConfigurationError, match="own seed"):
            replay_requests(ledger, run, registry=registry, seed=7)
        with pytest.raises(ConfigurationError, match="kept no requests"):
            replay_requests(ledger, session.run, registry=registry)
        assert len(ledger) == size


def sampled(tmp_path, registry, n, shots):
    with Session(tmp_path / "runs", seed=7, backend="reference", registry=registry) as session:
        from qimg_core.weights import save_weights

        model = session.generator("toy")
        state = model.state()
    save_weights(tmp_path / "w.safetensors", state, format="toy/1", facts={"config": {"arm": "quantum"}})
    with Session(tmp_path / "runs", seed=7, backend="fresh", shots=shots, registry=registry) as session:
        session.generator("toy", weights=tmp_path / "w.safetensors").sample(n, seed=5)
    return session.run


def test_images_of_a_device_with_fresh_shots_get_a_statistical_verdict(tmp_path, registry, monkeypatch):
    run = sampled(tmp_path, registry, 24, 400)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        done = replay_images(ledger, run=run, registry=registry)
        assert done.method == "paired permutation test"
        assert done.verdict == "pass", done
        assert float(done.measured["detectable_shift"]) <= 0.05
        assert replay_images(ledger, run=run, registry=registry, effect=0.001).verdict == "inconclusive"
        real = reference.expectation
        monkeypatch.setattr(reference, "expectation", lambda state, factors: 0.7 * real(state, factors))
        assert replay_images(ledger, run=run, registry=registry).verdict == "fail"


def test_few_images_of_such_a_device_are_inconclusive(tmp_path, registry):
    run = sampled(tmp_path, registry, 3, 100)
    with SQLiteLedger.open(tmp_path / "runs") as ledger:
        assert replay_images(ledger, run=run, registry=registry).verdict == "inconclusive"
