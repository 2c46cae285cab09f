"""Prices, program sets, tags, result documents, calibrations and errors, each against its documented form."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from qimg_braket.calibration import calibration_of
from qimg_braket.devices import SHORT, arn_of, name_of, region_of
from qimg_braket.failures import from_client, from_transport, translated
from qimg_braket.prices import PriceList
from qimg_braket.results import Failure, Tally, decode, outcomes
from qimg_braket.tasks import ProgramSets, read_tags, sizes, tags, tasks_of, token
from qimg_braket.testing import FORTE, GARNET, SV1
from qimg_braket.testing.documents import PRICES, device
from qimg_core.calibration import Calibration
from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    ConfigurationError,
    JobLost,
    ProtocolError,
    RateLimited,
    ResultError,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.job import Intent
from qimg_core.settings import Setting


def test_arns() -> None:
    assert arn_of("SV1") == SV1
    assert (region_of(SV1), region_of(GARNET)) == (None, "eu-north-1")
    assert name_of(FORTE) == "Forte-1"
    assert all(arn_of(arn) == arn for arn in SHORT.values())


@pytest.mark.parametrize("arn", [SV1, GARNET, FORTE])
def test_the_vendor_reads_the_fake_documents(arn: str) -> None:
    from braket.schema_common import BraketSchemaBase

    found = BraketSchemaBase.parse_raw_schema(json.dumps(device(arn)))
    assert found.service.shotsRange[1] > 0


# -- prices ------------------------------------------------------------------------------------


def test_prices_are_those_of_the_vendors_tracker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK's cost tracker, given the same list, computes the same sums."""
    from datetime import timedelta

    from braket.tracking import pricing, tracker

    prices = PriceList.parse(PRICES)
    monkeypatch.setattr(pricing._pricing, "_price_list", [dict(row) for row in prices.rows])
    task = "arn:aws:braket:eu-north-1:123456789012:quantum-task/x"
    details = {"status": "COMPLETED", "device": GARNET, "job_task": False, "shots": 700}
    cost = prices.tariff("Garnet", "eu-north-1", qpu=True).shots_cost(1, 700, "test")
    assert cost.low == cost.high == tracker._get_qpu_task_cost(task, details) == Decimal("1.315")
    task = task.replace("eu-north-1", "us-east-1")
    details = {"device": SV1, "job_task": False, "billed_duration": timedelta(milliseconds=4200)}
    cost = prices.tariff("sv1", "us-east-1", qpu=False).time_cost([4200], "test")
    assert cost.low == tracker._get_simulator_task_cost(task, details) == Decimal("0.00525")
    assert cost.date == "2026-11-01T00:00:00Z"


def test_a_managed_simulator_bills_three_seconds_at_least() -> None:
    tariff = PriceList.parse(PRICES).tariff("sv1", "us-east-1", qpu=False)
    assert tariff.time_cost([10, 3001], "").low == Decimal("0.075") * 6001 / 60000
    before = tariff.at_least(2)
    assert (before.low, before.high) == (Decimal("0.0075"), None)


def test_unknown_prices_are_not_free() -> None:
    prices = PriceList.parse(PRICES)
    assert prices.tariff("Garnet", "us-east-1", qpu=True).shots_cost(1, 1, "").high is None
    two = PRICES + '"F","eu-north-1","Garnet","","Quantum Task","0.5","USD","Quantum Task","",""\n'
    assert PriceList.parse(two).tariff("Garnet", "eu-north-1", qpu=True).shots_cost(1, 1, "").high is None
    with pytest.raises(ProtocolError, match="price list"):
        PriceList.parse("<html></html>")


# -- tasks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("programs", "shots", "sets", "wanted"),
    [
        (9, 100, ProgramSets(6, 60_000), (5, 4)),
        (9, 100, ProgramSets(100, 500), (5, 4)),  # five programs of 100 shots are all that 500 allow
        (12, 10, ProgramSets(6, 60_000), (6, 6)),
        (9, 100, None, None),
        (1, 100, ProgramSets(6, 60_000), None),  # nothing to share a fee with
        (4, 100, ProgramSets(6, 150), None),
        (4, 2, ProgramSets(6, 60_000, least_shots=50), None),
    ],
)
def test_sizes_of_program_sets(programs: int, shots: int, sets: Any, wanted: Any) -> None:
    assert sizes(programs, shots, sets) == wanted


def test_a_program_set_is_one_the_vendor_accepts() -> None:
    """Total shots divide evenly, and the SDK's schema reads the action."""
    from braket.ir.openqasm import Program, ProgramSet

    made = tasks_of(["a", "b", "c"], 50, ProgramSets(2, 1000))
    assert [(t.programs, t.shots) for t in made] == [(2, 100), (1, 50)]
    parsed = ProgramSet.parse_raw(made[0].action)
    assert [p.source for p in parsed.programs] == ["a", "b"]
    assert parsed.num_executables == 2
    (single,) = tasks_of(["a"], 50, None)
    assert Program.parse_raw(single.action).source == "a"


def test_tokens_differ_by_task_and_are_as_long_as_braket_takes() -> None:
    tokens = {token("k", i) for i in range(50)} | {token("l", 0)}
    assert len(tokens) == 51
    assert {len(t) for t in tokens} == {64}


def test_tags_hold_what_reading_needs() -> None:
    intent = Intent(run="r-1", ordinal=0, job=2, request="sha256:0")
    extra: dict[str, Any] = {"measurement": {"kind": "local_states", "windows": [[i, i + 1] for i in range(60)]}}
    made = tags(intent, 1, 3, extra)
    assert read_tags(made) == (1, 3, extra)
    assert made["qimg-key"] == intent.key
    assert all(len(value) <= 256 for value in made.values())
    import random

    noise = random.Random(0)
    huge: dict[str, Any] = {"x": [str(noise.random()) for _ in range(3000)]}
    assert read_tags(tags(intent, 0, 1, huge)) == (0, 1, None)
    with pytest.raises(ConfigurationError):
        read_tags({"qimg-part": "x"})


# -- results -----------------------------------------------------------------------------------


def _read(document: Any, *, wires: int = 3, shots: tuple[int, ...] = (4,)) -> Any:
    data = document if isinstance(document, bytes) else json.dumps(document).encode()
    return decode("b", "f", wires, shots, lambda bucket, key: data)


def _result(**more: Any) -> dict[str, Any]:
    header = {"name": "braket.task_result.gate_model_task_result", "version": "1"}
    return {"braketSchemaHeader": header, "measuredQubits": [0, 1, 2], **more}


def test_columns_follow_the_measured_qubits() -> None:
    """Shot 0 reads q2=1, q0=0, q1=0 in the device's own order [2, 0, 1]."""
    shots = [[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    (tally,) = _read(_result(measurements=shots, measuredQubits=[2, 0, 1])).programs
    assert tally.counts == {(0, 0, 1): 2, (1, 0, 0): 1, (0, 1, 0): 1}
    assert tally.over((2, 0)).counts == {(1, 0): 2, (0, 1): 1, (0, 0): 1}
    found = outcomes([tally], Setting([(2, "Z"), (0, "X")]))
    assert found.counts is not None
    assert found.counts.sum() == 4


def test_shares_of_shots_are_counts_and_other_probabilities_are_not() -> None:
    (tally,) = _read(_result(measurementProbabilities={"001": 0.75, "100": 0.25})).programs
    assert tally.counts == {(0, 0, 1): 3, (1, 0, 0): 1}
    (tally,) = _read(_result(measurementProbabilities={"001": 0.7, "100": 0.3})).programs
    assert not tally.counts
    assert outcomes([tally], Setting([(0, "Z")])).counts is None
    assert tally.weights[0, 0, 1] == pytest.approx(0.7)


@pytest.mark.parametrize(
    "document",
    [
        b"{",
        b"[1]",
        {},
        {"braketSchemaHeader": {"name": "braket.task_result.annealing_task_result"}},
        _result(),
        _result(measurements=[[0, 1]]),
        _result(measurements=[[0, 1, 2]]),
        _result(measurements=[[0, 1, 0], [0, 1]]),
        _result(measurements=[[0, 1, 0]], measuredQubits=[0, 1]),
        _result(measurements=[[0, 1, 0]], measuredQubits=[0, 1, 1]),
        _result(measurementProbabilities={"01": 1.0}),
        _result(measurementProbabilities={"012": 1.0}),
        _result(measurementProbabilities={"010": 0.4}),
        _result(measurementProbabilities={"010": "1"}),
    ],
)
def test_nonsense_is_an_error_and_never_a_number(document: Any) -> None:
    with pytest.raises(ResultError):
        _read(document)


def test_the_wrong_number_of_programs() -> None:
    with pytest.raises(ResultError, match="3 programs"):
        _read(_result(measurements=[[0, 0, 0]]), shots=(1, 1, 1))
    header = {"name": "braket.task_result.program_set_task_result", "version": "1"}
    failed = {"executableResults": [{"inputsIndex": 0, "failureMetadata": {"failureReason": "hot"}}]}
    document = {"braketSchemaHeader": header, "programResults": [failed]}
    assert _read(document, shots=(1,)).programs == (Failure("hot"),)
    with pytest.raises(ResultError, match="results of 2 programs, got 1"):
        _read(document, shots=(1, 1))


def test_a_tally_sums_over_wires_that_are_not_read() -> None:
    tally = Tally({(0, 1): 3, (1, 1): 1}, {(0, 1): 0.75, (1, 1): 0.25}, 4)
    assert tally.over((1,)) == Tally({(1,): 4}, {(1,): 1.0}, 4)


# -- calibration -------------------------------------------------------------------------------


def test_calibration_of_ionqs_own_words() -> None:
    """Seconds become micro- and nanoseconds, and fidelities errors, without rounding."""
    found = calibration_of(device(FORTE))
    assert found["average"] == {
        "wires": {"t1_us": "100000000", "t2_us": "1000000", "readout": ["0.007", "0.007"]},
        "gates": {
            "1q": {"error": "0.0002", "duration_ns": "130000"},
            "2q": {"error": "0.006", "duration_ns": "970000"},
        },
    }
    assert Calibration.from_json(found).average_gates["2q"].error == 0.006


def test_calibration_of_the_third_standardised_schema() -> None:
    """The example of the vendor's own documentation, shortened."""
    document = {
        "standardized": {
            "oneQubitProperties": {
                "0": {"oneQubitFidelity": [{"fidelityType": {"name": "RANDOMIZED_BENCHMARKING"}, "fidelity": 0.9985}]}
            },
            "T1": {"value": 50.0, "unit": "s"},
            "T2": {"value": 30.0, "unit": "ms"},
            "readoutFidelity": [{"fidelity": 0.9950, "unit": "fraction"}],
            "singleQubitGateDuration": {"value": 0.000020, "unit": "s"},
            "twoQubitGateFidelity": [{"fidelity": 0.98, "unit": "fraction"}],
            "updatedAt": "2025-02-22T12:29:03Z",
        }
    }
    found = Calibration.from_json(calibration_of(document))
    assert found.updated_at == "2025-02-22T12:29:03Z"
    assert found.gates["1q"][(0,)].error == 0.0015
    assert found.average_wire is not None
    assert (found.average_wire.t1_us, found.average_wire.t2_us) == (50e6, 30e3)
    assert found.average_wire.readout == (0.005, 0.005)
    assert found.average_gates["1q"].duration_ns == 20_000
    assert found.average_gates["2q"].error == 0.02


def test_a_device_without_calibration() -> None:
    assert Calibration.from_json(calibration_of({})).wires == {}


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "status", "sending", "reading"),
    [
        ("ThrottlingException", 429, RateLimited, RateLimited),
        ("InternalServiceException", 500, SubmissionUncertain, BackendUnavailable),
        ("ServiceUnavailable", 503, SubmissionUncertain, BackendUnavailable),
        ("RequestTimeout", 408, SubmissionUncertain, BackendUnavailable),
        ("AccessDeniedException", 403, AuthenticationError, AuthenticationError),
        ("ExpiredTokenException", 400, AuthenticationError, AuthenticationError),
        ("UnrecognizedClientException", 401, AuthenticationError, AuthenticationError),
        ("ServiceQuotaExceededException", 402, SubmissionRejected, ProtocolError),
        ("DeviceOfflineException", 424, SubmissionRejected, ProtocolError),
        ("DeviceRetiredException", 410, SubmissionRejected, ProtocolError),
        ("ValidationException", 400, SubmissionRejected, ProtocolError),
        ("ResourceNotFoundException", 404, SubmissionRejected, ProtocolError),
        ("NoSuchKey", 404, ResultError, ResultError),
    ],
)
def test_errors_of_aws(code: str, status: int, sending: type, reading: type) -> None:
    response = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    assert type(from_client(response, "x", submitting=True)) is sending
    assert type(from_client(response, "x")) is reading


def test_retry_after_and_lost_tasks() -> None:
    meta = {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "7"}}
    limited = from_client({"Error": {"Code": "ThrottlingException"}, "ResponseMetadata": meta}, "x")
    assert isinstance(limited, RateLimited)
    assert limited.retry_after == 7.0
    gone = {"Error": {"Code": "ResourceNotFoundException"}, "ResponseMetadata": {"HTTPStatusCode": 404}}
    assert isinstance(from_client(gone, "x", lost="no task"), JobLost)


def test_errors_before_an_answer() -> None:
    import botocore.exceptions as b

    def of(cause: Exception, *, submitting: bool = True) -> type:
        return type(from_transport(cause, "x", submitting=submitting))

    assert of(b.NoCredentialsError()) is AuthenticationError
    assert of(b.NoRegionError()) is ConfigurationError
    assert of(b.EndpointConnectionError(endpoint_url="u")) is BackendUnavailable
    assert of(b.ConnectTimeoutError(endpoint_url="u")) is BackendUnavailable
    assert of(b.ReadTimeoutError(endpoint_url="u")) is SubmissionUncertain
    assert of(b.ConnectionClosedError(endpoint_url="u")) is SubmissionUncertain
    assert of(b.ReadTimeoutError(endpoint_url="u"), submitting=False) is BackendUnavailable


def test_credentials_in_a_message_are_hidden() -> None:
    text = "The request AKIAIOSFODNN7EXAMPLE with Signature=abcdef and X-Amz-Security-Token:zzz is wrong"
    error = from_client(
        {"Error": {"Code": "ValidationException", "Message": text}, "ResponseMetadata": {"HTTPStatusCode": 400}}, "x"
    )
    assert not any(secret in str(error) for secret in ("AKIA", "abcdef", "zzz"))
    assert "is wrong" in str(error)


def test_nothing_foreign_escapes() -> None:
    with pytest.raises(ProtocolError), translated("reading"):
        raise ZeroDivisionError
    with pytest.raises(SubmissionUncertain), translated("sending", submitting=True):
        raise KeyError("quantumTaskArn")
