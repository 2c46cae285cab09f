"""Flags: what is refused, who is in a cohort, and what OpenFeature's client gets."""

import hashlib
import hmac
import tomllib
from decimal import Decimal

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from scipy.stats import binomtest

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import MemoryLedger
from qimg_policy.keys import SigningKey
from qimg_rollout.flags import bucket, make_cohort_key, parse_flags, read_cohort_key, sign_flags
from qimg_rollout.provider import LedgerProvider
from qimg_rollout.state import decide, in_use, roll_back, use_flags

KEY = SigningKey("release", bytes(range(32)))
SECRET = bytes(32)
TEXT = """
version = 1
[flags.path]
state = "canary"
cohorts = ["early"]
share = "0.25"
on = { generator = "toy", backend = "device" }
off = { generator = "toy", arm = "twin" }
[flags.sure]
state = "on"
on = { generator = "toy" }
off = { generator = "toy", arm = "twin" }
[flags.idle]
on = { generator = "toy" }
off = { generator = "toy", arm = "twin" }
"""


def flags(text=TEXT):
    return parse_flags(tomllib.loads(text))


def test_bucket_is_hmac_sha256():
    digest = hmac.new(SECRET, b'["path","anna"]', hashlib.sha256).digest()
    assert bucket(SECRET, "path", "anna") == Decimal(int.from_bytes(digest[:8], "big")) / 2**64


def test_buckets_are_even_and_differ_between_flags_and_keys():
    inside = {s for s in range(2000) if bucket(SECRET, "path", str(s)) < Decimal("0.25")}
    assert binomtest(len(inside), 2000, 0.25).pvalue > 1e-3
    for key, name in ((SECRET, "other"), (b"\1" * 32, "path")):
        both = {s for s in inside if bucket(key, name, str(s)) < Decimal("0.25")}
        assert binomtest(len(both), len(inside), 0.25).pvalue > 1e-3


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('state = "canary"', 'state = "maybe"', "off, canary or on"),
        ('share = "0.25"', "share = 0.25", "a text such as"),
        ('share = "0.25"', 'share = "1.5"', "from 0 to 1"),
        ('share = "0.25"', 'share = "NaN"', "from 0 to 1"),
        ('cohorts = ["early"]', 'cohorts = "early"', "list of names"),
        ('backend = "device"', 'colour = "red"', "on is a table with generator"),
        ('generator = "toy", backend', 'backend = "x", weights', "on is a table with generator"),
        ("version = 1", "version = 0", "from 1 on"),
        ("version = 1", "version = true", "from 1 on"),
        ("[flags.path]", "[flags.Path]", "lower-case"),
        ('state = "canary"', 'satte = "canary"', "satte"),
    ],
)
def test_malformed_flags_are_refused(old, new, words):
    assert old in TEXT
    with pytest.raises(ConfigurationError, match=words):
        flags(TEXT.replace(old, new, 1))


def test_cohort_key_file(tmp_path):
    make_cohort_key(tmp_path / "k")
    assert len(read_cohort_key(tmp_path / "k")) == 32
    assert (tmp_path / "k").stat().st_mode & 0o077 == 0
    with pytest.raises(ConfigurationError, match="exists"):
        make_cohort_key(tmp_path / "k")
    (tmp_path / "bad").write_text("c0ffee-secret")
    with pytest.raises(ConfigurationError) as error:
        read_cohort_key(tmp_path / "bad")
    assert "secret" not in str(error.value)


@pytest.fixture
def ledger():
    log = MemoryLedger()
    use_flags(log, sign_flags(flags(), [KEY]), [KEY.public])
    return log


def start(log):
    path = in_use(log).flags.flag("path").path
    log.append("rollout.started", facts={"path": path})


def test_who_is_served(ledger):
    def ask(**changes):
        given = {"subject": "anna", "cohorts": ["early"], "key": SECRET, **changes}
        return decide(in_use(ledger), "path", **given).reason

    assert ask() == "the canary was not started"
    start(ledger)
    chosen = next(s for s in map(str, range(99)) if bucket(SECRET, "path", s) < Decimal("0.25"))
    other = next(s for s in map(str, range(99)) if bucket(SECRET, "path", s) >= Decimal("0.25"))
    assert ask(subject=chosen) == "opted in, and in the share"
    assert ask(subject=other) == "not in the share"
    assert ask(subject=chosen, cohorts=["late"]) == "not opted in"
    assert ask(subject="") == "not opted in"
    with pytest.raises(ConfigurationError, match="with a key"):
        ask(subject=chosen, key=None)
    roll_back(ledger, "path", reason="why", by="operator")
    assert ask(subject=chosen).startswith("rolled back")
    assert decide(None, "path", subject=chosen, cohorts=["early"], key=SECRET).variant == "off"


def test_openfeature_client(ledger):
    start(ledger)
    chosen = next(s for s in map(str, range(99)) if bucket(SECRET, "path", s) < Decimal("0.25"))
    context = EvaluationContext(targeting_key=chosen, attributes={"cohorts": ["early"]})
    api.set_provider(LedgerProvider(ledger, SECRET), "qimg-test")
    client = api.get_client("qimg-test")
    try:
        assert client.get_boolean_value("path", False, context)
        assert client.get_string_value("path", "off", context) == "on"
        assert client.get_object_value("path", {}, context) == {"generator": "toy", "backend": "device"}
        assert not client.get_boolean_value("path", False)
        assert client.get_boolean_value("sure", False)
        details = client.get_boolean_details("idle", False, context)
        assert (details.value, details.reason) == (False, "DISABLED")
        missing = client.get_boolean_details("nowhere", False, context)
        assert (missing.value, missing.error_code) == (False, "FLAG_NOT_FOUND")
        assert client.get_integer_details("path", 3, context).error_code == "TYPE_MISMATCH"
        wrong = EvaluationContext(targeting_key=chosen, attributes={"cohorts": "early"})
        assert client.get_boolean_details("path", False, wrong).error_code == "INVALID_CONTEXT"
        roll_back(ledger, "path", reason="why", by="operator")
        after = client.get_boolean_details("path", True, context)
        assert (after.value, after.reason, after.variant) == (False, "DISABLED", "off")
    finally:
        api.clear_providers()
