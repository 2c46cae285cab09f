"""How a project stands with every row of the requirements (imports requirement, shown, installed, assessing)."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.verdict import Verdict
from qimg_ops.assessing import SIGNED_OFF, assess, checklists
from qimg_ops.installed import Installation
from qimg_ops.matching import newest
from qimg_ops.requirement import PROFILE, Requirement, Section
from qimg_ops.shown import CHECKS, Shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from qimg_core.ledger.base import Ledger
    from qimg_core.ledger.entry import Entry
    from qimg_core.plugins import Registry

CHECKLIST = "checklist:"
"""Before the name of a checklist whose rows a row of the requirements asks for."""


SOUND = "verify"
"""The check without which no entry is evidence."""


class State(StrEnum):
    """How a row stands."""

    MET = "met"
    PARTLY = "partly"  # there is evidence, and the product lacks a part of what the row asks for
    NOT_MET = "not met"
    NOT_USED = "not used"  # the product has it, nothing on record uses it
    PEOPLE = "people"
    NOT_BUILT = "not built"


OPEN = tuple(s for s in State if s is not State.MET)


def _numbers(values: Any) -> tuple[int, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Standing:
    """How one row stands.

    Args:
        row: the row.
        state: see `State`.
        why: the evidence or its absence, in words.
        entries: the evidence on record.
        by: what the answer rests on: "record", "installation", "people", or "" where there is no evidence.
    """

    row: Requirement
    state: State
    why: str
    entries: tuple[int, ...] = field(default=(), converter=_numbers)
    by: str = ""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return {
            "row": self.row.number,
            "section": self.row.section,
            "title": self.row.title,
            "state": self.state.value,
            "why": self.why,
            "by": self.by,
            "entries": list(self.entries),
            "do": self.row.do,
            "page": self.row.page,
        }


def standings(ledger: Ledger, registry: Registry, chosen: Iterable[Section]) -> tuple[Standing, ...]:
    """How every row of some sections stands. Where the record does not verify, none is met by it.

    Args:
        ledger: open for reading; each check goes through it once.
        registry: the plugins of this installation.
        chosen: the sections.
    """
    rows = [row for section in chosen for row in section.rows]
    found = newest(ledger, [w for row in rows for w in row.words])
    signed = {e.facts["item"]: e for e in ledger.entries(kind=SIGNED_OFF) if e.facts["profile"] == PROFILE}
    have = Installation(registry)
    checks = {name: _check(ledger, name) for name in {SOUND, *(row.check for row in rows if row.check)}}
    every = (_standing(row, have, found, signed, checks) for row in rows)
    return tuple(_as_sound(s, checks[SOUND]) for s in every)


def _as_sound(found: Standing, sound: Shown) -> Standing:
    """Entries of a record that does not verify are no evidence."""
    if sound.holds is not False or found.by not in ("record", "people"):
        return found
    why = f"{found.why}; but the record does not verify: {sound.why}"
    return Standing(row=found.row, state=State.NOT_MET, why=why, entries=found.entries)


def _check(ledger: Ledger, name: str) -> Shown:
    if not name.startswith(CHECKLIST):
        return CHECKS[name](ledger)
    profile = name.removeprefix(CHECKLIST)
    met = assess(ledger, profile)
    passed = [m for m in met if m.verdict is Verdict.PASS]
    entries = sorted({i for m in passed for i in m.entries})
    why = f"{len(passed)} of {len(met)} rows of the checklist {profile} are met"
    if not entries:
        return Shown(holds=None, why=why)
    by_hand = {m.verdict for m in met} == {Verdict.PASS, Verdict.INCONCLUSIVE}
    return Shown(holds=len(passed) == len(met), why=why, entries=entries, people=by_hand)


def _standing(
    row: Requirement,
    have: Installation,
    found: Mapping[str, Entry],
    signed: Mapping[str, Entry],
    checks: Mapping[str, Shown],
) -> Standing:
    if row.not_built:
        return Standing(row=row, state=State.NOT_BUILT, why=row.not_built)
    if row.people:
        entry = signed.get(str(row.number))
        if entry is None:
            return Standing(row=row, state=State.PEOPLE, why=f"not signed off: {row.people}")
        why = f"signed off by {entry.claims['by']} on {entry.time[:10]}"
        return Standing(row=row, state=State.MET, why=why, entries=[entry.index], by="people")
    if missing := have.missing(row):
        return Standing(row=row, state=State.NOT_MET, why=missing)
    if not row.recorded:
        return _met(row, f"installed: {have.shown(row)}", (), "installation")
    return _on_record(row, found, checks)


def _on_record(row: Requirement, found: Mapping[str, Entry], checks: Mapping[str, Shown]) -> Standing:
    entries = [found[w].index for w in row.entries if w in found]
    missing = next((w for w in row.entries if w not in found), "")
    needed = next((found[w] for w in row.when if w in found), None)
    if missing:
        why = f"no entry {missing.replace('|', ' or ')}"
        if needed is not None:
            why = f"{why}, and entry {needed.index} ({needed.kind}) asks for one"
            return Standing(row=row, state=State.NOT_MET, why=why, entries=entries)
        return Standing(row=row, state=State.NOT_USED, why=why)
    if row.passing:
        last = found.get(row.passing)
        said = None if last is None else last.facts.get("verdict")
        if last is None or said != Verdict.PASS.value:
            why = f"no entry {row.passing}" if last is None else f"entry {last.index} says {said}"
            return Standing(row=row, state=State.NOT_MET, why=why, entries=entries)
    if row.check:
        shown = checks[row.check]
        entries = sorted({*entries, *shown.entries})
        if not shown.holds:
            bad = shown.holds is False or needed is not None
            state = State.PEOPLE if shown.people else State.NOT_MET if bad else State.NOT_USED
            return Standing(row=row, state=state, why=shown.why, entries=entries)
        return _met(row, shown.why, entries, "record")
    kinds = ", ".join(dict.fromkeys(found[w].kind for w in row.entries))
    return _met(row, f"on record: {kinds}", entries, "record")


def _met(row: Requirement, why: str, entries: Iterable[int], by: str) -> Standing:
    if not row.lacks:
        return Standing(row=row, state=State.MET, why=why, entries=entries, by=by)
    return Standing(row=row, state=State.PARTLY, why=f"{why}; lacks: {row.lacks}", entries=entries, by=by)


def counted(found: Iterable[Standing]) -> dict[str, int]:
    """How many rows are in each state; every state is named."""
    count = Counter(s.state for s in found)
    return {state.value: count[state] for state in State}


def check_names() -> set[str]:
    """Every name that a row's ``check`` may have."""
    return {*CHECKS, *(CHECKLIST + name for name in checklists())}
