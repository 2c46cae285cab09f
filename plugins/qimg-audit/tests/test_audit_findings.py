"""Gaps, bills and the reproducibility rate on records that have them."""

import datetime as dt
import json
from decimal import Decimal

import numpy as np
import pytest
from scipy import stats

from qimg_audit.bills import read_bill, reconcile
from qimg_audit.gaps import Kind, find_gaps
from qimg_audit.rate import reproducibility
from qimg_core import Session
from qimg_core.circuit import CircuitBuilder, each
from qimg_core.errors import ConfigurationError, DataError, SubmissionUncertain, UnknownName
from qimg_core.execution import ExecutionRequest
from qimg_core.jobs import Polling
from qimg_core.ledger import MemoryLedger, SQLiteLedger
from qimg_core.measurement import Expectation
from qimg_core.testing.fake_provider import FakeProvider

QUICK = Polling(first=0.0, sleep=lambda _: None, looks=1, attempts=1)


def holes(ledger, **more):
    return [(g.kind, g.what) for g in find_gaps(ledger, **more) if g.hole]


def request(shots=9, x=1.0):
    b = CircuitBuilder(1)
    b.ry(0, b.input("x"))
    return ExecutionRequest(
        circuit=b.build(), inputs=np.full((1, 1), x), weights=np.zeros(0), measurement=Expectation(each("Z", [0])),
        shots=shots,
    )  # fmt: skip


def test_a_whole_record_has_no_holes_and_says_what_it_states(record):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        assert holes(ledger) == []
        stated = [g.what for g in find_gaps(ledger) if not g.hole]
    assert "licence: the data set states none" in stated


def test_every_kind_of_hole_is_found(record, registry, tmp_path):
    with SQLiteLedger.open("runs") as ledger:
        session = Session(ledger, seed=1, backend="reference", registry=registry)
        made = session.generator("toy").sample(2)
        ledger.append("note.made", run="nobody", facts={})
        far = dt.datetime.now(dt.UTC) + dt.timedelta(hours=3)
        kinds = {k for k, _ in holes(ledger, now=far)}
        assert kinds == {Kind.RUN_WITHOUT_END, Kind.RUN_WITHOUT_START, Kind.HEAD_LATE}
        assert Kind.HEAD_LATE not in {k for k, _ in holes(ledger)}
        session.close()
        digest = ledger.entry(made.entry).artefacts["pixels"].removeprefix("sha256:")
        next(p for p in tmp_path.rglob(digest) if p.is_file()).unlink()
        found = dict(holes(ledger))
        assert digest in found[Kind.ARTEFACT_MISSING]
    without = [g for g in find_gaps(SQLiteLedger.open("runs", read_only=True)) if g.kind is Kind.IMAGES_WITHOUT_WEIGHTS]
    assert [g.hole for g in without] == [False]  # the entry states it


def test_a_hole_in_the_sequence_is_named():
    class Holed(MemoryLedger):
        def entries(self, **more):
            return (e for e in super().entries(**more) if e.index not in (2, 3))

    ledger = Holed()
    for _ in range(6):
        ledger.append("note.made", facts={})
    assert (Kind.SEQUENCE_HOLE, "not in the store") in holes(ledger)
    assert [g.where for g in find_gaps(ledger) if g.kind is Kind.SEQUENCE_HOLE] == ["entries 2 to 3"]


def test_requests_without_execution_are_holes_of_runs_that_went_well():
    ledger = MemoryLedger()
    for status, run in (("ok", "a"), ("failed", "b")):
        ledger.append("run.started", run=run, facts={"activity": "execute"})
        for first, last in ((0, 3), (6, 9)):
            ledger.append("executions", run=run, facts={"first": first, "last": last})
        ledger.append("run.finished", run=run, facts={"status": status, "device_kinds": []})
    ledger.checkpoint()
    found = [(g.where.split(",")[0], g.hole) for g in find_gaps(ledger) if g.kind is Kind.REQUEST_HOLE]
    assert found == [("run a", True), ("run b", False)]


def test_an_intent_without_an_outcome(registry, tmp_path):
    device = FakeProvider(fault="lost before accept")
    ledger = SQLiteLedger.open(tmp_path / "runs")
    with pytest.raises(SubmissionUncertain), Session(ledger, backend=device, registry=registry, polling=QUICK) as s:
        s.execute(request())
    assert Kind.INTENT_WITHOUT_OUTCOME in {k for k, _ in holes(ledger)}


def spent(registry, folder, prices=("0.01", "0.01", "0.02")):
    ledger = SQLiteLedger.open(folder / "spent")
    devices = [FakeProvider(price=Decimal(p)) for p in prices]
    for i, device in enumerate(devices):
        with Session(ledger, seed=i, backend=device, registry=registry, polling=QUICK) as session:
            session.execute(request(x=float(i)))
    return ledger, [next(iter(d.jobs)) for d in devices]


def bill(tmp_path, text):
    path = tmp_path / "bill.csv"
    path.write_text(text)
    return read_bill(path)


def test_a_right_bill_agrees_to_the_cent(registry, tmp_path):
    ledger, jobs = spent(registry, tmp_path)
    text = "Job ID,Cost,Currency\n" + "".join(
        f"{j},{p},USD\n" for j, p in zip(jobs, ("0.010", "$0.01", "0.02"), strict=True)
    )
    done = reconcile(ledger, bill(tmp_path, text))
    assert (done.lines, done.jobs, done.matched, done.agreed, done.differences) == (3, 3, 3, 3, ())
    assert done.billed == done.recorded == {"USD": Decimal("0.04")}


def test_every_kind_of_difference(registry, tmp_path):
    ledger, jobs = spent(registry, tmp_path)
    text = f"id;cost;unit\n{jobs[0]};0.03;USD\n{jobs[1]};0.01;credits\nsomebody-elses;5;USD\n{jobs[0]};0.03;USD\n"
    done = reconcile(ledger, bill(tmp_path, text))
    found = {(d.kind.value, d.job, d.undecided) for d in done.differences}
    assert found == {
        ("unknown to the ledger", "somebody-elses", False),
        ("billed twice", jobs[0], False),
        ("cost differs", jobs[0], False),
        ("unit differs", jobs[1], True),
        ("never billed", jobs[2], False),
    }
    late = reconcile(ledger, (), since=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
    assert (late.jobs, late.differences) == (0, ())
    assert reconcile(ledger, (), backend="another").jobs == 0


def test_a_list_of_jobs_and_a_driver_that_knows_no_price(registry, tmp_path):
    ledger, jobs = spent(registry, tmp_path)
    done = reconcile(ledger, bill(tmp_path, "job_id\n" + "\n".join(jobs) + "\n"))
    assert (done.agreed, done.differences) == (3, ())
    silent = SQLiteLedger.open(tmp_path / "silent")
    device = FakeProvider(price=None)
    from qimg_core.budget import Budget

    with Session(
        silent, backend=device, registry=registry, polling=QUICK, budget=Budget(allow_unknown_cost=True)
    ) as session:
        session.execute(request())
    (difference,) = reconcile(silent, bill(tmp_path, f"id,cost\n{next(iter(device.jobs))},1\n")).differences
    assert (difference.kind.value, difference.undecided) == ("the ledger knows no cost", True)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a,b\n1,2\n", ConfigurationError),
        ("", ConfigurationError),
        ("id,cost\n,3\n", DataError),
        ("id,cost\nx,three\n", DataError),
        ("id,cost\nx,NaN\n", DataError),
        ('id,cost\n"x,3\n', DataError),
    ],
)
def test_bills_that_cannot_be_read(tmp_path, text, error):
    with pytest.raises(error):
        bill(tmp_path, text)


def test_a_column_that_is_not_there(tmp_path):
    (tmp_path / "b.csv").write_text("nummer,betrag\n1,2\n")
    with pytest.raises(UnknownName, match="nummer"):
        read_bill(tmp_path / "b.csv", id_column="number")
    (line,) = read_bill(tmp_path / "b.csv", id_column="nummer", cost_column="betrag")
    assert (line.job, line.cost) == ("1", Decimal(2))
    (tmp_path / "c.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="text"):
        read_bill(tmp_path / "c.csv")


def compared(ledger, of, entry, verdict, product="images"):
    facts = {"of": of, "entry": entry, "product": product, "verdict": verdict}
    ledger.append("replay.compared", run="r", facts=facts)


def test_the_rate_counts_each_thing_once_and_the_undecided_apart():
    ledger = MemoryLedger()
    for i in range(12):
        compared(ledger, f"run {i}", i, "pass")
    for _ in range(5):
        compared(ledger, "run 0", 0, "pass")  # repeating a good one changes nothing
    compared(ledger, "run 1", 1, "fail")  # the last replay of run 1 counts
    compared(ledger, "run 20", None, "inconclusive", "requests")
    images, requests, every = reproducibility(ledger)
    assert (images.passed, images.failed, images.inconclusive) == (11, 1, 0)
    wanted = stats.binomtest(11, 12).proportion_ci(method="wilson")
    assert (images.low, images.high) == pytest.approx((wanted.low, wanted.high))
    assert (requests.inconclusive, requests.share, requests.low) == (1, None, None)
    assert (every.passed, every.failed, every.inconclusive) == (11, 1, 1)


def test_what_nobody_replayed_is_counted(record):
    with SQLiteLedger.open("runs", read_only=True) as ledger:
        by = {r.product: r for r in reproducibility(ledger)}
    assert (by["images"].passed, by["images"].never) == (1, 1)
    assert (by["weights"].passed, by["weights"].never) == (0, 1)


def test_the_commands_give_codes_and_documents(record, qimg, tmp_path):
    code, out, _ = qimg("audit", "gaps", "--json")
    assert (code, json.loads(out)["holes"]) == (0, 0)
    code, out, _ = qimg("audit", "reproducibility")
    assert code == 0
    assert "20.7%" in out  # Wilson's lower end of 1 of 1
    (tmp_path / "b.csv").write_text("id,cost\nunknown,3.50\n")
    code, out, _ = qimg("audit", "reconcile", "--bills", "b.csv", "--json")
    assert code == 1
    assert json.loads(out)["differences"][0]["kind"] == "unknown to the ledger"
    (tmp_path / "none.csv").write_text("id,cost\n")
    assert qimg("audit", "reconcile", "--bills", "none.csv")[0] == 0
    assert qimg("audit", "reconcile", "--bills", "missing.csv")[0] != 0
