"""C15 and C19: wherever the process ends, there is one job and its result is found (floor 8; imports session)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qimg_core.backend import LocalBackend
from qimg_core.capabilities import Idempotency
from qimg_core.errors import SubmissionUncertain
from qimg_core.ledger.memory import MemoryLedger
from qimg_core.testing.conformance.case import NotApplicable, case
from qimg_core.testing.conformance.compare import agree
from qimg_core.testing.conformance.device.life import small
from qimg_core.testing.conformance.road import Crash, crash_in, new_session, watched

if TYPE_CHECKING:
    from qimg_core.testing.conformance.bench import Bench
    from qimg_core.testing.conformance.case import Case, Checks
    from qimg_core.testing.conformance.site import Site

POINTS = (
    ("C15.before_send", "before the job is sent", "submit", False),
    ("C15.before_acknowledgement", "after the provider accepted, before the answer is written down", "submit", True),
    ("C15.after_acknowledgement", "after the handle is written down", "poll", False),
    ("C15.before_download", "before the result is fetched", "fetch", False),
    ("C15.during_download", "after the result is fetched, before it is written down", "fetch", True),
)


def _point(name: str, where: str, verb: str, after: bool) -> Case[Bench]:
    @case(name, f"the process ends {where}: exactly one job, and its result")
    def crash(bench: Bench, checks: Checks) -> None:
        _remote(bench)
        with bench.fake() as site:
            _crashed(bench, checks, site, verb, after=after)

    return crash


def _remote(bench: Bench) -> None:
    if not bench.caps.remote:
        raise NotApplicable("a device in this process: its work ends with it and is done again")


def _crashed(bench: Bench, checks: Checks, site: Site, verb: str, *, after: bool) -> None:
    request, ledger = small(bench), MemoryLedger()
    driver = site.driver
    crash_in(driver, verb, after=after)
    session = new_session(bench, driver, ledger)
    try:
        session.execute(request)
    except Crash:
        pass
    else:
        checks.fail(f"{verb} was never called")
        return
    again = site.another()
    calls = watched(again)
    assert bench.options.server is not None
    uncertain = verb == "submit" and bench.caps.idempotency is Idempotency.NONE
    try:
        result = new_session(bench, again, ledger, resume=session.run).execute(request)
    except SubmissionUncertain as error:
        checks.that("the loss of certainty is said", uncertain, f"SubmissionUncertain: {error.message}")
        checks.that("nothing was sent blindly", not calls, f"{len(calls)} submissions")
    else:
        agree(bench, checks, "the result of the resumed run", request, result.data)
        checks.that("not sent without certainty", not (uncertain and calls), "submitted again")
    jobs = bench.options.server.jobs(site.server)
    least = 0 if uncertain and not after else 1
    checks.that("exactly one job", least <= jobs <= 1, f"the provider has {jobs}")
    checks.evidence |= {"jobs": jobs, "submissions_after_the_crash": len(calls)}
    checks.says = f"{jobs} job, {len(calls)} submissions after the crash"


@case("C19", "a finished result is read from the record, without the device")
def _from_the_record(bench: Bench, checks: Checks) -> None:
    with bench.site() as site:
        request, ledger = small(bench), MemoryLedger()
        driver = site.driver
        bench.plan(driver, request)
        session = new_session(bench, driver, ledger)
        first = session.execute(request)
        if isinstance(driver, LocalBackend):
            _computed_again(bench, checks, site, first)
            return
        silent = site.another()
        for verb in ("submit", "find", "poll", "fetch"):
            crash_in(silent, verb, after=False)
        try:
            again = new_session(bench, silent, ledger, resume=session.run).execute(request)
        except Crash as verb:
            checks.fail(f"the device was asked again: {verb}")
            return
        same = first.data.tobytes() == again.data.tobytes()
        checks.that("the numbers from the record", same, "they differ from those that the device gave")
        checks.says = "a resumed run took the numbers from its ledger; submit, find, poll and fetch were not called"


def _computed_again(bench: Bench, checks: Checks, site: Site, first: Any) -> None:
    if first.request.shots is not None and not bench.caps.seeded:
        raise NotApplicable("samples without a seed are not made again")
    again = new_session(bench, site.another()).execute(first.request)
    checks.that("equal when computed again", first.record.output == again.record.output, "another digest")
    checks.says = "a device in this process: the same request gives the same digest"


CASES = (*(_point(*p) for p in POINTS), _from_the_record)
