"""IonQ's answers read with tolerance: both forms of v0.4 that have been seen, and nothing that is in neither.

What is optional may be missing; a state, a result or an id that cannot be understood is an error and is never guessed.
"""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qimg_core.errors import ProtocolError, ResultError
from qimg_core.job import JobState

if TYPE_CHECKING:
    from collections.abc import Mapping

STATES = {
    "submitted": JobState.QUEUED,
    "ready": JobState.QUEUED,
    "started": JobState.RUNNING,
    "running": JobState.RUNNING,  # the word of v0.3
    "completed": JobState.DONE,
    "failed": JobState.FAILED,
    "canceled": JobState.CANCELLED,
}
SINGLE = "ionq.result.probabilities.json.v1"
AGGREGATE = "ionq.result.probabilities-aggregate.json.v1"

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def identity(document: object) -> str | None:
    """The ``id`` of a job, if it is one that can be put into a path."""
    found = document.get("id") if isinstance(document, dict) else None
    return found if isinstance(found, str) and _ID.fullmatch(found) else None


def job_of(document: object, job: str) -> dict[str, Any]:
    """The answer to a question about a job.

    Raises:
        ProtocolError: it is about something else.
    """
    if not isinstance(document, dict) or identity(document) != job:
        raise ProtocolError(f"ionq: wanted the job {job}, the answer is about something else")
    return document


def state_of(job: Mapping[str, Any]) -> JobState:
    """The state of a job.

    Raises:
        ProtocolError: a word that IonQ's documentation does not have.
    """
    word = job.get("status")
    try:
        return STATES[word]  # type: ignore[index]
    except (KeyError, TypeError):
        raise ProtocolError(f"ionq: unknown job status {str(word)[:40]!r}; known: {', '.join(STATES)}") from None


def failure(job: Mapping[str, Any]) -> str:
    """Why a job failed, in IonQ's words: ``{code, message}``, or ``{code, error}`` as older answers have it."""
    found = job.get("failure")
    if not isinstance(found, dict):
        return ""
    parts = [found.get(k) for k in ("code", "message", "error")]
    return ": ".join(" ".join(p.split())[:300] for p in parts if isinstance(p, str) and p)


def children(job: Mapping[str, Any]) -> list[str] | None:
    """Ids of the circuits of a job of several, in order; None where it does not say."""
    found = job.get("child_job_ids") or job.get("children")
    if not isinstance(found, list) or not found or not all(isinstance(c, str) for c in found):
        return None
    return found


def shots_of(job: Mapping[str, Any]) -> int | None:
    """How many shots IonQ says that it took; None where it does not say."""
    found = job.get("shots")
    if isinstance(found, str) and found.isdecimal():
        found = int(found)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def result_path(job: Mapping[str, Any], several: bool) -> str:
    """Where the result is, below the base URL.

    Newer answers name an artefact for each format, older ones give a URL. Of a URL only the path is used, and only
    one of this job: our key is sent to no other place.

    Raises:
        ResultError: the job is done and names no result.
        ProtocolError: it names one that is not its own.
    """
    where, results = f"/jobs/{job['id']}", job.get("results")
    results = results if isinstance(results, dict) else {}
    artefact = results.get(AGGREGATE if several else SINGLE)
    if isinstance(artefact, dict):
        found = identity(artefact)
        if found is None:
            raise ProtocolError("ionq: the result's artefact has no id")
        return f"{where}/artifacts/{found}"
    older = results.get("probabilities")
    if isinstance(older, dict) and isinstance(older.get("url"), str):
        path = urlsplit(older["url"]).path
        _, found, tail = path.partition(where + "/")
        if not found or not re.fullmatch(r"[a-z0-9/_-]+", tail):
            raise ProtocolError("ionq: the result's URL is not one of this job")
        return where + "/" + tail
    if not several:
        return f"{where}/results/probabilities"
    raise ResultError(
        f"ionq: job {job['id']} is completed and names no result that is known here: {', '.join(results) or 'none'}",
        hint="fetch it again later; `qimg jobs collect` does",
    )


def moment(job: Mapping[str, Any]) -> dt.datetime | None:
    """When a job was submitted; None where it does not say in ISO 8601."""
    text = job.get("submitted_at")
    try:
        found = dt.datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return found.replace(tzinfo=dt.UTC) if found is not None and found.tzinfo is None else found


def number(value: object) -> Decimal | None:
    """A JSON number as the decimal that was written; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        found = Decimal(repr(value))
    except InvalidOperation:
        return None
    return found if found.is_finite() else None


def compute_seconds(job: Mapping[str, Any]) -> str | None:
    """QPU time as IonQ bills it, else as it measured it, in seconds; None where it does not say."""
    stats = job.get("stats")
    billed = number(stats.get("billed_quantum_compute_time_us")) if isinstance(stats, dict) else None
    if billed is not None:
        return _plain(billed / 10**6)
    ran = number(job.get("execution_duration_ms"))
    return None if ran is None else _plain(ran / 1000)


def _plain(value: Decimal) -> str:
    return format(value.normalize(), "f")
