"""The records of the documented scenarios: which rows of the requirements each meets, by its entries."""

import os
import re
from pathlib import Path

import pytest

from qimg_core import Registry
from qimg_core.ledger import SQLiteLedger
from qimg_ops.requirement import sections
from qimg_ops.standing import State, standings

PAGES = Path(__file__).parents[3] / "docs" / "scenarios"
EVERY = {4, 10, 11, 109, 111, 112, 113, 115, 120, 158, 163}
MEETS = {
    "off-load": {94, 96, 99, 105, 118, 143, 149, 160, 161, 180, 201},
    "consent": {41, 66, 67, 68, 69, 73, 202},
    "incident": {117, 145, 151, 178, 185, 189, 203},
    "cost": {152, 161, 162, 178, 182, 204},
}
LACKS = {
    "off-load": {66: "not used", 69: "not used", 110: "not met", 152: "not met", 186: "not used", 204: "not used"},
    "consent": {54: "not met", 186: "not used", 201: "not used", 204: "not used"},
    "incident": {66: "not met", 182: "not met", 202: "not used", 204: "not used"},
    "cost": {96: "not met", 99: "not met", 143: "not met", 201: "not used", 202: "not used", 203: "not used"},
}


@pytest.fixture(params=sorted(MEETS))
def scenario(request, tmp_path, monkeypatch):
    """Runs the script of a page in an empty folder; its name."""
    for plugin in ("audit", "budget", "data", "policy", "rollout", "compare"):
        pytest.importorskip(f"qimg_{plugin}")
    monkeypatch.chdir(tmp_path)
    for name in ("QIMG_POLICY", "QIMG_LEDGER", "QIMG_BUDGET", "QIMG_DATA_RULES", "QIMG_ZONES"):
        monkeypatch.delenv(name, raising=False)
    before = set(os.environ)
    names = {"__name__": "scenario"}
    text = (PAGES / f"{request.param}.md").read_text()
    for block in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        exec(compile(block, f"{request.param}.md", "exec"), names)
    yield request.param
    for name in set(os.environ) - before:
        del os.environ[name]


def test_a_scenario_meets_its_rows_and_not_those_of_the_others(scenario):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        size = len(ledger)
        found = {s.row.number: s for s in standings(ledger, Registry(), sections())}
    recorded = {n for n, s in found.items() if s.by == "record" and s.state is State.MET}
    assert recorded >= EVERY | MEETS[scenario]
    assert {n: found[n].state.value for n in LACKS[scenario]} == LACKS[scenario]
    for s in found.values():
        assert all(0 <= i < size for i in s.entries)
        assert s.by != "record" or s.row.recorded
    assert not {n for n, s in found.items() if s.state is State.MET and (s.row.people or s.row.not_built)}
