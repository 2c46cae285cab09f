"""A bundle's tests: tables of cases in ``tests/*.json`` (imports kernel, bundle).

::

    {"cases": [{"name": "personal data stays here", "on": "remote", "given": {"sensitivity": "personal"},
                "expect": "deny", "rules": ["reach", "consent"], "obligations": []}]}

``on`` is the plan that ``given`` changes: `BASES`. ``rules`` are exactly those that refuse; it may be left out, as may
``obligations``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_policy.kernel import decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_policy.bundle import Bundle
    from qimg_policy.engine import Engine
    from qimg_policy.ruling import Finding, Ruling

_LOCAL: dict[str, Any] = {
    "activity": "generate",
    "purpose": "unstated",
    "sensitivity": "unstated",
    "consent": "unstated",
    "export_class": "unstated",
    "risk_tier": "unstated",
    "data_region": "unstated",
    "backend": "simulator",
    "provider": "here",
    "provider_approved": True,
    "device": "simulator",
    "zone": "process",
    "region": "local",
    "cost_micro": 0,
    "currency": "unstated",
    "shots": 0,
    "jobs": 1,
    "rows": 64,
    "recorded": "full",
    "dataset": "unstated",
    "manifest": "unstated",
    "weights": "unstated",
    "approvals": [],
    "waived": [],
}

BASES: dict[str, dict[str, Any]] = {
    "local": _LOCAL,
    "remote": {
        **_LOCAL,
        "backend": "ibm:ibm_fez",
        "provider": "unstated",
        "provider_approved": False,
        "device": "qpu",
        "zone": "unstated",
        "region": "unstated",
        "cost_micro": 1_000_000,
        "currency": "USD",
        "shots": 1000,
    },
}
"""``local``: images from the simulator in this process, nothing stated. ``remote``: the same on a provider's QPU, for
one dollar; provider, region and zone come from the bundle's device table."""

_KEYS = {"name", "on", "given", "expect", "rules", "obligations"}


@frozen(kw_only=True)
class Case:
    """One row: a plan, and what the policy has to say."""

    file: str
    name: str
    facts: Mapping[str, Any]
    expect: str
    rules: frozenset[str] | None
    obligations: frozenset[str] | None


@frozen(kw_only=True)
class Outcome:
    """What came of a case; ``problem`` is empty where it passed."""

    case: Case
    ruling: Ruling
    problem: str


def read_cases(bundle: Bundle) -> tuple[Case, ...]:
    """The cases of a bundle.

    Raises:
        ConfigurationError: a malformed file; the message names file and case.
    """
    found = []
    for name in sorted(bundle.files):
        if not name.startswith("tests/"):
            continue
        try:
            document = json.loads(bundle.files[name])
            rows = document["cases"]
            found += [_case(name, row) for row in rows]
        except ConfigurationError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise ConfigurationError(f'{name}: wanted {{"cases": [...]}} in JSON') from error
    return tuple(found)


def _case(file: str, row: dict[str, Any]) -> Case:
    where = f"{file}: {row.get('name', 'a case without a name')}"
    if foreign := set(row) - _KEYS:
        raise ConfigurationError(f"{where}: unknown {', '.join(sorted(foreign))}")
    base, given = BASES.get(row.get("on", "local")), row.get("given", {})
    if base is None or row.get("expect") not in ("allow", "deny", "needs_approval") or "name" not in row:
        raise ConfigurationError(f"{where}: wanted name, on (local or remote), expect (allow, deny or needs_approval)")
    if foreign := set(given) - set(base):
        raise ConfigurationError(
            f"{where}: given has the unknown {', '.join(sorted(foreign))}", hint="qimg policy words"
        )
    return Case(
        file=file,
        name=row["name"],
        facts={**base, **given},
        expect=row["expect"],
        rules=None if "rules" not in row else frozenset(row["rules"]),
        obligations=None if "obligations" not in row else frozenset(row["obligations"]),
    )


def run_case(engine: Engine, bundle: Bundle, case: Case) -> Outcome:
    """Decide one case."""
    ruling = decide(engine, bundle.settings, dict(case.facts))
    refusing = frozenset(f.rule or f.code for f in ruling.findings if f.refuses)
    problem = ""
    if ruling.verdict != case.expect:
        problem = f"expected {case.expect}, got {ruling.verdict}"
    elif case.rules is not None and refusing != case.rules:
        problem = f"expected {_set(case.rules)} to refuse, got {_set(refusing)}"
    elif case.obligations is not None and frozenset(ruling.obligations) != case.obligations:
        problem = f"expected the obligations {_set(case.obligations)}, got {_set(frozenset(ruling.obligations))}"
    return Outcome(case=case, ruling=ruling, problem=problem)


def run_cases(engine: Engine, bundle: Bundle) -> tuple[Outcome, ...]:
    """Decide every case of a bundle."""
    return tuple(run_case(engine, bundle, case) for case in read_cases(bundle))


def unasked(outcomes: Iterable[Outcome]) -> Finding | None:
    """Why a policy server could not be asked, where the first such case says so."""
    for outcome in outcomes:
        for finding in outcome.ruling.findings:
            if finding.code in ("E_UNREACHABLE", "E_TIMEOUT"):
                return finding
    return None


def _set(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"
