"""The rows of the requirements, from ``data/requirements/*.toml``: what shows that each is met (imports matching).

A row is shown by one of these:

- ``entries``: an entry of each of these words (`qimg_ops.matching`); ``passing`` is one whose newest has to say pass;
- ``check``: computed over the record now, by a name of `qimg_ops.shown`;
- ``commands``, ``parts`` (``kind:name``), ``modules``: what the installation has to have;
- ``silent``: no plugin is told of entries;
- ``people``: a document that somebody signs off;
- ``not_built``: nothing, and why.

``when`` are words of entries that make a row needed: with them on record and the row's own missing it is not met,
without them it is not used. ``lacks`` is what the row asks for and the product has not. ``do`` is the command that
helps.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from attrs import field, frozen

from qimg_core.errors import UnknownName

PROFILE = "requirements"


def _texts(values: Any) -> tuple[str, ...]:
    return tuple(values)


@frozen(kw_only=True)
class Requirement:
    """One row; see the head of this module. ``page`` is a page of the documentation, without its suffix."""

    number: int
    title: str
    section: str
    page: str = ""
    do: str = ""
    entries: tuple[str, ...] = field(default=(), converter=_texts)
    passing: str = ""
    check: str = ""
    when: tuple[str, ...] = field(default=(), converter=_texts)
    commands: tuple[str, ...] = field(default=(), converter=_texts)
    parts: tuple[str, ...] = field(default=(), converter=_texts)
    modules: tuple[str, ...] = field(default=(), converter=_texts)
    silent: bool = False
    people: str = ""
    not_built: str = ""
    lacks: str = ""

    @property
    def recorded(self) -> bool:
        """Is it the record that shows it?"""
        return bool(self.entries or self.check)

    @property
    def words(self) -> tuple[str, ...]:
        """Every word of entries that it names."""
        return (*self.entries, *((self.passing,) if self.passing else ()), *self.when)

    def shown_by(self) -> str:
        """What shows it, in one line, in Markdown."""
        if self.not_built:
            return f"not built: {self.not_built}"
        if self.people:
            return f"people: {self.people}"
        said = []
        if self.entries:
            said.append("entries " + ", ".join(f"`{e}`" for e in self.entries).replace("|", "` or `"))
        if self.passing:
            said.append(f"the newest `{self.passing}` says pass")
        if self.check:
            said.append(f"check `{self.check}`")
        if self.parts:
            said.append(", ".join(f"`{p}`" for p in self.parts))
        if self.modules:
            said.append(", ".join(f"`{m}`" for m in self.modules))
        if self.commands:
            said.append(", ".join(f"`qimg {c}`" for c in self.commands))
        if self.silent:
            said.append("no plugin is told of entries")
        text = "; ".join(said)
        return f"{text}. Lacks: {self.lacks}" if self.lacks else text


@frozen(kw_only=True)
class Section:
    """Rows that belong together."""

    letter: str
    title: str
    rows: tuple[Requirement, ...]


@cache
def sections() -> tuple[Section, ...]:
    """Every section, by letter."""
    folder = files("qimg_ops") / "data" / "requirements"
    found = []
    for path in sorted((p for p in folder.iterdir() if p.name.endswith(".toml")), key=lambda p: p.name):
        document = tomllib.loads(path.read_text("utf-8"))
        letter = document["letter"]
        rows = [Requirement(section=letter, **row) for row in document["row"]]
        found.append(Section(letter=letter, title=document["title"], rows=tuple(rows)))
    return tuple(found)


def chosen_sections(letters: tuple[str, ...]) -> tuple[Section, ...]:
    """Those of these letters, all where none is given.

    Raises:
        UnknownName: no such section.
    """
    known = {s.letter: s for s in sections()}
    for letter in letters:
        if letter.upper() not in known:
            raise UnknownName("section of the requirements", letter, known)
    wanted = {letter.upper() for letter in letters}
    return tuple(s for s in sections() if not wanted or s.letter in wanted)


def requirement(number: str) -> Requirement:
    """The row of a number.

    Raises:
        UnknownName: no such row.
    """
    rows = {str(r.number): r for s in sections() for r in s.rows}
    if number not in rows:
        raise UnknownName("row of the requirements", number, rows)
    return rows[number]
