"""Checklists against a record: which rows are met, by which entries (imports shown, requirement; checklists.toml)."""

from __future__ import annotations

import hashlib
import tomllib
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, UnknownName
from qimg_core.verdict import Verdict
from qimg_ops.requirement import PROFILE, requirement
from qimg_ops.shown import CHECKS

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    if item.check:
        shown = CHECKS[item.check](ledger)
        verdict = Verdict.PASS if shown.holds else Verdict.FAIL
        return Met(item=item, verdict=verdict, why=shown.why, entries=(*entries, *shown.entries))
    return Met(item=item, verdict=Verdict.PASS, why="on record", entries=entries)


def sign_off(ledger: Ledger, name: str, item: str, *, by: str, document: bytes) -> Entry:
    """Say that people have done a row, with the document that shows it.

    Args:
        ledger: open for writing; it signs the entry at its next head. Who signs off is a claim.
        name: of the profile, or "requirements".
        item: id of a row for people; of the requirements its number.
        by: a role.
        document: its digest goes into the entry; keep the document yourself.

    Raises:
        UnknownName: no such profile or row.
        ConfigurationError: the row is checked from the record, or nobody or nothing is named.
    """
    _check_by_hand(name, item)
    if not by.strip() or not document:
        raise ConfigurationError("a sign-off names a role and a document that is not empty")
    facts = {
        "schema": "qimg.sign-off/1",
        "profile": name,
        "item": item,
        "document": "sha256:" + hashlib.sha256(document).hexdigest(),
    }
    return ledger.append(SIGNED_OFF, facts=facts, claims={"by": by})


def _check_by_hand(name: str, item: str) -> None:
    if name == PROFILE:
        row = requirement(item)
        if not row.people:
            raise ConfigurationError(f"row {item} is not for people: {row.title}", hint=row.do)
        return
    rows = {i.id: i for i in checklist(name)[1]}
    if item not in rows:
        raise UnknownName(f"row of {name}", item, rows)
    if not rows[item].by_hand:
        raise ConfigurationError(f"{item} is checked from the record: {rows[item].how}")
