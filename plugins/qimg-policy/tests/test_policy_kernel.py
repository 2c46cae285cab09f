"""The kernel: nothing that is malformed or unproven is ever allowed, whatever the engine says; both engines."""

import itertools
import json
from pathlib import Path
from runpy import run_path

import httpx
import pytest
from attrs import evolve

from qimg_policy.bundle import shipped_bundle
from qimg_policy.cedar import CedarEngine
from qimg_policy.engine import Answer, Engine, EngineFailed
from qimg_policy.kernel import decide, decide_without, prepare
from qimg_policy.opa import OpaEngine
from qimg_policy.ruling import Finding
from qimg_policy.settings import EngineSettings

HERE = Path(__file__).parent
made = run_path(str(HERE / "policy_inputs.py"))
check = made["check"]
LOCAL, REMOTE, inputs = made["LOCAL"], made["REMOTE"], made["inputs"]
refused, valid, placed = check["refused"], check["valid"], check["placed"]
WAIVABLE = ("residency",)


@pytest.fixture(scope="module")
def bundles():
    return {name: shipped_bundle(name) for name in ("solo", "team", "regulated")}


@pytest.fixture(scope="module")
def engines(bundles):
    return {name: CedarEngine(b) for name, b in bundles.items()}


def rego_like(profile):
    """A server that answers as a naive deny list in Rego does: a rule over what is missing is undefined, so it does not
    fire, and ``allow`` holds where no rule fires. The controls say what could be evaluated.
    """

    def answer(http):
        given = json.loads(http.content)["input"]
        try:
            no = refused(profile, given)
        except KeyError:  # undefined
            return httpx.Response(200, json={"result": {"allow": True, "controls": [], "deny": {}}})
        controls = {"reach", "residency", "consent", "export", "price", "purpose", "data-known", "recorded"} - no
        deny = dict.fromkeys(no & {"withdrawn", "tainted", "high-risk"}, "refused")
        result = {"allow": not deny, "controls": sorted(controls), "deny": deny, "errors": [], "obligations": []}
        return httpx.Response(200, json={"result": result, "provenance": {"version": "stub"}})

    def undefined_cost(http):
        given = json.loads(http.content)["input"]
        return answer(httpx.Request("POST", http.url, json={"input": {"cost_micro": None, **given}}))

    return undefined_cost


def wrongly(engine, settings, profile, documents, waivable):
    """Documents allowed that must not be, and refused that must not be; how many were valid, and were allowed."""
    too_far, too_near, sound, allowed = [], [], 0, 0
    for document in documents:
        ruling = decide(engine, settings, document)
        full = placed(document)
        good = valid(full, waivable)
        right = good and not refused(profile, full)
        sound, allowed = sound + good, allowed + ruling.allowed
        if ruling.allowed and not right:
            too_far.append(document)
        if right and not ruling.allowed:
            too_near.append((document, ruling.findings))
    return too_far, too_near, sound, allowed


def run(n, seed, bundles, engines):
    for k, profile in enumerate(bundles):
        settings = bundles[profile].settings
        waivable = WAIVABLE if profile != "solo" else ()
        client = httpx.Client(transport=httpx.MockTransport(rego_like(profile)))
        served = evolve(settings, engine=EngineSettings(kind="opa", url="http://127.0.0.1:8181"))
        for engine, s in ((engines[profile], settings), (OpaEngine(served, client), served)):
            far, near, sound, allowed = wrongly(engine, s, profile, inputs(n // 3, seed + k), waivable)
            assert far == []
            assert near == []
            assert sound > n // 20
            assert allowed > n // 80


def test_generated_inputs_are_never_wrongly_allowed_nor_refused_on_either_engine(bundles, engines):
    run(1_200, 11, bundles, engines)


@pytest.mark.slow
def test_a_hundred_thousand_generated_inputs_are_never_wrongly_allowed_on_either_engine(bundles, engines):
    run(100_002, 12, bundles, engines)


TABLE = {
    "activity": ("train", "generate"),
    "sensitivity": check["WORDS"]["sensitivity"],
    "consent": ("unstated", "given", "withdrawn"),
    "risk_tier": ("unstated", "low", "high"),
    "place": ("local", "stand-in", "eu", "us", "unlisted"),
    "data_region": ("unstated", "eu"),
    "export_class": ("unstated", "not_controlled", "dual_use"),
    "manifest": ("unstated", "verified", "failed"),
    "purpose": ("unstated", "research"),
    "approvals": ([], ["data"], ["cost", "data", "ethics", "export"]),
    "cost_micro": (None, 0, 20_000_000),
}
PLACES = {
    "local": {},
    "stand-in": {**REMOTE, "backend": "braket:local"},
    "eu": {**REMOTE, "region": "eu"},
    "us": {**REMOTE, "region": "us"},
    "unlisted": {**REMOTE, "backend": "elsewhere:x"},
}


def rows(names):
    """Every combination of the named columns, the others at their first value that is no default of a base."""
    for values in itertools.product(*(TABLE[name] for name in names)):
        row = dict(zip(names, values, strict=True))
        yield {**LOCAL, **PLACES[row.pop("place", "local")], **row}


def compare(profile, bundle, engine, names):
    seen = set()
    for document in rows(names):
        full = placed(document)
        assert valid(full, WAIVABLE)
        expected = refused(profile, full)
        ruling = decide(engine, bundle.settings, document)
        assert {f.rule for f in ruling.findings if f.refuses} == expected, document
        assert ruling.allowed == (not expected)
        assert all(f.reason and f.satisfy for f in ruling.findings if f.refuses)
        seen.add(frozenset(expected))
    return seen


@pytest.mark.parametrize("profile", ["solo", "team", "regulated"])
def test_the_checklist_of_who_sends_which_data_where_equals_an_independent_decision(profile, bundles, engines):
    seen = compare(profile, bundles[profile], engines[profile], ("sensitivity", "consent", "place", "data_region"))
    seen |= compare(profile, bundles[profile], engines[profile], ("place", "export_class", "risk_tier", "approvals"))
    assert len(seen) > (3 if profile == "solo" else 12)


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["solo", "team", "regulated"])
def test_the_whole_checklist_equals_an_independent_decision(profile, bundles, engines):
    bundle, engine = bundles[profile], engines[profile]
    people = ("activity", "sensitivity", "consent", "risk_tier", "place", "data_region", "manifest", "approvals")
    compare(profile, bundle, engine, people)
    compare(
        profile,
        bundle,
        engine,
        ("activity", "sensitivity", "place", "export_class", "purpose", "approvals", "cost_micro"),
    )


class Says(Engine):
    """Answers, or raises, what it is told."""

    name, version = "says", "1"

    def __init__(self, what):
        self.what = what

    def ask(self, given):
        if isinstance(self.what, BaseException):
            raise self.what
        return self.what


EVIDENCE = frozenset({"reach", "price"})


class Truthy:
    allow, errors, controls, forbids, obligations, words, revision = "true", (), EVIDENCE, (), (), {}, ""


@pytest.mark.parametrize(
    ("what", "code"),
    [
        (RuntimeError("crash"), "E_ENGINE"),
        (RecursionError(), "E_ENGINE"),
        (MemoryError(), "E_ENGINE"),
        (EngineFailed("E_TIMEOUT", "late"), "E_TIMEOUT"),
        (EngineFailed("made up", "?"), "E_ENGINE"),
        (None, "E_UNDEFINED"),
        (True, "E_UNDEFINED"),
        ({"allow": True}, "E_UNDEFINED"),
        (Truthy(), "E_UNDEFINED"),
        (Answer(allow="false", controls=EVIDENCE), "E_UNDEFINED"),
        (Answer(allow=1, controls=EVIDENCE), "E_UNDEFINED"),
        (Answer(allow=True), "E_NO_EVIDENCE"),
        (Answer(allow=True, controls=frozenset({"reach"})), "E_NO_EVIDENCE"),
        (Answer(allow=True, controls=frozenset({"Reach", "price"})), "E_NO_EVIDENCE"),
        (Answer(allow=True, controls=EVIDENCE, errors=("overflow",)), "E_ERRORS"),
        (Answer(allow=True, controls=EVIDENCE, forbids=("x",)), "E_FORBIDDEN"),
        (Answer(allow=False, controls=EVIDENCE), "E_NOT_PERMITTED"),
    ],
)
def test_whatever_an_engine_does_only_a_proven_allow_allows(what, code, bundles):
    facts = {**placed(REMOTE), "sensitivity": "public"}
    ruling = decide(Says(what), bundles["solo"].settings, facts)
    assert ruling.verdict == "deny"
    assert code in {f.code for f in ruling.findings}


def test_a_proven_allow_allows(bundles):
    ruling = decide(Says(Answer(allow=True, controls=EVIDENCE)), bundles["solo"].settings, placed(REMOTE))
    assert ruling.allowed
    assert ruling.controls == (("reach", "pass"), ("price", "pass"))


def test_an_overflow_in_a_rule_denies_although_cedar_allows(bundles):
    bundle = bundles["solo"]
    text = """
    @id("sum") @reason("r") @satisfy("s")
    forbid (principal, action, resource) when { context.rows * 9000000000000000 * context.rows > 1 };
    """
    engine = CedarEngine(evolve(bundle, files={**bundle.files, "sum.cedar": text}))
    answer = engine.ask(prepare(bundle.settings, LOCAL | {"rows": 10**15}))
    assert answer.allow  # this is what fails open
    ruling = decide(engine, bundle.settings, LOCAL | {"rows": 10**15})
    assert [f.code for f in ruling.findings] == ["E_ERRORS"]
    assert ruling.verdict == "deny"


DOWN = [Finding(code="E_UNREACHABLE", reason="no server")]


@pytest.mark.parametrize(
    ("changes", "allowed"),
    [
        ({}, True),
        ({"device": "surrogate"}, True),
        ({"sensitivity": "public"}, True),
        ({"cost_micro": 1}, False),
        ({"cost_micro": None}, False),
        ({"sensitivity": "personal"}, False),
        ({"consent": "withdrawn"}, False),
        ({"manifest": "failed"}, False),
        ({"activity": "train"}, False),
        ({"activity": "train", "sensitivity": "synthetic"}, True),
        (REMOTE, False),
        ({**REMOTE, "backend": "braket:local", "cost_micro": 0}, False),
    ],
)
def test_without_a_policy_only_harmless_work_in_this_process_goes_on(changes, allowed, bundles):
    settings = bundles["team"].settings
    ruling = decide_without(settings, LOCAL | changes, DOWN)
    assert ruling.allowed == allowed
    if allowed:
        assert [f.code for f in ruling.findings] == ["I_LOCAL_WHEN_DOWN"]
    assert not decide_without(evolve(settings, local_when_down=False), LOCAL | changes, DOWN).allowed


@pytest.mark.parametrize(
    "contradiction", [{"device": "qpu"}, {"region": "eu"}, {"provider": "ibm"}, {"zone": "outside"}]
)
def test_facts_that_contradict_each_other_are_refused(contradiction, bundles, engines):
    ruling = decide(engines["solo"], bundles["solo"].settings, LOCAL | contradiction)
    assert [f.code for f in ruling.findings] == ["E_INPUT"]


def test_an_engine_decides_in_several_threads(bundles, engines):
    from concurrent.futures import ThreadPoolExecutor

    plans = [{**LOCAL, "consent": consent} for consent in ("given", "withdrawn")] * 20
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda p: decide(engines["team"], bundles["team"].settings, p).verdict, plans))
    assert found == ["allow", "deny"] * 20


@pytest.mark.parametrize(
    ("name", "word"),
    [("sensitivity", "PUBLIC"), ("consent", "Withdrawn"), ("zone", ""), ("cost_micro", 2**63), ("cost_micro", "1")],
)
def test_the_schema_refuses_a_foreign_word_that_a_rule_reads_where_the_typed_input_did_not(
    name, word, bundles, engines
):
    given = prepare(bundles["solo"].settings, LOCAL)
    object.__setattr__(given, name, word)
    with pytest.raises(EngineFailed) as failed:
        engines["solo"].ask(given)
    assert failed.value.code == "E_UNDEFINED"
