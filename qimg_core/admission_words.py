"""The closed words of an admission decision (floor 3; imports nothing of qimg).

Each enumeration has ``unstated`` where a fact may be missing; it satisfies nothing.
"""

from __future__ import annotations

import enum

UNSTATED = "unstated"


class Activity(enum.StrEnum):
    """What a run is for."""

    EXECUTE = "execute"
    TRAIN = "train"
    GENERATE = "generate"
    REPLAY = "replay"


class Sensitivity(enum.StrEnum):
    """Class of the data that a run touches."""

    UNSTATED = "unstated"
    PUBLIC = "public"
    SYNTHETIC = "synthetic"
    INTERNAL = "internal"
    CONFIDENTIAL = "confidential"
    PERSONAL = "personal"
    SPECIAL = "special"  # special categories of personal data: health, biometrics, belief


class Purpose(enum.StrEnum):
    """What the images or weights are made for."""

    UNSTATED = "unstated"
    RESEARCH = "research"
    EDUCATION = "education"
    PROTOTYPE = "prototype"
    EVALUATION = "evaluation"
    PUBLICATION = "publication"
    PERSONALISATION = "personalisation"
    PRODUCTION = "production"


class Consent(enum.StrEnum):
    """Of the people whose data it is."""

    UNSTATED = "unstated"
    NOT_NEEDED = "not_needed"
    GIVEN = "given"
    WITHDRAWN = "withdrawn"


class Region(enum.StrEnum):
    """Where a device computes, or where data must stay."""

    UNSTATED = "unstated"
    LOCAL = "local"
    EU = "eu"
    UK = "uk"
    CH = "ch"
    US = "us"
    CA = "ca"
    JP = "jp"
    AU = "au"
    IN = "in"
    CN = "cn"
    OTHER = "other"


class ExportClass(enum.StrEnum):
    """Export control of what is sent."""

    UNSTATED = "unstated"
    NOT_CONTROLLED = "not_controlled"
    DUAL_USE = "dual_use"
    CONTROLLED = "controlled"


class DeviceClass(enum.StrEnum):
    """What computes."""

    UNSTATED = "unstated"
    SIMULATOR = "simulator"  # in this process
    LOCAL_FAKE = "local_fake"  # a provider's stand-in on this machine
    REMOTE_SIMULATOR = "remote_simulator"
    QPU = "qpu"
    SURROGATE = "surrogate"


class TrustZone(enum.StrEnum):
    """How far the data travels."""

    UNSTATED = "unstated"
    PROCESS = "process"
    MACHINE = "machine"
    ORGANISATION = "organisation"
    OUTSIDE = "outside"


class RiskTier(enum.StrEnum):
    """How much depends on the result."""

    UNSTATED = "unstated"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Currency(enum.StrEnum):
    """Unit of the cost. Micro-units: a millionth of it."""

    UNSTATED = "unstated"
    USD = "USD"
    EUR = "EUR"
    GBP = "GBP"
    CREDITS = "credits"
    QPU_SECONDS = "qpu_seconds"


class Recorded(enum.StrEnum):
    """How much of the run is recorded: `Session`'s profile."""

    FULL = "full"
    LIGHT = "light"


class Manifest(enum.StrEnum):
    """State of the dataset's signed manifest."""

    UNSTATED = "unstated"
    NOT_NEEDED = "not_needed"
    UNSIGNED = "unsigned"
    VERIFIED = "verified"
    FAILED = "failed"


class Approval(enum.StrEnum):
    """What somebody may approve."""

    COST = "cost"
    DATA = "data"
    EXPORT = "export"
    ETHICS = "ethics"
    PRODUCTION = "production"
    SECURITY = "security"


class Obligation(enum.StrEnum):
    """What must hold after an admitted run, or its images are withheld."""

    C2PA = "c2pa"
    WATERMARK = "watermark"
    LABEL = "label"
    OUTSIDE_MEMORY = "outside_memory"
    FULL_RECORD = "full_record"
