"""``qimg assess``: a checklist, or every row of the requirements, against the record (imports assessing, standing)."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import coloured, emit
from qimg_core.cli.runs import existing_ledger
from qimg_core.errors import ConfigurationError, LedgerCorrupt, UnknownName
from qimg_core.storage import storage_error, write_atomic
from qimg_core.verdict import Verdict
from qimg_ops.assessing import assess as assess_record
from qimg_ops.assessing import checklist, checklists, sign_off
from qimg_ops.requirement import PROFILE, chosen_sections, requirement, sections
from qimg_ops.standing import State, standings
from qimg_ops.standing_text import document as standing_document
from qimg_ops.standing_text import form, lines, markdown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Ledger
    from qimg_ops.assessing import Met

_PATH = click.Path(path_type=Path)
_MARKS = {Verdict.PASS: "[x]", Verdict.FAIL: "[ ]", Verdict.INCONCLUSIVE: "[?]"}
_STATES = {Verdict.PASS: State.MET, Verdict.FAIL: State.NOT_MET, Verdict.INCONCLUSIVE: State.PEOPLE}
_ONLY: dict[str, set[State]] = {
    **{s.value.replace(" ", "-"): {s} for s in State},
    "open": {s for s in State if s is not State.MET},
}


@click.command()
@click.option("--profile", metavar="NAME", help="Which checklist, or requirements; lists them where it is not given.")
@click.option("--only", type=click.Choice(list(_ONLY)), multiple=True, help="Show rows in this state; repeatable.")
@click.option("--section", "letters", multiple=True, metavar="LETTER", help="Of the requirements; repeatable.")
@click.option("--sign-off", "row", metavar="ROW", help="Sign off a row that only people can tell.")
@click.option("--by", default="", metavar="ROLE", help="Who signs off: a role, not a person.")
@click.option("--document", type=_PATH, metavar="FILE", help="What shows it; its digest goes into the record.")
@click.option("--template", type=_PATH, metavar="FILE.md", help="Write the checklist as a form to fill in.")
@click.option("--markdown", "report", type=_PATH, metavar="FILE.md", help="Write what was found as a table.")
@ledger_option
@json_option
@click.pass_obj
def assess(
    app: App,
    profile: str | None,
    only: tuple[str, ...],
    letters: tuple[str, ...],
    row: str | None,
    by: str,
    document: Path | None,
    template: Path | None,
    report: Path | None,
    ledger: str,
) -> ExitCode:
    """Say which rows of a checklist, or of the requirements, the record has evidence for.

    Exit code 1 where a row is not met, 3 where others are open: for people, and of the requirements also those that
    nothing on record uses or that are not built. What `--only` hides counts, what `--section` leaves out does not.
    """
    if profile is None:
        files = {"--template": template, "--markdown": report, "--document": document}
        given = {"--sign-off": row, "--by": by, "--only": only, "--section": letters, **files}
        if wrong := [name for name, value in given.items() if value]:
            raise ConfigurationError(f"{wrong[0]} is about a profile", hint="--profile NAME; qimg assess lists them")
        return _profiles()
    if profile not in (known := [*checklists(), PROFILE]):
        raise UnknownName("checklist", profile, known)
    if letters and profile != PROFILE:
        raise ConfigurationError(f"the checklist {profile} has no sections", hint=f"--profile {PROFILE}")
    if row is None and (by or document is not None):
        raise ConfigurationError("which row is signed off?", hint="--sign-off ROW --by ROLE --document FILE")
    if template is not None:
        return _template(profile, letters, template)
    if row is not None:
        return _sign_off(app, ledger, profile, row, by, document)
    shown = {s for name in only for s in _ONLY[name]} or set(State)
    if profile == PROFILE:
        return _requirements(app, ledger, letters, shown, report)
    return _checklist(app, ledger, profile, shown, report)


@contextmanager
def _readable(app: App, where: str) -> Iterator[Ledger]:
    """The ledger; where an entry of it cannot be read, the error says what can tell which."""
    try:
        with existing_ledger(app, where) as log:
            yield log
    except LedgerCorrupt as error:
        hint = f"qimg verify {where} names the first bad entry; nothing is assessed over a record that cannot be read"
        raise LedgerCorrupt(error.message, hint=error.hint or hint) from error


def _profiles() -> ExitCode:
    known = {name: title for name, (title, _) in checklists().items()}
    count = sum(len(s.rows) for s in sections())
    known[PROFILE] = f"Every requirement: {count} rows in {len(sections())} sections"
    emit({"profiles": known}, [f"{name}: {title}" for name, title in known.items()])
    return ExitCode.OK


def _template(profile: str, letters: tuple[str, ...], target: Path) -> ExitCode:
    if profile == PROFILE:
        chosen = chosen_sections(letters)
        text, count = form(chosen), sum(len(s.rows) for s in chosen)
    else:
        title, items = checklist(profile)
        rows = [f"- [ ] **{i.id}** {i.text}. {i.how}" for i in items]
        text, count = "\n".join([f"# {title}", "", *rows, ""]), len(items)
    write_atomic(target, text.encode())
    emit({"file": str(target), "rows": count}, [f"{target}: {count} rows"])
    return ExitCode.OK


def _sign_off(app: App, ledger: str, profile: str, row: str, by: str, document: Path | None) -> ExitCode:
    if document is None:
        raise ConfigurationError("a sign-off names its document", hint="--document FILE --by ROLE")
    if not document.is_file():
        raise ConfigurationError(f"there is no file {document}", hint="--document FILE: what shows that it was done")
    if profile == PROFILE:
        requirement(row)
    try:
        data = document.read_bytes()
    except OSError as error:
        raise storage_error(error, "read", document) from error
    with existing_ledger(app, ledger, write=True) as log:
        entry = sign_off(log, profile, row, by=by, document=data)
        log.checkpoint()
    emit({"entry": entry.index, **entry.facts}, [f"entry {entry.index}: {row} is signed off by {by}"])
    return ExitCode.OK


def _requirements(app: App, ledger: str, letters: tuple[str, ...], shown: set[State], report: Path | None) -> ExitCode:
    chosen = chosen_sections(letters)
    with _readable(app, ledger) as log:
        found = standings(log, app.registry, chosen)
    if report is not None:
        write_atomic(report, markdown(chosen, found, ledger).encode())
    emit(standing_document(chosen, found, ledger, shown), lines(chosen, found, ledger, shown))
    states = {s.state for s in found}
    if State.NOT_MET in states:
        return ExitCode.FAILED
    return ExitCode.OK if states == {State.MET} else ExitCode.INCONCLUSIVE


def _checklist(app: App, ledger: str, profile: str, shown: set[State], report: Path | None) -> ExitCode:
    title, _ = checklist(profile)
    with _readable(app, ledger) as log:
        found = assess_record(log, profile)
    count = {v: sum(m.verdict is v for m in found) for v in _MARKS}
    head = f"{title}: {count[Verdict.PASS]} of {len(found)} rows met, {count[Verdict.INCONCLUSIVE]} for people"
    seen = [m for m in found if _STATES[m.verdict] in shown]
    if report is not None:
        rows = [f"- {_MARKS[m.verdict]} **{m.item.id}** {m.item.text}: {_said(m)}" for m in found]
        write_atomic(report, "\n".join([f"# {title}", "", head, "", *rows, ""]).encode())
    said = [head]
    for m in seen:
        said.append(f"{_MARKS[m.verdict]} {m.item.id}: {m.item.text} ({coloured(m.verdict)}: {_said(m)})")
        if m.verdict is not Verdict.PASS:
            said.append(f"      {m.item.how}")
    emit({"profile": profile, "title": title, "items": [m.to_json() for m in seen]}, said)
    if count[Verdict.FAIL]:
        return ExitCode.FAILED
    return ExitCode.INCONCLUSIVE if count[Verdict.INCONCLUSIVE] else ExitCode.OK


def _said(met: Met) -> str:
    word = "entry" if len(met.entries) == 1 else "entries"
    return met.why + (f", {word} {', '.join(map(str, met.entries))}" if met.entries else "")
