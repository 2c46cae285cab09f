"""What IonQ says that work costs, before and after; its characterization in the common form."""

from decimal import Decimal

import numpy as np
import pytest

from qimg_core import Budget, Expectation, LocalStates, Probabilities, Registry, Session, pauli
from qimg_core.calibration import Calibration
from qimg_core.errors import BackendUnavailable, BudgetExceeded
from qimg_core.job import Cost
from qimg_core.routing import plan_for
from qimg_core.testing.server import Response
from qimg_ionq import money
from qimg_ionq.characterization import calibration_data
from qimg_ionq.testing import FakeIonQ

from .conftest import QUIET, driver_of, intent_of, request, through, zoo

ONE, TWO = Decimal("0.00022"), Decimal("0.000975")  # prices of the fake, for a gate and a shot


def counted(jobs):
    """(one-qubit, two-qubit) gates of everything that the plan sends, counted in the payload itself."""
    circuits = [c for j in jobs for c in (j["input"].get("circuits") or [j["input"]])]
    gates = [g for c in circuits for g in c["circuit"]]
    two = sum("control" in g or "targets" in g for g in gates)
    return len(gates) - two, two


def test_the_estimate_and_the_bill_are_those_of_the_gates_that_are_sent(fake):
    driver = driver_of(fake, "qpu.forte-1")
    asked = request(zoo(3), Probabilities((0, 1)), rows=3, shots=700)
    plan = plan_for(driver, asked)
    handle, _ = through(driver, asked)
    one, two = counted(fake.jobs.values())
    expected = 700 * (one * ONE + two * TWO)
    assert (plan.cost.low, plan.cost.high, plan.cost.unit) == (expected, expected, "USD")
    assert plan.cost.date == "2026-10-01T00:00:00Z"
    assert "fake-card-2026" in plan.cost.basis
    assert driver.billed(handle) == Cost.exactly(expected, basis="billed by IonQ for this job")


def test_settings_with_more_rotations_are_in_the_estimate(fake):
    driver = driver_of(fake, "qpu.forte-1")
    asked = request(zoo(3), LocalStates([(0, 1), (1, 2)]), rows=2, shots=100)
    high = plan_for(driver, asked).cost.high
    through(driver, asked)
    one, two = counted(fake.jobs.values())
    exact = 100 * (one * ONE + two * TWO)
    assert exact <= high <= exact + 18 * 100 * ONE  # the mean over nine settings is rounded up


def test_shots_in_pieces_are_priced_by_piece(fake, monkeypatch):
    monkeypatch.setattr("qimg_ionq.devices.MAX_SHOTS", 1000)
    driver = driver_of(fake, "qpu.forte-1")
    plan = plan_for(driver, request(zoo(3), Probabilities((0,)), rows=1, shots=2500))
    assert plan.shots_per_job == (834, 833, 833)
    piece = {w.shots: w.circuits for w in money.works(plan)}
    assert piece == {833: 2, 834: 1}
    work = money.works(plan)[0]
    assert plan.cost.high == 2500 * (work.one * ONE + work.two * TWO)


def test_a_least_price_of_a_job_widens_the_bounds():
    with FakeIonQ(minimum=12.42) as fake:
        driver = driver_of(fake, "qpu.forte-1")
        cost = plan_for(driver, request(zoo(3), Probabilities((0,)), rows=4, shots=10)).cost
        assert (cost.low, cost.high) == (Decimal("12.42"), Decimal("49.68"))


def test_the_simulator_is_free_and_is_not_asked(fake):
    plan = plan_for(driver_of(fake), request(zoo(3), Probabilities((0,))))
    assert plan.cost.is_free
    assert plan.cost.basis == "IonQ bills no simulator jobs"
    assert fake.seen == []
    handle, _ = through(driver_of(fake), request(zoo(3), Probabilities((0,))))
    assert driver_of(fake).billed(handle) is None


def test_the_same_work_is_asked_once(fake):
    driver = driver_of(fake, "qpu.forte-1")
    for seed in range(3):
        plan_for(driver, request(zoo(3), Probabilities((0,)), shots=100, seed=seed))
    assert len(fake.seen) == 1
    plan_for(driver, request(zoo(3), Probabilities((0,)), shots=101))
    assert len(fake.seen) == 2


def test_an_estimate_that_names_no_price_is_unknown_and_not_free(fake):
    asked = request(zoo(3), Probabilities((0,)), shots=100)
    for answer in ({}, [], {"estimated_total_cost": 1}, {"estimated_total_cost": "1", "estimated_unit": "usd"}):
        fake._estimate = lambda query, answer=answer: Response.json(answer)
        cost = plan_for(driver_of(fake, "qpu.forte-1"), asked).cost
        assert (cost.low, cost.high) == (None, None)
    fake._estimate = lambda query: Response.json({"message": "no contract"}, 404)
    cost = plan_for(driver_of(fake, "qpu.forte-1"), asked).cost
    assert cost.high is None
    assert "no contract" in cost.basis
    fake._estimate = lambda query: Response.json({}, 503)
    with pytest.raises(BackendUnavailable):
        plan_for(driver_of(fake, "qpu.forte-1"), asked)


def test_units_and_sums():
    work = money.Work(3, 1, 1, 100, 2)
    answer = {"estimated_total_cost": 24.83, "estimated_unit": "credit"}
    assert money.quoted(answer, work).unit == "credits"
    assert money.quoted(answer, work).high == Decimal("49.66")
    usd = Cost.exactly(Decimal(1), basis="a")
    assert money.together([usd, usd]).high == 2
    assert money.together([usd, Cost.exactly(Decimal(1), unit="credits", basis="b")]).high is None
    assert money.together([usd, Cost.unknown("c")]).high is None
    billed = {"cost": {"value": 24.83, "unit": "usd"}}
    assert money.billed(billed).high == Decimal("24.83")
    for missing in (
        {},
        [],
        {"cost": None},
        {"cost": {"value": None, "unit": "usd"}},
        {"estimated_cost": billed["cost"]},
    ):
        assert money.billed(missing) is None


def test_a_budget_is_kept_before_anything_is_sent_and_reconciled_after(fake):
    asked = request(zoo(3), Probabilities((0,)), rows=1, shots=1000)
    driver = driver_of(fake, "qpu.forte-1")
    options = {"seed": 1, "backend": driver, "registry": Registry(discover=False), "polling": QUIET}
    session = Session(None, budget=Budget(max_cost=Decimal("0.01")), **options)
    with pytest.raises(BudgetExceeded):
        session.execute(asked)
    assert fake.jobs == {}
    with Session(None, budget=Budget(max_cost=Decimal(1000)), **options) as session:
        session.execute(asked)
        finished = [e.facts for e in session.ledger.entries() if e.kind == "job.finished"]
    (facts,) = finished
    assert facts["billed"]["basis"] == "billed by IonQ for this job"
    assert Decimal(facts["billed"]["high"]) > 0


# -- characterization -----------------------------------------------------------------------------------------


def test_the_characterization_in_the_common_form(fake):
    snapshot = driver_of(fake, "qpu.forte-1").snapshot()
    assert snapshot.data["schema"] == "qimg.calibration/1"
    assert snapshot.data["average"] == {
        "wires": {"t1_us": "100000000.0", "t2_us": "1000000.0", "readout": ["0.0038", "0.0038"]},
        "gates": {"1q": {"error": "0.0002"}, "2q": {"error": "0.0069"}},
    }
    assert snapshot.data["updated_at"] == "2026-10-01T00:00:00Z"
    figures = Calibration.from_snapshot(snapshot)
    assert figures.average_gates["2q"].error == 0.0069
    before = snapshot
    fake.recalibrate()
    after = driver_of(fake, "qpu.forte-1").snapshot()
    assert after.digest != before.digest
    assert driver_of(fake).snapshot() is None


def test_figures_with_times_of_gates_and_means():
    document = {
        "id": "x",
        "fidelity": {"spam": {"mean": 0.99752}, "1q": {"mean": 0.9998}, "2q": {"mean": 0.99}},
        "timing": {"t1": 10, "t2": 1.5, "1q": 0.000135, "2q": 0.0006, "readout": 0.00025, "reset": 0.00002},
    }
    data = calibration_data(document, {"status": "available"}, "qpu.x")
    assert data["average"] == {
        "wires": {"t1_us": "10000000.0", "t2_us": "1500000.0", "readout": ["0.00248", "0.00248"]},
        "gates": {
            "1q": {"error": "0.0002", "duration_ns": "135000.0"},
            "2q": {"error": "0.01", "duration_ns": "600000.0"},
        },
    }
    Calibration.from_json(data)


def test_figures_that_are_missing_or_nonsense_are_left_out():
    for document in (
        {},
        {"fidelity": None, "timing": []},
        {"fidelity": {"spam": {"median": 7}}, "timing": {"t1": "x"}},
    ):
        data = calibration_data(document, {}, "qpu.x")
        Calibration.from_json(data)
        assert "gates" not in data.get("average", {})


def test_a_machine_that_names_no_current_characterization_is_asked_for_its_list(fake):
    asked = fake._backend
    fake._backend = lambda path: (
        Response.json({"backend": "qpu.forte-1", "status": "available"}) if path.count("/") == 2 else asked(path)
    )
    snapshot = driver_of(fake, "qpu.forte-1").snapshot()
    assert snapshot.data["characterization"] == "617a1f8b-59d4-435d-aa33-000000000000"
    assert fake.seen[-1].path.endswith("/characterizations?limit=1")


def test_the_plan_of_a_wide_expectation_counts_its_circuits(fake):
    driver = driver_of(fake, "qpu.forte-1")
    terms = [pauli("X0 Z1"), pauli("Y0 Z1"), pauli("Z0")]
    plan = plan_for(driver, request(zoo(3), Expectation(terms), rows=5, shots=10))
    assert money.works(plan)[0].circuits == 15
    driver.submit(plan, 0, intent=intent_of(plan.request))
    assert len(fake.children) == 15
    np.testing.assert_equal(len(fake.jobs), 1)
