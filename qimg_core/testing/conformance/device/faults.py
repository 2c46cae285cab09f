"""C16: what goes wrong between driver and provider ends in one job, or in words (floor 8; imports session)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.capabilities import Idempotency
from qimg_core.errors import BackendError, JobError, ProtocolError, QimgError, ResultError, SubmissionUncertain
from qimg_core.testing.conformance.case import NotApplicable, Undecided, case
from qimg_core.testing.conformance.compare import agree
from qimg_core.testing.conformance.device.life import small
from qimg_core.testing.conformance.road import new_session
from qimg_core.testing.faults import Fault, Point

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Checks

ALWAYS = 10_000
_BEFORE = (Fault.TOO_MANY, Fault.ERROR, Fault.UNAVAILABLE, Fault.DROPPED)
_AFTER = (Fault.ERROR, Fault.UNAVAILABLE, Fault.DROPPED, Fault.GARBAGE, Fault.MISSING_FIELDS, Fault.PARTIAL)
_READING = (Fault.TOO_MANY, Fault.ERROR, Fault.UNAVAILABLE, Fault.DROPPED, Fault.GARBAGE, Fault.MISSING_FIELDS)
_SPOILED = (Fault.GARBAGE, Fault.MISSING_FIELDS, Fault.PARTIAL)


@frozen(eq=False)
class Tried:
    """How one run under a fault ended."""

    result: Any
    error: QimgError | None
    jobs: int
    struck: int


def under(bench: Bench, fault: Fault, point: Point, times: int = 1) -> Tried:
    """One request through a session, on a new fake provider with one planned fault."""
    provider = bench.options.server
    with bench.fake() as site:
        assert provider is not None
        site.server.faults.add(fault, point, times)
        result, failed = None, None
        try:
            result = new_session(bench, site.driver).execute(small(bench))
        except QimgError as error:
            failed = error
        return Tried(result, failed, provider.jobs(site.server), len(site.server.faults.struck))


def _struck(checks: Checks, what: str, tried: Tried) -> bool:
    if not tried.struck:
        ended = "" if tried.error is None else f" ({type(tried.error).__name__}: {tried.error.message})"
        checks.doubt(f"{what}: the fault did not strike{ended}; does the fake's `stage` say what a request is for?")
    return tried.struck > 0


def _hangs(bench: Bench, faults: Iterable[Fault]) -> list[Fault]:
    provider = bench.options.server
    return [*faults, *([Fault.HANG] if provider is not None and provider.hangs and not bench.options.quick else [])]


def _remote(bench: Bench) -> None:
    if not bench.caps.remote:
        raise NotApplicable("a device in this process: nothing is between driver and provider")
    if bench.options.server is None:
        raise Undecided("a remote device without a fake provider: give Options(server=Provider(...))")


def _right(bench: Bench, checks: Checks, what: str, tried: Tried) -> None:
    """The right result and one job."""
    if tried.error is not None:
        said = f"{type(tried.error).__name__}: {tried.error.message}"
        checks.that(f"{what}: the run goes on", False, said)
    else:
        agree(bench, checks, f"{what}: the result", tried.result.request, tried.result.data)
    checks.that(f"{what}: one job", tried.jobs == 1, f"the provider has {tried.jobs}")


@case("C16.submission", "a submission that goes wrong makes one job, or is reported as uncertain")
def _submission(bench: Bench, checks: Checks) -> None:
    _remote(bench)
    how = bench.caps.idempotency
    names = []
    for point, faults in ((Point.BEFORE_SEND, _BEFORE), (Point.AFTER_ACCEPT, _AFTER)):
        for fault in _hangs(bench, faults):
            what = f"{fault.value} {point.value}"
            tried = under(bench, fault, point)
            if not _struck(checks, what, tried):
                continue
            names.append(what)
            silent = fault in (Fault.DROPPED, Fault.HANG)
            may_be_uncertain = fault is not Fault.TOO_MANY and (
                how is Idempotency.NONE or (how is Idempotency.TAG and silent and point is Point.BEFORE_SEND)
            )
            if may_be_uncertain and isinstance(tried.error, SubmissionUncertain):
                checks.that(f"{what}: at most one job", tried.jobs <= 1, f"the provider has {tried.jobs}")
            elif may_be_uncertain and how is Idempotency.NONE:
                checks.fail(f"{what}: wanted SubmissionUncertain, the provider cannot find a job by its key")
            else:
                _right(bench, checks, what, tried)
    checks.evidence["faults"] = names
    checks.says = f"{len(names)} faults while sending"


@case("C16.questions", "a question that goes wrong is asked again; an unknown state is an error, not a guess")
def _questions(bench: Bench, checks: Checks) -> None:
    _remote(bench)
    names = []
    for fault in _hangs(bench, _READING):
        what = f"{fault.value} {Point.AFTER_ACKNOWLEDGEMENT.value}"
        tried = under(bench, fault, Point.AFTER_ACKNOWLEDGEMENT)
        if _struck(checks, what, tried):
            names.append(what)
            _right(bench, checks, what, tried)
    tried = under(bench, Fault.UNKNOWN_STATE, Point.AFTER_ACKNOWLEDGEMENT, ALWAYS)
    if _struck(checks, "unknown state", tried):
        names.append("unknown state, always")
        said = "numbers" if tried.error is None else f"{type(tried.error).__name__}: {tried.error.message}"
        checks.that("an unknown state is a ProtocolError", isinstance(tried.error, ProtocolError), f"got {said}")
    checks.evidence["faults"] = names
    checks.says = f"{len(names)} faults while waiting"


@case("C16.download", "a result that arrives damaged is fetched again, and is never numbers")
def _download(bench: Bench, checks: Checks) -> None:
    _remote(bench)
    names = []
    for fault in _hangs(bench, (*_READING, Fault.PARTIAL)):
        what = f"{fault.value} {Point.DURING_DOWNLOAD.value}"
        tried = under(bench, fault, Point.DURING_DOWNLOAD)
        if _struck(checks, what, tried):
            names.append(what)
            _right(bench, checks, what, tried)
    for fault in _SPOILED:
        what = f"{fault.value} {Point.DURING_DOWNLOAD.value}, always"
        tried = under(bench, fault, Point.DURING_DOWNLOAD, ALWAYS)
        if not _struck(checks, what, tried):
            continue
        names.append(what)
        ok = isinstance(tried.error, (ResultError, BackendError, JobError))
        said = "numbers" if tried.error is None else f"{type(tried.error).__name__}: {tried.error.message}"
        checks.that(f"{what}: an error", ok, f"got {said}")
        checks.that(f"{what}: one job", tried.jobs == 1, f"the provider has {tried.jobs}")
    checks.evidence["faults"] = names
    checks.says = f"{len(names)} faults while downloading"


@case("C16.drift", "a device that is calibrated anew while a job runs is noticed")
def _drift(bench: Bench, checks: Checks) -> None:
    _remote(bench)
    if not bench.caps.calibrated:
        raise NotApplicable("the device claims no calibration")
    tried = under(bench, Fault.RECALIBRATED, Point.AFTER_ACKNOWLEDGEMENT)
    if not _struck(checks, "recalibrated", tried):
        return
    _right(bench, checks, "recalibrated", tried)
    if tried.result is not None:
        checks.that("the record says what drifted", bool(tried.result.record.drift), "it names nothing")
        checks.evidence["drift"] = list(tried.result.record.drift)


CASES = (_submission, _questions, _download, _drift)
