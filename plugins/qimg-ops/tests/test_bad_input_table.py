"""docs/reference/bad-input.md, row by row: refused before anything is sent, what helps is named, on record."""

import json
import re
from contextlib import ExitStack
from pathlib import Path
from runpy import run_path

import pytest

from qimg_core.ledger import SQLiteLedger

HERE = Path(__file__).parent
PAGE = HERE.parents[2] / "docs" / "reference" / "bad-input.md"
made, given = (run_path(str(HERE / name)) for name in ("bad_input_world.py", "bad_input_rows.py"))
ROWS, OTHERS = given["ROWS"], given["OTHERS"]


@pytest.fixture
def world(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in made["VARIABLES"]:
        monkeypatch.delenv(name, raising=False)
    with ExitStack() as stack:
        found = made["World"](capsys, monkeypatch)
        found.server = lambda kind: stack.enter_context(made["answering"](kind))
        found.held = None
        yield found
        if found.held is not None:
            found.held.close()


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name.replace(" ", "-"))
def test_nothing_is_sent_what_helps_is_named_and_the_refusal_is_on_record(row, world):
    row.prepare(world)
    before = len(world.entries())
    code, document = world.run()
    assert world.fake.submits == 0
    assert code == 4, document
    error = document["error"]
    assert re.search(row.said, error["message"]), error
    assert row.helps in error["hint"], error
    new = [e.kind for e in world.entries()[before:]]
    assert list(dict.fromkeys(k for k in new if k in row.kinds)) == list(row.kinds), new
    assert "run.finished" in new


@pytest.mark.parametrize("row", ROWS, ids=lambda r: r.name.replace(" ", "-"))
def test_the_local_fallback_goes_on_where_the_page_says_so(row, world):
    row.prepare(world)
    before = len(world.entries())
    code, _ = world.run("--fallback", "reference")
    assert world.fake.submits == 0
    new = world.entries()[before:]
    if row.goes_on:
        assert code == 0
        assert [e.facts["to"] for e in new if e.kind == "route.fell_back"][0] == "reference"
        assert [e.facts["quantum"] for e in new if e.kind == "images.made"] == [True]
    else:
        assert code == 4
        assert [e.kind for e in new if e.kind in ("images.made", "training.finished")] == []


@pytest.mark.parametrize("row", OTHERS, ids=lambda r: r.name.replace(" ", "-"))
def test_other_commands_refuse_and_say_why(row, world):
    argv = row.prepare(world)
    before = len(world.entries())
    code, document = world.qimg(*argv, "--ledger", "runs", code=None)
    assert world.fake.submits == 0
    assert code == row.code, document
    assert re.search(row.said, json.dumps(document)), document
    assert [
        e.kind for e in world.entries()[before:] if e.kind in ("replay.compared", "plan.refused", "policy.pinned")
    ] == list(row.kinds)


def test_where_no_record_can_be_written_the_command_says_so(world):
    """A ledger that another process holds: nothing is sent, exit code 1, and the process is named."""
    with SQLiteLedger.open("runs"):
        code, document = world.run("--fallback", "reference")
    assert code == 1
    assert "is being written by process" in document["error"]["message"]
    assert world.fake.submits == 0


def test_a_sound_world_sends(world):
    """What the rows change is what refuses: without it the plan goes through."""
    world.pin()
    given["shared_budget"](world)
    assert world.run()[0] == 0
    assert world.fake.submits == 1


def table(title):
    """The cells of a table of the page, without backquotes."""
    text = PAGE.read_text().partition(f"## {title}")[2].partition("\n## ")[0]
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip().replace("`", "") for cell in line.strip("|").split(" | ")] for line in lines]


def test_the_page_has_the_rows():
    rows = [[r.name, r.said, r.helps, "goes on" if r.goes_on else "refused, too", ", ".join(r.kinds)] for r in ROWS]
    assert [[c.strip() for c in row] for row in table("Before a plan")] == rows
    others = [[r.name, str(r.code), r.said, ", ".join(r.kinds) or "nothing"] for r in OTHERS]
    assert [[c.strip() for c in row] for row in table("Other commands")] == others
