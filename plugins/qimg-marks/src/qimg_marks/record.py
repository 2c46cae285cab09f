"""`MarkingRecord`: the one description of an image that feeds every layer of marks (imports qimg_core.errors).

What four rules ask for, in one place: EU AI Act Art. 50(2) and its Code of Practice (generated or
manipulated, an identifier that layers share, how to reach the detector), California SB 942 (provider,
system and version, time, unique id), China GB 45438-2025 (the AIGC block), C2PA (a claim generator and
a source type). It holds nothing personal: a provider is an organisation.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Any, Literal

from attrs import asdict, field, frozen

from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from attrs import Attribute

SCHEMA = "qimg.mark/1"
LONGEST = 200
"""Characters of a text of the record."""

NOT_STATED = "version not stated"
"""Version of a system that nobody states."""

Origin = Literal["generated", "manipulated"]
Quantum = Literal["hardware", "simulated", "none", "unknown"]

QUANTUM_WORDS = {
    "hardware": "made with a circuit on quantum hardware",
    "simulated": "made with a quantum circuit that a classical computer simulated",
    "none": "made without a quantum circuit",
    "unknown": "nothing is recorded about a quantum circuit",
}
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?Z")
_PERSONAL = re.compile(r"\S+@\S+\.\S+")


def _text(instance: Any, attribute: Attribute[str], value: Any) -> None:
    name = attribute.name
    if not isinstance(value, str) or len(value) > LONGEST or not value.isprintable():
        raise ConfigurationError(
            f"{name} is printable text of up to {LONGEST} characters, got {str(value)[:40]!r}",
            hint="shorten it, and leave out line breaks",
        )
    if _PERSONAL.search(value):
        raise ConfigurationError(
            f"{name} holds a mail address; a mark holds nothing personal", hint="name the organisation"
        )


def _needed(instance: Any, attribute: Attribute[str], value: Any) -> None:
    _text(instance, attribute, value)
    if not value.strip():
        raise ConfigurationError(f"{attribute.name} is empty", hint="qimg mark --help")


def _among(*values: str) -> Any:
    def check(instance: Any, attribute: Attribute[str], value: Any) -> None:
        if value not in values:
            raise ConfigurationError(f"{attribute.name} is one of {', '.join(values)}, got {value!r}")

    return check


def _when(instance: Any, attribute: Attribute[str], value: Any) -> None:
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ConfigurationError(f"time is RFC 3339 in UTC such as 2026-11-21T09:30:00Z, got {value!r}")
    try:
        dt.datetime.fromisoformat(value)
    except ValueError as error:
        raise ConfigurationError(f"time {value!r} does not exist: {error}") from error


@frozen(kw_only=True)
class Place:
    """Where a ledger describes the image.

    Args:
        log: the log's name.
        run: the run that made it.
        entry: number of its ``images.made`` entry.
        leaf: Merkle leaf hash of that entry, 64 hexadecimal digits.
        checkpoint: ``sha256:`` of the first signed head over it; empty where none covers it yet.
        pixels: ``sha256:`` of the recorded pixels.
    """

    log: str
    run: str
    entry: int
    leaf: str
    checkpoint: str = ""
    pixels: str


@frozen(kw_only=True)
class Aigc:
    """The AIGC block of GB 45438-2025, under the standard's own field names in `to_json`.

    Args:
        label: "1" generated, "2" possibly, "3" suspected.
        producer: name or code of who generated it; an organisation.
        produce_id: its number there.
        propagator, propagate_id: the same of who spreads it, where known.
        reserved1, reserved2: for hashes and agreements between services.
    """

    label: Literal["1", "2", "3"] = field(default="1", validator=_among("1", "2", "3"))
    producer: str = field(validator=_needed)
    produce_id: str = field(validator=_needed)
    reserved1: str = field(default="", validator=_text)
    propagator: str = field(default="", validator=_text)
    propagate_id: str = field(default="", validator=_text)
    reserved2: str = field(default="", validator=_text)

    def to_json(self) -> dict[str, str]:
        """Label, ContentProducer, ProduceID, ReservedCode1, ContentPropagator, PropagateID, ReservedCode2."""
        return {
            "Label": self.label,
            "ContentProducer": self.producer,
            "ProduceID": self.produce_id,
            "ReservedCode1": self.reserved1,
            "ContentPropagator": self.propagator,
            "PropagateID": self.propagate_id,
            "ReservedCode2": self.reserved2,
        }

    def text(self) -> str:
        """The block as the value of the metadata field ``AIGC``."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":"))


@frozen(kw_only=True)
class MarkingRecord:
    """What every layer says about one image.

    Args:
        origin: made by a model, or made from a picture and changed.
        provider: the organisation that answers for it.
        system: the model.
        version: its version.
        time: RFC 3339, UTC: when the image was made, or marked where that is not known.
        unique_id: leaf of its ledger entry and place in it, else the digest of its pixels; see `unique_id`.
        detector: where anybody can check, an address or a command.
        quantum: what was quantum about it.
        model: digest of the weights; empty where not known.
        licence: of the image, e.g. CC-BY-4.0; empty where not stated.
        place: where a ledger describes it.
        aigc: the block that China asks for.

    Raises:
        ConfigurationError: too long, not printable, or a mail address in it.
    """

    origin: Origin = field(default="generated", validator=_among("generated", "manipulated"))
    provider: str = field(validator=_needed)
    system: str = field(validator=_needed)
    version: str = field(validator=_needed)
    time: str = field(validator=_when)
    unique_id: str = field(validator=_needed)
    detector: str = field(default="qimg inspect", validator=_needed)
    quantum: Quantum = field(default="unknown", validator=_among(*QUANTUM_WORDS))
    model: str = field(default="", validator=_text)
    licence: str = field(default="", validator=_text)
    place: Place | None = None
    aigc: Aigc | None = None

    def to_json(self) -> dict[str, Any]:
        """For the ledger and the credentials: texts, integers and None only."""
        document = asdict(self)
        document["aigc"] = None if self.aigc is None else self.aigc.to_json()
        return {"schema": SCHEMA, **document}


def unique_id(place: Place | None, pixels: str, index: int | None = None) -> str:
    """``LEAF`` or ``LEAF#INDEX`` of an image that a ledger describes, else the digest of its pixels.

    Args:
        place: where a ledger describes it.
        pixels: ``sha256:`` of the picture's pixels before it is marked.
        index: which image of the entry, where it is one of several.
    """
    if place is None:
        return pixels
    return place.leaf if index is None else f"{place.leaf}#{index}"
