"""A recorded decision, decided again from the ledger alone (imports bundle, gate, kernel)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import ConfigurationError
from qimg_core.verdict import Verdict
from qimg_policy.bundle import from_canonical
from qimg_policy.gate import engine_of
from qimg_policy.kernel import decide
from qimg_policy.ruling import Finding

if TYPE_CHECKING:
    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_policy.ruling import Ruling

KIND = "policy.decided"
_OUTSIDE = (
    "E_BUNDLE",
    "E_SIGNATURE",
    "E_DRIFT",
    "E_CLOCK",
    "E_UNREACHABLE",
    "E_TIMEOUT",
    "I_LOCAL_WHEN_DOWN",
    "I_APPROVAL",
)
"""Findings about the world at that time, not about the plan: taken from the record."""


@frozen(kw_only=True)
class Replayed:
    """What deciding again gave.

    Args:
        verdict: pass: the very same. fail: something else. inconclusive: it cannot be decided again here.
        recorded: the outcome in the entry.
        again: the ruling; None where there is none.
        reason: in words.
    """

    verdict: Verdict
    recorded: dict[str, object]
    again: Ruling | None
    reason: str


def decision_entry(ledger: Ledger, index: int) -> Entry:
    """The decision at an index, or the one that a refused or admitted plan there names.

    Raises:
        ConfigurationError: the entry is another one.
        LedgerError: there is none.
    """
    if index >= len(ledger):
        raise ConfigurationError(
            f"there is no entry {index}: this log has {len(ledger)}", hint="qimg ledger log --kind policy.decided"
        )
    entry = ledger.entry(index)
    named = entry.facts.get("decisions" if entry.kind == "plan.refused" else "policy_decisions")
    if entry.kind in ("plan.refused", "plan.admitted") and isinstance(named, list) and named:
        entry = ledger.entry(named[0])
    if entry.kind != KIND:
        raise ConfigurationError(
            f"entry {index} is {entry.kind}, and no decision", hint="qimg ledger log --kind policy.decided lists them"
        )
    return entry


def replay(ledger: Ledger, entry: Entry) -> Replayed:
    """Decide a recorded input again by the recorded bundle; bundle and input come from the ledger's artefacts."""
    facts = entry.facts
    names = ("verdict", "findings", "controls", "obligations", "engine", "revision")
    recorded: dict[str, object] = {k: facts[k] for k in names}
    if "bundle" not in entry.artefacts:
        reason = "no policy could be read when this was decided"
        return Replayed(verdict=Verdict.INCONCLUSIVE, recorded=recorded, again=None, reason=reason)
    bundle = from_canonical(ledger.get(entry.artefacts["bundle"]))
    document = json.loads(ledger.get(entry.artefacts["input"]))
    noted = [f for f in facts["findings"] if f["code"] in _OUTSIDE]
    if facts["engine"] == "none" or any(
        f["code"] in ("I_LOCAL_WHEN_DOWN", "E_UNREACHABLE", "E_TIMEOUT") for f in noted
    ):
        reason = "the policy could not be asked when this was decided; the entry says why"
        return Replayed(verdict=Verdict.INCONCLUSIVE, recorded=recorded, again=None, reason=reason)
    notes = [Finding(code=f["code"], rule=f["rule"], reason=f["reason"], satisfy=f["satisfy"]) for f in noted]
    again = decide(engine_of(bundle), bundle.settings, document, notes)
    if any(f.code in ("E_UNREACHABLE", "E_TIMEOUT", "I_LOCAL_WHEN_DOWN") and f not in notes for f in again.findings):
        reason = "the policy server cannot be asked now"
        return Replayed(verdict=Verdict.INCONCLUSIVE, recorded=recorded, again=again, reason=reason)
    outcome = again.outcome()
    differs = [k for k in names if outcome[k] != recorded[k]]
    if again.input_digest != facts["input"]:
        differs.append("input")
    if differs:
        reason = f"{', '.join(differs)} differ: " + "; ".join(
            f"{k}: {recorded.get(k)} -> {outcome.get(k)}" for k in differs[:2]
        )
        return Replayed(verdict=Verdict.FAIL, recorded=recorded, again=again, reason=reason)
    return Replayed(verdict=Verdict.PASS, recorded=recorded, again=again, reason="decided identically")
