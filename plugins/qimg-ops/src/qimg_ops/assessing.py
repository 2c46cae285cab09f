"""Checklists against a record: which rows are met, by which entries (imports checks, incidents; checklists.toml)."""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_audit.gaps import find_gaps
from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.verdict import Verdict
from qimg_ops.incidents import incidents

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry

SIGNED_OFF = "assess.signed_off"


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(values)


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Item:
    """One row of a checklist; see the head of ``checklists.toml``."""

    id: str
    text: str
    rows: tuple[int, ...] = field(converter=_numbers)
    how: str
    kinds: tuple[str, ...] = field(default=(), converter=_texts)
    passing: str = ""
    check: str = ""

    @property
    def by_hand(self) -> bool:
        """Can only people tell?"""
        return not self.kinds and not self.check


@frozen(kw_only=True)
class Met:
    """How a row stands.

    Args:
        item: the row.
        verdict: pass: there is evidence. fail: there is none, or it says fail. inconclusive: for people, and not
            signed off yet.
        why: in words.
        entries: the evidence.
    """

    item: Item
    verdict: Verdict
    why: str
    entries: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.item.id,
            "text": self.item.text,
            "rows": list(self.item.rows),
            "verdict": self.verdict.value,
            "why": self.why,
            "entries": list(self.entries),
            "how": self.item.how,
        }


@cache
def checklists() -> dict[str, tuple[str, tuple[Item, ...]]]:
    """Profile to its title and items."""
    document = tomllib.loads((files("qimg_ops") / "data" / "checklists.toml").read_text("utf-8"))
    return {
        name: (table["title"], tuple(Item(**{"passing" if k == "pass" else k: v for k, v in row.items()}) for row in
                                     table["item"]))
        for name, table in document.items()
    }  # fmt: skip


def checklist(name: str) -> tuple[str, tuple[Item, ...]]:
    """Title and items of a profile.

    Raises:
        UnknownName: none of that name.
    """
    if name not in checklists():
        raise UnknownName("checklist", name, checklists())
    return checklists()[name]


def assess(ledger: Ledger, name: str) -> tuple[Met, ...]:
    """How every row of a profile stands."""
    _, items = checklist(name)
    newest: dict[str, Entry] = {}
    for entry in ledger.entries():
        newest[entry.kind] = entry
    signed = {e.facts["item"]: e for e in ledger.entries(kind=SIGNED_OFF) if e.facts["profile"] == name}
    return tuple(_met(item, newest, signed, ledger) for item in items)


def _met(item: Item, newest: Mapping[str, Entry], signed: Mapping[str, Entry], ledger: Ledger) -> Met:
    if item.by_hand:
        entry = signed.get(item.id)
        if entry is None:
            why = "for people: not signed off"
            return Met(item=item, verdict=Verdict.INCONCLUSIVE, why=why)
        why = f"signed off by {entry.claims['by']} on {entry.time[:10]}"
        return Met(item=item, verdict=Verdict.PASS, why=why, entries=(entry.index,))
    found: list[Entry] = []
    for kinds in item.kinds:
        there = [newest[k] for k in kinds.split("|") if k in newest]
        if not there:
            return Met(item=item, verdict=Verdict.FAIL, why=f"no entry {kinds.replace('|', ' or ')}")
        found.append(max(there, key=lambda e: e.index))
    entries = tuple(e.index for e in found)
    if item.passing:
        verdict = newest[item.passing].facts.get("verdict")
        if verdict != Verdict.PASS.value:
            index = newest[item.passing].index
            return Met(item=item, verdict=Verdict.FAIL, why=f"entry {index} says {verdict}", entries=entries)
    if item.check and (wrong := _CHECKS[item.check](ledger)):
        return Met(item=item, verdict=Verdict.FAIL, why=wrong, entries=entries)
    return Met(item=item, verdict=Verdict.PASS, why=item.check or "on record", entries=entries)


def _verify(ledger: Ledger) -> str:
    done = ledger.verify()
    return "" if done.ok else str(done.problems[0])


def _holes(ledger: Ledger) -> str:
    holes = [g for g in find_gaps(ledger) if g.hole]
    return f"{len(holes)} holes; {holes[0].where}: {holes[0].what}" if holes else ""


def _incidents(ledger: Ledger) -> str:
    return ", ".join(f"{i.id} is open" for i in incidents(ledger) if i.open)


_CHECKS: dict[str, Callable[[Ledger], str]] = {"verify": _verify, "holes": _holes, "incidents": _incidents}


def sign_off(ledger: Ledger, name: str, item: str, *, by: str, document: bytes) -> Entry:
    """Say that people have done a row, with the document that shows it.

    Args:
        ledger: open for writing; it signs the entry at its next head. Who signs off is a claim.
        name: of the profile.
        item: id of a row for people.
        by: a role.
        document: its digest goes into the entry; keep the document yourself.

    Raises:
        UnknownName: no such profile or row.
        ConfigurationError: the row is checked from the record, or nobody or nothing is named.
    """
    rows = {i.id: i for i in checklist(name)[1]}
    if item not in rows:
        raise UnknownName(f"row of {name}", item, rows)
    if not rows[item].by_hand:
        raise ConfigurationError(f"{item} is checked from the record: {rows[item].how}")
    if not by.strip() or not document:
        raise ConfigurationError("a sign-off names a role and a document that is not empty")
    facts = {
        "schema": "qimg.sign-off/1",
        "profile": name,
        "item": item,
        "document": "sha256:" + hashlib.sha256(document).hexdigest(),
    }
    return ledger.append(SIGNED_OFF, facts=facts, claims={"by": by})
