"""Approvals and waivers: who, for what, until when; forged, expired, foreign and too small ones are not counted."""

from pathlib import Path
from runpy import run_path

import pytest
from attrs import evolve

from qimg_core.admission_input import BOUNDED
from qimg_core.errors import ConfigurationError
from qimg_policy.accepting import add_grant
from qimg_policy.approvals import granted, read_grant, sign_grant
from qimg_policy.cases import BASES
from qimg_policy.dsse import unseal
from qimg_policy.kernel import prepare
from qimg_policy.settings import Environment

given = run_path(str(Path(__file__).with_name("approvals_bench.py")))
ALICE, BOB, EVE, DAY, BUNDLE, PLAN = (given[n] for n in ("ALICE", "BOB", "EVE", "DAY", "BUNDLE", "PLAN"))
settings, ledger, now, plan, grant, put = (given[n] for n in ("settings", "ledger", "now", "plan", "grant", "put"))


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


@pytest.fixture
def clock(monkeypatch):
    """The clock of the log: what it says is the time of the next entries."""
    import qimg_core.ledger.log as log

    return lambda time: monkeypatch.setattr(log, "utc_now", lambda: f"{time:%Y-%m-%dT%H:%M:%S.%fZ}")


def test_entries_under_a_clock_that_was_set_back_do_not_hide_it(ledger, settings, plan, now, clock):
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    clock(now + 3 * DAY)
    ledger.append("a.run", facts={})
    back = now + DAY / 2  # the approval would hold
    clock(back)
    ledger.append("a.run", facts={})
    found = granted(ledger, settings, BUNDLE, plan, back)
    assert (found.approvals, [n.code for n in found.notes]) == ((), ["E_CLOCK"])
    assert f"{now + 3 * DAY:%Y-%m-%dT%H:%M:%SZ}" in found.notes[0].reason


def test_an_approval_that_an_entry_outlived_stays_expired_wherever_the_pin_is(ledger, settings, plan, now, clock):
    clock(now + 3 * DAY)  # a wrong time before the approval says nothing about it
    ledger.append("a.run", facts={})
    clock(now)
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    back = now + DAY / 2
    assert granted(ledger, settings, BUNDLE, plan, back, since=1).approvals == ("data",)
    clock(now + 2 * DAY)
    ledger.append("a.run", facts={})
    clock(back)
    ledger.append("policy.pinned", facts={})
    found = granted(ledger, settings, BUNDLE, plan, back, since=3)
    assert found.approvals == ()
    assert ["expired" in n.reason for n in found.notes] == [True]


NAMED = (Environment.UNNAMED, Environment.DEVELOPMENT, Environment.PRODUCTION)


@pytest.mark.parametrize("signed", NAMED)
@pytest.mark.parametrize("here", NAMED)
def test_an_approval_holds_in_the_environment_that_it_was_signed_for(signed, here, ledger, settings, plan, now):
    settings = evolve(settings, environment=here)
    put(ledger, grant(plan, ledger, now, environment=signed), ALICE)
    found = granted(ledger, settings, BUNDLE, plan, now + DAY / 2)
    assert found.approvals == (("data",) if signed is here else ())
    if signed is not here:
        assert found.notes[0].reason == f"it is for the environment {signed}, this policy's is {here}"
        with pytest.raises(ConfigurationError, match=f"for the environment {signed}"):
            add_grant(ledger, settings, sign_grant(grant(plan, ledger, now, environment=signed), ALICE))


def test_the_environment_is_signed(ledger, plan, now):
    words = unseal(
        sign_grant(grant(plan, ledger, now, environment=Environment.PRODUCTION), ALICE),
        "urn:qimg:approval:1",
        [ALICE.public],
    ).statement
    assert words["predicate"]["environment"] == "production"
    assert read_grant(words).environment is Environment.PRODUCTION
    words["predicate"].pop("environment")  # of a version before environments
    assert read_grant(words).environment is Environment.UNNAMED
    words["predicate"]["environment"] = "Production"
    with pytest.raises(ConfigurationError, match="not an approval"):
        read_grant(words)


def test_a_key_limited_to_development_approves_nothing_in_production(ledger, settings, plan, now):
    limited = tuple(evolve(a, environments=(Environment.DEVELOPMENT,)) for a in settings.approvers)
    for here, holds in ((Environment.DEVELOPMENT, True), (Environment.PRODUCTION, False), (Environment.UNNAMED, False)):
        there = evolve(settings, approvers=limited, environment=here)
        one = grant(plan, ledger, now, environment=here, nonce=str(here))
        if holds:
            add_grant(ledger, there, sign_grant(one, ALICE))
        else:
            with pytest.raises(ConfigurationError, match=f"may not grant the approval data in the environment {here}"):
                add_grant(ledger, there, sign_grant(one, ALICE))
            put(ledger, one, ALICE)
        assert granted(ledger, there, BUNDLE, plan, now + DAY / 2).approvals == (("data",) if holds else ())
