"""Tuning trials: drawn from the grid, judged by held-out training images, chosen on record before the first run."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from qimg_compare import runner, tuning
from qimg_compare.bench import open_bench
from qimg_compare.grid import drawn, point, points
from qimg_compare.plan import ComparePlan, plan_from_json
from qimg_compare.plan_file import parse_plan, read_plan
from qimg_compare.result import Measured, RunResult, read_result, run_folder, trial_folder, write_result
from qimg_compare.trial import make_trial, parts
from qimg_compare.trial_choice import Settled, Trial, best, settled, trials_of, tunings
from qimg_compare.worker import PLAN
from qimg_core.cli.app import main
from qimg_core.datasets import ImageSource, open_images
from qimg_core.errors import ConfigurationError, DataError, UnknownName
from qimg_core.ledger import canonical
from qimg_core.ledger.opening import open_ledger
from qimg_core.plugins import Registry
from qimg_core.storage import ensure_folder
from qimg_core.weights import load_weights
from qimg_metrics.features import shipped_network

EXAMPLES = Path(__file__).parent.parent / "examples"
GRID = {"rate": [0.001, 0.003, 0.01], "batch": [8, 16]}
TEXT = """
name = "tuned"
data = "digits"
size = {size}
n = {n}
allow_small = true
network = "{network}"
seeds = 2
primary = "kid"
candidate = "quantum"
reference = "twin"
matched = ["steps", "trials"]
controls = ["copy"]
generator = "quantum-latent-flow"
steps = {steps}
trials = 3
[grid]
rate = [0.001, 0.003, 0.01]
batch = [8, 16]
[settings]
size = {size}
compressor = "pca"
latent = 4
wires = 2
layers = 1
sample_steps = 4
[arms.quantum]
[arms.twin]
arm = "twin"
[arms.stand-in]
surrogate_of = "quantum"
"""


def text(**changes: Any) -> str:
    return TEXT.format(**{"size": 28, "n": 60, "network": "mnist-28", "steps": 40, **changes})


def parsed(where: str | None = None, /, **values: Any) -> ComparePlan:
    """The plan with values changed at its top, or in an arm; None takes a key away."""
    document = tomllib.loads(text())
    table = document if where is None else document["arms"].setdefault(where, {})
    table.update(values)
    for key in [k for k, v in table.items() if v is None]:
        del table[key]
    return parse_plan(document)


def test_points_are_counted_as_a_product_counts_them() -> None:
    names = sorted(GRID)
    wanted = [dict(zip(names, values, strict=True)) for values in itertools.product(*(GRID[n] for n in names))]
    assert points(GRID) == 6 and points({}) == 0
    assert [point(GRID, at) for at in range(6)] == wanted
    with pytest.raises(IndexError):
        point(GRID, 6)


def test_positions_are_drawn_without_replacement_and_from_the_seed_alone() -> None:
    wide = {"a": list(range(8)), "b": list(range(5))}
    assert drawn(GRID, 6, 3) == drawn(GRID, 99, 3) == tuple(range(6))
    found = drawn(wide, 7, 3)
    assert len(set(found)) == 7 and found == drawn(wide, 12, 3)[:7] and found != drawn(wide, 7, 4)
    assert found == drawn({"other": list(range(40))}, 7, 3)  # as many points, the same positions

    def seed(at: int) -> int:  # SHA-256 of the written name, first eight bytes, 63 bits
        return int.from_bytes(hashlib.sha256(f"3/strial/i{at}".encode()).digest()[:8], "big") >> 1

    assert list(found) == sorted(range(40), key=seed)[:7]
    first = [drawn(wide, 1, s)[0] for s in range(2000)]
    counts = np.bincount(first, minlength=40)  # 50 each on average, standard deviation 7
    assert counts.min() > 15 and counts.max() < 95


def test_plans_of_before_keep_their_digests() -> None:
    known = {
        "digits": "sha256:69b39c85eff94d412693a10eb0df3479145e5f5c32764c4aa84f68d66751d279",
        "gans-16": "sha256:75cc2ced45ab1880f0b0b5ba2a51db47cef8cbdca9c51b1707ffb3b1c5cadf82",
    }
    assert {name: read_plan(EXAMPLES / f"{name}.toml").digest for name in known} == known


def test_what_the_plan_says_of_its_trials() -> None:
    plan = parsed()
    quantum, twin, stand_in = (plan.arm(name) for name in ("quantum", "twin", "stand-in"))
    assert quantum.grid == {"rate": ["0.001", "0.003", "0.01"], "batch": [8, 16]}
    assert (quantum.tried, quantum.trial_steps, plan.trial_metric, plan.trial_seed) == (3, 4, "kid", 0)
    assert list(quantum.draws(plan.seed)) == list(twin.draws(plan.seed))
    assert not stand_in.grid and stand_in.tried == 3  # the weights of the quantum arm, so its trials
    assert parsed(seeds=[0, 1, 3]).trial_seed == 2
    assert plan_from_json(json.loads(canonical.dumps(plan.to_json()))) == plan
    assert parsed(grid=dict(reversed(GRID.items()))).digest == plan.digest


@pytest.mark.parametrize(
    ("where", "values"),
    [
        (None, {"trials": 4}),
        (None, {"trial_steps": 5}),
        (None, {"trial_metric": "coverage"}),
        (None, {"grid": {**GRID, "batch": [8, 32]}}),
    ],
)
def test_the_digest_covers_grid_and_trials(where: str | None, values: dict[str, Any]) -> None:
    assert parsed(where, **values).digest != parsed().digest


@pytest.mark.parametrize(
    ("where", "values", "words"),
    [
        (None, {"grid": None}, "has no grid to draw settings from"),
        (None, {"trials": None}, "nothing could be chosen"),
        (None, {"grid": {"rate": [0.1]}}, "nothing could be chosen"),
        (None, {"grid": {"rate": 0.1}}, "a list of values"),
        (None, {"grid": {"rate": []}}, "a list of values"),
        (None, {"grid": {"rate": [0.1, 0.1]}}, "twice"),
        (None, {"grid": {"latent": [3, 4]}}, "in the settings and in the grid"),
        (None, {"grid": {"rate": [0.1, {}]}}, "is text, a number"),
        (None, {"grid": {"a": list(range(1000)), "b": list(range(1000))}}, "at most"),
        (None, {"trial_steps": 0}, "trial_steps is 1 or more"),
        (None, {"trial_metric": "kidd"}, "did you mean 'kid'"),
        (None, {"primary": "seconds_per_image"}, "not measured on images"),
        (None, {"grid": None, "trials": 1, "trial_metric": "kid"}, "no arm has a grid"),
        (None, {"grid": None, "trials": 1, "trial_steps": 3}, "no arm has a grid"),
        ("twin", {"trials": 4}, "trials are matched, but the arms have quantum 3, twin 4"),
        ("more", {"arm": "bypass", "weights": "a.safetensors", "grid": {"rate": [1, 2]}}, "is not trained here"),
        ("longer", {"arm": "twin", "time_of": "quantum"}, "no steps of its own"),
    ],
)
def test_what_cannot_be_tuned_is_refused(where: str | None, values: dict[str, Any], words: str) -> None:
    with pytest.raises((ConfigurationError, UnknownName)) as caught:
        parsed(where, **values)
    assert words in f"{caught.value} {caught.value.hint}"


def test_a_grid_of_fewer_points_counts_as_fewer_trials() -> None:
    with pytest.raises(ConfigurationError, match="twin 2"):
        parse_plan({**(d := tomllib.loads(text())), "grid": {}, "arms": per_arm(d["arms"])})
    plan = parse_plan({**d, "grid": {}, "arms": per_arm(d["arms"]), "matched": []})
    assert [a.tried for a in plan.arms] == [3, 2, 3]


def per_arm(arms: dict[str, Any]) -> dict[str, Any]:
    grids = {"quantum": GRID, "twin": {"batch": [8, 16]}}
    return {name: {**table, **({"grid": grids[name]} if name in grids else {})} for name, table in arms.items()}


def trial(value: float, position: int = 0) -> Trial:
    given = {"steps": 1, "seconds": 1.0, "executions": 0, "shots": 0, "cost": "0", "result": "r", "log": None}
    return Trial(position=position, settings={"p": position}, value=value, **given)


@pytest.mark.parametrize(
    ("metric", "values", "wanted"),
    [
        ("kid", [0.3, -0.1, 0.2], 1),
        ("coverage", [0.3, 0.1, 0.9], 2),
        ("nn_ratio", [0.2, 1.3, 0.8], 2),
        ("kid", [0.3, 0.1, 0.1], 1),
    ],
)
def test_the_best_of_planted_values_is_taken(metric: str, values: list[float], wanted: int) -> None:
    assert best(metric, [trial(v, i) for i, v in enumerate(values)]).position == wanted


def tried(plan: ComparePlan, arm: str, position: int, kid: float, **more: Any) -> RunResult:
    base = {"plan": plan.digest, "registered": "x", "data": "d", "network": "n", "arm": arm, "seed": plan.trial_seed}
    found = {} if kid != kid else {"kid": Measured(value=kid, low=kid, high=kid, n=plan.n)}
    settings = plan.arm(arm).draws(plan.seed)[position]
    given = {"metrics": found, "trial": position, "tuned": settings, "n": plan.n, "steps": 4, "train_seconds": 2.0}
    return RunResult(**{**base, **given, "sample_seconds": 0.5, **more})


def test_a_trial_without_a_value_chooses_nothing() -> None:
    plan = parsed()
    there = {(a.name, at): (tried(plan, a.name, at, float("nan")), "d") for a in plan.tuned for at in a.draws(0)}
    with pytest.raises(ConfigurationError, match="has no value of kid"):
        tunings(plan, there)


def test_a_result_of_a_trial_is_none_of_a_run(tmp_path: Path) -> None:
    plan = parsed()
    at = next(iter(plan.arm("twin").draws(plan.seed)))
    result = tried(plan, "twin", at, 0.5)
    write_result(tmp_path, result)
    asked = {"plan": plan.digest, "arm": "twin", "seed": plan.trial_seed}
    assert read_result(tmp_path, **asked) is None
    assert (found := read_result(tmp_path, **asked, trial=at)) is not None and found[0] == result
    plain = evolve(result, trial=None, tuned={}, chosen=None).to_json()
    assert {"trial", "tuned", "chosen"}.isdisjoint(plain)


class Process:
    """Ends at once; its sentinel is a pipe whose other end is closed."""

    def __init__(self) -> None:
        self.sentinel, end = os.pipe()
        os.close(end)
        self.exitcode = 1

    def join(self) -> None:
        os.close(self.sentinel)

    def kill(self) -> None:
        return None


def test_trials_come_first_are_chosen_on_record_and_never_made_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With planted results of trials and runs: everything around them is real."""
    file = tmp_path / "plan.toml"
    file.write_text(text())
    plan, ledger = read_plan(file), tmp_path / "ledger"
    learned, _ = parts(plan, open_images("digits", size=28))
    data, network = open_images("digits", size=28).digest, shipped_network().digest
    kid = {("quantum", at): 0.5 - 0.1 * k for k, at in enumerate(plan.arm("quantum").draws(plan.seed))}
    kid |= {("twin", at): abs(k - 1) + 0.2 for k, at in enumerate(plan.arm("twin").draws(plan.seed))}
    made: list[tuple[str, int]] = []
    broken: set[tuple[str, int]] = {("twin", list(plan.arm("twin").draws(plan.seed))[2])}

    def start_trial(context: Any, folder: Path, arm: str, position: int, registered: str) -> Process:
        assert not (folder / "chosen.json").exists() and not list(folder.glob("runs/*/*/result.json"))
        made.append((arm, position))
        if (arm, position) not in broken:
            given = {"data": learned.digest, "network": network, "registered": registered, "train_executions": 7}
            result = tried(plan, arm, position, kid[arm, position], **given)
            write_result(ensure_folder(trial_folder(folder, arm, position)), result)
        return Process()

    def start(context: Any, folder: Path, arm: str, seed: int, registered: str) -> Process:
        with open_ledger(ledger, create=False, read_only=True) as log:
            (entry,) = log.entries(kind="compare.chosen")
        own = Settled() if arm == "copy" else settled(folder, plan, plan.arm(arm))[1]
        assert own.entry == (None if arm == "copy" else entry.digest)
        found = {"kid": Measured(value=0.3, low=0.2, high=0.4, n=plan.n)}
        base = {"plan": plan.digest, "registered": registered, "data": data, "network": network, "metrics": found}
        result = RunResult(**base, arm=arm, seed=seed, n=plan.n, tuned=own.settings, chosen=own.entry)
        write_result(ensure_folder(run_folder(folder, arm, seed)), result)
        return Process()

    monkeypatch.setattr(tuning, "start_trial", start_trial)
    monkeypatch.setattr(tuning, "run_context", lambda *_: None)
    monkeypatch.setattr(runner, "_start", start)
    monkeypatch.setattr(runner, "run_context", lambda *_: None)
    args = ["compare", str(file), "--out", str(tmp_path / "out"), "--ledger", str(ledger), "--json"]
    folder = tmp_path / "out" / plan.folder

    assert main(args) == 1
    (failure,) = json.loads(capsys.readouterr().out)["failures"]
    assert failure["arm"] == "twin" and "trial at point" in failure["reason"]
    assert len(made) == 6 and not (folder / "runs").exists() and not (folder / "chosen.json").exists()

    again = next(iter(broken))
    broken.clear()
    made.clear()
    assert main(args) == 3  # two seeds
    report = json.loads(capsys.readouterr().out)
    assert made == [again]
    best_quantum = list(plan.arm("quantum").draws(plan.seed))[2]  # 0.3, the smallest that was planted
    best_twin = list(plan.arm("twin").draws(plan.seed))[1]
    assert [(t["arm"], t["chosen"]) for t in report["tuning"]] == [("quantum", best_quantum), ("twin", best_twin)]
    wanted = plan.arm("quantum").draws(plan.seed)[best_quantum]
    for arm in ("quantum", "stand-in"):
        found = read_result(run_folder(folder, arm, 1), plan=plan.digest, arm=arm, seed=1)
        assert found is not None and found[0].tuned == wanted
    assert "not pre-registered" not in report["attributes"]

    page, markdown = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    words = f"batch = {wanted['batch']}, rate = {wanted['rate']}"
    assert words in page and f"| quantum | {words} | 4 | 0.3000 | chosen |" in markdown
    budget = next(line for line in markdown.splitlines() if line.startswith("| quantum | quantum |"))
    assert budget.endswith("| 12 | 7.5 | 21 | 0 | 0.0000 |")  # three trials: steps, seconds, executions, shots, cost

    made.clear()
    assert main(args) == 3
    assert json.loads(capsys.readouterr().out)["record"] == report["record"] and made == []
    with open_ledger(ledger, create=False, read_only=True) as log:
        (planned,), (chosen,) = log.entries(kind="compare.planned"), log.entries(kind="compare.chosen")
        (finished,) = log.entries(kind="compare.finished")
        assert planned.index < chosen.index < finished.index == report["record"]["entry"]
        assert planned.facts["trials"] == 6 and finished.facts["chosen_entry"] == chosen.index
        assert [a["chosen"] for a in chosen.facts["arms"]] == [best_quantum, best_twin]
        assert log.verify().ok

    other = json.loads((folder / "chosen.json").read_bytes())
    (folder / "chosen.json").write_text(json.dumps({**other, "plan": "another"}))
    with pytest.raises(ConfigurationError, match="nothing was chosen yet"):
        settled(folder, plan, plan.arm("stand-in"))


def test_a_value_of_the_grid_that_no_model_takes_is_refused_before_anything_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text().replace("rate = [", "rrate = ["))
    assert main(["compare", str(file), "--out", str(tmp_path / "out"), "--ledger", str(tmp_path / "ledger")]) == 2
    assert "rrate" in capsys.readouterr().err
    assert not (tmp_path / "ledger").exists() and not (tmp_path / "out").exists()


def idx(path: Path, array: Any) -> None:
    array = np.asarray(array, dtype=np.uint8)
    head = bytes([0, 0, 8, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    path.write_bytes(head + array.tobytes())


def test_a_trial_needs_no_test_images_and_learns_none_that_judge_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data set of this test has no test images at all; a comparison's bench cannot be made of it."""
    digits = open_images("digits", size=28)
    data = ensure_folder(tmp_path / "data")
    idx(data / "train-images-idx3-ubyte", np.rint(digits.all()[..., 0] * 255))
    idx(data / "train-labels-idx1-ubyte", digits.labels)
    document = tomllib.loads(text(steps=20))
    plan = parse_plan({**document, "data": str(data)})
    home = ensure_folder(tmp_path / "home")
    (home / PLAN).write_bytes(canonical.dumps(plan.to_json()))
    with pytest.raises(DataError, match="test"):
        open_bench(plan, home, Registry())
    asked: list[str] = []
    monkeypatch.setattr("qimg_compare.trial.open_data", _told(asked))
    position = next(iter(plan.arm("twin").draws(plan.seed)))
    result = make_trial(home, "twin", position, "sha256:planned", Registry())
    assert asked == ["train"]
    source = open_images(str(data))
    learned, held = parts(plan, source)
    rows = [{image.tobytes() for image in part.all()} for part in (learned, held)]
    assert learned.n + held.n == digits.n and held.n == digits.n // 5
    assert not rows[0] & rows[1] and rows[0] | rows[1] == {image.tobytes() for image in source.all()}
    assert (result.data, result.steps, result.seed) == (learned.digest, 2, 0)
    assert result.metrics["kid"].n == 60

    own = trial_folder(home, "twin", position)
    facts = load_weights(own / "weights.safetensors").facts
    assert facts["data"]["digest"] == learned.digest and facts["steps"] == 2
    varied = plan.arm("twin").draws(plan.seed)[position]
    assert facts["config"]["batch"] == varied["batch"] and float(facts["config"]["rate"]) == float(varied["rate"])
    with open_ledger(own / "ledger", create=False, read_only=True) as log:
        assert log.verify().ok and not list(log.entries(kind="compare.measured"))
        (entry,) = log.entries(kind="compare.tried")
        assert entry.facts["settings"] == varied and entry.facts["trial"] == position
        (started,) = log.entries(kind="training.started")
        assert started.facts["data"]["digest"] == learned.digest


def _told(asked: list[str]) -> Any:
    from qimg_core.cli.sources import open_data

    def opened(app: Any, what: str, *, split: str = "train", **more: Any) -> ImageSource:
        asked.append(split)
        return open_data(app, what, split=split, **more)

    return opened


@pytest.mark.slow
def test_a_tuned_comparison_killed_in_its_trials_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.toml"
    file.write_text(text(size=8, network="trained", steps=30))
    args = ["compare", str(file), "--out", str(tmp_path / "out"), "--ledger", str(tmp_path / "ledger")]
    first = subprocess.Popen([sys.executable, "-m", "qimg_core", *args], stderr=subprocess.PIPE, text=True)
    assert first.stderr is not None
    for line in first.stderr:
        if line.startswith("trial 2/6"):
            break
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stderr.close()
    plan = read_plan(file)
    folder = tmp_path / "out" / plan.folder
    kept = {path: path.read_bytes() for path in folder.glob("trials/*/*/result.json")}
    assert 2 <= len(kept) < 6 and not (folder / "chosen.json").exists()

    assert main([*args, "--json"]) == 3
    report = json.loads(capsys.readouterr().out)
    assert report["failures"] == [] and "not pre-registered" not in report["attributes"]
    assert {path: path.read_bytes() for path in kept} == kept
    chosen = {t["arm"]: t["settings"] for t in report["tuning"]}
    for arm in ("quantum", "twin"):
        values = {at: r.metrics["kid"].value for (a, at), (r, _) in trials_of(plan, folder).items() if a == arm}
        assert chosen[arm] == plan.arm(arm).draws(plan.seed)[min(values, key=lambda at: values[at])]
        for seed in plan.seeds:
            facts = load_weights(run_folder(folder, arm, seed) / "weights.safetensors").facts
            assert facts["config"]["batch"] == chosen[arm]["batch"] and facts["steps"] == 30
            assert float(facts["config"]["rate"]) == float(chosen[arm]["rate"])
    runs = [read_result(run_folder(folder, "stand-in", s), plan=plan.digest, arm="stand-in", seed=s) for s in (1, 2)]
    assert all(r is not None and r[0].tuned == chosen["quantum"] for r in runs)


def test_the_grid_of_the_documentation_is_a_plan() -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "compare.md").read_text()
    whole, more = (tomllib.loads(part.split("```")[0]) for part in page.split("```toml")[1:3])
    arms = {name: whole["arms"][name] for name in ("quantum", "twin", "longer", "stand-in")}
    arms["quantum"] = {**arms["quantum"], **more.pop("arms")["quantum"]}
    plan = parse_plan({**whole, **more, "arms": arms})
    assert [(a.name, a.tried, points(a.grid), a.trial_steps) for a in plan.arms] == [
        ("quantum", 4, 12, 400),
        ("twin", 4, 6, 400),
        ("longer", 4, 6, 400),
        ("stand-in", 4, 0, 0),
    ]
