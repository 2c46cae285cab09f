"""The fail-closed kernel around an engine (imports engine, ruling, settings, admission input).

It allows a plan only if the input is typed and consistent, the engine allows it, no rule failed, no rule forbids it,
and every mandatory control reports positive evidence. Everything else denies, with a code. Engines are not trusted to
get this right: Cedar and Rego both allow on missing or odd input when a rule that would refuse cannot be evaluated.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from attrs import evolve

from qimg_core.admission_input import AdmissionInput
from qimg_core.admission_words import UNSTATED, Activity, Consent, DeviceClass, Manifest, Region, Sensitivity, TrustZone
from qimg_core.errors import ConfigurationError
from qimg_core.ledger import canonical
from qimg_policy.engine import Answer, Engine, EngineFailed, Words
from qimg_policy.ruling import CODES, Finding, Ruling
from qimg_policy.settings import DEFAULTS, HERE, UNLISTED, Settings

if TYPE_CHECKING:
    from collections.abc import Sequence


def place(settings: Settings, facts: object) -> object:
    """Add what the bundle knows: its stated defaults, and the device table's row.

    Only what is ``unstated`` is filled in. Placing a document again changes nothing.
    """
    if type(facts) is not dict:
        return facts
    assert isinstance(facts, dict)
    found = dict(facts)
    for name in DEFAULTS:
        if found.get(name) == UNSTATED and name in settings.context:
            found[name] = settings.context[name]
    backend = found.get("backend")
    if found.get("provider") != UNSTATED or not isinstance(backend, str):
        return found
    row = settings.device(backend)
    if row is None:
        return {**found, "provider": UNLISTED}
    found.update(provider=row.provider, provider_approved=row.approved)
    if found.get("region") == UNSTATED:
        found["region"] = row.region.value
    if found.get("zone") == UNSTATED:
        found["zone"] = row.zone.value
    if row.kind is not None:
        found["device"] = row.kind.value
    return found


def prepare(settings: Settings, facts: object) -> AdmissionInput:
    """The typed input of placed facts.

    Raises:
        ConfigurationError: not the fields, words and numbers of `AdmissionInput`, or facts that contradict each other.
    """
    given = AdmissionInput.read(place(settings, facts))
    if given.provider not in settings.providers:
        raise ConfigurationError(f"provider: wanted one of {', '.join(settings.providers)}, got {given.provider!r}")
    here = given.zone is TrustZone.PROCESS
    inside = given.device in (DeviceClass.SIMULATOR, DeviceClass.SURROGATE)
    if here != (given.provider == HERE) or (here and not (inside and given.region is Region.LOCAL)):
        raise ConfigurationError(
            f"contradicting facts: device {given.device}, provider {given.provider}, zone {given.zone}, "
            f"region {given.region}"
        )
    if given.provider == UNLISTED and given.provider_approved:
        raise ConfigurationError("contradicting facts: a provider that is not listed cannot be approved")
    if foreign := sorted(set(given.waived) - set(settings.waivable)):
        raise ConfigurationError(f"waived: {foreign[0]} cannot be waived")
    return given


def decide(engine: Engine, settings: Settings, facts: object, notes: Sequence[Finding] = ()) -> Ruling:
    """The decision on one plan. Total: never raises for an input or an engine, however broken.

    Args:
        engine: evaluates the rules.
        settings: of the bundle.
        facts: the fields of `AdmissionInput`, as the core hands them over, with verified approvals.
        notes: findings made before, e.g. about approvals; one that refuses denies.
    """
    began = time.perf_counter_ns()
    try:
        ruling = _decide(engine, settings, facts, tuple(notes))
    except Exception as error:  # nothing may turn into an allow, or into no decision
        finding = Finding(code="E_ENGINE", reason=f"{CODES['E_ENGINE']}: {type(error).__name__}")
        ruling = _deny(facts, (finding, *notes), engine)
    return evolve(ruling, latency_us=(time.perf_counter_ns() - began) // 1000)


def _decide(engine: Engine, settings: Settings, facts: object, notes: tuple[Finding, ...]) -> Ruling:
    try:
        given = prepare(settings, facts)
    except ConfigurationError as error:
        wrong = Finding(code="E_INPUT", reason=error.message, satisfy="state it in the words of `qimg policy words`")
        return _deny(facts, (wrong, *notes), engine)
    document = given.to_json()
    try:
        answer = _sound(engine.ask(given))
    except EngineFailed as error:
        failed = Finding(
            code=error.code if error.code in CODES else "E_ENGINE", reason=error.message, satisfy=error.hint
        )
        return _unusable(settings, given, (failed, *notes), _who(engine))
    return _judge(settings, given, answer, notes, document, engine)


def _judge(
    settings: Settings,
    given: AdmissionInput,
    answer: Answer,
    notes: tuple[Finding, ...],
    document: dict[str, Any],
    engine: Engine,
) -> Ruling:
    found = [Finding(code="E_ERRORS", reason=e[:300]) for e in answer.errors]
    found += [_finding("E_FORBIDDEN", rule, answer) for rule in answer.forbids]
    controls: list[tuple[str, str]] = []
    said: list[Finding] = []
    for control in settings.mandatory:
        state = "pass" if control in answer.controls else "waived" if control in given.waived else "no evidence"
        controls.append((control, state))
        if state == "no evidence":
            found.append(_finding("E_NO_EVIDENCE", control, answer))
        elif state == "waived":
            said.append(_finding("I_WAIVED", control, answer))
    revision = settings.engine.revision
    if revision and answer.revision != revision:
        found.append(
            Finding(code="E_DRIFT", reason=f"the server runs {answer.revision or 'no revision'}, not {revision}")
        )
    if not answer.allow and not found:
        found.append(Finding(code="E_NOT_PERMITTED"))
    found += [n for n in notes if n.refuses]
    said += [n for n in notes if not n.refuses]
    allowed = answer.allow and not answer.errors and not found
    liftable = bool(found) and all(f.approval is not None and f.approval not in given.approvals for f in found)
    return Ruling(
        verdict="allow" if allowed else "needs_approval" if liftable else "deny",
        findings=(*found, *said),
        controls=tuple(controls),
        obligations=tuple(sorted(set(answer.obligations))) if allowed else (),
        document=document,
        revision=answer.revision,
        **_who(engine),
    )


UNUSABLE = frozenset({"E_BUNDLE", "E_SIGNATURE", "E_DRIFT", "E_UNREACHABLE", "E_TIMEOUT"})
"""Codes of a policy that cannot be asked. An engine that fails on an input is another matter."""


def decide_without(settings: Settings, facts: object, findings: Sequence[Finding]) -> Ruling:
    """The decision where the policy cannot be used: it refuses, but for harmless work in this process.

    Args:
        settings: of the bundle that was agreed on, which says whether such work goes on.
        facts: as for `decide`.
        findings: why it cannot be used.
    """
    began = time.perf_counter_ns()
    try:
        ruling = _unusable(settings, prepare(settings, facts), tuple(findings), _NOBODY)
    except ConfigurationError as error:
        wrong = Finding(code="E_INPUT", reason=error.message)
        ruling = _deny(facts, (*findings, wrong), None)
    return evolve(ruling, latency_us=(time.perf_counter_ns() - began) // 1000)


def _unusable(settings: Settings, given: AdmissionInput, findings: tuple[Finding, ...], who: dict[str, Any]) -> Ruling:
    refusing = [f for f in findings if f.refuses]
    goes_on = settings.local_when_down and all(f.code in UNUSABLE for f in refusing) and _harmless(given)
    if not goes_on:
        return Ruling(verdict="deny", findings=findings, document=given.to_json(), **who)
    why = "; ".join(str(f) for f in refusing)
    said = Finding(code="I_LOCAL_WHEN_DOWN", reason=f"{CODES['I_LOCAL_WHEN_DOWN']}: {why}")
    notes = [f for f in findings if not f.refuses]
    return Ruling(verdict="allow", findings=(said, *notes), document=given.to_json(), **who)


def _sound(answer: object) -> Answer:
    """An answer of exactly the promised types, as `allow="false"` would be true."""
    if type(answer) is not Answer or type(answer.allow) is not bool or type(answer.controls) is not frozenset:
        raise EngineFailed("E_UNDEFINED", f"the engine answered with a {type(answer).__name__}")
    return answer


def _harmless(given: AdmissionInput) -> bool:
    """Does nothing leave this process, does it cost nothing, and does it touch nobody's data?"""
    nobodys = {Sensitivity.PUBLIC, Sensitivity.SYNTHETIC}
    if given.activity is not Activity.TRAIN:
        nobodys.add(Sensitivity.UNSTATED)  # what is not trained takes noise and class numbers in
    clean = given.consent is not Consent.WITHDRAWN and given.manifest is not Manifest.FAILED
    return given.zone is TrustZone.PROCESS and given.cost_micro == 0 and given.sensitivity in nobodys and clean


def _finding(code: str, rule: str, answer: Answer) -> Finding:
    words = answer.words.get(rule, Words())
    satisfy = words.satisfy or f"see the rule {rule} of the policy"
    return Finding(code=code, rule=rule, reason=words.reason, satisfy=satisfy, approval=words.approval)


_NOBODY: dict[str, Any] = {"engine": "none", "engine_version": ""}


def _who(engine: Engine) -> dict[str, Any]:
    return {"engine": engine.name, "engine_version": engine.version}


def _deny(facts: object, findings: tuple[Finding, ...], engine: Engine | None) -> Ruling:
    try:
        canonical.dumps(facts)
        document = facts
    except ConfigurationError:
        document = {"unreadable": repr(facts)[:2000].encode("ascii", "backslashreplace").decode()}
    try:
        who = _NOBODY if engine is None else _who(engine)
    except Exception:  # an engine that cannot even say what it is
        who = _NOBODY
    return Ruling(verdict="deny", findings=findings, document=document, **who)
