"""The canary: its error rates on made-up samples, and end to end, from a signed flag to an automatic rollback."""

import hashlib
import json
import tomllib

import numpy as np
import pytest
from scipy.stats import binomtest

from qimg_core.errors import AdmissionDenied, ConfigurationError, UnknownName
from qimg_core.ledger import SQLiteLedger
from qimg_core.session import Session
from qimg_core.verdict import Verdict
from qimg_policy.keys import SigningKey, make_key
from qimg_rollout.baseline import pin
from qimg_rollout.blocks import block, in_force, release
from qimg_rollout.canary import CanaryPlan, against, analyse, spent
from qimg_rollout.flags import parse_flags, sign_flags
from qimg_rollout.serving import serve
from qimg_rollout.sets import Sets, images_of
from qimg_rollout.state import in_use, roll_back, start_canary, use_flags

RELEASE, STRANGER = SigningKey("release", bytes(range(32))), SigningKey("stranger", bytes(range(1, 33)))


def plan(**changes):
    found = {"alpha": 0.1, "looks": (12, 24), "tolerance": 4.0, "failing": 0.05, "seed": 3}
    return CanaryPlan(**{**found, **changes})


def images(rng, n, move=0.0):
    return Sets(images=np.clip(rng.normal(128 + move, 20, size=(n, 2, 2, 1)), 0, 255).astype(np.uint8))


def test_levels_sum_to_alpha():
    assert sum(spent(0.05, (10, 20, 40))) == pytest.approx(0.05)
    assert spent(0.05, (10, 20, 40))[0] == pytest.approx(0.05 * np.log(1 + (np.e - 1) / 4))


def test_without_a_change_200_canaries_stay_within_their_error_rate():
    failed = 0
    for trial in range(200):
        rng = np.random.default_rng(trial)
        done = analyse(plan(seed=trial), images(rng, 24), images(rng, 24), (rng.random(8) < 0.05).tolist())
        failed += done.verdict is Verdict.FAIL
    assert binomtest(failed, 200, 0.1, alternative="greater").pvalue > 1e-3, failed


def test_with_a_shift_20_canaries_fail():
    verdicts = []
    for trial in range(20):
        rng = np.random.default_rng(1000 + trial)
        verdicts.append(analyse(plan(seed=trial), images(rng, 24), images(rng, 24, 40), [False] * 8).verdict)
    assert verdicts == [Verdict.FAIL] * 20


def test_too_few_images_are_inconclusive_however_far_off():
    rng = np.random.default_rng(0)
    done = analyse(plan(), images(rng, 24), images(rng, 11, 100), [False] * 3)
    assert done.verdict is Verdict.INCONCLUSIVE
    assert "the next look is at 12" in done.reason
    assert analyse(plan(), images(rng, 24), None, []).verdict is Verdict.INCONCLUSIVE


def test_a_canary_that_could_not_have_seen_the_tolerated_shift_does_not_pass():
    rng = np.random.default_rng(0)
    was, now = images(rng, 24), images(rng, 24)
    assert analyse(plan(), was, now, [False] * 8).verdict is Verdict.PASS
    assert analyse(plan(tolerance=0.2), was, now, [False] * 8).verdict is Verdict.INCONCLUSIVE


def test_failing_runs_fail_a_canary_before_any_look():
    done = analyse(plan(), images(np.random.default_rng(0), 24), None, [False, True, True, True])
    assert done.verdict is Verdict.FAIL
    assert "3 of 4 runs failed" in done.reason


def test_the_martingale_is_anytime_valid():
    """Watched at each of 200 runs in 500 canaries of exactly the tolerated share: Ville's bound holds."""
    rng = np.random.default_rng(5)
    rejected = sum(against((rng.random(200) < 0.05).tolist(), 0.05) >= 20 for _ in range(500))
    assert binomtest(rejected, 500, 1 / 20, alternative="greater").pvalue > 1e-3
    # and its mean at a fixed time is 1: the exact expectation over all outcomes of 8 runs
    mean = 0.0
    for outcome in range(256):
        bits = [bool(outcome >> i & 1) for i in range(8)]
        mean += np.prod([0.05 if b else 0.95 for b in bits]) * _last(bits, 0.05)
    assert mean == pytest.approx(1.0)


def _last(failures, share):
    """The martingale's value at the end, written down from its definition."""
    rates = [r for r in (0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.99) if r > share]
    ratios = [np.prod([r / share if f else (1 - r) / (1 - share) for f in failures]) for r in rates]
    value = float(np.mean(ratios))
    assert against(failures, share) >= value * (1 - 1e-12)
    return value


@pytest.mark.parametrize(
    "bad",
    [{"alpha": 0.5}, {"looks": (20, 10)}, {"looks": (9, 20)}, {"looks": ()}, {"failing": 0.0}, {"tolerance": 0.0}],
)
def test_bad_plans(bad):
    with pytest.raises(ConfigurationError, match=next(iter(bad))):
        plan(**bad)


@pytest.fixture
def ledger(tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as log:
        yield log


@pytest.fixture
def begun(ledger, registry, weights, flag_text):
    """A ledger with a baseline of 24 images from the right device, and a canary that was started."""

    def begin(**changes):
        with Session(ledger, seed=1, backend="reference", registry=registry, activity="generate") as session:
            made = session.generator("toy", weights=weights).sample(24, seed=1)
        base = pin(ledger, "steady", images_of(ledger, [made.entry]), entries=[made.entry])
        use_flags(ledger, signed(flag_text(**changes)), [RELEASE.public])
        return start_canary(ledger, "quantum-path", plan(), baseline=base.index)

    return begin


def signed(text, *keys):
    return sign_flags(parse_flags(tomllib.loads(text)), keys or [RELEASE])


def ask(ledger, registry, seed, **changes):
    given = {"n": 6, "seed": seed, "subject": "somebody@example.org", "cohorts": ["early"], **changes}
    return serve(ledger, registry, "quantum-path", **given)


def test_a_canary_over_the_same_distribution_passes_and_goes_on(ledger, registry, begun):
    begun()
    done = [ask(ledger, registry, seed) for seed in range(10, 14)]
    assert [d.served.variant for d in done] == ["on"] * 4
    assert [None if d.analysis is None else d.analysis.verdict for d in done] == [
        None, Verdict.INCONCLUSIVE, None, Verdict.PASS,
    ]  # fmt: skip
    assert in_use(ledger).back == {}
    assert ask(ledger, registry, 20).served.variant == "on"
    assert not any(b"somebody" in e.body for e in ledger.entries())  # who was served is nobody's business
    assert ledger.verify().ok


def test_a_shifted_device_is_rolled_back_to_the_classical_path(ledger, registry, begun, device):
    begun()
    device.shift = 0.8
    first, second = ask(ledger, registry, 10), ask(ledger, registry, 11)
    assert first.analysis is None
    assert second.analysis.verdict is Verdict.FAIL
    back = list(ledger.entries(kind="rollout.rolled_back"))
    assert [e.facts["by"] for e in back] == ["canary"]
    after = ask(ledger, registry, 12)
    assert after.served.variant == "off"
    assert after.served.reason == f"rolled back in entry {back[0].index}"
    assert not after.images.quantum


def test_a_rollback_holds_until_the_path_changes(ledger, registry, begun, flag_text):
    begun()
    roll_back(ledger, "quantum-path", reason="by hand", by="operator")
    assert roll_back(ledger, "quantum-path", reason="again", by="operator").claims["reason"] == "by hand"
    use_flags(ledger, signed(flag_text(version=2)))
    assert ask(ledger, registry, 1).served.variant == "off"
    with pytest.raises(ConfigurationError, match="rolled back"):
        start_canary(ledger, "quantum-path", plan(), baseline=0)
    use_flags(ledger, signed(flag_text(version=3, attempt=2)))
    assert ask(ledger, registry, 2).served.reason == "the canary was not started"
    start_canary(ledger, "quantum-path", plan(), baseline=next(ledger.entries(kind="drift.pinned")).index)
    assert ask(ledger, registry, 3).served.variant == "on"


def test_a_broken_quantum_path_is_served_classically_and_counts_against_the_canary(ledger, registry, begun, device):
    begun()
    device.broken = True
    done = [ask(ledger, registry, seed) for seed in range(10, 13)]
    assert {d.served.reason for d in done[:2]} == {"the quantum path failed: BackendUnavailable"}
    assert all(not d.images.quantum and len(d.images) == 6 for d in done)
    judged = [d.analysis.verdict for d in done if d.analysis is not None]
    assert judged == [Verdict.FAIL]
    assert in_use(ledger).back


def test_a_run_that_falls_back_inside_its_chain_is_served_and_counts_as_failed(ledger, registry, begun, device):
    begun(more=', fallback = ["reference"]')
    device.broken = True
    done = [ask(ledger, registry, seed, n=1) for seed in range(10, 13)]
    assert done[0].served.variant == "on"
    judged = [d.analysis for d in done if d.analysis is not None]
    assert [a.verdict for a in judged] == [Verdict.FAIL]
    assert judged[0].failed == judged[0].runs > 0


def test_block_of_a_rollback_holds_for_every_session_and_its_chain_goes_on(ledger, registry, begun, weights):
    begun(block="true")
    roll_back(ledger, "quantum-path", reason="it drifts", by="operator")
    (held,) = in_force(ledger)
    assert held.match == {"backend": "device"}
    with Session(ledger, seed=2, backend="device", registry=registry) as session:
        model = session.generator("toy", weights=weights)
        with pytest.raises(AdmissionDenied, match="it drifts"):
            model.sample(3)
    with Session(ledger, seed=2, backend="device", fallback=["reference"], registry=registry) as session:
        session.generator("toy", weights=weights).sample(3)
        fell = [e.facts["to"] for e in ledger.entries(run=session.run, kind="route.fell_back")]
    assert fell == ["reference"]
    release(ledger, held.entry, reason="mended", by="operator")
    with Session(ledger, seed=2, backend="device", registry=registry) as session:
        assert session.generator("toy", weights=weights).sample(3).quantum


def test_blocks_match_all_their_facts_and_bad_ones_are_refused(ledger, registry, weights):
    block(ledger, {"backend": "device", "activity": "train"}, reason="no training", by="operator")
    with Session(ledger, seed=2, backend="device", registry=registry, activity="generate") as session:
        session.generator("toy", weights=weights).sample(3)
    for match in ({}, {"colour": "red"}, {"backend": ""}):
        with pytest.raises(ConfigurationError, match="a block names"):
            block(ledger, match, reason="why", by="operator")
    with pytest.raises(ConfigurationError, match="no block in force"):
        release(ledger, 99, reason="why", by="operator")
    with pytest.raises(ConfigurationError, match="64 hex digits"):
        block(ledger, {"weights": weights.name}, reason="why", by="operator")


def test_blocked_weights_are_refused_and_another_device_is_not_offered(ledger, registry, weights):
    digest = "sha256:" + hashlib.sha256(weights.read_bytes()).hexdigest()
    block(ledger, {"weights": digest}, reason="poisoned", by="operator")
    with Session(ledger, seed=2, backend="device", registry=registry) as session:
        with pytest.raises(AdmissionDenied, match="poisoned") as refused:
            session.generator("toy", weights=weights).sample(3)
        assert "--fallback" not in refused.value.hint


def test_command_line_from_keys_to_a_rollback(qimg, tmp_path, monkeypatch, registry, weights, flag_text, device):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    make_key("release", tmp_path)
    (tmp_path / "flags.toml").write_text(flag_text(share="0.999999"))
    with (
        SQLiteLedger.open(tmp_path / "runs") as log,
        Session(log, seed=1, backend="reference", registry=registry, activity="generate") as session,
    ):
        entry = session.generator("toy", weights=weights).sample(24, seed=1).entry

    def run(*argv, code=0):
        found, out, err = qimg(*argv, "--json")
        assert found == code, err
        return json.loads(out)

    run("rollout", "key", "cohort.key")
    run("rollout", "sign", "flags.toml", "--key", "release.key.pem")
    run("rollout", "use", "flags.dsse.json", "--trust", "release.pub")
    run("rollout", "use", "flags.dsse.json", code=2)
    run("drift", "pin", "steady", "--entry", str(entry))
    started = run("rollout", "start", "quantum-path", "--baseline", "steady", "--alpha", "0.1", "--looks", "12,24")
    assert started["looks"] == [12, 24]
    who = ("--subject", "a", "--cohort", "early", "--key", "cohort.key")
    assert run("rollout", "serve", "quantum-path", "--n", "6", "--out", "a.png")["reason"] == "not opted in"
    made = run("rollout", "serve", "quantum-path", "--n", "6", *who, "--out", "a.png")
    assert made["variant"] == "on"
    assert (tmp_path / "a.png").exists()
    assert run("rollout", "judge", "quantum-path", code=3)["verdict"] == "inconclusive"
    assert run("drift", "check", "steady", "--entry", str(made["entry"]), code=3)["verdict"] == "inconclusive"
    assert run("drift", "check", "steady", "--entry", str(entry), "--minimum", "2")["verdict"] == "pass"
    device.shift = 0.8
    bad = run("rollout", "serve", "quantum-path", "--n", "18", *who, "--out", "b.png")
    assert bad["canary"]["verdict"] == "fail"
    assert run("rollout", "judge", "quantum-path", code=1)["verdict"] == "fail"
    stands = run("rollout", "status")["flags"][0]
    assert stands["rolled_back"] is not None
    assert stands["verdict"] == "fail"
    run("rollout", "block", "--match", "backend=device", "--reason", "drifts")
    held = run("rollout", "status")["blocks"][0]["entry"]
    run("rollout", "release", str(held), "--reason", "mended")
    assert run("rollout", "status")["blocks"] == []
    run("verify", "runs")


def test_unknown_flag_and_no_flags(ledger, registry, begun):
    with pytest.raises(ConfigurationError, match="uses no flags"):
        ask(ledger, registry, 1)
    begun()
    with pytest.raises(UnknownName):
        serve(ledger, registry, "other", n=1)


def test_flags_by_strangers_and_old_ones_are_refused(ledger, flag_text):
    with pytest.raises(ConfigurationError, match="no key is trusted"):
        use_flags(ledger, signed(flag_text()))
    with pytest.raises(ConfigurationError, match="none of the trusted keys"):
        use_flags(ledger, signed(flag_text(), STRANGER), [RELEASE.public])
    use_flags(ledger, signed(flag_text(version=5)), [RELEASE.public])
    with pytest.raises(ConfigurationError, match="not newer"):
        use_flags(ledger, signed(flag_text(version=5)))
    with pytest.raises(ConfigurationError, match="none of the trusted keys"):  # nobody brings a key of his own
        use_flags(ledger, signed(flag_text(version=6), STRANGER), [STRANGER.public])
    forged = json.loads(signed(flag_text(version=7)))
    forged["payload"] = json.loads(signed(flag_text(version=8)))["payload"]
    with pytest.raises(ConfigurationError, match="does not hold"):
        use_flags(ledger, json.dumps(forged).encode())
    assert in_use(ledger).flags.version == 5
