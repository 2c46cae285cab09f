"""``qimg compare`` from the plan to the exit code; killed with SIGKILL and gone on with (slow: it trains)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qimg_compare import runner
from qimg_compare.plan_file import read_plan
from qimg_compare.result import Measured, RunResult, read_result, run_folder, write_result
from qimg_compare.runner import Failure
from qimg_core.cli.app import main
from qimg_core.datasets import open_images
from qimg_core.ledger.opening import open_ledger
from qimg_core.ledger.verify import Verification
from qimg_core.storage import ensure_folder, sha256_digest
from qimg_metrics.features import shipped_network

PLAN = """
name = "small"
data = "digits"
size = {size}
n = {n}
allow_small = true
network = "{network}"
seeds = {seeds}
primary = "kid"
candidate = "quantum"
reference = "twin"
controls = ["copy"]
generator = "quantum-latent-flow"
steps = {steps}
{more}
[settings]
size = {size}
compressor = "pca"
latent = 4
wires = 2
layers = 1
batch = 16
sample_steps = 4
[arms.quantum]
[arms.twin]
arm = "twin"
"""


def plan_file(folder: Path, more: str = "", **changes: Any) -> Path:
    values = {"size": 28, "n": 150, "network": "mnist-28", "seeds": 10, "steps": 5, "more": more}
    path = folder / "plan.toml"
    path.write_text(PLAN.format(**{**values, **changes}))
    return path


def args(folder: Path, plan: Path, *more: str) -> list[str]:
    return ["compare", str(plan), "--out", str(folder / "out"), "--ledger", str(folder / "ledger"), *more]


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plan = plan_file(tmp_path)
    assert main(args(tmp_path, plan, "--dry-run", "--json")) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["plan"] == read_plan(plan).digest and shown["runs"] == 30 and shown["done"] == 0
    assert [p.name for p in tmp_path.iterdir()] == ["plan.toml"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"more": "generator2 = 1"}, "did you mean 'generator'"),
        ({"more": 'backend = "simulatr"'}, "did you mean 'simulator'"),
        ({"more": 'backend = "ionq"'}, "has no budget"),
        ({"more": 'max_cost = "twelve"'}, "takes an amount"),
        ({"more": 'noise = "depolarising=0.1"'}, "depolarizing"),
        ({"size": 16}, "the feature network takes"),
        ({"n": 100, "network": "none-28"}, "no feature network"),
    ],
)
def test_what_cannot_run_is_refused_before_anything_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, Any], words: str
) -> None:
    assert main(args(tmp_path, plan_file(tmp_path, **changes))) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "ledger").exists()


def test_exit_codes_and_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With runs whose results are planted: everything around the runs is real."""
    data, network = open_images("digits", size=28).digest, shipped_network().digest
    made: list[tuple[str, int]] = []
    broken: set[tuple[str, int]] = set()

    def planted(plan: Any, folder: Path, *, seeds: Any, registered: str, done: Any, **_: Any) -> tuple[Failure, ...]:
        with open_ledger(tmp_path / "ledger", create=False) as free:  # nobody holds it while runs run
            assert [e.facts["plan"] for e in free.entries(kind="compare.planned")][-1] == plan.digest
            assert free.checkpoints()
        there, failed = runner.finished(plan, folder, seeds), []
        for seed in seeds:
            for arm in plan.names:
                if (arm, seed) in there:
                    continue
                if (arm, seed) in broken:
                    failed.append(Failure(arm=arm, seed=seed, reason="it broke"))
                    continue
                kid = {"quantum": 0.3}.get(arm, 0.5) + 0.01 * np.random.default_rng([seed, len(arm)]).normal()
                result = RunResult(
                    plan=plan.digest,
                    registered=registered,
                    arm=arm,
                    seed=seed,
                    data=data,
                    network=network,
                    metrics={"kid": Measured(value=kid, low=kid - 0.01, high=kid + 0.01, n=plan.n)},
                    n=plan.n,
                    quantum=arm == "quantum",
                    simulated=arm == "quantum",
                )
                write_result(ensure_folder(run_folder(folder, arm, seed)), result)
                made.append((arm, seed))
                done(arm, seed, None)
        return tuple(failed)

    monkeypatch.setattr(runner, "run_all", planted)
    plan = plan_file(tmp_path)
    assert main(args(tmp_path, plan, "--quick", "--json")) == 3
    quick = json.loads(capsys.readouterr().out)
    assert quick["verdict"] == "inconclusive" and len(made) == 9

    broken.add(("twin", 7))
    assert main(args(tmp_path, plan, "--json")) == 1
    assert json.loads(capsys.readouterr().out)["failures"] == [{"arm": "twin", "reason": "it broke", "seed": 7}]
    broken.clear()
    assert main(args(tmp_path, plan, "--json")) == 0
    full = json.loads(capsys.readouterr().out)
    assert full["verdict"] == "quantum arm better" and len(made) == len(set(made)) == 30
    assert "not pre-registered" not in full["attributes"]
    assert main(args(tmp_path, plan, "--json")) == 0
    assert json.loads(capsys.readouterr().out)["record"] == full["record"] and len(made) == 30

    with open_ledger(tmp_path / "ledger", create=False, read_only=True) as log:
        entry = log.entry(full["record"]["entry"])
        assert entry.facts["verdict"] == "quantum arm better" and entry.facts["data"] == data
        assert entry.facts["network"] == network and entry.facts["planned_entry"] == full["record"]["planned entry"]
        found: Verification = log.verify()
        assert found.ok, found.problems

    assert main(args(tmp_path, plan_file(tmp_path, more="margin = 0.05"), "--json")) == 0
    changed = json.loads(capsys.readouterr().out)
    assert "not pre-registered" in changed["attributes"] and "changed after its entry" in changed["remarks"][0]


@pytest.mark.slow
def test_a_killed_comparison_goes_on_and_ends_as_if_it_had_not_been(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_file(tmp_path, seeds=2, size=8, network="trained", n=80, steps=300)
    command = [sys.executable, "-m", "qimg_core", *args(tmp_path, plan)]
    first = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert first.stderr is not None
    seen = []
    for line in first.stderr:
        seen.append(line)
        if line.startswith("1/6"):
            break
    else:
        pytest.fail("".join(seen))
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    first.stderr.close()
    made = read_plan(plan)
    folder = tmp_path / "out" / made.folder
    kept = {path: path.read_bytes() for path in folder.glob("runs/*/*/result.json")}
    assert kept and len(kept) < 6

    assert main(args(tmp_path, plan, "--jobs", "2", "--json")) == 3  # two seeds
    report = json.loads(capsys.readouterr().out)
    assert report["failures"] == [] and "not pre-registered" not in report["attributes"]
    assert {path: path.read_bytes() for path in kept} == kept
    results = {}
    for seed in made.seeds:
        for arm in made.names:
            found = read_result(run_folder(folder, arm, seed), plan=made.digest, arm=arm, seed=seed)
            assert found is not None
            results[arm, seed] = found[0]
            with open_ledger(run_folder(folder, arm, seed) / "ledger", create=False, read_only=True) as log:
                assert log.verify().ok and found[0].log is not None
                assert found[0].log.checkpoint == sha256_digest(log.checkpoints()[-1])
                assert [e.facts["arm"] for e in log.entries(kind="compare.measured")][-1] == arm

    alone = [sys.executable, "-c", ALONE, str(folder), str(tmp_path / "alone")]
    pixels = json.loads(subprocess.run(alone, check=True, capture_output=True, text=True).stdout)
    assert pixels == results["twin", 1].pixels  # the weights file names its run, and so differs
    copies, twin = results["copy", 1].metrics, results["twin", 1].metrics
    assert copies["nn_ratio"].value == 0 and copies["kid"].value < twin["kid"].value


ALONE = """
import json, shutil, sys
from pathlib import Path
import torch
from qimg_compare.worker import make_run
from qimg_core.plugins import Registry
torch.set_num_threads(1)
old, new = map(Path, sys.argv[1:])
new.mkdir()
for name in ("plan.json", "network.safetensors", "reference.npz"):
    shutil.copy(old / name, new / name)
found = make_run(new, "twin", 1, "sha256:none", Registry())
print(json.dumps(found.pixels))
"""
