"""``qimg budget`` and ``qimg spend`` as a user calls them; F4, a runaway that the quota stops, from end to end."""

import json
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest

from qimg_budget.store import Store
from qimg_core.cli import main
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing.toy import ToyPlugin

made = run_path(str(Path(__file__).parent / "budget_provider.py"))


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys):
    """Calls ``qimg`` in an empty folder that has a cloud; returns exit code, document, words on stderr."""
    monkeypatch.chdir(tmp_path)
    for name in ("QIMG_LEDGER", "QIMG_BUDGET", "QIMG_PROJECT", "QIMG_COST_CENTRE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "cloud").mkdir()
    registry = made["registry_with"](tmp_path / "cloud")
    registry.register(ToyPlugin(), "toy")

    def call(*argv):
        capsys.readouterr()
        code = main([*map(str, argv), "--json"], registry=registry)
        said = capsys.readouterr()
        return int(code), json.loads(said.out), said.err

    return call


@pytest.fixture
def budget(qimg, monkeypatch):
    assert qimg("budget", "init", "budget.db")[0] == 0
    monkeypatch.setenv("QIMG_BUDGET", "budget.db")
    return qimg


def generate(qimg, n, *more):
    where = ("--backend", "fake-provider", "--shots", "10", *more)
    return qimg("generate", "--generator", "toy", "--untrained", "--n", n, "--out", f"{n}.png", *where)


def test_f4_a_runaway_is_stopped_by_the_quota(budget, tmp_path, caplog):
    code, shown, _ = budget("budget", "set", "USD=0.10:0.05", "jobs=100", "--per", "total")
    assert (code, shown["limits"][0]["left"]) == (0, "0.10")
    codes = [generate(budget, 4)[0] for _ in range(4)]  # four images, four jobs, four cents each time
    assert codes == [0, 0, 4, 4]
    code, document, err = generate(budget, 4)
    assert code == 4
    assert document["error"]["type"] == "BudgetExceeded"
    assert "0.02 USD left" in err
    assert "qimg budget set --per total USD=AMOUNT" in err
    assert "the soft limit is 0.05 USD" in caplog.text
    bills = (tmp_path / "cloud" / "bills").read_text().splitlines()
    assert len(bills) == 8, "nothing was sent after the limit"
    assert generate(budget, 2)[0] == 0, "what still fits is sent"
    _, shown, _ = budget("budget", "show")
    (usd,) = [x for x in shown["limits"] if x["dimension"] == "USD"]
    assert (usd["spent"], usd["held"], usd["left"], usd["hard"], usd["soft"]) == (
        "0.10",
        "0.00",
        "0.00",
        "0.10",
        "0.05",
    )
    assert shown["open"] == shown["wrong"] == []
    with SQLiteLedger.open("runs", read_only=True) as log:
        assert len(list(log.entries(kind="budget.refused"))) == 3


def test_training_is_refused_on_the_same_road(budget, tmp_path):
    budget("budget", "set", "USD=0.08")
    pixels = np.random.default_rng(3).random((6, 2, 2, 1)).astype(np.float32)
    np.savez("corners.npz", x=pixels, y=np.arange(6) % 3)
    train = ("train", "--generator", "toy", "--data", "corners.npz", "--steps", 5, "--out", "w.safetensors")
    code, document, _ = budget(*train, "--samples", 0, "--backend", "fake-provider", "--shots", 10)
    assert (code, document["error"]["type"]) == (4, "BudgetExceeded")
    assert len((tmp_path / "cloud" / "bills").read_text().splitlines()) == 6  # two requests of three rows


def test_spending_by_group_is_the_same_from_the_ledger_alone(budget, monkeypatch):
    budget("budget", "set", "USD=1")
    assert generate(budget, 2)[0] == 0
    assert budget("budget", "use", "--project", "digits", "--cost-centre", "4711")[0] == 0
    assert generate(budget, 4)[0] == 0
    for by in ("run", "project", "day", "backend", "cost-centre"):
        _, store, _ = budget("spend", "--by", by)
        with monkeypatch.context() as m:
            m.delenv("QIMG_BUDGET")
            _, ledger, _ = budget("spend", "--by", by, "--from-ledger")
        assert store["groups"] == ledger["groups"]
        assert len(store["groups"]) == (1 if by in ("day", "backend") else 2)
    _, document, _ = budget("spend", "--by", "project")
    assert document["groups"] == [
        {"name": "digits", "spent": {"USD": "0.04", "jobs": "4", "shots": "40"}, "held": {}},
        {"name": "unstated", "spent": {"USD": "0.02", "jobs": "2", "shots": "20"}, "held": {}},
    ]
    assert budget("spend", "--since", "2999-01-01")[1]["groups"] == []
    assert budget("spend", "--since", "tomorrow")[0] == 2


def test_a_pinned_ledger_does_not_spend_without_its_budget(budget, monkeypatch, tmp_path):
    budget("budget", "set", "USD=1")
    assert generate(budget, 1)[0] == 0
    assert budget("budget", "use")[0] == 0
    monkeypatch.delenv("QIMG_BUDGET")
    code, _, err = generate(budget, 1)
    assert code == 4
    assert "export QIMG_BUDGET=FILE" in err
    assert len((tmp_path / "cloud" / "bills").read_text().splitlines()) == 1


def test_reconcile_says_what_is_open_and_a_person_can_state_the_rest(budget, tmp_path):
    budget("budget", "set", "USD=1")
    assert budget("budget", "reconcile") == (0, {"reservations": []}, "")
    with Store.open("budget.db") as store:
        from qimg_budget.claims import Wanted
        from qimg_budget.reckoning import Job

        held = store.reserve(
            Wanted(
                run="gone", ordinal=0, backend="fake-provider", request="r", project="p", cost_centre="c",
                day="2026-11-21", ledger=str(tmp_path / "lost"), jobs=[Job("k", 10, 10)], priced={"USD": 10_000},
            )
        )  # fmt: skip
    code, document, _ = budget("budget", "reconcile")
    assert code == 3
    assert document["reservations"][0]["state"] == "no ledger"
    assert budget("budget", "show")[1]["open"][0]["held"]["USD"] == 10_000
    assert budget("budget", "state", held.id, "--unsent", "--because", "the disk broke before")[0] == 0
    assert budget("budget", "reconcile")[0] == 0
    _, shown, _ = budget("budget", "show")
    assert "the disk broke before" in shown["changes"][-1]["what"]
    assert budget("budget", "state", held.id, "--unsent", "--because", "again")[0] == 2


def test_a_bill_beside_the_ledger(budget, tmp_path):
    budget("budget", "set", "USD=1")
    assert generate(budget, 3)[0] == 0
    lines = (tmp_path / "cloud" / "bills").read_text().splitlines()
    bill = tmp_path / "bill.csv"
    bill.write_text("\n".join(["job,amount,unit", *lines]))
    code, document, _ = budget("budget", "bill", bill)
    assert (code, document) == (0, {"jobs": [], "equal": 3, "corrected": []})
    key = lines[0].split(",")[0]
    bill.write_text("\n".join(["job,amount,unit", f"{key}#1,0.03,USD", lines[1], "stranger,5,USD"]))
    code, document, _ = budget("budget", "bill", bill)
    assert code == 1
    assert sorted(j["verdict"] for j in document["jobs"]) == ["differs", "not billed", "not ours"]
    code, document, _ = budget("budget", "bill", bill, "--apply")
    assert (code, len(document["corrected"])) == (1, 1)
    groups = [budget("spend", *more)[1]["groups"] for more in ((), ("--from-ledger",))]
    assert groups[0] == groups[1]
    assert groups[0][0]["spent"]["USD"] == "0.05"


def test_a_file_that_was_put_back_from_an_older_copy_is_found(budget, tmp_path):
    budget("budget", "set", "USD=1")
    with Store.open("budget.db") as store:
        store.rows("PRAGMA wal_checkpoint(TRUNCATE)")
    old = (tmp_path / "budget.db").read_bytes()
    assert generate(budget, 2)[0] == 0
    assert budget("budget", "audit")[:2] == (0, {"wrong": [], "ledgers": ["runs"]})
    for path in ("budget.db", "budget.db-wal", "budget.db-shm"):
        (tmp_path / path).unlink(missing_ok=True)
    (tmp_path / "budget.db").write_bytes(old)
    code, document, _ = budget("budget", "audit")
    assert code == 1
    assert "0.02 USD, 2 jobs, 20 shots spent" in document["wrong"][0]


def test_wrong_use_is_refused(budget, monkeypatch):
    assert budget("budget", "set")[0] == 2
    assert budget("budget", "set", "USD=1:2")[0] == 2
    assert budget("budget", "set", "USD=1", "--name", "x")[0] == 2
    assert budget("budget", "init", "budget.db")[0] == 2
    assert budget("budget", "use", "--project", "a person's name")[0] == 2
    assert budget("budget", "reconcile", "--offline", "--missing-is-unsent")[0] == 2
    monkeypatch.delenv("QIMG_BUDGET")
    assert budget("spend")[0] == 2
    assert budget("budget", "show")[0] == 2
