"""Reading what IonQ returned: its order of bits, counts that are counts, forms that drifted, and nothing guessed."""

import json

import numpy as np
import pytest

from qimg_core import Expectation, LocalStates, Probabilities, Samples, pauli
from qimg_core.errors import ProtocolError, ResultError
from qimg_core.job import JobState
from qimg_core.settings import settings_for
from qimg_ionq import answers
from qimg_ionq.note import Note, note_from_metadata
from qimg_ionq.results import decode, pack
from qimg_ionq.testing import FakeIonQ

from .conftest import driver_of, intent_of, request, through, zoo


def note(measurement, qubits=3, rows=1, shots=None, seed=None, averaged=False):
    return Note(
        measurement=measurement,
        settings=settings_for(measurement),
        rows=rows,
        qubits=qubits,
        shots=shots,
        seed=seed,
        averaged=averaged,
        lowered="sha256:0",
    )


def packed(document, children=None, shots=None):
    return pack(json.dumps(document).encode(), children, shots)


def test_ionqs_own_examples():
    # API reference, ionq.result.probabilities.json.v1: "0", "1" and "3" of two qubits; bit 0 is qubit 0
    data, shots = decode(packed({"0": 0.5, "1": 0.25, "3": 0.25}), note(Probabilities((0, 1)), qubits=2))
    assert (data.tolist(), shots) == ([[0.5, 0.0, 0.25, 0.25]], None)
    # ionq.result.probabilities-aggregate.json.v1
    document = {
        "06a2099c-f845-7208-8000-8111ee2dccbc": {"2": 1},
        "06a2099c-f846-7d32-8000-5726853513db": {"0": 0.5, "1": 0.5},
    }
    data, _ = decode(packed(document, list(document)), note(Probabilities((0, 1)), qubits=2, rows=2))
    assert data.tolist() == [[0, 1, 0, 0], [0.5, 0, 0.5, 0]]


@pytest.mark.parametrize("wire", range(5))
def test_bit_k_is_qubit_k(wire):
    data, _ = decode(packed({str(1 << wire): 1.0}), note(Probabilities((3, 0, 1, 4)), qubits=5))
    expected = np.zeros(16)
    expected[8 >> (3, 0, 1, 4).index(wire) if wire in (3, 0, 1, 4) else 0] = 1
    assert data[0].tolist() == expected.tolist()


def test_the_order_of_circuits_is_that_of_the_job_and_not_of_the_document():
    document = {"b": {"1": 1.0}, "a": {"0": 1.0}}
    asked = note(Probabilities((0,)), qubits=1, rows=2)
    assert decode(packed(document, ["a", "b"]), asked)[0].tolist() == [[1, 0], [0, 1]]
    assert decode(packed(document, None), asked)[0].tolist() == [[0, 1], [1, 0]]
    with pytest.raises(ResultError, match="not those of the job"):
        decode(packed(document, ["a", "c"]), asked)
    with pytest.raises(ResultError, match="2 circuits, got 1"):
        decode(packed({"a": {"0": 1.0}}, ["a", "b"]), asked)


def test_settings_of_a_row_stand_together():
    measurement = Expectation([pauli("Z0"), pauli("X0")])
    asked = note(measurement, qubits=1, rows=2)
    document = {"a": {"0": 1}, "b": {"0": 0.5, "1": 0.5}, "c": {"1": 1}, "d": {"0": 0.75, "1": 0.25}}
    letters = [s.letters()[0] for s in asked.settings]
    data, _ = decode(packed(document, list("abcd")), asked)
    expected = {"Z": [1.0, -1.0], "X": [0.0, 0.5]} if letters == ["Z", "X"] else {"X": [1.0, -1.0], "Z": [0.0, 0.5]}
    assert data[:, 0].tolist() == expected["Z"]
    assert data[:, 1].tolist() == expected["X"]


@pytest.mark.parametrize(
    "entries",
    [
        {},
        [],
        None,
        {"0": 0.5},
        {"0": 0.5, "1": 0.6},
        {"0": 1.5, "1": -0.5},
        {"8": 1.0},
        {"-1": 1.0},
        {"x": 1.0},
        {"0": "1"},
        {"0": True},
        {"0": None},
        {"0": 0.5, "00": 0.5},
        {"0": float("nan")},
        {"0": float("inf"), "1": float("-inf")},
        {"0": 10**400},
        {"9" * 40: 1.0},
        {"٣": 1.0},
    ],
    ids=lambda e: repr(e)[:40],
)
def test_what_is_no_distribution_of_three_qubits(entries):
    with pytest.raises(ResultError):
        decode(packed(entries), note(Probabilities((0, 1, 2))))


def test_bodies_that_are_no_result():
    for body in (b"", b"<html>", b'{"0": ', b"7", b'"x"'):
        with pytest.raises(ResultError):
            decode(pack(body, None, None), note(Probabilities((0,))))


def test_counts_are_whole_numbers_of_the_shots():
    asked = note(Samples((2, 0)), shots=8)
    data, shots = decode(packed({"1": 3 / 8, "4": 5 / 8}), asked)
    assert shots == 8
    assert sorted(data[0].tolist()) == [[0, 1]] * 3 + [[1, 0]] * 5
    for invented in ({"1": 0.37, "4": 0.63}, {"1": 3.001 / 8, "4": 4.999 / 8}, {"1": 0.5 + 2e-6, "4": 0.5 - 2e-6}):
        with pytest.raises(ResultError, match="invented counts"):
            decode(packed(invented), asked)
    decode(packed({"1": 0.5 + 4e-7, "4": 0.5 - 4e-7}), asked)  # IonQ rounds


def test_a_million_shots_do_not_make_the_check_a_formality():
    asked = note(Probabilities((0,)), shots=1_000_000)
    decode(packed({"0": 0.123457, "1": 0.876543}), asked)
    with pytest.raises(ResultError, match="invented counts"):
        decode(packed({"0": 0.1234574, "1": 0.8765426}), asked)


def test_a_device_that_invents_counts_is_found_out():
    asked = request(zoo(3), Probabilities((0, 1, 2)), rows=1, shots=1000)
    with FakeIonQ(invented=True) as fake, pytest.raises(ResultError, match="invented counts"):
        through(driver_of(fake, "qpu.forte-1"), asked)


def test_shots_that_ionq_says_it_took_are_believed():
    asked = note(Probabilities((0,)), shots=10)
    data, shots = decode(packed({"0": 1 / 7, "1": 6 / 7}, shots=7), asked)
    assert shots == 7  # the core compares this with what was asked
    np.testing.assert_allclose(data, [[1 / 7, 6 / 7]])
    drawn = note(Probabilities((0,)), shots=10, seed=1)
    assert decode(packed({"0": 0.5, "1": 0.5}, shots=100), drawn)[1] == 10


def test_debiased_frequencies_are_not_taken_for_counts():
    asked = note(Probabilities((0,)), shots=1000, averaged=True)
    assert decode(packed({"0": 0.123456789, "1": 0.876543211}), asked)[0].tolist() == [[0.123456789, 0.876543211]]


def test_a_result_can_be_read_again_from_what_was_stored(fake):
    handle, raw = through(driver_of(fake, "qpu.forte-1"), request(zoo(3), LocalStates([(0, 2)]), shots=200))
    data, shots = decode(raw.raw, Note.from_json(handle.extra))
    np.testing.assert_array_equal(data, raw.data)
    assert shots == 200
    (job,) = fake.jobs.values()
    assert json.dumps(job["probabilities"]).encode() in raw.raw  # as received, to the byte


def test_circuits_in_another_order_and_without_names():
    asked = request(zoo(3), LocalStates([(0, 1)]), rows=1)
    for style in ("old", "new"):
        with FakeIonQ(order="nameless", style=style) as fake, pytest.raises(ResultError, match="cannot be told"):
            through(driver_of(fake), asked)


@pytest.mark.parametrize(
    "measurement",
    [
        Probabilities((3, 0, 11)),
        Samples((1, 10)),
        Expectation([pauli("X0 Y12", 0.1), pauli("Z3")]),
        LocalStates([(12, 0), (3,)]),
    ],
    ids=lambda m: m.kind.value,
)
def test_a_note_comes_back_from_json_and_from_metadata(measurement):
    asked = note(measurement, qubits=13, rows=4, shots=17, seed=2**61 + 1)
    assert Note.from_json(json.loads(json.dumps(asked.to_json()))) == asked
    metadata = asked.metadata(intent_of(request(zoo(3), Probabilities((0,)))), "ionq")
    assert all(isinstance(v, str) for v in metadata.values())
    assert note_from_metadata(metadata) == asked


# -- states, failures, places ---------------------------------------------------------------------------------


def test_states():
    words = ["submitted", "ready", "started", "completed", "failed", "canceled"]
    assert [answers.state_of({"status": w}).value for w in words] == [
        "queued",
        "queued",
        "running",
        "done",
        "failed",
        "cancelled",
    ]
    assert answers.state_of({"status": "running"}) is JobState.RUNNING
    for wrong in ({}, {"status": None}, {"status": "Completed"}, {"status": ["completed"]}, {"status": "cancelled"}):
        with pytest.raises(ProtocolError, match="unknown job status"):
            answers.state_of(wrong)


def test_reasons_of_failure_in_both_forms():
    assert answers.failure({"failure": {"code": "TooManyShots", "message": "at  most\n1"}}) == "TooManyShots: at most 1"
    assert answers.failure({"failure": {"code": "TooManyShots", "error": "at most 1"}}) == "TooManyShots: at most 1"
    for missing in ({}, {"failure": None}, {"failure": "x"}, {"failure": {"code": 3}}):
        assert answers.failure(missing) == ""


def job(results, several=False):
    return answers.result_path({"id": "j-1", "results": results}, several)


def test_where_results_are():
    single, aggregate = answers.SINGLE, answers.AGGREGATE
    assert job({single: {"id": "a1"}}) == "/jobs/j-1/artifacts/a1"
    assert job({aggregate: {"id": "a1"}}, True) == "/jobs/j-1/artifacts/a1"
    assert job({"probabilities": {"url": "/v0.4/jobs/j-1/results/probabilities"}}) == "/jobs/j-1/results/probabilities"
    url = "https://api.ionq.co/v0.4/jobs/j-1/results/probabilities/aggregated"
    assert job({"probabilities": {"url": url}}, True) == "/jobs/j-1/results/probabilities/aggregated"
    assert job(None) == job({}) == "/jobs/j-1/results/probabilities"
    with pytest.raises(ResultError, match="histogram"):
        job({"ionq.result.histogram.json.v2": {"id": "a"}}, True)


def test_a_result_is_never_fetched_from_elsewhere():
    for wrong in (
        "https://evil.example/collect",
        "/v0.4/jobs/j-2/results/probabilities",
        "/v0.4/jobs/j-1/../../whoami",
    ):
        with pytest.raises(ProtocolError, match="not one of this job"):
            job({"probabilities": {"url": wrong}})
    with pytest.raises(ProtocolError, match="no id"):
        job({answers.SINGLE: {"id": "../../whoami"}})
    # of a URL on another host only the path is used
    stranger = "https://evil.example/v0.4/jobs/j-1/results/probabilities"
    assert job({"probabilities": {"url": stranger}}) == "/jobs/j-1/results/probabilities"


def test_numbers_that_are_optional():
    assert answers.shots_of({"shots": 5}) == answers.shots_of({"shots": "5"}) == 5
    assert [answers.shots_of(d) for d in ({}, {"shots": None}, {"shots": 1.5}, {"shots": True})] == [None] * 4
    assert answers.compute_seconds({"stats": {"billed_quantum_compute_time_us": 5200}}) == "0.0052"
    assert answers.compute_seconds({"stats": None, "execution_duration_ms": 1500}) == "1.5"
    assert answers.compute_seconds({"execution_duration_ms": 20_000}) == "20"
    assert answers.compute_seconds({}) is None
    assert answers.children({"children": ["a"]}) == ["a"]
    assert [answers.children(d) for d in ({}, {"child_job_ids": []}, {"child_job_ids": [3]})] == [None] * 3
    assert (
        answers.moment({"submitted_at": "2025-05-28T20:47:05.440Z"}).isoformat() == "2025-05-28T20:47:05.440000+00:00"
    )
    assert answers.moment({"submitted_at": "yesterday"}) is None
