"""Arms that build on another: equal training time, and a surrogate of the circuit."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from qimg_compare import equal_time as timing
from qimg_compare import runner
from qimg_compare.equal_time import MOST, SHORT, affordable
from qimg_compare.plan import ArmPlan, Role, plan_from_json
from qimg_compare.plan_file import parse_plan
from qimg_compare.result import RunResult, read_result, run_folder, write_result
from qimg_compare.stand_in import Teacher
from qimg_core.cli.app import main
from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.ledger.opening import open_ledger
from qimg_core.plugins import Registry
from qimg_core.storage import ensure_folder
from qimg_core.testing import ReferenceBackend

PLAN = """
name = "derived"
data = "digits"
n = 60
allow_small = true
network = "trained"
seeds = 2
primary = "kid"
candidate = "quantum"
reference = "longer"
controls = ["copy"]
generator = "quantum-latent-flow"
steps = 60
[settings]
size = 8
compressor = "pca"
latent = 4
wires = 2
layers = 1
batch = 16
sample_steps = 4
[arms.surrogate]
surrogate_of = "quantum"
[arms.longer]
arm = "twin"
time_of = "quantum"
[arms.quantum]
noise = "depolarizing=0.01"
"""


def parsed(**arms: dict[str, Any]) -> Any:
    document = tomllib.loads(PLAN)
    for name, values in arms.items():
        document["arms"].setdefault(name, {}).update(values)
    return parse_plan(document)


def test_derived_arms_in_the_plan() -> None:
    plan = parsed()
    longer, surrogate, quantum = (plan.arm(name) for name in ("longer", "surrogate", "quantum"))
    assert (longer.role, longer.steps, longer.needs) == (Role.LATENCY_MATCHED, 0, "quantum")
    assert (surrogate.role, surrogate.steps, surrogate.needs) == (Role.SURROGATE, 0, "quantum")
    assert (surrogate.arm, surrogate.noise, surrogate.settings) == (quantum.arm, quantum.noise, quantum.settings)
    assert plan_from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert "time_of" not in quantum.to_json()  # plans of before keep their digests


@pytest.mark.parametrize(
    ("arms", "words"),
    [
        ({"longer": {"steps": 5}}, "neither steps nor weights"),
        ({"longer": {"time_of": "quantim"}}, "did you mean 'quantum'"),
        ({"longer": {"time_of": "surrogate"}}, "builds on another"),
        ({"longer": {"arm": "quantum"}}, "cannot have the role"),
        ({"longer": {"role": "best-classical"}}, "its role is latency-matched"),
        ({"quantum": {"weights": "a.safetensors"}}, "which brings weights"),
        ({"surrogate": {"arm": "frozen"}}, "has everything from the arm"),
        ({"surrogate": {"surrogate_of": "quantim"}}, "did you mean 'quantum'"),
        ({"more": {"surrogate_of": "classical"}, "classical": {"arm": "bypass"}}, "no circuit"),
    ],
)
def test_what_cannot_be_derived_is_refused(arms: dict[str, dict[str, Any]], words: str) -> None:
    with pytest.raises((ConfigurationError, UnknownName)) as caught:
        parsed(**arms)
    assert words in f"{caught.value} {caught.value.hint}"


def test_a_classical_loss_is_a_role_of_a_circuit() -> None:
    more = {"other-loss": {"role": "classical-loss"}}
    assert parsed(**more).arm("other-loss").role is Role.CLASSICAL_LOSS
    with pytest.raises(ConfigurationError, match="cannot have the role"):
        parsed(**{"other-loss": {"role": "classical-loss", "arm": "twin"}})


def test_steps_that_a_time_pays_for() -> None:
    # 2 s once and 0.1 s a step: 20 steps take 4 s, 60 take 8 s, and 32 s pay for 300
    found = affordable("q", 32.0, (20, 4.0), (60, 8.0))
    assert (found.per_step, found.once, found.steps) == (pytest.approx(0.1), pytest.approx(2.0), 300)
    assert affordable("q", 1.0, (20, 4.0), (60, 8.0)).steps == 1  # never none
    assert affordable("q", 1e9, (20, 4.0), (60, 8.0)).steps == MOST
    assert affordable("q", 30.0, (20, 8.0), (60, 6.0)).per_step == pytest.approx(0.1)  # disturbed: the longer counts
    for bad in ((0.0, (20, 1.0), (60, 2.0)), (1.0, (20, 1.0), (20, 2.0)), (1.0, (20, 0.0), (60, 2.0))):
        with pytest.raises(ConfigurationError):
            affordable("q", *bad)


def result(plan: Any, arm: str, seed: int, **more: Any) -> RunResult:
    base = {"plan": plan.digest, "registered": "x", "data": "d", "network": "n", "metrics": {}}
    return RunResult(arm=arm, seed=seed, **base, **more)


def test_the_time_is_that_of_the_named_arm_at_the_same_seed_and_is_measured_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, timed = parsed(), []

    def fake(own: Path, arm: ArmPlan, images: Any, given: Any, steps: int, clock: Any) -> float:
        timed.append(steps)
        return 1.0 + 0.05 * steps

    monkeypatch.setattr(timing, "_timed", fake)
    for seed, seconds in ((1, 6.0), (2, 11.0)):
        own = ensure_folder(run_folder(tmp_path, "longer", seed))
        given = {"seed": seed, "registry": Registry()}
        call = (tmp_path, own, plan, plan.arm("longer"), None, given)
        with pytest.raises(ConfigurationError, match="not known"):
            timing.equal_time(*call)
        folder = ensure_folder(run_folder(tmp_path, "quantum", seed))
        write_result(folder, result(plan, "quantum", seed, train_seconds=seconds))
        found = timing.equal_time(*call)
        assert (found.of, found.seconds, found.steps) == ("quantum", seconds, {1: 100, 2: 200}[seed])
        assert timing.equal_time(*call) == found  # a process that goes on
        with open_ledger(own / "ledger", create=False, read_only=True) as log:
            (entry,) = log.entries(kind="compare.equal-time")
            assert entry.facts["steps"] == found.steps and float(entry.facts["per_step"]) == pytest.approx(0.05)
    assert timed == 2 * [SHORT, SHORT, 3 * SHORT]


class Process:
    """Ends at once; its sentinel is a pipe whose other end is closed."""

    def __init__(self) -> None:
        self.sentinel, end = os.pipe()
        os.close(end)
        self.exitcode = 1

    def join(self) -> None:
        return None

    def kill(self) -> None:
        return None


@pytest.mark.parametrize("jobs", [1, 3])
def test_runs_wait_for_what_they_build_on_and_fail_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jobs: int
) -> None:
    plan, begun, told, opened = parsed(), [], [], []

    def start(context: Any, folder: Path, arm: str, seed: int, registered: str) -> Process:
        need = plan.arm(arm).needs if arm != "copy" else None
        assert need is None or read_result(run_folder(folder, need, seed), plan=plan.digest, arm=need, seed=seed)
        begun.append((arm, seed))
        if (arm, seed) != ("quantum", 2):
            write_result(ensure_folder(run_folder(folder, arm, seed)), result(plan, arm, seed))
        opened.append(Process())
        return opened[-1]

    monkeypatch.setattr(runner, "_start", start)
    monkeypatch.setattr(runner, "run_context", lambda *_: None)
    given = {"seeds": (1, 2), "registered": "x", "registry": Registry(), "jobs": jobs}
    failures = runner.run_all(plan, tmp_path, **given, done=lambda *k: told.append(k))
    for process in opened:
        os.close(process.sentinel)
    assert {(f.arm, f.seed) for f in failures} == {("quantum", 2), ("surrogate", 2), ("longer", 2)}
    assert next(f for f in failures if f.arm == "longer").reason == "it builds on quantum, whose run failed"
    assert {k[:2] for k in told} == {(arm, seed) for arm in plan.names for seed in (1, 2)} and len(told) == 8
    assert ("longer", 2) not in begun and ("longer", 1) in begun


def test_the_teacher_is_a_device_of_this_process_and_offers_numbers_only() -> None:
    teacher = Teacher(ReferenceBackend())
    assert teacher.name == ReferenceBackend().name and not teacher.capabilities.gradients
    with pytest.raises(ConfigurationError, match="runs in this process"):
        Teacher(SimpleNamespace(name="far away"))  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_small_plan_with_both(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    args = ["compare", str(path), "--out", str(tmp_path / "out"), "--ledger", str(tmp_path / "ledger"), "--json"]
    assert main(args) == 3  # two seeds
    report = json.loads(capsys.readouterr().out)
    assert report["failures"] == [] and "surrogate matches" in report["attributes"]
    plan = parsed()
    for seed in plan.seeds:
        runs = {}
        for name in plan.names:
            folder = run_folder(tmp_path / "out" / plan.folder, name, seed)
            found = read_result(folder, plan=plan.digest, arm=name, seed=seed)
            assert found is not None
            runs[name] = found[0]
            with open_ledger(folder / "ledger", create=False, read_only=True) as log:
                assert log.verify().ok
                kinds = {e.kind: e for e in log.entries()}
                trainings = [e for e in log.entries(kind="run.finished") if e.facts["status"] == "ok"]
            if name == "surrogate":
                assert float(kinds["compare.surrogate"].facts["error"]["rmse"]) < 0.05
            if name == "longer":
                assert kinds["compare.equal-time"].facts["steps"] == runs[name].steps
                assert len(trainings) >= 4  # the timed ones are on record as well
        q, s, longer = runs["quantum"], runs["surrogate"], runs["longer"]
        assert q.quantum and not s.quantum and s.kinds == ("surrogate",)
        assert s.weights == q.weights and s.train_executions > 0 and s.sample_executions > 0
        # two frequencies and a constant for each input: here the formula is the circuit
        assert s.metrics["kid"].value == pytest.approx(q.metrics["kid"].value, abs=0.02)
        assert longer.steps > 0 and longer.train_executions == 0
