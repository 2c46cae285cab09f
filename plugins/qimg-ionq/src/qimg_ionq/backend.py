"""`IonQBackend`: IonQ's cloud by its REST interface v0.4 (imports the core's REST client).

One intent is one job: rows and settings become the circuits of one ``ionq.multi-circuit.v1`` job. The intent's
key goes into the job's metadata, where `IonQBackend.find` looks for it: IonQ has no idempotency key.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import logging
import os
import secrets as randomness
import time
from typing import TYPE_CHECKING, Any

from qimg_core.backend import Backend
from qimg_core.capabilities import Billing, Mismatch
from qimg_core.chunks import rows_of
from qimg_core.credentials import credential_from_environment
from qimg_core.errors import (
    CapabilityError,
    JobCancelled,
    JobFailed,
    JobLost,
    ProtocolError,
    ResultError,
    SubmissionUncertain,
    UnknownName,
)
from qimg_core.http import RestClient
from qimg_core.job import Cost, JobHandle, JobState, JobStatus, RawResult, Snapshot
from qimg_core.measurement import Samples
from qimg_core.secret import redact
from qimg_core.settings import bound_circuits, settings_for
from qimg_core.tls import Tls
from qimg_ionq import answers, money
from qimg_ionq.characterization import calibration_data
from qimg_ionq.circuits import input_text, job_input, job_payload, rows_that_fit
from qimg_ionq.devices import QPU_WIRES, Device
from qimg_ionq.finding import in_order, jobs_with_key
from qimg_ionq.note import Note, note_from_metadata
from qimg_ionq.results import decode, pack

if TYPE_CHECKING:
    import httpx

    from qimg_core.capabilities import Capabilities
    from qimg_core.credentials import Credential, Secret
    from qimg_core.execution import ExecutionRequest, Plan
    from qimg_core.job import JSON, Intent

log = logging.getLogger("qimg.ionq")

URL = "https://api.ionq.co/v0.4"
KEYS = ("QIMG_IONQ_API_KEY", "IONQ_API_KEY")
HINT = "make one at https://cloud.ionq.com/settings/keys; docs/how-to/providers/ionq.md"
QUOTE_LIFE = 3600.0
"""Seconds for which IonQ is not asked again what the same work costs."""


class IonQBackend(Backend):
    """IonQ's simulator and QPUs.

    Args:
        device: what stands after ``ionq:``; see `Device.parse`.
        credential: the API key; None looks in ``QIMG_IONQ_API_KEY`` and ``IONQ_API_KEY`` (also with ``_FILE`` and
            ``_COMMAND``) when it is first needed.
        url: base of the interface; None for ``QIMG_IONQ_URL``, or IonQ's own.
        tls: certificates, for a gateway; None for ``QIMG_IONQ_TLS_CA``, ``_CERTIFICATE``, ``_KEY``.
        proxy: see `RestClient`.
        timeouts: seconds to connect, and between two pieces of an answer.
        transport: replaces the network in tests.

    Raises:
        UnknownName: no such form of a device name.
        ConfigurationError: a URL that would send the key in the clear.
    """

    def __init__(
        self,
        device: str = "",
        *,
        credential: Credential | None = None,
        url: str | None = None,
        tls: Tls | None = None,
        proxy: str | Secret | None = None,
        timeouts: tuple[float, float] = (10.0, 60.0),
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.device = Device.parse(device)
        self.name = self.device.name
        self.client = RestClient(
            url or os.environ.get("QIMG_IONQ_URL") or URL,
            provider="ionq",
            credential=credential or credential_from_environment(KEYS, purpose="IonQ API key", hint=HINT),
            scheme="apiKey",
            connect=timeouts[0],
            read=timeouts[1],
            tls=tls or Tls.from_environment("QIMG_IONQ"),
            proxy=proxy,
            transport=transport,
        )
        self._wires = self.device.wires
        self._quotes: dict[money.Work, tuple[float, Cost]] = {}

    @property
    def capabilities(self) -> Capabilities:
        """See `Device.capabilities`. A machine that this version does not know is asked for its qubits, once."""
        if self._wires is None:
            self._wires = self._ask_wires()
        return self.device.capabilities(self._wires)

    def _ask_wires(self) -> int:
        path = f"/backends/{self.device.target}"
        found = self.client.get(path, missing=_no_such_device).json()
        wires = found.get("qubits") if isinstance(found, dict) else None
        if not isinstance(wires, int) or isinstance(wires, bool) or wires < 1:
            raise ProtocolError(f"ionq: {self.device.target} does not say how many qubits it has")
        return wires

    # -- one job ----------------------------------------------------------------------------------------------

    def rows_per_job(self, request: ExecutionRequest) -> int:
        """By IonQ's limits of circuits, gates and bytes of a job; see `rows_that_fit`."""
        return rows_that_fit(self.name, request.circuit, settings_for(request.measurement))

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        request = rows_of(plan, job)
        shots = request.shots
        if shots is None and isinstance(request.measurement, Samples):
            raise CapabilityError(self.name, [Mismatch("shots", "samples without a number of shots", "1 or more")])
        settings, rows = bound_circuits(request)
        kind, content = job_input([circuit for row in rows for circuit in row])
        drawn = self.device.ideal and shots is not None
        seed = randomness.randbits(62) if drawn and request.seed is None else request.seed
        note = Note(
            measurement=request.measurement,
            settings=settings,
            rows=request.rows,
            qubits=request.circuit.n_wires,
            shots=shots,
            seed=seed if drawn else None,
            averaged=bool(self.device.debiasing),
            lowered="sha256:" + hashlib.sha256(input_text(content)).hexdigest(),
        )
        payload = job_payload(self.device, kind, content, note.metadata(intent, self.name), shots, request.seed)
        answer = self.client.post("/jobs", payload)
        accepted = answers.identity(answer.json(_unread))
        if accepted is None:
            raise _unread(f"{answer.what}: HTTP {answer.status} without the id of a job")
        return self._handle(intent.key, accepted, dt.datetime.now(dt.UTC), note)

    def find(self, intent: Intent) -> JobHandle | None:
        """The job that carries the intent's key. It looks through the list of jobs, back to `Intent.at`.

        Raises:
            BackendUnavailable, ProtocolError: the list cannot be read to its end, so nobody knows.
        """
        found = jobs_with_key(self.client, self.device.target, intent.key, intent.at)
        if not found:
            return None
        if len(found) > 1:
            log.warning("%s: %d jobs carry the key %s; the first is taken", self.name, len(found), intent.key[:12])
        job = found[0]
        submitted = answers.moment(job) or dt.datetime.now(dt.UTC)
        return self._handle(intent.key, str(job["id"]), submitted, note_from_metadata(job["metadata"]))

    def _handle(self, key: str, job: str, at: dt.datetime, note: Note) -> JobHandle:
        return JobHandle(
            backend=self.name, key=key, provider_ids=(job,), submitted_at=at.isoformat(), extra=note.to_json()
        )

    def _job(self, handle: JobHandle) -> dict[str, Any]:
        (job,) = handle.provider_ids
        found = answers.job_of(self.client.get(f"/jobs/{job}", missing=JobLost).json(), job)
        metadata = found.get("metadata")
        if isinstance(metadata, dict) and metadata.get("qimg_key", handle.key) != handle.key:
            raise ProtocolError(f"ionq: job {job} carries the key of another intent")
        return found

    def poll(self, handle: JobHandle) -> JobStatus:
        job = self._job(handle)
        state = answers.state_of(job)
        detail = self._reason(job) if state is JobState.FAILED else str(job.get("status"))
        return JobStatus(state=state, detail=detail)

    def _reason(self, job: dict[str, Any]) -> str:
        """Why a job failed, without the key where IonQ repeats it."""
        used = self.client.credential
        return redact(answers.failure(job), [used.secret()] if used else [])

    def fetch(self, handle: JobHandle) -> RawResult:
        note = Note.from_json(handle.extra)
        job = self._job(handle)
        state = answers.state_of(job)
        if state is JobState.FAILED:
            raise JobFailed(f"{self.name}: {self._reason(job) or 'the job failed, IonQ gives no reason'}")
        if state is JobState.CANCELLED:
            raise JobCancelled(f"{self.name}: job {job['id']} was cancelled")
        if state is not JobState.DONE or job.get("dry_run"):
            raise ResultError(f"{self.name}: job {job['id']} has no result ({job.get('status')})")
        several = note.circuits > 1
        body = self.client.get(answers.result_path(job, several), missing=ResultError).body
        children = in_order(self.client, job, answers.children(job), body) if several else None
        raw = pack(body, children, answers.shots_of(job))
        data, shots = decode(raw, note)
        return RawResult(
            data=data,
            shots=shots,
            raw=raw,
            raw_digest="sha256:" + hashlib.sha256(raw).hexdigest(),
            sampling="none" if shots is None else "native" if note.seed is None else "client",
            lowered_digest=note.lowered,
            qpu_seconds=answers.compute_seconds(job),
            provider=self._facts(job, note, children),
        )

    def _facts(self, job: dict[str, Any], note: Note, children: list[str] | None) -> dict[str, JSON]:
        return {
            "job": job["id"],
            "device": self.device.target,
            "noise": self.device.noise,
            "debiasing": self.device.debiasing,
            "aggregation": "average" if note.averaged else None,
            "encoding": "decimal outcomes, bit k is qubit k",
            "circuits": note.circuits,
            "order": "by child_job_ids" if children else "as in the document" if note.circuits > 1 else None,
        }

    def cancel(self, handle: JobHandle) -> bool:
        """Asks for the state first: v0.4 turns even a completed job, and its result, into a cancelled one."""
        if answers.state_of(self._job(handle)).terminal:
            return False
        (job,) = handle.provider_ids
        try:
            answer = self.client.put(f"/jobs/{job}/status/cancel", missing=JobLost).json()
        except ProtocolError:  # it ended in between, or the answer cannot be read
            return answers.state_of(self._job(handle)) is JobState.CANCELLED
        return answers.state_of(answers.job_of(answer, job)) is JobState.CANCELLED

    # -- money and quality ------------------------------------------------------------------------------------

    def estimate(self, plan: Plan) -> Cost:
        """IonQ's own estimate for one circuit, times the circuits; see `money.quoted`."""
        if self.device.capabilities(1).billing is Billing.FREE:
            return Cost.free("IonQ bills no simulator jobs")
        return money.together([self._quote(work) for work in money.works(plan)])

    def _quote(self, work: money.Work) -> Cost:
        asked, cost = self._quotes.get(work, (-QUOTE_LIFE, Cost.free()))
        if time.monotonic() - asked < QUOTE_LIFE:
            return cost
        try:
            cost = money.quoted(self.client.get("/jobs/estimate", work.query(self.device)).json(), work)
        except ProtocolError as cause:
            return Cost.unknown(f"IonQ gives no estimate: {cause.message}")
        self._quotes[work] = (time.monotonic(), cost)
        return cost

    def billed(self, handle: JobHandle) -> Cost | None:
        (job,) = handle.provider_ids
        return money.billed(self.client.get(f"/jobs/{job}/cost", missing=JobLost).json())

    def snapshot(self) -> Snapshot | None:
        """The machine's current characterization; None for the simulator."""
        if self.device.noise is not None:
            return None
        where = f"/backends/{self.device.target}"
        backend = self.client.get(where).json()
        current = answers.identity({"id": backend.get("characterization_id")} if isinstance(backend, dict) else {})
        if current is None:
            listed = self.client.get(f"{where}/characterizations", {"limit": 1}).json()
            found = listed.get("characterizations") if isinstance(listed, dict) else None
            document = found[0] if isinstance(found, list) and found else {}
        else:
            document = self.client.get(f"{where}/characterizations/{current}").json()
        if not isinstance(document, dict) or not isinstance(backend, dict):
            raise ProtocolError(f"ionq: wanted the characterization of {self.device.target}, got something else")
        data = calibration_data(document, backend, self.device.target)
        return Snapshot(device=self.device.target, taken_at=dt.datetime.now(dt.UTC), data=data)

    def close(self) -> None:
        self.client.close()


def _no_such_device(message: str, **facts: object) -> UnknownName:
    return UnknownName("IonQ device", message, ["simulator", *QPU_WIRES], hint="see `GET /backends`")


def _unread(message: str) -> SubmissionUncertain:
    return SubmissionUncertain(f"{message}; the job may exist", hint="look the job up by its key")
