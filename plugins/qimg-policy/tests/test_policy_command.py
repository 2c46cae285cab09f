"""``qimg policy`` and ``qimg generate`` under a policy, as a user calls them."""

import json
from pathlib import Path

import numpy as np
import pytest

from qimg_core import Registry
from qimg_core.cli import main
from qimg_core.hooks import BackendSpec, hookimpl
from qimg_core.testing import FakeProvider
from qimg_core.testing.toy import ToyPlugin
from qimg_policy import plugin


class Cloud(FakeProvider):
    name = "cloud"


class CloudPlugin:
    @hookimpl
    def qimg_backends(self):
        return [BackendSpec(name="cloud", target=f"{__name__}:Cloud", remote=True, metered=True)]


@pytest.fixture
def qimg(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("QIMG_POLICY", raising=False)
    monkeypatch.delenv("QIMG_LEDGER", raising=False)
    registry = Registry(discover=False)
    registry.register(ToyPlugin(), "toy")
    registry.register(plugin, "policy")
    registry.register(CloudPlugin(), "cloud")
    monkeypatch.setattr(registry, "load", _load(registry))

    def call(*argv, code=0):
        capsys.readouterr()
        got = main([str(a) for a in argv], registry=registry)
        captured = capsys.readouterr()
        assert got == code, f"{argv}: {got}\n{captured.out}\n{captured.err}"
        return json.loads(captured.out) if "--json" in argv else captured.out + captured.err

    return call


def _load(registry):
    """This test module is not importable by name."""
    real = registry.load
    return lambda kind, name: Cloud if name == "cloud" else real(kind, name)


def generate(qimg, *argv, code=0):
    toy = ("--generator", "toy", "--untrained", "--n", 2, "--seed", 1, "--out", "x.png")
    return qimg("generate", *toy, *argv, "--json", code=code)


def keyed(qimg, *names):
    for name in names:
        qimg("policy", "key", name, "--out", "keys")
    return [Path(f"keys/{name}.pub").read_text().strip() for name in names]


TABLE = '\n[[device]]\nbackend = "cloud"\nprovider = "acme"\nregion = "eu"\nzone = "outside"\napproved = true\n'


def own(qimg, profile, approvers="", **changes):
    """A bundle of one's own with the test's cloud in its table, in ``mine``."""
    qimg("policy", "init", "mine", "--profile", profile)
    text = Path("mine/policy.toml").read_text()
    text = text.replace("[approvals]\n", f"[approvals]\n{approvers}") if approvers else text
    Path("mine/policy.toml").write_text(
        text.replace("longest_days = 30\n", "longest_days = 30\n" + changes.get("more", "")) + TABLE
    )
    qimg("policy", "lint", "mine", "--write-schema")


def test_generate_works_unchanged_under_every_profile(qimg):
    free = generate(qimg, "--backend", "reference", "--ledger", "free")["pixels"]
    alice = keyed(qimg, "officer")[0]
    assert alice.startswith("officer ed25519 ")
    for profile in ("solo", "team", "regulated"):
        qimg("policy", "init", profile, "--profile", profile)
        qimg("policy", "sign", profile, "--key", "keys/officer.key.pem")
        qimg("policy", "use", f"./{profile}", "--trust", "keys/officer.pub", "--ledger", f"runs-{profile}")
        made = generate(qimg, "--backend", "reference", "--ledger", f"runs-{profile}")
        assert made["pixels"] == free
        log = qimg("ledger", "log", "--kind", "policy.decided", "--ledger", f"runs-{profile}", "--json")["entries"]
        assert len(log) >= 1
        qimg("policy", "replay", log[0]["index"], "--ledger", f"runs-{profile}")
        assert qimg("policy", "show", "--ledger", f"runs-{profile}", "--json")["problems"] == []
        assert "pass" in qimg("verify", f"runs-{profile}")


def test_a_refusal_names_rule_reason_and_remedy_and_ends_with_4(qimg):
    own(qimg, "team")
    qimg("policy", "use", "mine")
    error = generate(qimg, "--backend", "cloud", "--shots", 10, code=4)["error"]
    assert "E_NO_EVIDENCE reach" in error["message"]
    assert "sensitivity" in error["hint"]
    log = qimg("ledger", "log", "--entries", "--json")["entries"]
    refused = next(e["index"] for e in log if e["kind"] == "plan.refused")
    text = qimg("policy", "explain", refused)
    assert "to satisfy it" in text
    assert "images.made" not in {e["kind"] for e in log}
    counts = qimg("policy", "decisions", "--json")
    assert counts["decisions"] == {"deny": 1}
    assert counts["reasons"]["E_NO_EVIDENCE reach"] == 1


STATED = ("--stated", "sensitivity=confidential", "--stated", "region=eu")


def test_from_refusal_through_two_approvals_to_images(qimg):
    one, two = keyed(qimg, "data-officer", "lead")
    approvers = "".join(f'[[approvals.approver]]\nkey = "{k}"\nmay = ["data"]\nwaive = true\n' for k in (one, two))
    own(qimg, "team", more=approvers)
    text = Path("mine/policy.toml").read_text().replace("persons = 1", "persons = 2")
    Path("mine/policy.toml").write_text(text + '\n[context]\nexport_class = "not_controlled"\n')
    qimg("policy", "use", "mine")
    asked = ("--backend", "cloud", "--shots", 10, *STATED)
    hint = generate(qimg, *asked, code=4)["error"]["hint"]
    log = qimg("ledger", "log", "--kind", "policy.decided", "--json")["entries"]
    entry = log[-1]["index"]
    assert f"qimg policy approve {entry} --grants data" in hint
    qimg("policy", "approve", entry, "--grants", "data", "--key", "keys/data-officer.key.pem")
    generate(qimg, *asked, code=4)  # one of two persons
    qimg("policy", "approve", entry, "--grants", "data", "--key", "keys/lead.key.pem", "--out", "approval.json")
    generate(qimg, *asked, code=4)  # it is in a file, not in the ledger
    qimg("policy", "accept", "approval.json")
    generate(qimg, *asked)
    listed = qimg("policy", "approvals", "--json")["approvals"]
    assert [a["signed_by"] for a in listed] == [["data-officer"], ["lead"]]
    for e in qimg("ledger", "log", "--kind", "policy.decided", "--json")["entries"]:
        qimg("policy", "replay", e["index"])


def test_approvals_that_cannot_hold_are_refused_with_words(qimg):
    keyed(qimg, "stranger")
    own(qimg, "team")
    qimg("policy", "use", "mine")
    generate(qimg, "--backend", "cloud", "--shots", 10, code=4)
    entry = qimg("ledger", "log", "--kind", "policy.decided", "--json")["entries"][-1]["index"]
    key = ("--key", "keys/stranger.key.pem")
    assert "none of the policy's approvers" in qimg("policy", "approve", entry, "--grants", "data", *key, code=2)
    assert "up to 30" in qimg("policy", "approve", entry, "--grants", "data", "--days", 31, *key, code=2)
    assert "cannot be waived" in qimg("policy", "waive", entry, "--control", "reach", *key, code=2)
    assert "no decision" in qimg("policy", "approve", 0, "--grants", "data", *key, code=2)
    np.savez("x.npz", a=1)
    assert "not a DSSE envelope" in qimg("policy", "accept", "x.npz", code=2)


def test_a_fallback_chain_goes_on_to_what_the_policy_allows(qimg):
    own(qimg, "team")
    qimg("policy", "use", "mine")
    made = generate(qimg, "--backend", "cloud", "--fallback", "reference", "--shots", 10)
    assert made["n"] == 2
    kinds = [e["kind"] for e in qimg("ledger", "log", "--entries", "--json")["entries"]]
    assert {"plan.refused", "route.fell_back", "images.made"} <= set(kinds)


def test_images_that_owe_a_mark_are_withheld(qimg):
    qimg("policy", "use", "team")
    error = generate(qimg, "--backend", "reference", "--stated", "purpose=publication", code=4)["error"]
    assert "label is owed" in error["message"]
    log = qimg("ledger", "log", "--entries", "--json")["entries"]
    assert "images.withheld" in {e["kind"] for e in log}
    run = log[-1]["run"]
    assert qimg("policy", "check", run, "--json")["verdict"] == "not_applicable"


def test_ask_words_list_and_diff(qimg):
    names = {b["name"] for b in qimg("policy", "list", "--json")["bundles"]}
    assert {"solo", "team", "regulated"} <= names
    words = qimg("policy", "words", "--json")["words"]
    assert words["consent"] == ["unstated", "not_needed", "given", "withdrawn"]
    assert qimg("policy", "ask", "team", "--on", "local", "--json")["verdict"] == "allow"
    refused = qimg("policy", "ask", "solo", "--on", "remote", "--set", "sensitivity=personal", "--json", code=4)
    assert [f["rule"] for f in refused["findings"]] == ["reach"]
    assert "did you mean 'zone'" in qimg("policy", "ask", "solo", "--set", "zonee=process", code=2)
    assert qimg("policy", "diff", "solo", "solo", "--json")["differences"] == []
    changed = qimg("policy", "diff", "team", "regulated", "--json", code=1)["differences"]
    assert "+ rule recorded" in changed
    assert any(line.startswith("! ") for line in changed)


def test_lint_and_test_end_with_1_where_something_is_wrong(qimg):
    qimg("policy", "init", "mine")
    qimg("policy", "lint", "mine")
    qimg("policy", "test", "mine", "--mutate")
    text = Path("mine/solo.cedar").read_text()
    Path("mine/solo.cedar").write_text(text.replace('Consent::"withdrawn"', 'Consent::"given"'))
    assert "FAIL" in qimg("policy", "test", "mine", code=1)
    Path("mine/solo.cedar").write_text(text.replace('Consent::"withdrawn"', 'Consent::"gone"'))
    assert "error: " in qimg("policy", "lint", "mine", code=1)
    assert "is not empty" in qimg("policy", "init", "mine", code=2)
    assert "no shipped policy bundle named" in qimg("policy", "init", "other", "--profile", "lax", code=2)
    assert "no policy bundle" in qimg("policy", "use", "nowhere", code=2)
    assert "demands a signature" in qimg("policy", "use", "regulated", code=2)
    assert not Path("runs").exists()
    assert "shipped" in qimg("policy", "lint", "solo", "--write-schema", code=2)


def test_show_says_what_is_wrong_with_the_policy_in_force(qimg, monkeypatch):
    qimg("policy", "use", "team")
    assert qimg("policy", "show", "--json")["policy"] == "team/1"
    monkeypatch.setenv("QIMG_POLICY", "solo")
    assert "E_DRIFT" in qimg("policy", "show", "--json", code=1)["problems"][0]


def test_an_approval_is_revoked_and_older_decisions_replay_unchanged(qimg):
    one, two = keyed(qimg, "data-officer", "lead")
    approvers = f'[[approvals.approver]]\nkey = "{one}"\nmay = ["data"]\n'
    approvers += f'[[approvals.approver]]\nkey = "{two}"\nmay = []\nrevoke = true\n'
    own(qimg, "team", more=approvers)
    text = Path("mine/policy.toml").read_text()
    Path("mine/policy.toml").write_text(text + '\n[context]\nexport_class = "not_controlled"\n')
    qimg("policy", "use", "mine")
    asked = ("--backend", "cloud", "--shots", 10, *STATED)
    generate(qimg, *asked, code=4)
    entry = qimg("ledger", "log", "--kind", "policy.decided", "--json")["entries"][-1]["index"]
    approve = ("policy", "approve", entry, "--grants", "data", "--key", "keys/data-officer.key.pem", "--json")
    given = qimg(*approve)["entry"]
    generate(qimg, *asked)
    assert [a["problem"] for a in qimg("policy", "approvals", "--json")["approvals"]] == [""]
    stranger = keyed(qimg, "stranger") and "keys/stranger.key.pem"
    assert "who may: data-officer, lead" in qimg("policy", "revoke", given, "--key", stranger, code=2)
    assert "no approval or waiver" in qimg("policy", "revoke", 0, "--key", stranger, code=2)
    assert "qimg policy approvals" in qimg("policy", "revoke", entry, "--key", stranger, code=2)
    revoked = qimg("policy", "revoke", given, "--key", "keys/data-officer.key.pem", "--json")["entry"]
    assert f"entry {revoked}" in qimg("policy", "revoke", given, "--key", "keys/lead.key.pem", code=2)
    generate(qimg, *asked, code=4)
    (listed,) = qimg("policy", "approvals", "--json")["approvals"]
    assert (listed["revoked"], listed["problem"]) == (revoked, f"it was revoked by entry {revoked}")
    assert f"revoked by entry {revoked}" in qimg("policy", "approvals")
    again = qimg(*approve)["entry"]
    generate(qimg, *asked)
    qimg("policy", "revoke", again, "--key", "keys/lead.key.pem", "--out", "revocation.json")
    generate(qimg, *asked)  # it is in a file, not in the ledger
    assert f"entry {again} is revoked by lead" in qimg("policy", "accept", "revocation.json")
    generate(qimg, *asked, code=4)
    decided = qimg("ledger", "log", "--kind", "policy.decided", "--json")["entries"]
    assert len(decided) >= 4
    for e in decided:
        assert "decided identically" in qimg("policy", "replay", e["index"])
    assert "pass" in qimg("verify", "runs")


def test_what_was_approved_in_development_does_not_hold_in_production(qimg):
    one, two = keyed(qimg, "developer", "officer")
    approvers = f'[[approvals.approver]]\nkey = "{one}"\nmay = ["data"]\nenvironments = ["development"]\n'
    approvers += f'[[approvals.approver]]\nkey = "{two}"\nmay = ["data"]\n'
    own(qimg, "team", more=approvers)
    text = Path("mine/policy.toml").read_text() + '\n[context]\nexport_class = "not_controlled"\n'
    asked = ("--backend", "cloud", "--shots", 10, *STATED)
    entries = {}
    for environment in ("development", "production"):
        named = text.replace('profile = "team"\n', f'profile = "team"\nenvironment = "{environment}"\n')
        Path("mine/policy.toml").write_text(named)
        found = qimg("policy", "lint", "mine", "--write-schema")
        assert ("developer may act in development" in found) == (environment == "production")
        qimg("policy", "use", "mine")
        assert qimg("policy", "show", "--json")["environment"] == environment
        generate(qimg, *asked, code=4)  # in production: although it was approved in development
        entries[environment] = qimg("ledger", "log", "--kind", "policy.decided", "--json")["entries"][-1]["index"]
        assert qimg("policy", "explain", entries[environment], "--json")["environment"] == environment
        grant = ("policy", "approve", entries[environment], "--grants", "data", "--key")
        refused = environment == "production"
        said = qimg(*grant, "keys/developer.key.pem", code=2 if refused else 0)
        if refused:
            assert "developer may not grant the approval data in the environment production; who may: officer" in said
            assert "it is for the environment development" in qimg("policy", "approvals")
            qimg(*grant, "keys/officer.key.pem")
        generate(qimg, *asked)
    qimg(*("policy", "approve", entries["development"], "--grants", "data"), "--key", "keys/officer.key.pem")
    states = [a["problem"] for a in qimg("policy", "approvals", "--json")["approvals"]]
    assert ["development" in s for s in states] == [True, False, True]


def test_a_private_key_given_by_mistake_is_shown_to_nobody(qimg):
    keyed(qimg, "officer")
    pem = Path("keys/officer.key.pem").read_text()
    body = pem.splitlines()[1]
    said = qimg("policy", "use", "solo", "--trust", "keys/officer.key.pem", code=2)
    assert "got a private key" in said
    qimg("policy", "init", "mine", "--profile", "team")
    text = Path("mine/policy.toml").read_text()
    for row in (f'key = """{pem}"""', f'key = "{body}"', f'key = "officer ed25519 {body}"'):
        Path("mine/policy.toml").write_text(text + f"\n[[approvals.approver]]\n{row}\nmay = []\n")
        said += qimg("policy", "lint", "mine", code=1) + qimg("policy", "use", "mine", code=2)
    Path("mine/policy.toml").write_text(text + '\n[engine]\nkind = "opa"\nurl = "http://me:hunter2@127.0.0.1:1"\n')
    said += qimg("policy", "lint", "mine", code=1)
    said += qimg("policy", "use", "team", "--truth", "https://me:hunter2@example.org/digest", code=2)
    assert not any(body[k : k + 12] in said for k in range(len(body) - 12))
    assert "hunter2" not in said
    assert not Path("runs").exists()


def test_errors_say_what_was_wanted_and_what_to_do_next(qimg):
    qimg("policy", "use", "team")
    keyed(qimg, "officer")
    key = ("--key", "keys/officer.key.pem")
    wrong = [
        (("init", "x", "--profile", "teem"), "did you mean 'team'", "qimg policy list"),
        (("lint", "nowhere"), "name of a shipped one", "qimg policy list"),
        (("explain", 99), "no entry 99", "qimg ledger log --kind policy.decided"),
        (("revoke", 99, *key), "no entry 99", "qimg policy approvals"),
        (("approve", 0, "--grants", "data", *key), "no decision", "qimg ledger log --kind policy.decided"),
        (("accept", "nothing.json"), "no approval or revocation in", "--out FILE"),
        (("accept", "keys/officer.pub"), "not a DSSE envelope", "--out FILE"),
        (("sign", "nowhere", "--key", "no.pem"), "no policy bundle", "qimg policy init nowhere"),
        (("use", "team", "--trust", "no.pub"), "there is no key in no.pub", "qimg policy key NAME"),
        (("revoke", 0, "--key", "no.pem"), "there is no key in no.pem", "qimg policy key NAME"),
        (("key", "a b"), "letters, digits", "qimg policy key data-officer"),
        (("lint", "team-rego", "--write-schema"), "no Cedar schema", "qimg policy lint"),
    ]
    for argv, said, hint in wrong:
        error = qimg("policy", *argv, "--json", code=2)["error"]
        assert said in error["message"], argv
        assert hint in error["hint"], argv
    assert "inconclusive: E_UNREACHABLE" in qimg("policy", "test", "team-rego", code=3)
    assert "inconclusive: E_UNREACHABLE" in qimg("policy", "diff", "team", "team-rego", code=3)
    qimg("policy", "use", "team-rego")
    shown = qimg("policy", "show", "--json")
    assert (shown["server"], shown["revision"]) == ("http://127.0.0.1:8181", "team-1")
