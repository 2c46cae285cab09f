"""From synthetic results to verdict, attributes and report; the registration; files that are whole or not there."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attrs import evolve

from qimg_compare import kept, report
from qimg_compare.analysis import Analysis, analyse
from qimg_compare.pictures import forest
from qimg_compare.plan import ComparePlan
from qimg_compare.plan_file import parse_plan
from qimg_compare.registration import FINISHED, Registration, checked, finish, register
from qimg_compare.result import Head, Measured, RunResult, read_result, write_result
from qimg_compare.runner import Failure
from qimg_compare.tables import verdict_words
from qimg_compare.verdict import Attribute, Outcome, Verdict
from qimg_core.errors import DataError
from qimg_core.ledger import canonical
from qimg_core.plugins import Registry
from qimg_core.session import Session
from qimg_metrics.image.ndb import Bins

REGISTERED = "sha256:" + "1" * 64
AHEAD = Registration(entry=3, digest=REGISTERED, origin="a.log")


def plan_of(**changes: Any) -> ComparePlan:
    document: dict[str, Any] = {
        "name": "synthetic",
        "data": "digits",
        "n": 2000,
        "primary": "kid",
        "metrics": ["coverage"],
        "candidate": "quantum",
        "reference": "twin",
        "matched": ["parameters", "steps"],
        "generator": "quantum-latent-flow",
        "steps": 100,
        "target": 0.01,
        "arms": {name: {"arm": name} for name in ("quantum", "separable", "twin", "bypass")},
    }
    return parse_plan({**document, **changes})


def results_of(plan: ComparePlan, means: dict[str, float], *, seeds: int = 10, sd: float = 0.01) -> list[RunResult]:
    """KID of the given means, noise of every arm of its own; coverage alike everywhere."""
    rng, out = np.random.default_rng(5), []
    for arm in plan.names:
        for seed in plan.seeds[:seeds]:
            kid, coverage = means.get(arm, 0.5) + sd * rng.standard_normal(), 0.8 + 0.02 * rng.standard_normal()
            quantum = arm in ("quantum", "separable")
            out.append(
                RunResult(
                    plan=plan.digest,
                    registered=REGISTERED,
                    arm=arm,
                    seed=seed,
                    data="sha256:data",
                    network="sha256:network",
                    metrics={
                        "kid": Measured(value=kid, low=kid - 0.003, high=kid + 0.005, n=plan.n),
                        "coverage": Measured(value=coverage, low=coverage - 0.01, high=coverage + 0.01, n=plan.n),
                        "seconds_per_accepted_image": Measured(value=0.003, low=0.003, high=0.003, n=plan.n),
                    },
                    parameters={"total": 634 if quantum else 636, "layer": 100, "circuit": 24, "observable": 0},
                    steps=100,
                    train_seconds=1.5,
                    sample_seconds=4.0,
                    n=plan.n,
                    train_executions=100 if quantum else 0,
                    cost=Decimal("0.5") if quantum else Decimal(0),
                    kinds=("simulator",) if quantum else (),
                    quantum=quantum,
                    simulated=quantum,
                    log=Head(origin="b.log", size=4, checkpoint="sha256:c"),
                )
            )
    return out


def analysed(plan: ComparePlan, results: list[RunResult], **more: Any) -> Analysis:
    return analyse(plan, results, more.pop("registration", AHEAD), seeds=plan.seeds, **more)


@pytest.mark.parametrize(
    ("means", "verdict", "attributes"),
    [
        ({"quantum": 0.4}, Verdict.QUANTUM, []),
        ({"quantum": 0.4, "separable": 0.4}, Verdict.QUANTUM, [Attribute.NO_ENTANGLEMENT_BENEFIT]),
        ({"twin": 0.4, "separable": 0.6}, Verdict.CLASSICAL, []),
        ({}, Verdict.INCONCLUSIVE, [Attribute.NO_ENTANGLEMENT_BENEFIT]),
    ],
)
def test_planted_means_give_their_verdict(
    means: dict[str, float], verdict: Verdict, attributes: list[Attribute]
) -> None:
    found = analysed(plan := plan_of(), results_of(plan, means))
    assert found.verdict is verdict
    assert list(found.attributes) == [Attribute.SINGLE_DATASET, Attribute.SIMULATED, *attributes]
    assert found.primary is not None and not found.primary.adjusted and all(c.adjusted for c in found.others)
    words = verdict_words(found)
    assert words.startswith(verdict.value) and ("minimum detectable effect" in words) == (verdict == "inconclusive")
    assert {(c.metric, c.second) for c in found.others} == {
        ("kid", "separable"),
        ("kid", "bypass"),
        *((m, a) for m in ("coverage", "seconds_per_accepted_image") for a in ("separable", "twin", "bypass")),
    }


def test_equal_arms_within_a_declared_margin_are_equivalent() -> None:
    plan = plan_of(margin=0.05)
    found = analysed(plan, results_of(plan, {}))
    assert found.verdict is Verdict.EQUIVALENT
    assert found.primary is not None and found.primary.margin == 0.05
    default = analysed(other := plan_of(), results := results_of(other, {}))
    twin = [r.metrics["kid"].value for r in results if r.arm == "twin"]
    assert default.primary is not None and default.primary.margin == pytest.approx(0.5 * np.std(twin, ddof=1))


def test_three_seeds_of_the_clearest_signal_are_inconclusive() -> None:
    plan = plan_of()
    results = results_of(plan, {"quantum": 0.1}, seeds=3)
    found = analyse(plan, results, AHEAD, seeds=plan.seeds[:3])
    assert found.verdict is Verdict.INCONCLUSIVE and "no effect could have been seen" in verdict_words(found)
    assert {c.outcome for c in found.others} == {Outcome.INCONCLUSIVE}
    assert any("an exact test needs 6" in r for r in found.remarks)


def test_intervals_stay_where_the_metric_can_be() -> None:
    plan = plan_of(controls=[])
    high = Measured(value=0.99, low=0.9, high=1.0, n=10)
    results = [evolve(r, metrics={**r.metrics, "coverage": high}) for r in results_of(plan, {})]
    mean = analysed(plan, results).arms[0].metrics["coverage"]
    assert mean.high == 1.0 and mean.low is not None and mean.low < 0.99


def test_the_order_of_results_does_not_matter_and_the_document_is_canonical() -> None:
    plan = plan_of()
    results = results_of(plan, {"quantum": 0.4})
    found = report.document(plan, analysed(plan, results), data="d", network="n")
    again = report.document(plan, analysed(plan, results[::-1]), data="d", network="n")
    assert canonical.dumps(found) == canonical.dumps(again)  # which refuses floats
    assert found["verdict"] == "quantum arm better" and found["arms"][0]["parameters"] == 634


def test_a_surrogate_that_does_as_well_is_said() -> None:
    arms = {"quantum": {}, "twin": {"arm": "twin"}, "standin": {"role": "surrogate", "backend": "classical"}}
    plan = plan_of(arms=arms)
    assert Attribute.SURROGATE_MATCHES in analysed(plan, results_of(plan, {"quantum": 0.4, "standin": 0.4})).attributes
    better = analysed(plan, results_of(plan, {"quantum": 0.4}))
    assert Attribute.SURROGATE_MATCHES not in better.attributes


def test_budgets_that_are_not_matched_are_named() -> None:
    plan = plan_of()
    results = [evolve(r, parameters={"total": 900}) if r.arm == "twin" else r for r in results_of(plan, {})]
    assert [r for r in analysed(plan, results).remarks if r.startswith("parameters")] == [
        "parameters are said to be matched, but quantum has 634 and twin 900"
    ]
    assert not analysed(plan, results_of(plan, {})).remarks


def test_runs_that_failed_leave_the_rest_and_are_named(tmp_path: Path) -> None:
    plan = plan_of()
    results = [r for r in results_of(plan, {"quantum": 0.4}) if (r.arm, r.seed) not in {("twin", 4), ("bypass", 1)}]
    results = [r for r in results if r.arm != "bypass"]
    failure = Failure(arm="bypass", seed=1, reason="DataError: <script>alert(1)</script> | pipe")
    found = analysed(plan, results, failures=[failure])
    assert found.primary is not None and found.primary.pairs == 9
    tables = report.tables_of(plan, found, Registry())
    page = report.page(plan, found, tables, {"entry": 7}, tmp_path)
    assert "<script>" not in page and "alert(1)" in page
    assert "bypass, seed 1" in report.markdown(plan, found, tables, {})
    none = analysed(plan, [r for r in results if r.arm != "quantum"])
    assert none.primary is None and none.verdict is Verdict.INCONCLUSIVE


class Outline(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        self.outside += [v for k in ("src", "href") if (v := found.get(k)) and not v.startswith("data:")]


def test_the_page_needs_no_other_file_and_holds_every_table(tmp_path: Path) -> None:
    from qimg_core import png

    plan = plan_of()
    found = analysed(plan, results_of(plan, {"quantum": 0.4}))
    picture = tmp_path / "runs" / "quantum" / "seed-1" / "images.png"
    picture.parent.mkdir(parents=True)
    png.write(picture, np.zeros((4, 4, 1), np.uint8))
    tables = report.tables_of(plan, found, Registry())
    document = report.document(plan, found, data="d", network="n")
    files = report.write(tmp_path, plan, found, tables, found=document, record={"entry": 12})
    names = ["report.html", "report.md", "report.json", "forest.svg", "ablation.svg", "cost-quality.svg"]
    assert [f.name for f in files] == names
    page = Outline()
    page.feed(files[0].read_text())
    assert page.outside == [] and page.tags.count("table") == 4 and page.tags.count("svg") == 5
    assert page.tags.count("img") == 1
    text = files[1].read_text()
    for word in ("quantum arm better", "separable", "reproducibility", "KPI, time", "target 0.0100", "copy"):
        assert word in text, word
    assert json.loads(files[2].read_text())["record"] == {"entry": 12}
    lines = report.terminal(plan, found, tables)
    assert lines[-1].startswith("synthetic: quantum arm better; single dataset; simulated")
    claim = "advan" + "tage"  # no report says it
    assert claim not in files[0].read_text().lower() and claim not in text.lower()


def test_the_forest_plot_puts_points_where_they_belong() -> None:
    plan = plan_of()
    found = analysed(plan, results_of(plan, {"quantum": 0.4, "bypass": 0.45}))
    comparisons = [c for c in (found.primary, *found.others) if c is not None and c.metric == "kid"]
    root = ET.fromstring(forest(comparisons))
    space = "{http://www.w3.org/2000/svg}"
    points = [float(c.attrib["cx"]) for c in root.iter(f"{space}circle")]
    lines = [(float(e.attrib["x1"]), float(e.attrib["x2"])) for e in root.iter(f"{space}line")]
    assert len(points) == 3 and len(lines) == 4
    zero = lines[-1][0]
    assert np.argsort(points).tolist() == np.argsort([c.difference for c in comparisons]).tolist()
    for x, (low, high), c in zip(points, lines, comparisons, strict=False):
        assert low <= x <= high and (x < zero) == (c.difference < 0)
        assert (zero - x) / (zero - points[0]) == pytest.approx(c.difference / comparisons[0].difference, abs=0.01)


# -- files ------------------------------------------------------------------------------------------


def test_a_result_is_read_back_whole_or_not_at_all(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    result = results_of(plan_of(), {})[0]
    digest = write_result(tmp_path, result)
    key: dict[str, Any] = {"plan": result.plan, "arm": result.arm, "seed": result.seed}
    assert read_result(tmp_path, **key) == (result, digest)
    for other in ({"plan": "sha256:x"}, {"arm": "twin"}, {"seed": 99}):
        assert read_result(tmp_path, **{**key, **other}) is None
    assert not caplog.messages
    whole = (tmp_path / "result.json").read_bytes()
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        (tmp_path / "result.json").write_bytes(whole[:cut])
        assert read_result(tmp_path, **key) is None
    assert sum("is damaged" in m for m in caplog.messages) == 4
    assert read_result(tmp_path / "none", **key) is None
    assert len(caplog.messages) == 4


def test_values_are_kept_without_pickle_and_foreign_classes_refused(tmp_path: Path) -> None:
    bins = Bins(centres=np.arange(6.0).reshape(3, 2), counts=np.array([1, 2, 3]))
    file = tmp_path / "kept.npz"
    kept.save(file, bins, digest="d", without={"counts": None})
    found = kept.load(file, digest="d", given={"counts": bins.counts})
    assert isinstance(found, Bins) and np.array_equal(found.centres, bins.centres) and found.counts is bins.counts
    assert kept.load(file, digest="other", given={}) is None
    bad = np.array(json.dumps({"class": "subprocess:Popen", "fields": {}}))
    np.savez(file, digest=np.array("d"), text=bad)
    with pytest.raises(DataError, match="another package"):
        kept.load(file, digest="d", given={})
    with pytest.raises(DataError, match="cannot keep"):
        kept.save(file, object(), digest="d", without={})


# -- the record -------------------------------------------------------------------------------------


def test_the_plan_is_in_the_ledger_once_and_a_change_is_seen() -> None:
    first, second = plan_of(), plan_of(margin=0.2)
    digests = {"data": "sha256:d", "network": "sha256:n", "bench": "sha256:b"}
    with Session(None, seed=1) as session:
        one = register(session, first, **digests)
        assert one.pre_registered and register(session, first, **digests) == one
        entry = session.ledger.entry(one.entry)
        assert entry.facts["plan"] == first.digest
        assert session.ledger.get(entry.artefacts["plan"]) == canonical.dumps(first.to_json())
        changed = register(session, second, **digests)
        assert not changed.pre_registered and re.search("changed after its entry", changed.reasons[0])
        assert register(session, first, **digests).pre_registered  # back to what was said first
        assert not register(session, first, **{**digests, "bench": "sha256:other data"}).pre_registered
        named = register(session, evolve(second, name="another"), **digests)
        assert named.pre_registered

        results = [evolve(r, registered=one.digest) for r in results_of(first, {"quantum": 0.4})]
        assert checked(one, results).pre_registered
        late = checked(one, [evolve(results[0], registered="sha256:else"), *results[1:]])
        assert late.reasons == ("1 results were there before the plan's entry, the first is quantum, seed 1",)
        found = analysed(first, results, registration=late)
        assert found.attributes[-1] is Attribute.NOT_PRE_REGISTERED
        document = report.document(first, found, data="d", network="n")
        there = {(r.arm, r.seed): (r, "sha256:" + "2" * 64) for r in results}
        last = finish(session, first, late, there, document)
        assert finish(session, first, late, there, document) == last  # the same answer is written down once
        assert last.kind == FINISHED and last.facts["verdict"] == "quantum arm better"
        assert last.facts["planned_entry"] == one.entry and not last.facts["pre_registered"]
        runs = json.loads(session.ledger.get(last.artefacts["runs"]))
        assert len(runs) == 60 and runs[0]["log"] == {"origin": "b.log", "size": 4, "checkpoint": "sha256:c"}
        assert session.ledger.get(last.artefacts["report"]) == canonical.dumps(document)
