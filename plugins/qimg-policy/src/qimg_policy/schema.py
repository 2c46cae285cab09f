"""The Cedar schema of an admission request (imports admission words, settings).

It is made from the enumerations and the bundle's providers, so that a policy can name no word that an input cannot
have, and an input can have no word that is not declared. Enumerated entity types: Cedar RFC 53.
"""

from __future__ import annotations

import enum
import json
import types
import typing
from typing import TYPE_CHECKING, Any

from attrs import fields

from qimg_core.admission_input import AdmissionInput
from qimg_core.admission_words import Activity, Approval

if TYPE_CHECKING:
    from qimg_policy.settings import Settings

TYPES: dict[str, Any] = typing.get_type_hints(AdmissionInput)
LEFT_OUT = ("activity", "waived")
"""The activity is the Cedar action; waivers are the kernel's business."""


def _cedar_type(name: str) -> str:
    kind = TYPES[name]
    if name == "provider":
        return "Provider"
    if name == "approvals":
        return "Set<Approval>"
    if isinstance(kind, types.UnionType):
        return "Long"
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind.__name__
    return {bool: "Bool", int: "Long", str: "String"}[kind]


CEDAR_TYPES = {a.name: _cedar_type(a.name) for a in fields(AdmissionInput) if a.name not in LEFT_OUT}
"""Field of the context -> its Cedar type."""

OPTIONAL = frozenset(name for name in CEDAR_TYPES if isinstance(TYPES[name], types.UnionType))
"""Fields that are absent where they are not known: a policy asks ``context has cost_micro`` first, or is refused."""


def schema_text(settings: Settings) -> str:
    """``schema.cedarschema`` of a bundle."""
    kinds = {k.__name__: k for k in TYPES.values() if isinstance(k, type) and issubclass(k, enum.Enum)}
    kinds = {**kinds, "Approval": Approval}
    kinds.pop("Activity")
    lines = [
        "// Made by `qimg policy init`; after a change of policy.toml: `qimg policy lint --write-schema`.",
        *(f"entity {name} enum {_words(kinds[name])};" for name in sorted(kinds)),
        f"entity Provider enum {_words(settings.providers)};",
        "entity Run;",
        "entity Device;",
        "",
        f"action {', '.join(json.dumps(str(a)) for a in Activity)} appliesTo {{",
        "  principal: [Run],",
        "  resource: [Device],",
        "  context: {",
        *(f"    {name}{'?' if name in OPTIONAL else ''}: {kind}," for name, kind in CEDAR_TYPES.items()),
        "  },",
        "};",
    ]
    return "\n".join(lines) + "\n"


def _words(words: object) -> str:
    return json.dumps([str(w) for w in words])  # type: ignore[attr-defined]


def cedar_context(given: AdmissionInput) -> dict[str, Any]:
    """The context of a Cedar request: words as entities, unknown numbers absent."""
    found: dict[str, Any] = {}
    for name, kind in CEDAR_TYPES.items():
        value = getattr(given, name)
        if value is None:
            continue
        if kind == "Set<Approval>":
            found[name] = [{"__entity": {"type": "Approval", "id": str(v)}} for v in value]
        elif kind in ("Bool", "Long", "String"):
            found[name] = value
        else:
            found[name] = {"__entity": {"type": kind, "id": str(value)}}
    return found


__all__ = ["CEDAR_TYPES", "OPTIONAL", "cedar_context", "schema_text"]
