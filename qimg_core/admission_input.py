"""`AdmissionInput`: everything that a policy decides by (floor 3; imports errors, admission_words).

It is closed: every word comes from an enumeration, every number is a bounded integer, and a field that is not known
here is refused. What nobody stated is ``unstated``, which satisfies nothing.
"""

from __future__ import annotations

import enum
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import field, fields, frozen

from qimg_core.admission_words import (
    UNSTATED,
    Activity,
    Approval,
    Consent,
    Currency,
    DeviceClass,
    ExportClass,
    Manifest,
    Purpose,
    Recorded,
    Region,
    RiskTier,
    Sensitivity,
    TrustZone,
)
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.job import JSON

SCHEMA = "qimg.admission/1"
LARGEST = 10**15
"""Bound of every integer, so that sums and small products of such numbers stay within 64 bits."""

_BACKEND = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/@+-]{0,99}")
_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_E = TypeVar("_E", bound=enum.StrEnum)


def _refuse(name: str, wanted: str, value: object) -> ConfigurationError:
    shown = repr(value)
    return ConfigurationError(f"{name}: wanted {wanted}, got {shown if len(shown) <= 80 else shown[:77] + '...'}")


def _word(kind: type[_E]) -> Any:
    """A field of one enumeration: a member, or its exact word."""

    def check(instance: object, attribute: Any, value: object) -> None:
        if type(value) is not kind:
            raise _refuse(attribute.name, f"one of {', '.join(kind)}", value)

    def convert(value: object) -> object:
        known = kind._value2member_map_
        return known[value] if type(value) is str and value in known else value

    return field(converter=convert, validator=check, metadata={"words": kind})


def _number(*, optional: bool = False) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if optional and value is None:
            return
        if type(value) is not int or not 0 <= value <= LARGEST:
            raise _refuse(attribute.name, f"an integer from 0 to {LARGEST}", value)

    return field(validator=check)


def _text(pattern: re.Pattern[str], wanted: str) -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if type(value) is not str or not pattern.fullmatch(value):
            raise _refuse(attribute.name, wanted, value)

    return field(validator=check)


def _digest() -> Any:
    return _text(re.compile(rf"{UNSTATED}|{_DIGEST.pattern}"), f"sha256:<64 hex digits> or {UNSTATED}")


def _approvals() -> Any:
    def convert(value: object) -> object:
        if type(value) not in (list, tuple):
            return value
        assert isinstance(value, (list, tuple))
        known = Approval._value2member_map_
        return tuple(known[v] if type(v) is str and v in known else v for v in value)

    def check(instance: object, attribute: Any, value: object) -> None:
        good = type(value) is tuple and all(type(v) is Approval for v in value) and list(value) == sorted(set(value))
        if not good:
            raise _refuse(attribute.name, f"a sorted list of {', '.join(Approval)}, each once", value)

    return field(converter=convert, validator=check, metadata={"words": Approval})


def _waived() -> Any:
    def convert(value: object) -> object:
        return tuple(value) if type(value) is list else value

    def check(instance: object, attribute: Any, value: object) -> None:
        good = type(value) is tuple and all(type(v) is str and _NAME.fullmatch(v) for v in value)
        if not good or list(value) != sorted(set(value)):  # type: ignore[call-overload]
            raise _refuse(attribute.name, "a sorted list of control ids, each once", value)

    return field(converter=convert, validator=check)


def _flag() -> Any:
    def check(instance: object, attribute: Any, value: object) -> None:
        if type(value) is not bool:
            raise _refuse(attribute.name, "true or false", value)

    return field(validator=check)


@frozen(kw_only=True)
class AdmissionInput:
    """Everything that a policy decides by, typed and closed.

    Args:
        activity, purpose, sensitivity, consent, export_class, risk_tier: see the enumerations.
        data_region: where the data must stay, as the caller states it.
        backend: name of the device.
        provider: who runs it: ``here`` for this process, ``unlisted``, or a name of the bundle's device table.
        provider_approved: the table says so.
        device, zone, region: what computes, how far the data travels, where it is computed.
        cost_micro: upper bound of the cost in millionths of ``currency``, rounded up; None where it is not known.
        currency: of the cost.
        shots, jobs, rows: upper bounds of the plan.
        recorded: how much of the run is recorded.
        dataset, weights: digests, or ``unstated``.
        manifest: state of the dataset's manifest.
        approvals: what was approved for this class of plan, verified.
        waived: control ids that are waived for it, verified.
    """

    activity: Activity = _word(Activity)
    purpose: Purpose = _word(Purpose)
    sensitivity: Sensitivity = _word(Sensitivity)
    consent: Consent = _word(Consent)
    export_class: ExportClass = _word(ExportClass)
    risk_tier: RiskTier = _word(RiskTier)
    data_region: Region = _word(Region)
    backend: str = _text(_BACKEND, "a device's name")
    provider: str = _text(_NAME, "a provider's name in lower case")
    provider_approved: bool = _flag()
    device: DeviceClass = _word(DeviceClass)
    zone: TrustZone = _word(TrustZone)
    region: Region = _word(Region)
    cost_micro: int | None = _number(optional=True)
    currency: Currency = _word(Currency)
    shots: int = _number()
    jobs: int = _number()
    rows: int = _number()
    recorded: Recorded = _word(Recorded)
    dataset: str = _digest()
    manifest: Manifest = _word(Manifest)
    weights: str = _digest()
    approvals: tuple[Approval, ...] = _approvals()
    waived: tuple[str, ...] = _waived()

    @classmethod
    def read(cls, document: object) -> AdmissionInput:
        """From a JSON document with exactly these fields.

        Raises:
            ConfigurationError: no object, a field missing or foreign, or a value outside its enumeration or bounds.
        """
        if type(document) is not dict:
            raise _refuse("input", "a JSON object", document)
        assert isinstance(document, dict)
        names = set(INPUT_FIELDS)
        foreign = sorted(repr(k) for k in document if k not in names)
        missing = sorted(names - set(document))
        if foreign or missing:
            found = [f"unknown {', '.join(foreign[:5])}"] if foreign else []
            found += [f"missing {', '.join(missing[:5])}"] if missing else []
            raise ConfigurationError(f"the fields of a policy's input: {'; '.join(found)}")
        for name in ("approvals", "waived"):
            if type(document[name]) is not list:  # JSON has no tuples
                raise _refuse(name, "a list", document[name])
        return cls(**document)

    def to_json(self) -> dict[str, JSON]:
        """Plain strings, integers, booleans and lists; `read` takes it back."""
        found: dict[str, JSON] = {}
        for name in INPUT_FIELDS:
            value = getattr(self, name)
            found[name] = (
                [str(v) for v in value]
                if isinstance(value, tuple)
                else (str(value) if isinstance(value, enum.Enum) else value)
            )
        return found

    @property
    def leaves_machine(self) -> bool:
        """Anything but this process and this machine, what nobody stated included."""
        return self.zone not in (TrustZone.PROCESS, TrustZone.MACHINE)

    @property
    def digest(self) -> str:
        """``sha256:`` of the canonical document."""
        return _sha256(self.to_json())

    @property
    def class_digest(self) -> str:
        """``sha256:`` of the kind of plan: without sizes, cost, approvals and waivers. What an approval names."""
        left = {*BOUNDED, "approvals", "waived"}
        return _sha256({k: v for k, v in self.to_json().items() if k not in left})


BOUNDED = ("cost_micro", "shots", "jobs", "rows")
"""The integers, which an approval bounds."""

INPUT_FIELDS = tuple(a.name for a in fields(AdmissionInput))


def _sha256(document: object) -> str:
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))  # ASCII without floats: the RFC 8785 form
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()
