"""The pictures of the report: what is drawn is where it belongs, and no label lies on another."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qimg_compare import drawing, report
from qimg_compare.ablation import ablation, bars_of
from qimg_compare.analysis import Analysis, analyse
from qimg_compare.learning import Curve, curve_of, learning_curves, losses_of
from qimg_compare.plan import ComparePlan
from qimg_compare.plan_file import parse_plan
from qimg_compare.registration import Registration
from qimg_compare.result import Measured, RunResult, run_folder
from qimg_compare.tradeoff import Place, cost_quality, front, places_of

SVG = "{http://www.w3.org/2000/svg}"
AHEAD = Registration(entry=3, digest="sha256:r", origin="a.log")
FORMS = ("quantum", "separable", "frozen", "twin", "bypass")


def plan_of(**changes: Any) -> ComparePlan:
    document: dict[str, Any] = {
        "name": "pictures",
        "data": "digits",
        "n": 2000,
        "primary": "kid",
        "metrics": ["coverage", "nn_ratio"],
        "candidate": "quantum",
        "reference": "twin",
        "generator": "quantum-latent-flow",
        "steps": 60,
        "arms": {
            **{name: {"arm": name} for name in FORMS},
            "kde": {"generator": "kde", "arm": "bypass", "role": "best-classical", "steps": 30},
        },
    }
    return parse_plan({**document, **changes})


def results_of(plan: ComparePlan, **planted: dict[str, float]) -> list[RunResult]:
    """Runs whose ``metric={arm: mean}`` is planted, with noise of every arm and seed of its own."""
    out = []
    for arm in plan.names:
        for seed in plan.seeds:
            rng = np.random.default_rng([seed, len(arm), ord(arm[0])])
            values = {m: means.get(arm, 0.5) + 0.01 * rng.standard_normal() for m, means in planted.items()}
            money = planted.get("money", {}).get(arm, 0.0)
            out.append(
                RunResult(
                    plan=plan.digest,
                    registered=AHEAD.digest,
                    arm=arm,
                    seed=seed,
                    data="d",
                    network="n",
                    metrics={m: Measured(value=v, low=v - 0.004, high=v + 0.004, n=plan.n) for m, v in values.items()},
                    n=plan.n,
                    sample_seconds=plan.n * planted.get("seconds", {}).get(arm, 0.01),
                    cost=Decimal(repr(money)),
                    quantum=arm == "quantum",
                    simulated=arm == "quantum",
                )
            )
    return out


def analysed(plan: ComparePlan, **planted: dict[str, float]) -> Analysis:
    return analyse(plan, results_of(plan, **planted), AHEAD, seeds=plan.seeds)


def leave_losses(folder: Path, plan: ComparePlan, losses: dict[str, Any]) -> None:
    """The file that a training leaves, of each arm and seed."""
    for arm, of_seed in losses.items():
        for seed in plan.seeds:
            file = run_folder(folder, arm, seed) / "weights.loss.csv"
            file.parent.mkdir(parents=True)
            rows = (f"{i + 1},{float(x)!r}\n" for i, x in enumerate(of_seed(seed)))
            file.write_text("step,loss\n" + "".join(rows))


def labels_of(svg: str) -> list[tuple[str, drawing.Box]]:
    """Every text with the box that it takes at most."""
    out = []
    for t in ET.fromstring(svg).iter(f"{SVG}text"):
        words, size = t.text or "", float(t.get("font-size", drawing.SIZE))
        x, y, wide = float(t.attrib["x"]), float(t.attrib["y"]), 0.62 * size * len(words)
        left = x - {"start": 0, "middle": wide / 2, "end": wide}[t.get("text-anchor", "start")]
        out.append((words, (left, y - 0.75 * size, left + wide, y + 0.2 * size)))
    return out


def assert_readable(svg: str) -> None:
    """No text on another, none outside."""
    root, labels = ET.fromstring(svg), labels_of(svg)
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    for i, (words, box) in enumerate(labels):
        assert box[0] >= 0 and box[1] >= 0 and box[2] <= width and box[3] <= height, f"{words} leaves the picture"
        for other, beside in labels[:i]:
            assert not drawing.overlap(box, beside), f"{words} lies on {other}"


# -- parts ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-3.2, 7.9), (1e-6, 9e-6), (-4e5, -1e5), (0.469, 0.4712)])
def test_ticks_are_round_and_within(low: float, high: float) -> None:
    found = drawing.ticks(low, high)
    assert 3 <= len(found) <= 8 and all(low - 1e-9 <= t <= high + 1e-9 * abs(high) for t in found)
    steps = np.diff(found)
    lead = steps[0] / 10 ** np.floor(np.log10(steps[0]) + 1e-9)
    assert np.allclose(steps, steps[0]) and min(abs(lead - d) for d in (1, 2, 5)) < 1e-6
    assert len({drawing.shown(t) for t in found}) == len(found)


@pytest.mark.parametrize(("low", "high"), [(1e-5, 1.0), (0.02, 0.3), (1, 4000), (0.8, 1.3)])
def test_logarithmic_ticks_are_within(low: float, high: float) -> None:
    found = drawing.log_ticks(low, high)
    assert 2 <= len(found) <= 10 and all(low <= t <= high for t in found) and found == sorted(found)


def test_an_axis_takes_values_to_pixels() -> None:
    up = drawing.Axis(low=-1, high=3, start=200, end=100)
    assert [up.at(v) for v in (-1, 0, 3)] == [200, 175, 100]
    decades = drawing.Axis(low=0.1, high=1000, start=0, end=400, log=True)
    assert [decades.at(v) for v in (0.1, 1, 100)] == pytest.approx([0, 100, 300])
    same = drawing.axis_over([0.0, 0.0], 0, 100)
    assert same.at(0.0) == 50


def test_labels_are_kept_apart_in_their_order() -> None:
    found = drawing.kept_apart([50, 51, 10, 50], 12, 0, 100)
    assert found == [50, 74, 10, 62]
    crowded = drawing.kept_apart([99, 98, 97], 10, 0, 100)
    assert crowded == [100, 90, 80]


# -- ablation ---------------------------------------------------------------------------------------


def test_bars_are_the_paired_differences_to_the_reference() -> None:
    plan = plan_of()
    found = analysed(plan, kid={"quantum": 0.4, "kde": 0.3, "bypass": 0.6})
    bars = bars_of(plan, found)
    assert [b.arm for b in bars] == ["quantum", "separable", "frozen", "bypass", "kde"]
    results = {(r.arm, r.seed): r.metrics["kid"].value for r in results_of(plan, kid={"kde": 0.3, "bypass": 0.6})}
    for b in bars:
        if b.arm != "quantum":
            d = [results[b.arm, s] - results["twin", s] for s in plan.seeds]
            assert b.difference == pytest.approx(np.mean(d)) and b.low < b.difference < b.high and b.pairs == 10
            assert b.high - b.low < 8 * np.std(d, ddof=1)
    assert found.primary is not None and bars[0].difference == found.primary.difference
    svg = ablation(plan, bars)
    assert_readable(svg)
    rects = [r for r in ET.fromstring(svg).iter(f"{SVG}rect") if "opacity" in r.attrib]
    widths = [float(r.attrib["width"]) for r in rects]
    assert np.allclose(np.array(widths) / widths[0], [abs(b.difference / bars[0].difference) for b in bars], atol=0.02)
    tints = dict(zip([b.arm for b in bars], [r.attrib["fill"] for r in rects], strict=True))
    assert tints["kde"] == "#1b7f4d" and tints["bypass"] == "#b3372f" and tints["separable"] == "#9ca3af"


@pytest.mark.parametrize(("metric", "better"), [("coverage", "#1b7f4d"), ("kid", "#b3372f"), ("nn_ratio", "#1b7f4d")])
def test_the_colour_of_a_bar_knows_which_way_is_better(metric: str, better: str) -> None:
    """A higher value than the reference's: of coverage good, of KID bad; of a ratio nearer to 1 good."""
    plan = plan_of(primary=metric, metrics=["frechet"])
    found = analysed(plan, **{metric: {"quantum": 0.7}})
    assert found.comparison(metric, "twin") is not None
    svg = ablation(plan, bars_of(plan, found))
    first = next(r for r in ET.fromstring(svg).iter(f"{SVG}rect") if "opacity" in r.attrib)
    assert first.attrib["fill"] == better
    assert_readable(svg)


def test_an_arm_without_common_seeds_has_no_bar() -> None:
    plan = plan_of()
    results = [r for r in results_of(plan, kid={}) if r.arm != "frozen" or r.seed == 1]
    bars = bars_of(plan, analyse(plan, results, AHEAD, seeds=plan.seeds))
    assert [b.arm for b in bars] == ["quantum", "separable", "bypass", "kde"]
    none = analyse(plan, [r for r in results if r.arm != "twin"], AHEAD, seeds=plan.seeds)
    assert bars_of(plan, none) == () and "no two arms" in ablation(plan, ())


# -- cost and quality -------------------------------------------------------------------------------


def place(arm: str, cost: float, quality: float) -> Place:
    return Place(arm=arm, index=0, cost=cost, quality=quality, low=None, high=None)


def test_the_front_is_what_brute_force_finds() -> None:
    rng = np.random.default_rng(3)
    for larger in (False, True):
        for _ in range(30):
            cost, quality = rng.integers(0, 6, 9) / 2, rng.integers(0, 6, 9) / 2  # with ties
            places = [place(f"a{i}", c, q) for i, (c, q) in enumerate(zip(cost, quality, strict=True))]
            loss = -quality if larger else quality
            wanted = {
                f"a{i}"
                for i in range(9)
                if not np.any((cost <= cost[i]) & (loss <= loss[i]) & ((cost < cost[i]) | (loss < loss[i])))
            }
            found = front(places, larger=larger)
            assert {p.arm for p in found} == wanted and [p.cost for p in found] == sorted(p.cost for p in found)


def test_cost_and_quality_are_drawn_where_they_are() -> None:
    plan = plan_of()
    seconds = {"quantum": 1.0, "separable": 0.9, "frozen": 1.1, "twin": 0.01, "bypass": 0.001, "kde": 0.0001}
    found = analysed(plan, kid={"quantum": 0.2, "twin": 0.3, "bypass": 0.6, "kde": 0.4}, seconds=seconds)
    places, cost = places_of(plan, found)
    assert {p.arm: p.cost for p in places} == pytest.approx(seconds) and cost == "seconds for an image"
    svg = cost_quality(plan, places, cost)
    assert_readable(svg)
    circles = list(ET.fromstring(svg).iter(f"{SVG}circle"))
    points = [(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in circles if c.attrib["r"] == "5"]
    assert np.argsort([x for x, _ in points]).tolist() == np.argsort([p.cost for p in places]).tolist()
    assert np.argsort([-y for _, y in points]).tolist() == np.argsort([p.quality for p in places]).tolist()
    x = {p.arm: at for p, (at, _) in zip(places, points, strict=True)}
    assert x["bypass"] - x["kde"] == pytest.approx(x["twin"] - x["bypass"], abs=0.2)  # decades of one length
    ringed = {(float(c.attrib["cx"]), float(c.attrib["cy"])) for c in circles if c.attrib["r"] == "9"}
    assert ringed == {points[i] for i, p in enumerate(places) if p.arm in ("kde", "twin", "quantum")}
    bold = [t.text for t in ET.fromstring(svg).iter(f"{SVG}text") if t.get("font-weight") == "bold"]
    assert set(bold[1:]) == {"kde", "twin", "quantum"}


def test_money_where_it_was_paid_and_time_where_not() -> None:
    plan = plan_of(kpi="money")
    assert places_of(plan, analysed(plan, kid={}))[1] == "seconds for an image"
    paid = analysed(plan, kid={}, money={"quantum": 4.0, "frozen": 8.0})
    places, cost = places_of(plan, paid)
    assert cost.startswith("cost of a run") and places[0].cost == pytest.approx(4.0 / 2000) and places[3].cost == 0
    assert_readable(cost_quality(plan, places, cost))


def test_arms_that_lie_together_keep_readable_names() -> None:
    arms = {f"{name}-with-a-rather-long-name": {"arm": name} for name in FORMS}
    names = list(arms)
    plan = plan_of(arms=arms, candidate=names[0], reference=names[3])
    found = analysed(plan, kid={}, seconds={})
    assert_readable(cost_quality(plan, *places_of(plan, found)))
    assert_readable(ablation(plan, bars_of(plan, found)))


# -- learning ---------------------------------------------------------------------------------------


def test_a_curve_is_median_and_range_over_seeds() -> None:
    seeds = [[float(k + shift) for k in range(40)] for shift in (0, 10, 3)]
    c = curve_of("a", [*seeds[:2], seeds[2][:30]])
    assert c.seeds == 3 and c.steps == tuple(range(1, 31))  # as far as the shortest goes
    assert c.low[29] == 29 and c.middle[29] == 32 and c.high[29] == 39
    long = curve_of("b", [[1.0, 3.0] * 500])
    assert len(long.steps) <= 160 and long.steps[-1] == 1000
    assert long.middle[-1] == pytest.approx(2.0)  # a running mean over 20 steps


def test_curves_are_read_where_trainings_left_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan = plan_of()
    fall = {arm: lambda s, a=arm: 3 * np.exp(-np.arange(60) / 9) + 0.1 * s + len(a) for arm in ("quantum", "twin")}
    leave_losses(tmp_path, plan, {**fall, "kde": lambda s: 30 - np.arange(30) / (s + 5)})
    losses = losses_of(tmp_path, plan, plan.seeds)
    assert sorted(losses) == ["kde", "quantum", "twin"] and len(losses["kde"]) == 10
    assert losses["quantum"][0][0] == pytest.approx(3 + 0.1 + 7)
    svg = learning_curves(plan, losses)
    assert svg is not None
    assert_readable(svg)
    words = [w for w, _ in labels_of(svg)]
    assert {"quantum-latent-flow", "kde", "quantum (10)", "twin (10)", "kde (10)"} <= set(words)
    lines = list(ET.fromstring(svg).iter(f"{SVG}polyline"))
    assert len(lines) == 3
    ys = [[float(p.split(",")[1]) for p in e.attrib["points"].split()] for e in lines]
    assert all(np.all(np.diff(y) >= -0.11) for y in ys)  # losses that fall go down the page, that is up in y
    assert ys[1][-1] - ys[0][-1] > 20  # the twin's is the lower loss

    (run_folder(tmp_path, "kde", 1) / "weights.loss.csv").write_text("step,loss\n1,not a number\n")
    assert len(losses_of(tmp_path, plan, plan.seeds)["kde"]) == 9
    assert len(caplog.messages) == 1 and "not whole" in caplog.messages[0]
    assert learning_curves(plan, {}) is None


def test_many_arms_that_end_alike_have_names_that_do_not_overlap() -> None:
    plan = plan_of(arms={**{n: {"arm": n} for n in FORMS}, **{f"more-{i}": {"arm": "twin"} for i in range(6)}})
    svg = learning_curves(plan, {a.name: [[2.0, 1.0, 1.0] * 20] for a in plan.arms})
    assert svg is not None
    assert_readable(svg)
    dashed = [e for e in ET.fromstring(svg).iter(f"{SVG}polyline") if "stroke-dasharray" in e.attrib]
    assert len(dashed) == 3  # the colours of the last three came before


def test_the_first_losses_do_not_flatten_the_rest() -> None:
    steep = [1e6, 1e5, *np.linspace(2, 1, 198)]
    svg = learning_curves(plan_of(), {"quantum": [steep], "twin": [[float(x) for x in steep]]})
    assert svg is not None
    first = next(iter(ET.fromstring(svg).iter(f"{SVG}polyline")))
    ys = [float(p.split(",")[1]) for p in first.attrib["points"].split()]
    assert ys[-1] - ys[len(ys) // 2] > 20  # of some 200 pixels
    assert isinstance(curve_of("x", [steep]), Curve)


# -- the report -------------------------------------------------------------------------------------


def test_the_report_shows_them_and_keeps_what_they_are_made_of(tmp_path: Path) -> None:
    plan = plan_of()
    found = analysed(plan, kid={"quantum": 0.4}, coverage={}, nn_ratio={})
    assert list(report.pictures(plan, found, tmp_path)) == ["ablation.svg", "cost-quality.svg"]
    leave_losses(tmp_path, plan, {"twin": lambda s: np.linspace(1, 0, 60)})
    tables = report.tables_of(plan, found, _registry())
    document = report.document(plan, found, data="d", network="n")
    files = report.write(tmp_path, plan, found, tables, found=document, record={})
    assert [f.name for f in files][3:] == ["forest.svg", "ablation.svg", "cost-quality.svg", "learning.svg"]
    page = files[0].read_text()
    for heading in ("Ablation", "Cost and quality", "Learning curves"):
        assert f"<h2>{heading}</h2><svg" in page
    own = next(a for a in document["arms"] if a["name"] == "kde")["runs"]["kid"]
    assert [r["seed"] for r in own] == list(range(1, 11))
    results = {
        r.seed: r.metrics["kid"].value for r in results_of(plan, kid={}, coverage={}, nn_ratio={}) if r.arm == "kde"
    }
    assert {r["seed"]: float(r["value"]) for r in own} == results


def _registry() -> Any:
    from qimg_core.plugins import Registry

    return Registry()
