"""The gate: what each check finds, exit codes, and its three formats against their specifications."""

import json
import os
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from qimg_core.ledger import SQLiteLedger
from qimg_core.verdict import Verdict
from qimg_ops import incidents as store
from qimg_ops.checks import RULES, Finding, Outcome
from qimg_ops.formats import junit, markdown, sarif
from qimg_policy.bundle import shipped_bundle, write_bundle

# From the published schema (OASIS sarif-schema-2.1.0.json): required fields of the objects that the gate writes;
# every object but property bags is closed.
REQUIRED = {
    "log": {"version", "runs"},
    "run": {"tool"},
    "tool": {"driver"},
    "driver": {"name"},
    "rule": {"id"},
    "result": {"message"},
}
ALLOWED = {
    "log": {"$schema", "version", "runs"},
    "run": {"tool", "results", "columnKind"},
    "tool": {"driver"},
    "driver": {"name", "version", "rules"},
    "rule": {"id", "shortDescription"},
    "result": {"ruleId", "ruleIndex", "level", "message", "locations"},
}
LEVELS = {"none", "note", "warning", "error"}

OUTCOMES = [
    Outcome(check="a", verdict=Verdict.PASS, what="fine"),
    Outcome(
        check="b",
        verdict=Verdict.FAIL,
        what="2 findings",
        findings=[
            Finding(rule="QG005", message="bad \x00 | <tag> & more", file="cards/a.md", line=3),
            Finding(rule="QG001", message="entry 7"),
        ],
    ),
    Outcome(check="c", verdict=Verdict.INCONCLUSIVE, what="?", findings=[Finding(rule="QG009", message="not yet")]),
    Outcome(check="d", verdict=Verdict.NOT_APPLICABLE, what="none"),
]


def closed(kind, document):
    assert REQUIRED[kind] <= set(document) <= ALLOWED[kind], (kind, set(document))
    return document


def check_sarif(document):
    closed("log", document)
    assert document["version"] == "2.1.0"
    for run in document["runs"]:
        closed("run", run)
        assert run["columnKind"] in ("utf16CodeUnits", "unicodeCodePoints")
        driver = closed("driver", closed("tool", run["tool"])["driver"])
        ids = [closed("rule", rule)["id"] for rule in driver["rules"]]
        assert len(ids) == len(set(ids))
        for result in run["results"]:
            closed("result", result)
            assert set(result["message"]) == {"text"}
            assert result["level"] in LEVELS
            assert ids[result["ruleIndex"]] == result["ruleId"]
            for place in result.get("locations", []):
                assert set(place) == {"physicalLocation"}
                inner = place["physicalLocation"]
                assert set(inner) <= {"artifactLocation", "region"}
                assert not inner["artifactLocation"]["uri"].startswith("/")
                assert inner.get("region", {"startLine": 1})["startLine"] >= 1


def test_sarif_has_what_the_schema_requires_and_nothing_else():
    document = sarif(OUTCOMES, "1")
    check_sarif(document)
    levels = [r["level"] for r in document["runs"][0]["results"]]
    assert levels == ["error", "error", "warning"]


@pytest.mark.skipif("QIMG_SARIF_SCHEMA" not in os.environ, reason="QIMG_SARIF_SCHEMA names no schema")
def test_sarif_against_the_whole_schema():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(Path(os.environ["QIMG_SARIF_SCHEMA"]).read_text())
    jsonschema.validate(sarif(OUTCOMES, "1"), schema)


def test_junit_counts_and_is_xml():
    root = ET.fromstring(junit(OUTCOMES))
    assert root.tag == "testsuites"
    assert {k: root.get(k) for k in ("tests", "failures", "errors", "skipped")} == {
        "tests": "4", "failures": "1", "errors": "1", "skipped": "1",
    }  # fmt: skip
    (suite,) = root
    assert len(suite.findall("testcase")) == 4
    assert len(suite.findall("testcase/failure")) == 1
    assert "QG005: cards/a.md:3: bad ? | <tag> & more" in suite.find("testcase/failure").text


def test_markdown_is_not_broken_by_what_it_says():
    text = markdown(OUTCOMES, Verdict.FAIL)
    assert "<tag>" not in text
    assert all(line.count("|") - line.count("\\|") == 4 for line in text.splitlines() if line.startswith("|"))


# -- over a project ----------------------------------------------------------------------------


@pytest.fixture
def gate(qimg, record):
    def call(text="", code=0):
        Path("gate.toml").write_text(text)
        found, out, err = qimg("gate", "--junit", "g.xml", "--sarif", "g.sarif", "--markdown", "g.md", "--json")
        assert found == code, (out, err)
        document = json.loads(out)
        if "checks" in document:
            check_sarif(json.loads(Path("g.sarif").read_text()))
            ET.parse("g.xml")
        return document

    return call


def rules(document):
    return [f["rule"] for c in document["checks"] for f in c["findings"]]


def verdict(document, check):
    return next(c["verdict"] for c in document["checks"] if c["check"] == check)


def test_a_sound_record_passes_and_the_rest_does_not_apply(gate):
    document = gate()
    assert document["verdict"] == "pass"
    assert verdict(document, "model cards") == "not_applicable"


def test_a_damaged_artefact_fails(gate, record):
    with SQLiteLedger.open("runs", read_only=True) as log:
        digest = next(log.entries(kind="images.made")).artefacts["pixels"].removeprefix("sha256:")
    target = next(p for p in Path("runs").rglob("*") if p.is_file() and digest.endswith(p.name))
    target.chmod(0o600)
    target.write_bytes(b"else")
    assert "QG001" in rules(gate(code=1))


def test_policies(gate):
    bundle = shipped_bundle("solo")
    write_bundle(bundle, Path("policy"))
    assert verdict(gate('policies = ["policy"]'), "policies") == "pass"
    tests = next(Path("policy/tests").glob("*.json"))
    cases = json.loads(tests.read_text())
    cases["cases"][0]["expect"] = "deny" if cases["cases"][0]["expect"] == "allow" else "allow"
    cases["cases"][0].pop("rules", None)
    tests.write_text(json.dumps(cases))
    assert "QG004" in rules(gate('policies = ["policy"]', code=1))
    assert rules(gate('policies = ["nowhere"]', code=1)) == ["QG003"]


def test_cards_and_their_claims(gate):
    Path("card.md").write_text("# Model\n\n## Measured\n\nTies.\n")
    config = 'cards = ["card.md"]\nsections = ["Measured", "Limits"]'
    assert rules(gate(config, code=1)) == ["QG005"]
    Path("card.md").write_text("# Model\n## Measured\n## Limits\nThe circuit is better than its twin.\n")
    document = gate(config, code=1)
    assert rules(document) == ["QG006"]
    assert next(f["line"] for c in document["checks"] for f in c["findings"]) == 4
    with SQLiteLedger.open("runs") as log:
        facts = {"name": "digits", "pre_registered": True, "verdict": "equivalent within margin"}
        entry = log.append("compare.finished", facts=facts).index
        log.checkpoint()
    with Path("card.md").open("a") as card:
        card.write(f"See comparison digits, entry {entry}.\n")
    assert rules(gate(config, code=1)) == ["QG006"]  # cited, but the verdict says something else
    with Path("card.md").open("a") as card:
        card.write("Verdict: equivalent within margin.\n")
    gate(config)
    with Path("card.md").open("a") as card:
        card.write("See comparison old, entry 0.\n")
    assert rules(gate(config, code=1)) == ["QG006"]
    assert rules(gate('cards = ["none.md"]', code=1)) == ["QG005"]


def test_comparisons(gate):
    assert rules(gate('comparisons = ["digits"]', code=1)) == ["QG008"]
    with SQLiteLedger.open("runs") as log:
        log.append("compare.finished", facts={"name": "digits", "pre_registered": True, "verdict": "inconclusive"})
        log.checkpoint()
    assert gate('comparisons = ["digits"]', code=3)["verdict"] == "inconclusive"
    with SQLiteLedger.open("runs") as log:
        facts = {"name": "digits", "pre_registered": False, "verdict": "quantum arm better"}
        log.append("compare.finished", facts=facts)
        log.checkpoint()
    assert rules(gate('comparisons = ["digits"]', code=1)) == ["QG008"]
    with SQLiteLedger.open("runs") as log:
        log.append("compare.finished", facts={**facts, "pre_registered": True})
        log.checkpoint()
    gate('comparisons = ["digits"]')


def test_canaries_and_incidents(gate):
    assert rules(gate('canaries = ["path"]', code=1)) == ["QG009"]
    with SQLiteLedger.open("runs") as log:
        store.open_incident(log, title="t", severity=store.Severity.LOW)
        log.checkpoint()
    assert rules(gate(code=1)) == ["QG010"]


def test_manifests_are_asked_for(gate):
    pytest.importorskip("qimg_data")
    Path("digits").mkdir()
    assert rules(gate('data = ["digits"]', code=1)) == ["QG007"]


@pytest.mark.parametrize("text", ["polices = []", 'policies = "solo"', "late = true", "= 1", 'ledger = "nowhere"'])
def test_bad_settings_are_refused(gate, text):
    assert "error" in gate(text, code=2)


def test_every_rule_has_its_words():
    assert sorted(RULES) == [f"QG{n:03}" for n in range(1, len(RULES) + 1)]


# -- assess ------------------------------------------------------------------------------------


@pytest.fixture
def assess(qimg, record):
    def call(*argv, code=0):
        found, out, err = qimg("assess", *argv, "--json")
        assert found == code, (out, err)
        return json.loads(out)

    return call


def test_profiles_are_listed_and_written_as_forms(assess):
    assert sorted(assess()["profiles"]) == [
        "incident", "legal", "post-launch", "pre-deployment", "pre-launch", "pre-production", "production-readiness",
        "requirements", "research-to-prototype",
    ]  # fmt: skip
    assess("--profile", "legal", "--template", "legal.md")
    assert Path("legal.md").read_text().count("- [ ] ") == 4
    assert "error" in assess("--profile", "nothing", code=2)


def test_rows_are_met_by_entries_and_by_people(assess):
    found = {i["id"]: i for i in assess("--profile", "incident", code=1)["items"]}
    assert {k: v["verdict"] for k, v in found.items()} == {
        "snapshot": "fail", "isolate": "fail", "affected": "fail", "preserve": "pass", "notify": "inconclusive",
    }  # fmt: skip
    with SQLiteLedger.open("runs") as log:
        from qimg_ops.containing import contain

        name = store.open_incident(log, title="drill", severity=store.Severity.LOW).id
        snap = store.snapshot(log, name, Path("e.zip"))
        contain(log, name, backends=["reference"])
        log.checkpoint()
    found = {i["id"]: i for i in assess("--profile", "incident", code=3)["items"]}
    assert found["snapshot"]["entries"] == [snap.index]
    Path("message.txt").write_text("we told them")
    off = ("--profile", "incident", "--by", "incident-lead", "--document", "message.txt")
    assess(*off, "--sign-off", "notify")
    assess("--profile", "incident")
    assert "error" in assess(*off, "--sign-off", "snapshot", code=2)
    assert "error" in assess(*off, "--sign-off", "nothing", code=2)
    assert "error" in assess("--profile", "incident", "--sign-off", "notify", code=2)


def test_evidence_that_says_fail_is_none(assess):
    def drift():
        return next(i for i in assess("--profile", "post-launch", code=1)["items"] if i["id"] == "drift")

    assert drift()["verdict"] == "fail"
    for verdict, met in (("pass", "pass"), ("fail", "fail"), ("inconclusive", "fail")):
        with SQLiteLedger.open("runs") as log:
            log.append("drift.checked", facts={"verdict": verdict})
            log.checkpoint()
        assert drift()["verdict"] == met


def test_kinds_that_checklists_name_are_written_somewhere():
    """A kind that nobody writes is a row that nobody can meet."""
    from qimg_ops.assessing import checklists
    from qimg_ops.shown import CHECKS

    root = Path(__file__).parents[3]
    sources = "\n".join(p.read_text() for base in ("qimg_core", "plugins") for p in (root / base).rglob("src/**/*.py"))
    sources += "\n".join(p.read_text() for p in (root / "qimg_core").rglob("*.py"))
    for _, items in checklists().values():
        for item in items:
            assert item.check in {"", *CHECKS}
            for kind in (k for kinds in item.kinds for k in kinds.split("|")):
                assert f'"{kind}"' in sources, kind
