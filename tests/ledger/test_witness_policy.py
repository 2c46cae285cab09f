"""Policy files against the text of C2SP tlog-policy."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.cosignature import Cosigner
from qimg_core.ledger.note import Signer, VerifierKey
from qimg_core.ledger.witness_policy import Policy, parse_policy

LOG = Signer.generate("example.org/log")
COSIGNERS = [Cosigner.generate(f"witness.example/w{i}") for i in range(6)]
NAMES = ["X1", "X2", "X3", "Y1", "Y2", "Y3"]
# The example of the specification, with keys.
KEYS = {name: str(c.keys[i % 2]) for i, (name, c) in enumerate(zip(NAMES, COSIGNERS, strict=True))}
EXAMPLE = f"""\
log {LOG.keys[0]}

witness X1 {KEYS["X1"]}
witness X2 {KEYS["X2"]}
witness X3 {KEYS["X3"]}
group X-witnesses 2 X1 X2 X3

witness Y1 {KEYS["Y1"]}
witness Y2 {KEYS["Y2"]}
witness Y3 {KEYS["Y3"]}
group Y-witnesses any Y1 Y2 Y3

group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def test_the_example_means_what_the_specification_says():
    policy = parse_policy(EXAMPLE.encode())
    for k in range(7):
        for chosen in itertools.combinations(NAMES, k):
            xs = sum(name.startswith("X") for name in chosen)
            ys = sum(name.startswith("Y") for name in chosen)
            assert policy.satisfied(set(chosen)) == (xs >= 2 and ys >= 1), chosen
    assert [log.key for log in policy.logs] == [LOG.keys[0]]
    assert policy.wanted == "2 of (2 of (X1, X2, X3), 1 of (Y1, Y2, Y3))"


@given(st.integers(1, 6), st.integers(1, 6), st.sets(st.sampled_from(NAMES)))
def test_k_of_n(n, k, chosen):
    members = NAMES[:n]
    text = "".join(f"witness {name} {KEYS[name]}\n" for name in NAMES) + f"group g {k} {' '.join(members)}\nquorum g\n"
    if k > n:
        with pytest.raises(ConfigurationError):
            parse_policy(text.encode())
    else:
        assert parse_policy(text.encode()).satisfied(chosen) == (len(chosen & set(members)) >= k)


def test_whitespace_comments_urls_and_opaque_octets():
    odd = b"K\xe2\x84\xaa\xff"  # no UTF-8, and not the same as K
    text = b"\n \t \n  # a comment \xff\n\tlog " + str(LOG.keys[1]).encode() + b"  https://log.example/\t\n"
    text += b"witness " + odd + b" " + KEYS["X1"].encode() + b" https://w.example/p\xc3\xa4th\n"
    text += b"witness K " + KEYS["X2"].encode() + b"\nquorum " + odd + b"\n"
    policy = parse_policy(text)
    name = odd.decode("utf-8", "surrogateescape")
    assert policy.quorum == name
    assert policy.witnesses[name].url == "https://w.example/päth"
    assert policy.witnesses["K"].url is None
    assert policy.satisfied({name})
    assert not policy.satisfied({"K"})


def test_a_quorum_of_none_demands_nobody():
    assert parse_policy(b"quorum none\n") == Policy(quorum="none")
    assert parse_policy(b"quorum none\n").satisfied(set())


def _spoilt():
    same = VerifierKey("other.name", COSIGNERS[0].keys[0].kind, COSIGNERS[0].keys[0].public)
    yield "no quorum line", EXAMPLE.replace("quorum X-and-Y\n", "")
    yield "second quorum", EXAMPLE + "quorum X1\n"
    yield "no newline", EXAMPLE[:-1]
    yield "earlier line", EXAMPLE.replace("quorum X-and-Y", "quorum Z")
    yield "earlier line", "quorum X1\n" + EXAMPLE.replace("quorum X-and-Y\n", "")
    yield "earlier line", EXAMPLE.replace("2 X1 X2 X3", "2 X1 X2 Y1")
    yield "earlier line", EXAMPLE.replace("2 X1 X2 X3", "2 X1 X2 none")
    yield "member already", EXAMPLE.replace("any Y1 Y2 Y3", "any Y1 Y2 X3")
    yield "member already", EXAMPLE.replace("2 X1 X2 X3", "2 X1 X1 X3")
    yield "wanted all, any", EXAMPLE.replace("2 X1", "4 X1")
    yield "wanted all, any", EXAMPLE.replace("2 X1", "0 X1")
    yield "wanted all, any", EXAMPLE.replace("2 X1", "02 X1")
    yield "wanted all, any", EXAMPLE.replace("2 X1", "most X1")
    yield "is none of", EXAMPLE.replace("group X-witnesses 2 X1 X2 X3", "group X-witnesses 2")
    yield "is none of", EXAMPLE.replace("log ", "logs ")
    yield "is none of", EXAMPLE.replace("quorum X-and-Y", "quorum X-and-Y X1")
    yield "taken already", EXAMPLE.replace("witness X2", "witness X1")
    yield "taken already", EXAMPLE.replace("group Y-witnesses", "group Y1")
    yield "taken already", EXAMPLE.replace("witness X1", "witness none")
    yield "earlier line already", EXAMPLE.replace(KEYS["X3"], str(same))
    yield "earlier line already", EXAMPLE + f"log {LOG.keys[0]}\n"
    yield "a log signs with", EXAMPLE.replace(str(LOG.keys[0]), KEYS["X1"])
    yield "a witness signs with", EXAMPLE.replace(KEYS["X1"], str(LOG.keys[0]))
    yield "not a verifier key", EXAMPLE.replace(KEYS["X1"], "nonsense")
    yield "0x0d", EXAMPLE.replace("\n", "\r\n")
    yield "0x7f", EXAMPLE + "# \x7f\n"


@pytest.mark.parametrize(("reason", "text"), list(_spoilt()))
def test_what_the_specification_forbids_is_refused(reason, text):
    with pytest.raises(ConfigurationError, match=reason):
        parse_policy(text.encode(), "file")


def test_an_error_names_the_file_and_the_line():
    with pytest.raises(ConfigurationError, match=r"^file, line 3: 'witnes X1"):
        parse_policy(EXAMPLE.replace("witness X1", "witnes X1").encode(), "file")
