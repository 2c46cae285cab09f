"""``qimg reproduce`` end to end: plan, trainings, judged figures, record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve

from qimg_compare import runner
from qimg_compare.reproduce import command, planning
from qimg_compare.reproduce.catalogue import RECIPES
from qimg_compare.reproduce.recipe import (
    ArmRecipe,
    Band,
    Count,
    Effort,
    Figure,
    ImageRun,
    Metric,
    Recipe,
    Spending,
    StateSpending,
)
from qimg_compare.runner import Failure
from qimg_compare.worker import make_run
from qimg_core.cli.app import main
from qimg_core.generator import Arm
from qimg_core.ledger.opening import open_ledger
from qimg_core.plugins import Registry

SMALL = {
    "size": 28,
    "compressor": "pca",
    "latent": 4,
    "wires": 2,
    "layers": 1,
    "batch": 16,
    "sample_steps": 2,
}
WIDE = Band(low=-1e9, high=1e9, source="anything")
TINY = Recipe(
    name="tiny",
    source="nobody",
    published="nothing",
    differs=("everything",),
    run=ImageRun(
        generator="quantum-latent-flow",
        data="digits",
        fits=(),
        arms=(ArmRecipe(name="quantum", arm=Arm.QUANTUM), ArmRecipe(name="twin", arm=Arm.TWIN)),
        reference="twin",
        primary="kid",
        metrics=("coverage",),
        efforts={
            Effort.USUAL: Spending(steps=2, size=28, n=60, seeds=2, settings=SMALL),
        },
    ),
    figures=(
        Figure(
            name="distance",
            published="1",
            definition="unlike ours",
            measure=Metric("quantum", "kid"),
            bands={Effort.USUAL: WIDE},
            not_comparable="it is another one",
        ),
        Figure(name="numbers", measure=Count("quantum", "circuit"), bands={Effort.USUAL: Band(low=1, source="any")}),
        Figure(name="coverage", measure=Metric("quantum", "coverage")),
    ),
)


def in_process(plan: Any, folder: Path, *, seeds: Any, registered: str, done: Any, **_: Any) -> tuple[Failure, ...]:
    """The runs without processes of their own, quantum and twin alone; those that are there are not made again."""
    there = runner.finished(plan, folder, seeds)
    for seed in seeds:
        for arm in ("quantum", "twin"):
            if (arm, seed) not in there:
                make_run(folder, arm, seed, registered, Registry())
                done(arm, seed, None)
    return ()


def given(tmp_path: Path, *more: str) -> list[str]:
    return ["reproduce", *more, "--out", str(tmp_path / "out"), "--ledger", str(tmp_path / "runs"), "--json"]


def test_a_recipe_from_its_plan_to_the_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "run_all", in_process)
    monkeypatch.setattr(planning, "_network", lambda train: "mnist-28")  # one need not be trained
    monkeypatch.setattr(command, "recipe_of", lambda name: TINY)
    assert main(given(tmp_path, "tiny", "--seeds", "1")) == 3  # one seed has no interval
    one = json.loads(capsys.readouterr().out)
    assert [f["verdict"] for f in one["figures"]] == ["inconclusive", "pass", "not_applicable"]

    assert main(given(tmp_path, "tiny")) == 0
    both = json.loads(capsys.readouterr().out)
    assert both["plan"] == one["plan"] and both["pre_registered"] and both["verdict"] == "pass"
    kid = both["figures"][0]
    assert float(kid["ours"]["low"]) < float(kid["ours"]["value"]) < float(kid["ours"]["high"])
    assert kid["remark"] == "not comparable: it is another one"
    folder = Path(both["folder"])
    results = [json.loads(p.read_bytes())["body"] for p in sorted(folder.glob("runs/quantum/*/result.json"))]
    assert len(results) == 2
    mean = sum(float(r["metrics"]["kid"]["value"]) for r in results) / 2
    assert float(kid["ours"]["value"]) == pytest.approx(mean)
    assert float(both["figures"][1]["ours"]["value"]) == results[0]["parameters"]["circuit"]
    assert json.loads((folder / "reproduce.json").read_bytes())["record"] == both["record"]
    assert "not comparable: it is another one" in (folder / "reproduce.md").read_text()
    assert (folder / "report.html").exists()

    with open_ledger(tmp_path / "runs", create=False, read_only=True) as log:
        entry = log.entry(both["record"]["entry"])
        assert (entry.kind, entry.facts["recipe"], entry.facts["verdict"]) == ("reproduce.finished", "tiny", "pass")
        kinds = [e.kind for e in log.entries()]
        assert kinds.index("compare.planned") < kinds.index("compare.finished") < kinds.index("reproduce.finished")
        assert log.verify().ok

    far = evolve(TINY.figures[1], bands={Effort.USUAL: Band(high=0.0, source="wrong")})
    monkeypatch.setattr(command, "recipe_of", lambda name: evolve(TINY, figures=(far,)))
    assert main(given(tmp_path, "tiny")) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "fail"


def test_a_run_that_failed_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(plan: Any, folder: Path, **_: Any) -> tuple[Failure, ...]:
        return (Failure(arm="quantum", seed=1, reason="it broke"),)

    monkeypatch.setattr(runner, "run_all", broken)
    monkeypatch.setattr(planning, "_network", lambda train: "mnist-28")
    monkeypatch.setattr(command, "recipe_of", lambda name: TINY)
    assert main(given(tmp_path, "tiny")) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["failures"] == ["quantum, seed 1: it broke"] and found["verdict"] == "inconclusive"
    assert found["figures"][0]["ours"] is None


@pytest.mark.parametrize("effort", [Effort.QUICK, Effort.PUBLISHED])
def test_states_are_trained_for_real(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, effort: Effort
) -> None:
    recipe = RECIPES["quddpm"]
    own = recipe.run.efforts[effort]
    assert isinstance(own, StateSpending)
    short = evolve(recipe.run, tasks=("cluster-1", "one-shot-gan"), efforts={effort: evolve(own, factor=0.001)})
    monkeypatch.setattr(command, "recipe_of", lambda name: evolve(recipe, run=short))
    assert main(given(tmp_path, "quddpm", "--effort", effort.value, "--seeds", "1")) in (0, 1, 3)
    found = json.loads(capsys.readouterr().out)
    figures = {f["name"]: f for f in found["figures"]}
    first = figures["cluster-1: mean |<0...0|psi>|^2"]
    assert (first["published"], first["band"]["low"]) == ("0.9928", "0.98")
    wanted = {"quick": "inconclusive", "published": "fail"}[effort.value]  # it has learned nothing in twenty steps
    assert first["verdict"] == wanted == found["verdict"]
    with open_ledger(tmp_path / "runs", create=False, read_only=True) as log:
        recorded = [f for e in log.entries(kind="quddpm.reproduced") for f in e.facts["figures"]]
        assert first["ours"]["value"] in [f["ours"] for f in recorded]


@pytest.mark.slow
def test_the_implicit_recipe_at_quick_on_digits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(given(tmp_path, "implicit", "--effort", "quick", "--data", "digits", "--jobs", "2")) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["failures"] == [] and found["verdict"] == "inconclusive" and found["known_data"] is None
    assert all(f["ours"] is not None and f["verdict"] != "pass" for f in found["figures"])
    assert set(found["arms"]) == {"quantum", "twin", "bypass", "patch", "frqi", "real", "copy"}
