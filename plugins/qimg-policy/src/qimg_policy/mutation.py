"""Mutants of a policy: does a test notice that a rule was weakened? (imports cases, cedar, rules)

One change each: a rule deleted, a comparison flipped or moved by one, a conjunction made a disjunction, a negation
dropped, a control no longer mandatory. A mutant that Cedar's validator refuses is not counted. One that no case
notices survives: a rule that nobody tests.
"""

from __future__ import annotations

import copy
import json
import re
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from qimg_core.errors import ConfigurationError
from qimg_policy.bundle import SETTINGS, Bundle
from qimg_policy.cases import read_cases, run_case
from qimg_policy.cedar import CedarEngine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_SWAPS: dict[str, tuple[str, ...]] = {
    "==": ("!=",),
    "!=": ("==",),
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "&&": ("||",),
    "||": ("&&",),
}


@frozen(kw_only=True)
class Mutant:
    """One change. ``killed_by``: the first case that noticed; None: it survived."""

    what: str
    killed_by: str | None


def mutate(bundle: Bundle) -> tuple[Mutant, ...]:
    """Make every mutant and run the bundle's cases against it.

    Raises:
        ConfigurationError: the bundle is malformed, has no Cedar policies, or its own cases fail.
    """
    if bundle.settings.engine.kind != "cedar":
        raise ConfigurationError("mutants are made of Cedar policies; this bundle asks a policy server")
    bundle.check()
    engine, cases = CedarEngine(bundle), read_cases(bundle)
    if wrong := [o for c in cases if (o := run_case(engine, bundle, c)).problem]:
        raise ConfigurationError(f"the bundle's own case fails: {wrong[0].case.name}: {wrong[0].problem}")
    found = []
    for what, mutant in [*_of_rules(bundle), *_of_settings(bundle)]:
        if not _valid(mutant):
            continue
        weakened = CedarEngine(mutant)
        killer = next((c.name for c in cases if run_case(weakened, mutant, c).problem), None)
        found.append(Mutant(what=what, killed_by=killer))
    return tuple(found)


def _valid(bundle: Bundle) -> bool:
    try:
        bundle.check()
        bundle.check_policies()
    except ConfigurationError:
        return False
    return True


def _of_settings(bundle: Bundle) -> Iterator[tuple[str, Bundle]]:
    text = bundle.files[SETTINGS]
    mandatory = bundle.settings.mandatory
    for control in mandatory if len(mandatory) > 1 else ():
        left = json.dumps([c for c in mandatory if c != control])
        waivable = json.dumps([c for c in bundle.settings.waivable if c != control])
        changed = re.sub(r"(?ms)^mandatory = \[.*?\]", f"mandatory = {left}", text, count=1)
        changed = re.sub(r"(?ms)^waivable = \[.*?\]", f"waivable = {waivable}", changed, count=1)
        if changed != text:
            yield f"{control}: not mandatory", Bundle({**bundle.files, SETTINGS: changed})


def _of_rules(bundle: Bundle) -> Iterator[tuple[str, Bundle]]:
    rules = bundle.rules
    for i, rule in enumerate(rules):
        others = [r.body for k, r in enumerate(rules) if k != i]
        yield f"{rule.id}: deleted", _with(bundle, others)
        for what, body in _bodies(rule.body):
            yield (
                f"{rule.id}: {what}",
                _with(bundle, [*[r.body for r in rules[:i]], body, *[r.body for r in rules[i + 1 :]]]),
            )


def _with(bundle: Bundle, bodies: list[Any]) -> Bundle:
    import cedarpy

    document = {
        "templates": {},
        "staticPolicies": {f"policy{i:04}": b for i, b in enumerate(bodies)},
        "templateLinks": [],
    }
    text = cedarpy.policies_from_json_str(json.dumps(document))
    kept = {name: t for name, t in bundle.files.items() if not name.endswith(".cedar")}
    return evolve(bundle, files={**kept, "mutant.cedar": text})


def _bodies(body: Any) -> Iterator[tuple[str, Any]]:
    """Every body with one place changed."""
    conditions = len(body.get("conditions", []))
    if conditions:
        yield "its condition dropped", {**body, "conditions": []}
    for k in range(conditions):
        for what, change in _places(body["conditions"][k]["body"]):
            changed = copy.deepcopy(body)
            changed["conditions"][k]["body"] = change(changed["conditions"][k]["body"])
            yield what, changed


def _places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    if isinstance(node, dict):
        for op, value in node.items():
            for other in _SWAPS.get(op, ()):
                yield f"{op} became {other} in {_show(node)}", _setter(path, {other: value})
            if op == "!":
                yield f"! dropped in {_show(node)}", _setter(path, value["arg"])
            if op == "Value" and type(value) is int:
                yield f"{value} became {value + 1}", _setter(path, {"Value": value + 1})
            yield from _places(value, (*path, op))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _places(value, (*path, i))


def _setter(path: tuple[Any, ...], new: Any) -> Callable[[Any], Any]:
    def change(body: Any) -> Any:
        if not path:
            return new
        place = body
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = new
        return body

    return change


def _show(node: Any) -> str:
    """A few words of an expression: its attributes and values."""
    words = re.findall(r'"(?:attr|id)": ?"([^"]+)"|"Value": ?(\d+)', json.dumps(node))
    return " ".join(a or b for a, b in words)[:60]
