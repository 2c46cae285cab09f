"""``qimg takedown``: record that images shall not be shown (imports click, takedown)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields
from qimg_core.cli.runs import check_file, existing_ledger
from qimg_core.errors import ConfigurationError
from qimg_marks.takedown import REASONS, block, restore, take_down

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.command()
@click.argument("what", metavar="ID")
@click.option("--reason", type=click.Choice(REASONS), help="Why; an entry stays for ever, so there are no free words.")
@click.option("--reference", default="", metavar="CODE", help="Number of a case elsewhere.")
@click.option("--lift", is_flag=True, help="The takedown no longer holds.")
@click.option("--out", metavar="FILE.json", help="Write the list of what to block.")
@ledger_option
@json_option
@click.pass_obj
def takedown(app: App, what: str, reason: str | None, reference: str, lift: bool, out: str | None, ledger: str) -> None:
    """Record that images shall not be shown, and list what to block.

    ID is a run, the number or leaf of an entry, a mark's unique id, a picture's file, or sha256: of pixels.
    Nothing is deleted: `qimg inspect` says from now on that they are taken down.
    """
    if lift == (reason is not None):
        raise ConfigurationError("a takedown has a --reason, its end has --lift", hint="qimg takedown --help")
    if out is not None:
        check_file(Path(out), ".json")
    with existing_ledger(app, ledger, write=True) as log:
        name = _name(what)
        if lift:
            entry = restore(log, name)
            log.checkpoint()
            lifted = entry.facts["takedowns"]
            emit({"entry": entry.index, "lifted": lifted}, [f"entry {entry.index}: {what} may be shown again"])
            return
        blocked = block(log, name)
        entry = take_down(log, blocked, reason or "", reference)
        log.checkpoint()
    document = {**blocked.to_json(), "entry": entry.index, "reason": reason, "reference": reference, "time": entry.time}
    if out is not None:
        import json

        from qimg_core.storage import write_atomic

        write_atomic(Path(out), json.dumps(document, indent=2).encode() + b"\n")
    pairs = [
        ("reason", str(reason)),
        ("pixels", f"{len(blocked.pixels)} digests"),
        ("files", f"{len(blocked.files)} digests"),
        ("fingerprints", str(len(blocked.fingerprints))),
        ("list", out or ""),
    ]
    emit(document, [f"{what} is taken down, entry {entry.index}", *fields(pairs)])


def _name(what: str) -> str:
    """The digest of the pixels where a file is named."""
    if not Path(what).is_file():
        return what
    from qimg_marks.picture import open_picture

    return open_picture(what).digest
