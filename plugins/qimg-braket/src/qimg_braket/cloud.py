"""A device of Amazon Braket: ``braket:sv1``, ``braket:garnet``, ``braket:ARN`` (imports qimg_core; the SDK later).

One of our jobs is one or several of Braket's tasks, each under a client token of its own: however often a job is sent,
Braket makes each task once. Everything that reading needs is in the handle, and in the tasks' tags.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from typing import TYPE_CHECKING, Any

from qimg_braket.account import Account
from qimg_braket.devices import arn_of, name_of
from qimg_braket.local import as_written, versions
from qimg_braket.offer import action_of, capabilities_of, fees, is_qpu, rows_per_job, snapshot_of
from qimg_braket.prices import PriceList
from qimg_braket.qasm import digest, measured
from qimg_braket.reading import bill, has_result, queue_position, read_result
from qimg_braket.tasks import KEY, ProgramSets, Task, moment, read_tags, reading, tags, tasks_of, token
from qimg_core.backend import Backend
from qimg_core.chunks import rows_of
from qimg_core.circuit.rewrite import rewrite
from qimg_core.errors import (
    BackendError,
    BackendUnavailable,
    JobFailed,
    JobLost,
    ProtocolError,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.job import Cost, JobHandle, JobState, JobStatus
from qimg_core.settings import bound_circuits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Self

    from qimg_braket.prices import Tariff
    from qimg_core.capabilities import Capabilities
    from qimg_core.execution import ExecutionRequest, Footprint, Plan
    from qimg_core.job import Intent, RawResult, Snapshot

_STATES = {
    "CREATED": JobState.QUEUED,
    "QUEUED": JobState.QUEUED,
    "RUNNING": JobState.RUNNING,
    "CANCELLING": JobState.RUNNING,
    "COMPLETED": JobState.DONE,
    "FAILED": JobState.FAILED,
    "CANCELLED": JobState.CANCELLED,
}
_TRUSTED = dt.timedelta(minutes=10)
"""AWS does not say how long it remembers a client token: an older intent is looked up by its tags first."""


class CloudBackend(Backend):
    """A managed simulator or a QPU.

    Args:
        device: a short name of `qimg_braket.devices.SHORT`, or an ARN.
        read_timeout: seconds for an answer.

    Raises:
        UnknownName: neither.
    """

    def __init__(self, device: str, *, read_timeout: float = 70.0) -> None:
        self.arn = arn_of(device)
        self.name = f"braket:{device}"
        self._timeout = read_timeout
        self._accounts: dict[str | None, Account] = {None: Account(self.arn, read_timeout=read_timeout)}
        self._known: dict[str, Any] | None = None
        self._prices: PriceList | None = None
        self._lock = threading.Lock()

    def open(self) -> Self:
        """Read the environment, the device's properties and the price list now, and not when they are first needed."""
        self._account.open()
        self._device()
        with contextlib.suppress(BackendUnavailable, ProtocolError):
            self._tariff(self._account.region)
        return self

    # -- what it can do ---------------------------------------------------------------------

    @property
    def _account(self) -> Account:
        return self._accounts[None]

    def _device(self) -> dict[str, Any]:
        """``GetDevice``, asked once; `snapshot` asks anew."""
        with self._lock:
            if self._known is None:
                self._known = self._account.device()[0]
            return self._known

    @property
    def _sets(self) -> ProgramSets | None:
        return ProgramSets.of(action_of(self._device(), self.name))

    @property
    def capabilities(self) -> Capabilities:
        """As the device's properties say; read once, at the first question.

        Raises:
            AuthenticationError, BackendUnavailable: they cannot be read.
            ConfigurationError: it is not a gate device.
        """
        return capabilities_of(self._device(), self.name)

    def rows_per_job(self, request: ExecutionRequest) -> int:
        """One program set a job where the device has them, else `qimg_braket.offer.PROGRAMS` tasks."""
        return rows_per_job(request, self._sets)

    def footprint(self, request: ExecutionRequest) -> Footprint:
        """As written: Braket compiles for the device and tells only afterwards."""
        return as_written(request, basis="as written; Braket compiles it for the device")

    def snapshot(self) -> Snapshot:
        """The device's properties now: calibration where it has one, state, and the digest of the whole document."""
        return snapshot_of(*self._account.device(), self.arn)

    # -- money ------------------------------------------------------------------------------

    def _tariff(self, region: str) -> Tariff:
        with self._lock:
            if self._prices is None:
                self._prices = PriceList.fetch()
        return self._prices.tariff(name_of(self.arn), region, qpu=is_qpu(self._device()))

    def estimate(self, plan: Plan) -> Cost:
        """From AWS's public price list, with its date; unknown where that cannot be had or has no single price."""
        try:
            tariff = self._tariff(self._account.region)
        except (BackendUnavailable, ProtocolError) as cause:
            return Cost.unknown(cause.message)
        tasks, shots = fees(plan, self._sets)
        return tariff.shots_cost(tasks, shots, "estimate") if is_qpu(self._device()) else tariff.at_least(tasks)

    def billed(self, handle: JobHandle) -> Cost | None:
        """Computed from the price list for the tasks that completed: not an invoice. None where that cannot be had."""
        try:
            tariff = self._tariff(str(handle.extra["region"]))
        except (BackendUnavailable, ProtocolError):
            return None
        return bill(self._of(handle), handle, tariff, qpu=is_qpu(self._device()))

    # -- jobs -------------------------------------------------------------------------------

    def _of(self, handle: JobHandle) -> Account:
        """The account in the handle's region."""
        region = handle.extra.get("region")
        if not isinstance(region, str):
            raise ProtocolError(f"{self.name}: the handle of job {handle.key[:12]} names no region")
        with self._lock:
            if region not in self._accounts:
                same = region == self._account.region
                new = Account(self.arn, region=region, read_timeout=self._timeout)
                self._accounts[region] = self._account if same else new
            return self._accounts[region]

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        """Create the job's tasks, one after the other, each once whatever happens.

        Raises:
            SubmissionRejected, AuthenticationError, RateLimited, BackendUnavailable: nothing was accepted.
            SubmissionUncertain: it is not known whether the last task was accepted, or some were and the rest not
                yet; the same call goes on where this one stopped.
            JobFailed: Braket refused a task after it had accepted others; those were cancelled where possible.
        """
        request = rows_of(plan, job)
        offered = self.capabilities.gates
        _, circuits = bound_circuits(request)
        texts = [measured(rewrite(circuit, offered)) for row in circuits for circuit in row]
        made = tasks_of(texts, request.shots or 1, self._sets)
        extra = reading(request, made, self.arn, self._account.region, digest(texts))
        arns = self._remembered(intent)
        bucket, prefix = self._account.destination()
        for index, task in enumerate(made):
            if index in arns:
                continue
            parameters = {
                "deviceArn": self.arn,
                "shots": task.shots,
                "action": task.action,
                "outputS3Bucket": bucket,
                "outputS3KeyPrefix": prefix,
                "clientToken": token(intent.key, index),
                "tags": tags(intent, index, len(made), extra),
            }
            try:
                arns[index] = self._create(parameters)
            except BackendError as cause:
                if not arns:
                    raise
                raise self._stopped(cause, arns, made) from cause
        return self._handle(intent.key, [arns[i] for i in range(len(made))], extra)

    def _create(self, parameters: Mapping[str, Any]) -> str:
        arn = self._account.create(parameters)
        if not arn.startswith("arn:"):
            raise SubmissionUncertain("Amazon Braket accepted a task without saying which")
        return arn

    def _stopped(self, cause: BackendError, arns: Mapping[int, str], made: tuple[Task, ...]) -> Exception:
        """What an error means when some of a job's tasks exist already."""
        so_far = f"{len(arns)} of {len(made)} tasks of the job exist; {cause.message}"
        if not isinstance(cause, SubmissionRejected):
            return SubmissionUncertain(so_far, answered=True)
        stopped = 0
        for arn in arns.values():
            try:
                stopped += self._account.cancel(arn)
            except (BackendError, JobLost):
                continue
        return JobFailed(f"{so_far}; {stopped} of them were cancelled", hint=cause.hint, tasks=list(arns.values()))

    def _handle(self, key: str, arns: list[str], extra: Mapping[str, Any]) -> JobHandle:
        now = dt.datetime.now(dt.UTC).isoformat()
        return JobHandle(backend=self.name, key=key, provider_ids=arns, submitted_at=now, extra=extra)

    def _remembered(self, intent: Intent) -> dict[int, str]:
        """Tasks of an old intent, by number: AWS may have forgotten their tokens."""
        since = moment(intent.at)
        if since is None or dt.datetime.now(dt.UTC) - since < _TRUSTED:
            return {}
        return {index: arn for index, (arn, _, _) in self._search(intent).items()}

    def _search(self, intent: Intent) -> dict[int, tuple[str, int, dict[str, Any] | None]]:
        """Number of the task -> (ARN, how many there are, what reading needs), of the tasks with the intent's key."""
        since = moment(intent.at) or dt.datetime.now(dt.UTC) - dt.timedelta(days=90)
        found = {}
        for task in self._account.search((since - dt.timedelta(minutes=5)).isoformat()):
            named = task.get("tags") or {}
            if named.get(KEY) == intent.key:
                index, count, extra = read_tags(named)
                found[index] = (str(task["quantumTaskArn"]), count, extra)
        return found

    def find(self, intent: Intent) -> JobHandle | None:
        """The job whose tasks carry the intent's key in their tags.

        Raises:
            SubmissionUncertain: some of its tasks exist and others do not, or their tags do not tell how to read
                them: a resumed run completes and adopts it.
        """
        found = self._search(intent)
        if not found:
            return None
        _, count, extra = found[min(found)]
        hint = f"go on with --resume {intent.run}: it sends what is missing, and nothing twice"
        if len(found) < count:
            raise SubmissionUncertain(f"{len(found)} of {count} tasks of job {intent.key[:12]} exist", hint=hint)
        if extra is None:
            raise SubmissionUncertain(f"job {intent.key[:12]} exists, its tags do not say how to read it", hint=hint)
        return self._handle(intent.key, [found[i][0] for i in range(count)], extra)

    def poll(self, handle: JobHandle) -> JobStatus:
        """Ask for the tasks in order, up to the first that is not done.

        A program set that failed but has results counts as done: `fetch` says which programs are missing.
        """
        account = self._of(handle)
        for number, arn in enumerate(handle.provider_ids, 1):
            answer = account.task(arn)
            state = _STATES.get(answer["status"])
            if state is None:
                raise ProtocolError(f"Braket reports the state {answer['status']!r}, which its documentation lacks")
            which = f"task {number} of {len(handle.provider_ids)}: " if len(handle.provider_ids) > 1 else ""
            if not has_result(answer):
                reason = answer.get("failureReason") or ""
                if state is JobState.FAILED and not reason:
                    reason = "Braket gives no reason"
                return JobStatus(
                    state=state, detail=which + reason if reason else "", queue_position=queue_position(answer)
                )
        return JobStatus(state=JobState.DONE)

    def fetch(self, handle: JobHandle) -> RawResult:
        """Download and read every task's result; see `qimg_braket.reading.read_result`."""
        return read_result(self._of(handle), handle, self.name, versions())

    def cancel(self, handle: JobHandle) -> bool:
        """Ask for every task; True where at least one was still to be stopped."""
        account = self._of(handle)
        return sum(account.cancel(arn) for arn in handle.provider_ids) > 0

    def close(self) -> None:
        for account in self._accounts.values():
            account.close()
