"""``ibm:ibm_...`` on a fake of IBM's service: results, one job whatever goes wrong, adoption, money, secrets."""

import json
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest
from attrs import evolve

from qimg_core.circuit import CircuitBuilder
from qimg_core.circuit.pauli import PauliString
from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    CapabilityError,
    JobCancelled,
    JobFailed,
    JobLost,
    ProtocolError,
    ResultError,
    SubmissionRejected,
    SubmissionUncertain,
    UnknownName,
)
from qimg_core.execution import ExecutionRequest
from qimg_core.job import Intent, JobHandle, JobState
from qimg_core.jobs.polling import Polling
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples, State
from qimg_core.routing import plan_for
from qimg_core.session import Session
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.faults import Faults
from qimg_core.testing.statistics import explained_by, multinomial_test
from qimg_ibm.remote import IBMBackend
from qimg_ibm.sending import tag_of_key
from qimg_ibm.testing import FakeIBM
from qimg_ibm.testing.cloud import CRN

CANARY = "canary-0f8c-api-key-that-must-not-be-seen"
NOW = Polling(sleep=lambda _: None, settle=1.0)

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the SDK's own clients, at exit


@pytest.fixture(scope="module")
def shared():
    """One fake and one driver, for tests that leave no faults behind."""
    with FakeIBM(key=CANARY) as fake, pytest.MonkeyPatch.context() as env:
        for name, value in fake.environment().items():
            env.setenv(name, value)
        driver = IBMBackend("ibm_manila")
        yield fake, driver
        driver.close()


@pytest.fixture
def ibm(shared):
    """The same, as new: no jobs, no faults, nothing seen."""
    fake, driver = shared
    fake.faults, fake.fails, fake.operational, fake.polls = Faults(), "", True, 1
    fake.usage["usage_limit_reached"] = False
    fake.jobs.clear()
    fake.seen.clear()
    return fake, driver


def asked(measurement=None, rows=2, shots=400):
    b = CircuitBuilder(3)
    for wire in range(3):
        b.ry(wire, b.input(f"x{wire}") * 1.3 + 0.2).rz(wire, b.weight(f"w{wire}")).rx(wire, 0.3 + wire)
    circuit, rng = b.cx(0, 1).cz(1, 2).ry(0, 0.4).build(), np.random.default_rng(2)
    return ExecutionRequest(
        circuit=circuit,
        inputs=rng.normal(size=(rows, 3)),
        weights=rng.normal(size=3),
        measurement=measurement or Probabilities((2, 0, 1)),
        shots=shots,
    )


def posts(fake):
    return sum(s.method == "POST" and s.path.endswith("/jobs") for s in fake.seen)


def run(driver, wanted=None, polling=NOW):
    """Through the whole road of a session; the driver stays open."""
    session = Session(None, backend=driver, polling=polling)
    result = session.execute(wanted or asked())
    return result, list(session.ledger.entries(run=session.run))


def intent(n=0):
    return Intent(run="20260101-000000-abcdef01", ordinal=n, job=0, request="sha256:1", at="2026-01-01T00:00:00+00:00")


def submitted(driver, n=0, wanted=None):
    return driver.submit(plan_for(driver, wanted or asked()), 0, intent=intent(n))


def done(driver, handle):
    while not driver.poll(handle).state.terminal:
        pass
    return driver.fetch(handle)


# -- results -----------------------------------------------------------------------------------------------


def test_the_order_of_wires_is_ours(ibm):
    wanted = asked(Probabilities((2, 0, 1)), rows=1, shots=3000)
    counts = np.rint(run(ibm[1], wanted)[0].data[0] * 3000).astype(int)
    exact = ReferenceBackend().run(evolve(wanted, shots=None)).data[0].reshape(2, 2, 2)
    orders = [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 0, 2)]
    right, *wrong = explained_by(counts, np.stack([exact.transpose(o).reshape(-1) for o in orders]))
    assert right - max(wrong) > 14
    assert multinomial_test(counts, exact.reshape(-1), seed=1).p_value > 1e-3


def test_every_row_and_setting_is_right(ibm):
    fake, driver = ibm
    local = asked(LocalStates([(0, 1), (2,)]), rows=3, shots=2000)
    exact = ReferenceBackend().run(evolve(local, shots=None)).data
    assert np.abs(run(driver, local)[0].data - exact).max() < 0.11
    mean = asked(Expectation([PauliString(((0, "X"), (2, "Y")), -2.0), PauliString(((1, "Z"),))]), rows=3, shots=2000)
    exact = ReferenceBackend().run(evolve(mean, shots=None)).data
    assert np.abs((run(driver, mean)[0].data - exact) / [2, 1]).max() < 0.11
    assert len(fake.jobs) == 2


def test_rows_of_a_circuit_without_parameters(ibm):
    circuit = CircuitBuilder(2).x(1).h(0).build()
    wanted = ExecutionRequest(
        circuit=circuit, inputs=np.zeros((3, 0)), weights=np.zeros(0), measurement=Samples((1, 0)), shots=200
    )
    bits = run(ibm[1], wanted)[0].data
    assert bits.shape == (3, 200, 2)
    assert (bits[:, :, 0] == 1).all()
    assert np.abs(bits[:, :, 1].mean(1) - 0.5).max() < 0.2


def test_what_a_record_says(ibm):
    fake, driver = ibm
    result, entries = run(driver)
    (handle,), extra = result.record.jobs, result.record.jobs[0].extra
    (job,) = fake.jobs.values()
    assert handle.provider_ids == (job.id,)
    assert job.tags == [f"qimg-run-{entries[0].run}", tag_of_key(handle.key)]
    assert extra["options"] == {
        "dynamical_decoupling": False,
        "twirling_gates": False,
        "twirling_measure": False,
        "init_qubits": True,
        "rep_delay": "default",
        "meas_type": "classified",
        "max_execution_time": job.request["cost"],
        "private": False,
        "tags": job.tags,
    }
    assert extra["circuits"] == result.record.footprint.digest
    assert extra["reading"]["measurement"] == {"kind": "probabilities", "wires": [2, 0, 1]}
    assert len(extra["layout"][0]) == 3
    assert JobHandle.from_json(json.loads(json.dumps(handle.to_json()))) == handle
    finished = next(e for e in entries if e.kind == "job.finished").facts
    assert finished["raw"] == "sha256:" + __import__("hashlib").sha256(job.result.encode()).hexdigest()


def test_reading_twice_gives_the_same_bytes(ibm):
    driver = ibm[1]
    handle = submitted(driver)
    first, again = done(driver, handle), driver.fetch(handle)
    assert first.raw == again.raw
    assert first.raw_digest == again.raw_digest
    assert (first.data == again.data).all()
    assert (first.shots, first.sampling) == (400, "native")


# -- one job, whatever goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["dropped", "500", "503", "garbage", "missing fields", "partial result"])
def test_accepted_and_the_answer_lost_is_one_job_adopted(ibm, fault):
    fake, driver = ibm
    fake.faults.add(fault, "after accept")
    result, entries = run(driver)
    assert (posts(fake), len(fake.jobs)) == (1, 1)
    assert [e.kind for e in entries].count("job.adopted") == 1
    exact = ReferenceBackend().run(evolve(asked(), shots=None)).data
    assert np.abs(result.data - exact).max() < 0.15
    assert len(fake.faults.struck) == 1


def test_accepted_and_no_answer_at_all_is_one_job_adopted(ibm):
    fake, _ = ibm
    fake.faults.add("hang", "after accept")
    driver = IBMBackend("ibm_manila", timeout=0.7)
    _, entries = run(driver)
    driver.close()
    assert (posts(fake), len(fake.jobs)) == (1, 1)
    assert [e.kind for e in entries].count("job.adopted") == 1


@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_refused_before_it_was_accepted_is_sent_again(ibm, fault):
    fake, driver = ibm
    fake.faults.add(fault, "before send", 2)
    slept = []
    run(driver, polling=Polling(sleep=slept.append, settle=1.0))
    assert (posts(fake), len(fake.jobs)) == (3, 1)
    assert len(fake.faults.struck) == 2
    if fault == "429":
        assert max(slept) >= 1.0, "Retry-After was not heeded"


def test_a_broken_connection_without_a_job_is_uncertain_and_is_not_sent_again(ibm):
    fake, driver = ibm
    fake.faults.add("dropped", "before send")
    with pytest.raises(SubmissionUncertain, match="not known whether"):
        run(driver)
    assert (posts(fake), len(fake.jobs)) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "point"),
    [
        *(
            (f, "after acknowledgement")
            for f in ("429", "500", "dropped", "garbage", "missing fields", "unknown state")
        ),
        *((f, "during download") for f in ("429", "503", "dropped", "garbage", "missing fields", "partial result")),
    ],
)
def test_questions_and_downloads_are_repeated(ibm, fault, point):
    fake, driver = ibm
    fake.faults.add(fault, point, 2)
    result, _ = run(driver)
    assert (posts(fake), len(fake.jobs), len(fake.faults.struck)) == (1, 1, 2)
    assert result.data.shape == (2, 8)


@pytest.mark.parametrize(
    ("fault", "error"), [("garbage", ProtocolError), ("unknown state", ProtocolError), ("503", BackendUnavailable)]
)
def test_a_question_that_fails_says_how(ibm, fault, error):
    fake, driver = ibm
    handle = submitted(driver)
    fake.faults.add(fault, "after acknowledgement")
    with pytest.raises(error):
        driver.poll(handle)


@pytest.mark.parametrize("fault", ["garbage", "partial result", "missing fields"])
def test_a_result_that_cannot_be_read_says_so(ibm, fault):
    fake, driver = ibm
    handle = submitted(driver)
    done(driver, handle)
    fake.faults.add(fault, "during download")
    with pytest.raises(ResultError):
        driver.fetch(handle)


def test_the_vendors_client_makes_two_jobs_where_the_driver_makes_one(ibm):
    """Why the SDK's repetition of submissions is turned off: 503 after the job was accepted."""
    from qiskit_ibm_runtime import QiskitRuntimeService
    from qiskit_ibm_runtime.executor_sampler import Sampler

    fake, driver = ibm
    service = QiskitRuntimeService(
        channel="ibm_quantum_platform", token=CANARY, instance=CRN, url_resolver=fake.url_resolver
    )
    device = service.backend("ibm_manila")
    made = driver._compiler.all(asked())[1][0]
    fake.faults.add("503", "after accept")
    job = Sampler(mode=device).run([(made.circuit, np.zeros((2, len(made.columns))))], shots=50)
    assert len(fake.jobs) == 2
    assert job.result(poll_interval=0.1)[0].data["c"].to_bool_array().shape == (2, 50, 3)


# -- found again -------------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_tag_and_read_without_its_handle(ibm):
    driver = ibm[1]
    handle = submitted(driver, 5)
    found = driver.find(intent(5))
    assert found.provider_ids == handle.provider_ids
    assert "reading" not in found.extra
    assert (done(driver, found).data == driver.fetch(handle).data).all()
    assert driver.find(intent(6)) is None


def test_of_several_jobs_of_one_key_the_first_is_taken(ibm):
    _fake, driver = ibm
    first, second = submitted(driver), submitted(driver)
    assert driver.find(intent()).provider_ids == first.provider_ids
    assert driver.find(intent()).extra["doubles"] == list(second.provider_ids)
    driver.cancel(first)
    assert driver.find(intent()).provider_ids == second.provider_ids


READ = """
import json, sys, warnings
warnings.simplefilter("ignore")
from qimg_core.job import JobHandle
from qimg_ibm.devices import open_device
with open_device("ibm_manila") as driver:
    raw = driver.fetch(JobHandle.from_json(json.loads(sys.argv[1])))
    print(json.dumps([raw.data.tolist(), raw.raw_digest]))
"""


def test_another_process_reads_the_same(ibm):
    driver = ibm[1]
    handle = submitted(driver)
    raw = done(driver, handle)
    out = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(handle.to_json())], capture_output=True, text=True, check=True
    )
    data, digest = json.loads(out.stdout)
    assert digest == raw.raw_digest
    assert data == raw.data.tolist()


def test_the_result_of_another_job_is_refused(ibm):
    driver = ibm[1]
    mine, other = submitted(driver, 1), submitted(driver, 2)
    done(driver, mine)
    done(driver, other)
    with pytest.raises(ResultError, match="another job"):
        driver.fetch(evolve(mine, provider_ids=other.provider_ids))
    with pytest.raises(ResultError, match="another job"):
        driver.fetch(evolve(mine, provider_ids=other.provider_ids, extra={}))


def test_a_job_that_ibm_no_longer_has_is_lost(ibm):
    fake, driver = ibm
    handle = submitted(driver)
    fake.jobs.clear()
    with pytest.raises(JobLost):
        driver.poll(handle)
    with pytest.raises(JobLost):
        driver.fetch(handle)


# -- ends --------------------------------------------------------------------------------------------------


def test_cancel(ibm):
    fake, driver = ibm
    fake.polls = 100
    handle = submitted(driver)
    assert driver.cancel(handle) is True
    assert driver.poll(handle).state is JobState.CANCELLED
    assert driver.cancel(handle) is False
    with pytest.raises(JobCancelled):
        driver.fetch(handle)
    assert driver.billed(handle).high == 0


def test_somebody_cancels(ibm):
    fake, driver = ibm
    fake.polls = 100
    fake.faults.call("after acknowledgement", lambda: [setattr(j, "status", "Cancelled") for j in fake.jobs.values()])
    with pytest.raises(JobCancelled):
        run(driver)


def test_a_failure_carries_ibms_reason_and_is_not_repeated(ibm):
    fake, driver = ibm
    fake.fails = "The instruction ecr on qubits (1, 0) is not supported"
    with pytest.raises(JobFailed, match=r"error code 1517: The instruction ecr on qubits \(1, 0\)"):
        run(driver)
    assert posts(fake) == 1
    with pytest.raises(JobFailed, match="ecr"):
        driver.fetch(driver._handle(next(iter(fake.jobs)), "0" * 64, "", {}))


def test_what_is_not_claimed_is_not_sent(ibm):
    fake, driver = ibm
    plan = plan_for(driver, asked())
    for wrong in (evolve(asked(), shots=None), evolve(asked(), require_seed=True), asked(State())):
        with pytest.raises(CapabilityError):
            driver.submit(evolve(plan, request=wrong, lowered=wrong), 0, intent=intent())
    assert posts(fake) == 0


# -- money -------------------------------------------------------------------------------------------------


def test_the_estimate_is_ibms_formula_and_its_bound_is_sent_along(ibm):
    fake, driver = ibm
    wanted = asked(LocalStates([(0, 1)]), rows=5, shots=1000)
    plan = plan_for(driver, wanted)
    seconds = [isa.seconds for isa in driver._compiler.all(wanted)[1]]
    by_hand = 2 + 5 * 1000 * (9 * 250e-6 + sum(seconds))
    assert len(seconds) == 9
    assert all(1e-6 < s < 50e-6 for s in seconds)
    assert float(plan.cost.low) == pytest.approx(by_hand, abs=1e-3)
    assert (plan.cost.unit, plan.cost.date) == ("qpu_seconds", "2026-04-09")
    handle = driver.submit(plan, 0, intent=intent())
    (job,) = fake.jobs.values()
    assert job.request["cost"] == handle.extra["options"]["max_execution_time"] == plan.cost.high
    assert plan.cost.high == np.ceil(2 * by_hand + 10)


def test_more_than_a_job_takes_is_cut(ibm):
    fake, driver = ibm
    plan = plan_for(driver, asked(rows=40, shots=100_000, measurement=LocalStates([(0, 1)])))
    assert plan.rows_per_job == (11, 11, 11, 7)
    assert len(fake.jobs) == 0


def test_what_was_billed(ibm):
    _fake, driver = ibm
    handle = submitted(driver)
    assert driver.billed(handle) is None
    done(driver, handle)
    assert (driver.billed(handle).high, driver.billed(handle).unit) == (Decimal(2), "qpu_seconds")
    _, entries = run(driver)
    finished = next(e for e in entries if e.kind == "job.finished").facts
    assert finished["billed"]["high"] == "2"


def test_an_instance_without_time_gets_no_job(ibm):
    fake, driver = ibm
    plan = plan_for(driver, asked())
    fake.usage["usage_limit_reached"] = True
    with pytest.raises(SubmissionRejected, match="no time left"):
        driver.submit(plan, 0, intent=intent())
    assert posts(fake) == 0


def test_a_device_in_maintenance_gets_no_job(ibm):
    fake, driver = ibm
    plan = plan_for(driver, asked())
    fake.operational = False
    with pytest.raises(BackendUnavailable, match="maintenance"):
        driver.submit(plan, 0, intent=intent())
    assert posts(fake) == 0


# -- calibration -------------------------------------------------------------------------------------------


def test_a_calibration_while_a_job_runs_is_seen(ibm):
    fake, driver = ibm
    before = driver.snapshot()
    fake.faults.add("recalibrated", "after acknowledgement")
    result, _ = run(driver)
    after = driver.snapshot()
    assert before.data["schema"] == "qimg.calibration/1"
    assert set(before.changed(after)) == {"updated_at", "wires"}
    assert result.record.drift != ()


def test_without_a_new_calibration_nothing_drifts(ibm):
    assert run(ibm[1])[0].record.drift == ()


# -- secrets -----------------------------------------------------------------------------------------------


def test_the_key_and_the_account_are_nowhere(ibm, capfd, caplog, tmp_path):
    fake, driver = ibm
    session = Session(tmp_path / "runs", backend=driver, polling=NOW)
    handle = session.execute(asked()).record.jobs[0]
    texts = [str(handle.to_json()), repr(driver.__dict__), repr(driver._link.credentials)]
    fake.faults.add("429", "after acknowledgement")
    with pytest.raises(BackendUnavailable) as error:
        driver.poll(handle)
    texts.append(str(error.value))
    fake.fails = f"the service repeats {CANARY} and {CRN}"
    with pytest.raises(JobFailed) as failed:
        session.execute(asked())
    texts.append(str(failed.value))
    session.close()
    texts += [*capfd.readouterr(), caplog.text]
    stored = b"".join(f.read_bytes() for f in (tmp_path / "runs").rglob("*") if f.is_file())
    assert any(s.authorized for s in fake.seen)
    for secret in (CANARY, CRN, "eyJ"):
        assert secret.encode() not in stored
        assert not any(secret in text for text in texts), f"{secret} is seen"
    assert "***" in str(failed.value)


def test_no_path_of_the_caller_is_sent(ibm, monkeypatch):
    """The SDK sends what follows certain words in the paths of the calling program's files."""
    fake, driver = ibm
    heads = []
    real = fake.handle
    monkeypatch.setattr(
        fake, "handle", lambda r: (heads.append(r.headers.get("x-qx-client-application", "")), real(r))[1]
    )
    monkeypatch.delenv("USAGE_DATA_OPT_OUT", raising=False)
    driver.close()
    exec(compile("run(driver)", "/home/jane/qiskit_finance/secret_fund.py", "exec"), {"run": run, "driver": driver})
    assert len(heads) > 5
    assert not any("secret_fund" in h for h in heads), heads


def test_a_refused_key_names_the_way_out(ibm, monkeypatch):
    monkeypatch.setenv("QIMG_IBM_TOKEN", "an-expired-key-which-the-fake-does-not-know")
    with pytest.raises(AuthenticationError, match="QIMG_IBM_TOKEN") as error:
        IBMBackend("ibm_manila").capabilities  # noqa: B018
    assert "an-expired-key" not in str(error.value)


def test_a_key_that_expires_in_between(ibm, monkeypatch):
    fake, driver = ibm
    driver.close()
    monkeypatch.setattr(fake, "lifetime", 0)
    handle = submitted(driver)
    monkeypatch.setattr(fake, "key", "another")
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("the SDK slept, for a login that had failed already"))
    before = len(fake.seen)
    with pytest.raises(AuthenticationError, match="expired"):
        driver.poll(handle)
    with pytest.raises(AuthenticationError, match="expired"):
        driver.submit(plan_for(driver, asked()), 0, intent=intent(3))
    assert posts(fake) == 1
    monkeypatch.setattr(fake, "key", CANARY)
    assert {s.path for s in fake.seen[before:]} == {"/identity/token"}, "the key itself was sent instead of a token"
    monkeypatch.undo()
    driver.close()


def test_an_instance_of_somebody_else(ibm, monkeypatch):
    monkeypatch.setenv("QIMG_IBM_INSTANCE", CRN.replace("fakeinstance", "other"))
    with pytest.raises(AuthenticationError, match="may not use this instance"):
        IBMBackend("ibm_manila").capabilities  # noqa: B018


def test_an_unknown_device_offers_the_known_ones(ibm):
    with pytest.raises(UnknownName, match="ibm_manila"):
        IBMBackend("ibm_manilla").capabilities  # noqa: B018


def test_credentials_are_wanted_in_words(monkeypatch):
    for name in ("QIMG_IBM_TOKEN", "QISKIT_IBM_TOKEN", "QIMG_IBM_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthenticationError, match="QIMG_IBM_TOKEN"):
        IBMBackend("ibm_manila").capabilities  # noqa: B018


def test_without_credentials_a_chain_goes_on(monkeypatch):
    monkeypatch.delenv("QIMG_IBM_TOKEN", raising=False)
    with Session(None, backend="ibm:ibm_manila", fallback=["ibm:aer"]) as session:
        result = session.execute(evolve(asked(), seed=1))
    assert result.record.ran_backend == "ibm:aer"
    assert "QIMG_IBM_TOKEN" in result.record.fallback_reason


def test_a_closed_driver_opens_again(ibm):
    driver = ibm[1]
    handle = submitted(driver)
    driver.close()
    driver.close()
    assert done(driver, handle).shots == 400


def test_a_provider_that_is_not_there(monkeypatch):
    with FakeIBM() as fake:
        environment = fake.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendUnavailable):
        IBMBackend("ibm_manila").capabilities  # noqa: B018


def test_a_submission_that_fails_early_is_not_taken_for_the_one_before(ibm):
    driver = ibm[1]
    submitted(driver)
    with pytest.raises(BackendUnavailable):
        driver._link.submit(lambda: driver._link._open().backend("ibm_other"))


def test_a_connection_that_is_refused_is_certainly_not_accepted(ibm):
    _fake, driver = ibm
    plan = plan_for(driver, asked())
    link = driver._link
    base = link._open()._active_api_client._session
    working, base.base_url = base.base_url, "http://127.0.0.1:9/api/v1"
    try:
        with pytest.raises(BackendUnavailable):
            link.submit(lambda: base.post("/jobs", data="{}"))
        with pytest.raises(BackendUnavailable):
            driver.submit(plan, 0, intent=intent())
    finally:
        base.base_url = working
