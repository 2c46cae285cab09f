"""Words that name entries of a log, and the newest entry that each of them fits (imports nothing of ours).

images.made                     an entry of this kind
images.made[marks]              whose fact is there: not null, not empty, not false, not zero
run.started[budget.max_cost]    a fact within a fact
images.made[generator=kde]      whose fact is this text
jobs.intended[backend^ibm]      whose fact begins with it
a|b                             one of them
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

_WORD = re.compile(r"(?P<kind>[a-z]+(?:\.[a-z_]+)?)(?:\[(?P<path>[a-z_.]+)(?:(?P<how>[=^])(?P<value>[^\]|]+))?\])?")


@frozen
class Word:
    """One alternative: a kind, and what one of its facts is."""

    kind: str
    path: tuple[str, ...] = ()
    how: str = ""
    value: str = ""

    def fits(self, entry: Entry) -> bool:
        """Is this one of them?"""
        if entry.kind != self.kind:
            return False
        if not self.path:
            return True
        found: list[Any] = [entry.facts]
        for name in self.path:
            found = [v for f in found if isinstance(f, dict) for v in _several(f.get(name))]
        if not self.how:
            return any(found)
        texts = [str(f) for f in found]
        return self.value in texts if self.how == "=" else any(t.startswith(self.value) for t in texts)


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


@cache
def parse(text: str) -> tuple[Word, ...]:
    """The alternatives of a text.

    Raises:
        ValueError: no such text.
    """
    words = []
    for part in text.split("|"):
        found = _WORD.fullmatch(part)
        if found is None:
            raise ValueError(f"{part!r} names no entries")
        path = tuple((found["path"] or "").split(".")) if found["path"] else ()
        words.append(Word(found["kind"], path, found["how"] or "", found["value"] or ""))
    return tuple(words)


def newest(ledger: Ledger, texts: Iterable[str]) -> dict[str, Entry]:
    """The newest entry that fits each text, in one pass; a text that none fits is left out."""
    asked: dict[str, list[tuple[str, Word]]] = {}
    for text in set(texts):
        for word in parse(text):
            asked.setdefault(word.kind, []).append((text, word))
    found: dict[str, Entry] = {}
    for entry in ledger.entries():
        for text, word in asked.get(entry.kind, ()):
            if word.fits(entry):
                found[text] = entry
    return found
