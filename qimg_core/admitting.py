"""What is written before anything runs: the facts of a run, and an admitted or refused plan (floor 5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from qimg_core.errors import AdmissionDenied, BackendError, ConfigurationError

if TYPE_CHECKING:
    from qimg_core.admission import Decision
    from qimg_core.job import JSON
    from qimg_core.routing import Route
    from qimg_core.session import Session

INLINE = 4096
"""Snapshots longer than so many bytes become artefacts, as an entry has at most 65,535."""


def admit(session: Session, found: Route) -> tuple[Decision, ...]:
    """Ask the policies about a plan, and write down what they say.

    Raises:
        AdmissionDenied: one of them refuses; the refusal is in the ledger.
    """
    plan = found.plan
    answers = session.registry.hooks.hook.qimg_admit(plan=plan, context=session.context)
    decisions = tuple(a for a in answers if a is not None)
    refused = [d for d in decisions if d.verdict != "allow"]
    if refused:
        reasons = "; ".join(f"{d.policy}: {', '.join(d.reasons) or d.verdict}" for d in refused)
        session.record("plan.refused", {"backend": plan.backend, "reasons": reasons})
        raise AdmissionDenied(f"refused before anything was sent: {reasons}", reasons=reasons)
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
        "artefacts": artefacts,
    }
    session.record("plan.admitted", facts, gaps=_snapshot(session, found, facts, artefacts))
    return decisions


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
    stated = {k: getattr(session.context, k) for k in ("purpose", "sensitivity", "consent", "region")}
    claims = {k: v for k, v in stated.items() if v != "unstated"}
    return facts, claims, [(k, "not stated by the caller") for k, v in stated.items() if v == "unstated"]


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
