"""One job at IonQ whatever goes wrong on the way; found again, read again, cancelled; the key is shown by nothing."""

import datetime as dt
import hashlib
import json
import logging
import subprocess
import sys
import traceback
from decimal import Decimal

import numpy as np
import pytest
from attrs import evolve

from qimg_core import Budget, LocalStates, Probabilities, Session
from qimg_core.credentials import Credential, FromCallable
from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    CapabilityError,
    ConfigurationError,
    JobCancelled,
    JobFailed,
    JobLost,
    ProtocolError,
    QimgError,
    RateLimited,
    ResultError,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.job import JobHandle, JobState
from qimg_core.ledger.opening import open_ledger
from qimg_core.plugins import Registry
from qimg_core.routing import plan_for
from qimg_core.testing.faults import Fault, Point
from qimg_core.testing.server import Response
from qimg_ionq.backend import IonQBackend
from qimg_ionq.finding import PAGE
from qimg_ionq.testing import FakeIonQ, views

from .conftest import QUIET, driver_of, intent_of, reference, request, through, zoo

ASKED = request(zoo(3), LocalStates([(0, 1), (2,)]), rows=2)
SMALL = request(zoo(3), Probabilities((2, 0, 1)), rows=2, shots=300, seed=3)


def run(driver, asked, **options):
    with Session(None, seed=1, backend=driver, registry=Registry(discover=False), polling=QUIET, **options) as session:
        return session.execute(asked)


# -- faults, through a session --------------------------------------------------------------------------------

BEFORE = {
    Fault.TOO_MANY: None,
    Fault.ERROR: None,
    Fault.UNAVAILABLE: None,
    Fault.DROPPED: SubmissionUncertain,  # nobody answered, and no job is there: not sent again by itself
    Fault.HANG: SubmissionUncertain,
}
AFTER = [Fault.ERROR, Fault.UNAVAILABLE, Fault.DROPPED, Fault.HANG, Fault.GARBAGE, Fault.MISSING_FIELDS, Fault.PARTIAL]
READING = [Fault.TOO_MANY, Fault.ERROR, Fault.UNAVAILABLE, Fault.DROPPED, Fault.GARBAGE, Fault.MISSING_FIELDS]


@pytest.mark.parametrize("fault", BEFORE, ids=lambda f: f.value)
def test_a_fault_before_ionq_has_the_job(fake, fault):
    fake.faults.add(fault, Point.BEFORE_SEND, 2 if BEFORE[fault] is None else 1)
    driver = driver_of(fake, timeouts=(1.0, 0.3))
    if BEFORE[fault] is None:
        np.testing.assert_allclose(run(driver, ASKED).data, reference(ASKED), atol=1e-9)
        assert len(fake.jobs) == 1
        assert [s.method for s in fake.seen].count("POST") == 3
    else:
        with pytest.raises(BEFORE[fault]) as raised:
            run(driver, ASKED)
        assert "not known whether" in raised.value.message
        assert fake.jobs == {}
        assert [s.method for s in fake.seen].count("POST") == 1
    assert len(fake.faults.struck) == (2 if BEFORE[fault] is None else 1)


@pytest.mark.parametrize("fault", AFTER, ids=lambda f: f.value)
def test_a_fault_after_ionq_has_the_job_ends_in_that_job(fake, fault):
    fake.faults.add(fault, Point.AFTER_ACCEPT)
    result = run(driver_of(fake, timeouts=(1.0, 0.3)), ASKED)
    np.testing.assert_allclose(result.data, reference(ASKED), atol=1e-9)
    assert len(fake.faults.struck) == 1
    assert len(fake.jobs) == 1
    assert [s.method for s in fake.seen].count("POST") == 1
    assert "1 of 1 jobs found again, not sent" in result.record.decisions


ASKING = [(Point.AFTER_ACKNOWLEDGEMENT, f) for f in (*READING, Fault.PARTIAL, Fault.UNKNOWN_STATE)]
FETCHING = [(Point.DURING_DOWNLOAD, f) for f in (*READING, Fault.PARTIAL)]


@pytest.mark.parametrize(("point", "fault"), ASKING + FETCHING, ids=lambda x: x.value)
def test_a_question_or_a_download_that_goes_wrong_is_asked_again(fake, fault, point):
    fake.faults.add(fault, point, 2)
    result = run(driver_of(fake), ASKED)
    np.testing.assert_allclose(result.data, reference(ASKED), atol=1e-9)
    assert len(fake.faults.struck) == 2
    assert len(fake.jobs) == 1


@pytest.mark.parametrize(
    ("fault", "point", "error"),
    [
        (Fault.UNKNOWN_STATE, Point.AFTER_ACKNOWLEDGEMENT, ProtocolError),
        (Fault.GARBAGE, Point.AFTER_ACKNOWLEDGEMENT, ProtocolError),
        (Fault.MISSING_FIELDS, Point.AFTER_ACKNOWLEDGEMENT, ProtocolError),
        (Fault.UNAVAILABLE, Point.AFTER_ACKNOWLEDGEMENT, BackendUnavailable),
        (Fault.TOO_MANY, Point.AFTER_ACKNOWLEDGEMENT, RateLimited),
        (Fault.GARBAGE, Point.DURING_DOWNLOAD, ResultError),
        (Fault.PARTIAL, Point.DURING_DOWNLOAD, ResultError),
        (Fault.MISSING_FIELDS, Point.DURING_DOWNLOAD, ResultError),
        (Fault.ERROR, Point.BEFORE_SEND, SubmissionUncertain),
        (Fault.TOO_MANY, Point.BEFORE_SEND, RateLimited),
    ],
)
def test_what_never_recovers_is_named(fake, fault, point, error):
    fake.faults.add(fault, point, 1000)
    with pytest.raises(QimgError) as raised:
        run(driver_of(fake), ASKED)
    assert type(raised.value) is error
    assert len(fake.jobs) == (0 if point is Point.BEFORE_SEND else 1)


def test_a_job_that_fails_says_why_and_is_not_sent_again(fake):
    fake.fail_next("QuotaExhausted: no credits")
    with pytest.raises(JobFailed, match="QuantumComputerError: QuotaExhausted: no credits"):
        run(driver_of(fake), ASKED)
    assert len(fake.jobs) == 1


def test_what_ionq_refuses_is_not_sent_again(fake):
    driver = driver_of(fake, "simulator:not-a-model")
    with pytest.raises(SubmissionRejected, match=r"noise\.model must be one of"):
        run(driver, SMALL)
    assert [s.method for s in fake.seen] == ["POST"]


def test_recalibration_while_a_job_runs_is_recorded(fake):
    fake.faults.add(Fault.RECALIBRATED, Point.AFTER_ACKNOWLEDGEMENT)
    driver = driver_of(fake, "qpu.forte-1")
    result = run(driver, SMALL, budget=Budget(max_cost=Decimal(1000)))
    assert "average gate 2q error: 0.0069 -> 0.008 (+15.9 %)" in result.record.drift
    assert result.record.device_kind == "qpu"


# -- found again, read again ----------------------------------------------------------------------------------


def test_a_job_is_found_by_its_key_among_many_and_can_be_read(fake):
    driver = driver_of(fake)
    plan = plan_for(driver, ASKED)
    for ordinal in range(7):
        driver.submit(plan, 0, intent=intent_of(ASKED, ordinal=ordinal))
    assert len(fake.jobs) + len(fake.children) > 5 * PAGE  # the circuits are listed too, with our metadata
    wanted = intent_of(ASKED, ordinal=2)
    found = driver_of(fake).find(wanted)
    assert found.key == wanted.key
    assert fake.jobs[found.provider_ids[0]]["metadata"]["qimg_key"] == wanted.key
    assert fake.jobs[found.provider_ids[0]]["metadata"]["qimg_run"] == "test-run"
    for _ in range(3):
        driver.poll(found)
    np.testing.assert_allclose(driver_of(fake).fetch(found).data, reference(ASKED), atol=1e-9)
    assert driver.find(intent_of(ASKED, ordinal=99)) is None
    assert driver_of(fake, "qpu.forte-1").find(wanted) is None  # another device


def test_the_search_ends_at_jobs_older_than_the_intent(fake):
    driver = driver_of(fake)
    plan = plan_for(driver, SMALL)
    for ordinal in range(PAGE):
        driver.submit(plan, 0, intent=intent_of(SMALL, ordinal=ordinal))
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    every = [*fake.jobs.values(), *fake.children.values()]
    for n, job in enumerate(every):
        job["at"] = (moment + dt.timedelta(seconds=n)).isoformat()

    def pages(at):
        before = len(fake.seen)
        driver.find(intent_of(SMALL, ordinal=999, at=at.isoformat()))
        return len(fake.seen) - before

    everything = -(-len(every) // PAGE)
    assert everything > 2
    assert pages(moment + dt.timedelta(days=1)) == 1
    assert pages(moment + dt.timedelta(minutes=10)) == everything  # clocks may differ
    assert pages(moment - dt.timedelta(days=1)) == everything
    for n, job in enumerate(reversed(every)):  # oldest first: nothing can be concluded from a page of old ones
        job["at"] = moment.isoformat() if n % 2 else "no date"
    assert pages(moment + dt.timedelta(days=1)) == everything


def test_a_list_with_the_oldest_jobs_first_is_read_to_its_end(fake):
    driver = driver_of(fake)
    plan = plan_for(driver, evolve(SMALL, inputs=SMALL.inputs[:1]))
    moment = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    for ordinal in range(PAGE + 5):
        driver.submit(plan, 0, intent=intent_of(SMALL, ordinal=ordinal))
    for n, job in enumerate(fake.jobs.values()):
        job["at"] = (moment + dt.timedelta(days=n)).isoformat()
    every = [views.listed(fake, job) for job in fake.jobs.values()]
    pages = {"0": every[:PAGE], "1": every[PAGE:]}
    fake._listed = lambda query: Response.json({"jobs": pages[query.get("next", "0")], "next": _after(query)})
    newest = PAGE + 4
    found = driver.find(intent_of(SMALL, ordinal=newest, at=(moment + dt.timedelta(days=newest)).isoformat()))
    assert found.provider_ids == (every[-1]["id"],)


def _after(query):
    return None if "next" in query else "1"


def test_a_list_that_cannot_be_read_is_no_proof_that_a_job_is_not_there(fake):
    driver = driver_of(fake)
    listed = fake._listed
    for page in ({"jobs": None}, {}, {"jobs": [], "next": "1"}, {"jobs": [], "next": 7}, {"jobs": ["x"], "next": None}):
        fake._listed = lambda query, page=page: type(listed({}))(200, json.dumps(page).encode())
        with pytest.raises(ProtocolError):
            driver.find(intent_of(SMALL))


def test_a_note_that_is_damaged_or_missing_is_said(fake):
    driver = driver_of(fake)
    handle, _ = through(driver, SMALL)
    metadata = fake.jobs[handle.provider_ids[0]]["metadata"]
    good = metadata["qimg_note"]
    for bad in ("", "%%%", good[:-20], "eJw="):
        metadata["qimg_note"] = bad
        with pytest.raises(ProtocolError, match="note"):
            driver.find(intent_of(SMALL))
    with pytest.raises(ProtocolError, match="note"):
        driver.fetch(evolve(handle, extra={**handle.extra, "note": 99}))
    metadata["qimg_note"], metadata["qimg_key"] = good, "another"
    with pytest.raises(ProtocolError, match="another intent"):
        driver.poll(handle)


def test_another_process_reads_the_same_bytes_from_the_handles_alone(fake, tmp_path):
    asked = evolve(ASKED, shots=700, seed=9)
    handles, here = [], []
    for ordinal, device in enumerate(("simulator", "simulator:aria-1", "qpu.forte-1")):
        handle, raw = through(driver_of(fake, device), asked, intent_of(asked, ordinal=ordinal))
        handles.append(handle.to_json())
        digest = hashlib.sha256(raw.data.tobytes()).hexdigest()
        here += [f"{digest} {raw.raw_digest} {raw.shots} {raw.sampling}"] * 2
        assert raw.raw_digest == "sha256:" + hashlib.sha256(raw.raw).hexdigest()
    assert not [v for v in _leaves(handles) if isinstance(v, float)]
    path = tmp_path / "handles.json"
    path.write_text(json.dumps(handles))
    program = (
        "import hashlib, json, sys; from qimg_core.job import JobHandle; from qimg_ionq.backend import IonQBackend\n"
        "for document in json.load(open(sys.argv[1])):\n"
        "    handle = JobHandle.from_json(document)\n"
        "    driver = IonQBackend(handle.backend.partition(':')[2])\n"
        "    for _ in range(2):\n"
        "        raw = driver.fetch(handle)\n"
        "        print(hashlib.sha256(raw.data.tobytes()).hexdigest(), raw.raw_digest, raw.shots, raw.sampling)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)], env={**fake.environment}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == here


def _leaves(tree):
    if isinstance(tree, dict):
        tree = list(tree.values())
    return [leaf for part in tree for leaf in _leaves(part)] if isinstance(tree, list) else [tree]


def test_a_killed_run_is_resumed_without_a_second_job(fake, tmp_path):
    class Crash(BaseException):
        pass

    driver = driver_of(fake)

    def fetch(handle):
        raise Crash

    def submit_and_die(plan, job, *, intent):
        IonQBackend.submit(driver, plan, job, intent=intent)
        raise Crash

    for verb, stand_in in (("submit", submit_and_die), ("fetch", fetch)):
        driver = driver_of(fake)
        setattr(driver, verb, stand_in)
        before = len(fake.jobs)
        folder = tmp_path / verb
        first = Session(folder, seed=1, backend=driver, registry=Registry(discover=False), polling=QUIET)
        with pytest.raises(Crash):
            first.execute(ASKED)
        first.ledger.close()
        resumed = driver_of(fake)
        options = {"backend": resumed, "registry": Registry(discover=False), "polling": QUIET}
        with Session(folder, resume=first.run, **options) as session:
            np.testing.assert_allclose(session.execute(ASKED).data, reference(ASKED), atol=1e-9)
        assert len(fake.jobs) == before + 1
        with open_ledger(folder, Registry(discover=False), create=False, read_only=True) as ledger:
            assert ledger.verify().ok


# -- cancel, lost, dry ----------------------------------------------------------------------------------------


def test_cancel_stops_a_waiting_job_and_never_touches_a_finished_one(fake):
    driver = driver_of(fake)
    fake.keep_next_waiting(50)
    plan = plan_for(driver, SMALL)
    handle = driver.submit(plan, 0, intent=intent_of(SMALL))
    assert driver.poll(handle).state is JobState.QUEUED
    assert driver.cancel(handle) is True
    assert driver.poll(handle).state is JobState.CANCELLED
    assert driver.cancel(handle) is False
    with pytest.raises(JobCancelled):
        driver.fetch(handle)
    done, raw = through(driver, SMALL, intent_of(SMALL, ordinal=1))
    assert driver.cancel(done) is False
    assert not [s for s in fake.seen if s.method == "PUT" and done.provider_ids[0] in s.path]
    np.testing.assert_array_equal(driver.fetch(done).data, raw.data)


def test_a_job_that_ionq_no_longer_has(fake):
    driver = driver_of(fake)
    handle, _ = through(driver, SMALL)
    fake.jobs.clear()
    for ask in (driver.poll, driver.fetch, driver.cancel, driver.billed):
        with pytest.raises(JobLost):
            ask(handle)


def test_a_result_is_asked_for_too_early(fake):
    driver = driver_of(fake)
    fake.keep_next_waiting(5)
    handle = driver.submit(plan_for(driver, SMALL), 0, intent=intent_of(SMALL))
    with pytest.raises(ResultError, match="no result"):
        driver.fetch(handle)


# -- the key --------------------------------------------------------------------------------------------------

CANARY = "ionq-canary-77aa"


def test_without_a_key_nothing_is_sent(fake, monkeypatch):
    monkeypatch.setenv("QIMG_IONQ_URL", fake.base)
    driver = IonQBackend("simulator")
    assert driver.capabilities.max_wires == 29
    for ask in (
        lambda: driver.submit(plan_for(driver, SMALL), 0, intent=intent_of(SMALL)),
        lambda: driver.find(intent_of(SMALL)),
        lambda: plan_for(IonQBackend("qpu.forte-1"), SMALL),
        lambda: IonQBackend("qpu.forte-1").snapshot(),
    ):
        with pytest.raises(AuthenticationError, match="set QIMG_IONQ_API_KEY or IONQ_API_KEY"):
            ask()
    assert fake.seen == []


@pytest.mark.parametrize(
    "name", ["QIMG_IONQ_API_KEY", "IONQ_API_KEY", "QIMG_IONQ_API_KEY_FILE", "IONQ_API_KEY_COMMAND"]
)
def test_where_the_key_may_come_from(fake, monkeypatch, tmp_path, name):
    value = fake.key
    if name.endswith("_FILE"):
        path = tmp_path / "key"
        path.write_text(value)
        path.chmod(0o600)
        value = str(path)
    if name.endswith("_COMMAND"):
        value = f"{sys.executable} -c 'print(\"{fake.key}\")'"
    monkeypatch.setenv("QIMG_IONQ_URL", fake.base)
    monkeypatch.setenv(name, value)
    np.testing.assert_allclose(through(IonQBackend(), ASKED)[1].data, reference(ASKED), atol=1e-9)


def test_a_reason_that_repeats_the_key_is_shown_without_it(fake):
    fake.fail_next(f"no credits for {fake.key}")
    with pytest.raises(JobFailed, match=r"no credits for \*\*\*") as raised:
        run(driver_of(fake), ASKED)
    assert fake.key not in str(raised.value)


def test_a_key_that_was_renewed_is_used_after_a_refusal(fake):
    keys = iter(["expired", fake.key])
    credential = Credential(FromCallable(lambda: (next(keys), None)), purpose="IonQ API key")
    driver = IonQBackend(url=fake.base, credential=credential)
    np.testing.assert_allclose(through(driver, ASKED)[1].data, reference(ASKED), atol=1e-9)
    assert len(fake.jobs) == 1


@pytest.mark.parametrize("right", [True, False])
def test_the_key_is_in_no_log_error_handle_result_or_ledger(tmp_path, caplog, right):
    with FakeIonQ(key=CANARY) as fake, caplog.at_level(logging.DEBUG):
        fake.faults.add(Fault.ERROR, Point.BEFORE_SEND).add(Fault.DROPPED, Point.AFTER_ACKNOWLEDGEMENT)
        key = CANARY if right else CANARY + "-wrong"
        credential = Credential(FromCallable(lambda: (key, None)), purpose="IonQ API key")
        driver = IonQBackend(url=fake.base, credential=credential)
        said = [repr(driver), repr(vars(driver)), repr(driver.client)]
        session = Session(tmp_path / "runs", seed=1, backend=driver, registry=Registry(discover=False), polling=QUIET)
        with session:
            try:
                result = session.execute(SMALL)
                said += [repr(result.record), json.dumps([j.to_json() for j in result.record.jobs])]
            except AuthenticationError as error:
                said += ["".join(traceback.format_exception(error)), repr(error.facts)]
                assert not right
    assert any(s.authorized for s in fake.seen)
    stored = b"".join(p.read_bytes() for p in (tmp_path / "runs").rglob("*") if p.is_file())
    assert CANARY not in "\n".join(said)
    assert CANARY not in caplog.text
    assert CANARY.encode() not in stored
    assert b"qimg.run/1" in stored


def test_a_url_in_the_clear_is_refused():
    with pytest.raises(ConfigurationError, match="https"):
        IonQBackend(url="http://api.ionq.example/v0.4")


def test_nothing_listens_there():
    credential = Credential(FromCallable(lambda: ("k", None)), purpose="IonQ API key")
    with IonQBackend(url="http://127.0.0.1:9/v0.4", credential=credential) as driver:
        with pytest.raises(BackendUnavailable, match="nothing was sent"):
            driver.submit(plan_for(driver, SMALL), 0, intent=intent_of(SMALL))
        with pytest.raises(BackendUnavailable):
            driver.find(intent_of(SMALL))


def test_a_measurement_that_is_too_long_to_be_kept_with_the_job(fake, monkeypatch):
    monkeypatch.setattr("qimg_ionq.note.LONGEST", 100)
    driver = driver_of(fake)
    with pytest.raises(CapabilityError, match="characters"):
        driver.submit(plan_for(driver, ASKED), 0, intent=intent_of(ASKED))
    assert fake.seen == []


def test_an_acknowledgement_without_an_id_leaves_the_job_uncertain(fake):
    driver = driver_of(fake)
    for answer in ({"id": "../../whoami"}, {"id": 7}, {"status": "submitted"}, []):
        fake._create = lambda request, answer=answer: _json(answer)
        with pytest.raises(SubmissionUncertain, match="may exist"):
            driver.submit(plan_for(driver, SMALL), 0, intent=intent_of(SMALL))


def _json(document):
    return Response.json(document, 201)


def test_a_handle_of_a_job_is_json_and_comes_back(fake):
    handle, _ = through(driver_of(fake), ASKED)
    assert JobHandle.from_json(json.loads(json.dumps(handle.to_json()))) == handle
    assert handle.backend == "ionq"
