"""Revocations: who takes an approval back, what is revoked with it, and what is not counted."""

from pathlib import Path
from runpy import run_path

import pytest
from attrs import evolve

from qimg_core.errors import ConfigurationError
from qimg_policy.accepting import add_grant, add_revocation, read_approval
from qimg_policy.approvals import granted, sign_grant
from qimg_policy.dsse import envelope as enveloped
from qimg_policy.dsse import seal, unseal
from qimg_policy.revocations import KIND, PREDICATE, Revocation, sign_revocation, statement_digest
from qimg_policy.settings import Approver, Environment

given = run_path(str(Path(__file__).with_name("approvals_bench.py")))
ALICE, BOB, EVE, DAY, BUNDLE = (given[n] for n in ("ALICE", "BOB", "EVE", "DAY", "BUNDLE"))
settings, ledger, now, plan, grant = (given[n] for n in ("settings", "ledger", "now", "plan", "grant"))


def revocation(ledger, settings, index, key, log=None):
    digest = statement_digest(read_approval(ledger, settings, index))
    return sign_revocation(Revocation(approval=digest, log=log or ledger.origin), key)


def test_a_revoked_approval_counts_as_absent_and_a_new_one_holds(ledger, settings, plan, now):
    first = add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    later = now + DAY / 2
    assert granted(ledger, settings, BUNDLE, plan, later).approvals == ("data",)
    entry = add_revocation(ledger, settings, revocation(ledger, settings, first.index, ALICE))
    assert (entry.kind, entry.facts["of"], entry.facts["signed_by"]) == (KIND, first.index, ["alice"])
    found = granted(ledger, settings, BUNDLE, plan, later)
    assert (found.approvals, found.notes[0].reason) == ((), f"it was revoked by entry {entry.index}")
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now, nonce="n2"), ALICE))
    assert granted(ledger, settings, BUNDLE, plan, later).approvals == ("data",)


def test_the_same_statement_in_another_envelope_is_revoked_with_it(ledger, settings, plan, now):
    first = add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    copy = sign_grant(grant(plan, ledger, now), ALICE) + b" \n"
    add_revocation(ledger, settings, revocation(ledger, settings, first.index, ALICE))
    with pytest.raises(ConfigurationError, match="is revoked: entry 1"):
        add_grant(ledger, settings, copy)
    ledger.append("policy.approved", facts={"class": plan.class_digest, "artefacts": {"envelope": ledger.put(copy)}})
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ()
    add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), BOB))  # his own, which she cannot take back
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ("data",)


def test_one_of_two_who_signed_takes_the_approval_back(ledger, settings, plan, now):
    settings = evolve(settings, persons=2)
    statement = unseal(sign_grant(grant(plan, ledger, now), ALICE), "urn:qimg:approval:1", []).statement
    subjects = {"plan-class": plan.class_digest}
    both = seal("urn:qimg:approval:1", subjects, statement["predicate"], [ALICE, BOB])
    first = add_grant(ledger, settings, both)
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ("data",)
    add_revocation(ledger, settings, revocation(ledger, settings, first.index, BOB))
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ()


def test_a_waiver_is_revoked_like_an_approval(ledger, settings, plan, now):
    first = add_grant(ledger, settings, sign_grant(grant(plan, ledger, now, kind="waiver", grants="residency"), ALICE))
    add_revocation(ledger, settings, revocation(ledger, settings, first.index, ALICE))
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).waived == ()


def put_revocation(ledger, envelope):
    """As somebody with write access to the log could, around `add_revocation`."""
    return ledger.append(KIND, facts={"artefacts": {"envelope": ledger.put(envelope)}})


def test_a_revocation_by_the_wrong_key_is_neither_taken_nor_counted(ledger, settings, plan, now):
    first = add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    for key in (BOB, EVE):
        wrong = revocation(ledger, settings, first.index, key)
        with pytest.raises(ConfigurationError, match=r"nobody who may revoke it; who may: alice\n"):
            add_revocation(ledger, settings, wrong)
        put_revocation(ledger, wrong)
    found = granted(ledger, settings, BUNDLE, plan, now + DAY / 2)
    assert found.approvals == ("data",)
    assert {(n.rule, "does not count" in n.reason) for n in found.notes} == {("entry-1", True), ("entry-2", True)}


def test_a_key_that_may_revoke_takes_back_what_others_signed(ledger, settings, plan, now):
    officer = Approver(key=EVE.public, may=(), revoke=True)
    settings = evolve(settings, approvers=(*settings.approvers, officer))
    first = add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    elsewhere = evolve(officer, environments=(Environment.PRODUCTION,))
    limited = evolve(settings, approvers=(*settings.approvers[:2], elsewhere))
    with pytest.raises(ConfigurationError, match="nobody who may revoke"):
        add_revocation(ledger, limited, revocation(ledger, settings, first.index, EVE))
    add_revocation(ledger, settings, revocation(ledger, settings, first.index, EVE))
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ()
    with pytest.raises(ConfigurationError, match="is revoked already: entry 1"):
        add_revocation(ledger, settings, revocation(ledger, settings, first.index, ALICE))


def test_a_forged_or_foreign_revocation_is_neither_taken_nor_counted(ledger, settings, plan, now):
    first = add_grant(ledger, settings, sign_grant(grant(plan, ledger, now), ALICE))
    good = revocation(ledger, settings, first.index, ALICE)
    forged = good.replace(b'"sig": "', b'"sig": "AAAA')
    payload = b'{"_type":"https://in-toto.io/Statement/v1","predicate":{},"predicateType":"%b","subject":[]}'
    bad = {
        "forged": forged,
        "of nothing": enveloped(payload % PREDICATE.encode(), [ALICE]),
        "for another log": revocation(ledger, settings, first.index, ALICE, log="elsewhere"),
        "an approval": sign_grant(grant(plan, ledger, now), ALICE),
        "empty": b"",
        "no such approval": sign_revocation(Revocation(approval="sha256:" + "e" * 64, log=ledger.origin), ALICE),
    }
    for name, envelope in bad.items():
        with pytest.raises(ConfigurationError):
            add_revocation(ledger, settings, envelope)
        put_revocation(ledger, envelope)
        assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ("data",), name
    ledger.append(KIND, facts={})
    found = granted(ledger, settings, BUNDLE, plan, now + DAY / 2)
    assert found.approvals == ("data",)
    assert len(found.notes) == len(bad)  # all but the one of no such approval, and the one without an envelope
    put_revocation(ledger, good)
    assert granted(ledger, settings, BUNDLE, plan, now + DAY / 2).approvals == ()
