"""``qimg audit sample`` from plan to report, on good records and on broken ones."""

import json
from pathlib import Path

import pytest

from qimg_audit.risk import digest, parse_risk, population
from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import reference


def entries(kind):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        return list(ledger.entries(kind=kind))


def test_the_population_is_what_was_made_without_replays(record):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        items = population(ledger, parse_risk(()), kinds=("images", "weights"))
        images = population(ledger, parse_risk(["never-replayed=5"]), kinds=("images",))
    assert [i.kind for i in items] == ["weights", "images", "images"]
    by = {i.run: i for i in images}
    assert "never-replayed" not in by[record["one"]].factors
    assert "never-replayed" in by[record["two"]].factors
    assert by[record["two"]].size - by[record["one"]].size == 5
    assert digest(images) != digest(items)


def test_risk_factors_are_checked():
    assert parse_risk(["hardware=0.5"])["hardware"] == parse_risk(["hardware=0.50"])["hardware"]
    for wrong, error in (
        ("hardware", ConfigurationError),
        ("moon=1", UnknownName),
        ("hardware=-1", ConfigurationError),
    ):
        with pytest.raises(error):
            parse_risk([wrong])


def test_a_good_record_passes_and_the_plan_stands_before_the_report(record, qimg):
    code, out, err = qimg("audit", "sample", "--n", 2, "--seed", 4, "--of", "images", "--out", "a.md", "--json")
    assert code == 0, err
    report = json.loads(out)
    assert report["counts"] == {"pass": 2, "fail": 0, "inconclusive": 0}
    (plan,), (done,) = entries("audit.planned"), entries("audit.sampled")
    assert plan.index < min(e.index for e in entries("replay.compared") if e.index > plan.index) < done.index
    assert plan.facts["seed"] == "4"
    assert done.facts["plan"] == plan.index
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        assert json.loads(ledger.get(done.artefacts["report"])) == {
            k: v for k, v in report.items() if k not in ("entry", "files")
        }
        listed = json.loads(ledger.get(plan.artefacts["population"]))
        assert sum(float(i["chance"]) for i in listed) == pytest.approx(2)
        assert ledger.verify().ok
    page = Path("a.html").read_text()
    assert record["one"] in page
    assert "<script" not in page
    assert record["two"] in Path("a.md").read_text()
    assert json.loads(Path("a.json").read_text())["counts"]["pass"] == 2


def test_a_missing_artefact_fails_and_is_named(record, qimg, tmp_path):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        digest_ = ledger.entry(record["entry two"]).artefacts["pixels"].removeprefix("sha256:")
    next(p for p in tmp_path.rglob(digest_) if p.is_file()).unlink()
    code, out, _ = qimg("audit", "sample", "--n", 2, "--of", "images", "--no-replay", "--json")
    assert code == 1
    bad = next(i for i in json.loads(out)["items"] if i["entry"] == record["entry two"])
    assert {s["name"] for s in bad["steps"] if s["verdict"] == "fail"} == {"artefacts", "pixels"}


def test_an_engine_that_changed_fails_the_replays(record, qimg, monkeypatch):
    real = reference.expectation
    monkeypatch.setattr(reference, "expectation", lambda state, factors: 0.9 * real(state, factors))
    code, out, _ = qimg("audit", "sample", "--n", 2, "--of", "images", "--json")
    assert code == 1
    report = json.loads(out)
    assert report["failures"]["share"] == "1.0"
    assert {s["name"] for i in report["items"] for s in i["steps"] if s["verdict"] == "fail"} == {"replay"}


def test_what_cannot_be_replayed_is_undecided_and_bounds_the_share(record, qimg, registry):
    from qimg_core import Session

    with SQLiteLedger.open("runs") as ledger, Session(ledger, seed=1, backend="reference", registry=registry) as s:
        s.generator("toy").sample(2)
    code, out, _ = qimg("audit", "sample", "--n", 3, "--of", "images", "--json")
    assert code == 3
    report = json.loads(out)
    assert report["counts"]["inconclusive"] == 1
    assert float(report["failures"]["share"]) == 0
    assert float(report["failures_at_most"]["share"]) == pytest.approx(1 / 3)


def test_wrong_orders_write_nothing(record, qimg):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        size = len(ledger)
    for wrong in (("--n", 9), ("--n", 1, "--risk", "moon=1"), ("--n", 1, "--out", "x.txt"), ("--n", 0)):
        assert qimg("audit", "sample", *wrong)[0] == 2
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        assert len(ledger) == size
