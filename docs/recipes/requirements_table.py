"""Write `docs/reference/requirements.md`: every row of the requirements, and what shows that it is met.

usage: requirements_table.py [OUT.md]
From the same files that `qimg assess --profile requirements` reads; nothing is run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from qimg_ops.requirement import sections
from qimg_ops.standing_text import cell

if TYPE_CHECKING:
    from qimg_ops.requirement import Requirement

PAGE = Path(__file__).parents[1] / "reference" / "requirements.md"

HEAD = """# Requirements

Every row that this software is to meet, and what shows that it is. [`qimg assess --profile requirements`](../how-to/gate.md) asks the same of your
record and your installation, and names the entries. This page is written by `docs/recipes/requirements_table.py` from the files that the command
reads; the tests compare the two.

{counts}

| in the second column | means |
|---|---|
| entries `a` or `b` | the record has one of them; `[fact]`: whose fact is there, `[fact=x]`: is that, `[fact^x]`: begins with it |
| check | computed over the record when it is asked for |
| a component, a module, a command | this installation has it; that is the product's merit, not the project's |
| people | somebody signs off a document, whose digest goes into the record |
| Lacks | the product has a part of the row: such a row is at most *partly* met |
| not built | the product has not got it |

"""


def kind_of(row: Requirement) -> str:
    """What a row rests on, for the counts."""
    if row.not_built:
        return "not built"
    if row.people:
        return "people"
    if row.lacks:
        return "partly built"
    return "record" if row.recorded else "installation"


def counts() -> str:
    """The sentence with the numbers."""
    found = [kind_of(row) for section in sections() for row in section.rows]
    n = {kind: found.count(kind) for kind in ("record", "installation", "people", "partly built", "not built")}
    return (
        f"Of {len(found)} rows {n['record']} are shown by entries or checks of a project's record, {n['installation']} by what is "
        f"installed, {n['people']} by people; **{n['partly built']} are built in part, and {n['not built']} are not built**."
    )


def line(row: Requirement) -> str:
    """A row of the table."""
    page = ""
    if row.page:
        target = os.path.relpath(PAGE.parents[1] / f"{row.page}.md", PAGE.parent)
        page = f"[{row.page}]({target})"
    shown = cell(row.shown_by())
    return f"| {row.number} | {cell(row.title)} | {shown} | {page} |"


def page() -> str:
    """The whole page."""
    text = [HEAD.format(counts=counts())]
    for section in sections():
        text += [f"## {section.letter}. {section.title}", "", "| | row | shown by | page |", "|---|---|---|---|"]
        text += [*(line(row) for row in section.rows), ""]
    return "\n".join(text)


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE).write_text(page(), encoding="utf-8")
