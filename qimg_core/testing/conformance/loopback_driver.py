"""The driver of the loopback provider: a whole remote driver on a screen (floor 8; imports http, settings).

What needs care in a remote driver is here: what is sent is bound circuits in bases, so any provider of counts will
do; all that is needed to read a result is in the handle; every failure of `submit` says whether a job may exist.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from qimg_core.backend import Backend
from qimg_core.capabilities import Billing, Capabilities, DeviceKind, Idempotency, MeasurementKind
from qimg_core.chunks import rows_of
from qimg_core.circuit.gates import UNITARY
from qimg_core.credentials import Credential, FromCallable
from qimg_core.errors import (
    BackendError,
    DataError,
    JobCancelled,
    JobFailed,
    JobLost,
    ProtocolError,
    ResultError,
    SubmissionUncertain,
)
from qimg_core.http import RestClient
from qimg_core.job import Cost, JobHandle, JobState, JobStatus, RawResult, Snapshot
from qimg_core.measurement import measurement_from_json, measurement_to_json
from qimg_core.settings import Outcomes, Setting, bound_circuits, read
from qimg_core.testing.conformance.loopback import REASON, LoopbackServer
from qimg_core.testing.conformance.options import CANARY, Provider

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_core.execution import Plan
    from qimg_core.job import Intent

PRICE = Decimal("0.01")


class LoopbackBackend(Backend):
    """A metered remote device of eight qubits.

    Args:
        url: of the provider.
        key: its API key.
        idempotency: what its provider does with keys.
    """

    name = "loopback"

    def __init__(self, url: str, key: str, *, idempotency: Idempotency = Idempotency.TAG) -> None:
        credential = Credential(FromCallable(lambda: (key, None)), purpose="the loopback provider")
        self.client = RestClient(url, provider=self.name, credential=credential, connect=10, read=20)
        self.idempotency = idempotency

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(
            kind=DeviceKind.SIMULATOR,
            max_wires=8,
            gates=UNITARY,
            measurements=frozenset(MeasurementKind) - {MeasurementKind.STATE},
            analytic=True,
            shots=(1, 4000),
            max_rows=40,
            seeded=True,
            remote=True,
            cancellable=True,
            resumable=True,
            idempotency=self.idempotency,
            calibrated=True,
            billing=Billing.METERED,
        )

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        request = rows_of(plan, job)
        settings, circuits = bound_circuits(request)
        note: dict[str, Any] = {
            "measurement": measurement_to_json(request.measurement),
            "settings": [[[w, p] for w, p in s.basis] for s in settings],
            "rows": request.rows,
            "shots": request.shots,
        }
        document = {
            "key": intent.key,
            "run": intent.run,
            "circuits": [[c.to_json() for c in row] for row in circuits],
            "shots": request.shots,
            "seed": None if request.seed is None else str(request.seed),
            "note": note,  # the provider gives it back: a job that is found again is read by it
        }
        answer = self.client.post("/jobs", document).json(SubmissionUncertain)
        if not isinstance(answer, dict) or not isinstance(answer.get("id"), str):
            raise SubmissionUncertain(f"{self.name}: the answer names no job", answered=True)
        return self._handle(intent, answer["id"], note)

    def _handle(self, intent: Intent, job: str, extra: Mapping[str, Any]) -> JobHandle:
        now = dt.datetime.now(dt.UTC).isoformat()
        return JobHandle(backend=self.name, key=intent.key, provider_ids=(job,), submitted_at=now, extra=extra)

    def find(self, intent: Intent) -> JobHandle | None:
        if self.idempotency is Idempotency.NONE:
            return None
        answer = self.client.get("/jobs", {"key": intent.key}).json()
        if not isinstance(answer, dict) or not isinstance(answer.get("jobs"), list):
            raise ProtocolError(f"{self.name}: the answer has no list of jobs")
        found = answer["jobs"]
        return self._handle(intent, found[0]["id"], found[0]["note"]) if found else None

    def poll(self, handle: JobHandle) -> JobStatus:
        answer = self._state(handle)
        try:
            return JobStatus(state=JobState(answer["state"]), detail=str(answer.get("detail", "")))
        except (KeyError, ValueError) as cause:
            raise ProtocolError(f"{self.name}: state {answer.get('state')!r} is not in its documentation") from cause

    def _state(self, handle: JobHandle) -> dict[str, Any]:
        answer = self.client.get(f"/jobs/{handle.provider_ids[0]}", missing=JobLost).json()
        if not isinstance(answer, dict):
            raise ProtocolError(f"{self.name}: wanted an object")
        return answer

    def fetch(self, handle: JobHandle) -> RawResult:
        try:
            answer = self.client.get(f"/jobs/{handle.provider_ids[0]}/results", missing=JobLost)
        except BackendError as error:
            self._ended(handle, error)
            raise
        try:
            return self._read(handle, answer.json(ResultError)["results"], answer.body)
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, DataError) as cause:
            raise ResultError(f"{self.name}: the result cannot be read: {cause}") from cause

    def _ended(self, handle: JobHandle, error: BackendError) -> None:
        """A job without results has ended otherwise; say how."""
        if error.facts.get("status") == 409:
            status = self.poll(handle)
            if status.state is JobState.CANCELLED:
                raise JobCancelled(f"{self.name}: the job was cancelled") from error
            if status.state is JobState.FAILED:
                raise JobFailed(f"{self.name}: {status.detail}") from error

    def _read(self, handle: JobHandle, results: Any, body: bytes) -> RawResult:
        extra: Any = handle.extra
        rows, shots = extra["rows"], extra["shots"]
        settings = [Setting([(w, p) for w, p in s]) for s in extra["settings"]]
        if len(results) != rows or any(len(row) != len(settings) for row in results):
            raise ValueError(f"wanted {rows} rows of {len(settings)} settings")
        outcomes = [self._outcomes([row[k] for row in results], s, shots) for k, s in enumerate(settings)]
        return RawResult(
            data=read(measurement_from_json(extra["measurement"]), settings, outcomes),
            shots=shots,
            raw=body,
            raw_digest="sha256:" + hashlib.sha256(body).hexdigest(),
            sampling="none" if shots is None else "native",
            provider={"job": handle.provider_ids[0], "bits": "qubit 0 at the right of each string"},
        )

    @staticmethod
    def _outcomes(rows: list[Mapping[str, Any]], setting: Setting, shots: int | None) -> Outcomes:
        """The setting's wires out of strings that have every qubit, qubit 0 last."""
        import numpy as np

        def picked(row: Mapping[str, Any]) -> dict[tuple[int, ...], Any]:
            out: dict[tuple[int, ...], Any] = {}
            for text, value in row.items():
                bits = tuple(int(text[-1 - w]) for w in setting.wires)
                out[bits] = out.get(bits, 0) + value
            return out

        found = [picked(row) for row in rows]
        if shots is not None:
            if any(sum(row.values()) != shots for row in found):
                raise ValueError(f"wanted {shots} counts in every row")
            return Outcomes.counted(found, len(setting.wires))
        dense = np.zeros((len(rows), 2 ** len(setting.wires)))
        for r, row in enumerate(found):
            for bits, value in row.items():
                dense[r, int("".join(map(str, bits)), 2)] = value
        return Outcomes.dense(dense)

    def cancel(self, handle: JobHandle) -> bool:
        try:
            self.client.put(f"/jobs/{handle.provider_ids[0]}/cancel", missing=JobLost)
        except ProtocolError as error:
            if error.facts.get("status") == 409:  # it is over
                return False
            raise
        return True

    def estimate(self, plan: Plan) -> Cost:
        return Cost.exactly(PRICE * plan.n_jobs, basis="0.01 USD a job", date="2026-11-01")

    def billed(self, handle: JobHandle) -> Cost | None:
        amount = self._state(handle).get("cost_usd")
        return None if amount is None else Cost.exactly(Decimal(amount), basis="as the provider billed")

    def snapshot(self) -> Snapshot:
        found: Any = self.client.get("/calibration").json()
        error = str(found["readout_error"])
        data: dict[str, Any] = {
            "schema": "qimg.calibration/1",
            "wires": {str(w): {"readout": [error, error]} for w in range(8)},
        }
        return Snapshot(device=self.name, taken_at=dt.datetime.now(dt.UTC), data=data)

    def close(self) -> None:
        self.client.close()


def provider(*, idempotency: Idempotency = Idempotency.TAG, waits: int = 1, driver: Any = LoopbackBackend) -> Provider:
    """The loopback provider for `Options.server`.

    Args:
        idempotency: what it does with keys.
        waits: how often a new job answers that it is not done.
        driver: another class of driver.
    """

    def start() -> LoopbackServer:
        return LoopbackServer(tokens=idempotency is Idempotency.TOKEN, waits=waits)

    def fail(server: LoopbackServer) -> None:
        server.fails = True

    def busy(server: LoopbackServer, questions: int) -> None:
        server.waits = questions

    return Provider(
        start=start,
        connect=lambda server: driver(server.url, CANARY, idempotency=idempotency),
        jobs=lambda server: len(server.jobs),
        fail=fail,
        busy=busy,
        failure=REASON,
    )
