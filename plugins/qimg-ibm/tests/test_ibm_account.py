"""``ibm:ibm_...`` on a fake of the service: how jobs end, money, calibration, secrets, logging in."""

from decimal import Decimal

import numpy as np
import pytest
from attrs import evolve

from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    CapabilityError,
    JobCancelled,
    JobFailed,
    SubmissionRejected,
    UnknownName,
)
from qimg_core.job import JobState
from qimg_core.jobs import Polling
from qimg_core.measurement import LocalStates, State
from qimg_core.routing import plan_for
from qimg_core.session import Session
from qimg_ibm.remote import IBMBackend
from qimg_ibm.testing import FakeIBM
from qimg_ibm.testing.cloud import CRN

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the SDK's own clients, at exit


# -- ends --------------------------------------------------------------------------------------------------


def test_cancel(ibm):
    fake, driver = ibm
    fake.polls = 100
    handle = ibm.submitted(driver)
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
        ibm.run(driver)


def test_a_failure_carries_ibms_reason_and_is_not_repeated(ibm):
    fake, driver = ibm
    fake.fails = "The instruction ecr on qubits (1, 0) is not supported"
    with pytest.raises(JobFailed, match=r"error code 1517: The instruction ecr on qubits \(1, 0\)"):
        ibm.run(driver)
    assert ibm.posts(fake) == 1
    with pytest.raises(JobFailed, match="ecr"):
        driver.fetch(driver._handle(next(iter(fake.jobs)), "0" * 64, "", {}))


def test_what_is_not_claimed_is_not_sent(ibm):
    fake, driver = ibm
    plan = plan_for(driver, ibm.asked())
    for wrong in (evolve(ibm.asked(), shots=None), evolve(ibm.asked(), require_seed=True), ibm.asked(State())):
        with pytest.raises(CapabilityError):
            driver.submit(evolve(plan, request=wrong, lowered=wrong), 0, intent=ibm.intent())
    assert ibm.posts(fake) == 0


# -- money -------------------------------------------------------------------------------------------------


def test_the_estimate_is_ibms_formula_and_its_bound_is_sent_along(ibm):
    fake, driver = ibm
    wanted = ibm.asked(LocalStates([(0, 1)]), rows=5, shots=1000)
    plan = plan_for(driver, wanted)
    seconds = [isa.seconds for isa in driver._compiler.all(wanted)[1]]
    by_hand = 2 + 5 * 1000 * (9 * 250e-6 + sum(seconds))
    assert len(seconds) == 9
    assert all(1e-6 < s < 50e-6 for s in seconds)
    assert float(plan.cost.low) == pytest.approx(by_hand, abs=1e-3)
    assert (plan.cost.unit, plan.cost.date) == ("qpu_seconds", "2026-04-09")
    handle = driver.submit(plan, 0, intent=ibm.intent())
    (job,) = fake.jobs.values()
    assert job.request["cost"] == handle.extra["options"]["max_execution_time"] == plan.cost.high
    assert plan.cost.high == np.ceil(2 * by_hand + 10)


def test_more_than_a_job_takes_is_cut(ibm):
    fake, driver = ibm
    plan = plan_for(driver, ibm.asked(rows=40, shots=100_000, measurement=LocalStates([(0, 1)])))
    assert plan.rows_per_job == (11, 11, 11, 7)
    assert len(fake.jobs) == 0


def test_what_was_billed(ibm):
    _fake, driver = ibm
    handle = ibm.submitted(driver)
    assert driver.billed(handle) is None
    ibm.done(driver, handle)
    assert (driver.billed(handle).high, driver.billed(handle).unit) == (Decimal(2), "qpu_seconds")
    _, entries = ibm.run(driver)
    finished = next(e for e in entries if e.kind == "job.finished").facts
    assert finished["billed"]["high"] == "2"


def test_an_instance_without_time_gets_no_job(ibm):
    fake, driver = ibm
    plan = plan_for(driver, ibm.asked())
    fake.usage["usage_limit_reached"] = True
    with pytest.raises(SubmissionRejected, match="no time left"):
        driver.submit(plan, 0, intent=ibm.intent())
    assert ibm.posts(fake) == 0


def test_a_device_in_maintenance_gets_no_job(ibm):
    fake, driver = ibm
    plan = plan_for(driver, ibm.asked())
    fake.operational = False
    with pytest.raises(BackendUnavailable, match="maintenance"):
        driver.submit(plan, 0, intent=ibm.intent())
    assert ibm.posts(fake) == 0


# -- calibration -------------------------------------------------------------------------------------------


def test_a_calibration_while_a_job_runs_is_seen(ibm):
    fake, driver = ibm
    before = driver.snapshot()
    fake.faults.add("recalibrated", "after acknowledgement")
    result, _ = ibm.run(driver)
    after = driver.snapshot()
    assert before.data["schema"] == "qimg.calibration/1"
    assert set(before.changed(after)) == {"updated_at", "wires"}
    assert result.record.drift != ()


def test_without_a_new_calibration_nothing_drifts(ibm):
    assert ibm.run(ibm[1])[0].record.drift == ()


# -- secrets -----------------------------------------------------------------------------------------------


def test_the_key_and_the_account_are_nowhere(ibm, capfd, caplog, tmp_path):
    fake, driver = ibm
    session = Session(tmp_path / "runs", backend=driver, polling=Polling(sleep=lambda _: None))
    handle = session.execute(ibm.asked()).record.jobs[0]
    texts = [str(handle.to_json()), repr(driver.__dict__), repr(driver._link.credentials)]
    fake.faults.add("429", "after acknowledgement")
    with pytest.raises(BackendUnavailable) as error:
        driver.poll(handle)
    texts.append(str(error.value))
    fake.fails = f"the service repeats {ibm.key} and {CRN}"
    with pytest.raises(JobFailed) as failed:
        session.execute(ibm.asked())
    texts.append(str(failed.value))
    session.close()
    texts += [*capfd.readouterr(), caplog.text]
    stored = b"".join(f.read_bytes() for f in (tmp_path / "runs").rglob("*") if f.is_file())
    assert any(s.authorized for s in fake.seen)
    for secret in (ibm.key, CRN, "eyJ"):
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
    exec(compile("run(driver)", "/home/jane/qiskit_finance/secret_fund.py", "exec"), {"run": ibm.run, "driver": driver})
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
    handle = ibm.submitted(driver)
    monkeypatch.setattr(fake, "key", "another")
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("the SDK slept, for a login that had failed already"))
    before = len(fake.seen)
    with pytest.raises(AuthenticationError, match="expired"):
        driver.poll(handle)
    with pytest.raises(AuthenticationError, match="expired"):
        driver.submit(plan_for(driver, ibm.asked()), 0, intent=ibm.intent(3))
    assert ibm.posts(fake) == 1
    monkeypatch.setattr(fake, "key", ibm.key)
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


def test_without_credentials_a_chain_goes_on(ibm, monkeypatch):
    monkeypatch.delenv("QIMG_IBM_TOKEN", raising=False)
    with Session(None, backend="ibm:ibm_manila", fallback=["ibm:aer"]) as session:
        result = session.execute(evolve(ibm.asked(), seed=1))
    assert result.record.ran_backend == "ibm:aer"
    assert "QIMG_IBM_TOKEN" in result.record.fallback_reason


def test_a_closed_driver_opens_again(ibm):
    driver = ibm[1]
    handle = ibm.submitted(driver)
    driver.close()
    driver.close()
    assert ibm.done(driver, handle).shots == 400


def test_a_provider_that_is_not_there(monkeypatch):
    with FakeIBM() as fake:
        environment = fake.environment()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(BackendUnavailable):
        IBMBackend("ibm_manila").capabilities  # noqa: B018


def test_a_submission_that_fails_early_is_not_taken_for_the_one_before(ibm):
    driver = ibm[1]
    ibm.submitted(driver)
    with pytest.raises(BackendUnavailable):
        driver._link.submit(lambda: driver._link._open().backend("ibm_other"))


def test_a_connection_that_is_refused_is_certainly_not_accepted(ibm):
    _fake, driver = ibm
    plan = plan_for(driver, ibm.asked())
    link = driver._link
    base = link._open()._active_api_client._session
    working, base.base_url = base.base_url, "http://127.0.0.1:9/api/v1"
    try:
        with pytest.raises(BackendUnavailable):
            link.submit(lambda: base.post("/jobs", data="{}"))
        with pytest.raises(BackendUnavailable):
            driver.submit(plan, 0, intent=ibm.intent())
    finally:
        base.base_url = working
