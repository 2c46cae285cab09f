"""The hook ``qimg_admit``: from a plan to a recorded decision (imports active, approvals, kernel, engines)."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from qimg_core.admission import Decision
from qimg_core.errors import ConfigurationError
from qimg_policy.active import Active, active
from qimg_policy.approvals import granted
from qimg_policy.bundle import Bundle, from_canonical
from qimg_policy.engine import Engine, EngineFailed
from qimg_policy.kernel import decide, decide_without, place, prepare
from qimg_policy.ruling import SCHEMA, Finding, Ruling

if TYPE_CHECKING:
    from qimg_core.admission import Asked, Context
    from qimg_core.execution import Plan
    from qimg_core.ledger.base import Ledger


def admit(plan: Plan, context: Context, now: dt.datetime | None = None) -> Decision | None:
    """Decide one plan; None where no policy is in force.

    Args:
        plan: what would be sent.
        context: holds the facts (``asked``) and the log.
        now: UTC; the clock's time by default.
    """
    asked = context.asked
    if asked is None:
        raise ConfigurationError("this policy wants a core that hands over the facts of a plan (context.asked)")
    ledger = asked.ledger()
    policy = active(ledger)
    if policy is None:
        return None
    ruling = rule(policy, asked, ledger, now or dt.datetime.now(dt.UTC))
    return to_decision(ruling, policy, plan.backend)


def rule(policy: Active, asked: Asked, ledger: Ledger, now: dt.datetime) -> Ruling:
    """The kernel's ruling on a plan under a policy in force."""
    facts = dict(asked.facts)
    if policy.findings or policy.bundle is None:
        if policy.agreed is None:
            return Ruling(verdict="deny", findings=policy.findings, document=facts, engine="none")
        return decide_without(policy.agreed.settings, facts, policy.findings)
    bundle = policy.bundle
    settings = bundle.settings
    try:
        engine = engine_of(bundle)
    except (ConfigurationError, EngineFailed, ValueError) as error:
        return decide_without(settings, facts, [Finding(code="E_BUNDLE", reason=str(error)[:500])])
    document: Any = place(settings, facts)
    notes: tuple[Finding, ...] = ()
    try:
        given = prepare(settings, facts)
    except ConfigurationError:
        pass  # the kernel says so
    else:
        since = 0 if policy.pin is None else policy.pin.entry
        counted = granted(ledger, settings, bundle.digest, given, now, since)
        notes = counted.notes
        document = {**document, "approvals": list(counted.approvals), "waived": list(counted.waived)}
    return decide(engine, settings, document, notes)


def engine_of(bundle: Bundle) -> Engine:
    """The engine of a bundle, made once for each of the last few.

    Raises:
        ConfigurationError: the bundle is malformed.
    """
    return _engine(bundle.canonical)


@lru_cache(maxsize=8)
def _engine(canonical: bytes) -> Engine:
    bundle = from_canonical(canonical)
    if bundle.settings.engine.kind == "opa":
        from qimg_policy.opa import OpaEngine

        return OpaEngine(bundle.settings)
    from qimg_policy.cedar import CedarEngine

    return CedarEngine(bundle)


def to_decision(ruling: Ruling, policy: Active, backend: str) -> Decision:
    """A ruling as the core takes it, with its entry."""
    bundle = policy.bundle or policy.agreed
    name = "unreadable" if bundle is None else bundle.name
    refusing = [f for f in ruling.findings if f.refuses]
    satisfy = [f"{f.rule or f.code}: {f.helps}" for f in refusing if f.helps]
    wanted = sorted({str(f.approval) for f in refusing if f.approval is not None})
    if ruling.verdict == "needs_approval":
        satisfy += [f"qimg policy approve ENTRY --grants {w} --key NAME.key.pem" for w in wanted]
    record = {
        "schema": SCHEMA,
        **ruling.outcome(),
        "backend": backend,
        "policy": name,
        "environment": None if bundle is None else str(bundle.settings.environment),
        "bundle": None if bundle is None else bundle.digest,
        "pinned": None if policy.pin is None else policy.pin.entry,
        "signed_by": [k.id for k in policy.signers],
        "input": ruling.input_digest,
        "engine_version": ruling.engine_version,
        "latency_us": ruling.latency_us,
    }
    artefacts = {"input": ruling.input_bytes()}
    if bundle is not None:
        artefacts["bundle"] = bundle.canonical
    return Decision(
        verdict=ruling.verdict,
        policy=f"{name} ({ruling.engine})",
        reasons=tuple(str(f) for f in ruling.findings if f.refuses or ruling.allowed or f.code == "I_APPROVAL"),
        obligations=ruling.obligations,
        hint="\n  ".join(satisfy),
        record=record,
        artefacts=artefacts,
    )
