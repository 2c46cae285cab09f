"""An OpenFeature provider over the flags that a log uses (imports openfeature-sdk, state).

Boolean flags say whether the quantum path is served, text flags its name (``on`` or ``off``), object flags the settings
of the path. The targeting key is the subject; the attribute ``cohorts`` is what the subject opted in to. Whatever goes
wrong, the answer is the caller's default with an error code: keep the default classical.
Specification: openfeature.dev/specification, provider 0.8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagResolutionDetails, Reason
from openfeature.provider import AbstractProvider, Metadata

from qimg_core.errors import QimgError, UnknownName
from qimg_rollout.state import Served, decide, in_use

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from openfeature.evaluation_context import EvaluationContext
    from openfeature.flag_evaluation import FlagValueType

    from qimg_core.ledger.base import Ledger

T = TypeVar("T")


class LedgerProvider(AbstractProvider):
    """Flags of a ledger.

    Args:
        ledger: open for reading at least; it is read at every evaluation, so a rollback counts at once.
        key: the cohort key.
    """

    def __init__(self, ledger: Ledger, key: bytes | None = None) -> None:
        super().__init__()
        self._ledger, self._key = ledger, key

    def get_metadata(self) -> Metadata:
        return Metadata(name="qimg ledger")

    def resolve_boolean_details(
        self, flag_key: str, default_value: bool, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[bool]:
        return self._resolve(flag_key, default_value, evaluation_context, lambda s: s.variant == "on")

    def resolve_string_details(
        self, flag_key: str, default_value: str, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[str]:
        return self._resolve(flag_key, default_value, evaluation_context, lambda s: s.variant)

    def resolve_object_details(
        self,
        flag_key: str,
        default_value: Sequence[FlagValueType] | Mapping[str, FlagValueType],
        evaluation_context: EvaluationContext | None = None,
    ) -> FlagResolutionDetails[Sequence[FlagValueType] | Mapping[str, FlagValueType]]:
        return self._resolve(flag_key, default_value, evaluation_context, lambda s: s.settings)

    def resolve_integer_details(
        self, flag_key: str, default_value: int, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[int]:
        return _mismatch(default_value)

    def resolve_float_details(
        self, flag_key: str, default_value: float, evaluation_context: EvaluationContext | None = None
    ) -> FlagResolutionDetails[float]:
        return _mismatch(default_value)

    def _resolve(
        self, flag: str, default: T, context: EvaluationContext | None, value: Callable[[Served], Any]
    ) -> FlagResolutionDetails[T]:
        subject = "" if context is None else context.targeting_key or ""
        cohorts = () if context is None else context.attributes.get("cohorts", ())
        if not isinstance(cohorts, (list, tuple)):
            return _error(default, ErrorCode.INVALID_CONTEXT, "cohorts: wanted a list of names")
        try:
            found = in_use(self._ledger)
            if found is None:
                return FlagResolutionDetails(value=default, reason=Reason.DEFAULT)
            served = decide(found, flag, subject=subject, cohorts=[str(c) for c in cohorts], key=self._key)
        except UnknownName as error:
            return _error(default, ErrorCode.FLAG_NOT_FOUND, error.message)
        except QimgError as error:
            return _error(default, ErrorCode.GENERAL, error.message)
        return FlagResolutionDetails(
            value=value(served),
            variant=served.variant,
            reason=_reason(served),
            flag_metadata={"why": served.reason, "version": found.flags.version, "entry": found.entry},
        )


def _reason(served: Served) -> Reason:
    if served.reason in ("the flag is off", "the canary was not started") or served.reason.startswith("rolled back"):
        return Reason.DISABLED
    if served.reason == "the flag is on":
        return Reason.STATIC
    return Reason.TARGETING_MATCH if served.reason == "not opted in" else Reason.SPLIT


def _mismatch(default: T) -> FlagResolutionDetails[T]:
    return _error(default, ErrorCode.TYPE_MISMATCH, "a flag is boolean, a text or an object")


def _error(default: T, code: ErrorCode, message: str) -> FlagResolutionDetails[T]:
    return FlagResolutionDetails(value=default, reason=Reason.ERROR, error_code=code, error_message=message)
