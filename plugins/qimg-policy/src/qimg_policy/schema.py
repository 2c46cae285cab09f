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
from qimg_policy.settings import Environment

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from qimg_policy.settings import Settings

TYPES: dict[str, Any] = typing.get_type_hints(AdmissionInput)
LEFT_OUT = ("activity", "waived")
"""The activity is the Cedar action; waivers are the kernel's business."""

ENVIRONMENT = "environment"
"""A fact of the bundle, not of the plan. It is in the schema of a bundle that names its environment."""


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


def context_types(settings: Settings, facts: Collection[str] | None = None) -> dict[str, str]:
    """Fields of a bundle's context and their Cedar types; ``facts`` keeps only those."""
    named = settings.environment is not Environment.UNNAMED
    types = {**CEDAR_TYPES, **({ENVIRONMENT: "Environment"} if named else {})}
    return types if facts is None else {name: kind for name, kind in types.items() if name in facts}


def schema_text(settings: Settings, facts: Collection[str] | None = None) -> str:
    """``schema.cedarschema`` of a bundle.

    Args:
        settings: of the bundle.
        facts: only these in the context. A policy file's schema has all of them; the engine checks those that its
            rules read, as most of a decision's time goes into the context.
    """
    context = context_types(settings, facts)
    kinds = {k.__name__: k for k in TYPES.values() if isinstance(k, type) and issubclass(k, enum.Enum)}
    kinds = {**kinds, "Approval": Approval}
    kinds.pop("Activity")
    if ENVIRONMENT in context:
        kinds["Environment"] = Environment
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
        *(f"    {name}{'?' if name in OPTIONAL else ''}: {kind}," for name, kind in context.items()),
        "  },",
        "};",
    ]
    return "\n".join(lines) + "\n"


def _words(words: object) -> str:
    return json.dumps([str(w) for w in words])  # type: ignore[attr-defined]


def cedar_context(
    given: AdmissionInput, types: Mapping[str, str] = CEDAR_TYPES, environment: str = Environment.UNNAMED
) -> dict[str, Any]:
    """The context of a Cedar request: words as entities, unknown numbers absent.

    Args:
        given: the plan.
        types: of `context_types`.
        environment: of the bundle.
    """
    found: dict[str, Any] = {}
    for name, kind in types.items():
        value = environment if name == ENVIRONMENT else getattr(given, name)
        if value is None:
            continue
        if kind == "Set<Approval>":
            found[name] = [{"type": "Approval", "id": str(v)} for v in value]
        elif kind in ("Bool", "Long", "String"):
            found[name] = value
        else:
            found[name] = {"type": kind, "id": str(value)}
    return found


__all__ = ["CEDAR_TYPES", "OPTIONAL", "cedar_context", "context_types", "schema_text"]
