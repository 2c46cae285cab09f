"""`qimg assess --profile requirements` and what it says of a wrong, a damaged and an empty project."""

import json
import re
import sqlite3
from pathlib import Path

import pytest


@pytest.fixture
def assess(qimg, record):
    def call(*argv, code):
        found, out, err = qimg("assess", "--profile", "requirements", *argv, "--json")
        assert found == code, (out, err)
        return json.loads(out)

    return call


def states(document):
    return {r["row"]: r["state"] for r in document["rows"]}


def test_a_project_is_assessed_by_its_own_entries(assess):
    document = assess(code=1)
    found = {r["row"]: r for r in document["rows"]}
    assert len(found) == 213
    assert sum(document["counts"].values()) == 213
    assert found[111]["state"] == "met"
    assert found[4]["entries"]
    assert found[5]["state"] == "not met"  # this registry has no such plugin
    only = assess("--only", "not-built", code=1)
    assert set(states(only).values()) == {"not built"}
    assert only["counts"] == document["counts"]
    still = states(assess("--only", "open", code=1))
    assert still == {k: v for k, v in states(document).items() if v != "met"}
    assert set(states(assess("--section", "u", code=3))) == set(range(209, 214))


def test_rows_for_people_are_signed_off_by_number(assess, qimg):
    assert set(states(assess("--section", "U", code=3)).values()) == {"people"}
    Path("roles.md").write_text("owner: A")
    for row in range(209, 214):
        assess("--sign-off", row, "--by", "board", "--document", "roles.md", code=0)
    document = assess("--section", "U", code=0)
    assert {r["by"] for r in document["rows"]} == {"people"}
    assert all(len(r["entries"]) == 1 for r in document["rows"])
    sign = ("--by", "board", "--document", "roles.md")
    assert "is not for people" in assess("--sign-off", 111, *sign, code=2)["error"]["message"]
    assert "error" in assess("--sign-off", 214, *sign, code=2)
    assert "no file" in assess("--sign-off", 209, "--document", "none.md", "--by", "board", code=2)["error"]["message"]


def test_tables_and_forms_are_written(assess, qimg):
    assess("--markdown", "r.md", code=1)
    lines = [line for line in Path("r.md").read_text().splitlines() if re.match(r"\| \d", line)]
    assert len(lines) == 213
    assert all(len(re.split(r"(?<!\\)\|", line)) == 7 for line in lines)
    assess("--template", "f.md", code=0)
    assert Path("f.md").read_text().count("- [ ] ") == 213
    code, out, _ = qimg("assess", "--profile", "incident", "--markdown", "i.md", "--only", "met")
    assert code == 1
    assert "snapshot" in Path("i.md").read_text()
    assert "snapshot" not in out


def test_a_damaged_record_is_not_met_and_said(assess):
    from qimg_core.ledger import SQLiteLedger

    with SQLiteLedger.open("runs", read_only=True) as log:
        digest = next(log.entries(kind="images.made")).artefacts["pixels"].removeprefix("sha256:")
    target = next(p for p in Path("runs").rglob("*") if p.is_file() and digest.endswith(p.name))
    target.chmod(0o600)
    target.write_bytes(b"else")
    found = {r["row"]: r for r in assess(code=1)["rows"]}
    assert {found[n]["state"] for n in (4, 109, 111, 163)} == {"not met"}
    assert "the record does not verify" in found[4]["why"]
    assert "record" not in {r["by"] for r in found.values()}


def unreadable(index):
    database = sqlite3.connect("runs/ledger.db")
    with database:
        database.execute("DROP TRIGGER entry_no_update")
        database.execute("UPDATE entry SET body = x'7b7b' WHERE idx = ?", [index])
    database.close()


def test_an_entry_that_cannot_be_read_is_said_and_the_gate_still_reports(assess, qimg):
    unreadable(3)
    assert "qimg verify runs" in assess(code=1)["error"]["hint"]
    code, _, err = qimg("assess", "--profile", "pre-launch")
    assert code == 1
    assert "qimg verify runs" in err
    Path("gate.toml").write_text('comparisons = ["digits"]\ncanaries = ["path"]\n')
    code, out, _ = qimg("gate", "--junit", "g.xml", "--json")
    assert code == 1
    found = {c["check"]: c["verdict"] for c in json.loads(out)["checks"]}
    assert found["record verifies"] == "fail"
    assert found["record has no holes"] == "inconclusive"
    assert "pass" not in {found["record verifies"], found["comparisons"], found["canaries"]}
    assert Path("g.xml").exists()


def test_a_gate_without_settings_says_how_to_begin(qimg, record):
    code, _, err = qimg("gate")
    assert code == 2
    line = re.search(r"echo '(.*)' > gate.toml", err)[1]
    Path("gate.toml").write_text(line + "\n")
    assert qimg("gate")[0] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--ledger", "nowhere"], "there is no ledger in nowhere"),
        (["--profile", "requirement"], "did you mean 'requirements'"),
        (["--section", "Z"], "no section of the requirements named 'Z'"),
        (["--by", "board"], "which row is signed off"),
        (["--profile", "legal", "--section", "A"], "has no sections"),
    ],
)
def test_what_is_wrong_is_said(assess, words, said):
    assert said in assess(*words, code=2)["error"]["message"]


@pytest.mark.parametrize(
    "option", [["--sign-off", "x"], ["--by", "x"], ["--only", "met"], ["--section", "A"], ["--template", "t.md"]]
)
def test_an_option_without_a_profile_is_refused(qimg, record, option):
    code, _, err = qimg("assess", *option)
    assert code == 2
    assert "--profile NAME" in err


def test_the_list_of_profiles_names_the_requirements(qimg, record):
    assert "requirements: Every requirement: 213 rows in 21 sections" in qimg("assess")[1]
