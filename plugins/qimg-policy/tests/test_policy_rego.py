"""The profile team in Rego, by a real evaluator over HTTP: the same decisions as in Cedar; Rego's traps stay closed."""

import collections
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
from attrs import evolve

pytest.importorskip("regopy", reason="wants a Rego evaluator: pip install regopy")

from qimg_core import CircuitBuilder, ExecutionRequest, Expectation, Registry, Session, pauli
from qimg_core.errors import AdmissionDenied
from qimg_core.jobs import Polling
from qimg_core.ledger import SQLiteLedger
from qimg_core.testing import FakeProvider
from qimg_core.verdict import Verdict
from qimg_policy import plugin
from qimg_policy.bundle import shipped_bundle
from qimg_policy.cases import BASES, run_cases
from qimg_policy.cedar import CedarEngine
from qimg_policy.kernel import decide, prepare
from qimg_policy.lint import lint
from qimg_policy.opa import OpaEngine
from qimg_policy.pin import write_pin
from qimg_policy.replaying import replay
from qimg_policy.settings import Environment

HERE = Path(__file__).parent
serving = run_path(str(HERE / "policy_rego_server.py"))["serving"]
made = run_path(str(HERE / "policy_inputs.py"))
check, inputs, REMOTE, LOCAL = made["check"], made["inputs"], made["REMOTE"], made["LOCAL"]
TEAM, REGO = shipped_bundle("team"), shipped_bundle("team-rego")
MODULE = REGO.files["team.rego"]
PUBLIC = {**BASES["remote"], "sensitivity": "public", "export_class": "not_controlled"}


def settings_at(server, **changes):
    return evolve(REGO.settings, engine=evolve(REGO.settings.engine, url=server.url, **changes))


@pytest.fixture(scope="module")
def server():
    with serving(MODULE, "team-1") as found:
        yield found


@pytest.fixture(scope="module")
def cedar():
    return CedarEngine(TEAM)


def ask(module, facts=PUBLIC, served="", **changes):
    """The kernel's ruling, and how often the server was asked."""
    with serving(module, served) as found:
        s = settings_at(found, **{"revision": "", **changes})
        engine = OpaEngine(s)
        ruling = decide(engine, s, facts)
        engine.close()
        return ruling, found.asked


def codes(ruling):
    return {f.code for f in ruling.findings if f.refuses}


def differing(n, seed, server, cedar):
    """Inputs that come out otherwise, and how many came out how."""
    s, wrong, seen = settings_at(server), [], collections.Counter()
    rego = OpaEngine(s)
    for document in inputs(n, seed):
        one, other = decide(cedar, TEAM.settings, document), decide(rego, s, document)
        seen[other.verdict if "E_INPUT" not in codes(other) else "malformed"] += 1
        same = [
            (r.verdict, [f.to_json() for f in r.findings], r.controls, r.obligations, r.input_digest)
            for r in (one, other)
        ]
        if same[0] != same[1]:
            wrong.append((document, same))
        if other.allowed and check["refused"]("team", check["placed"](document)):
            wrong.append((document, "wrongly allowed by both"))
    rego.close()
    return wrong, seen


def test_generated_inputs_come_out_the_same_in_rego_and_in_cedar(server, cedar):
    before = server.asked
    wrong, seen = differing(400, 21, server, cedar)
    assert wrong == []
    assert min(seen[k] for k in ("allow", "deny", "needs_approval", "malformed")) > 2
    assert server.asked - before == sum(seen.values()) - seen["malformed"]  # what is malformed is not even asked


@pytest.mark.slow
def test_a_hundred_thousand_generated_inputs_come_out_the_same_in_rego_and_in_cedar(server, cedar):
    wrong, seen = differing(100_000, 22, server, cedar)
    assert wrong == []
    assert seen["allow"] > 1_000


def test_the_bundle_lints_passes_its_cases_and_they_are_those_of_the_cedar_bundle(server):
    assert lint(REGO) == ()
    assert REGO.files["tests/cases.json"] == TEAM.files["tests/cases.json"]
    here = settings_at(server)
    engine = OpaEngine(here)
    bundle = evolve(
        REGO, files={**REGO.files, "policy.toml": REGO.files["policy.toml"].replace(REGO_URL, here.engine.url)}
    )
    outcomes = run_cases(engine, bundle)
    engine.close()
    assert [o.problem for o in outcomes if o.problem] == []
    assert len(outcomes) > 20


REGO_URL = REGO.settings.engine.url


def test_the_settings_of_both_bundles_differ_in_name_and_engine_only():
    assert evolve(REGO.settings, name="team", engine=TEAM.settings.engine) == TEAM.settings


@pytest.mark.parametrize("given", [{}, {"zone": "outside"}, {"approvals": []}])
def test_what_lacks_everything_satisfies_nothing(given, server):
    result = server.value("qimg/admission", given)["result"]
    assert (result["allow"], result["controls"]) == (False, [])


@pytest.mark.parametrize("field", sorted(prepare(TEAM.settings, PUBLIC).to_json()))
def test_without_a_field_the_rego_never_has_more_evidence_nor_with_one_of_another_type(field, server):
    whole = prepare(TEAM.settings, PUBLIC).to_json()
    full = set(server.value("qimg/admission", whole)["result"]["controls"])
    for odd in (None, "", 0, True, [], {}, "PUBLIC", ["public"], {"cost": 1}):
        found = server.value("qimg/admission", {**whole, field: odd})["result"]["controls"]
        assert set(found) <= full, (field, odd)
    assert (
        set(server.value("qimg/admission", {k: v for k, v in whole.items() if k != field})["result"]["controls"])
        <= full
    )


NAIVE = """
package qimg
import rego.v1
deny contains "reach" if input.sensitivity == "personal"
deny contains "price" if input.cost_micro > 50000000
admission := {"allow": count(deny) == 0}
"""


def test_a_deny_list_allows_what_is_missing_and_the_kernel_does_not():
    with serving(NAIVE) as found:
        assert found.value("qimg/admission", {})["result"]["allow"] is True  # this is what fails open
        s = settings_at(found, revision="")
        engine = OpaEngine(s)
        assert codes(decide(engine, s, {})) == {"E_INPUT"}
        assert found.asked == 0
        assert codes(decide(engine, s, {**PUBLIC, "cost_micro": None})) == {"E_NO_EVIDENCE"}
        engine.close()


def test_an_undefined_document_denies():
    assert codes(ask("package other\nallow := true")[0]) == {"E_UNDEFINED"}


def test_a_missing_default_makes_the_whole_answer_undefined_and_denies():
    without = MODULE.replace("default allow := false", "")
    assert without != MODULE
    assert ask(without, served="team-1")[0].allowed  # where it is defined
    ruling, asked = ask(without, {**PUBLIC, "consent": "withdrawn"})
    assert (codes(ruling), asked) == ({"E_UNDEFINED"}, 1)


EVERY = '["reach", "residency", "consent", "export", "price"]'


@pytest.mark.parametrize(
    ("controls", "code"),
    [
        (EVERY, ""),
        (EVERY.replace("[", "{").replace("]", "}"), ""),  # a set is an array in JSON
        ('{"reach": true, "residency": true, "consent": true, "export": true, "price": true}', "E_UNDEFINED"),
        ('"reach residency consent export price"', "E_UNDEFINED"),
        (f"[{EVERY}]", "E_UNDEFINED"),
        ("set()", "E_NO_EVIDENCE"),
    ],
)
def test_controls_are_a_set_or_an_array_of_names_and_nothing_else(controls, code):
    module = f'package qimg\nimport rego.v1\nadmission := {{"allow": true, "controls": {controls}}}'
    ruling, asked = ask(module)
    assert asked == 1
    assert (ruling.allowed, codes(ruling)) == (not code, {code} - {""})


def test_an_error_of_a_builtin_denies():
    broken = f'package qimg\nimport rego.v1\nadmission := {{"allow": true, "controls": {EVERY}, "errors": [x]}}\n'
    assert codes(ask(broken + "x := 1 / 0")[0]) & {"E_UNDEFINED", "E_ENGINE"}
    assert not ask(broken + "x := 1 / 0")[0].allowed
    assert codes(ask(broken + 'x := "told"')[0]) == {"E_ERRORS"}


def test_numbers_up_to_the_bound_are_exact_and_larger_ones_are_not_asked(server):
    price = "package qimg\nimport rego.v1\nsame if input.a == input.b\nless if input.cost_micro <= 50000000"
    with serving(price) as found:
        assert found.value("qimg/same", {"a": 10**15, "b": 10**15 - 1}) == {}
        assert found.value("qimg/same", {"a": 2**53, "b": 2**53 + 1}) == {}  # not by way of doubles
        # This evaluator keeps numbers in 64 bits and wraps: a cost of 2^64 is nothing. Hence the kernel's bound.
        assert found.value("qimg/less", {"cost_micro": 2**64}) == {"result": True}
    s = settings_at(server)
    engine, before = OpaEngine(s), server.asked
    for number in (10**15 + 1, 2**53, 2**53 + 1, 2**63, 2**64, 10**40, 5e7, -1, True):
        assert codes(decide(engine, s, {**PUBLIC, "cost_micro": number})) == {"E_INPUT"}
    assert server.asked == before
    ruling = decide(engine, s, {**PUBLIC, "cost_micro": 10**15})
    assert [(f.code, f.rule) for f in ruling.findings] == [("E_NO_EVIDENCE", "price")]
    engine.close()


@pytest.mark.parametrize(
    ("told", "wanted", "allowed"),
    [("team-1", "team-1", True), ("team-2", "team-1", False), ("", "team-1", False), ("team-2", "", True)],
)
def test_the_servers_revision_is_on_record_and_another_one_is_drift(told, wanted, allowed):
    ruling, _ = ask(MODULE, served=told, revision=wanted)
    assert ruling.revision == told
    assert ruling.allowed == allowed
    assert codes(ruling) == (set() if allowed else {"E_DRIFT"})
    assert ruling.engine_version.startswith("opa rego-cpp 1.")


def test_the_digest_covers_the_settings_the_cases_and_the_rego_beside_them():
    assert set(REGO.files) == {"policy.toml", "team.rego", "tests/cases.json"}
    assert evolve(REGO, files={**REGO.files, "team.rego": MODULE + "\n"}).digest != REGO.digest


@pytest.mark.parametrize(
    "words",
    ["1", '{"reach": "told"}', '{"reach": {"reason": 1}}', '{"reach": {"why": "x"}}', '{"reach": {"approval": "all"}}'],
)
def test_words_of_another_form_deny(words):
    module = f'package qimg\nimport rego.v1\nadmission := {{"allow": true, "controls": {EVERY}, "words": {words}}}'
    assert codes(ask(module)[0]) == {"E_UNDEFINED"}


def test_the_environment_is_a_fact_of_a_bundle_that_names_it():
    module = MODULE.replace(
        "default allow := false", 'default allow := false\nallow if input.environment == "development"'
    )
    refused = {**PUBLIC, "consent": "withdrawn"}
    with serving(module) as found:
        for environment, allow in (("unnamed", False), ("development", True), ("production", False)):
            s = evolve(settings_at(found), environment=Environment(environment))
            engine = OpaEngine(s)
            assert engine.ask(prepare(s, refused)).allow == allow
            engine.close()


ROW = '\n[[device]]\nbackend = "fake-provider"\nprovider = "ibm"\nzone = "outside"\nregion = "eu"\napproved = true\n'


def test_a_ledger_that_pins_the_bundle_decides_by_the_server_and_replays_the_same(tmp_path, monkeypatch):
    monkeypatch.delenv("QIMG_POLICY", raising=False)
    registry = Registry(discover=False)
    registry.register(plugin, "policy")
    circuit = CircuitBuilder(1)
    asked = ExecutionRequest(
        circuit=circuit.ry(0, circuit.input("x")).build(),
        inputs=np.ones((2, 1)),
        weights=np.zeros(0),
        measurement=Expectation([pauli("Z0")]),
        shots=10,
    )
    fake, wait = FakeProvider(), Polling(sleep=lambda s: None)
    with SQLiteLedger.open(tmp_path / "log") as ledger:
        with serving(MODULE, "team-1") as found:
            text = REGO.files["policy.toml"].replace(REGO_URL, found.url) + ROW
            write_pin(ledger, evolve(REGO, files={**REGO.files, "policy.toml": text}), [])
            with Session(ledger, seed=1, backend=fake, registry=registry, polling=wait) as s:
                with pytest.raises(AdmissionDenied, match="E_NO_EVIDENCE reach: data leaves this machine only to"):
                    s.execute(asked)
            assert fake.submits == 0
            stated = {"sensitivity": "public", "export_class": "not_controlled"}
            with Session(ledger, seed=1, backend=fake, registry=registry, polling=wait, context=stated) as s:
                s.execute(asked)
            decided = list(ledger.entries(kind="policy.decided"))
            assert [e.facts["verdict"] for e in decided] == ["deny", "allow"]
            assert {(e.facts["engine"], e.facts["revision"]) for e in decided} == {("opa", "team-1")}
            assert [replay(ledger, e).verdict for e in decided] == [Verdict.PASS] * 2
        assert [replay(ledger, e).verdict for e in decided] == [Verdict.INCONCLUSIVE] * 2  # the server is gone
