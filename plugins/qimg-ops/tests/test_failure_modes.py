"""The failure modes F1 to F6, each injected, each ending as docs/reference/failure-modes.md says."""

import asyncio
import sqlite3
import tomllib
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from attrs import evolve

import qimg_policy.plugin
from qimg_audit.gaps import find_gaps
from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Session, pauli
from qimg_core.budget import Budget
from qimg_core.datasets import ArraySource
from qimg_core.errors import AdmissionDenied, BudgetExceeded, UnknownCost
from qimg_core.hooks import BackendSpec, hookimpl
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.ledger.bundle import check
from qimg_core.ledger.database import DATABASE
from qimg_core.ledger.entry import Draft
from qimg_core.replay import replay_images
from qimg_core.testing import FakeProvider, ReferenceBackend
from qimg_core.testing.faults import Fault, Faults, Point
from qimg_core.training import train
from qimg_core.verdict import Verdict
from qimg_ops import incidents as store
from qimg_policy.bundle import shipped_bundle
from qimg_policy.keys import SigningKey
from qimg_policy.pin import write_pin
from qimg_rollout.baseline import pin
from qimg_rollout.canary import CanaryPlan
from qimg_rollout.flags import parse_flags, sign_flags
from qimg_rollout.serving import serve
from qimg_rollout.sets import images_of
from qimg_rollout.state import in_use, start_canary, use_flags

QUIET = Polling(sleep=lambda s: None)
KEY = SigningKey("release", bytes(range(32)))


class Shifted(ReferenceBackend):
    """The reference device, wrong by 0.9 in every expectation."""

    def run(self, request):
        raw = super().run(request)
        return evolve(raw, data=np.clip(raw.data - 0.9, -1, 1))


class ShiftedPlugin:
    """Supplies it."""

    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="shifted", target="qimg_core.testing:ReferenceBackend")]


def request(rows=2, **changes):
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).build()
    x = np.linspace(0.1, 1.3, rows)[:, None]
    measured = Expectation([pauli("Z0")])
    return ExecutionRequest(circuit=circuit, inputs=x, weights=np.zeros(0), measurement=measured, **changes)


@pytest.fixture
def ledger(tmp_path):
    with SQLiteLedger.open(tmp_path / "runs") as log:
        yield log


def kinds(ledger):
    return [e.kind for e in ledger.entries()]


def holes(ledger):
    return [g.what for g in find_gaps(ledger) if g.hole]


# -- F1: provenance gap ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", [Fault.DROPPED, Fault.HANG, Fault.ERROR, Fault.GARBAGE])
def test_f1_a_lost_acknowledgement_leaves_one_job_and_no_hole_in_the_record(fault, ledger, registry):
    fake = FakeProvider(faults=Faults().add(fault, Point.AFTER_ACCEPT))
    with Session(ledger, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        session.execute(request(shots=100))
    assert len(fake.jobs) == 1
    assert kinds(ledger).count("job.finished") == 1
    assert holes(ledger) == []


def test_f1_a_run_that_broke_off_shows_as_a_hole_until_it_is_resumed(ledger, registry):
    class Crash(BaseException):
        pass

    fake = FakeProvider()

    def dies(*_):
        raise Crash

    fake.fetch = dies
    first = Session(ledger, seed=1, backend=fake, registry=registry, polling=QUIET)
    with pytest.raises(Crash):
        first.execute(request(shots=100))
    ledger.checkpoint()
    assert holes(ledger)
    with Session(ledger, resume=first.run, backend=fake.again(), registry=registry, polling=QUIET) as again:
        again.execute(request(shots=100))
    assert fake.submits == 1
    assert holes(ledger) == []


# -- F2: stochastic drift ----------------------------------------------------------------------


def test_f2_a_drifting_device_is_rolled_back_by_its_canary(ledger, registry, monkeypatch):
    registry.register(ShiftedPlugin(), "shifted")
    with Session(ledger, seed=1, backend="reference", registry=registry, activity="generate") as session:
        entry = session.generator("toy").sample(24, seed=1).entry
    base = pin(ledger, "steady", images_of(ledger, [entry]))
    path = 'generator = "toy"'
    text = 'version = 1\n[flags.q]\nstate = "canary"\ncohorts = ["c"]\nshare = "1"\n'
    text += f'on = {{ {path}, backend = "shifted" }}\noff = {{ {path}, arm = "twin", backend = "reference" }}\n'
    use_flags(ledger, sign_flags(parse_flags(tomllib.loads(text)), [KEY]), [KEY.public])
    plan = CanaryPlan(alpha=0.05, looks=(12, 24), tolerance=4.0, failing=0.05, seed=1)
    start_canary(ledger, "q", plan, baseline=base.index)
    monkeypatch.setattr("qimg_core.testing.ReferenceBackend", Shifted)
    served = []
    for seed in range(4):
        done = serve(ledger, registry, "q", n=12, seed=1 if seed < 2 else seed, subject="s", cohorts=["c"])
        served.append(done.served.variant)
    assert served == ["on", "off", "off", "off"]
    assert in_use(ledger).back
    assert ledger.verify().ok


# -- F3: unauthorised routing ------------------------------------------------------------------


def test_f3_personal_data_does_not_leave_and_the_chain_goes_on_here(ledger, registry):
    registry.register(qimg_policy.plugin, "policy")
    bundle = shipped_bundle("team")
    write_pin(ledger, evolve(bundle, signature=bundle.signed([KEY])), [KEY.public])
    fake, stated = FakeProvider(), {"sensitivity": "personal", "consent": "given", "purpose": "research"}
    with (
        Session(ledger, seed=1, backend=fake, registry=registry, context=stated) as session,
        pytest.raises(AdmissionDenied),
    ):
        session.execute(request())
    assert fake.submits == 0
    assert kinds(ledger).index("policy.decided") < kinds(ledger).index("plan.refused")
    registry.register(FakePlugin(), "fake")
    chain = {"backend": "fake-provider", "fallback": ["reference"]}
    with Session(ledger, seed=1, **chain, registry=registry, context=stated) as session:
        session.execute(request())
    assert [e.facts["to"] for e in ledger.entries(kind="route.fell_back")] == ["reference"]


class FakePlugin:
    """The fake provider by name."""

    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="fake-provider", target="qimg_core.testing:FakeProvider", remote=True, metered=True)]


# -- F4: cost runaway --------------------------------------------------------------------------


def test_f4_a_loop_stops_at_the_budget_and_not_a_cent_later(ledger, registry):
    fake = FakeProvider(price=Decimal("0.01"))
    budget = Budget(max_cost=Decimal("0.05"))
    with Session(ledger, seed=1, backend=fake, registry=registry, polling=QUIET, budget=budget) as session:
        with pytest.raises(BudgetExceeded, match=r"0\.06"):
            while True:
                session.execute(request(shots=100))
        assert session.spending.cost == Decimal("0.05")
    assert fake.submits == 5


def test_f4_an_unknown_price_is_not_a_free_one(ledger, registry):
    fake = FakeProvider(price=None)
    with Session(ledger, seed=1, backend=fake, registry=registry, polling=QUIET) as session, pytest.raises(UnknownCost):
        session.execute(request(shots=100))
    assert fake.submits == 0


# -- F5: latency pile-up -----------------------------------------------------------------------


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self):
        self.now = 0.0

    def sleep(self, seconds):
        self.now += seconds

    def read(self):
        return self.now


def test_f5_a_queue_that_does_not_move_is_left_within_its_time(ledger, registry):
    clock = Clock()
    fake = FakeProvider(polls=10**9)

    class Stuck:
        @hookimpl
        def qimg_backends(self):
            return [BackendSpec(name="fake-provider", target="qimg_core.testing:FakeProvider")]

    registry.register(Stuck(), "stuck")
    session = Session(
        ledger,
        seed=1,
        backend="fake-provider[within=600]",
        fallback=["reference"],
        registry=registry,
        polling=Polling(sleep=clock.sleep, clock=clock.read),
    )
    session._backends["fake-provider"] = fake
    with session:
        result = session.execute(request(shots=100))
    assert 600 <= clock.now < 700
    assert result.data.shape == (2, 1)
    assert fake.cloud.cancelled == set(fake.jobs)
    assert [e.facts["to"] for e in ledger.entries(kind="route.fell_back")] == ["reference"]


def test_f5_requests_wait_together_and_not_one_after_another(ledger, registry):
    fake = FakeProvider()
    with Session(ledger, seed=1, backend=fake, registry=registry, polling=QUIET) as session:

        async def all_of_them():
            return await asyncio.gather(*(session.aexecute(request(n, shots=100)) for n in (1, 2, 3)))

        results = asyncio.run(all_of_them())
    assert [r.data.shape[0] for r in results] == [1, 2, 3]
    assert [r.record.ordinal for r in results] == [0, 1, 2]


# -- F6: replayable corruption -----------------------------------------------------------------


def test_f6_writing_again_changes_nothing(ledger):
    first = ledger.append("thing.done", facts={"n": 1}, key="job-1")
    assert ledger.append("thing.done", facts={"n": 1}, key="job-1") == first
    with pytest.raises(Exception, match="job-1"):
        ledger.extend([Draft("thing.done", facts={"n": 2}, key="job-1")])
    assert len(ledger) == 1


def test_f6_corruption_is_named_and_the_snapshot_still_holds_and_replays(registry, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with SQLiteLedger.open("runs") as log:
        pixels = np.random.default_rng(3).random((6, 2, 2, 1)).astype(np.float32)
        source = ArraySource(name="six", pixels=pixels, labels=np.arange(6) % 3, provenance={"made": "by this test"})
        with Session(log, seed=3, backend="reference", registry=registry, activity="train") as session:
            train(session, session.generator("toy"), source, steps=2, out=Path("w.safetensors"))
        with Session(log, seed=5, backend="reference", registry=registry, activity="generate") as session:
            made = session.generator("toy", weights="w.safetensors").sample(4, seed=5)
        found = store.open_incident(log, title="t", severity=store.Severity.HIGH)
        store.snapshot(log, found.id, Path("evidence.zip"))
        assert replay_images(log, entry=made.entry, registry=registry).verdict is Verdict.PASS
        bad = log.entry(made.entry).body
    database = Path("runs") / DATABASE
    with sqlite3.connect(database) as raw:
        raw.execute("DROP TRIGGER entry_no_update")
        forged = bad.replace(b'"n":4', b'"n":5')
        assert forged != bad
        raw.execute("UPDATE entry SET body = ? WHERE idx = ?", (forged, made.entry))
    raw.close()
    with SQLiteLedger.open("runs", read_only=True) as log:
        checked = log.verify()
    assert checked.verdict is Verdict.FAIL
    assert checked.first_bad == made.entry
    assert check("evidence.zip").verdict is Verdict.PASS
