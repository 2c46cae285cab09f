"""Canonical JSON: RFC 8785 (JCS) bytes for the ledger's JSON profile (imports errors only).

The profile has objects with string keys, arrays, strings, integers below 2**53 in size, true, false
and null. It has **no floats**: a real number is a string in shortest round-trip form (see `real`).
Without floats the standard encoder's output with sorted keys is the RFC 8785 form, except that JCS
sorts keys by UTF-16 code units, which differs from code point order for keys beyond U+FFFF.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from qimg_core.errors import ConfigurationError

LARGEST = 2**53 - 1
DEEPEST = 100
_ASTRAL = re.compile("[\U00010000-\U0010ffff]")

_sorted = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
_given = json.JSONEncoder(sort_keys=False, ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


def dumps(value: Any) -> bytes:
    """The RFC 8785 bytes of a document.

    Args:
        value: dicts with string keys, lists, tuples (written as arrays), strings, integers, bools, None.

    Raises:
        ConfigurationError: a float, an integer of 2**53 or more, a lone surrogate, a key that is not
            a string, any other type, or nesting deeper than 100; the message names the place.
    """
    if _ordinary(value):
        try:
            text = _sorted(value)
            if text.isascii() or not _ASTRAL.search(text):  # no key beyond U+FFFF: code point order is UTF-16 order
                return text.encode()
        except UnicodeEncodeError:
            pass  # a lone surrogate: below it is refused by its place
    plain = _check(value, 0, [])
    try:
        return (_sorted(value) if plain else _given(_in_order(value))).encode()
    except UnicodeEncodeError:
        _refuse_surrogates(value, [])
        raise


def loads(data: bytes) -> Any:
    """Read canonical bytes, and nothing else.

    Raises:
        ConfigurationError: not UTF-8 JSON, a float, NaN, a duplicate key, or not byte for byte what
            `dumps` would write.
    """
    try:
        value = json.loads(data.decode(), parse_float=_no_float, parse_constant=_no_float)
    except ConfigurationError:
        raise
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"not canonical JSON: {error}") from error
    if dumps(value) != data:
        json.loads(data, object_pairs_hook=_no_duplicates)
        raise ConfigurationError("not canonical JSON: key order, spacing or escapes differ from RFC 8785")
    return value


def real(x: float) -> str:
    """A real number as the ledger writes it: the shortest decimal that reads back to the same double.

    Raises:
        ConfigurationError: NaN, an infinity, or an integer that no double holds.
    """
    number = float(x)
    if not math.isfinite(number):
        raise ConfigurationError(f"the ledger holds finite numbers, not {number!r}", hint="name it in `gaps` instead")
    if isinstance(x, int) and number != x:
        raise ConfigurationError(f"{x} is not a double exactly; write it as an integer or a string")
    return repr(number)


def _ordinary(value: Any) -> bool:
    """Is it made of exactly the profile's types and not deep? False means: look at it more closely (`_check`)."""
    level = [value]
    for _ in range(DEEPEST + 1):
        inner: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is str or item is None or kind is bool:
                continue
            if kind is int:
                if not -LARGEST <= item <= LARGEST:
                    return False
            elif kind is dict:
                for key in item:
                    if type(key) is not str:
                        return False
                inner += item.values()
            elif kind is list or kind is tuple:
                inner += item
            else:
                return False
        if not inner:
            return True
        level = inner
    return False


def _check(value: Any, depth: int, path: list[str | int]) -> bool:
    """Refuse what the profile lacks. True where code point order of the keys is UTF-16 order."""
    if isinstance(value, str) or value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        if not -LARGEST <= value <= LARGEST:
            _refuse(path, f"the integer {value}", "integers stay below 2**53 in size; write a larger one as a string")
        return True
    if depth >= DEEPEST:
        _refuse(path[:3], f"nesting deeper than {DEEPEST}", "flatten it, or store it as an artefact")
    plain = True
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                _refuse(path, f"the key {key!r}", "keys are strings")
            if not key.isascii() and max(key) > "\uffff":
                plain = False
            path.append(key)
            plain &= _check(item, depth + 1, path)
            path.pop()
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            path.append(index)
            plain &= _check(item, depth + 1, path)
            path.pop()
    elif isinstance(value, float):
        _refuse(path, f"the float {value!r}", "write real numbers as strings: qimg_core.ledger.canonical.real(x)")
    else:
        _refuse(path, f"a value of type {type(value).__name__}", "use dict, list, str, int, bool or None")
    return plain


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        ordered = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be", "surrogatepass"))
        return {key: _in_order(item) for key, item in ordered}
    if isinstance(value, list | tuple):
        return [_in_order(item) for item in value]
    return value


def _refuse(path: list[str | int], what: str, hint: str) -> NoReturn:
    where = "$" + "".join(f"[{p}]" if isinstance(p, int) else f".{p!s}" for p in path)
    shown = where.encode("utf-8", "backslashreplace").decode()
    raise ConfigurationError(f"canonical JSON cannot hold {what} at {shown}", hint=hint)


def _refuse_surrogates(value: Any, path: list[str | int]) -> None:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            _refuse(path, "a lone surrogate", "strings are valid Unicode")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_surrogates(key, [*path, key])
            _refuse_surrogates(item, [*path, key])
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            _refuse_surrogates(item, [*path, index])


def _no_float(text: str) -> NoReturn:
    raise ConfigurationError(f"canonical JSON here has no floats, and found {text}")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        twice = next(key for key in names if names.count(key) > 1)
        raise ConfigurationError(f"not canonical JSON: the key {twice!r} occurs twice in one object")
    return found
