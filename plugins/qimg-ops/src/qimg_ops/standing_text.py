"""What `qimg assess --profile requirements` prints and writes (imports standing, requirement)."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from qimg_ops.requirement import PROFILE
from qimg_ops.standing import State, counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from qimg_ops.requirement import Section
    from qimg_ops.standing import Standing

MARKS = {
    State.MET: "[x]",
    State.PARTLY: "[~]",
    State.NOT_MET: "[ ]",
    State.NOT_USED: "[.]",
    State.PEOPLE: "[?]",
    State.NOT_BUILT: "[-]",
}
_COLOURS = {State.MET: "green", State.NOT_MET: "red"}


def _of(section: Section, found: Sequence[Standing]) -> list[Standing]:
    return [s for s in found if s.row.section == section.letter]


def summary(found: Sequence[Standing]) -> str:
    """``5 of 14 met, 2 partly, 7 not used``: states without rows are left out."""
    count, by = counted(found), Counter(s.by for s in found if s.state is State.MET)
    words = {"record": "by the record", "installation": "by what is installed", "people": "signed off"}
    how = ", ".join(f"{by[name]} {said}" for name, said in words.items() if by[name])
    rest = [f"{n} {state}" for state, n in count.items() if n and state != State.MET.value]
    return ", ".join([f"{count[State.MET.value]} of {len(found)} met" + (f" ({how})" if how else ""), *rest])


def _evidence(standing: Standing) -> str:
    numbers = ", ".join(map(str, standing.entries))
    word = "entry" if len(standing.entries) == 1 else "entries"
    return standing.why + (f" ({word} {numbers})" if numbers else "")


def lines(chosen: Sequence[Section], found: Sequence[Standing], ledger: str, shown: Collection[State]) -> list[str]:
    """For a terminal: each section with its summary, then its rows in the states that are shown."""
    said = []
    for section in chosen:
        mine = _of(section, found)
        said.append(click.style(f"{section.letter}  {section.title}: {summary(mine)}", bold=True))
        for s in (s for s in mine if s.state in shown):
            state = click.style(s.state.value, fg=_COLOURS.get(s.state, "yellow"))
            said.append(f"{MARKS[s.state]} {s.row.number:3}  {s.row.title} ({state}: {_evidence(s)})")
            if help_ := helps(s, ledger):
                page = f"  (docs/{s.row.page})" if s.row.page and s.state is not State.PEOPLE else ""
                said.append(f"         {help_}{page}")
    said.append(f"{ledger}: {summary(found)}")
    return said


def helps(standing: Standing, ledger: str) -> str:
    """The command that would help, for this ledger; "" where there is nothing to do."""
    if standing.state in (State.MET, State.PARTLY, State.NOT_BUILT):
        return ""
    row = standing.row
    people = f"qimg assess --profile {PROFILE} --sign-off {row.number} --by ROLE --document FILE --ledger runs"
    return re.sub(r"\bruns\b", lambda _: shlex.quote(ledger), people if row.people else row.do)


def document(
    chosen: Sequence[Section], found: Sequence[Standing], ledger: str, shown: Collection[State]
) -> dict[str, Any]:
    """For ``--json``: counts over all rows, and the rows that are shown."""
    return {
        "profile": PROFILE,
        "ledger": ledger,
        "counts": counted(found),
        "sections": [{"section": s.letter, "title": s.title, "counts": counted(_of(s, found))} for s in chosen],
        "rows": [s.to_json() | {"do": helps(s, ledger)} for s in found if s.state in shown],
    }


def cell(text: str) -> str:
    """A text within a table of Markdown."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def markdown(chosen: Sequence[Section], found: Sequence[Standing], ledger: str) -> str:
    """A table for each section."""
    said = ["# Requirements", "", f"{ledger}: {summary(found)}.", ""]
    for section in chosen:
        mine = _of(section, found)
        said += [f"## {section.letter}. {section.title}", "", f"{summary(mine)}.", ""]
        said += ["| row | | state | evidence | what helps |", "|---|---|---|---|---|"]
        for s in mine:
            help_ = f"`{cell(helps(s, ledger))}`" if helps(s, ledger) else ""
            cells = [str(s.row.number), cell(s.row.title), s.state.value, cell(_evidence(s)), help_]
            said.append(f"| {' | '.join(cells)} |")
        said.append("")
    return "\n".join(said)


def form(chosen: Sequence[Section]) -> str:
    """A form to fill in by hand."""
    said = ["# Requirements", ""]
    for section in chosen:
        said += [f"## {section.letter}. {section.title}", ""]
        said += [f"- [ ] **{row.number}** {row.title}. {row.do}".rstrip() for row in section.rows]
        said.append("")
    return "\n".join(said)
