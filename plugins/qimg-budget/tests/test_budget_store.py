"""The store alone: any order of reserving, settling and crashing keeps the limits; parsing; bills; reports."""

import datetime as dt
import tempfile
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from qimg_budget.amounts import micro, number, parse_amount
from qimg_budget.audit import check
from qimg_budget.bills import read_bill
from qimg_budget.claims import Wanted
from qimg_budget.limits import Limit, parse_limit
from qimg_budget.reckoning import ASSUMED, BILLED, RELEASED, Job, Outcome, reckon
from qimg_budget.report import burns, from_store
from qimg_budget.settling import state
from qimg_budget.store import Store
from qimg_core.errors import BudgetExceeded, ConfigurationError

DAYS = ("2026-11-20", "2026-11-21")
HARD = {"total": 1000, "run": 400, "project": 700, "day": 600, "cost-centre": 900}


def wanted(run, ordinal, sizes, bound, *, project="p", centre="c", day=DAYS[0], unit="USD", unknown=False):
    jobs = [Job(f"{run}-{ordinal}-{i}", size, size) for i, size in enumerate(sizes)]
    return Wanted(
        run=run, ordinal=ordinal, backend="b", request="r", project=project, cost_centre=centre, day=day, ledger="",
        jobs=jobs, priced={} if unknown else {unit: bound}, unknown=unknown,
    )  # fmt: skip


class Spending(RuleBasedStateMachine):
    """Plans with true prices that the store does not know; a model adds up what was really billed."""

    made = Bundle("made")

    def __init__(self):
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "budget.db"
        self.store = Store.create(self.path)
        self.store.change([Limit(scope, "*", "USD", hard, None) for scope, hard in HARD.items()])
        self.count = 0
        self.billed = []  # (groups, micro)
        self.promised = {}  # reservation -> (groups, bound, true prices by key, left)

    def teardown(self):
        for name in list(self.promised):
            state(self.store, name, sent=False, because="the end of the test")
        assert self.store.reservations(only_open=True) == []
        assert all(held == 0 for scope in HARD for d in self.store.tally(scope).values() for held, _ in d.values())
        assert check(self.store) == []
        self.store.close()
        self.folder.cleanup()

    @rule(
        target=made,
        run=st.sampled_from("ABC"),
        project=st.sampled_from("pq"),
        centre=st.sampled_from("cd"),
        day=st.sampled_from(DAYS),
        prices=st.lists(st.integers(0, 150), min_size=1, max_size=4),
        slack=st.integers(0, 20),
    )
    def reserve(self, run, project, centre, day, prices, slack):
        self.count += 1
        prices = sorted(prices, reverse=True)
        sizes = [1 + p for p in prices]  # a larger job does not cost less
        ask = wanted(run, self.count, sizes, sum(prices) + slack, project=project, centre=centre, day=day)
        try:
            held = self.store.reserve(ask)
        except BudgetExceeded:
            return None
        groups = {"total": "*", "run": run, "project": project, "day": day, "cost-centre": centre}
        self.promised[held.id] = (groups, {job.key: p for job, p in zip(ask.jobs, prices, strict=True)})
        return held.id

    @rule(name=consumes(made), ends=st.lists(st.sampled_from([BILLED, ASSUMED, RELEASED, "none"]), min_size=4))
    def settle(self, name, ends):
        if name is None or name not in self.promised:
            return
        groups, prices = self.promised[name]
        outcomes = {}
        for end, (key, price) in zip(ends, list(prices.items()), strict=False):
            if end == "none":
                continue
            amount = {"USD": Decimal(price) / 1_000_000} if end == BILLED else {}
            outcomes[key] = Outcome(end, amount)
            del prices[key]
            if end != RELEASED:
                self.billed.append((groups, price))
        found = self.store.settle(name, outcomes)
        assert found.open == bool(prices)
        if not prices:
            del self.promised[name]

    @rule()
    def crash(self):
        """A process that dies takes its connection with it; what was committed stays."""
        self.store.close()
        self.store = Store.open(self.path)

    @invariant()
    def no_limit_is_passed(self):
        for scope, hard in HARD.items():
            for name, dimensions in self.store.tally(scope).items():
                held, spent = dimensions["USD"]
                assert held >= 0
                assert held + spent <= hard
                truth = sum(p for g, p in self.billed if g[scope] == name)
                owed = sum(sum(p.values()) for g, p in self.promised.values() if g[scope] == name)
                assert truth <= spent, "what ran is counted with what it cost, at least"
                assert truth + owed <= held + spent, "what may still be billed is reserved"


TestSpending = Spending.TestCase
TestSpending.settings = settings(
    max_examples=12, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)


@given(
    prices=st.lists(st.integers(0, 10**7), min_size=1, max_size=8),
    states=st.lists(st.sampled_from(["open", BILLED, ASSUMED, RELEASED]), min_size=8, max_size=8),
    slack=st.integers(0, 100),
)
def test_what_is_counted_is_never_below_the_truth_nor_above_the_bound(prices, states, slack):
    prices, bound = sorted(prices), sum(prices) + slack
    jobs = [
        Job(str(i), 1 + p, 0, s, {"USD": Decimal(p) / 1_000_000} if s == BILLED else {})
        for i, (p, s) in enumerate(zip(prices, states, strict=False))
    ]
    found = reckon({"USD": bound}, jobs)
    ran = sum(p for p, s in zip(prices, states, strict=False) if s in (BILLED, ASSUMED))
    may = sum(p for p, s in zip(prices, states, strict=False) if s == "open")
    assert ran <= found.spent["USD"] <= bound
    assert ran + may <= found.spent["USD"] + found.held["USD"] <= bound
    assert not found.over


@pytest.fixture
def store(tmp_path):
    with Store.create(tmp_path / "budget.db") as found:
        yield found
        assert check(found) == []


def test_parts_of_a_millionth_are_added_before_they_are_rounded(store):
    held = store.reserve(wanted("A", 0, [1] * 4, micro(Decimal("0.000001"))))
    each = {"USD": Decimal("0.00000025")}
    found = store.settle(held.id, {job.key: Outcome(BILLED, each) for job in held.jobs})
    assert found.spent["USD"] == 1
    assert not found.over


def test_a_name_has_its_own_limit_and_the_others_share_the_star(store):
    store.change([parse_limit("project", "*", "USD=0.000010"), parse_limit("project", "big", "USD=0.000100")])
    assert store.reserve(wanted("A", 0, [1], 90, project="big"))
    with pytest.raises(BudgetExceeded, match="per project"):
        store.reserve(wanted("A", 1, [1], 11, project="small"))
    with pytest.raises(BudgetExceeded, match="of project big"):
        store.reserve(wanted("A", 2, [1], 11, project="big"))


def test_counted_dimensions_and_units_have_limits_of_their_own(store):
    store.change([parse_limit("total", "*", "jobs=3"), parse_limit("total", "*", "shots=100")])
    store.reserve(wanted("A", 0, [30, 30], 5))
    with pytest.raises(BudgetExceeded, match="4 jobs"):
        store.reserve(wanted("A", 1, [1, 1], 5))
    with pytest.raises(BudgetExceeded, match="110 shots"):
        store.reserve(wanted("A", 2, [50], 5))


def test_the_same_request_of_a_run_is_reserved_once(store):
    first, again = store.reserve(wanted("A", 0, [1, 1], 10)), store.reserve(wanted("A", 0, [1, 1], 14))
    assert (again.id, again.again) == (first.id, True)
    assert store.tally("total")["*"]["USD"] == (14, 0)  # the price has risen meanwhile
    store.settle(first.id, {"A-0-0": Outcome(BILLED, {"USD": Decimal("0.000006")}), "A-0-1": Outcome(RELEASED)})
    third = store.reserve(wanted("A", 0, [1, 1], 14))
    assert [job.key for job in third.jobs] == ["A-0-1"]  # the other one is paid
    assert store.tally("total")["*"]["USD"] == (7, 6)
    store.settle(third.id, {"A-0-1": Outcome(ASSUMED)})
    assert store.reserve(wanted("A", 0, [1, 1], 14)) is None


def test_a_plan_that_is_cut_otherwise_when_it_is_resumed_has_all_its_jobs_counted(store):
    store.reserve(wanted("A", 0, [2, 2], 10))
    again = store.reserve(wanted("A", 0, [1, 1, 1, 1], 12))
    assert [job.key for job in again.jobs] == ["A-0-0", "A-0-1", "A-0-2", "A-0-3"]
    assert store.tally("total")["*"] == {"USD": (12, 0), "jobs": (4, 0), "shots": (6, 0)}


def test_a_later_bill_takes_the_place_of_what_was_assumed(store):
    held = store.reserve(wanted("A", 0, [1, 1], 10))
    store.settle(held.id, {job.key: Outcome(ASSUMED) for job in held.jobs})
    assert store.tally("total")["*"]["USD"] == (0, 10)
    bill = {"A-0-0": Outcome(BILLED, {"USD": Decimal("0.000002")})}
    store.settle(held.id, bill)
    assert store.tally("total")["*"]["USD"] == (0, 10)  # what has ended stays
    store.settle(held.id, bill, correct=True)
    assert store.tally("total")["*"]["USD"] == (0, 7)


def test_a_changed_sum_is_found(tmp_path):
    with Store.create(tmp_path / "budget.db") as store:
        store.reserve(wanted("A", 0, [1], 10))
        store.rows("UPDATE tally SET held = 0 WHERE scope = 'day'")
        assert check(store) == [
            f"the sums of day {DAYS[0]} {d} do not agree with the reservations"
            for d in ("in USD", "in jobs", "in shots")
        ]


@pytest.mark.parametrize(
    "text", ["USD", "USD=", "USD=-1", "USD=1e3", "USD=0.0000001", "USD=10:20", "jobs=1.5", "U$D=1", "USD=NaN", "=3"]
)
def test_limits_that_are_none(text):
    with pytest.raises(ConfigurationError):
        parse_limit("total", "*", text)


@given(st.integers(0, 10**15))
def test_an_amount_reads_back(amount):
    assert parse_amount("USD", number("USD", amount)) == amount


def test_burn_rate_and_the_day_on_which_it_is_gone(store):
    store.change([parse_limit("total", "*", "USD=0.0001"), parse_limit("day", "*", "USD=0.00005")])
    for k, (day, amount) in enumerate({"2026-11-18": 4, "2026-11-19": 8, "2026-11-21": 20}.items()):
        held = store.reserve(wanted("A", k, [1], amount, day=day))
        store.settle(held.id, {held.jobs[0].key: Outcome(BILLED, {"USD": Decimal(amount) / 1_000_000})})
    total, today = sorted(burns(store, "2026-11-21"), key=lambda b: b.limit.scope, reverse=True)
    assert (total.spent, total.left, total.per_day) == (32, 68, 8)  # 32 in four days
    assert total.gone == (dt.date(2026, 11, 21) + dt.timedelta(days=8)).isoformat()  # 68 // 8
    assert (total.usual, total.unusual) == (4, True)  # 12 in the three days before
    assert (today.name, today.spent, today.gone) == ("2026-11-21", 20, None)
    assert [(line.name, line.spent["USD"]) for line in from_store(store, "day", "2026-11-19")] == [
        ("2026-11-19", 8),
        ("2026-11-21", 20),
    ]


def test_a_bill_is_read_strictly(tmp_path):
    path = tmp_path / "bill.csv"
    path.write_text("\ufeffjob,amount,unit,remark\na,0.10,USD,x\na,0.05,USD,\nb,2,credits,\n", encoding="utf-8")
    assert read_bill(path) == {"a": {"USD": Decimal("0.15")}, "b": {"credits": Decimal(2)}}
    for text, match in (
        ("job,amount\na,1\n", "no column unit"),
        ("job,amount,unit\na,one,USD\n", "line 2"),
        ("job,amount,unit\na,-1,USD\n", "line 2"),
        ("job,amount,unit\n,1,USD\n", "no job"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigurationError, match=match):
            read_bill(path)


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text").write_text("not a database, but long enough to be looked at" * 10)
    with pytest.raises(Exception, match="cannot use the budget"):
        Store.open(tmp_path / "text")
    with pytest.raises(ConfigurationError, match="no budget in"):
        Store.open(tmp_path / "nothing")
    Store.create(tmp_path / "b").close()
    with pytest.raises(ConfigurationError, match="exists already"):
        Store.create(tmp_path / "b")
