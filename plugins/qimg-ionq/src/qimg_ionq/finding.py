"""Looking through IonQ's list of jobs, which cannot be asked for metadata (imports answers; the REST client)."""

from __future__ import annotations

import datetime as dt
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from qimg_core.errors import ProtocolError, ResultError
from qimg_ionq.answers import identity, moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from qimg_core.http import RestClient

PAGE = 25
"""Jobs of a page: what IonQ's documentation permits at most."""

MAX_PAGES = 2_000

SKEW = dt.timedelta(minutes=15)
"""How far IonQ's clock and ours may be apart."""


def pages(client: RestClient, **query: str | int) -> Iterator[list[dict[str, Any]]]:
    """The pages of ``GET /jobs``.

    Raises:
        ProtocolError: a page that cannot be read, or a list that does not end: an answer "not there" would be
            a guess, and a job might be paid twice for it.
    """
    cursors: set[str] = set()
    for _ in range(MAX_PAGES):
        document = client.get("/jobs", {"limit": PAGE, **query}).json()
        jobs = document.get("jobs") if isinstance(document, dict) else None
        if not isinstance(jobs, list) or not all(isinstance(j, dict) for j in jobs):
            raise ProtocolError("ionq: wanted a list of jobs, got something else")
        yield jobs
        following = document.get("next")
        if following is None:
            return
        if not isinstance(following, str) or following in cursors:
            break
        cursors.add(following)
        query["next"] = following
    raise ProtocolError("ionq: the list of jobs does not end")


def jobs_with_key(client: RestClient, target: str, key: str, at: str) -> list[dict[str, Any]]:
    """The jobs that carry an intent's key, oldest first.

    Args:
        client: of IonQ.
        target: device at IonQ.
        key: of the intent.
        at: when the intent was written, ISO 8601; older jobs are not looked at. Empty: all are.
    """
    oldest = dt.datetime.fromisoformat(at) - SKEW if at else None
    found = []
    for jobs in pages(client, target=target):
        for job in jobs:
            metadata = job.get("metadata")
            # the circuits of a job of several may be listed too, with its metadata
            own = not job.get("parent_job_id") and isinstance(metadata, dict) and metadata.get("qimg_key") == key
            if own and identity(job) is not None:
                found.append(job)
        if oldest is not None and _all_before(jobs, oldest):
            break
    first = dt.datetime.min.replace(tzinfo=dt.UTC)
    return sorted(found, key=lambda job: (moment(job) or first, str(job["id"])))


def _all_before(jobs: list[dict[str, Any]], oldest: dt.datetime) -> bool:
    """Whether the rest of the list is too old. Only where this page shows that the newest jobs come first."""
    times = [moment(job) for job in jobs]
    if len(times) < 2 or any(t is None or t >= oldest for t in times):
        return False
    return all(a >= b for a, b in pairwise(times)) and times[0] != times[-1]  # type: ignore[operator]


def in_order(client: RestClient, job: Mapping[str, Any], children: list[str] | None, body: bytes) -> list[str] | None:
    """The ids of a job's circuits in the order in which we sent them.

    The job names them in an order, and its result has an order too. Where the two agree there is no doubt; where
    they do not, the names that we gave to the circuits decide.

    Args:
        client: of IonQ.
        job: of several circuits, done.
        children: as the job names them.
        body: of its result.

    Raises:
        ResultError: the orders differ, and the circuits do not have our names.
    """
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return children  # `decode` says what is wrong with it
    if (
        not isinstance(document, dict)
        or children is None
        or list(document) == children
        or set(document) != set(children)
    ):
        return children
    named: dict[str, str] = {}
    for page in pages(client, parent_job_id=str(job["id"])):
        named |= {str(j["name"]): str(j["id"]) for j in page if isinstance(j.get("name"), str) and identity(j)}
    ours = [named.get(str(i)) for i in range(len(children))]
    if set(ours) != set(children):
        raise ResultError(
            f"ionq: job {job['id']} names its circuits in one order and its result in another, and not by our names",
            hint="which circuit is which cannot be told; ask IonQ, and keep what was returned",
        )
    return [o for o in ours if o is not None]
