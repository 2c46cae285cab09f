"""Everything that can go wrong on the way to Braket, through the core's session: one task a program, always."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from qimg_braket.cloud import CloudBackend
from qimg_core.budget import Budget
from qimg_core.errors import BackendError, BackendUnavailable, ProtocolError, ResultError, SubmissionUncertain
from qimg_core.job import Intent
from qimg_core.jobs import Polling
from qimg_core.measurement import Probabilities
from qimg_core.routing import plan_for
from qimg_core.session import Session

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from qimg_braket.testing import FakeBraket

QUICK = Polling(sleep=lambda seconds: None)
SENDING = ["429", "500", "503", "dropped"]
ACCEPTED = [*SENDING, "garbage", "missing fields"]
ASKING = [*ACCEPTED, "unknown state"]
DOWNLOADING = [*ACCEPTED, "partial result"]


@pytest.fixture(scope="module")
def forte(server: FakeBraket) -> Iterator[CloudBackend]:
    with CloudBackend("forte-1") as device:
        yield device


@pytest.fixture
def request_of_two(tiny: Any, asked: Any) -> Any:
    return asked(tiny(2), Probabilities((1, 0)), shots=100)


def run(device: CloudBackend, request: Any, ledger: Any = None, **more: Any) -> Any:
    with Session(ledger, backend=device, polling=QUICK, budget=Budget(), **more) as session:
        return session.run, session.execute(request)


@pytest.mark.parametrize(
    ("fault", "point"),
    [
        *((f, "before send") for f in SENDING),
        *((f, "after accept") for f in ACCEPTED),
        *((f, "after acknowledgement") for f in ASKING),
        *((f, "during download") for f in DOWNLOADING),
    ],
)
def test_one_fault_is_survived_with_one_task_a_program(
    forte: CloudBackend, clean: FakeBraket, request_of_two: Any, fault: str, point: str
) -> None:
    clean.faults.add(fault, point, times=2)
    _, result = run(forte, request_of_two)
    assert result.data.shape == (2, 4)
    assert len(clean.tasks) == 2
    assert len(clean.faults.struck) == 2
    tokens = {t["clientToken"] for t in clean.tasks.values()}
    assert len(tokens) == 2


@pytest.mark.parametrize("fault", SENDING)
def test_the_driver_itself_repeats_nothing(
    forte: CloudBackend, clean: FakeBraket, request_of_two: Any, fault: str
) -> None:
    plan = plan_for(forte, request_of_two)
    clean.faults.add(fault, "before send")
    with pytest.raises(BackendError) as caught:
        forte.submit(plan, 0, intent=Intent(run="r", ordinal=0, job=0, request="sha256:0"))
    seen, error = [], caught.value.__cause__
    while error is not None:
        assert not any(error is s for s in [*seen, caught.value])  # a chain of causes has an end
        seen.append(error)
        error = error.__cause__
    assert [s.path for s in clean.seen].count("/quantum-task") == 1


@pytest.mark.parametrize("point", ["before send", "after accept", "after acknowledgement", "during download"])
def test_silence_is_survived(clean: FakeBraket, request_of_two: Any, point: str) -> None:
    clean.faults.add("hang", point)
    with CloudBackend("forte-1", read_timeout=0.25) as device:
        _, result = run(device, request_of_two)
    assert result.data.shape == (2, 4)
    assert len(clean.tasks) == 2


@pytest.mark.parametrize(
    ("fault", "point", "kind"),
    [
        ("dropped", "before send", SubmissionUncertain),
        ("500", "after accept", SubmissionUncertain),
        ("garbage", "after accept", SubmissionUncertain),
        ("429", "before send", BackendUnavailable),
        ("503", "after acknowledgement", BackendUnavailable),
        ("unknown state", "after acknowledgement", ProtocolError),
        ("partial result", "during download", ResultError),
    ],
)
def test_a_lasting_fault_is_a_typed_error_and_a_resumed_run_finishes_the_job(
    forte: CloudBackend, clean: FakeBraket, request_of_two: Any, tmp_path: Path, fault: str, point: str, kind: type
) -> None:
    clean.faults.add(fault, point, times=1000)
    ledger = tmp_path / "run"
    with pytest.raises(kind):
        run(forte, request_of_two, ledger, seed=1)
    clean.faults.planned.clear()
    name = next(_runs(ledger))
    resumed, result = run(forte, request_of_two, ledger, resume=name)
    assert resumed == name
    assert result.data.shape == (2, 4)
    assert len(clean.tasks) == 2


def _runs(ledger: Path) -> Iterator[str]:
    from qimg_core.ledger.opening import open_ledger
    from qimg_core.plugins import Registry

    log = open_ledger(ledger, Registry(), create=False)
    try:
        yield from [e.run for e in log.entries(kind="run.started") if e.run]
    finally:
        log.close()


def test_a_closed_port_is_unavailable_and_nothing_was_sent(
    request_of_two: Any, server: FakeBraket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAKET_ENDPOINT", "http://127.0.0.1:9")
    with CloudBackend("forte-1") as device, pytest.raises(BackendUnavailable, match="nothing was sent"):
        run(device, request_of_two)


def test_a_fallback_is_taken_when_braket_is_away(
    request_of_two: Any, server: FakeBraket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAKET_ENDPOINT", "http://127.0.0.1:9")
    with Session(None, backend="braket:forte-1", fallback=["braket:local"], polling=QUICK) as session:
        result = session.execute(request_of_two)
    assert result.record.ran_backend == "braket:local"
    assert "no connection to Amazon Braket" in (result.record.fallback_reason or "")
