"""`Rule`: what a policy says of itself in its annotations (imports errors, settings; cedarpy inside functions).

``@id`` names it, ``@reason`` says why it is there, ``@satisfy`` what would satisfy it, ``@approval`` which approval
lifts it, ``@obligation`` what holds afterwards. A permit is a *control*: where its id is mandatory, it has to be
satisfied. A forbid refuses.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from attrs import frozen

from qimg_core.admission_words import Approval, Obligation
from qimg_core.errors import ConfigurationError
from qimg_policy.toml_table import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

ANNOTATIONS = ("id", "reason", "satisfy", "approval", "obligation")


@frozen(kw_only=True)
class Rule:
    """One policy.

    Args:
        id: unique in its bundle.
        effect: permit (a control) or forbid.
        reason: why it is there.
        satisfy: what would satisfy it.
        approval: the approval that lifts it, or None.
        obligations: of an admitted plan for which it is satisfied.
        body: Cedar's JSON form.
    """

    id: str
    effect: Literal["permit", "forbid"]
    reason: str
    satisfy: str
    approval: Approval | None
    obligations: tuple[Obligation, ...]
    body: Any


def read_rules(text: str) -> tuple[Rule, ...]:
    """The rules of Cedar policies, in their order: rule 0 is what Cedar calls ``policy0``.

    Raises:
        ConfigurationError: no Cedar, a template, or an annotation missing, foreign or malformed.
    """
    import cedarpy

    try:
        document = json.loads(cedarpy.policies_to_json_str(text))
    except ValueError as error:
        raise ConfigurationError(f"the policies are no Cedar: {str(error)[:500]}") from error
    if document.get("templates") or document.get("templateLinks"):
        raise ConfigurationError("the policies hold a template (?principal, ?resource): write static policies")
    static = document["staticPolicies"]
    rules = tuple(_rule(static[f"policy{i}"]) for i in range(len(static)))
    ids = [r.id for r in rules]
    if twice := sorted({i for i in ids if ids.count(i) > 1}):
        raise ConfigurationError(f"two policies have the id {', '.join(twice)}")
    return rules


def facts_read(rules: Iterable[Rule]) -> frozenset[str] | None:
    """The fields of the context that rules read; None where that cannot be told, so that all may be read.

    It can be told where every mention of the context is ``context.field`` or ``context has field``, in Cedar's JSON
    form (docs.cedarpolicy.com, "JSON policy format"). A field that were missed fails the evaluation of its rule,
    which refuses.
    """
    found: set[str] = set()
    return frozenset(found) if all(_reads(rule.body.get("conditions", []), found) for rule in rules) else None


def _reads(node: Any, found: set[str]) -> bool:
    if isinstance(node, list):
        return all(_reads(n, found) for n in node)
    if not isinstance(node, dict):
        return True
    if node.get("Var") == "context":
        return False
    for op, value in node.items():
        if op == "Record":  # its keys are an author's words, and not operators
            if not _reads(list(value.values()), found):
                return False
        elif op in (".", "has") and isinstance(value, dict) and value.get("left") == {"Var": "context"}:
            if not isinstance(value.get("attr"), str):
                return False
            found.add(value["attr"])
        elif op != "Value" and not _reads(value, found):
            return False
    return True


def _rule(body: dict[str, Any]) -> Rule:
    notes: dict[str, Any] = body.get("annotations", {})
    name = notes.get("id")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigurationError(
            f"a {body['effect']} without a good @id (got {name!r})",
            hint='@id("reach"): lower case, up to 32 characters',
        )
    if foreign := sorted(set(notes) - set(ANNOTATIONS)):
        raise ConfigurationError(f"policy {name}: unknown annotation @{foreign[0]}; known: {', '.join(ANNOTATIONS)}")
    for wanted in ("reason", "satisfy"):
        if not str(notes.get(wanted) or "").strip():
            raise ConfigurationError(
                f"policy {name} has no @{wanted}", hint="every refusal says why, and what would satisfy it"
            )
    owed = [w.strip() for w in str(notes.get("obligation") or "").split(",") if w.strip()]
    if wrong := [w for w in owed if w not in tuple(Obligation)]:
        raise ConfigurationError(f"policy {name}: unknown obligation {wrong[0]}; known: {', '.join(Obligation)}")
    if owed and body["effect"] == "forbid":
        raise ConfigurationError(f"policy {name}: a forbid cannot oblige to anything")
    approval = notes.get("approval")
    if approval is not None and approval not in tuple(Approval):
        raise ConfigurationError(f"policy {name}: unknown approval {approval}; known: {', '.join(Approval)}")
    return Rule(
        id=name,
        effect=body["effect"],
        reason=notes["reason"],
        satisfy=notes["satisfy"],
        approval=None if approval is None else Approval(approval),
        obligations=tuple(Obligation(w) for w in owed),
        body=body,
    )
