"""A text that nothing shows, and taking it out of other texts (floor 1; imports nothing of qimg)."""

from __future__ import annotations

import base64
import hmac
import json
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Self

HIDDEN = "***"


class Secret:
    """A text that is not shown. Compare with ``==`` (constant time), read with `reveal`."""

    __slots__ = ("_value",)
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The text itself. Hand it to the one call that needs it; keep it in no variable that lives on."""
        return self._value

    def __repr__(self) -> str:
        return f"Secret({HIDDEN})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return HIDDEN

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a secret is not pickled")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """``text`` with every secret in it, plain, percent-encoded, JSON-escaped or in base64, replaced by ``***``."""
    forms: set[str] = set()
    for secret in secrets:
        value = secret.reveal()
        if value:
            encoded = base64.b64encode(value.encode()).decode()
            forms |= {value, quote(value, safe=""), json.dumps(value)[1:-1], encoded, encoded.rstrip("=")}
    for form in sorted(forms, key=len, reverse=True):
        text = text.replace(form, HIDDEN)
    return text
