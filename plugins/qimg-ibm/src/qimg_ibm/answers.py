"""What IBM's answers and failures mean (imports errors; requests and the IBM Cloud SDK only by what they raise).

The SDK wraps what went wrong several times over and drops the status on the way; the chain of causes still has it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import (
    AuthenticationError,
    BackendUnavailable,
    JobLost,
    ProtocolError,
    QimgError,
    RateLimited,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.job import JobState, JobStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SETTLED = frozenset({500, 502, 503, 504, 520, 521, 522, 524})
"""Server errors after which IBM says that a job may be sent again (comment of `PostForcelistRetry` in
qiskit-ibm-runtime 0.51). We still look the job up first: one user found six jobs after such retries
(https://github.com/Qiskit/qiskit-ibm-runtime/issues/1114)."""
LOGIN = (
    "make a new API key at https://cloud.ibm.com/iam/apikeys and export QIMG_IBM_TOKEN; check that it may use "
    "the instance in QIMG_IBM_INSTANCE"
)

STATES = {
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "COMPLETED": JobState.DONE,
    "FAILED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}
RAN_TOO_LONG = 1305
"""IBM's reason code of a job that it cancelled at its max_execution_time."""


@frozen
class Answer:
    """What a failure says.

    Args:
        status: of HTTP; None where there was no answer.
        text: in words, without secrets.
        retry_after: seconds, where the provider says so.
    """

    status: int | None
    text: str
    retry_after: float | None = None


def answer_in(error: BaseException, hide: Callable[[str], str]) -> Answer:
    """The innermost HTTP answer among an exception and its causes."""
    status: int | None = None
    text, retry = "", None
    for link in chain(error):
        response = getattr(link, "response", None)
        if response is None:
            response = getattr(link, "http_response", None)
        found = getattr(response, "status_code", None) or getattr(link, "status_code", None)
        if isinstance(found, int) and found > 0:
            status = found
        if response is not None:
            text, retry = _message(response), _seconds(response.headers.get("Retry-After"))
    return Answer(status, hide(text or str(error))[:400], retry)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, and what it came from, also where the SDK says ``from None``.

    An error of qimg ends it: beyond is another request, whose failure was being handled.
    """
    seen: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in seen and not isinstance(link, QimgError):
        seen.append(link)
        yield link
        link = link.__cause__ or link.__context__


def _message(response: Any) -> str:
    """IBM's own words: ``{"errors": [{"code": 1205, "message": "...", "solution": "..."}]}``."""
    try:
        document = response.json()
        first = document["errors"][0]
        words = [f"code {first['code']}: {first['message']}", str(first.get("solution") or "")]
        return " ".join(w for w in words if w)
    except (ValueError, LookupError, TypeError, AttributeError):
        return str(getattr(response, "text", ""))[:400]


def _seconds(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text) else None


def submission_error(error: BaseException, *, sent: bool, hide: Callable[[str], str]) -> QimgError:
    """What a failed submission means.

    Args:
        error: what the SDK raised.
        sent: the job's own request had left this machine.
        hide: takes secrets out of a text.
    """
    found = answer_in(error, hide)
    if not sent:
        if found.status is None and isinstance(error, (TypeError, ValueError)) and not isinstance(error, OSError):
            return SubmissionRejected(f"qiskit-ibm-runtime refuses the job, nothing was sent: {found.text}")
        return unavailable(error, "preparing the submission", hide)
    status = found.status
    if status in (401, 403):
        return AuthenticationError(f"IBM does not accept the credentials: {found.text}", hint=LOGIN)
    if status == 429:
        return RateLimited(f"IBM takes no more jobs now: {found.text}", retry_after=found.retry_after)
    if status is not None and 400 <= status < 500 and status != 408:
        return SubmissionRejected(f"IBM refused the job ({status}): {found.text}")
    if status is not None and status >= 400:
        return SubmissionUncertain(
            f"IBM answered the submission with {status}: {found.text}",
            hint="it is looked up by its tag",
            answered=status in SETTLED or status == 408,
        )
    return SubmissionUncertain(
        f"the submission to IBM got no answer that can be read: {type(error).__name__}: {found.text}",
        hint="it is looked up by its tag",
    )


def status_of(state: Mapping[str, Any]) -> JobStatus:
    """A job's state in IBM's words: ``{"status": "Failed", "reason": "...", "reason_code": 1517}``.

    Raises:
        ProtocolError: a word that IBM's documentation does not have.
    """
    word, reason = str(state.get("status", "")), str(state.get("reason") or "")
    code = state.get("reason_code") or state.get("reasonCode")
    known = STATES.get(word.upper().split(" - ")[0])
    if known is None:
        raise ProtocolError(f"IBM says that a job is {word!r}, which is no state of a job")
    if known is JobState.CANCELLED and (code == RAN_TOO_LONG or "RAN TOO LONG" in word.upper()):
        known, reason = JobState.FAILED, f"it ran longer than its max_execution_time. {reason}".strip()
    return JobStatus(state=known, detail=f"error code {code}: {reason}" if code and reason else reason)


def unavailable(error: BaseException, doing: str, hide: Callable[[str], str], *, of_job: bool = False) -> QimgError:
    """What a failed question that changes nothing means.

    Args:
        error: what the SDK raised.
        doing: in words.
        hide: takes secrets out of a text.
        of_job: it was about a job, so 404 means that the job is lost.
    """
    found = answer_in(error, hide)
    if found.status in (401, 403):
        return AuthenticationError(f"IBM does not accept the credentials ({doing}): {found.text}", hint=LOGIN)
    if found.status == 404 and of_job:
        return JobLost(f"IBM does not know it ({doing}): {found.text}")
    if found.status == 429:
        return RateLimited(f"IBM answers no more questions now ({doing}): {found.text}", retry_after=found.retry_after)
    if found.status is not None and 400 <= found.status < 500 and found.status != 408:
        return ProtocolError(f"IBM refused a question ({doing}, {found.status}): {found.text}")
    if found.status is None and isinstance(error, (LookupError, TypeError, ValueError)) and not _connection(error):
        return ProtocolError(f"IBM answered with something that cannot be read ({doing}): {type(error).__name__}")
    status = "no answer" if found.status is None or found.status < 400 else str(found.status)
    return BackendUnavailable(f"IBM is not available ({doing}, {status}): {found.text}")


def _connection(error: BaseException) -> bool:
    """The connection errors of requests are also OSErrors; its decoding errors are ValueErrors and these too."""
    return isinstance(error, OSError) and not isinstance(error, ValueError)
