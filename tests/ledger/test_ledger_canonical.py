from __future__ import annotations

import enum
import json
import math

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

from qimg_core.errors import ConfigurationError
from qimg_core.ledger.canonical import dumps, loads, real

keys = st.text(max_size=6) | st.sampled_from(["\ufb33", "\U0001f600", "\U00010000", "\ue000", "a", "é", "\r", "1"])
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(keys, inner, max_size=6),
    max_leaves=30,
)


@settings(max_examples=300, deadline=None)
@given(documents)
@example({"\U0001f600": 1, "\ufb33": 2, "\ue000": 3})
def test_the_bytes_are_those_of_the_reference_implementation(document):
    assert dumps(document) == rfc8785.dumps(document)
    assert loads(dumps(document)) == document


def test_rfc_8785_key_order():
    # RFC 8785 section 3.2.3: its example of sorting by UTF-16 code units.
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    found = list(json.loads(dumps(dict.fromkeys(names, 0))))
    assert found == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


def test_public_vectors(vectors):
    seen = {"same": 0, "refused": 0}
    for path in sorted((vectors / "jcs" / "input").glob("*.json")):
        document = json.loads(path.read_bytes())
        if has_float(document):
            with pytest.raises(ConfigurationError, match="float"):
                dumps(document)
            seen["refused"] += 1
        else:
            wanted = (vectors / "jcs" / "output" / path.name).read_bytes().rstrip(b"\n")
            assert dumps(document) == wanted, path.name
            seen["same"] += 1
    assert seen == {"same": 4, "refused": 2}


def has_float(value):
    if isinstance(value, dict):
        value = list(value.values())
    return any(map(has_float, value)) if isinstance(value, list) else isinstance(value, float)


@pytest.mark.parametrize(
    ("value", "place"),
    [
        ({"facts": {"layers": [0, {"lr": 0.5}]}}, "$.facts.layers[1].lr"),
        ({"a": math.nan}, "$.a"),
        ([2**53], "$[0]"),
        ([-(2**53)], "$[0]"),
        ({"a": {1: 2}}, "key 1"),
        ({"a": b"x"}, "bytes"),
        ({"a": {1, 2}}, "set"),
        ({"a": "\ud800"}, "lone surrogate"),
        ({"\udc00": 1}, "lone surrogate"),
        ({"\udc00": 1, "\U0001f600": 2}, "lone surrogate"),
    ],
)
def test_what_the_profile_lacks_is_refused_by_place(value, place):
    with pytest.raises(ConfigurationError) as caught:
        dumps(value)
    assert place in caught.value.message


def test_numpy_values_are_refused():
    np = pytest.importorskip("numpy")
    for value in (np.float64(1), np.float32(1), np.int64(1), np.zeros(2)):
        with pytest.raises(ConfigurationError, match="cannot hold"):
            dumps({"x": value})


def test_a_cycle_and_depth_are_refused():
    cycle = []
    cycle.append(cycle)
    with pytest.raises(ConfigurationError, match="deeper"):
        dumps(cycle)


def test_enums_and_tuples_are_written_as_what_they_are():
    class Kind(enum.StrEnum):
        A = "alpha"

    assert dumps({"k": Kind.A, "t": (1, 2)}) == b'{"k":"alpha","t":[1,2]}'


@pytest.mark.parametrize(
    "data",
    [
        b'{"a":1,"a":1}',
        b'{"b":1,"a":1}',
        b'{"a": 1}',
        b'{"a":1}\n',
        b'{"a":1.0}',
        b'{"a":1e2}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-0}',
        b'{"a":9007199254740992}',
        b'{"a":"\\u0041"}',
        b'{"a":"\\/"}',
        b'{"a":"\\ud800"}',
        b'\xef\xbb\xbf{"a":1}',
        b'{"a":"\xff"}',
        b"{'a':1}",
        b"",
        b"[" * 200 + b"]" * 200,
        b"1" * 5000,
    ],
)
def test_the_reader_takes_canonical_bytes_only(data):
    with pytest.raises(ConfigurationError):
        loads(data)


def test_a_duplicate_key_is_named():
    with pytest.raises(ConfigurationError, match="'a' occurs twice"):
        loads(b'{"x":{"a":1,"a":2}}')


@settings(deadline=None)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_reals_read_back_to_the_same_double(x):
    assert math.copysign(1, float(real(x))) == math.copysign(1, x)
    assert float(real(x)) == x
    digits = real(x).lower().split("e")[0].replace("-", "").replace(".", "").strip("0")
    assert len(digits) <= 17


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf, 2**53 + 1])
def test_no_string_for_what_no_double_is(x):
    with pytest.raises(ConfigurationError):
        real(x)
