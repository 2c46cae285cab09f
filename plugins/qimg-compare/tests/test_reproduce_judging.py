"""Bands, rows and verdicts of ``qimg reproduce``; numbers of ours from planted results (no training)."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.linalg import expm

from qimg_compare.command import check_models
from qimg_compare.reproduce.catalogue import RECIPES
from qimg_compare.reproduce.circuits import entanglement, notebook_circuit
from qimg_compare.reproduce.judging import Ours, Row, measured, overall, row_of
from qimg_compare.reproduce.planning import prepare
from qimg_compare.reproduce.recipe import (
    Band,
    BetterShare,
    Count,
    Difference,
    Effort,
    Entanglement,
    Figure,
    ImageRun,
    Metric,
    NotMeasured,
)
from qimg_compare.reproduce.states import reproduce_states
from qimg_compare.reproduce.tables import band_words, cells
from qimg_compare.result import Measured, RunResult
from qimg_core.cli.app import App, main
from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_core.measurement import State
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_core.verdict import Verdict
from qimg_diffusion.quddpm import reproduce as quddpm
from qimg_metrics.circuit.entanglement import meyer_wallach_of
from qimg_metrics.circuit.states import measured as states_of

USUAL = Effort.USUAL


def test_a_band_holds_an_interval_or_not_or_cannot_tell() -> None:
    band = Band(low=0.0, high=1.0, source="here")
    assert band.holds(0.0, 1.0) is True and band.holds(0.2, 0.2) is True
    assert band.holds(-2.0, -1.0) is False and band.holds(1.5, 1.6) is False
    assert band.holds(-0.1, 0.5) is None and band.holds(0.5, 1.1) is None and band.holds(-1.0, 2.0) is None
    assert band.holds(math.nan, math.nan) is False
    assert Band(low=2.0, source="s").holds(2.0, 1e9) is True and Band(high=2.0, source="s").holds(3, 4) is False
    for wrong in ({"low": 1.0, "high": 0.0, "source": "s"}, {"source": "s"}, {"low": 0.0, "source": ""}):
        with pytest.raises(ConfigurationError):
            Band(**wrong)  # type: ignore[arg-type]


def judged(low: float | None, high: float | None, *, effort: Effort = USUAL, **kwargs: Any) -> Row:
    band = Band(low=0.4, high=0.6, source="here", data=kwargs.pop("of", None))
    figure = Figure(name="f", measure=Metric("quantum", "kid"), bands={USUAL: band})
    return row_of(figure, Ours(value=0.5, low=low, high=high, basis="b"), effort, **kwargs)


def test_a_row_is_judged_by_its_interval_and_says_why_it_was_not() -> None:
    assert judged(0.45, 0.55).verdict is Verdict.PASS
    assert judged(0.61, 0.7).verdict is Verdict.FAIL
    for row, word in (
        (judged(0.3, 0.55), "crosses"),
        (judged(None, None), "one seed"),
        (judged(0.45, 0.55, effort=Effort.QUICK), "quick"),
        (judged(0.61, 0.7, effort=Effort.QUICK), "quick"),
        (judged(0.61, 0.7, of="mnist", data=None), "for mnist"),
    ):
        assert row.verdict is Verdict.INCONCLUSIVE and word in row.remark
    assert judged(0.61, 0.7, of="mnist", data="mnist").verdict is Verdict.FAIL
    nowhere = judged(0.45, 0.55, effort=Effort.PUBLISHED)
    assert nowhere.verdict is Verdict.NOT_APPLICABLE and nowhere.band is None
    lost = row_of(Figure(name="f", bands={USUAL: Band(low=0.0, source="s")}), None, USUAL, why="no run")
    assert lost.verdict is Verdict.INCONCLUSIVE and lost.remark == "no run" and cells(lost)[3] == "-"


def test_the_whole_fails_with_one_row_and_passes_with_all_that_have_a_band() -> None:
    yes, no, open_, none = judged(0.5, 0.5), judged(0.9, 0.9), judged(None, None), judged(1, 1, effort=Effort.PUBLISHED)
    assert overall([yes, none]) is Verdict.PASS
    assert overall([yes, none, open_]) is Verdict.INCONCLUSIVE
    assert overall([yes, no, open_]) is Verdict.FAIL
    assert overall([none]) is Verdict.INCONCLUSIVE and overall([]) is Verdict.INCONCLUSIVE


def planted(arm: str, seed: int, value: float) -> RunResult:
    metrics = {m: Measured(value=value, low=value - 0.01, high=value + 0.01, n=100) for m in ("kid", "coverage")}
    parameters = {"circuit": 48_000} if arm == "quantum" else {}
    return RunResult(
        plan="p", registered="r", arm=arm, seed=seed, data="d", network="n", metrics=metrics, parameters=parameters
    )


def nothing(layers: int) -> Any:
    raise AssertionError(layers)


def test_numbers_of_ours_come_from_the_runs() -> None:
    quantum, twin = [0.2, 0.3, 0.1, 0.25], [0.25, 0.2, 0.4, 0.3]
    results = [planted("quantum", s, v) for s, v in enumerate(quantum)]
    results += [planted("twin", s, v) for s, v in enumerate(twin)] + [planted("twin", 9, 77.0)]  # no partner
    found, _ = measured(Difference("quantum", "twin", "kid"), results, circuit=nothing)
    assert found is not None and found.value == pytest.approx(np.mean(quantum) - np.mean(twin))
    assert found.low is not None and found.high is not None and found.low < found.value < found.high
    for metric, share in (("kid", 0.75), ("coverage", 0.25)):  # smaller is better, larger is better
        part, _ = measured(BetterShare("quantum", "twin", metric), results, circuit=nothing)
        assert part is not None and part.value == share
    mean, _ = measured(Metric("quantum", "kid"), results, circuit=nothing)
    assert mean is not None and mean.value == pytest.approx(np.mean(quantum)) and mean.basis == "4 seeds"
    count, _ = measured(Count("quantum", "circuit"), results, circuit=nothing)
    assert count == Ours(value=48_000.0, low=48_000.0, high=48_000.0, basis="exact")
    one, _ = measured(Difference("quantum", "twin", "kid"), results[:1] + results[4:5], circuit=nothing)
    assert one is not None and one.value == pytest.approx(-0.05) and one.low is None
    for absent in (Metric("frqi", "kid"), Difference("quantum", "frqi", "kid"), Count("twin", "circuit")):
        assert measured(absent, results, circuit=nothing)[0] is None
    assert measured(NotMeasured(), results, circuit=nothing)[0] is None


def test_every_recipe_is_whole() -> None:
    assert list(RECIPES) == ["2602.03405", "quddpm", "pqwgan", "implicit", "steel", "gan-noise"]
    for recipe in RECIPES.values():
        assert recipe.source and recipe.published and recipe.differs
        canonical.dumps([row_of(f, None, USUAL).to_json() for f in recipe.figures])
        if not isinstance(recipe.run, ImageRun):
            continue
        arms = {a.name for a in recipe.run.arms}
        metrics = {recipe.run.primary, *recipe.run.metrics}
        for f in recipe.figures:
            named = {getattr(f.measure, k) for k in ("arm", "first", "second") if hasattr(f.measure, k)}
            assert named <= arms, f.name
            assert getattr(f.measure, "metric", "kid") in metrics, f.name
            assert bool(f.published) == bool(f.definition), f.name
            if not f.published or f.not_comparable:
                continue
            number = float(f.published.replace(",", ""))  # judged together: the band has to hold what was published
            assert f.bands and all(b.holds(number, number) for b in f.bands.values()), f.name


def test_no_metric_of_images_is_judged_against_a_published_one() -> None:
    """Theirs are in the features of another network, on other images: only counts and circuits are the same thing."""
    for recipe in RECIPES.values():
        for f in recipe.figures:
            if f.published and not isinstance(f.measure, (Count, Entanglement)):
                assert f.not_comparable, f.name


@pytest.mark.parametrize("effort", list(Effort))
@pytest.mark.parametrize("name", [n for n, r in RECIPES.items() if isinstance(r.run, ImageRun)])
def test_every_plan_can_be_run(name: str, effort: Effort) -> None:
    """Each arm's model is made and accepts the images: settings that do not exist or fit would be refused."""
    app = App(given=Registry())
    made = prepare(app, RECIPES[name], data="digits", effort=effort, seeds=None)
    check_models(app, made.plan)
    assert made.seeds == made.plan.seeds[: len(made.seeds)] and len(made.plan.seeds) >= 10
    assert made.data is None and made.plan.network == "trained"
    more = prepare(app, RECIPES[name], data="digits", effort=effort, seeds=7)
    assert more.plan.digest == made.plan.digest, "more seeds go on with the same plan"


def exactly(weights: np.ndarray) -> np.ndarray:
    """The state of one layer in plain linear algebra; the block is exp(i(a XX + b YY + c ZZ)) up to a phase."""
    x, y, z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])

    def on(ops: dict[int, np.ndarray]) -> np.ndarray:
        full = np.eye(1)
        for wire in range(4):
            full = np.kron(full, ops.get(wire, np.eye(2)))
        return full

    state = np.array([1.0])
    for _ in range(4):
        state = np.kron(state, [np.cos(np.pi / 8), np.sin(np.pi / 8)])
    for k, (a, b) in enumerate(((0, 1), (2, 3), (1, 2))):
        angles = weights[3 * k : 3 * k + 3]
        state = expm(1j * sum(t * on({a: p, b: p}) for t, p in zip(angles, (x, y, z), strict=True))) @ state
    for wire in range(4):
        state = on({wire: (x + z) / np.sqrt(2)}) @ state
    for wire in range(3):
        state = state * np.where(np.diag(on({wire: z})) + np.diag(on({wire + 1: z})) == -2, -1, 1)
    for wire in range(4):
        state = expm(-0.5j * weights[9 + wire] * on({wire: x})) @ state
    return state


def test_the_published_circuit_gate_by_gate() -> None:
    weights = np.random.default_rng(3).uniform(0, 2 * np.pi, (2, 13))
    wanted = np.stack([exactly(w) for w in weights])
    with Session(None, seed=1) as session:
        got = np.concatenate(list(states_of(notebook_circuit(1), weights, State(), session=session, label="t")))
    overlaps = np.abs(np.einsum("ni,ni->n", wanted.conj(), got.reshape(2, 16)))
    assert np.allclose(overlaps, 1.0, atol=1e-10)
    assert np.allclose(meyer_wallach_of(wanted), meyer_wallach_of(got.reshape(2, 16)), atol=1e-10)


def test_the_published_entanglement_is_reached() -> None:
    """The only published numbers of 2602.03405 that do not depend on anybody's feature network."""
    figures = [f for f in RECIPES["2602.03405"].figures if isinstance(f.measure, Entanglement)]
    assert [f.published for f in figures] == ["0.6486", "0.7736", "0.7962", "0.8123", "0.8234"]
    with Session(None, seed=1) as session:
        for f in figures:
            assert isinstance(f.measure, Entanglement)
            found = entanglement(session, f.measure.layers, samples=4000)
            assert f.bands[USUAL].holds(found.value, found.value), (f.name, found)


# -- states ------------------------------------------------------------------------------------------------------


def fake(values: dict[int, float]) -> Any:
    def reproduce(session: Session, tasks: Any, *, effort: float, **changes: Any) -> Any:
        (task,) = tasks
        figure = quddpm.Figure(task=task, name="fidelity", ours=values[session.seed], published=0.94, least=0.9)
        return quddpm.Reproduction(figures=(figure,), models={})

    return reproduce


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ({1: 0.95, 2: 0.97}, Verdict.PASS),
        ({1: 0.5, 2: 0.6}, Verdict.FAIL),
        ({1: 0.95, 2: 0.6}, Verdict.INCONCLUSIVE),
        ({1: 0.95}, Verdict.PASS),
        ({1: math.nan, 2: math.nan}, Verdict.FAIL),
    ],
)
def test_states_are_judged_run_by_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, values: dict[int, float], verdict: Verdict
) -> None:
    monkeypatch.setattr(quddpm, "reproduce", fake(values))
    given: Any = {"data": None, "seeds": len(values), "out": tmp_path, "ledger": str(tmp_path / "runs")}
    app, recipe = App(given=Registry()), RECIPES["quddpm"]
    if math.isnan(values[1]):  # a training that diverged is an error, never a figure
        with pytest.raises(Exception, match="finite"):
            reproduce_states(app, recipe, effort=USUAL, **given)
        return
    outcome = reproduce_states(app, recipe, effort=USUAL, **given)
    assert {r.verdict for r in outcome.rows} == {verdict} and len(outcome.rows) == 6
    assert outcome.rows[0].published == "0.94" and band_words(outcome.rows[0].band) == "at least 0.9"
    assert outcome.rows[0].ours is not None and outcome.rows[0].ours.value == pytest.approx(np.mean([*values.values()]))
    quick = reproduce_states(app, recipe, effort=Effort.QUICK, **given)
    assert overall(quick.rows) is Verdict.INCONCLUSIVE


# -- the command -------------------------------------------------------------------------------------------------


def test_without_a_name_the_recipes_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in RECIPES) and "arXiv:2310.05866" in shown
    assert main(["reproduce", "--json"]) == 0
    assert [r["recipe"] for r in json.loads(capsys.readouterr().out)["recipes"]] == list(RECIPES)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["implicid"], "did you mean 'implicit'"),
        (["steel"], "qimg reproduce steel --data FOLDER"),
        (["steel", "--data", "nowhere/at/all"], "no file or folder"),
        (["quddpm", "--data", "digits"], "takes no --data"),
        (["quddpm", "--jobs", "2"], "takes no --jobs"),
    ],
)
def test_what_cannot_run_is_refused_and_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    places = ["--out", str(tmp_path / "out"), "--ledger", str(tmp_path / "runs")]
    assert main(["reproduce", *words, *places]) in (1, 2)
    assert told in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_data_that_are_not_here_are_asked_for_by_the_command_that_brings_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("QIMG_MNIST", raising=False)
    monkeypatch.setenv("QIMG_CACHE", str(tmp_path / "empty"))
    assert main(["reproduce", "implicit", "--out", str(tmp_path / "out"), "--ledger", str(tmp_path / "runs")]) == 2
    assert "qimg data get mnist" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
