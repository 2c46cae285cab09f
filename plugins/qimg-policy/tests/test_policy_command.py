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
    assert "no bundle named" in qimg("policy", "init", "other", "--profile", "lax", code=2)
    assert "no policy bundle" in qimg("policy", "use", "nowhere", code=2)
    assert "demands a signature" in qimg("policy", "use", "regulated", code=2)
    assert not Path("runs").exists()
    assert "shipped" in qimg("policy", "lint", "solo", "--write-schema", code=2)


def test_show_says_what_is_wrong_with_the_policy_in_force(qimg, monkeypatch):
    qimg("policy", "use", "team")
    assert qimg("policy", "show", "--json")["policy"] == "team/1"
    monkeypatch.setenv("QIMG_POLICY", "solo")
    assert "E_DRIFT" in qimg("policy", "show", "--json", code=1)["problems"][0]
