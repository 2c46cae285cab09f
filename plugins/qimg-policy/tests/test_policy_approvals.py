"""Approvals and waivers: who, for what, until when; forged, expired, foreign and too small ones are not counted."""

import datetime as dt

import pytest
from attrs import evolve

from qimg_core.admission_input import BOUNDED
from qimg_core.admission_words import Approval
from qimg_core.errors import ConfigurationError
from qimg_core.ledger import MemoryLedger
from qimg_policy.approvals import Grant, add_grant, granted, sign_grant
from qimg_policy.bundle import shipped_bundle
from qimg_policy.cases import BASES
from qimg_policy.kernel import prepare
from qimg_policy.keys import SigningKey
from qimg_policy.settings import Approver

ALICE, BOB, EVE = (SigningKey(name, bytes([i] * 32)) for i, name in enumerate(("alice", "bob", "eve")))
DAY = dt.timedelta(days=1)
BUNDLE = "sha256:" + "b" * 64
PLAN = {**BASES["remote"], "sensitivity": "confidential", "region": "eu", "data_region": "eu"}


@pytest.fixture
def settings():
    who = tuple(Approver(key=k.public, may=(Approval.DATA, Approval.COST), waive=k is ALICE) for k in (ALICE, BOB))
    return evolve(shipped_bundle("team").settings, approvers=who)


@pytest.fixture
def ledger():
    return MemoryLedger("qimg.test/approvals")


@pytest.fixture
def now():
    return dt.datetime.now(dt.UTC).replace(microsecond=0)


@pytest.fixture
def plan(settings):
    return prepare(settings, PLAN)


def grant(plan, ledger, now, **changes):
    values = {
        "kind": "approval",
        "grants": "data",
        "scope": plan.class_digest,
        "bundle": BUNDLE,
        "log": ledger.origin,
        "bounds": {name: getattr(plan, name) for name in BOUNDED},
        "start": now,
        "until": now + DAY,
    }
    return Grant(**{**values, **changes})


def put(ledger, grant, key):
    """As somebody with write access to the log could, around `add_grant`."""
    facts = {"class": grant.scope, "artefacts": {"envelope": ledger.put(sign_grant(grant, key))}}
    return ledger.append("policy.approved", facts=facts)


def test_an_approval_counts_for_its_class_up_to_its_bounds(ledger, settings, plan, now):
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    later = now + DAY / 2
    assert granted(ledger, settings, BUNDLE, plan, later).approvals == ("data",)
    assert granted(ledger, settings, BUNDLE, evolve(plan, shots=1, cost_micro=5), later).approvals == ("data",)
    other = prepare(settings, {**PLAN, "backend": "ionq:forte"})
    assert granted(ledger, settings, BUNDLE, other, later).approvals == ()


@pytest.mark.parametrize("name", BOUNDED)
def test_a_larger_plan_is_not_approved(name, ledger, settings, plan, now):
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    found = granted(ledger, settings, BUNDLE, evolve(plan, **{name: getattr(plan, name) + 1}), now + DAY / 2)
    assert found.approvals == ()
    assert f"larger than what was approved: {name}" in found.notes[0].reason


def test_an_unknown_cost_needs_an_approval_that_says_so(ledger, settings, plan, now):
    unknown = evolve(plan, cost_micro=None)
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    assert granted(ledger, settings, BUNDLE, unknown, now + DAY / 2).approvals == ()
    add_grant(ledger, settings, sign_grant(grant(unknown, ledger, now), ALICE))
    assert granted(ledger, settings, BUNDLE, unknown, now + DAY / 2).approvals == ("data",)


@pytest.mark.parametrize(
    ("changes", "key", "after", "words"),
    [
        ({}, ALICE, DAY, "expired on"),
        ({}, ALICE, 2 * DAY, "expired on"),
        ({"days": 31}, ALICE, DAY, "more than 30 days"),
        ({"begins": 1}, ALICE, DAY / 2, "begins on"),
        ({"bundle": "sha256:" + "c" * 64}, ALICE, DAY / 2, "another policy"),
        ({"log": "elsewhere"}, ALICE, DAY / 2, "for the log elsewhere"),
        ({"grants": "ethics"}, ALICE, DAY / 2, "nobody who may grant ethics"),
        ({"grants": "everything"}, ALICE, DAY / 2, "nobody who may grant everything"),
        ({}, EVE, DAY / 2, "nobody who may grant data"),
        ({"kind": "waiver", "grants": "residency"}, BOB, DAY / 2, "nobody who may grant residency"),
        ({"kind": "waiver", "grants": "reach"}, ALICE, DAY / 2, "reach cannot be waived"),
    ],
)
def test_what_does_not_hold_is_not_counted_and_says_why(changes, key, after, words, ledger, settings, plan, now):
    changes = dict(changes)
    if "days" in changes:
        changes["until"] = now + changes.pop("days") * DAY
    if "begins" in changes:
        changes["start"] = now + changes.pop("begins") * DAY
    put(ledger, grant(plan, ledger, now, **changes), key)
    found = granted(ledger, settings, BUNDLE, plan, now + after)
    assert found.approvals == found.waived == ()
    assert words in found.notes[0].reason


def test_an_approval_of_another_class_under_this_ones_name_is_not_counted(ledger, settings, plan, now):
    other = grant(plan, ledger, now, scope="sha256:" + "d" * 64)
    ledger.append(
        "policy.approved",
        facts={"class": plan.class_digest, "artefacts": {"envelope": ledger.put(sign_grant(other, ALICE))}},
    )
    found = granted(ledger, settings, BUNDLE, plan, now + DAY / 2)
    assert found.approvals == ()
    assert "another class" in found.notes[0].reason


def test_a_forged_approval_is_neither_taken_nor_counted(ledger, settings, plan, now):
    envelope = sign_grant(grant(plan, ledger, now), ALICE)
    forged = envelope.replace(b'"sig": "', b'"sig": "AAAA')
    for bad in (forged, b"", b"{}", sign_grant(grant(plan, ledger, now), EVE)):
        with pytest.raises(ConfigurationError):
            add_grant(ledger, settings, bad)
    ledger.append("policy.approved", facts={"class": plan.class_digest, "artefacts": {"envelope": ledger.put(forged)}})
    ledger.append("policy.approved", facts={"class": plan.class_digest})
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ()


def test_an_approval_for_another_log_is_not_taken(ledger, settings, plan, now):
    with pytest.raises(ConfigurationError, match="for the log elsewhere"):
        add_grant(ledger, settings, sign_grant(grant(plan, ledger, now, log="elsewhere"), ALICE))


def test_two_persons_are_two_keys(ledger, settings, plan, now):
    settings = evolve(settings, persons=2)
    for _ in range(2):
        add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    found = granted(ledger, settings, BUNDLE, plan, now + DAY / 2)
    assert found.approvals == ()
    assert "1 of 2 persons" in found.notes[-1].reason
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), BOB))
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ("data",)


def test_a_waiver_lifts_its_control_and_nothing_else(ledger, settings, plan, now):
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now, kind="waiver", grants="residency"), ALICE))
    found = granted(ledger, settings, BUNDLE, plan, now + DAY / 2)
    assert (found.approvals, found.waived) == ((), ("residency",))


def test_a_clock_behind_the_newest_entry_counts_as_set_back(ledger, settings, plan, now):
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now - DAY, until=now + DAY), ALICE))
    found = granted(ledger, settings, BUNDLE, plan, now - DAY / 2)
    assert found.approvals == ()
    assert [n.code for n in found.notes] == ["E_CLOCK"]
    here = prepare(settings, BASES["local"])
    assert [n.code for n in granted(ledger, settings, BUNDLE, here, now - DAY / 2).notes] == ["I_APPROVAL"]
