"""The Cedar engine asks forbids and permits apart, with the fields they read; Cedar asked for everything agrees."""

from pathlib import Path
from runpy import run_path

import cedarpy
import pytest
from attrs import evolve

from qimg_core.admission_input import AdmissionInput
from qimg_core.errors import ConfigurationError
from qimg_policy.bundle import shipped, shipped_bundle
from qimg_policy.cedar import CedarEngine
from qimg_policy.kernel import decide, prepare
from qimg_policy.lint import lint
from qimg_policy.pin import check_pinnable
from qimg_policy.rules import facts_read, read_rules
from qimg_policy.schema import CEDAR_TYPES, cedar_context, context_types, schema_text

inputs = run_path(str(Path(__file__).parent / "policy_inputs.py"))["inputs"]
LOCAL = run_path(str(Path(__file__).parent / "policy_inputs.py"))["LOCAL"]
CEDAR = tuple(n for n in shipped() if shipped_bundle(n).settings.engine.kind == "cedar")
SAYS = '@id("{0}") @reason("r") @satisfy("s")\n'


def whole(bundle):
    """Asks Cedar for all policies at once, with the file's schema and every field; and what is satisfied."""
    settings = bundle.settings
    schema = cedarpy.Schema.from_str(schema_text(settings))
    names = {r.id for r in bundle.rules if r.effect == "forbid"}
    told = cedarpy.PolicySet.from_str(bundle.policies)
    permits = bundle.policies.replace("forbid (principal", "permit (principal")  # a forbid hides the permits
    assert (permits == bundle.policies) == (not names)
    shown = cedarpy.PolicySet.from_str(permits)

    def ask(given):
        request = {
            "principal": 'Run::"run"',
            "action": f'Action::"{given.activity}"',
            "resource": 'Device::"device"',
            "context": cedar_context(given, context_types(settings), settings.environment),
        }
        decision = cedarpy.is_authorized(request, told, [], schema).decision
        ids = set(cedarpy.is_authorized(request, shown, [], schema).diagnostics.id_annotations_by_reason.values())
        return decision is cedarpy.Decision.Allow, ids & names, ids - names

    return ask


def valid(bundle, n, seed):
    for document in inputs(n, seed):
        try:
            yield prepare(bundle.settings, document)
        except ConfigurationError:
            continue


@pytest.mark.parametrize("name", CEDAR)
def test_the_parts_decide_as_the_whole(name):
    bundle = shipped_bundle(name)
    engine, cedar, seen = CedarEngine(bundle), whole(bundle), set()
    for given in valid(bundle, 160, 31):
        answer = engine.ask(given)
        assert (answer.allow, set(answer.forbids), set(answer.controls)) == cedar(given)
        assert answer.errors == ()
        seen.add((answer.allow, bool(answer.forbids)))
    assert len(seen) >= (2 if name in ("solo", "team", "regulated") else 1)


def with_rule(text, name="solo"):
    bundle = shipped_bundle(name)
    return evolve(bundle, files={**bundle.files, "more.cedar": text})


@pytest.mark.parametrize("effect", ["permit", "forbid"])
def test_an_error_in_either_part_denies_and_names_its_rule(effect):
    text = (
        SAYS.format("sum") + effect + "(principal, action, resource) when { context.rows * 9000000000000000000 > 1 };"
    )
    bundle = with_rule(text)
    ruling = decide(CedarEngine(bundle), bundle.settings, {**LOCAL, "rows": 10**15})
    assert [f.code for f in ruling.findings] == ["E_ERRORS"]
    assert "`sum`" in ruling.findings[0].reason
    assert "overflow" in ruling.findings[0].reason


def test_a_forbid_of_everything_and_a_forbid_without_context_forbid():
    for condition in ("", ' when { action == Action::"generate" }', " unless { false }"):
        bundle = with_rule(SAYS.format("never") + f"forbid (principal, action, resource){condition};")
        answer = CedarEngine(bundle).ask(prepare(bundle.settings, LOCAL))
        assert (answer.allow, answer.forbids) == (False, ("never",))
        assert {"reach", "price"} <= answer.controls


@pytest.mark.parametrize(
    ("condition", "facts"),
    [
        ("when { true }", set()),
        ("when { context.shots > 5 }", {"shots"}),
        ("unless { context has cost_micro && context.cost_micro > 5 }", {"cost_micro"}),
        (
            'when { ["x"].contains(context.backend) || !(if context.provider_approved then true else false) }',
            {"backend", "provider_approved"},
        ),
        (
            'when { !context.approvals.contains(Approval::"data") && {a: context.rows}.a == 1 }',
            {"approvals", "rows"},
        ),
        ('when { {"Value": context has cost_micro && context.cost_micro >= 0}["Value"] }', {"cost_micro"}),
        ('when { {"has": {"Record": context.jobs}}["has"]["Record"] == 1 }', {"jobs"}),
        ('when { context["jobs"] == 1 }', {"jobs"}),
        ("when { context == context }", None),
        ("when { {a: context}.a.shots == 1 }", None),
    ],
)
def test_the_facts_that_a_rule_reads_are_found_or_all_are_kept(condition, facts):
    rules = read_rules(SAYS.format("x") + f"permit (principal, action, resource) {condition};")
    found = facts_read(rules)
    assert found == facts
    bundle = with_rule(SAYS.format("x") + f"forbid (principal, action, resource) {condition};")
    answer = CedarEngine(bundle).ask(prepare(bundle.settings, LOCAL))
    assert answer.errors == ()
    assert (answer.allow, set(answer.forbids), set(answer.controls)) == whole(bundle)(AdmissionInput.read(LOCAL))


@pytest.mark.parametrize(
    ("condition", "wrong"),
    [
        ('context.sensitivity == Sensitivity::"persnal"', "persnal"),
        ("context.shotz > 3", "shotz"),
        ("context has shotz && context.shotz > 3", "shotz"),
        ("!(context has cost_macro) || context.shots > 3", "cost_macro"),
        ("context has environment", "environment"),
    ],
)
def test_a_rule_about_a_word_or_a_field_that_no_input_has_is_refused_before_it_decides(condition, wrong):
    bundle = with_rule(SAYS.format("x") + f"forbid (principal, action, resource) when {{ {condition} }};")
    for refuse in (CedarEngine, lambda b: check_pinnable(b, [])):
        with pytest.raises(ConfigurationError, match=wrong):
            refuse(bundle)
    assert [(r.level, r.where) for r in lint(bundle) if wrong in r.what][:1] == [("error", "x")]


def test_what_is_asked_has_the_fields_that_are_read_and_no_others():
    engine = CedarEngine(shipped_bundle("solo"))
    assert set(engine._forbids.types) == {"consent"}
    assert set(engine._permits.types) == {"zone", "provider_approved", "sensitivity", "cost_micro"}
    assert len(CEDAR_TYPES) > 20


def test_the_environment_is_in_the_schema_of_a_bundle_that_names_it_and_only_there():
    rule = SAYS.format("dev") + (
        'forbid (principal, action, resource) when { context.environment == Environment::"production" };'
    )
    found = shipped_bundle("solo")
    assert "Environment" not in schema_text(found.settings)
    for word, forbids in (("development", ()), ("production", ("dev",))):
        text = found.files["policy.toml"].replace('profile = "solo"', f'profile = "solo"\nenvironment = "{word}"')
        bundle = evolve(found, files={**found.files, "policy.toml": text, "more.cedar": rule})
        bundle = evolve(bundle, files={**bundle.files, "schema.cedarschema": schema_text(bundle.settings)})
        assert cedarpy.validate_policies(bundle.policies, schema_text(bundle.settings)).validation_passed
        assert CedarEngine(bundle).ask(prepare(bundle.settings, LOCAL)).forbids == forbids
    assert not cedarpy.validate_policies(rule, schema_text(found.settings)).validation_passed
