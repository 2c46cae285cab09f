"""``qimg plan`` looks at the shared budget and says what the road then does; nothing is reserved."""

import json
from pathlib import Path
from runpy import run_path

import pytest

from qimg_budget.store import Store
from qimg_core.cli import main
from qimg_core.testing.toy import ToyPlugin

made = run_path(str(Path(__file__).parent / "budget_provider.py"))


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys):
    """Calls ``qimg``: exit code, document or text, stderr. A cloud lies in the folder, and a budget."""
    monkeypatch.chdir(tmp_path)
    for name in ("QIMG_LEDGER", "QIMG_BUDGET", "QIMG_PROJECT", "QIMG_COST_CENTRE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cloud").mkdir()
    registry = made["registry_with"](tmp_path / "cloud")
    registry.register(ToyPlugin(), "toy")

    def call(*argv, text=False):
        capsys.readouterr()
        code = main([*map(str, argv), *([] if text else ["--json"])], registry=registry)
        said = capsys.readouterr()
        return int(code), said.out if text else json.loads(said.out), said.err

    assert call("budget", "init", "budget.db")[0] == 0
    monkeypatch.setenv("QIMG_BUDGET", "budget.db")
    return call


def job(what, n, backend="fake-provider", *more):
    end = ["--out", f"{n}.png"] if what == "generate" else []
    return (what, "--generator", "toy", "--untrained", "--n", n, "--backend", backend, "--shots", "10", *end, *more)


def stored():
    with Store.open("budget.db") as store:
        return store.reservations(), store.tally("total")


@pytest.mark.parametrize(
    ("limits", "scope"),
    [
        (["USD=0.10:0.05"], "total"),
        (["jobs=7"], "day"),
        (["shots=75"], "run"),
        (["USD=0.06"], "project"),
        (["credits=5"], "total"),
        (["USD=0.09", "jobs=4"], "cost-centre"),
    ],
)
def test_the_plan_says_what_the_road_then_does(limits, scope, qimg):
    assert qimg("budget", "set", *limits, "--per", scope)[0] == 0
    codes = []
    for n in (3, 8, 4, 2, 1, 5):
        before = stored()
        code, document, _ = qimg(*job("plan", n))
        assert stored() == before
        assert document["budgets"][0]["admitted"] == (code == 0)
        then, answer, _ = qimg(*job("generate", n))
        assert then == code
        if code:
            assert answer["error"]["message"] == document["error"]["message"].replace("(a new run)", f"({run()})")
        codes.append(code)
    assert set(codes) <= {0, 4}
    assert 4 in codes


def run():
    from qimg_core.ledger import SQLiteLedger

    with SQLiteLedger.open("runs", read_only=True) as log:
        return list(log.entries(kind="run.started"))[-1].run


def test_what_is_left_is_printed_and_nothing_is_made(qimg):
    qimg("budget", "set", "USD=0.10:0.05")
    qimg("budget", "set", "jobs=100", "--per", "project")
    code, out, _ = qimg(*job("plan", 4), text=True)
    assert code == 0
    assert "shared budget: would be admitted" in out
    assert "0.10 of 0.10 left, this takes up to 0.04" in out
    code, out, err = qimg(*job("plan", 11), text=True)
    assert code == 4
    assert "would be refused" in out
    assert "qimg budget set --per total USD=AMOUNT" in err
    code, out, _ = qimg(*job("plan", 8), text=True)
    assert "the soft limit is 0.05 USD" in out
    assert not Path("runs").exists()


def test_with_a_fallback_the_chain_would_go_on_and_so_it_does(qimg):
    qimg("budget", "set", "USD=0.01")
    chain = ("--fallback", "reference")
    code, document, _ = qimg(*job("plan", 4, "fake-provider", *chain))
    assert (code, document["budgets"][0]["admitted"]) == (0, False)
    assert qimg(*job("generate", 4, "fake-provider", *chain))[0] == 0


def test_a_fallback_that_is_planned_itself_is_not_what_the_chain_would_go_on_with(qimg):
    """The device asked for is too small, so the fallback is planned; behind it there is none."""
    qimg("budget", "set", "USD=0.01")
    chain = (4, "reference[wires=0]", "--fallback", "fake-provider")
    code, document, _ = qimg(*job("plan", *chain))
    assert (document["backend"], code) == ("fake-provider", 4)
    assert "would go on" not in qimg(*job("plan", *chain), text=True)[1]
    assert qimg(*job("generate", *chain))[0] == 4


def test_work_in_this_process_is_not_asked_about(qimg, monkeypatch):
    qimg("budget", "set", "shots=1")
    code, document, _ = qimg(*job("plan", 4, "reference"))
    assert (code, document["budgets"]) == (0, [])


def test_a_pin_without_its_budget_refuses_as_the_road_does(qimg, monkeypatch):
    qimg("budget", "set", "USD=1")
    assert qimg(*job("generate", 1))[0] == 0
    assert qimg("budget", "use")[0] == 0
    monkeypatch.delenv("QIMG_BUDGET")
    code, document, _ = qimg(*job("plan", 1))
    assert code == 4
    assert "export QIMG_BUDGET=FILE" in document["error"]["hint"]
    assert qimg(*job("generate", 1))[0] == 4


def test_a_budget_that_cannot_be_used_is_an_error_and_not_an_admission(qimg):
    Path("budget.db").write_bytes(b"no database" * 100)
    code, document, _ = qimg(*job("plan", 1))
    assert code == 1
    assert "the file is damaged" in document["error"]["hint"]
