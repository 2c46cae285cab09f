"""``qimg assess``: a checklist against the record (imports assessing)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError
from qimg_core.storage import storage_error, write_atomic
from qimg_core.verdict import Verdict
from qimg_ops.assessing import assess as assess_record
from qimg_ops.assessing import checklist, checklists, sign_off

if TYPE_CHECKING:
    from qimg_core.cli.app import App

_PATH = click.Path(path_type=Path)
_MARKS = {Verdict.PASS: "[x]", Verdict.FAIL: "[ ]", Verdict.INCONCLUSIVE: "[?]"}


@click.command()
@click.option("--profile", metavar="NAME", help="Which checklist; lists them where it is not given.")
@click.option("--sign-off", "row", metavar="ROW", help="Sign off a row that only people can tell.")
@click.option("--by", default="", metavar="ROLE", help="Who signs off: a role, not a person.")
@click.option("--document", type=_PATH, metavar="FILE", help="What shows it; its digest goes into the record.")
@click.option("--template", type=_PATH, metavar="FILE.md", help="Write the checklist as a form to fill in.")
@ledger_option
@json_option
@click.pass_obj
def assess(
    app: App, profile: str | None, row: str | None, by: str, document: Path | None, template: Path | None, ledger: str
) -> ExitCode:
    """Say which rows of a checklist the record has evidence for.

    Exit code 1 where a row that the record can show is not met, 3 where only rows for people are open.
    """
    if profile is None:
        known = {name: title for name, (title, _) in checklists().items()}
        emit({"profiles": known}, [f"{name}: {title}" for name, title in known.items()])
        return ExitCode.OK
    title, items = checklist(profile)
    if template is not None:
        lines = [f"# {title}", "", *(f"- [ ] **{i.id}** {i.text}. {i.how}" for i in items), ""]
        write_atomic(template, "\n".join(lines).encode())
        emit({"file": str(template), "rows": len(items)}, [f"{template}: {len(items)} rows"])
        return ExitCode.OK
    if row is not None:
        if document is None:
            raise ConfigurationError("a sign-off names its document", hint="--document FILE --by ROLE")
        try:
            data = document.read_bytes()
        except OSError as error:
            raise storage_error(error, "read", document) from error
        with existing_ledger(app, ledger, write=True) as log:
            entry = sign_off(log, profile, row, by=by, document=data)
            log.checkpoint()
        emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: {row} is signed off by {by}"])
        return ExitCode.OK
    with existing_ledger(app, ledger) as log:
        found = assess_record(log, profile)
    count = {v: sum(m.verdict is v for m in found) for v in _MARKS}
    lines = [f"{title}: {count[Verdict.PASS]} of {len(found)} rows met, {count[Verdict.INCONCLUSIVE]} for people"]
    for m in found:
        where = f", entries {', '.join(map(str, m.entries))}" if m.entries else ""
        lines.append(f"{_MARKS[m.verdict]} {m.item.id}: {m.item.text} ({coloured(m.verdict)}: {m.why}{where})")
        if m.verdict is not Verdict.PASS:
            lines.append(f"      {m.item.how}")
    emit({"profile": profile, "title": title, "items": [m.to_json() for m in found]}, lines)
    if count[Verdict.FAIL]:
        return ExitCode.FAILED
    return ExitCode.INCONCLUSIVE if count[Verdict.INCONCLUSIVE] else ExitCode.OK
