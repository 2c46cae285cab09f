"""Bundles: the shipped ones, signatures (against securesystemslib), lint, mutants, strict settings, typed inputs."""

import base64
import copy
import json

import pytest
from attrs import evolve

from qimg_core.admission_input import LARGEST, AdmissionInput
from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger import canonical
from qimg_core.storage import sha256_digest
from qimg_policy.bundle import SCHEMA, SETTINGS, Bundle, find_bundle, from_canonical, read_bundle, shipped, write_bundle
from qimg_policy.bundle import shipped_bundle as shipped_one
from qimg_policy.cases import read_cases, run_cases
from qimg_policy.cedar import CedarEngine
from qimg_policy.dsse import pae, seal, unseal
from qimg_policy.keys import PublicKey, SigningKey, load_key, load_public, make_key
from qimg_policy.lint import lint
from qimg_policy.mutation import mutate
from qimg_policy.schema import schema_text
from qimg_policy.settings import read_settings

KEY, OTHER = SigningKey("alice", bytes(32)), SigningKey("bob", bytes([7] * 32))


CEDAR = tuple(n for n in shipped() if shipped_one(n).settings.engine.kind == "cedar")


@pytest.mark.parametrize("name", CEDAR)
def test_every_shipped_bundle_lints_and_passes_its_own_cases(name):
    bundle = shipped_one(name)
    assert lint(bundle) == ()
    outcomes = run_cases(CedarEngine(bundle), bundle)
    assert [o.problem for o in outcomes if o.problem] == []
    assert {o.ruling.verdict for o in outcomes} >= {"allow", "deny"}


@pytest.mark.parametrize("name", ["solo", "team"])
def test_every_mutant_of_a_profile_is_noticed(name):
    mutants = mutate(shipped_one(name))
    assert len(mutants) > 10
    assert [m.what for m in mutants if m.killed_by is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in CEDAR if n not in ("solo", "team")])
def test_every_mutant_of_the_other_shipped_bundles_is_noticed(name):
    assert [m.what for m in mutate(shipped_one(name)) if m.killed_by is None] == []


def test_a_mutant_that_no_case_notices_survives():
    bundle = shipped_one("solo")
    cases = json.loads(bundle.files["tests/cases.json"])
    cases["cases"] = [c for c in cases["cases"] if "withdrawn" not in c["name"]]
    fewer = evolve(bundle, files={**bundle.files, "tests/cases.json": json.dumps(cases)})
    survived = [m.what for m in mutate(fewer) if m.killed_by is None]
    assert "withdrawn: deleted" in survived
    assert all(what.startswith("withdrawn") for what in survived)


def test_the_pae_is_that_of_the_specification():
    # protocol.md of DSSE, "Test vectors"
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_a_signature_is_accepted_by_an_independent_implementation_and_a_changed_payload_is_not():
    pytest.importorskip("securesystemslib")
    from securesystemslib.dsse import Envelope
    from securesystemslib.exceptions import VerificationError
    from securesystemslib.signer import SSlibKey

    bundle = shipped_one("solo")
    document = json.loads(bundle.signed([KEY, OTHER]))
    keys = [SSlibKey(k.public.id, "ed25519", "ed25519", {"public": k.public.raw.hex()}) for k in (KEY, OTHER)]
    Envelope.from_dict(copy.deepcopy(document)).verify(keys, 2)
    statement = json.loads(base64.b64decode(document["payload"]))
    assert statement["_type"] == "https://in-toto.io/Statement/v1"
    assert statement["subject"][0]["digest"]["sha256"] == bundle.digest.removeprefix("sha256:")
    statement["subject"][0]["digest"]["sha256"] = "0" * 64
    document["payload"] = base64.b64encode(canonical.dumps(statement)).decode()
    with pytest.raises(VerificationError):
        Envelope.from_dict(copy.deepcopy(document)).verify(keys, 1)
    with pytest.raises(ConfigurationError, match="does not hold"):
        unseal(json.dumps(document).encode(), statement["predicateType"], [KEY.public])


def test_forged_foreign_and_stale_signatures():
    bundle = shipped_one("solo")
    signed = evolve(bundle, signature=bundle.signed([KEY]))
    assert signed.signed_by([KEY.public, OTHER.public]) == (KEY.public,)
    assert signed.signed_by([OTHER.public]) == ()
    assert bundle.signed_by([KEY.public]) == ()
    changed = evolve(signed, files={**bundle.files, SETTINGS: bundle.files[SETTINGS] + "\n"})
    with pytest.raises(ConfigurationError, match="over another bundle"):
        changed.signed_by([KEY.public])
    envelope = json.loads(signed.signature)
    envelope["signatures"][0]["sig"] = base64.b64encode(OTHER.sign(b"x")).decode()
    with pytest.raises(ConfigurationError, match="does not hold"):
        evolve(signed, signature=json.dumps(envelope).encode()).signed_by([KEY.public])
    envelope["signatures"][0]["keyid"] = OTHER.public.id  # under another's name
    with pytest.raises(ConfigurationError, match="does not hold"):
        evolve(signed, signature=json.dumps(envelope).encode()).signed_by([KEY.public, OTHER.public])
    other = seal("urn:qimg:approval:1", {"x": bundle.digest}, {}, [KEY])
    with pytest.raises(ConfigurationError, match="of another type"):
        evolve(signed, signature=other).signed_by([KEY.public])
    for nonsense in (b"", b"{}", b"[]", b'{"payload": 1}', b"\xff"):
        with pytest.raises(ConfigurationError, match="not a DSSE envelope"):
            evolve(signed, signature=nonsense).signed_by([KEY.public])


def test_the_digest_is_of_every_file_and_survives_a_ledger(tmp_path):
    bundle = shipped_one("team")
    write_bundle(bundle, tmp_path)
    assert read_bundle(tmp_path).digest == bundle.digest == sha256_digest(bundle.canonical)
    assert from_canonical(bundle.canonical).digest == bundle.digest
    for name in sorted(bundle.files):
        was = (tmp_path / name).read_text()
        (tmp_path / name).write_text(was + " ")
        assert read_bundle(tmp_path).digest != bundle.digest
        (tmp_path / name).write_text(was)
    (tmp_path / "more.cedar").write_text("")
    assert read_bundle(tmp_path).digest != bundle.digest
    for data in (b"", b"{}", b"[]", b'{"files":{"a":1},"format":"qimg.policy-bundle/1"}'):
        with pytest.raises(LedgerCorrupt):
            from_canonical(data)


def test_a_link_in_a_bundle_is_refused(tmp_path):
    write_bundle(shipped_one("solo"), tmp_path / "b")
    (tmp_path / "x.cedar").write_text("")
    (tmp_path / "b" / "more.cedar").symlink_to(tmp_path / "x.cedar")
    with pytest.raises(ConfigurationError, match="is a link"):
        read_bundle(tmp_path / "b")


def changed(name="solo", cedar=None, **texts):
    bundle = shipped_one(name)
    files = dict(bundle.files)
    for old, new in texts.items():
        assert old in files[SETTINGS]
        files[SETTINGS] = files[SETTINGS].replace(old, new)
    if cedar is not None:
        files[f"{name}.cedar"] += cedar
    draft = Bundle(files)
    try:
        return Bundle({**files, SCHEMA: schema_text(draft.settings)})
    except ConfigurationError:
        return draft


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ({'mandatory = ["reach", "price"]': "mandatory = []"}, "mandatory is empty"),
        ({'mandatory = ["reach", "price"]': 'mandatroy = ["reach"]'}, "mandatory is empty|unknown mandatroy"),
        ({'mandatory = ["reach", "price"]': 'mandatory = ["reach"]\nextra = 1'}, "unknown extra"),
        ({'profile = "solo"': 'profile = "Solo"'}, "one of solo, team, regulated"),
        ({'format = "qimg.policy/1"': 'format = "qimg.policy/2"'}, "one of qimg.policy/1"),
        ({'zone = "outside"': 'zone = "process"'}, "only what runs in this process"),
        ({'provider = "ibm"': 'provider = "here"'}, "cannot have the provider"),
        ({'backend = "ionq"': 'backend = "ibm"'}, r"two \[\[device\]\] rows"),
        ({"approved = true": 'approved = "yes"'}, "true or false"),
        ({"[unreachable]\nlocal = true": "[unreachable]\nlocal = 1"}, "true or false"),
        ({"[unreachable]": "[unreachable"}, "no TOML"),
        ({"[unreachable]": '[engine]\nkind = "opa"\n[unreachable]'}, "wants url"),
        ({"[unreachable]": '[engine]\nkind = "opa"\nurl = "http://u:p@h"\n[unreachable]'}, "url"),
        ({"[unreachable]": '[context]\nsensitivity = "Public"\n[unreachable]'}, "sensitivity"),
        ({"[unreachable]": '[context]\nactivity = "train"\n[unreachable]'}, "unknown activity"),
    ],
)
def test_settings_are_read_strictly(texts, words):
    with pytest.raises(ConfigurationError, match=words):
        read_settings(changed(**texts).files[SETTINGS])


RULE = '\n@id("{0}") @reason("r") @satisfy("s") {1} (principal, action, resource) {2};'


@pytest.mark.parametrize(
    ("cedar", "words"),
    [
        (RULE.format("x", "forbid", 'when { context.sensitivity == Sensitivity::"Public" }'), "x|Public|policy"),
        (RULE.format("x", "forbid", "when { context.cost_micro > 1 }"), "cost_micro"),
        (RULE.format("x", "forbid", 'when { context.sensitvity == Sensitivity::"public" }'), "sensitvity"),
        (RULE.format("x", "forbid", 'when { context.provider == Provider::"acme" }'), "acme|policy"),
        (RULE.format("x", "permit", ""), "decides nothing"),
        (RULE.format("x", "forbid", 'when { context.backend like "ibm*" }'), "look-alike"),
        (RULE.format("x", "forbid", 'when { context.risk_tier == RiskTier::"high" }'), "no case in tests"),
        (RULE.format("reach", "forbid", ""), "two policies have the id"),
        (RULE.format("X!", "forbid", ""), "without a good @id"),
        ("\npermit (principal, action, resource);", "without a good @id"),
        ('\n@id("x") permit (principal, action, resource);', "no @reason"),
        ('\n@id("x") @reason("r") permit (principal, action, resource);', "no @satisfy"),
        ('\n@id("x") @reason("r") @satisfy("s") @oblige("c2pa") permit (principal, action, resource);', "@oblige"),
        ('\n@id("x") @reason("r") @satisfy("s") @obligation("C2PA") permit (principal, action, resource);', "C2PA"),
        ('\n@id("x") @reason("r") @satisfy("s") @obligation("c2pa") forbid (principal, action, resource);', "oblige"),
        (
            '\n@id("x") @reason("r") @satisfy("s") @approval("all") forbid (principal, action, resource);',
            "approval all",
        ),
        ("\npermit(", "no Cedar"),
        ('\n@id("x") @reason("r") @satisfy("s") permit (principal == ?principal, action, resource);', "template"),
    ],
)
def test_lint_names_what_is_wrong_with_a_rule(cedar, words):
    import re

    remarks = lint(changed(cedar=cedar))
    assert any(re.search(words, f"{r.where} {r.what}") for r in remarks), remarks


def test_lint_of_profiles():
    bundle = changed("regulated", **{"[signature]\nrequired = true": "[signature]\nrequired = false"})
    assert any("regulated wants" in r.what for r in lint(bundle))
    stated = changed("regulated", **{"[unreachable]": '[context]\nsensitivity = "public"\n[unreachable]'})
    assert any("from the caller" in r.what for r in lint(stated))
    bundle = shipped_one("solo")
    stale = evolve(bundle, files={**bundle.files, SCHEMA: bundle.files[SCHEMA].replace("personal", "Personal")})
    assert any("--write-schema" in r.what for r in lint(stale))
    lonely = f'[approvals]\npersons = 2\n[[approvals.approver]]\nkey = "{KEY.public}"\nmay = ["cost"]\n[unreachable]'
    assert any("2 persons have to approve" in r.what for r in lint(changed(**{"[unreachable]": lonely})))
    empty = evolve(bundle, files={k: v for k, v in bundle.files.items() if "tests" not in k})
    assert any("no tests" in r.what for r in lint(empty))


def test_two_approvers_cannot_be_one_person():
    twice = "".join(f'[[approvals.approver]]\nkey = "{n} {str(KEY.public).split(" ", 1)[1]}"\n' for n in ("a", "b"))
    with pytest.raises(ConfigurationError, match="one person twice"):
        read_settings(changed(**{"[unreachable]": f"{twice}[unreachable]"}).files[SETTINGS])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "wanted"),
        ("{", "wanted"),
        ('{"cases": [{"name": "x", "expect": "maybe"}]}', "expect"),
        ('{"cases": [{"name": "x", "expect": "deny", "on": "mars"}]}', "on"),
        ('{"cases": [{"name": "x", "expect": "deny", "given": {"zoen": "process"}}]}', "zoen"),
        ('{"cases": [{"name": "x", "expect": "deny", "rule": ["reach"]}]}', "unknown rule"),
    ],
)
def test_malformed_cases_are_named(text, words):
    bundle = shipped_one("solo")
    with pytest.raises(ConfigurationError, match=words):
        read_cases(evolve(bundle, files={**bundle.files, "tests/cases.json": text}))


def test_keys_on_disk(tmp_path):
    private, public = make_key("officer", tmp_path)
    assert private.stat().st_mode & 0o777 == 0o600
    key = load_key(private)
    assert (key.name, key.public) == ("officer", load_public(public))
    assert "seed" not in repr(key)
    assert key.public.verifies(key.sign(b"data"), b"data")
    assert not key.public.verifies(key.sign(b"data"), b"other")
    with pytest.raises(ConfigurationError, match="exists already"):
        make_key("officer", tmp_path)
    with pytest.raises(ConfigurationError, match="name"):
        make_key("../x", tmp_path)
    for line in ("", "alice", "alice ed25519 AAAA", "alice rsa " + "A" * 44, "a b c d"):
        with pytest.raises(ConfigurationError, match="a public key is a line"):
            PublicKey.parse(line)
    (tmp_path / "no.pem").write_text("no")
    with pytest.raises(ConfigurationError, match="no private key"):
        load_key(tmp_path / "no.pem")


def given(**changes):
    base = {**next(iter(read_cases(shipped_one("solo")))).facts, **changes}
    return AdmissionInput.read(base)


def test_the_typed_input_takes_its_own_json_and_has_its_digests():
    one = given(cost_micro=LARGEST, approvals=["cost", "data"])
    assert AdmissionInput.read(one.to_json()) == one
    assert one.digest == sha256_digest(canonical.dumps(one.to_json()))
    assert one.class_digest == given(cost_micro=None, shots=7, rows=9).class_digest
    assert one.class_digest != given(sensitivity="public").class_digest
    assert one.digest != given().digest
    assert not one.leaves_machine
    for name, value in (("cost_micro", LARGEST + 1), ("shots", True), ("approvals", ["data", "cost"]), ("zone", "x")):
        with pytest.raises(ConfigurationError, match=name):
            given(**{name: value})


def test_a_bundle_that_is_not_there_is_named():
    with pytest.raises(ConfigurationError, match="qimg policy init"):
        find_bundle("nowhere")


def _said(bundle, **replaced):
    text = bundle.files[SETTINGS]
    for old, new in replaced.values():
        assert old in text
        text = text.replace(old, new)
    return {(r.level, r.what) for r in lint(evolve(bundle, files={**bundle.files, SETTINGS: text}))}


def test_lint_wants_the_environment_of_a_regulated_bundle_and_the_revision_of_a_server():
    regulated, server = shipped_one("regulated"), shipped_one("team-rego")
    line = 'environment = "production"'
    said = _said(regulated, a=(line, ""))
    assert {level for level, what in said if "wants environment" in what} == {"error"}
    with pytest.raises(ConfigurationError, match="environment: wanted one of development, production, got 'staging'"):
        read_settings(regulated.files[SETTINGS].replace(line, 'environment = "staging"'))
    assert _said(server) == set()
    assert [what[:11] for _, what in _said(server, a=('revision = "team-1"', ""))] == ["no revision"]
    row = f'[[approvals.approver]]\nkey = "{KEY.public}"\nmay = ["data"]\nenvironments = ["development"]\n'
    said = _said(regulated, a=("longest_days = 30\n", "longest_days = 30\n" + row))
    assert ("warning", "alice may act in development, and this bundle is production") in said
    assert ("error", "2 persons have to approve, and 0 may") in said


def test_lint_names_the_rule_that_does_not_validate():
    bundle = shipped_one("team")
    text = bundle.files["team.cedar"].replace('Consent::"given"', 'Consent::"gone"')
    found = lint(evolve(bundle, files={**bundle.files, "team.cedar": text}))
    assert ("error", "consent") in {(r.level, r.where) for r in found}


def test_the_schema_of_a_bundle_without_an_environment_is_what_it_was_before_there_were_any():
    named, unnamed = shipped_one("regulated").settings, shipped_one("team").settings
    assert "Environment" in schema_text(named)
    assert "nvironment" not in schema_text(unnamed)
