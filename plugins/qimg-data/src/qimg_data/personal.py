"""Personal fields in metadata: e-mail, telephone, IBAN, and columns that are declared (imports nothing of qimg).

Rules only, no model: what they find and miss on a labelled set is stated in the documentation. A name in free text is
not found; declare its column.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Literal

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Kind = Literal["email", "phone", "iban", "declared"]

_EMAIL = re.compile(r"(?<![\w.%+'-])[\w%+'-]+(?:\.[\w%+'-]+)*@(?:[\w-]+\.)+[^\W\d_]{2,24}(?![\w-])")
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]){11,30}(?![A-Za-z0-9])", re.IGNORECASE)
_PHONE = re.compile(r"(?<![\w.+/-])(?:\+|00|\(0|0)\d?(?:[ ./()-]{0,2}\d){6,16}(?![\w/-]|[.,]\d)")
_DATE = re.compile(r"(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4})")

IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GI": 23, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26,
    "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25,
    "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29,
}  # fmt: skip
"""Length by country, from the IBAN registry; an IBAN of a country that is not here counts by its checksum alone."""


@frozen(order=True)
class Found:
    """A personal field: characters ``start`` to ``stop`` of a text."""

    start: int
    stop: int
    kind: Kind
    text: str


def iban_holds(text: str) -> bool:
    """ISO 13616: the country's length, and 1 as the remainder by 97 (ISO 7064 MOD 97-10).

    Args:
        text: with or without spaces, any case.
    """
    plain = "".join(text.split()).upper()
    if not re.fullmatch(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}", plain):
        return False
    if len(plain) != IBAN_LENGTHS.get(plain[:2], len(plain)):
        return False
    return int("".join(str(int(c, 36)) for c in plain[4:] + plain[:4])) % 97 == 1


def find(text: str) -> tuple[Found, ...]:
    """Personal fields in a text, in order, none within another."""
    found: list[Found] = []

    def add(start: int, stop: int, kind: Kind) -> None:
        if all(stop <= f.start or start >= f.stop for f in found):
            found.append(Found(start, stop, kind, text[start:stop]))

    for match in _EMAIL.finditer(text):
        add(match.start(), match.end(), "email")
    at = 0
    while (begun := _IBAN.search(text, at)) is not None:
        length = _iban_end(begun.group())
        if length:
            add(begun.start(), begun.start() + length, "iban")
        at = begun.start() + max(length, 1)
    for match in _PHONE.finditer(text):
        if _phone(match.group()):
            add(match.start(), match.end(), "phone")
    return tuple(sorted(found))


def _iban_end(text: str) -> int:
    """Where an IBAN that begins here ends: words that follow it match the pattern, too. 0: none does."""
    return next((k for k in range(len(text), 14, -1) if (k == len(text) or text[k] == " ") and iban_holds(text[:k])), 0)


def _phone(text: str) -> bool:
    """Seven digits or more after a trunk prefix, at most 15 (ITU-T E.164), and no date or decimal number."""
    digits = re.sub(r"\D", "", text)
    grouped = bool(re.search(r"[ ./()-]", text)) or text.startswith("+")
    return (
        7 <= len(digits.removeprefix("00")) <= 15
        and not _DATE.fullmatch(text.strip())
        and (grouped or len(digits) >= 9)
    )


def find_in_row(row: Mapping[str, str], declared: Iterable[str] = ()) -> dict[str, tuple[Found, ...]]:
    """Personal fields of a record: what `find` finds, and the whole of each declared column that is not empty."""
    wanted = {_name(c) for c in declared}
    out: dict[str, tuple[Found, ...]] = {}
    for column, text in row.items():
        if _name(column) in wanted and text.strip():
            out[column] = (Found(0, len(text), "declared", text),)
        elif found := find(text):
            out[column] = found
    return out


def _name(column: str) -> str:
    return unicodedata.normalize("NFKC", column).strip().casefold()
