"""C14 and C18: a job's life, its end, and its result read again (floor 8; imports the bench, session)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.backend import LocalBackend
from qimg_core.errors import JobCancelled, JobError, JobFailed, JobTimeout, QimgError
from qimg_core.job import JobHandle, JobState
from qimg_core.ledger.memory import MemoryLedger
from qimg_core.testing.conformance.case import NotApplicable, Undecided, case
from qimg_core.testing.conformance.circuits import spread, turn
from qimg_core.testing.conformance.compare import agree
from qimg_core.testing.conformance.road import new_session, watched

if TYPE_CHECKING:
    from qimg_core.backend import Backend
    from qimg_core.execution import ExecutionRequest, Plan
    from qimg_core.job import Intent, RawResult
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks


def small(bench: Bench, *, rows: int = 2, sampled: bool | None = None) -> ExecutionRequest:
    """Two wires, a few rotations: a job whose life and not whose numbers are looked at."""
    from qimg_core.circuit.builder import CircuitBuilder

    n = min(2, bench.caps.max_wires)
    b = CircuitBuilder(n)
    for w in range(n):
        turn(b, w, (b.input(f"x{w}"), 0.5, -0.7))
    if n > 1:
        b.cx(1, 0)
    inputs = spread(bench.rng("small"), rows, n)
    if sampled is None:
        sampled = bench.caps.shots is not None
    return bench.request(b.build(), bench.view(tuple(range(n))[::-1]), inputs, sampled=sampled)


def sent(bench: Bench, driver: Backend, request: ExecutionRequest) -> tuple[Plan, Intent, JobHandle]:
    """The first job of a request, accepted."""
    plan = bench.plan(driver, request)
    intent = bench.intents(plan)[0]
    return plan, intent, driver.submit(plan, 0, intent=intent)


def floats_in(value: Any, path: str = "") -> list[str]:
    """Where in a JSON document there are floats."""
    if isinstance(value, float):
        return [path or "."]
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in floats_in(v, f"{path}.{k}")]
    if isinstance(value, (list, tuple)):
        return [p for i, v in enumerate(value) for p in floats_in(v, f"{path}[{i}]")]
    return []


@case("C14.walk", "a job is accepted, walks to its end, and stays there")
def _walk(bench: Bench, checks: Checks) -> None:
    with bench.site() as site:
        driver = site.driver
        _, intent, handle = sent(bench, driver, small(bench))
        checks.that(
            "the handle names the driver", handle.backend == driver.name, f"{handle.backend}, not {driver.name}"
        )
        checks.that("the handle has the intent's key", handle.key == intent.key)
        states = [bench.await_end(driver, handle).state for _ in range(3)]
        checks.that("the end is DONE, and stays", states == [JobState.DONE] * 3, str([s.value for s in states]))
        bench.read(lambda: driver.fetch(handle))
        after = driver.cancel(handle), driver.cancel(handle)
        checks.that("a job that is over cannot be cancelled", after == (False, False), str(after))
        again = bench.read(lambda: driver.poll(handle)).state
        checks.that("DONE stays after cancelling", again is JobState.DONE, again.value)
        bench.read(lambda: driver.fetch(handle))
        checks.says = "accepted, done, still done after two cancels, fetched before and after"


@case("C14.cancel", "an open job can be cancelled, once and again, and then has no result")
def _cancel(bench: Bench, checks: Checks) -> None:
    if not bench.caps.cancellable:
        raise NotApplicable("the device does not claim to cancel jobs")
    with bench.fake() as site:
        _busy(bench, site.server, 50)
        driver = site.driver
        _, _, handle = sent(bench, driver, small(bench))
        checks.that("cancelled", driver.cancel(handle), "cancel said False for an open job")
        driver.cancel(handle)
        state = bench.await_end(driver, handle).state
        checks.that("the state says so", state is JobState.CANCELLED, state.value)
        try:
            driver.fetch(handle)
        except JobCancelled:
            checks.that("its result is refused as cancelled", True)
        except QimgError as error:
            checks.that(
                "its result is refused", isinstance(error, JobError), f"{type(error).__name__}: {error.message}"
            )
        else:
            checks.fail("a cancelled job has a result")


def _busy(bench: Bench, server: Any, questions: int) -> None:
    provider = bench.options.server
    if provider is None or provider.busy is None:
        raise Undecided("the fake provider cannot keep a job waiting: give Provider(busy=...)")
    provider.busy(server, questions)


@case("C14.timeout", "a time-out ends the waiting and not the job")
def _timeout(bench: Bench, checks: Checks) -> None:
    if not bench.caps.remote:
        raise NotApplicable("a device in this process: nothing is waited for")
    request = small(bench)
    ledger = MemoryLedger()
    with bench.fake() as site:
        _busy(bench, site.server, 3)
        session = new_session(bench, site.driver, ledger, timeout=0.0)
        try:
            session.execute(request)
        except JobTimeout as error:
            checks.that("the message says how to go on", session.run in str(error), str(error))
        else:
            raise Undecided("the job was over before the first question was answered")
        driver = site.another()
        calls = watched(driver)
        result = new_session(bench, driver, ledger, resume=session.run).execute(request)
        checks.that("nothing was sent again", not calls, f"{len(calls)} submissions")
        agree(bench, checks, "the result after the time-out", request, result.data)
        _one_job(bench, checks, site.server)


def _one_job(bench: Bench, checks: Checks, server: Any) -> None:
    assert bench.options.server is not None
    jobs = bench.options.server.jobs(server)
    checks.that("the provider has one job", jobs == 1, f"it has {jobs}")


@case("C14.failure", "a job that failed is reported as failed, with the provider's reason")
def _failure(bench: Bench, checks: Checks) -> None:
    if not bench.caps.remote:
        raise NotApplicable("a device in this process: a failure is an exception")
    provider = bench.options.server
    with bench.fake() as site:
        if provider is None or provider.fail is None:
            raise Undecided("the fake provider cannot let a job fail: give Provider(fail=...)")
        provider.fail(site.server)
        driver = site.driver
        _, _, handle = sent(bench, driver, small(bench))
        status = bench.await_end(driver, handle)
        checks.that("the state is FAILED", status.state is JobState.FAILED, status.state.value)
        checks.that("the reason is passed on", provider.failure in status.detail, f"detail: {status.detail!r}")
        try:
            driver.fetch(handle)
        except JobFailed:
            checks.that("its result is refused as failed", True)
        else:
            checks.fail("a failed job has a result")
    with bench.fake() as site:
        provider.fail(site.server)
        try:
            new_session(bench, site.driver).execute(small(bench))
        except JobFailed as error:
            checks.that("the session's error has the reason", provider.failure in str(error), str(error))
        else:
            checks.fail("the session returned numbers of a failed job")


@case("C14.unknown", "a job that the device does not know is lost, and says so")
def _unknown(bench: Bench, checks: Checks) -> None:
    with bench.site() as site:
        driver = site.driver
        _, _, handle = sent(bench, driver, small(bench))
        bench.await_end(driver, handle)
        ids = tuple(p[:-6] + "000000" if len(p) > 12 else "no-such-job" for p in handle.provider_ids)
        stranger = evolve(handle, key="0" * 64, provider_ids=ids)
        if isinstance(driver, LocalBackend):
            driver.forget(handle)
        for verb in ("fetch",) if isinstance(driver, LocalBackend) else ("poll", "fetch"):
            try:
                bench.read(lambda verb=verb: getattr(driver, verb)(stranger))  # type: ignore[misc]
            except JobError as error:
                checks.that(f"{verb} of an unknown job", True, type(error).__name__)
            except QimgError as error:
                checks.fail(f"{verb} of an unknown job: wanted JobLost, got {type(error).__name__}: {error.message}")
            else:
                checks.fail(f"{verb} of an unknown job succeeded")


def equal(checks: Checks, what: str, first: RawResult, second: RawResult) -> None:
    """The same bytes: numbers, and what the provider returned."""
    import numpy as np

    a, b = np.asarray(first.data), np.asarray(second.data)
    same = a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    checks.that(f"{what}: the same numbers", same, "the arrays differ")
    checks.that(f"{what}: the same account", first.raw_digest == second.raw_digest, "the raw digests differ")
    checks.that(f"{what}: the same shots", first.shots == second.shots, f"{first.shots} and {second.shots}")


@case("C18.twice", "a result that is read twice is the same to the last byte")
def _twice(bench: Bench, checks: Checks) -> None:
    with bench.site() as site:
        driver = site.driver
        requests = [small(bench)]
        if bench.caps.shots is not None:
            requests.append(evolve(small(bench, sampled=True), seed=None))
        for request in requests:
            _, _, handle = sent(bench, driver, request)
            first = bench.await_result(driver, handle)
            equal(checks, "read twice", first, bench.read(lambda h=handle: driver.fetch(h)))  # type: ignore[misc]
    checks.says = f"{len(requests)} results read twice"


@case("C18.handle", "a handle is JSON, and another driver reads the same result by it")
def _handle(bench: Bench, checks: Checks) -> None:
    with bench.site() as site:
        requests = [small(bench)]
        if bench.caps.shots is not None:
            requests.append(evolve(small(bench, sampled=True), seed=None))
        if bench.caps.analytic and bench.caps.shots is not None:
            requests.append(small(bench, sampled=False))
        for request in requests:
            _, _, given = sent(bench, site.driver, request)
            document = given.to_json()
            checks.that("a handle without floats", not floats_in(document), f"floats at {floats_in(document)}")
            text = json.dumps(document)
            again = JobHandle.from_json(json.loads(text))
            checks.that("a handle is the same after JSON", again.to_json() == document)
            if not bench.caps.resumable:
                continue
            first = bench.await_result(site.driver, given)
            equal(checks, "by another driver", first, bench.await_result(site.another(), again))
    if not bench.caps.resumable:
        checks.says = "JSON; the device does not claim that another process can use it"


CASES = (_walk, _cancel, _timeout, _failure, _unknown, _twice, _handle)
