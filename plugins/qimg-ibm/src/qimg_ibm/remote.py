"""`IBMBackend`, the devices ``ibm:ibm_...``: IBM's quantum computers through the executor primitives.

One job of IBM is one job of qimg: every measurement setting is one circuit (PUB) in the device's instructions, with
the rows as an array of parameter values and equal shots. It carries a tag of its key, by which it is found again.
Imports qimg_core and this package; the SDK inside.
"""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING

from qimg_core.capabilities import Billing, Capabilities, DeviceKind, Idempotency
from qimg_core.chunks import place, rows_of
from qimg_core.errors import BackendUnavailable, CapabilityError, ProtocolError, SubmissionRejected
from qimg_core.job import Snapshot
from qimg_ibm.calibration import calibration_of
from qimg_ibm.credentials import Credentials
from qimg_ibm.fake import COUNTED
from qimg_ibm.isa import Compiler, digest_of_all
from qimg_ibm.local import versions
from qimg_ibm.questions import JobQuestions
from qimg_ibm.reading import Reading
from qimg_ibm.sending import options_of, pubs_of, sampler_for
from qimg_ibm.service import Connection
from qimg_ibm.usage import MAX_ROWS, MAX_SHOTS, Usage, check_limits, cost_of, most_rows, usage_of
from qimg_ibm.walker import GATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.execution import ExecutionRequest, Footprint, Plan
    from qimg_core.job import Cost, Intent, JobHandle
    from qimg_ibm.isa import Isa


class IBMBackend(JobQuestions):
    """A quantum computer of IBM. Jobs cost quantum seconds.

    Args:
        device: such as ``ibm_fez``.
        credentials: of the account; None reads the environment.
        timeout: seconds that any single answer may take.

    Nothing is asked of IBM, and no key is read, before it is needed.

    Raises:
        ConfigurationError: an address that would send the key in the clear.
    """

    def __init__(self, device: str, *, credentials: Credentials | None = None, timeout: float = 120.0) -> None:
        self.name = f"ibm:{device}"
        self._device = device
        self._link = Connection(device, credentials or Credentials.from_environment(), timeout=timeout)
        self._made: Compiler | None = None
        self._lock = threading.Lock()

    @property
    def capabilities(self) -> Capabilities:
        """Shots only; asks IBM for the number of qubits, once."""
        return Capabilities(
            kind=DeviceKind.QPU,
            max_wires=self._link.device.num_qubits,
            gates=GATES,
            measurements=COUNTED,
            analytic=False,
            shots=(1, MAX_SHOTS),
            max_window=4,
            max_rows=MAX_ROWS,
            remote=True,
            cancellable=True,
            resumable=True,
            idempotency=Idempotency.TAG,
            calibrated=True,
            compiles=True,
            billing=Billing.METERED,
        )

    # -- before anything is sent ---------------------------------------------------------------------

    @property
    def _compiler(self) -> Compiler:
        device = self._link.device
        with self._lock:
            if self._made is None:
                self._made = Compiler(device, self._device)
            return self._made

    def rows_per_job(self, request: ExecutionRequest) -> int:
        """As many as IBM's limits of executions and of time allow."""
        shots = min(request.shots or 1, MAX_SHOTS)
        made = self._compiler.all(request)[1]
        return most_rows(shots, [isa.seconds for isa in made], self._delay)

    def footprint(self, request: ExecutionRequest) -> Footprint:
        """Of the transpiled circuit."""
        return self._compiler.footprint(request)

    def estimate(self, plan: Plan) -> Cost:
        """Quantum seconds by IBM's formula; at most the time after which each job is ended.

        Raises:
            CapabilityError: a job would be over IBM's limits.
        """
        _, made = self._compiler.all(plan.lowered)
        jobs = []
        for job in range(plan.n_jobs):
            start, stop, shots = place(plan, job)
            jobs.append(self._usage(stop - start, shots or 1, made))
        return cost_of(jobs)

    @property
    def _delay(self) -> float | None:
        return getattr(self._link.device.configuration(), "default_rep_delay", None)

    def _usage(self, rows: int, shots: int, made: Sequence[Isa]) -> Usage:
        found = usage_of(rows, shots, [isa.seconds for isa in made], self._delay)
        check_limits(self.name, found)
        return found

    def snapshot(self) -> Snapshot:
        """The calibration now.

        Raises:
            BackendUnavailable, AuthenticationError, ProtocolError
        """
        document = self._link.ask(
            "reading the calibration", lambda c: calibration_of(c.backend_properties(self._device))
        )
        return Snapshot(device=self._device, taken_at=dt.datetime.now(dt.UTC), data=document)

    # -- one job ---------------------------------------------------------------------------------------

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        """Send one job.

        Raises:
            CapabilityError: something outside `capabilities`; nothing was sent.
            SubmissionRejected: IBM refused it, or the instance has no time left.
            SubmissionUncertain: sent, and no answer that settles it.
            BackendUnavailable: certainly not accepted.
            AuthenticationError: IBM does not accept the credentials.
        """
        request = rows_of(plan, job)
        if (found := self.capabilities.check(request)) or request.shots is None:
            raise CapabilityError(self.name, found)
        settings, made = self._compiler.all(request)
        usage = self._usage(request.rows, request.shots, made)
        reading = Reading(
            key=intent.key,
            measurement=request.measurement,
            settings=settings,
            rows=request.rows,
            shots=request.shots,
            circuits=tuple(1 if isa.columns else request.rows for isa in made),
        )
        try:
            self._check_open()
        except ProtocolError as cause:  # nothing was sent: it is safe to try the submission again
            raise BackendUnavailable(cause.message) from cause
        sampler = sampler_for(self._link.device, usage, intent)
        pubs = pubs_of(request, made, reading)
        accepted = self._link.submit(lambda: sampler.run(pubs, shots=request.shots))
        return self._handle(
            accepted,
            intent.key,
            dt.datetime.now(dt.UTC).isoformat(),
            {
                "reading": reading.to_json(),
                "layout": [list(isa.layout) for isa in made],
                "circuits": digest_of_all(made),
                "transpiled": self._compiler.words,
                "options": options_of(sampler),
                "estimate_qpu_seconds": repr(round(usage.seconds, 3)),
                "calibration": str(getattr(self._link.device.properties(), "last_update_date", "")),
                "versions": dict(versions()),
            },
        )

    def _check_open(self) -> None:
        """Is there time left on the instance, and does the device take jobs?"""
        left = self._link.ask("reading the instance's usage", lambda c: dict(c.cloud_usage()))
        if left.get("usage_limit_reached"):
            used, limit = left.get("usage_consumed_seconds"), left.get("usage_limit_seconds")
            raise SubmissionRejected(
                f"the IBM instance has no time left ({used} s used of {limit} s); nothing was sent",
                hint="https://quantum.cloud.ibm.com/instances shows when there is more; or use another instance",
            )
        status = self._link.ask("reading the device's status", lambda c: dict(c.backend_status(self._device)))
        if not status.get("operational"):
            raise BackendUnavailable(f"{self._device} takes no jobs now: {str(status.get('status_msg'))[:80]}")

    def close(self) -> None:
        """Let go of connections; the next use opens them again."""
        self._made = None
        self._link.close()
