"""Remote drivers that lose, double, invent or betray (floor 8; imports the loopback provider)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.capabilities import Idempotency
from qimg_core.errors import (
    BackendError,
    ProtocolError,
    ResultError,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.job import Cost, JobHandle, JobState, JobStatus, RawResult, Snapshot
from qimg_core.testing.conformance.loopback_driver import LoopbackBackend, provider
from qimg_core.testing.conformance.options import Options
from qimg_core.testing.mutants.mutant import Mutant

if TYPE_CHECKING:
    from qimg_core.execution import Plan
    from qimg_core.job import Intent


class SentAgain(LoopbackBackend):
    """A submission without an answer is sent once more, as official clients do."""

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        try:
            return super().submit(plan, job, intent=intent)
        except SubmissionUncertain:
            return super().submit(plan, job, intent=intent)


class NotesInMemory(LoopbackBackend):
    """What is needed to read a result stays in the driver object."""

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        handle = super().submit(plan, job, intent=intent)
        self.notes = {**getattr(self, "notes", {}), handle.key: handle}
        return evolve(handle, extra={})

    def fetch(self, handle: JobHandle) -> RawResult:
        return super().fetch(getattr(self, "notes", {}).get(handle.key, handle))


class FailureSwallowed(LoopbackBackend):
    """A failed job is called done, and has zeros."""

    def poll(self, handle: JobHandle) -> JobStatus:
        status = super().poll(handle)
        return JobStatus(state=JobState.DONE) if status.state is JobState.FAILED else status

    def fetch(self, handle: JobHandle) -> RawResult:
        import numpy as np

        try:
            return super().fetch(handle)
        except BackendError:
            return RawResult(data=np.zeros((2, 4)), shots=2003, raw_digest="sha256:0", sampling="native")


class NoReason(LoopbackBackend):
    """Why a job failed is not passed on."""

    def poll(self, handle: JobHandle) -> JobStatus:
        return evolve(super().poll(handle), detail="")


class KeyInErrors(LoopbackBackend):
    """The API key is part of an error."""

    def __init__(self, url: str, key: str, **more: Any) -> None:
        super().__init__(url, key, **more)
        self.shown = f"Authorization: Bearer {key}"

    def poll(self, handle: JobHandle) -> JobStatus:
        try:
            return super().poll(handle)
        except ProtocolError as error:
            raise ProtocolError(f"{error.message} ({self.shown})") from error


class KeyInHandle(KeyInErrors):
    """The API key is part of the handle."""

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        handle = super().submit(plan, job, intent=intent)
        return evolve(handle, extra={**handle.extra, "headers": self.shown})

    def poll(self, handle: JobHandle) -> JobStatus:
        return LoopbackBackend.poll(self, handle)


class FloatInHandle(LoopbackBackend):
    """The handle holds a float, which the ledger refuses."""

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        handle = super().submit(plan, job, intent=intent)
        more: dict[str, Any] = {**handle.extra, "precision": 0.5}
        return evolve(handle, extra=more)


class UnknownIsDone(LoopbackBackend):
    """A state that is not in the documentation is taken for the end."""

    def poll(self, handle: JobHandle) -> JobStatus:
        try:
            return super().poll(handle)
        except ProtocolError:
            return JobStatus(state=JobState.DONE)


class ZerosForGarbage(LoopbackBackend):
    """A result that cannot be read becomes zeros."""

    def fetch(self, handle: JobHandle) -> RawResult:
        import numpy as np

        try:
            return super().fetch(handle)
        except ResultError:
            return RawResult(data=np.zeros((2, 4)), shots=2003, raw_digest="sha256:0", sampling="native")


class FindsNothing(LoopbackBackend):
    """Tags are claimed, and a job is not looked up by its tag."""

    def find(self, intent: Intent) -> JobHandle | None:
        return None


class FoundUnreadable(LoopbackBackend):
    """A job that is found again lacks what is needed to read it."""

    def find(self, intent: Intent) -> JobHandle | None:
        found = super().find(intent)
        return None if found is None else evolve(found, extra={})


class ErrorIsRefusal(LoopbackBackend):
    """A server error after sending is taken for a refusal."""

    def submit(self, plan: Plan, job: int, *, intent: Intent) -> JobHandle:
        try:
            return super().submit(plan, job, intent=intent)
        except SubmissionUncertain as error:
            raise SubmissionRejected(error.message) from error


class LooseParsing(LoopbackBackend):
    """A missing field raises what Python raises."""

    def poll(self, handle: JobHandle) -> JobStatus:
        return JobStatus(state=JobState(self._state(handle)["state"]))


class CancelInName(LoopbackBackend):
    """Cancelling is claimed and said, and not done."""

    def cancel(self, handle: JobHandle) -> bool:
        return True


class CalibrationKept(LoopbackBackend):
    """The calibration is read once."""

    def snapshot(self) -> Snapshot:
        if not hasattr(self, "first"):
            self.first = super().snapshot()
        return self.first


class WrongDigest(LoopbackBackend):
    """The digest is not of what was returned."""

    def fetch(self, handle: JobHandle) -> RawResult:
        return evolve(super().fetch(handle), raw_digest="sha256:" + "0" * 64)


class NothingToPay(LoopbackBackend):
    """A device that bills estimates nothing."""

    def estimate(self, plan: Plan) -> Cost:
        return Cost.free()


_CLASSES: dict[str, tuple[type[LoopbackBackend], str]] = {
    "a submission is sent twice": (SentAgain, "C16.submission"),
    "a server error is a refusal": (ErrorIsRefusal, "C16.submission"),
    "a job is not found by its key": (FindsNothing, "C15.before_acknowledgement"),
    "a found job cannot be read": (FoundUnreadable, "C15.before_acknowledgement"),
    "a handle is of no use in another process": (NotesInMemory, "C18.handle"),
    "a float in the handle": (FloatInHandle, "C18.handle"),
    "a failure is swallowed": (FailureSwallowed, "C14.failure"),
    "a failure without its reason": (NoReason, "C14.failure"),
    "cancelling in name only": (CancelInName, "C14.cancel"),
    "an unknown state is the end": (UnknownIsDone, "C16.questions"),
    "a missing field raises KeyError": (LooseParsing, "C16.questions"),
    "zeros for a damaged result": (ZerosForGarbage, "C16.download"),
    "the key in an error": (KeyInErrors, "C20"),
    "the key in the handle": (KeyInHandle, "C20"),
    "drift of the calibration unseen": (CalibrationKept, "C16.drift"),
    "a digest of something else": (WrongDigest, "C17.record"),
    "no cost": (NothingToPay, "C22.account"),
}


def sound(idempotency: Idempotency = Idempotency.TAG) -> Mutant:
    """The right driver, for comparison."""
    server = provider(idempotency=idempotency)
    return Mutant(name=f"sound remote driver ({idempotency})", make=None, caught_by="", options=Options(server=server))


MUTANTS = tuple(
    Mutant(name=name, make=None, caught_by=case, options=Options(server=provider(driver=cls)))
    for name, (cls, case) in _CLASSES.items()
)
