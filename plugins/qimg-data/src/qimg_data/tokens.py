"""Keyed tokens instead of personal fields, reversible only through a sealed map (imports personal, vault, sealing).

A token is ``tok1_KIND_`` and 26 characters of base32 (lower case, no padding): the first 16 bytes of

    HMAC-SHA256(HMAC-SHA256(subject's key, "qimg.token/1 key"), KIND, 0x00, NFC text in UTF-8)

The same value of the same person gives the same token; of two persons, two. The map from tokens back to values is JSON,
sealed under the same key: once that is destroyed, a token can neither be turned back nor confirmed by a guess.
"""

from __future__ import annotations

import base64
import hmac
import json
import re
import unicodedata
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.ledger import canonical
from qimg_core.ledger.sealing import SealedArtefact, seal, sealed_facts, unseal
from qimg_data.personal import find_in_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.vault import SubjectKey, Vault

KIND = "data.tokenised"
TOKEN = re.compile(r"tok1_[a-z]+_[a-z2-7]{26}")
_A_TIME = 100  # sealed maps of one entry


def token(key: SubjectKey, kind: str, value: str) -> str:
    """The token of a value.

    Args:
        key: of the person.
        kind: lower-case letters, such as ``email``.
        value: as found.

    Raises:
        ConfigurationError: another kind.
    """
    if not re.fullmatch(r"[a-z]{1,20}", kind):
        raise ConfigurationError(f"a token's kind is 1 to 20 lower-case letters, got {kind[:40]!r}")
    inner = hmac.digest(key.secret, b"qimg.token/1 key", "sha256")
    text = f"{kind}\0{unicodedata.normalize('NFC', value)}".encode()
    short = base64.b32encode(hmac.digest(inner, text, "sha256")[:16]).decode().rstrip("=").lower()
    return f"tok1_{kind}_{short}"


@frozen(kw_only=True)
class Tokenised:
    """Rows without personal fields.

    Args:
        rows: as given, with tokens.
        counts: how many fields were replaced, by kind.
        maps: subject -> token -> value. Never to be stored in the clear.
    """

    rows: tuple[dict[str, str], ...]
    counts: dict[str, int]
    maps: Mapping[str, Mapping[str, str]] = field(repr=False)


def tokenise(
    rows: Sequence[Mapping[str, str]], vault: Vault, *, subject: str, declared: Iterable[str] = ()
) -> Tokenised:
    """Replace every personal field by a token of its person.

    Args:
        rows: records of text.
        vault: of the ledger.
        subject: the column that says whose record it is; it becomes the person's keyed hash.
        declared: columns that are personal as a whole, such as names.

    Raises:
        DataError: no such column, a record without a subject, or a cell that holds something like a token already.
    """
    declared = tuple(declared)
    made: list[dict[str, str]] = []
    counts: dict[str, int] = {}
    maps: dict[str, dict[str, str]] = {}
    for number, row in enumerate(rows, 1):
        whose = row.get(subject, "").strip()
        if not whose:
            raise DataError(f"record {number}: nothing in the column {subject!r}", hint=f"columns: {', '.join(row)}")
        if any(TOKEN.search(text) for text in row.values()):
            raise DataError(f"record {number} holds tokens already", hint="tokenise the original once")
        key = vault.key(whose, create=True)
        own = maps.setdefault(whose, {})
        new = {**row, subject: key.tag.hex()}
        for column, found in find_in_row({k: v for k, v in row.items() if k != subject}, declared).items():
            text = row[column]
            for item in reversed(found):
                short = token(key, item.kind, item.text)
                own[short] = item.text
                text = text[: item.start] + short + text[item.stop :]
                counts[item.kind] = counts.get(item.kind, 0) + 1
            new[column] = text
        made.append(new)
    return Tokenised(rows=tuple(made), counts=counts, maps=maps)


def keep_maps(ledger: Ledger, done: Tokenised, vault: Vault) -> tuple[int, ...]:
    """Seal each person's map under their key; returns the entries that name them."""
    sealed: list[SealedArtefact] = [
        seal(ledger, canonical.dumps(dict(tokens)), whose, vault) for whose, tokens in done.maps.items() if tokens
    ]
    entries = []
    for at in range(0, len(sealed), _A_TIME):
        some = {f"map-{at + i}": s for i, s in enumerate(sealed[at : at + _A_TIME])}
        facts = {"schema": "qimg.tokens/1", "counts": done.counts, **sealed_facts(some)}
        entries.append(ledger.append(KIND, facts=facts).index)
    return tuple(entries)


def reveal(ledger: Ledger, short: str, vault: Vault) -> str:
    """The value behind a token.

    Raises:
        ConfigurationError: not a token, or no map of this ledger has it (or its person was forgotten).
    """
    if not TOKEN.fullmatch(short):
        raise ConfigurationError(f"not a token: {short[:60]!r}")
    known = {key.tag.hex() for key in vault.every()}
    for entry in ledger.entries(kind=KIND):
        for name, fact in entry.facts["sealed"].items():
            if fact["subject"] in known:
                found = json.loads(unseal(ledger, entry.artefacts[name], vault))
                if short in found:
                    return str(found[short])
    raise ConfigurationError("no map that can still be read has this token")
