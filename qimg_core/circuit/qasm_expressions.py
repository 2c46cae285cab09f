"""OpenQASM 3 words and angle expressions, with the line of each (imports errors and ir)."""

from __future__ import annotations

import math
import re
import sys
from typing import TYPE_CHECKING, NoReturn, TypeVar

from attrs import evolve, frozen

from qimg_core.circuit.ir import Angle
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")

_TOKENS = re.compile(
    r"""(?P<role>//[ \t]*qimg[ \t]+(?:input|weight)[ \t]+"[^\n]*)
    |(?P<skip>[ \t\r\n]+|//[^\n]*|/\*.*?\*/)
    |(?P<number>(?:\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
    |(?P<name>[^\W\d]\w*|\$\d+)
    |(?P<string>"[^"\n]*"|'[^'\n]*')
    |(?P<symbol>->|\*\*|[^\w\s])""",
    re.DOTALL | re.VERBOSE,
)
_CONSTANTS = {"pi": math.pi, "π": math.pi, "tau": math.tau, "τ": math.tau, "euler": math.e, "ℇ": math.e}


@frozen
class Token:
    """One word, number, string or symbol; ``role`` is a ``// qimg`` comment."""

    kind: str
    text: str
    line: int


@frozen
class Affine:
    """``scale * parameter + offset`` while an expression is read; None: no offset was written."""

    parameter: int
    scale: float = 1.0
    offset: float | None = None


Value = int | float | Affine


def fail(line: int, message: str, hint: str = "") -> NoReturn:
    """Raise ConfigurationError for a line of the text."""
    raise ConfigurationError(f"line {line}: {message}", hint=hint, line=line)


def tokens(text: str) -> tuple[Token, ...]:
    """All words of the text, without comments and white space.

    Raises:
        ConfigurationError: a comment or string without its end, or a character that is no part of the language.
    """
    out: list[Token] = []
    at, line = 0, 1
    while at < len(text):
        found = _TOKENS.match(text, at)
        if found is None or not found.lastgroup or (found.group() == "/" and text.startswith("/*", at)):
            fail(line, f"cannot read {text[at : at + 10]!r}")
        if found.lastgroup != "skip":
            out.append(Token(found.lastgroup, found.group(), line))
        line, at = line + found.group().count("\n"), found.end()
    return tuple(out)


class Cursor:
    """A place in a list of tokens, and what may come next there."""

    def __init__(self, words: Sequence[Token]) -> None:
        self.words, self.at = words, 0
        self._end = Token("end", "the end of the text", words[-1].line if words else 1)

    @property
    def now(self) -> Token:
        return self.words[self.at] if self.at < len(self.words) else self._end

    def next(self) -> Token:
        token = self.now
        self.at += 1
        return token

    def take(self, text: str) -> bool:
        """Step over ``text`` if it comes next."""
        if self.now.text != text or self.now.kind in ("end", "string"):
            return False
        self.at += 1
        return True

    def want(self, text: str) -> None:
        if not self.take(text):
            fail(self.now.line, f"wanted {text!r}, found {self.now.text!r}")

    def of(self, kind: str, what: str) -> str:
        if self.now.kind != kind:
            fail(self.now.line, f"wanted {what}, found {self.now.text!r}")
        return self.next().text

    def whole(self, what: str) -> int:
        line, text = self.now.line, self.of("number", what)
        if not text.isdecimal() or len(text) > 9:
            fail(line, f"wanted {what}, found {text[:20]!r}")
        return int(text)

    def listed(self, end: str, item: Callable[[], T]) -> list[T]:
        """Items between commas up to ``end``, which is taken too."""
        out: list[T] = []
        while not self.take(end):
            if out:
                self.want(",")
            out.append(item())
        return out


def expression(c: Cursor, scope: Mapping[str, Value]) -> Value:
    """Read numbers, constants and names of ``scope`` with + - * / and brackets.

    Raises:
        ConfigurationError: another operation, or a value that is not affine in one parameter.
    """
    value = _product(c, scope)
    while c.now.text in ("+", "-"):
        token = c.next()
        right = _product(c, scope)
        value = _added(value, right if token.text == "+" else _times(right, -1, token.line), token.line)
    return value


def angle(value: Value) -> Angle:
    """The angle that an expression stands for."""
    if isinstance(value, Affine):
        return Angle(value.parameter, value.scale, 0.0 if value.offset is None else value.offset)
    return Angle(offset=float(value))


def _product(c: Cursor, scope: Mapping[str, Value]) -> Value:
    value = _signed(c, scope)
    while c.now.text in ("*", "/"):
        token = c.next()
        right = _signed(c, scope)
        value = _times(value, right, token.line) if token.text == "*" else _divided(value, right, token.line)
    return value


def _signed(c: Cursor, scope: Mapping[str, Value]) -> Value:
    line = c.now.line
    if c.take("-"):
        return _times(_signed(c, scope), -1, line)
    if c.take("+"):
        return _signed(c, scope)
    return _atom(c, scope)


def _atom(c: Cursor, scope: Mapping[str, Value]) -> Value:
    token = c.next()
    if token.text == "(" and token.kind == "symbol":
        value = expression(c, scope)
        c.want(")")
        return value
    if token.kind == "number":
        text = token.text.replace("_", "")
        whole = text.isdecimal() and len(text) < 300
        return int(text) if whole else _finite(float(text), token.line)
    if token.text in scope:
        return scope[token.text]
    if token.text in _CONSTANTS:
        return _CONSTANTS[token.text]
    fail(token.line, f"wanted a number or a parameter, found {token.text!r}")


def _added(a: Value, b: Value, line: int) -> Value:
    if not isinstance(a, Affine):
        a, b = b, a
    if not isinstance(a, Affine):
        assert not isinstance(b, Affine)
        return _finite(a + b, line)
    if not isinstance(b, Affine):
        return evolve(a, offset=_finite(float(b) if a.offset is None else a.offset + b, line))
    if a.parameter != b.parameter:
        fail(line, "an angle is affine in one parameter, found a sum of two", "split the rotation in two")
    offset = a.offset if b.offset is None else b.offset if a.offset is None else a.offset + b.offset
    return Affine(a.parameter, a.scale + b.scale, offset)


def _times(a: Value, b: Value, line: int) -> Value:
    if not isinstance(a, Affine):
        a, b = b, a
    if isinstance(b, Affine):
        fail(line, "an angle is affine in one parameter, found a product of two")
    if not isinstance(a, Affine):
        return _finite(a * b, line)
    return evolve(a, scale=_finite(a.scale * b, line), offset=None if a.offset is None else a.offset * b)


def _divided(a: Value, b: Value, line: int) -> Value:
    if isinstance(b, Affine):
        fail(line, "an angle is affine in one parameter, found a division by one")
    if isinstance(a, int) and isinstance(b, int):
        fail(line, f"{a}/{b} drops the remainder in OpenQASM", f"write {a}.0/{b} for the quotient")
    if b == 0:
        fail(line, "division by zero")
    if isinstance(a, Affine):
        return evolve(a, scale=_finite(a.scale / b, line), offset=None if a.offset is None else a.offset / b)
    return _finite(a / b, line)


V = TypeVar("V", int, float)


def _finite(value: V, line: int) -> V:
    if abs(value) > sys.float_info.max:
        fail(line, "the number is too large for an angle")
    return value
