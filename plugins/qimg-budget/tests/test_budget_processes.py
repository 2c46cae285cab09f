"""Several processes spend from one budget, some of them are killed; the provider's own bills are the witness."""

import os
import signal
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path
from runpy import run_path

import pytest

from qimg_budget.audit import check
from qimg_budget.limits import parse_limit
from qimg_budget.report import BY, from_ledgers, from_store
from qimg_budget.settling import reconcile
from qimg_budget.store import Store
from qimg_core.ledger import SQLiteLedger

WORKER = Path(__file__).parent / "budget_provider.py"
made = run_path(str(WORKER))


def bills(cloud):
    lines = (cloud / "bills").read_text().splitlines()
    twice = {key: n for key, n in Counter(line.split(",")[0] for line in lines).items() if n > 1}
    assert not twice, "a job was paid twice"
    return sum(Decimal(line.split(",")[1]) for line in lines)


def spend_together(tmp_path, *, workers, requests, rows, limit, kills, hold):
    """Start all workers, wait for all; then settle what the killed ones left. Returns how many were refused.

    The others wait after ``hold`` requests for the killed ones to be dead, so that those reach their end.
    """
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    with Store.create(tmp_path / "budget.db") as store:
        store.change([parse_limit("total", "*", f"USD={limit}")])
    environment = {**os.environ, "QIMG_BUDGET": str(tmp_path / "budget.db"), "OMP_NUM_THREADS": "1"}
    running = [
        subprocess.Popen(
            [
                sys.executable,
                WORKER,
                cloud,
                tmp_path / f"log-{n}",
                str(requests),
                str(rows),
                str(kills.get(n, 0)),
                str(hold),
            ],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for n in range(workers)
    ]
    for n in kills:
        running[n].wait()
    done = [worker.communicate("go on\n")[0] for worker in running]
    codes = {n: worker.returncode for n, worker in enumerate(running)}
    assert codes == {n: -signal.SIGKILL if n in kills else 0 for n in range(workers)}
    logs = [tmp_path / f"log-{n}" for n in range(workers)]
    with Store.open(tmp_path / "budget.db") as store:
        held, spent = store.tally("total")["*"]["USD"]
        assert held + spent <= Decimal(limit) * 1_000_000
        assert bills(cloud) <= Decimal(limit)
        assert held > 0
        registry = made["registry_with"](cloud)

        def open_ledger(where):
            return SQLiteLedger.open(where, create=False)

        offline = list(reconcile(store, open_ledger, registry=None))
        assert {r.state for r in offline} == {"open"}
        assert store.tally("total")["*"]["USD"] == (held, spent), "nothing is freed without evidence"
        found = list(reconcile(store, open_ledger, registry=registry, missing=True, polling=made["POLLING"]))
        assert {r.state for r in found} == {"settled"}
        assert len(found) == len(kills)
        assert store.reservations(only_open=True) == []
        assert store.tally("total")["*"]["USD"] == (0, bills(cloud) * 1_000_000)
        assert check(store) == []
        opened = [SQLiteLedger.open(log, read_only=True) for log in logs]
        try:
            for by in BY:
                assert from_ledgers(opened, by) == from_store(store, by)
        finally:
            for log in opened:
                log.close()
    return sum(int(text) < requests for n, text in enumerate(done) if not codes[n])


def test_four_processes_two_hundred_jobs(tmp_path):
    assert spend_together(tmp_path, workers=4, requests=5, rows=10, limit="1.25", kills={2: 13}, hold=3) >= 1


def test_a_killed_run_goes_on_with_its_reservation(tmp_path, monkeypatch):
    cloud, path = tmp_path / "cloud", tmp_path / "budget.db"
    cloud.mkdir()
    monkeypatch.setenv("QIMG_BUDGET", str(path))
    Store.create(path).close()
    arguments = [cloud, tmp_path / "log", "1", "5", "3", "9"]
    assert subprocess.run([sys.executable, WORKER, *arguments], check=False).returncode == -signal.SIGKILL
    with Store.open(path) as store:
        store.change([parse_limit("total", "*", "USD=0.05")])  # nothing else would fit
        (row,) = store.reservations(only_open=True)
        assert store.tally("total")["*"]["USD"] == (50_000, 0)
        driver = made["DiskProvider"](cloud)
        with made["session"](tmp_path / "log", driver, made["registry_with"](cloud), resume=row.run) as s:
            s.execute(made["request"](5, seed=0))
        assert driver.accepted == 2
        assert store.tally("total")["*"]["USD"] == (0, 50_000)
        assert bills(cloud) == Decimal("0.05")
        assert store.reservations(only_open=True) == []
    assert list(tmp_path.glob("budget.db.open/*")) == []


@pytest.mark.slow
def test_thirty_two_processes_ten_thousand_jobs(tmp_path):
    kills = {1: 1, 4: 30, 9: 55, 14: 3, 20: 101, 27: 149}
    assert spend_together(tmp_path, workers=32, requests=13, rows=25, limit="80", kills=kills, hold=10) >= 1
