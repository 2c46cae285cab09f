"""What is wrong, or doubtful, in a bundle before anything runs under it (imports bundle, cases)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_policy.cases import read_cases
from qimg_policy.settings import Environment

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_policy.bundle import Bundle
    from qimg_policy.cases import Case

    _Say = Callable[[str, str], None]


@frozen(kw_only=True)
class Remark:
    """One thing found. An ``error`` makes the bundle or a rule useless; a ``warning`` does not."""

    level: str
    where: str
    what: str


def lint(bundle: Bundle) -> tuple[Remark, ...]:
    """Every remark about a bundle; a part that cannot be read hides what depends on it."""
    found: list[Remark] = []

    def error(where: str, what: str) -> None:
        found.append(Remark(level="error", where=where, what=what))

    def warning(where: str, what: str) -> None:
        found.append(Remark(level="warning", where=where, what=what))

    try:
        settings = bundle.settings
    except ConfigurationError as cause:
        return (Remark(level="error", where="policy.toml", what=cause.message),)
    approvers = settings.approvers
    here = [a for a in approvers if a.acts_in(settings.environment)]
    for approver in approvers:
        if approver not in here:
            places = ", ".join(approver.environments)
            warning(
                "policy.toml", f"{approver.key.name} may act in {places}, and this bundle is {settings.environment}"
            )
    if approvers and len(here) < settings.persons:
        error("policy.toml", f"{settings.persons} persons have to approve, and {len(here)} may")
    if settings.profile == "regulated":
        for name in sorted({"sensitivity", "consent"} & set(settings.context)):
            error(
                "policy.toml [context]",
                f"{name} is stated for every run: the profile regulated wants it from the caller",
            )
        if not settings.signature_required or not settings.pin_required:
            error("policy.toml", "the profile regulated wants [signature] required = true and [pin] required = true")
        if settings.environment is Environment.UNNAMED:
            error("policy.toml", 'the profile regulated wants environment = "development" or "production"')
    if settings.engine.kind == "opa":
        if settings.engine.url.startswith("http://") and "//127.0.0.1" not in settings.engine.url:
            warning("policy.toml [engine]", "the policy server is asked without TLS: somebody on the way could allow")
        if not settings.engine.revision:
            warning("policy.toml [engine]", "no revision: whatever rules the server runs decide; name its bundle's")
        if bundle.policies:
            warning("*.cedar", 'Cedar policies decide nothing beside [engine] kind = "opa"')
        _readable(bundle, error, warning)
        return tuple(found)
    try:
        bundle.check()
        rules = bundle.rules
    except ConfigurationError as cause:
        error("bundle", f"{cause.message} {cause.hint}".strip())
        return tuple(found)
    for name, what in bundle.problems():
        error(name, what)
    permits = [r for r in rules if r.effect == "permit"]
    for rule in permits:
        if not rule.body.get("conditions") and rule.id in settings.mandatory:
            error(rule.id, "a mandatory control without a condition is satisfied by everything")
        if rule.id not in settings.mandatory and not rule.obligations:
            warning(rule.id, "a permit that is neither mandatory nor obliges to anything decides nothing")
    for rule in rules:
        body = json.dumps(rule.body)
        if '"like"' in body or '"attr": "backend"' in body:
            warning(rule.id, "it compares text: a look-alike name is another name; use provider, region, zone")
        if rule.approval is not None and approvers and not any(rule.approval in a.may for a in here):
            warning(rule.id, f"nobody may give the approval {rule.approval}")
    _cases(bundle, error, warning)
    return tuple(found)


def _readable(bundle: Bundle, error: _Say, warning: _Say) -> tuple[Case, ...]:
    try:
        cases = read_cases(bundle)
    except ConfigurationError as cause:
        error("tests", cause.message)
        return ()
    if not cases:
        warning("tests", "the bundle has no tests")
    return cases


def _cases(bundle: Bundle, error: _Say, warning: _Say) -> None:
    cases = _readable(bundle, error, warning)
    if not cases:
        return
    named = {name for c in cases for name in c.rules or ()}
    for rule in bundle.rules:
        if rule.id not in named and (rule.effect == "forbid" or rule.id in bundle.settings.mandatory):
            warning(rule.id, "no case in tests/ says that it refuses")
