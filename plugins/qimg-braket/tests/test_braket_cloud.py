"""The cloud driver against the fake Braket: the vendor's client works there too, and every job is one job."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from attrs import evolve

from qimg_braket.cloud import CloudBackend
from qimg_braket.testing import FORTE, GARNET, SV1, FakeBraket
from qimg_core.budget import Budget
from qimg_core.calibration import Calibration, drift
from qimg_core.capabilities import DeviceKind
from qimg_core.errors import (
    AuthenticationError,
    CapabilityError,
    JobCancelled,
    JobFailed,
    JobLost,
    ProtocolError,
    ResultError,
    ShotShortfall,
    SubmissionRejected,
    SubmissionUncertain,
    UnknownCost,
)
from qimg_core.job import Intent, JobHandle, JobState
from qimg_core.jobs import Polling
from qimg_core.measurement import Expectation, LocalStates, Probabilities, Samples
from qimg_core.routing import plan_for
from qimg_core.session import Session
from qimg_core.settings import settings_for
from qimg_core.testing.reference import ReferenceBackend

if TYPE_CHECKING:
    from collections.abc import Iterator

QUICK = Polling(sleep=lambda seconds: None)
UNBOUNDED = Budget(allow_unknown_cost=True)


@pytest.fixture(scope="module")
def devices(server: FakeBraket) -> Iterator[dict[str, CloudBackend]]:
    made = {name: CloudBackend(name) for name in ("garnet", "forte-1", "sv1")}
    yield made
    for device in made.values():
        device.close()


@pytest.fixture
def garnet(devices: dict[str, CloudBackend], clean: FakeBraket) -> CloudBackend:
    return devices["garnet"]


@pytest.fixture
def forte(devices: dict[str, CloudBackend], clean: FakeBraket) -> CloudBackend:
    return devices["forte-1"]


def run(device: CloudBackend, request: Any) -> Any:
    with Session(None, backend=device, polling=QUICK, budget=UNBOUNDED) as session:
        return session.execute(request)


def sent(device: CloudBackend, request: Any, *, ordinal: int = 0) -> tuple[Any, Intent, JobHandle]:
    """(plan, intent, handle) of a job of one request, sent by the driver alone."""
    plan = plan_for(device, request)
    now = dt.datetime.now(dt.UTC).isoformat()
    intent = Intent(run="run-1", ordinal=ordinal, job=0, request=plan.request.digest, at=now)
    return plan, intent, device.submit(plan, 0, intent=intent)


def finished(device: CloudBackend, handle: JobHandle) -> None:
    for _ in range(100):
        if device.poll(handle).state.terminal:
            return
    raise AssertionError("not done after a hundred questions")


def within(found: Any, exact: Any, shots: int) -> bool:
    """Five standard deviations of a frequency."""
    return bool((np.abs(found - exact) < 5 * np.sqrt(exact * (1 - exact) / shots) + 1e-9).all())


def test_the_vendors_own_client_works_here(clean: FakeBraket) -> None:
    from braket.aws import AwsDevice
    from braket.ir.openqasm import Program

    device = AwsDevice(GARNET)
    assert device.is_available
    program = Program(source="OPENQASM 3.0;\nqubit[2] q; bit[2] c; x q[1]; c = measure q;")
    task = device.run(program, ("amazon-braket-test", "tasks"), shots=50, poll_interval_seconds=0.001)
    assert task.result().measurement_counts == {"01": 50}
    assert task.state() == "COMPLETED"
    device.aws_session.braket_client.close()


@pytest.mark.parametrize("name", ["garnet", "forte-1", "sv1"])
def test_reordered_wires_through_each_device(
    devices: dict[str, CloudBackend], clean: FakeBraket, name: str, zoo: Any, asked: Any
) -> None:
    """Program sets, shares in place of shots, a managed simulator: wires 2, 0, 1 of a circuit of every gate."""
    request = asked(zoo(3, seed=21), Probabilities((2, 0, 1)), shots=4000)
    exact = ReferenceBackend().run(evolve(request, shots=None)).data
    result = run(devices[name], request)
    assert within(result.data, exact, 4000)
    assert result.record.device_kind == ("simulator" if name == "sv1" else "qpu")
    assert len(clean.tasks) == (1 if name == "garnet" else 2)
    (task, *_) = clean.tasks.values()
    assert task["deviceArn"] == {"garnet": GARNET, "forte-1": FORTE, "sv1": SV1}[name]


def test_local_states_and_expectations_in_shared_settings(garnet: CloudBackend, zoo: Any, asked: Any) -> None:
    from qimg_core.circuit import pauli

    windows = asked(zoo(3, rows=1, seed=22), LocalStates([(2, 0), (1, 2)]), shots=3000)
    exact = ReferenceBackend().run(evolve(windows, shots=None)).data
    found = run(garnet, windows).data
    assert np.abs(found - exact).max() < 0.1
    assert found[0, 0] == 1
    terms = asked(zoo(3, rows=2, seed=22), Expectation([pauli("X2 Y0", -0.5), pauli("Z2")]), shots=3000)
    assert len(settings_for(terms.measurement)) == 2
    exact = ReferenceBackend().run(evolve(terms, shots=None)).data
    assert np.abs(run(garnet, terms).data - exact).max() < 0.1


def test_samples(forte: CloudBackend, zoo: Any, asked: Any) -> None:
    request = asked(zoo(3, rows=1, seed=23), Samples((2, 0)), shots=500)
    bits = run(forte, request).data
    assert bits.shape == (1, 500, 2)
    assert bits.dtype == np.uint8


def test_capabilities_come_from_the_properties(devices: dict[str, CloudBackend], clean: FakeBraket) -> None:
    garnet, forte, sv1 = (devices[n].capabilities for n in ("garnet", "forte-1", "sv1"))
    assert (garnet.kind, sv1.kind) == (DeviceKind.QPU, DeviceKind.SIMULATOR)
    assert (garnet.max_wires, forte.shots, sv1.shots) == (5, (100, 5000), (1, 100_000))
    assert "ccx" in garnet.gates
    assert "cz" not in forte.gates
    assert garnet.calibrated
    assert not sv1.calibrated


def test_what_is_not_claimed_is_refused_before_anything_is_sent(
    forte: CloudBackend, clean: FakeBraket, zoo: Any, asked: Any
) -> None:
    clean.seen.clear()
    made = zoo(3, rows=1)
    for more, word in (
        ({"shots": 50}, "100 to 5000"),
        ({}, "finite shots"),
        ({"shots": 200, "require_seed": True}, "seed"),
    ):
        with pytest.raises(CapabilityError, match=word):
            run(forte, asked(made, Probabilities((0,)), **more))
    assert not clean.tasks
    assert not [s for s in clean.seen if s.path == "/quantum-task"]


def test_a_job_is_read_in_another_process(garnet: CloudBackend, zoo: Any, asked: Any) -> None:
    """A new driver with nothing but the handle's JSON gives the same bytes, twice."""
    _, _, handle = sent(garnet, asked(zoo(3, seed=24), LocalStates([(2, 0)]), shots=100))
    finished(garnet, handle)
    first = garnet.fetch(handle)
    text = json.dumps(handle.to_json())
    with CloudBackend("garnet") as other:
        again = [other.fetch(JobHandle.from_json(json.loads(text))) for _ in range(2)]
    for raw in again:
        assert (raw.data == first.data).all()
        assert (raw.raw, raw.raw_digest) == (first.raw, first.raw_digest)
    assert first.sampling == "native"
    assert first.lowered_digest is not None


def test_results_in_several_files(garnet: CloudBackend, clean: FakeBraket, zoo: Any, asked: Any) -> None:
    """A program set may keep programs and executables beside its result; the raw bytes hold all of them."""
    clean.inline = False
    request = asked(zoo(3, seed=24), Probabilities((2, 0, 1)), shots=2000)
    _, _, handle = sent(garnet, request)
    finished(garnet, handle)
    raw = garnet.fetch(handle)
    assert within(raw.data, ReferenceBackend().run(evolve(request, shots=None)).data, 2000)
    assert raw.raw is not None
    assert len(json.loads(raw.raw)["files"]) == 5  # the set, and for each of two programs its result and its shots


def test_the_same_job_sent_twice_is_one(forte: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    plan, intent, handle = sent(forte, asked(tiny(3), Probabilities((0, 1)), shots=100))
    again = forte.submit(plan, 0, intent=intent)
    assert again.provider_ids == handle.provider_ids
    assert len(clean.tasks) == 3
    other = evolve(intent, ordinal=1)
    assert set(forte.submit(plan, 0, intent=other).provider_ids).isdisjoint(handle.provider_ids)


def test_a_crash_between_creations_ends_in_one_task_each(
    forte: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any
) -> None:
    """The connection breaks after the third of five tasks was accepted; a new process sends the job again."""
    plan = plan_for(forte, asked(tiny(5), Probabilities((0, 1)), shots=100))
    now = dt.datetime.now(dt.UTC).isoformat()
    intent = Intent(run="run-1", ordinal=0, job=0, request=plan.request.digest, at=now)
    clean.refuse, clean.refuse_after = "InternalServiceException", 3
    with pytest.raises(SubmissionUncertain, match="3 of 5 tasks"):
        forte.submit(plan, 0, intent=intent)
    with pytest.raises(SubmissionUncertain, match="3 of 5 tasks"):
        forte.find(intent)
    clean.refuse = None
    with CloudBackend("forte-1") as other:
        handle = other.submit(plan, 0, intent=intent)
        assert len(clean.tasks) == 5
        assert list(clean.tasks) == list(handle.provider_ids)
        finished(other, handle)
        assert other.fetch(handle).data.shape == (5, 4)


def test_old_intents_are_looked_up_by_their_tags(forte: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    """AWS may have forgotten the tokens after a day: nothing is made twice all the same."""
    plan, intent, handle = sent(forte, asked(tiny(3), Probabilities((0, 1)), shots=100))
    for task in clean.tasks.values():
        task["clientToken"] = "forgotten"
    (first, *_) = clean.tasks
    del clean.tasks[first]
    old = evolve(intent, at=(dt.datetime.now(dt.UTC) - dt.timedelta(days=1)).isoformat())
    again = forte.submit(plan, 0, intent=old)
    assert again.provider_ids[1:] == handle.provider_ids[1:]
    assert len(clean.tasks) == 3


def test_find_rebuilds_the_handle_from_tags(forte: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    """Through short pages and other jobs' tasks; the found handle reads the same numbers."""
    _, intent, handle = sent(forte, asked(tiny(3), LocalStates([(1,)]), shots=100))
    sent(forte, asked(tiny(1), Probabilities((0, 1)), shots=100), ordinal=1)
    found = forte.find(intent)
    assert found is not None
    assert (found.provider_ids, dict(found.extra)) == (handle.provider_ids, dict(handle.extra))
    finished(forte, found)
    assert (forte.fetch(found).data == forte.fetch(handle).data).all()
    assert forte.find(evolve(intent, ordinal=7)) is None


def test_a_refusal_after_accepted_tasks_cancels_them(
    forte: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any
) -> None:
    clean.refuse, clean.refuse_after = "ServiceQuotaExceededException", 2
    with pytest.raises(JobFailed, match="2 of 4 tasks of the job exist.*2 of them were cancelled"):
        sent(forte, asked(tiny(4), Probabilities((0, 1)), shots=100))
    assert [t["status"] for t in clean.tasks.values()] == ["CANCELLED", "CANCELLED"]


@pytest.mark.parametrize(
    ("code", "kind", "hint"),
    [
        ("ServiceQuotaExceededException", SubmissionRejected, "spending-limits"),
        ("ValidationException", SubmissionRejected, "refused by the fake"),
        ("AccessDeniedException", AuthenticationError, "does not accept"),
        ("ExpiredTokenException", AuthenticationError, "aws sso login"),
    ],
)
def test_refusals_are_typed_and_make_nothing(
    garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any, code: str, kind: type, hint: str
) -> None:
    clean.refuse = code
    with pytest.raises(kind, match=hint) as caught:
        run(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    assert not clean.tasks
    assert "AKIA" not in str(caught.value)


def test_an_offline_device_is_a_typed_refusal(garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    clean.status = "OFFLINE"
    with pytest.raises(SubmissionRejected, match="aws braket get-device"):
        run(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    assert garnet.snapshot().data["status"] == "OFFLINE"


def test_states_cancellation_and_loss(garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    clean.polls = 3
    _, _, handle = sent(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    first = garnet.poll(handle)
    assert (first.state, first.queue_position) == (JobState.QUEUED, 2)
    assert [garnet.poll(handle).state for _ in range(3)] == [JobState.QUEUED, JobState.RUNNING, JobState.DONE]
    assert not garnet.cancel(handle)
    _, _, other = sent(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100), ordinal=1)
    assert garnet.cancel(other)
    assert garnet.poll(other).state is JobState.CANCELLED
    with pytest.raises(JobCancelled):
        garnet.fetch(other)
    assert not garnet.cancel(other)
    gone = evolve(handle, provider_ids=(handle.provider_ids[0] + "0",))
    with pytest.raises(JobLost):
        garnet.poll(gone)


def test_an_unknown_state_is_an_error(garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    _, _, handle = sent(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    clean.faults.add("unknown state", "after acknowledgement")
    with pytest.raises(ProtocolError, match="PAUSED"):
        garnet.poll(handle)


def test_a_failed_task_says_why(garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    clean.failure = "the qubits were cold"
    with pytest.raises(JobFailed, match="the qubits were cold"):
        run(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    _, _, handle = sent(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    with pytest.raises(ResultError, match="not done"):
        garnet.fetch(handle)
    finished(garnet, handle)
    with pytest.raises(JobFailed, match="the qubits were cold"):
        garnet.fetch(handle)


def test_a_partial_program_set_names_what_is_missing_and_keeps_the_rest(
    garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any
) -> None:
    clean.failing_programs = {1: "atom lost"}
    with pytest.raises(ResultError, match=r"1 of 3 programs gave no result \(program 1: atom lost\)") as caught:
        run(garnet, asked(tiny(3), Probabilities((0, 1)), shots=100))
    assert caught.value.facts["missing"] == {"1": "atom lost"}
    good: Any = caught.value.facts["good"]
    assert sorted(good) == ["0", "2"]
    assert sum(good["2"].values()) == 100


def test_fewer_shots_than_asked_are_an_error_with_the_number(
    forte: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any
) -> None:
    clean.lost_shots = 7
    for measurement in (Probabilities((0, 1)), Samples((1, 0))):
        with pytest.raises(ShotShortfall, match="200 shots were asked, 193 were taken"):
            run(forte, asked(tiny(2), measurement, shots=200))


def test_shots_are_no_more_than_braket_calls_successful(
    garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any
) -> None:
    _, _, handle = sent(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    finished(garnet, handle)
    assert garnet.fetch(handle).shots == 100
    clean.tasks[handle.provider_ids[0]]["successful"] = 90
    assert garnet.fetch(handle).shots == 90


def test_estimate_and_bill_of_a_qpu(garnet: CloudBackend, zoo: Any, asked: Any) -> None:
    """Nine settings in sets of six: two tasks at 0.30, 9 x 200 shots at 0.00145, and the same billed."""
    request = asked(zoo(3, rows=1), LocalStates([(0, 1)]), shots=200)
    wanted = 2 * Decimal("0.30") + 1800 * Decimal("0.00145")
    plan = plan_for(garnet, request)
    assert plan.cost.low == plan.cost.high == wanted
    assert plan.cost.date == "2026-11-01T00:00:00Z"
    _, _, handle = sent(garnet, request)
    finished(garnet, handle)
    billed = garnet.billed(handle)
    assert billed is not None
    assert billed.high == wanted
    assert billed.basis.startswith("computed from the price list, not an invoice")


def test_a_failed_task_costs_nothing(garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    clean.failure = "cold"
    _, _, handle = sent(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    finished(garnet, handle)
    billed = garnet.billed(handle)
    assert billed is not None
    assert billed.high == 0


def test_a_managed_simulator_has_no_price_before_and_one_after(
    devices: dict[str, CloudBackend], clean: FakeBraket, tiny: Any, asked: Any
) -> None:
    request = asked(tiny(1), Probabilities((0, 1)), shots=100)
    with Session(None, backend=devices["sv1"], polling=QUICK) as session:
        assert session.plan(request).cost.low == Decimal("0.00375")
        with pytest.raises(UnknownCost, match="how long they take"):
            session.execute(request)
    assert not clean.tasks
    _, _, handle = sent(devices["sv1"], request)
    finished(devices["sv1"], handle)
    billed = devices["sv1"].billed(handle)
    assert billed is not None
    assert billed.high == Decimal("0.075") * 4200 / 60000


def test_calibration_is_recorded_before_and_after(
    garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any
) -> None:
    before = garnet.snapshot()
    assert Calibration.from_snapshot(before).gates["cz"][1, 2].error == 0.01
    assert before.digest == garnet.snapshot().digest
    clean.faults.add("recalibrated", "after acknowledgement")
    result = run(garnet, asked(tiny(1), Probabilities((0, 1)), shots=100))
    assert any("0.03 -> 0.04" in line for line in result.record.drift)
    assert drift(before, garnet.snapshot())


def test_no_secret_leaves(garnet: CloudBackend, clean: FakeBraket, tiny: Any, asked: Any) -> None:
    """A server that quotes the whole request in its refusal; and the ledger of a run that went well."""
    secret, keys = clean.environment()["AWS_SECRET_ACCESS_KEY"], ["AKIAIOSFODNN7EXAMPLE", "Signature="]
    made = asked(tiny(1), Probabilities((0, 1)), shots=100)
    with Session(None, backend=garnet, polling=QUICK, budget=UNBOUNDED) as session:
        result = session.execute(made)
        entries = b"".join(json.dumps(e.facts, default=str).encode() for e in session.ledger.entries())
    found = entries.decode() + json.dumps([j.to_json() for j in result.record.jobs])
    assert not any(word in found for word in [secret, *keys])

    def quoting(request: Any) -> Any:
        from qimg_braket.testing.service import error

        return error("AccessDeniedException", f"{secret} {request.headers.get('authorization')}")

    original = clean.handle
    clean.handle = quoting  # type: ignore[method-assign]
    try:
        with pytest.raises(AuthenticationError) as caught:
            garnet.snapshot()
    finally:
        clean.handle = original  # type: ignore[method-assign]
    told: BaseException | None = caught.value
    while told is not None:
        text = f"{told!r} {told} {getattr(told, 'facts', '')}"
        assert not any(word in text for word in [secret, *keys])
        told = told.__cause__ if told.__cause__ is not None or told.__suppress_context__ else told.__context__


def test_no_credentials_is_an_error_with_the_command_that_helps(
    clean: FakeBraket, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with CloudBackend("garnet") as device, pytest.raises(AuthenticationError, match="aws sso login"):
        assert device.capabilities


def test_where_results_go(clean: FakeBraket, tiny: Any, asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bucket of the SDK's own variables, else the account's default one, which is never created."""
    with CloudBackend("garnet") as device:
        sent(device, asked(tiny(1), Probabilities((0, 1)), shots=100))
        monkeypatch.setenv("AMZN_BRAKET_TASK_RESULTS_S3_URI", "s3://amazon-braket-mine/some/where")
        sent(device, asked(tiny(1), Probabilities((0, 1)), shots=100), ordinal=1)
    places = [(t["outputS3Bucket"], t["outputS3KeyPrefix"]) for t in clean.tasks.values()]
    assert places == [("amazon-braket-eu-north-1-123456789012", "tasks"), ("amazon-braket-mine", "some/where")]
    assert not [s for s in clean.seen if s.method in ("PUT", "HEAD")]
