"""A shared budget on the road: what is reserved, refused, settled, and added up again from the ledger."""

from decimal import Decimal
from pathlib import Path
from runpy import run_path

import pytest
from attrs import evolve

from qimg_budget.audit import check
from qimg_budget.limits import parse_limit
from qimg_budget.pin import pin
from qimg_budget.report import BY, from_ledgers, from_store
from qimg_budget.settling import reconcile
from qimg_budget.store import Store
from qimg_core import Registry, Session, hookimpl
from qimg_core.budget import Budget
from qimg_core.errors import (
    AdmissionDenied,
    BackendUnavailable,
    BudgetExceeded,
    JobFailed,
    SubmissionUncertain,
    UnknownCost,
)
from qimg_core.hooks import BackendSpec
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import FakeProvider, ReferenceBackend

made = run_path(str(Path(__file__).parent / "budget_provider.py"))
request, registry_with, session = made["request"], made["registry_with"], made["session"]


class Supplies:
    @hookimpl
    def qimg_backends(self):
        return [
            BackendSpec(name="reference", target="qimg_core.testing:ReferenceBackend"),
            BackendSpec(name="fake-provider", target="qimg_core.testing:FakeProvider", remote=True),
        ]


@pytest.fixture
def registry():
    from qimg_budget import plugin

    found = Registry(discover=False)
    found.register(plugin, "budget")
    found.register(Supplies(), "supplies")
    return found


@pytest.fixture
def budget(tmp_path, monkeypatch):
    """Makes the budget in force."""
    monkeypatch.setenv("QIMG_BUDGET", str(tmp_path / "budget.db"))
    for name in ("QIMG_PROJECT", "QIMG_COST_CENTRE"):
        monkeypatch.delenv(name, raising=False)
    opened = []

    def make(*limits, scope="total", unknown=None):
        store = Store.create(tmp_path / "budget.db")
        store.change([parse_limit(scope, "*", text) for text in limits], allow_unknown=unknown)
        opened.append(store)
        return store

    yield make
    for store in opened:
        assert check(store) == []
        store.close()


def total(store, dimension="USD"):
    """(held, spent)"""
    return store.tally("total").get("*", {}).get(dimension, (0, 0))


def kinds(folder, *wanted):
    with SQLiteLedger.open(folder, read_only=True) as log:
        return [e.kind for e in log.entries() if not wanted or e.kind.startswith(wanted)]


def same_from_ledger(store, *folders):
    logs = [SQLiteLedger.open(folder, read_only=True) for folder in folders]
    try:
        for by in BY:
            assert from_ledgers(logs, by) == from_store(store, by), by
    finally:
        for log in logs:
            log.close()


def test_a_plan_is_reserved_before_its_intent_and_settled_after_its_result(registry, budget, tmp_path):
    store, driver = budget("USD=1"), FakeProvider(price=Decimal("0.25"), max_rows=1)
    seen = []
    driver.faults.call("before send", lambda: seen.append(total(store)))
    with session(tmp_path / "log", driver, registry) as s:
        s.execute(request(rows=2))
    assert seen == [(500_000, 0)]
    assert total(store) == (0, 500_000)
    assert total(store, "jobs") == (0, 2)
    assert total(store, "shots") == (0, 20)
    wanted = ["plan.admitted", "budget.reserved", "jobs.intended", "job.finished", "job.finished", "budget.settled"]
    assert [k for k in kinds(tmp_path / "log") if k in wanted] == wanted
    same_from_ledger(store, tmp_path / "log")


def test_what_could_pass_the_limit_is_not_sent_and_the_refusal_says_what_helps(registry, budget, tmp_path):
    store, driver = budget("USD=0.60"), FakeProvider(price=Decimal("0.25"))
    with session(tmp_path / "log", driver, registry) as s:
        s.execute(request())
        s.execute(request(seed=4))
        with pytest.raises(
            BudgetExceeded, match=r"0\.75 USD in total, the limit is 0\.60 USD.*0\.10 USD left"
        ) as error:
            s.execute(request(seed=5))
        assert s.spending.cost == Decimal("0.50")
    assert "qimg budget set --per total USD=" in error.value.hint
    assert driver.submits == 2
    assert total(store) == (0, 500_000)
    assert kinds(tmp_path / "log", "budget.refused") == ["budget.refused"]


def test_a_refusal_goes_on_with_the_next_device_of_a_chain(registry, budget, tmp_path):
    budget("USD=0.1")
    with Session(
        tmp_path / "log", seed=1, backend="fake-provider", fallback=["reference"], registry=registry,
        polling=Polling(sleep=lambda s: None), shots=10,
    ) as s:  # fmt: skip
        s._backends["fake-provider"] = FakeProvider(price=Decimal("0.25"))
        record = s.execute(request()).record
    assert record.ran_backend == "reference"
    assert "the limit is 0.10 USD" in record.fallback_reason


def test_free_work_in_this_process_is_never_asked(registry, monkeypatch, tmp_path):
    monkeypatch.setenv("QIMG_BUDGET", str(tmp_path / "is not there.db"))
    with Session(tmp_path / "log", seed=1, backend=ReferenceBackend(), registry=registry) as s:
        s.execute(request())
        assert not [e for e in s.ledger.entries() if e.kind.startswith("budget")]


def test_a_budget_that_is_not_there_refuses_what_costs(registry, monkeypatch, tmp_path):
    monkeypatch.setenv("QIMG_BUDGET", str(tmp_path / "is not there.db"))
    driver = FakeProvider()
    with session(tmp_path / "log", driver, registry) as s:
        with pytest.raises(AdmissionDenied, match="no budget in") as refused:
            s.execute(request())
        assert "qimg budget init" in refused.value.hint
        (entry,) = s.ledger.entries(kind="budget.refused")
        assert entry.facts["budget"] is None
    assert driver.submits == 0


def test_a_pinned_ledger_spends_from_its_budget_only(registry, budget, monkeypatch, tmp_path):
    store, driver = budget("USD=1"), FakeProvider()
    with SQLiteLedger.open(tmp_path / "log") as log:
        pin(log, store.id, project="digits", cost_centre="4711")
    monkeypatch.delenv("QIMG_BUDGET")
    with session(tmp_path / "log", driver, registry) as s, pytest.raises(BudgetExceeded, match="QIMG_BUDGET"):
        s.execute(request())
    Store.create(tmp_path / "other.db").close()
    monkeypatch.setenv("QIMG_BUDGET", str(tmp_path / "other.db"))
    with session(tmp_path / "log", driver, registry) as s, pytest.raises(BudgetExceeded, match="names another"):
        s.execute(request())
    assert driver.submits == 0
    monkeypatch.setenv("QIMG_BUDGET", str(store.path))
    with session(tmp_path / "log", driver, registry) as s:
        s.execute(request())
    assert [line.name for line in from_store(store, "project")] == ["digits"]
    assert [line.name for line in from_store(store, "cost-centre")] == ["4711"]
    same_from_ledger(store, tmp_path / "log")


def test_a_log_in_memory_is_no_place_to_spend_from(registry, budget):
    budget("USD=1")
    driver = FakeProvider()
    with session(None, driver, registry) as s, pytest.raises(BudgetExceeded, match="record on disk"):
        s.execute(request())
    assert driver.submits == 0


def test_an_unknown_price_needs_the_budget_to_allow_it(registry, budget, tmp_path):
    store, driver = budget("jobs=10"), FakeProvider(price=None)
    options = {"budget": Budget(allow_unknown_cost=True)}
    with session(tmp_path / "log", driver, registry, **options) as s:
        with pytest.raises(UnknownCost, match="does not allow"):
            s.execute(request())
        store.change(allow_unknown=True)
        s.execute(request())
    assert driver.submits == 1
    assert total(store, "jobs") == (0, 1)
    assert total(store) == (0, 0)


def test_a_unit_that_the_budget_does_not_bound_is_refused(registry, budget, tmp_path):
    budget("credits=100")
    driver = FakeProvider()
    with session(tmp_path / "log", driver, registry) as s, pytest.raises(BudgetExceeded, match="bounds credits"):
        s.execute(request())
    assert driver.submits == 0


def test_a_soft_limit_is_said_and_recorded(registry, budget, tmp_path, caplog):
    budget("USD=10:0.01")
    with session(tmp_path / "log", FakeProvider(price=Decimal("0.25")), registry) as s:
        s.execute(request())
        (entry,) = [e for e in s.ledger.entries() if e.kind == "budget.reserved"]
    assert "the soft limit is 0.01 USD" in caplog.text
    assert "0.25 USD in total" in entry.facts["warnings"][0]


@pytest.mark.parametrize(
    ("fault", "error", "held", "spent"),
    [
        ("unavailable", None, 0, 10_000),  # refused once, sent again: one job
        ("accepted then dropped", None, 0, 10_000),  # found again by its key
        ("lost before accept", SubmissionUncertain, 10_000, 0),  # nobody knows: the money stays reserved
        ("fails", JobFailed, 0, 10_000),  # it ran, and no bill is known
    ],
)
def test_each_end_of_a_job(fault, error, held, spent, registry, budget, tmp_path):
    store, driver = budget("USD=1"), FakeProvider(fault=fault)
    polling = Polling(sleep=lambda s: None, attempts=2)
    with Session(tmp_path / "log", seed=1, backend=driver, registry=registry, polling=polling) as s:
        if error is None:
            s.execute(request())
        else:
            with pytest.raises(error):
                s.execute(request())
    assert total(store) == (held, spent)
    same_from_ledger(store, tmp_path / "log")


def test_a_device_that_is_certainly_down_holds_nothing(registry, budget, tmp_path):
    class Down(FakeProvider):
        def submit(self, plan, job, *, intent):
            if job == 1:
                raise BackendUnavailable("the connection was refused")
            return super().submit(plan, job, intent=intent)

    store = budget("USD=1")
    with session(tmp_path / "log", Down(max_rows=1), registry) as s, pytest.raises(BackendUnavailable):
        s.execute(request(rows=4))
    # job 0 was accepted and is not fetched; job 1 was refused; jobs 2 and 3 were never tried
    held, spent = total(store)
    assert (held, spent) == (40_000, 0)
    (row,) = store.reservations(only_open=True)
    assert [job.state for job in store.parts(row.id)[1]] == ["open", "released", "released", "released"]
    same_from_ledger(store, tmp_path / "log")


def test_a_resumed_run_takes_its_reservation_over_and_pays_once(budget, tmp_path):
    (tmp_path / "cloud").mkdir()
    registry = registry_with(tmp_path / "cloud")
    driver = made["DiskProvider"](tmp_path / "cloud")
    store, broken = budget("USD=0.02"), []

    def drop():
        broken.append(True)
        raise KeyboardInterrupt

    driver.faults.call("before send", lambda: None)
    driver.poll = lambda handle: drop()
    with pytest.raises(KeyboardInterrupt), session(tmp_path / "log", driver, registry) as s:
        run = s.run
        s.execute(request(rows=2))
    assert broken
    assert total(store) == (20_000, 0)
    again = made["DiskProvider"](tmp_path / "cloud")
    with session(tmp_path / "log", again, registry, resume=run) as s:
        s.execute(request(rows=2))
    assert again.accepted == 0
    assert total(store) == (0, 20_000)
    with session(tmp_path / "log", again, registry, resume=run) as s:
        s.execute(request(rows=2))  # every result is in the ledger: an exhausted budget does not matter
    same_from_ledger(store, tmp_path / "log")


def test_a_bill_above_the_bound_is_counted_and_said(registry, budget, tmp_path, caplog):
    class Dear(FakeProvider):
        def billed(self, handle):
            from qimg_core.job import Cost

            return Cost.exactly(Decimal("0.03"), basis="dearer than the price list")

    store = budget("USD=0.04")
    driver = Dear()
    with session(tmp_path / "log", driver, registry) as s:
        s.execute(request())
        s.execute(request(seed=4))
        with pytest.raises(BudgetExceeded):
            s.execute(request(seed=5))
    assert total(store) == (0, 60_000)
    assert "than its upper bound" in caplog.text


def test_qpu_seconds_are_a_unit_and_are_also_counted_beside_money(registry, budget, tmp_path):
    class Seconds(FakeProvider):
        unit = "qpu_seconds"

        def _cost(self, jobs):
            return evolve(super()._cost(jobs), unit=self.unit)

        def fetch(self, handle):
            return evolve(super().fetch(handle), qpu_seconds="2.5")

    class Money(Seconds):
        unit = "USD"

    store = budget("qpu_seconds=5", "USD=1")
    with session(tmp_path / "log", Seconds(price=Decimal("2.25")), registry) as s:
        s.execute(request())
    assert total(store, "qpu_seconds") == (0, 2_250_000)  # what was billed in them, not what was measured
    with session(tmp_path / "log", Money(), registry) as s:
        s.execute(request())
        s.execute(request(seed=4))
        assert total(store, "qpu_seconds") == (0, 7_250_000)
        with pytest.raises(BudgetExceeded, match="qpu_seconds"):  # the limit is reached
            s.execute(request(seed=5))
    assert total(store) == (0, 20_000)
    same_from_ledger(store, tmp_path / "log")


def test_a_budget_that_fails_refuses_and_gives_the_others_back(registry, budget, tmp_path):
    class Broken:
        @hookimpl(trylast=True)
        def qimg_reserve(self, spend):
            raise ZeroDivisionError

    store, driver = budget("USD=1"), FakeProvider()
    registry.register(Broken(), "broken")
    with session(tmp_path / "log", driver, registry) as s, pytest.raises(AdmissionDenied, match="budget of broken"):
        s.execute(request())
    assert driver.submits == 0
    assert total(store) == (0, 0)


def test_what_is_no_reservation_refuses(registry, budget, tmp_path):
    class Careless:
        @hookimpl
        def qimg_reserve(self, spend):
            return True

    store, driver = budget("USD=1"), FakeProvider()
    registry.register(Careless(), "careless")
    with session(tmp_path / "log", driver, registry) as s, pytest.raises(AdmissionDenied, match="careless"):
        s.execute(request())
    assert (driver.submits, total(store)) == (0, (0, 0))


class Shared:
    """A ledger that many processes may write; the run's own, which nobody else may close."""

    def __init__(self, ledger):
        self.ledger = ledger

    def __enter__(self):
        return self.ledger

    def __exit__(self, *error):
        pass


@pytest.mark.parametrize("many", [False, True], ids=["one writer", "many writers"])
def test_what_a_running_process_holds_is_left_alone(many, budget, tmp_path):
    (tmp_path / "cloud").mkdir()
    registry, store = registry_with(tmp_path / "cloud"), budget("USD=1")
    driver = made["DiskProvider"](tmp_path / "cloud")

    def open_ledger(where):
        return Shared(s.ledger) if many else SQLiteLedger.open(where, create=False)

    seen = []

    def look(handle):
        seen.extend(reconcile(store, open_ledger, registry=registry))
        return made["DiskProvider"].poll(driver, handle)

    driver.poll = look
    with session(tmp_path / "log", driver, registry) as s:
        s.execute(request(rows=1))
    assert [r.state for r in seen] == ["running"]
    assert total(store) == (0, 10_000)
