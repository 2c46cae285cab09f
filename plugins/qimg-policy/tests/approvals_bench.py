"""For tests: keys, a plan, a ledger and grants; loaded with `runpy`."""

import datetime as dt

import pytest
from attrs import evolve

from qimg_core.admission_input import BOUNDED
from qimg_core.admission_words import Approval
from qimg_core.ledger import MemoryLedger
from qimg_policy.approvals import Grant, sign_grant
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
        "nonce": "n1",
    }
    return Grant(**{**values, **changes})


def put(ledger, grant, key):
    """As somebody with write access to the log could, around `add_grant`."""
    facts = {"class": grant.scope, "artefacts": {"envelope": ledger.put(sign_grant(grant, key))}}
    return ledger.append("policy.approved", facts=facts)
