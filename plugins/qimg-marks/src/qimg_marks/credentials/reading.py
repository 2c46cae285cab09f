"""Reading content credentials of any origin, without network (imports signing for the SDK and its settings)."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_marks.credentials.manifest import ACTIONS, PROVENANCE, SOFT_BINDING
from qimg_marks.credentials.signing import context, sdk

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qimg_marks.picture import Picture

State = Literal["trusted", "valid", "invalid", "absent"]


@frozen(kw_only=True)
class Credentials:
    """What a picture's credentials say, and whether they hold.

    Args:
        state: trusted: they hold and a known authority signed. valid: they hold, the signer is not known.
            invalid: the picture or the credentials were changed. absent: none.
        signer: organisation of the certificate.
        time: of a time stamp; empty where there is none.
        time_trusted: a known authority stamped it.
        sidecar: they lie beside the picture.
        source_types: what the actions say the picture is, last parts of the addresses.
        problems: codes of what does not hold (C2PA "Validation status codes").
        record: our own assertion, where there is one.
        bindings: soft bindings, algorithm to value.
        claim_generator: the program that made them.
    """

    state: State
    signer: str = ""
    time: str = ""
    time_trusted: bool = False
    sidecar: bool = False
    source_types: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    record: Mapping[str, Any] | None = field(default=None, eq=False)
    bindings: Mapping[str, str] = field(factory=dict, eq=False)
    claim_generator: str = ""


def read(picture: Picture, *, anchors: str = "") -> Credentials:
    """Read and check: those in the file, else those beside it.

    Args:
        picture: the file.
        anchors: certificates (PEM) of the authorities that count as known.

    Raises:
        PluginIncompatible: c2pa-python is not installed.
    """
    c2pa = sdk()
    found = None
    for store in (None, picture.beside or None):
        try:
            found = _read(picture, store, anchors)
        except c2pa.C2paError as error:
            return Credentials(state="invalid", problems=(_code(error),), sidecar=store is not None)
        if found is not None or not picture.beside:
            break
    return found or Credentials(state="absent")


def _read(picture: Picture, store: bytes | None, anchors: str) -> Credentials | None:
    c2pa = sdk()
    stream = io.BytesIO(picture.data)
    if store is None:
        reader = c2pa.Reader.try_create(picture.mime, stream, context=context(anchors))
    else:
        reader = c2pa.Reader(picture.mime, stream, manifest_data=store, context=context(anchors))
    if reader is None:
        return None
    with reader:
        document = json.loads(reader.json())
        state = str(reader.get_validation_state())
    active = document.get("manifests", {}).get(document.get("active_manifest"), {})
    data = {a["label"].split("__")[0]: a.get("data", {}) for a in active.get("assertions", [])}
    codes = _codes(document)
    info = active.get("signature_info", {})
    generator = (active.get("claim_generator_info") or [{}])[0]
    return Credentials(
        state={"Trusted": "trusted", "Valid": "valid"}.get(state, "invalid"),  # type: ignore[arg-type]
        signer=str(info.get("issuer", "")),
        time=str(info.get("time") or ""),
        time_trusted="timeStamp.trusted" in codes["success"],
        sidecar=store is not None,
        source_types=_source_types(data),
        problems=tuple(codes["failure"]),
        record=data.get(PROVENANCE),
        bindings=_bindings(active),
        claim_generator=f"{generator.get('name', '')} {generator.get('version', '')}".strip(),
    )


def _codes(document: dict[str, Any]) -> dict[str, list[str]]:
    results = document.get("validation_results", {}).get("activeManifest", {})
    codes = {kind: [str(item["code"]) for item in results.get(kind, [])] for kind in ("success", "failure")}
    for delta in document.get("validation_results", {}).get("ingredientDeltas") or []:
        codes["failure"] += [str(i["code"]) for i in delta.get("validationDeltas", {}).get("failure", [])]
    return codes


def _source_types(data: dict[str, Any]) -> tuple[str, ...]:
    actions = (data.get(ACTIONS) or data.get("c2pa.actions") or {}).get("actions", [])
    found = [str(a["digitalSourceType"]).rsplit("/", 1)[-1] for a in actions if a.get("digitalSourceType")]
    return tuple(dict.fromkeys(found))


def _bindings(active: dict[str, Any]) -> dict[str, str]:
    found = {}
    for assertion in active.get("assertions", []):
        if assertion["label"].split("__")[0] == SOFT_BINDING:
            data = assertion.get("data", {})
            blocks = data.get("blocks") or [{}]
            found[str(data.get("alg", ""))] = str(blocks[0].get("value", ""))
    return found


def _code(error: Exception) -> str:
    """The SDK's kind of error, without its address or bytes."""
    return str(error).split(":")[0].strip()[:80] or type(error).__name__
