"""What is written before anything runs: the facts of a run, and an admitted or refused plan (floor 5)."""

from __future__ import annotations

import json
import logging
import secrets
from decimal import ROUND_CEILING
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.admission import STATED, Asked, Decision
from qimg_core.admission_input import BOUNDED
from qimg_core.admission_words import UNSTATED, DeviceClass, Region, TrustZone
from qimg_core.capabilities import DeviceKind
from qimg_core.errors import AdmissionDenied, BackendError, ConfigurationError, QimgError
from qimg_core.hooks import marks_of

if TYPE_CHECKING:
    from qimg_core.admission import Context
    from qimg_core.execution import Plan
    from qimg_core.job import JSON
    from qimg_core.routing import Route
    from qimg_core.session import Session

log = logging.getLogger("qimg")

ALWAYS = ("purpose", "sensitivity", "consent", "region")
"""Statements whose absence is a gap of every run's record."""

_DEVICES = {
    (DeviceKind.SIMULATOR, False): DeviceClass.SIMULATOR,
    (DeviceKind.SIMULATOR, True): DeviceClass.REMOTE_SIMULATOR,
    (DeviceKind.QPU, True): DeviceClass.QPU,
    (DeviceKind.SURROGATE, False): DeviceClass.SURROGATE,
    (DeviceKind.SURROGATE, True): DeviceClass.SURROGATE,
}

INLINE = 4096
"""Snapshots longer than so many bytes become artefacts, as an entry has at most 65,535."""


def admit(session: Session, found: Route, asked: dict[str, JSON], *, again: bool = False) -> tuple[Decision, ...]:
    """Ask the policies about a plan, and write down what they say, before anything is sent.

    ``asked`` is what `asked_facts` gives. A policy that raises, or answers with no `Decision`, refuses.
    ``again``: free work of this form was admitted before; where no policy decides, there is nothing new to write.

    Raises:
        AdmissionDenied: one of them refuses; its decision and the refusal are in the ledger.
    """
    plan = found.plan
    context = evolve(session.context, asked=Asked(facts=asked, ledger=lambda: session.ledger))
    decisions = _ask(session, plan, context)
    entries: list[JSON] = [_record_decision(session, d) for d in decisions if d.record]
    refused = [d for d in decisions if d.verdict != "allow"]
    if refused:
        reasons = "; ".join(f"{d.policy}: {', '.join(d.reasons) or d.verdict}" for d in refused)
        session.record("plan.refused", {"backend": plan.backend, "reasons": reasons, "decisions": entries})
        hint = "\n  ".join(d.hint for d in refused if d.hint)
        hint = hint if not entries else hint.replace("ENTRY", str(entries[-1]))
        raise AdmissionDenied(f"refused before anything was sent: {reasons}", hint=hint, reasons=reasons)
    if again and not decisions:
        return ()
    obliged = sorted({*session.context.obligations, *(o for d in decisions for o in d.obligations)})
    session.context = evolve(context, obligations=tuple(obliged), marks=_marks(session))
    request = plan.request
    artefacts: dict[str, JSON] = {"circuit": session.put(request.circuit.canonical())}
    facts: dict[str, JSON] = {
        "backend": plan.backend,
        "device_kind": found.backend.capabilities.kind.value,
        "circuit": request.circuit.digest,
        "rows": request.rows,
        "shots": request.shots,
        "noise": None if request.noise is None else request.noise.digest,
        "gradient": None if plan.gradient is None else plan.gradient.value,
        "cost": plan.cost.to_json(),
        "footprint": None if plan.footprint is None else plan.footprint.to_json(),
        "decisions": list(plan.decisions),
        "fallback_reason": found.fallback_reason,
        "policies": [d.policy for d in decisions],
        **({"policy_decisions": entries} if entries else {}),
        "artefacts": artefacts,
    }
    session.record("plan.admitted", facts, gaps=_snapshot(session, found, facts, artefacts))
    return decisions


def asked_facts(session: Session, found: Route) -> dict[str, JSON]:
    """What the core knows of a plan, under the names of `qimg_core.admission_input.AdmissionInput`.

    Provider, region and trust zone of a device outside of this process are not the core's to say: ``unstated``.
    """
    plan, caps, context, cost = found.plan, found.backend.capabilities, session.context, found.plan.cost
    here = not caps.remote
    micro = None if cost.high is None else int((cost.high * 1_000_000).to_integral_value(ROUND_CEILING))
    return {
        "activity": context.activity,
        "purpose": context.purpose,
        "sensitivity": context.sensitivity,
        "consent": context.consent,
        "export_class": context.export_class,
        "risk_tier": context.risk_tier,
        "data_region": context.region,
        "backend": plan.backend,
        "provider": "here" if here else UNSTATED,
        "provider_approved": here,
        "device": _DEVICES.get((caps.kind, caps.remote), DeviceClass.UNSTATED).value,
        "zone": (TrustZone.PROCESS if here else TrustZone.UNSTATED).value,
        "region": (Region.LOCAL if here else Region.UNSTATED).value,
        "cost_micro": micro,
        "currency": UNSTATED if cost.is_free else cost.unit,
        "shots": plan.total_shots,
        "jobs": plan.n_jobs,
        "rows": plan.request.rows,
        "recorded": session.profile,
        "dataset": context.dataset,
        "manifest": context.manifest,
        "weights": session.weights,
        "approvals": [],
        "waived": [],
    }


def covers(old: dict[str, JSON], session: Session, found: Route) -> bool:
    """Is a plan within what a policy has admitted before: the same facts, no larger in any number?"""
    new = asked_facts(session, found)
    return all(
        isinstance(a := new[name], int) and isinstance(b := old[name], int) and a <= b
        if name in BOUNDED
        else new[name] == old[name]
        for name in old
    )


def standing(session: Session) -> tuple[str, ...]:
    """What the plugins' admissions rest on now (hook ``qimg_standing``); where it changes, they are asked again.

    A plugin that breaks changes it each time, so that its policy is asked, which refuses where it breaks as well.
    """
    found = []
    for impl in session.registry.hooks.hook.qimg_standing.get_hookimpls():
        try:
            found.append(str(impl.function(*[session.ledger for _ in impl.argnames])))
        except Exception:
            log.exception("qimg_standing of %s failed", impl.plugin_name)
            found.append(secrets.token_hex(8))
    return tuple(found)


def _ask(session: Session, plan: Plan, context: Context) -> tuple[Decision, ...]:
    """Every policy's answer, a refusal where it has none to give."""
    found: list[Decision] = []
    for impl in session.registry.hooks.hook.qimg_admit.get_hookimpls():
        given = {"plan": plan, "context": context}
        try:
            answer = impl.function(*[given[name] for name in impl.argnames])
        except QimgError as error:
            answer = Decision(verdict="deny", policy=impl.plugin_name, reasons=(error.message,), hint=error.hint)
        except Exception as error:  # a policy that breaks refuses; what broke is in the record and the log
            log.exception("qimg_admit of %s failed", impl.plugin_name)
            reason = f"the policy failed: {type(error).__name__}"
            answer = Decision(verdict="deny", policy=impl.plugin_name, reasons=(reason,))
        if answer is None:
            continue
        if not isinstance(answer, Decision):
            reason = f"the policy answered with a {type(answer).__name__}, wanted a Decision"
            answer = Decision(verdict="deny", policy=impl.plugin_name, reasons=(reason,))
        found.append(answer)
    return tuple(found)


def _record_decision(session: Session, decision: Decision) -> int:
    artefacts = {name: session.put(data) for name, data in decision.artefacts.items()}
    return session.record("policy.decided", {**decision.record, "artefacts": artefacts}).index


def _marks(session: Session) -> tuple[str, ...]:
    """The marks that images will carry: what each marking plugin's ``MARKS`` names, else the plugin's name."""
    found: list[str] = []
    for impl in session.registry.hooks.hook.qimg_mark.get_hookimpls():
        found += marks_of(impl.plugin, impl.plugin_name)
    return tuple(dict.fromkeys(found))


def _snapshot(
    session: Session, found: Route, facts: dict[str, JSON], artefacts: dict[str, JSON]
) -> list[tuple[str, str]]:
    """Put the device's state into the facts; returns the gap where there is none."""
    if found.backend.capabilities.calibrated:
        return []  # the jobs' own entries have the calibration before and after each of them
    try:
        snapshot = found.backend.snapshot()
    except BackendError as cause:
        return [("snapshot", cause.message)]
    if snapshot is None:
        return [("snapshot", "the driver gives no snapshot")]
    text = json.dumps(dict(snapshot.data), separators=(",", ":"), sort_keys=True)
    if len(text) <= INLINE:
        facts["snapshot"] = {"digest": snapshot.digest, "data": dict(snapshot.data)}
    else:
        facts["snapshot"] = {"digest": snapshot.digest}
        artefacts["snapshot"] = session.put(text.encode())
    return []


def opening_facts(session: Session) -> tuple[dict[str, Any], dict[str, Any], list[tuple[str, str]]]:
    """Facts, claims and gaps of ``run.started`` and ``run.resumed``."""
    from qimg_core import __version__
    from qimg_core.environment import threads

    noise, artefacts = _noise(session)
    facts = {
        "schema": "qimg.run/1",
        "activity": session.activity,
        "qimg_core": __version__,
        "seed": str(session.seed),
        "backend": session.chain[0],
        "fallback": list(session.chain[1:]),
        "plugin": _plugin_version(session),
        "shots": session.shots,
        "noise": noise,
        "artefacts": artefacts,
        "mitigation": None if session.mitigation is None else session.mitigation.to_json(),
        "proposals": session.proposals,
        "budget": session.spending.budget.to_json(),
        "profile": session.profile,
        "threads": threads(),
    }
    stated = {k: getattr(session.context, k) for k in STATED}
    claims = {k: v for k, v in stated.items() if v != UNSTATED}
    return facts, claims, [(k, "not stated by the caller") for k in ALWAYS if stated[k] == UNSTATED]


def _noise(session: Session) -> tuple[JSON, dict[str, JSON]]:
    """The noise model in the entry, or, where it is long, as an artefact with its digest in the entry."""
    model = session.noise_model
    if model is None:
        return None, {}
    text = model.canonical()
    if len(text) <= INLINE:
        return json.loads(text), {}
    return {"digest": model.digest}, {"noise": session.put(text)}


def _plugin_version(session: Session) -> str:
    try:
        return session.registry.version_of("backend", session.chain[0])
    except ConfigurationError:  # a driver object that no plugin registered
        return type(session.backend()).__module__
