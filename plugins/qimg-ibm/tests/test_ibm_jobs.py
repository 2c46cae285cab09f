"""``ibm:ibm_...`` on a fake of the service: results, one job whatever goes wrong, found again."""

import json
import subprocess
import sys

import numpy as np
import pytest
from attrs import evolve

from qimg_core.circuit import CircuitBuilder
from qimg_core.circuit.pauli import PauliString
from qimg_core.errors import (
    BackendUnavailable,
    JobLost,
    ProtocolError,
    ResultError,
    SubmissionUncertain,
)
from qimg_core.execution import ExecutionRequest
from qimg_core.job import JobHandle
from qimg_core.jobs.polling import Polling
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.testing import ReferenceBackend
from qimg_core.testing.statistics import explained_by, multinomial_test
from qimg_ibm.remote import IBMBackend
from qimg_ibm.sending import tag_of_key
from qimg_ibm.testing.cloud import CRN

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # of the SDK's own clients, at exit


# -- results -----------------------------------------------------------------------------------------------


def test_the_order_of_wires_is_ours(ibm):
    wanted = ibm.asked(Probabilities((2, 0, 1)), rows=1, shots=3000)
    counts = np.rint(ibm.run(ibm[1], wanted)[0].data[0] * 3000).astype(int)
    exact = ReferenceBackend().run(evolve(wanted, shots=None)).data[0].reshape(2, 2, 2)
    orders = [(0, 1, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0), (0, 2, 1), (1, 0, 2)]
    right, *wrong = explained_by(counts, np.stack([exact.transpose(o).reshape(-1) for o in orders]))
    assert right - max(wrong) > 14
    assert multinomial_test(counts, exact.reshape(-1), seed=1).p_value > 1e-3


def test_every_row_and_setting_is_right(ibm):
    fake, driver = ibm
    local = ibm.asked(LocalStates([(0, 1), (2,)]), rows=3, shots=2000)
    exact = ReferenceBackend().run(evolve(local, shots=None)).data
    assert np.abs(ibm.run(driver, local)[0].data - exact).max() < 0.11
    mean = ibm.asked(
        Expectation([PauliString(((0, "X"), (2, "Y")), -2.0), PauliString(((1, "Z"),))]), rows=3, shots=2000
    )
    exact = ReferenceBackend().run(evolve(mean, shots=None)).data
    assert np.abs((ibm.run(driver, mean)[0].data - exact) / [2, 1]).max() < 0.11
    assert len(fake.jobs) == 2


def test_rows_of_a_circuit_without_parameters(ibm):
    circuit = CircuitBuilder(2).x(1).h(0).build()
    wanted = ExecutionRequest(
        circuit=circuit, inputs=np.zeros((3, 0)), weights=np.zeros(0), measurement=Samples((1, 0)), shots=200
    )
    bits = ibm.run(ibm[1], wanted)[0].data
    assert bits.shape == (3, 200, 2)
    assert (bits[:, :, 0] == 1).all()
    assert np.abs(bits[:, :, 1].mean(1) - 0.5).max() < 0.2


def test_what_a_record_says(ibm):
    fake, driver = ibm
    result, entries = ibm.run(driver)
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
    handle = ibm.submitted(driver)
    first, again = ibm.done(driver, handle), driver.fetch(handle)
    assert first.raw == again.raw
    assert first.raw_digest == again.raw_digest
    assert (first.data == again.data).all()
    assert (first.shots, first.sampling) == (400, "native")


# -- one job, whatever goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["dropped", "500", "503", "garbage", "missing fields", "partial result"])
def test_accepted_and_the_answer_lost_is_one_job_adopted(ibm, fault):
    fake, driver = ibm
    fake.faults.add(fault, "after accept")
    result, entries = ibm.run(driver)
    assert (ibm.posts(fake), len(fake.jobs)) == (1, 1)
    assert [e.kind for e in entries].count("job.adopted") == 1
    exact = ReferenceBackend().run(evolve(ibm.asked(), shots=None)).data
    assert np.abs(result.data - exact).max() < 0.15
    assert len(fake.faults.struck) == 1


def test_accepted_and_no_answer_at_all_is_one_job_adopted(ibm):
    fake, _ = ibm
    fake.faults.add("hang", "after accept")
    driver = IBMBackend("ibm_manila", timeout=0.7)
    _, entries = ibm.run(driver)
    driver.close()
    assert (ibm.posts(fake), len(fake.jobs)) == (1, 1)
    assert [e.kind for e in entries].count("job.adopted") == 1


@pytest.mark.parametrize("fault", ["429", "500", "503"])
def test_refused_before_it_was_accepted_is_sent_again(ibm, fault):
    fake, driver = ibm
    fake.faults.add(fault, "before send", 2)
    slept = []
    ibm.run(driver, polling=Polling(sleep=slept.append, settle=1.0))
    assert (ibm.posts(fake), len(fake.jobs)) == (3, 1)
    assert len(fake.faults.struck) == 2
    if fault == "429":
        assert max(slept) >= 1.0, "Retry-After was not heeded"


def test_a_broken_connection_without_a_job_is_uncertain_and_is_not_sent_again(ibm):
    fake, driver = ibm
    fake.faults.add("dropped", "before send")
    with pytest.raises(SubmissionUncertain, match="not known whether"):
        ibm.run(driver)
    assert (ibm.posts(fake), len(fake.jobs)) == (1, 0)


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
    result, _ = ibm.run(driver)
    assert (ibm.posts(fake), len(fake.jobs), len(fake.faults.struck)) == (1, 1, 2)
    assert result.data.shape == (2, 8)


@pytest.mark.parametrize(
    ("fault", "error"), [("garbage", ProtocolError), ("unknown state", ProtocolError), ("503", BackendUnavailable)]
)
def test_a_question_that_fails_says_how(ibm, fault, error):
    fake, driver = ibm
    handle = ibm.submitted(driver)
    fake.faults.add(fault, "after acknowledgement")
    with pytest.raises(error):
        driver.poll(handle)


@pytest.mark.parametrize("fault", ["garbage", "partial result", "missing fields"])
def test_a_result_that_cannot_be_read_says_so(ibm, fault):
    fake, driver = ibm
    handle = ibm.submitted(driver)
    ibm.done(driver, handle)
    fake.faults.add(fault, "during download")
    with pytest.raises(ResultError):
        driver.fetch(handle)


def test_the_vendors_client_makes_two_jobs_where_the_driver_makes_one(ibm):
    """Why the SDK's repetition of submissions is turned off: 503 after the job was accepted."""
    from qiskit_ibm_runtime import QiskitRuntimeService
    from qiskit_ibm_runtime.executor_sampler import Sampler

    fake, driver = ibm
    service = QiskitRuntimeService(
        channel="ibm_quantum_platform", token=ibm.key, instance=CRN, url_resolver=fake.url_resolver
    )
    device = service.backend("ibm_manila")
    made = driver._compiler.all(ibm.asked())[1][0]
    fake.faults.add("503", "after accept")
    job = Sampler(mode=device).run([(made.circuit, np.zeros((2, len(made.columns))))], shots=50)
    assert len(fake.jobs) == 2
    assert job.result(poll_interval=0.1)[0].data["c"].to_bool_array().shape == (2, 50, 3)


# -- found again -------------------------------------------------------------------------------------------


def test_a_job_is_found_by_its_tag_and_read_without_its_handle(ibm):
    driver = ibm[1]
    handle = ibm.submitted(driver, 5)
    found = driver.find(ibm.intent(5))
    assert found.provider_ids == handle.provider_ids
    assert "reading" not in found.extra
    assert (ibm.done(driver, found).data == driver.fetch(handle).data).all()
    assert driver.find(ibm.intent(6)) is None


def test_a_job_of_another_key_is_not_taken_whatever_the_provider_lists(ibm, monkeypatch):
    fake, driver = ibm
    ibm.submitted(driver)
    real = fake.handle
    monkeypatch.setattr(fake, "handle", lambda r: real(evolve(r, query="")))  # as if it knew no filters
    assert driver.find(ibm.intent(6)) is None
    assert driver.find(ibm.intent()) is not None


def test_of_several_jobs_of_one_key_the_first_is_taken(ibm):
    _fake, driver = ibm
    first, second = ibm.submitted(driver), ibm.submitted(driver)
    assert driver.find(ibm.intent()).provider_ids == first.provider_ids
    assert driver.find(ibm.intent()).extra["doubles"] == list(second.provider_ids)
    driver.cancel(first)
    assert driver.find(ibm.intent()).provider_ids == second.provider_ids


READ = """
import json, sys, warnings
warnings.simplefilter("ignore")
from qimg_core.job import JobHandle
from qimg_ibm.devices import open_device
with open_device("ibm_manila") as driver:
    raw = driver.fetch(JobHandle.from_json(json.loads(sys.argv[1])))
    print(json.dumps([raw.data.tolist(), raw.raw_digest]))
"""


@pytest.mark.slow
def test_another_process_reads_the_same(ibm):
    driver = ibm[1]
    handle = ibm.submitted(driver)
    raw = ibm.done(driver, handle)
    out = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(handle.to_json())], capture_output=True, text=True, check=True
    )
    data, digest = json.loads(out.stdout)
    assert digest == raw.raw_digest
    assert data == raw.data.tolist()


def test_the_result_of_another_job_is_refused(ibm):
    driver = ibm[1]
    mine, other = ibm.submitted(driver, 1), ibm.submitted(driver, 2)
    ibm.done(driver, mine)
    ibm.done(driver, other)
    with pytest.raises(ResultError, match="another job"):
        driver.fetch(evolve(mine, provider_ids=other.provider_ids))
    with pytest.raises(ResultError, match="another job"):
        driver.fetch(evolve(mine, provider_ids=other.provider_ids, extra={}))


def test_a_job_that_ibm_no_longer_has_is_lost(ibm):
    fake, driver = ibm
    handle = ibm.submitted(driver)
    fake.jobs.clear()
    with pytest.raises(JobLost):
        driver.poll(handle)
    with pytest.raises(JobLost):
        driver.fetch(handle)
