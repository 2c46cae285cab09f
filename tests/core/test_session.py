"""The road: request -> plan -> admit -> submit -> record, on the reference device and a fake provider."""

import json
from decimal import Decimal

import numpy as np
import pytest
from attrs import evolve

from qimg_core import (
    Budget,
    CircuitBuilder,
    ExecutionRequest,
    Expectation,
    Probabilities,
    Registry,
    Session,
    hookimpl,
    pauli,
)
from qimg_core.admission import Decision
from qimg_core.errors import (
    AdmissionDenied,
    BudgetExceeded,
    CapabilityError,
    DataError,
    FallbackExhausted,
    JobFailed,
    SubmissionUncertain,
    UnknownCost,
    UnknownName,
)
from qimg_core.hooks import BackendSpec
from qimg_core.jobs import Polling
from qimg_core.routing import Hop
from qimg_core.testing import FakeProvider, ReferenceBackend


@pytest.fixture
def registry():
    return Registry(discover=False)


def one_qubit():
    b = CircuitBuilder(1)
    return b.ry(0, b.input("x")).build()


def request(rows=3, **changes):
    circuit = one_qubit()
    x = np.linspace(0.1, 1.3, rows)[:, None]
    return ExecutionRequest(
        circuit=circuit, inputs=x, weights=np.zeros(0), measurement=Expectation([pauli("Z0")]), **changes
    )


def kinds(session):
    return [e.kind for e in session.ledger.entries()]


def test_exact_value_and_its_record(registry):
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as session:
        result = session.execute(request())
        np.testing.assert_allclose(result.data[:, 0], np.cos(np.linspace(0.1, 1.3, 3)), atol=1e-12)
    assert kinds(session) == ["run.started", "plan.admitted", "executions", "run.finished"]
    rows = next(iter(session.ledger.entries(kind="executions")))
    line = json.loads(session.ledger.get(rows.facts["artefacts"]["rows"]))
    assert line["request"] == result.request.digest
    assert line["circuit"] == one_qubit().digest
    admitted = next(iter(session.ledger.entries(kind="plan.admitted")))
    assert json.loads(session.ledger.get(admitted.facts["artefacts"]["circuit"])) == one_qubit().to_json()
    assert session.ledger.verify().verdict == "pass"


def test_nothing_is_written_by_planning_or_by_an_unknown_name(registry, tmp_path):
    session = Session(tmp_path / "runs", seed=1, backend=ReferenceBackend(), registry=registry)
    plan = session.plan(request())
    session.close()
    assert plan.n_jobs == 1
    assert plan.cost.is_free
    with pytest.raises(UnknownName):
        Session(tmp_path / "runs", backend="simulater", registry=registry)
    assert not (tmp_path / "runs").exists()


def test_a_plan_is_reused_only_for_the_same_structure(registry):
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as session:
        for rows in (3, 3, 4):
            session.execute(request(rows))
    assert kinds(session).count("plan.admitted") == 2


def test_light_profile_keeps_run_level_entries_only(registry):
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry, profile="light") as session:
        session.execute(request())
    assert kinds(session) == ["run.started", "plan.admitted", "run.finished"]
    assert list(session.ledger.entries(kind="run.finished"))[0].facts["executions"] == 1


def test_free_work_is_grouped(registry):
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as session:
        for _ in range(300):
            session.execute(request(1))
    counts = [e.facts["count"] for e in session.ledger.entries(kind="executions")]
    assert counts == [256, 44]


def test_training_steps_carry_their_loss(registry):
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as session:
        for step in range(1, 4):
            session.execute(request(1))
            session.execute(request(1))
            session.step(step, {"loss": 1 / step})
    entry = list(session.ledger.entries(kind="executions"))[0]
    lines = [json.loads(x) for x in session.ledger.get(entry.facts["artefacts"]["rows"]).splitlines()]
    assert [x["step"] for x in lines] == [1, 1, 2, 2, 3, 3]
    assert [x.get("loss") for x in lines] == [None, "1.0", None, "0.5", None, repr(1 / 3)]
    assert entry.facts["steps"] == 3


def test_a_failed_run_says_so(registry):
    session = Session(None, seed=1, backend=ReferenceBackend(), registry=registry)
    with pytest.raises(ZeroDivisionError), session:
        session.execute(request())
        1 / 0  # noqa: B018
    assert list(session.ledger.entries(kind="run.finished"))[0].facts["status"] == "failed"


def test_seeds_depend_on_the_name_and_not_on_the_order(registry):
    a, b = (Session(None, seed=5, backend=ReferenceBackend(), registry=registry) for _ in range(2))
    first = a.seed_for("x"), a.seed_for("y", 1)
    second = b.seed_for("y", 1), b.seed_for("x")
    assert first == second[::-1]
    assert len({a.seed_for("x"), a.seed_for("x", 0), a.seed_for("x", "0"), a.seed_for("y")}) == 4


def test_remote_jobs_leave_an_intent_before_and_a_result_after(registry):
    fake = FakeProvider(max_rows=2, polls=2)
    naps = []
    with Session(None, seed=1, backend=fake, registry=registry, polling=Polling(sleep=naps.append)) as session:
        result = session.execute(request(3, shots=1000, seed=4))
    assert result.data.shape == (3, 1)
    assert [handle.provider_ids[0] for handle in result.record.jobs] == list(fake.jobs)
    assert kinds(session) == [
        "run.started",
        "plan.admitted",
        "jobs.intended",
        *["job.submitted"] * 2,
        *["job.finished"] * 2,
        "executions",
        "run.finished",
    ]
    assert naps == [0.2, pytest.approx(0.32)]  # one sweep asks for both jobs


@pytest.mark.parametrize("fault", ["unavailable", "rate limited", "accepted then dropped"])
def test_a_transport_fault_ends_in_one_job(registry, fault):
    fake = FakeProvider(fault=fault)
    naps = []
    with Session(None, seed=1, backend=fake, registry=registry, polling=Polling(sleep=naps.append)) as session:
        session.execute(request())
    assert len(fake.jobs) == 1
    assert 3.0 in naps or fault != "rate limited"


def test_uncertain_and_not_found_is_never_resubmitted(registry):
    fake = FakeProvider(fault="lost before accept")
    session = Session(None, seed=1, backend=fake, registry=registry, polling=Polling(sleep=lambda s: None))
    with pytest.raises(SubmissionUncertain), session:
        session.execute(request())
    assert fake.submits == 1
    assert kinds(session)[-2:] == ["jobs.intended", "run.finished"]


def test_a_failed_job_raises_with_the_providers_reason(registry):
    fake = FakeProvider(fault="fails")
    with Session(None, seed=1, backend=fake, registry=registry, polling=Polling(sleep=lambda s: None)) as session:
        with pytest.raises(JobFailed, match="cold"):
            session.execute(request())


def test_budget_is_checked_before_anything_is_sent(registry):
    fake = FakeProvider(price=Decimal("0.40"))
    budget = Budget(max_cost=Decimal(1))
    polling = Polling(sleep=lambda s: None)
    with Session(None, seed=1, backend=fake, registry=registry, budget=budget, polling=polling) as session:
        session.execute(request())
        session.execute(request())
        with pytest.raises(BudgetExceeded, match="1.20"):
            session.execute(request())
    assert fake.submits == 2


def test_unknown_price_is_not_free(registry):
    fake = FakeProvider(price=None)
    with Session(None, seed=1, backend=fake, registry=registry) as session:
        with pytest.raises(UnknownCost):
            session.execute(request())
    assert fake.submits == 0


def test_a_policy_can_refuse_and_the_refusal_is_recorded(registry):
    class Never:
        @hookimpl
        def qimg_admit(self, plan, context):
            return Decision(verdict="deny", policy="never/1", reasons=(f"not on {plan.backend}",))

    registry.register(Never(), "never")
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as session:
        with pytest.raises(AdmissionDenied, match="not on reference"):
            session.execute(request())
    assert "plan.refused" in kinds(session)
    assert "executions" not in kinds(session)


class Tiny(ReferenceBackend):
    """One wire; what is larger goes to a device named "large"."""

    name = "tiny"

    @property
    def capabilities(self):
        return evolve(super().capabilities, max_wires=1, successor="large")


class Large:
    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="large", target="qimg_core.testing:ReferenceBackend", summary="any size")]


def two_wires():
    circuit = CircuitBuilder(2).ry(0, 0.3).cx(0, 1).build()
    return ExecutionRequest(
        circuit=circuit, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Expectation([pauli("Z1")])
    )


def test_too_many_wires_are_handed_over_and_the_plan_and_the_record_say_so(registry):
    registry.register(Large(), "large")
    with Session(None, seed=1, backend=Tiny(), registry=registry) as session:
        assert session.plan(request()).backend == "tiny"
        plan = session.plan(two_wires())
        assert plan.backend == "reference"
        assert plan.decisions[-1] == "handed over from tiny to large: tiny takes 1 wires, the circuit has 2"
        result = session.execute(two_wires())
        np.testing.assert_allclose(result.data, [[np.cos(0.3)]])
        assert result.record.asked_backend == "tiny"
        assert result.record.ran_backend == "reference"
        assert result.record.fallback_reason == "tiny takes 1 wires, the circuit has 2"


def test_without_the_larger_device_the_refusal_names_it(registry):
    with Session(None, seed=1, backend=Tiny(), registry=registry) as session:
        with pytest.raises(CapabilityError, match="wires") as caught:
            session.execute(two_wires())
        assert "large" in caught.value.hint
        assert "execution" not in kinds(session)


@pytest.mark.parametrize("groups", [1, 2, 3, 6])
def test_weights_for_groups_of_rows_are_the_weights_of_each_row(registry, groups):
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).ry(0, b.weight("w")).build()
    x, w = np.linspace(0.1, 1.3, 6)[:, None], np.linspace(-1, 2, groups)[:, None]
    asked = ExecutionRequest(circuit=circuit, inputs=x, weights=w, measurement=Expectation([pauli("Z0")]))
    assert asked.groups == (None if groups == 6 else groups)
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as session:
        np.testing.assert_allclose(session.execute(asked).data, np.cos(x + np.repeat(w, 6 // groups, 0)))


def test_weights_for_groups_that_do_not_divide_the_rows_are_refused():
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.weight("w")).build()
    with pytest.raises(DataError, match="divide the 6 rows"):
        ExecutionRequest(
            circuit=circuit, inputs=np.zeros((6, 0)), weights=np.zeros((4, 1)), measurement=Expectation([pauli("Z0")])
        )


def test_fallback_is_explicit_and_recorded(registry):
    class Small(FakeProvider):
        name = "small"

    small = Small()
    wide = CircuitBuilder(11).x(10).build()
    ask = ExecutionRequest(circuit=wide, inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Probabilities([10]))
    session = Session(None, seed=1, backend=small, registry=registry)
    with pytest.raises(CapabilityError, match="wires: wanted 11, offered up to 10"):
        session.plan(ask)
    session.hops = (Hop("small"), Hop("reference"))
    session._backends["reference"] = ReferenceBackend()
    with pytest.raises(FallbackExhausted):
        session.plan(ask)

    class Wide(ReferenceBackend):
        @property
        def capabilities(self):
            return evolve(super().capabilities, max_wires=12)

    session._backends["reference"] = Wide()
    result = session.execute(ask)
    session.close()
    np.testing.assert_allclose(result.data, [[0, 1]])
    assert result.record.asked_backend == "small"
    assert result.record.ran_backend == "reference"
    assert "wires" in result.record.fallback_reason


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"inputs": np.zeros((3, 2))}, "inputs"),
        ({"weights": np.zeros(4)}, "weights"),
        ({"inputs": np.full((3, 1), np.nan)}, "finite"),
    ],
)
def test_bad_arrays_are_refused_before_planning(changes, word):
    from attrs import evolve

    with pytest.raises(DataError, match=word):
        evolve(request(), **changes)


def test_watchers_see_entries_and_never_block(registry, caplog):
    seen = []

    class Watch:
        @hookimpl
        def qimg_entry_appended(self, entry):
            seen.append(entry.kind)
            raise RuntimeError("the watcher broke")

    registry.register(Watch(), "watch")
    with Session(None, seed=1, backend=ReferenceBackend(), registry=registry) as session:
        session.execute(request())
    assert seen == kinds(session)
    assert "watch" in caplog.text
