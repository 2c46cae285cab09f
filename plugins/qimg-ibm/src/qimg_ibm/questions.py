"""What is asked of IBM about a job after it was sent: found again, its state, its result, its bill (imports reading).

Nothing here needs the process that sent the job.
"""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qimg_core.backend import Backend
from qimg_core.errors import BackendUnavailable, JobCancelled, JobFailed, ProtocolError, ResultError
from qimg_core.job import Cost, JobHandle, JobState, JobStatus, RawResult
from qimg_ibm.answers import answer_in, status_of
from qimg_ibm.reading import Reading, decode
from qimg_ibm.sending import tag_of_key
from qimg_ibm.usage import UNIT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.job import JSON, Intent
    from qimg_ibm.service import Connection


class JobQuestions(Backend):
    """The verbs of a driver that need no circuit.

    Attributes:
        name: of the driver.
    """

    _device: str
    _link: Connection

    def _handle(self, found: str, key: str, at: str, extra: Mapping[str, JSON]) -> JobHandle:
        return JobHandle(
            backend=self.name,
            key=key,
            provider_ids=(found,),
            submitted_at=at,
            extra={"device": self._device, **extra},
        )

    def find(self, intent: Intent) -> JobHandle | None:
        """The job with the key's tag. Where there are several, the first that was made and not cancelled.

        How to read it comes back with its result, so the handle needs nothing more.
        """
        tag = tag_of_key(intent.key)

        def listed(client: Any) -> list[dict[str, Any]]:
            jobs = client.jobs_get(limit=20, job_tags=[tag], descending=False)["jobs"]
            return [dict(j) for j in jobs if tag in (j.get("tags") or ())]

        jobs = self._link.ask("looking a job up by its tag", listed)
        alive = [j for j in jobs if str((j.get("state") or j).get("status", "")).upper() != "CANCELLED"] or jobs
        if not alive:
            return None
        first = min(alive, key=lambda j: str(j.get("created", "")))
        extra: dict[str, JSON] = {"found_by": tag}
        if len(alive) > 1:
            extra["doubles"] = [str(j["id"]) for j in alive if j is not first]
        return self._handle(str(first["id"]), intent.key, str(first.get("created", "")), extra)

    def poll(self, handle: JobHandle) -> JobStatus:
        """One question.

        Raises:
            ProtocolError: a state that IBM's documentation does not have.
            BackendUnavailable, AuthenticationError, JobLost
        """
        job = handle.provider_ids[0]

        def state(client: Any) -> dict[str, Any]:
            return dict(client.job_get(job, exclude_params=True)["state"])

        found = status_of(self._link.ask(f"asking for the state of job {job}", state, of_job=True))
        if found.state is JobState.FAILED and not found.detail:
            found = JobStatus(state=found.state, detail=self._last_words(job))
        return JobStatus(state=found.state, detail=self._link.hidden(found.detail)[:600])

    def _last_words(self, job: str) -> str:
        """Where a failed job gives no reason, the end of its output is one."""
        try:
            text = str(self._link.ask(f"reading why job {job} failed", lambda c: c.job_results(job), of_job=True))
        except (BackendUnavailable, ProtocolError):
            return ""
        return text[text.rfind("Traceback") :][-400:] if "Traceback" in text else text[-400:]

    def fetch(self, handle: JobHandle) -> RawResult:
        """The result; the same bytes each time.

        Raises:
            ResultError: it cannot be read, or is of another job.
            JobFailed, JobCancelled, JobLost, BackendUnavailable, AuthenticationError
        """
        job = handle.provider_ids[0]
        text = str(self._link.ask(f"downloading the result of job {job}", lambda c: c.job_results(job), of_job=True))
        try:
            circuits, carried, timing = decode(text)
        except ResultError as cause:
            self._check_done(handle, cause)
            raise
        kept = handle.extra.get("reading")
        reading = Reading.from_json(kept) if isinstance(kept, dict) else carried
        if reading is None:
            raise ResultError(f"job {job} says nowhere how to read it: it was not sent by qimg")
        if reading.key != handle.key or (carried is not None and carried != reading):
            raise ResultError(f"the result of job {job} belongs to another job than {handle.key[:12]}")
        data, shots = reading.array(circuits)
        raw = text.encode()
        return RawResult(
            data=data,
            shots=shots,
            raw=raw,
            raw_digest="sha256:" + hashlib.sha256(raw).hexdigest(),
            sampling="native",
            lowered_digest=str(handle.extra["circuits"]) if "circuits" in handle.extra else None,
            provider={"job": job, "device": str(handle.extra.get("device", "")), **timing},
        )

    def _check_done(self, handle: JobHandle, cause: ResultError) -> None:
        """A job without a result that can be read: did it end well at all?"""
        status = self.poll(handle)
        if status.state is JobState.FAILED:
            raise JobFailed(f"{self.name}: {status.detail}") from cause
        if status.state is JobState.CANCELLED:
            raise JobCancelled(f"{self.name}: the job was cancelled. {status.detail}".strip()) from cause

    def cancel(self, handle: JobHandle) -> bool:
        """Ask IBM to stop it; False where it is over."""
        job = handle.provider_ids[0]

        def stop(client: Any) -> bool:
            try:
                client.job_cancel(job)
            except Exception as error:  # only "it is over" is an answer; the rest is mapped by `ask`
                if answer_in(error, str).status == 409:
                    return False
                raise
            return True

        return bool(self._link.ask(f"cancelling job {job}", stop, of_job=True))

    def billed(self, handle: JobHandle) -> Cost | None:
        """Quantum seconds, once IBM has counted them."""
        job = handle.provider_ids[0]
        usage = self._link.ask(
            f"reading what job {job} used", lambda c: dict(c.job_metadata(job).get("usage") or {}), of_job=True
        )
        seconds = usage.get("qpu_charge_time_seconds", usage.get("quantum_seconds"))
        if usage.get("status") == "pending" or not isinstance(seconds, (int, float)):
            return None
        return Cost.exactly(Decimal(repr(seconds)), unit=UNIT, basis=f"IBM's metrics of job {job}")
