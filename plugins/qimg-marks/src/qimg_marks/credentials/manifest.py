"""The C2PA manifest of a marking record, as the JSON definition that c2pa-python takes (imports record).

C2PA Technical Specification 2.x: "Actions" (c2pa.actions.v2; the first action is created or opened),
"Soft binding"; digital source types are IPTC's; `cawg.training-mining` is CAWG's assertion. Our own is
`org.qimg.provenance`: the marking record as it is, with the place in the ledger that proves it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_marks.record import MarkingRecord

PROVENANCE = "org.qimg.provenance"
SOFT_BINDING = "c2pa.soft-binding"
ACTIONS = "c2pa.actions.v2"
_IPTC = "http://cv.iptc.org/newscodes/digitalsourcetype/"
SOURCE_TYPES = {
    "generated": _IPTC + "trainedAlgorithmicMedia",
    "manipulated": _IPTC + "compositeWithTrainedAlgorithmicMedia",
}
PARENT = "parent"

Training = Literal["notAllowed", "allowed", "constrained"]


@frozen(kw_only=True)
class SoftBinding:
    """A mark or fingerprint by which stripped credentials are found again.

    Args:
        alg: its name; ours are private, they are not in C2PA's list of algorithms.
        value: hexadecimal.
        watermark: it is in the pixels, and not only computed from them.
    """

    alg: str
    value: str = field(repr=False)
    watermark: bool = False


def manifest(
    record: MarkingRecord,
    *,
    bindings: Sequence[SoftBinding] = (),
    label: str = "",
    parent: bool = False,
    training: Training = "notAllowed",
) -> dict[str, Any]:
    """The definition of the manifest.

    Args:
        record: what is said.
        bindings: soft bindings that were made.
        label: words of the visible label; empty where there is none.
        parent: the picture was made from another, or carries credentials already: they stay as an ingredient.
        training: whether others may train on the image.
    """
    agent = {"name": record.system, "version": record.version}
    kind = SOURCE_TYPES[record.origin]
    if parent:
        actions: list[dict[str, Any]] = [
            {"action": "c2pa.opened", "parameters": {"ingredientIds": [PARENT]}},
            {"action": "c2pa.edited", "digitalSourceType": kind, "softwareAgent": agent},
        ]
    else:
        actions = [{"action": "c2pa.created", "digitalSourceType": kind, "softwareAgent": agent}]
    actions[-1]["when"] = record.time
    if label:
        actions.append({"action": "c2pa.edited", "description": f"visible label: {label}"})
    if any(b.watermark for b in bindings):
        actions.append({"action": "c2pa.watermarked.bound"})
    assertions: list[dict[str, Any]] = [
        {"label": ACTIONS, "data": {"actions": actions}},
        {"label": PROVENANCE, "data": _without_none(record.to_json())},
        {"label": "cawg.training-mining", "data": {"entries": {"cawg.ai_training": {"use": training}}}},
    ]
    assertions += [
        {"label": SOFT_BINDING, "data": {"alg": b.alg, "blocks": [{"scope": {}, "value": b.value}]}} for b in bindings
    ]
    return {
        "claim_generator_info": [{"name": "qimg-marks", "version": _version()}],
        "title": record.unique_id,
        "assertions": assertions,
    }


def _without_none(document: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in document.items() if v not in (None, "")}


def _version() -> str:
    from importlib.metadata import version

    return version("qimg-marks")
