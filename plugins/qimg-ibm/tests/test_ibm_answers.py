"""What IBM's words mean, without a server: answers, states, credentials, limits, results that cannot be right."""

import numpy as np
import pytest
import requests
from attrs import evolve

from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    CapabilityError,
    ConfigurationError,
    ProtocolError,
    RateLimited,
    ResultError,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.job import JobState
from qimg_core.measurement import Expectation, Probabilities, Samples
from qimg_core.settings import settings_for
from qimg_ibm.answers import answer_in, status_of, submission_error, unavailable
from qimg_ibm.credentials import Credentials
from qimg_ibm.reading import Reading
from qimg_ibm.usage import check_limits, cost_of, most_rows, usage_of


def wrapped(status, body=b"", headers=None):
    """As the SDK raises it: wrapped twice, the status dropped with ``from None``."""
    response = requests.Response()
    response.status_code, response._content = status, body
    response.headers.update(headers or {})
    try:
        try:
            raise requests.HTTPError("first", response=response)
        except requests.HTTPError as inner:
            raise RuntimeError(f"second: {inner}") from None
    except RuntimeError as outer:
        return outer


def same(text):
    return text


@pytest.mark.parametrize(
    ("status", "error", "answered"),
    [
        (400, SubmissionRejected, None),
        (401, AuthenticationError, None),
        (403, AuthenticationError, None),
        (404, SubmissionRejected, None),
        (408, SubmissionUncertain, True),
        (409, SubmissionRejected, None),
        (429, RateLimited, None),
        (500, SubmissionUncertain, True),
        (501, SubmissionUncertain, False),
        (503, SubmissionUncertain, True),
        (524, SubmissionUncertain, True),
        (530, SubmissionUncertain, False),
    ],
)
def test_an_answer_to_a_submission(status, error, answered):
    found = submission_error(wrapped(status), sent=True, hide=same)
    assert type(found) is error
    assert getattr(found, "answered", None) is answered


def test_no_answer_to_a_submission():
    found = submission_error(requests.ConnectionError("reset"), sent=True, hide=same)
    assert (type(found), found.answered) == (SubmissionUncertain, False)
    assert type(submission_error(requests.ConnectionError("refused"), sent=False, hide=same)) is BackendUnavailable
    assert type(submission_error(ValueError("not ISA"), sent=False, hide=same)) is SubmissionRejected


def test_ibms_words_are_passed_on_and_secrets_are_not():
    body = b'{"errors": [{"code": 1205, "message": "tag of hunter2 too long", "solution": "shorten it"}]}'
    found = answer_in(wrapped(429, body, {"Retry-After": "7"}), lambda t: t.replace("hunter2", "***"))
    assert (found.status, found.retry_after) == (429, 7.0)
    assert found.text == "code 1205: tag of *** too long shorten it"


def test_a_failure_inside_the_handling_of_another_is_its_own():
    """The core looks a job up while it handles the failed submission: that one's status must not be taken over."""
    try:
        try:
            raise SubmissionUncertain("503") from wrapped(503)
        except SubmissionUncertain:
            raise requests.ConnectionError("reset") from None
    except requests.ConnectionError as error:
        assert answer_in(error, same).status is None


@pytest.mark.parametrize(
    ("cause", "error"),
    [
        (wrapped(401), AuthenticationError),
        (wrapped(404), ProtocolError),
        (wrapped(429), RateLimited),
        (wrapped(500), BackendUnavailable),
        (requests.Timeout("slow"), BackendUnavailable),
        (requests.exceptions.JSONDecodeError("no JSON", "<html>", 0), ProtocolError),
        (KeyError("state"), ProtocolError),
    ],
)
def test_an_answer_to_a_question(cause, error):
    assert type(unavailable(cause, "asking", same)) is error


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        ({"status": "Queued"}, JobState.QUEUED),
        ({"status": "RUNNING"}, JobState.RUNNING),
        ({"status": "Completed"}, JobState.DONE),
        ({"status": "Failed", "reason": "why", "reason_code": 1517}, JobState.FAILED),
        ({"status": "Cancelled"}, JobState.CANCELLED),
        ({"status": "Cancelled", "reason": "x", "reasonCode": 1305}, JobState.FAILED),
        ({"status": "Cancelled - Ran too long"}, JobState.FAILED),
    ],
)
def test_states(state, wanted):
    assert status_of(state).state is wanted


def test_words_of_states():
    assert status_of({"status": "Failed", "reason": "why", "reason_code": 1517}).detail == "error code 1517: why"
    assert "max_execution_time" in status_of({"status": "Cancelled", "reason_code": 1305}).detail
    for nonsense in ({"status": "Levitating"}, {}, {"status": None}):
        with pytest.raises(ProtocolError):
            status_of(nonsense)


def test_credentials(monkeypatch, tmp_path):
    for name in ("QIMG_IBM_TOKEN", "QISKIT_IBM_TOKEN", "QIMG_IBM_INSTANCE", "QISKIT_IBM_INSTANCE", "QIMG_IBM_ACCOUNT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(AuthenticationError, match="QIMG_IBM_TOKEN"):
        Credentials.from_environment().arguments()
    key = tmp_path / "key"
    key.write_text("t0ken-in-a-file")
    key.chmod(0o600)
    monkeypatch.setenv("QIMG_IBM_TOKEN_FILE", str(key))
    with pytest.raises(AuthenticationError, match="CRN") as error:
        Credentials.from_environment().arguments()
    assert "t0ken" not in str(error.value)
    monkeypatch.setenv("QISKIT_IBM_INSTANCE", "crn:1")
    found = Credentials.from_environment()
    assert found.arguments() == {"channel": "ibm_quantum_platform", "token": "t0ken-in-a-file", "instance": "crn:1"}
    assert "t0ken" not in repr(found)
    assert "crn:1" not in repr(found)
    monkeypatch.setenv("QIMG_IBM_ACCOUNT", "work")
    assert Credentials.from_environment().arguments() == {"name": "work", "instance": "crn:1"}


@pytest.mark.parametrize(
    ("url", "safe"),
    [
        ("https://private.us-east.quantum.cloud.ibm.com/api/v1", True),
        ("http://127.0.0.1:1/api/v1", True),
        ("http://quantum.example/api/v1", False),
        ("ftp://127.0.0.1", False),
    ],
)
def test_no_key_is_sent_in_the_clear(url, safe):
    if safe:
        assert Credentials(url=url).url == url
    else:
        with pytest.raises(ConfigurationError, match="https"):
            Credentials(url=url)


def test_rows_of_a_job_stay_within_the_limits():
    assert most_rows(1000, [1e-5], 250e-6) == 300
    assert most_rows(10_000, [1e-5] * 9, 250e-6) == 111  # 10,000,000 / 90,000
    assert most_rows(100_000, [5e-4], 0.0) == 100  # by executions; by time 215
    assert most_rows(10_000, [0.01], 0.0) == 107  # three hours
    assert most_rows(100_000, [1e-5] * 243, 0.0) == 1


def test_limits():
    check_limits("ibm:x", usage_of(100, 10_000, [1e-5] * 9, 250e-6))
    with pytest.raises(CapabilityError, match="executions"):
        check_limits("ibm:x", usage_of(100, 20_000, [1e-5] * 9, 0.0))
    with pytest.raises(CapabilityError, match="seconds"):
        check_limits("ibm:x", usage_of(100, 10_000, [0.02], 0.0))
    assert usage_of(300, 10_000, [0.003], 0.0).bound == 10_800, "IBM's own limit, not twice the estimate"


def test_cost_of_several_jobs():
    one = usage_of(1, 1000, [None], None)
    assert one.seconds == pytest.approx(2.25)
    total = cost_of([one, one])
    assert (float(total.low), int(total.high)) == (4.5, 30)


READING = Reading(
    key="0" * 64,
    measurement=Probabilities((1, 0)),
    settings=settings_for(Probabilities((1, 0))),
    rows=2,
    shots=3,
    circuits=(1,),
)


def test_a_reading_is_read_back():
    assert Reading.from_json(READING.to_json()) == READING
    terms = evolve(READING, measurement=Expectation([]), settings=settings_for(Samples((2, 0, 1))))
    assert Reading.from_json(terms.to_json()) == terms
    for wrong in ({}, {**READING.to_json(), "version": 2}, {**READING.to_json(), "measurement": {"kind": "x"}}):
        with pytest.raises(ResultError):
            Reading.from_json(wrong)


def test_bits_in_our_order():
    bits = np.zeros((2, 3, 2), dtype=bool)
    bits[0, :, 0] = True  # bit 0 is wire 1, which is the most significant
    array, shots = READING.array([bits])
    assert shots == 3
    assert array.tolist() == [[0, 0, 1, 0], [1, 0, 0, 0]]


@pytest.mark.parametrize(
    "circuits",
    [
        [],
        [np.zeros((2, 3, 2), bool)] * 2,
        [np.zeros((1, 3, 2), bool)],
        [np.zeros((2, 3, 3), bool)],
        [np.zeros((2, 0, 2), bool)],
    ],
    ids=["none", "too many", "rows", "bits", "no shots"],
)
def test_results_that_cannot_be_right(circuits):
    with pytest.raises(ResultError):
        READING.array(circuits)


def test_fewer_shots_are_said():
    assert READING.array([np.zeros((2, 2, 2), bool)])[1] == 2
