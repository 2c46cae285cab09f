"""One job at the provider, whatever happens: crash points, faults, resume in another process, drift, bills."""

import asyncio
import gc
import tracemalloc
from decimal import Decimal

import numpy as np
import pytest

from qimg_core import (
    Budget,
    CircuitBuilder,
    ExecutionRequest,
    Expectation,
    LocalStates,
    Probabilities,
    Registry,
    Samples,
    Session,
    pauli,
)
from qimg_core.capabilities import Idempotency
from qimg_core.errors import (
    BackendError,
    BackendUnavailable,
    BreakerOpen,
    ConfigurationError,
    FallbackExhausted,
    JobCancelled,
    JobFailed,
    JobTimeout,
    ResultError,
    ShotShortfall,
    SubmissionUncertain,
)
from qimg_core.jobs import Polling
from qimg_core.jobs.breaker import Breaker
from qimg_core.ledger.opening import open_ledger
from qimg_core.testing import FakeProvider, ReferenceBackend
from qimg_core.testing.faults import Fault, Faults, Point

QUIET = Polling(sleep=lambda s: None)


class Crash(BaseException):
    """As SIGKILL: nothing catches it, nothing is cleaned up by us."""


@pytest.fixture
def registry():
    return Registry(discover=False)


def request(rows=3, **changes):
    b = CircuitBuilder(1)
    circuit = b.ry(0, b.input("x")).build()
    x = np.linspace(0.1, 1.3, rows)[:, None]
    fields = {"measurement": Expectation([pauli("Z0")]), **changes}
    return ExecutionRequest(circuit=circuit, inputs=x, weights=np.zeros(0), **fields)


def exact(rows):
    return np.cos(np.linspace(0.1, 1.3, rows))


def kinds(ledger):
    return [e.kind for e in ledger.entries()]


# -- crash points, and a second process of the same run ------------------------------------------------

POINTS = {
    "before send": ("submit", "before"),
    "after accept": ("submit", "after"),
    "after acknowledgement": ("poll", "before"),
    "during download": ("fetch", "before"),
}


def crashing(fake, verb, when):
    """The driver dies at one call of one verb, as its process would."""
    original = getattr(fake, verb)

    def dies(*args, **kwargs):
        if when == "after":
            original(*args, **kwargs)
        raise Crash

    setattr(fake, verb, dies)
    return fake


@pytest.mark.parametrize("idempotency", [Idempotency.TAG, Idempotency.TOKEN])
@pytest.mark.parametrize("point", POINTS)
def test_a_crash_leaves_one_job_and_a_resumed_run_adopts_it(registry, tmp_path, point, idempotency):
    fake = FakeProvider(idempotency=idempotency, max_rows=2)
    first = Session(tmp_path / "runs", seed=1, backend=crashing(fake, *POINTS[point]), registry=registry, polling=QUIET)
    with pytest.raises(Crash):
        first.execute(request(3))
    first.ledger.close()  # what the kernel does to a killed process: the lock goes, nothing is written
    second = fake.again()
    with Session(tmp_path / "runs", resume=first.run, backend=second, registry=registry, polling=QUIET) as session:
        result = session.execute(request(3))
        np.testing.assert_allclose(result.data[:, 0], exact(3), atol=1e-12)
    assert len(fake.jobs) == 2  # three rows in two jobs, each once
    assert sorted({run for _, run, _ in fake.jobs.values()}) == [first.run]
    with open_ledger(tmp_path / "runs", Registry(discover=False), create=False, read_only=True) as ledger:
        assert kinds(ledger).count("job.finished") == 2
        assert "run.resumed" in kinds(ledger)
        assert ledger.verify().ok


def test_a_resumed_run_pays_nothing_twice_and_sends_only_what_is_left(registry, tmp_path):
    fake = FakeProvider()
    with Session(tmp_path / "runs", seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        first = session.execute(request(3, shots=100, seed=5))
    with Session(tmp_path / "runs", resume=session.run, backend=fake.again(), registry=registry) as again:
        second = again.execute(request(3, shots=100, seed=5))
        third = again.execute(request(2, shots=100, seed=6))
    np.testing.assert_array_equal(first.data, second.data)
    assert fake.submits == 2
    assert "found again, not sent" in second.record.decisions[-1]
    assert third.record.ordinal == 1


def test_a_driver_without_keys_leaves_uncertainty_to_a_person(registry, tmp_path):
    fake = FakeProvider(idempotency=Idempotency.NONE)
    first = Session(tmp_path / "runs", seed=1, backend=crashing(fake, "submit", "after"), registry=registry)
    with pytest.raises(Crash):
        first.execute(request())
    first.ledger.close()
    with Session(tmp_path / "runs", resume=first.run, backend=fake.again(), registry=registry, polling=QUIET) as s:
        with pytest.raises(SubmissionUncertain, match="qimg jobs resolve"):
            s.execute(request())
    assert fake.submits == 1


def test_resume_wants_the_same_run(registry, tmp_path):
    with Session(tmp_path / "runs", seed=1, backend=FakeProvider(), registry=registry, polling=QUIET) as session:
        session.execute(request())
    with pytest.raises(ConfigurationError, match="no run 'nope'"):
        Session(tmp_path / "runs", resume="nope", backend=FakeProvider(), registry=registry)
    with pytest.raises(ConfigurationError, match="has seed 1"):
        Session(tmp_path / "runs", resume=session.run, seed=2, backend=FakeProvider(), registry=registry)
    with pytest.raises(ConfigurationError, match="asked for fake-provider"):
        Session(tmp_path / "runs", resume=session.run, backend=ReferenceBackend(), registry=registry)
    with pytest.raises(ConfigurationError, match="in memory"):
        Session(None, resume=session.run, backend=FakeProvider(), registry=registry)


# -- faults ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("idempotency", list(Idempotency))
@pytest.mark.parametrize("point", list(Point))
@pytest.mark.parametrize("fault", list(Fault))
def test_every_fault_at_every_point_ends_in_one_job_or_a_typed_error(registry, fault, point, idempotency):
    fake = FakeProvider(faults=Faults().add(fault, point), idempotency=idempotency)
    lies = (fault, point, idempotency) == (Fault.TOO_MANY, Point.AFTER_ACCEPT, Idempotency.NONE)
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        try:
            result = session.execute(request())
        except SubmissionUncertain as error:
            # no answer at all, and no job to be found: nobody can know; the message says what to do
            assert "qimg jobs collect" in str(error)
            assert idempotency is not Idempotency.TOKEN
            assert len(fake.jobs) == (point is Point.AFTER_ACCEPT)
        else:
            np.testing.assert_allclose(result.data[:, 0], exact(3), atol=1e-12)
            # a provider that says "429, not taken" of a job it took, and knows no keys, cannot be caught
            assert len(fake.jobs) == 1 + lies
    assert fake.faults.struck == [(point, fault)]


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.ERROR, Fault.DROPPED])
@pytest.mark.parametrize("idempotency", [Idempotency.TAG, Idempotency.TOKEN])
def test_a_provider_that_takes_a_job_and_always_says_no_is_looked_at_before_giving_up(registry, fault, idempotency):
    fake = FakeProvider(faults=Faults().add(fault, Point.AFTER_ACCEPT, times=1000), idempotency=idempotency)
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        np.testing.assert_allclose(session.execute(request()).data[:, 0], exact(3), atol=1e-12)
    assert len(fake.jobs) == 1
    assert "job.adopted" in kinds(session.ledger)


@pytest.mark.parametrize(
    ("point", "words"), [(Point.BEFORE_SEND, "--fallback"), (Point.AFTER_ACKNOWLEDGEMENT, "qimg jobs collect")]
)
def test_an_error_after_the_last_attempt_says_what_to_do(registry, point, words):
    fake = FakeProvider(faults=Faults().add(Fault.TOO_MANY, point, times=1000))
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        with pytest.raises(BackendUnavailable) as caught:
            session.execute(request())
    assert words in caught.value.hint
    assert f"--resume {session.run}" in str(caught.value)


@pytest.mark.parametrize(("fault", "error"), [(Fault.PARTIAL, ResultError), (Fault.UNAVAILABLE, BackendUnavailable)])
def test_a_provider_that_never_recovers_gives_a_typed_error_and_the_result_later(registry, tmp_path, fault, error):
    fake = FakeProvider(faults=Faults().add(fault, Point.DURING_DOWNLOAD, times=100))
    with pytest.raises(error):
        with Session(tmp_path / "r", seed=1, backend=fake, registry=registry, polling=QUIET) as session:
            session.execute(request())
    with Session(tmp_path / "r", resume=session.run, backend=fake.again(), registry=registry, polling=QUIET) as again:
        again.execute(request())
    assert fake.submits == 1


def test_a_failed_job_is_not_sent_again_by_itself(registry, tmp_path):
    fake = FakeProvider(fault="fails")
    with pytest.raises(JobFailed, match="cold"):
        with Session(tmp_path / "r", seed=1, backend=fake, registry=registry, polling=QUIET) as session:
            session.execute(request())
    with pytest.raises(JobFailed, match="earlier process"):
        with Session(tmp_path / "r", resume=session.run, backend=fake.again(), registry=registry) as again:
            again.execute(request())
    assert fake.submits == 1


def test_one_failed_job_does_not_lose_the_others(registry):
    class Second(FakeProvider):
        def poll(self, handle):
            if handle.provider_ids[0].endswith("#2"):
                raise JobFailed("the second one fails")
            return super().poll(handle)

    fake = Second(max_rows=1)
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        with pytest.raises(JobFailed, match="second") as caught:
            session.execute(request(3))
    assert caught.value.facts["finished"] == 2
    assert kinds(session.ledger).count("job.finished") == 2
    assert kinds(session.ledger).count("job.ended") == 1


def test_a_wait_that_ends_leaves_the_job_alive(registry, tmp_path):
    fake = FakeProvider(polls=50)
    with pytest.raises(JobTimeout, match="alive"):
        polling = Polling(sleep=lambda s: None, timeout=20)
        with Session(tmp_path / "r", seed=1, backend=fake, registry=registry, polling=polling) as session:
            session.execute(request())
    assert not fake.cloud.cancelled
    with Session(tmp_path / "r", resume=session.run, backend=fake, registry=registry, polling=QUIET) as again:
        again.execute(request())
    assert fake.submits == 1


def test_the_breaker_opens_after_failures_and_lets_one_probe_through():
    now = [0.0]
    breaker = Breaker(after=2, pause=60, clock=lambda: now[0])
    breaker.failed("x")
    breaker.check("x")
    breaker.failed("x")
    with pytest.raises(BreakerOpen, match="2 times"):
        breaker.check("x")
    breaker.check("y")
    now[0] = 61
    breaker.check("x")  # the probe
    with pytest.raises(BreakerOpen):
        breaker.check("x")
    breaker.succeeded("x")
    breaker.check("x")


def test_an_open_breaker_sends_nothing_and_the_chain_goes_on(registry):
    fake = FakeProvider(faults=Faults().add(Fault.TOO_MANY, Point.BEFORE_SEND, times=1000))
    breaker = Breaker(after=3, pause=60, clock=lambda: 0.0)
    session = Session(None, seed=1, backend=fake, registry=registry, polling=QUIET, breaker=breaker)
    with session:
        with pytest.raises(BackendError):
            session.execute(request())
        sent = fake.submits
        with pytest.raises(BreakerOpen):
            session.execute(request())
        assert fake.submits == sent


# -- the chain ---------------------------------------------------------------------------------------------


def chain(fake, *hops, registry, **more):
    session = Session(None, seed=1, backend=fake, registry=registry, polling=QUIET, **more)
    from qimg_core.routing import Hop

    session.hops = tuple(Hop.parse(h) for h in hops)
    session._backends["reference"] = ReferenceBackend()
    return session


def test_an_unreachable_provider_falls_back_loudly(registry, caplog):
    fake = FakeProvider(faults=Faults().add(Fault.TOO_MANY, Point.BEFORE_SEND, times=100))
    with chain(fake, "fake-provider", "reference", registry=registry) as session:
        result = session.execute(request())
    assert (result.record.asked_backend, result.record.ran_backend) == ("fake-provider", "reference")
    assert "429" in result.record.fallback_reason
    assert "route.fell_back" in kinds(session.ledger)
    assert "fake-provider -> reference" in caplog.text


def test_a_deadline_cancels_and_goes_on(registry):
    fake = FakeProvider(polls=10_000)
    with chain(fake, "fake-provider[within=30]", "reference", registry=registry) as session:
        result = session.execute(request())
    assert result.record.ran_backend == "reference"
    assert "1 jobs cancelled" in result.record.fallback_reason
    assert len(fake.cloud.cancelled) == 1
    (ended,) = session.ledger.entries(kind="job.ended")
    assert ended.facts["state"] == "cancelled"


def test_size_limits_of_a_hop(registry):
    fake = FakeProvider()
    with chain(fake, "fake-provider[rows=2]", "reference", registry=registry) as session:
        assert session.execute(request(2)).record.ran_backend == "fake-provider"
        big = session.execute(request(3))
        assert big.record.ran_backend == "reference"
        assert "rows: wanted 3" in big.record.fallback_reason


def test_an_uncertain_job_never_falls_back(registry):
    fake = FakeProvider(fault="lost before accept")
    with chain(fake, "fake-provider", "reference", registry=registry) as session:
        with pytest.raises(SubmissionUncertain):
            session.execute(request())


def test_the_end_of_a_chain_names_every_failure(registry):
    fake = FakeProvider(faults=Faults().add(Fault.TOO_MANY, Point.BEFORE_SEND, times=100))
    with chain(fake, "fake-provider", "reference[rows=1]", registry=registry) as session:
        with pytest.raises(FallbackExhausted) as caught:
            session.execute(request(3))
    assert [type(e).__name__ for e in caught.value.exceptions] == ["RateLimited", "CapabilityError"]


@pytest.mark.parametrize("text", ["a[b=1]", "a[within=soon]", "a[", "[within=1]"])
def test_bad_hops(text):
    from qimg_core.routing import Hop

    with pytest.raises(ConfigurationError):
        Hop.parse(text)


# -- chunks, shots, drift, money -----------------------------------------------------------------------------


def test_shots_in_pieces_add_up_and_are_named(registry):
    fake = FakeProvider(max_shots=400, max_rows=2)
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        result = session.execute(request(3, shots=1000, seed=3, measurement=Samples([0])))
        means = session.execute(request(3, shots=1000, seed=3, measurement=Probabilities([0])))
    assert result.data.shape == (3, 1000, 1)
    assert [c.shots for c in result.record.chunks] == [334, 333, 333] * 2
    assert [c.rows for c in result.record.chunks] == [(0, 2)] * 3 + [(2, 3)] * 3
    assert len({c.key for c in result.record.chunks}) == 6
    # the mean of the pieces, weighted by shots, is a frequency of 1000 shots
    counts = means.data * 1000
    np.testing.assert_allclose(counts, np.round(counts), atol=1e-6)
    p = np.sin(np.linspace(0.1, 1.3, 3) / 2) ** 2
    assert np.all(np.abs(means.data[:, 1] - p) < 5 * np.sqrt(p * (1 - p) / 1000))


def test_a_silent_shot_cap_is_a_typed_error_after_the_record(registry):
    from attrs import evolve

    class Caps(FakeProvider):
        def fetch(self, handle):
            return evolve(super().fetch(handle), shots=100)

    with Session(None, seed=1, backend=Caps(), registry=registry, polling=QUIET) as session:
        with pytest.raises(ShotShortfall, match="1000 shots were asked, 100 were taken"):
            session.execute(request(2, shots=1000, seed=3))
    assert "job.finished" in kinds(session.ledger)


def test_calibration_before_and_after_and_its_drift(registry):
    steady = FakeProvider(calibrated=True)
    moved = FakeProvider(calibrated=True, faults=Faults().add(Fault.RECALIBRATED, Point.AFTER_ACKNOWLEDGEMENT))
    drifts = []
    for fake in (steady, moved):
        with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
            drifts.append(session.execute(request()).record.drift)
        (done,) = session.ledger.entries(kind="job.finished")
        same = done.facts["snapshot_before"] == done.facts["snapshot_after"]
        assert same == (fake is steady)
        assert session.ledger.has(done.facts["artefacts"]["snapshot_after"])
    assert drifts[0] == ()
    assert drifts[1]
    assert "readout" in " ".join(drifts[1])


def test_what_was_billed_takes_the_place_of_what_was_reserved(registry):
    from qimg_core.job import Cost

    class Cheap(FakeProvider):
        def billed(self, handle):
            return Cost.exactly(Decimal("0.10"), basis="invoice", date="2026-11-02")

    fake = Cheap(price=Decimal("0.60"))
    budget = Budget(max_cost=Decimal(1))
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET, budget=budget) as session:
        for _ in range(4):  # 0.60 reserved each time, 0.10 billed
            session.execute(request())
        assert session.spending.cost == Decimal("0.40")
    done = list(session.ledger.entries(kind="job.finished"))[0]
    assert done.facts["billed"] == {
        "low": "0.10",
        "high": "0.10",
        "unit": "USD",
        "basis": "invoice",
        "date": "2026-11-02",
    }
    assert list(session.ledger.entries(kind="jobs.intended"))[0].facts["estimate"]["high"] == "0.60"


def test_a_bill_that_cannot_be_had_does_not_lose_the_result(registry):
    class Silent(FakeProvider):
        def billed(self, handle):
            raise BackendUnavailable("the billing service is away")

    with Session(None, seed=1, backend=Silent(), registry=registry, polling=QUIET) as session:
        session.execute(request())
    assert list(session.ledger.entries(kind="job.finished"))[0].facts["billed"] is None


def test_depth_and_two_qubit_budgets(registry):
    b = CircuitBuilder(3)
    for _ in range(4):
        b.cx(0, 1).cx(1, 2)
    ask = ExecutionRequest(
        circuit=b.build(), inputs=np.zeros((1, 0)), weights=np.zeros(0), measurement=Probabilities([0])
    )
    fake = FakeProvider()
    for budget, word in ((Budget(max_depth=5), "depth"), (Budget(max_two_qubit_gates=7), "two-qubit gates")):
        with Session(None, seed=1, backend=fake, registry=registry, budget=budget) as session:
            with pytest.raises(Exception, match=word):
                session.plan(ask)
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        footprint = session.execute(ask).record.footprint
    assert (footprint.depth, footprint.two_qubit_gates, footprint.wires) == (8, 8, 3)
    assert fake.submits == 1


# -- many at once ------------------------------------------------------------------------------------------


def test_async_requests_run_together_and_keep_their_order(registry):
    fake = FakeProvider()

    async def several(session):
        asks = [request(1, shots=50, seed=k) for k in range(8)]
        return await asyncio.gather(*(session.aexecute(a) for a in asks))

    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        together = asyncio.run(several(session))
    with Session(None, seed=1, backend=FakeProvider(), registry=registry, polling=QUIET) as session:
        alone = [session.execute(request(1, shots=50, seed=k)) for k in range(8)]
    assert [r.record.ordinal for r in together] == list(range(8))
    for a, b in zip(together, alone, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    assert len(fake.jobs) == 8
    assert session.ledger.verify().ok


def many(registry, folder, n, seed=7):
    """n one-row jobs with five faults in a hundred, each at a random point."""
    rng = np.random.default_rng(seed)

    class Often(Faults):
        def take(self, point):
            if rng.random() >= 0.05 / 2:  # each job passes submission twice and reading twice or more
                return None
            # without an answer and without a job nobody can know: that case has its own test
            found = [Fault.TOO_MANY, Fault.ERROR, Fault.UNAVAILABLE, Fault.DROPPED][rng.integers(4)]
            if point is Point.BEFORE_SEND and found is Fault.DROPPED:
                found = Fault.UNAVAILABLE
            self.struck.append((point, found))
            return found

    fake = FakeProvider(max_rows=1, faults=Often(), polls=0)
    with Session(folder, seed=1, backend=fake, registry=registry, polling=QUIET, breaker=Breaker(after=50)) as session:
        result = session.execute(request(n))
    return fake, result


@pytest.mark.parametrize("n", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_jobs_with_faults_none_lost_none_doubled(registry, tmp_path, n):
    fake, result = many(registry, tmp_path / "runs", n)
    np.testing.assert_allclose(result.data[:, 0], exact(n), atol=1e-12)
    keys = [key for key, _, _ in fake.jobs.values()]
    assert len(keys) == len(set(keys)) == n
    assert len(fake.faults.struck) > n * 0.05
    with open_ledger(tmp_path / "runs", Registry(discover=False), create=False, read_only=True) as ledger:
        done = [e.facts["key"] for e in ledger.entries(kind="job.finished")]
        assert sorted(done) == sorted(keys)


def test_memory_does_not_grow_with_the_jobs_that_are_done(registry, tmp_path):
    def peak(n):
        gc.collect()
        tracemalloc.start()
        many(registry, tmp_path / str(n), n)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    small, large = peak(200), peak(800)
    # kept of a job: its handle, its record, the fake's own copy, some 4 KiB; cycles not yet collected move the peak
    assert large - small < 600 * 16384


def test_local_states_in_pieces(registry):
    fake = FakeProvider(max_rows=1)
    ask = request(2, measurement=LocalStates([(0,)]))
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        data = session.execute(ask).data
    x = np.linspace(0.1, 1.3, 2)
    np.testing.assert_allclose(data, np.stack([np.ones(2), np.sin(x), np.zeros(2), np.cos(x)], 1), atol=1e-12)


def test_cancelled_elsewhere_is_said(registry):
    fake = FakeProvider(polls=3)
    original = fake.submit

    def submit(*args, **kwargs):
        handle = original(*args, **kwargs)
        fake.cloud.cancelled.update(handle.provider_ids)
        return handle

    fake.submit = submit
    with Session(None, seed=1, backend=fake, registry=registry, polling=QUIET) as session:
        with pytest.raises(JobCancelled):
            session.execute(request())


# -- proposals ---------------------------------------------------------------------------------------------


def test_numbers_are_used_again_and_the_record_says_whose(registry, tmp_path):
    fake = FakeProvider()
    with Session(tmp_path / "r", seed=1, backend=fake, registry=registry, polling=QUIET, proposals="keep") as session:
        first = session.execute(request(2, shots=100, seed=9))
        session.execute(request(2, shots=100, seed=9))
    assert fake.submits == 2  # kept, not reused
    with Session(tmp_path / "r", seed=2, backend=fake, registry=registry, polling=QUIET, proposals="reuse") as again:
        second = again.execute(request(2, shots=100, seed=9))
        other = again.execute(request(2, shots=100, seed=10))
    np.testing.assert_array_equal(first.data, second.data)
    assert second.record.reused == f"{session.run}/1"
    assert "nothing was sent" in second.record.decisions[-1]
    assert second.record.jobs == ()
    assert other.record.reused is None
    assert fake.submits == 3
    with open_ledger(tmp_path / "r", Registry(discover=False), create=False, read_only=True) as ledger:
        (entry,) = ledger.entries(kind="proposal.reused")
        assert entry.facts["source"]["run"] == session.run
        assert entry.run == again.run
