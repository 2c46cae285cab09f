"""Drift through quantum kernels: the definition, size and power of the test, plan before run, the command's codes."""

import json

import numpy as np
import pytest
from scipy.stats import binomtest

from qimg_circuits.quantum_kernels_named import Kernel
from qimg_core.errors import ConfigurationError, DataError
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_core.verdict import Verdict
from qimg_rollout.kernel_test import KernelPair, check_kernels, features_of, planned, source_of
from qimg_rollout.mmd import Pair
from qimg_rollout.sets import Sets

WIRES = 3
KERNELS = tuple(Kernel(kind=k, wires=WIRES) for k in ("fidelity", "projected", "gaussian"))


def draw(seed, n=40, d=WIRES, move=0.0):
    return np.random.default_rng(seed).normal(size=(n, d)) + move


def test_discrepancy_and_p_are_those_of_the_gaussian_test_for_its_kernel():
    a, b = draw(1), draw(2, move=0.4)
    pair = Pair.of(a, b)
    same = KernelPair(a, b, pair._kernel)
    assert same.mmd2 == pair.mmd2
    assert same.p_value(finest=0.01, seed=5) == pair.p_value(finest=0.01, seed=5)
    with pytest.raises(DataError, match="finite kernel"):
        KernelPair(a, b, np.eye(3))


def test_discrepancy_is_the_double_sum_of_the_session_s_kernel():
    session, a, b = Session(None, seed=1), draw(1, 24), draw(2, 21)
    done = check_kernels(session, a, b, KERNELS, seed=1)
    pool = features_of(a, b, WIRES)
    for finding, kernel in zip(done.findings, KERNELS, strict=True):
        k = kernel.matrix(session, pool)
        wanted = k[:24, :24].mean() + k[24:, 24:].mean() - 2 * k[:24, 24:].mean()
        assert finding.effect == pytest.approx(wanted, abs=1e-12)


def test_features_depend_on_the_pool_alone():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(30, 7)) @ rng.normal(size=(7, 7))
    order = rng.permutation(30)
    one, two = features_of(rows[:12], rows[12:], 3), features_of(rows[order][:12], rows[order][12:], 3)
    np.testing.assert_allclose(np.abs(two), np.abs(one[order]), atol=1e-9)  # a component's sign is free
    np.testing.assert_allclose(one.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(one.std(0), 1, atol=1e-12)
    centred = rows - rows.mean(0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    along = centred @ vectors[:, -1]
    np.testing.assert_allclose(np.abs(one[:, 0]), np.abs(along / along.std()), atol=1e-9)
    still = np.c_[rows[:, :2], np.full(30, 7.0)]
    found = features_of(still[:10], still[10:], 4)
    assert found.shape == (30, 4) and (found[:, 2:] == 0).all() and (found[:, :2].std(0) > 0.99).all()


def test_no_change_a_change_and_too_little():
    session = Session(None, seed=1)
    assert check_kernels(session, draw(1), draw(2), KERNELS, seed=1).verdict is Verdict.PASS
    moved = check_kernels(session, draw(1), draw(2, move=1.0), KERNELS, seed=1)
    assert moved.verdict is Verdict.FAIL
    assert "fidelity kernel" in moved.reason
    few = check_kernels(session, draw(1), draw(2, 5, move=9.0), KERNELS, seed=1)
    assert few.verdict is Verdict.INCONCLUSIVE and all(f.p is None for f in few.findings)


def test_several_kernels_are_one_family():
    done = check_kernels(Session(None, seed=1), draw(1), draw(2), KERNELS, seed=3)
    for f in done.findings:
        assert f.p <= f.adjusted <= 1
    smallest = min(done.findings, key=lambda f: f.p)
    assert smallest.adjusted == pytest.approx(min(1, 3 * smallest.p))


@pytest.mark.slow
@pytest.mark.parametrize("shots", [None, 60])
def test_stated_error_rate_over_200_trials_without_a_change(shots):
    """Bad features, too: skewed and correlated rows, cut to fewer numbers than they have."""
    rng, alarms = np.random.default_rng(17), 0
    kernels = KERNELS if shots is None else KERNELS[1:]
    for trial in range(200):
        a, b = (np.exp(rng.normal(size=(n, 5))).cumsum(1) for n in (22, 18))
        session = Session(None, seed=trial, shots=shots, profile="light")
        done = check_kernels(session, a, b, kernels, alpha=0.1, seed=trial, minimum=10)
        alarms += done.verdict is Verdict.FAIL
    assert binomtest(alarms, 200, 0.1, alternative="greater").pvalue > 1e-3
    assert alarms > 3  # a test that never rejects has no size either


@pytest.mark.slow
def test_power_against_a_shift_of_one_component():
    """What the page says: 0.8 standard deviations of one of three numbers, 60 rows on each side."""
    seen = dict.fromkeys((k.kind for k in KERNELS), 0)
    for trial in range(60):
        a, b = draw(trial, 60), draw(10_000 + trial, 60) + np.array([0.8, 0, 0])
        for kernel in KERNELS:
            session = Session(None, seed=trial, profile="light")
            seen[kernel.kind] += check_kernels(session, a, b, [kernel], alpha=0.05, seed=trial).verdict is Verdict.FAIL
    assert min(seen.values()) >= 45, seen


@pytest.mark.parametrize("shots", [None, 50])
def test_the_plan_says_what_will_run(shots):
    session = Session(None, seed=1, shots=shots)
    found = {p["kernel"]["kind"]: p for p in planned(session, KERNELS, 24)}
    assert set(found) == {"fidelity", "projected"}
    if shots is None:
        assert (found["fidelity"]["rows"], found["fidelity"]["shots"]) == (24, None)
    else:
        assert (found["fidelity"]["rows"], found["fidelity"]["shots"]) == (24 * 23 // 2, 24 * 23 // 2 * 50)
        assert (found["projected"]["rows"], found["projected"]["shots"]) == (24, 24 * 3 * 50)
    assert session.log.recorder.tally.executions == 0
    check_kernels(session, draw(1, 12), draw(2, 12), KERNELS, seed=1, minimum=5)
    if shots is not None:
        # the run's own count takes the bases of a row as one
        assert session.log.recorder.tally.shots == sum(p["shots"] // p["bases"] for p in found.values())


def test_bad_input():
    session = Session(None, seed=1)
    with pytest.raises(ConfigurationError, match="alpha"):
        check_kernels(session, draw(1), draw(2), KERNELS, seed=1, alpha=0.3)
    with pytest.raises(ConfigurationError, match="as many wires"):
        check_kernels(session, draw(1), draw(2), (KERNELS[0], Kernel(wires=2)), seed=1)
    with pytest.raises(ConfigurationError, match="one kernel"):
        check_kernels(session, draw(1), draw(2), (), seed=1)
    with pytest.raises(DataError, match="numbers in a row"):
        check_kernels(session, draw(1), draw(2, d=4), KERNELS, seed=1)
    with pytest.raises(DataError, match="nothing to compare"):
        source_of(Sets(latents=draw(1)), Sets(bits=np.ones((3, 2), np.uint8)))


@pytest.fixture
def call(capsys, tmp_path):
    from qimg_core.cli import main

    def run(*argv):
        capsys.readouterr()
        code = main([*map(str, argv), "--ledger", str(tmp_path / "runs")], registry=Registry())
        return int(code), capsys.readouterr().out

    return run


def test_command(call, tmp_path):
    for name, seed, move in (("a", 1, 0.0), ("b", 2, 0.0), ("c", 3, 1.2)):
        np.save(tmp_path / f"{name}.npy", draw(seed, move=move))
    assert call("drift", "pin", "steady", "--latents", tmp_path / "a.npy")[0] == 0
    base = ("drift", "kernel", "steady", "--wires", 3, "--seed", 4, "--json", "--latents")
    code, out = call(*base, tmp_path / "b.npy")
    assert code == 0 and json.loads(out)["verdict"] == "pass"
    code, out = call(*base, tmp_path / "c.npy", "--kernel", "fidelity", "--kernel", "projected")
    document = json.loads(out)
    assert code == 1 and [k["kind"] for k in document["kernels"]] == ["fidelity", "projected", "gaussian"]
    assert document["planned"][0]["rows"] == 80 and document["entry"] > 0
    code, out = call(*base, tmp_path / "b.npy", "--shots", 20, "--dry-run")
    assert code == 0 and json.loads(out)["planned"][0]["shots"] == 80 * 3 * 20
    assert call(*base, tmp_path / "b.npy", "--shots", 20, "--max-shots", 100)[0] == 4
    assert call(*base, tmp_path / "b.npy", "--most", 5)[0] == 3
    assert call("drift", "kernel", "other", "--latents", tmp_path / "b.npy")[0] == 2
