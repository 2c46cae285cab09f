"""Every exception qimg raises, in one tree (floor 0: imports nothing from qimg).

::

    QimgError
    ├── ConfigurationError      the caller's input is wrong: nothing was sent or written
    │   ├── UnknownName         a component, dataset or weights name; offers the nearest
    │   ├── DataError           images or arrays of the wrong shape, with NaN, or none at all
    │   └── WeightsError        a weights file that is truncated, foreign or of another model
    ├── PluginError             PluginLoadError, PluginIncompatible, PluginConflict
    ├── CapabilityError         the device cannot do it; lists what was wanted and what is offered
    ├── PolicyError             AdmissionDenied, BudgetExceeded, UnknownCost, FallbackForbidden
    ├── BackendError            AuthenticationError, BackendUnavailable (RateLimited, BreakerOpen),
    │                           ProtocolError, SubmissionRejected, SubmissionUncertain
    ├── JobError                JobFailed, JobCancelled, JobTimeout (DeadlinePassed), JobLost
    ├── ResultError             the provider's answer cannot be read; fetch again (ShotShortfall)
    ├── StorageError            disk full, read-only, or not a place to write
    └── LedgerError             LedgerBusy, LedgerCorrupt, ReplayMismatch, OutsideMemoryError
    FallbackExhausted           an ExceptionGroup with one error per backend tried

From the type alone a caller can tell what matters about money: ``sent`` (did anything reach a
provider?), ``billed`` (may it have cost something?) and ``retryable`` (may the core try again?).
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, ClassVar, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.capabilities import Mismatch

Maybe = Literal["no", "yes", "maybe"]


class QimgError(Exception):
    """Base class of all.

    Args:
        message: what was wanted and what was found, in one sentence.
        hint: what to do next, if possible a command.
        facts: what the ledger may record about the failure. Never a secret.
    """

    sent: ClassVar[Maybe] = "no"
    billed: ClassVar[Maybe] = "no"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "", **facts: object) -> None:
        super().__init__(f"{message}\n  {hint}" if hint else message)
        self.message = message
        self.hint = hint
        self.facts = facts

    def advise(self, hint: str) -> None:
        """Say what to do next, where nothing is said yet."""
        if not self.hint:
            self.hint = hint
            self.args = (f"{self.message}\n  {hint}",)


class ConfigurationError(QimgError):
    """The caller's input is wrong. Nothing was sent or written."""


class UnknownName(ConfigurationError):
    """No such component, dataset or weights.

    Args:
        kind: what was looked for, e.g. ``"backend"``.
        name: the name that was given.
        known: the names that exist; the nearest is offered.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        offer = f"did you mean {near[0]!r}? " if near else ""
        listed = ", ".join(names) or "none"
        super().__init__(
            f"no {kind} named {name!r}; {offer}installed: {listed}",
            hint=hint,
            kind=kind,
            name=name,
        )
        self.nearest = near[0] if near else None


class DataError(ConfigurationError):
    """Images or arrays of the wrong shape or type, with NaN in them, or none at all."""


class WeightsError(ConfigurationError):
    """A weights file that is truncated, foreign, or made for another model."""


class PluginError(QimgError):
    """A plugin cannot be used. The other plugins are not affected."""


class PluginLoadError(PluginError):
    """Importing the plugin, or the component it names, failed."""


class PluginIncompatible(PluginError):
    """The plugin needs another version of qimg-core or of a provider SDK."""


class PluginConflict(PluginError):
    """Two plugins supply the same name."""


class CapabilityError(QimgError):
    """The device cannot do what was asked; nothing was submitted.

    Args:
        backend: name of the device.
        mismatches: each thing wanted beside what the device offers.
    """

    def __init__(self, backend: str, mismatches: Iterable[Mismatch], *, hint: str = "") -> None:
        self.mismatches = tuple(mismatches)
        lines = "; ".join(str(m) for m in self.mismatches)
        super().__init__(f"{backend} cannot run this request: {lines}", hint=hint, backend=backend)


class PolicyError(QimgError):
    """Refused before anything was sent."""


class AdmissionDenied(PolicyError):
    """A policy plugin said no; the reasons are in the message."""


class BudgetExceeded(PolicyError):
    """The upper bound of the cost is over what the run may spend."""


class UnknownCost(PolicyError):
    """The price is not known, which is not the same as free."""


class FallbackForbidden(PolicyError):
    """The chosen device cannot run it and no fallback was allowed."""


class BackendError(QimgError):
    """A provider, or the way to it, failed."""


class AuthenticationError(BackendError):
    """The provider does not accept the credentials."""


class BackendUnavailable(BackendError):
    """Not reachable or not taking jobs. Nothing was accepted."""

    retryable = True


class RateLimited(BackendUnavailable):
    """Too many requests; ``retry_after`` in seconds where the provider said so."""

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None, **facts: object) -> None:
        super().__init__(message, hint=hint, **facts)
        self.retry_after = retry_after


class BreakerOpen(BackendUnavailable):
    """The provider failed several times in a row and is left alone for a while. Nothing was sent."""

    retryable = False


class ProtocolError(BackendError):
    """The provider answered with something its documentation does not allow."""

    sent = "yes"
    billed = "maybe"


class SubmissionRejected(BackendError):
    """The provider refused the job: nothing runs, nothing is billed."""

    sent = "yes"


class SubmissionUncertain(BackendError):
    """The job may or may not exist at the provider. Look it up by its key; never resubmit blindly.

    Args:
        answered: the provider did answer, with a server error: it is not still working on the request.
    """

    sent = "maybe"
    billed = "maybe"

    def __init__(self, message: str, *, hint: str = "", answered: bool = False, **facts: object) -> None:
        super().__init__(message, hint=hint, **facts)
        self.answered = answered


class JobError(QimgError):
    """An accepted job did not end well."""

    sent = "yes"
    billed = "maybe"


class JobFailed(JobError):
    """The provider reports failure; the message carries its reason."""


class JobCancelled(JobError):
    """Somebody cancelled the job."""


class JobTimeout(JobError):
    """The local wait ended; the job itself is alive and can be resumed."""


class DeadlinePassed(JobTimeout):
    """The time that the chain gives this device is over; the message says what became of its jobs."""


class JobLost(JobError):
    """The provider no longer knows the job."""


class ResultError(QimgError):
    """The provider's result cannot be read. The job is done: fetch it again."""

    sent = "yes"
    billed = "yes"


class ShotShortfall(ResultError):
    """The device took another number of shots than was asked. What it returned is in the ledger."""


class StorageError(QimgError):
    """Disk full, read-only, or not a place that can be written."""


class LedgerError(QimgError):
    """The record cannot be read or written."""


class LedgerBusy(LedgerError):
    """Another process writes this ledger: a log has one writer."""


class LedgerCorrupt(LedgerError):
    """The log does not agree with itself; the message names the first bad entry."""


class ReplayMismatch(LedgerError):
    """A re-run gave something else; the message names the first difference."""


class OutsideMemoryError(LedgerError):
    """A witness, time-stamp service or archive did not keep a head; the log itself is as it was. Ask again."""


class FallbackExhausted(ExceptionGroup[QimgError]):
    """Every backend of the chain failed; holds one error per backend."""
