"""``qimg archive``: prepare, list, audit, restore (imports qimg_core's command-line parts and places)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option
from qimg_core.cli.output import coloured, emit, fields, table
from qimg_core.errors import ConfigurationError
from qimg_stores.places import DAYS, named

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Verification
    from qimg_core.ledger.history import KeyHistory
    from qimg_stores.shelf import Shelf

_log_option = click.option("--log", "origin", metavar="ORIGIN", help="Which log, where the archive holds several.")
_vkeys_option = click.option("--vkeys", metavar="FILE", help="The log's keys, from a source that you trust.")


@click.group()
def archive() -> None:
    """A write-once copy of a ledger: an S3 bucket with Object Lock, or a tamper-resistant folder.

    WHERE is s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME&profile=NAME] or a folder. `qimg ledger anchor` fills it.
    """


@archive.command()
@click.argument("where")
@click.option("--create-bucket", is_flag=True, help="Make the bucket, with Object Lock, where it is not there.")
@click.option("--retention-days", default=DAYS, show_default=True, type=click.IntRange(1, 36500), help="Of its report.")
@json_option
@click.pass_obj
def init(app: App, where: str, create_bucket: bool, retention_days: int) -> ExitCode:
    """Try on scratch objects whether a place keeps what it is given, and write down there how that ended.

    Exit code 1 where it allowed something that must be refused, 3 where the credentials may not try.
    """
    found = named(where, retention_days=retention_days)
    try:
        if create_bucket:
            _create(found.shelf)
        capability, attempts = found.prepare()
    finally:
        found.close()
    document = {
        "where": found.shelf.where,
        "capability": capability,
        "attempts": [attempt.to_json() for attempt in attempts],
    }
    said = {"worm": "WORM", "not-worm": "not WORM", "unproven": "not proved to be WORM"}.get(capability, capability)
    rows = [[attempt.name, attempt.outcome, attempt.detail] for attempt in attempts]
    emit(document, [f"{found.shelf.where}: {said}", *table(["TRIED", "OUTCOME", "ANSWER"], rows)])
    return {"not-worm": ExitCode.FAILED, "unproven": ExitCode.INCONCLUSIVE}.get(capability, ExitCode.OK)


@archive.command()
@click.argument("where")
@json_option
@click.pass_obj
def logs(app: App, where: str) -> None:
    """The logs in an archive, and how much of each."""
    from qimg_stores.reading import origins

    found = named(where)
    try:
        about = found.about()
        listed = []
        for origin in origins(found.shelf):
            newest = next(iter(found.kept(origin)), None)
            if newest is not None:
                listed.append({"log": origin, "size": newest[0].size, "time": newest[0].time})
    finally:
        found.close()
    pairs = [("capability", str(about["capability"])), ("tried", str(about["time"]))]
    rows = [[str(row["log"]), str(row["size"]), str(row["time"])] for row in listed]
    document = {"where": found.shelf.where, "about": dict(about), "logs": listed}
    emit(document, [found.shelf.where, *fields(pairs), *table(["LOG", "ENTRIES", "KEPT"], rows)])


@archive.command()
@click.argument("where")
@click.option("--ledger", metavar="LEDGER", help="Compare with the ledger itself, and with its receipts.")
@_log_option
@_vkeys_option
@json_option
@click.pass_obj
def audit(app: App, where: str, ledger: str | None, origin: str | None, vkeys: str | None) -> ExitCode:
    """Read everything back: bytes, retention, versions, delete markers, every entry up to every kept head.

    Exit code 1 where something is gone, changed, less protected than it was, or covered by somebody else's version.
    """
    from qimg_core.cli.runs import existing_ledger
    from qimg_stores.audit import audit as run

    found = named(where)
    trusted = _trusted(vkeys)
    try:
        if ledger is None:
            checked = run(found, _chosen(found.shelf, origin, trusted), trusted=trusted)
        else:
            with existing_ledger(app, ledger) as log:
                checked = run(found, origin or log.origin, trusted=trusted, ledger=log)
    finally:
        found.close()
    return _report(where, checked)


@archive.command()
@click.argument("where")
@click.argument("folder")
@_log_option
@_vkeys_option
@json_option
@click.pass_obj
def restore(app: App, where: str, folder: str, origin: str | None, vkeys: str | None) -> ExitCode:
    """Rebuild a ledger from the archive alone, and verify it. It has public keys only: read it, do not go on with it.

    Without --vkeys the keys are the archive's own: then it agrees with itself, and nothing shows whose it is.
    """
    from qimg_stores.restore import restore as run

    found = named(where)
    trusted = _trusted(vkeys)
    try:
        checked = run(found.shelf, _chosen(found.shelf, origin, trusted), folder, trusted=trusted)
    finally:
        found.close()
    return _report(folder, checked)


def _report(where: str, checked: Verification) -> ExitCode:
    document = {
        "where": where,
        "verdict": checked.verdict.value,
        "entries": checked.entries,
        "artefacts": checked.artefacts,
        "checkpoints": checked.checkpoints,
        "first_bad": checked.first_bad,
        "problems": [{"where": p.where, "what": p.what} for p in checked.problems],
        "notes": list(checked.notes),
    }
    counts = f"{checked.entries:,} entries, {checked.artefacts:,} artefacts, {checked.checkpoints:,} signed heads"
    lines = [f"{coloured(checked.verdict)}: {where}: {counts}"]
    lines += [f"  {problem}" for problem in checked.problems] + [f"  note: {note}" for note in checked.notes]
    emit(document, lines)
    return verdict_code(checked.verdict)


def _trusted(vkeys: str | None) -> KeyHistory | None:
    from qimg_core.ledger.history import KeyHistory
    from qimg_core.storage import storage_error

    if vkeys is None:
        return None
    try:
        return KeyHistory.parse(Path(vkeys).read_text(encoding="utf-8"))
    except OSError as error:
        raise storage_error(error, "read", vkeys) from error


def _chosen(shelf: Shelf, origin: str | None, trusted: KeyHistory | None) -> str:
    """The log that is meant."""
    from qimg_stores.reading import origins

    if origin is not None or trusted is not None:
        return origin or (trusted.origin if trusted is not None else "")
    found = origins(shelf)
    if len(found) != 1:
        listed = ", ".join(found) or "none"
        raise ConfigurationError(f"{shelf.where} holds several logs or none: {listed}", hint="choose with --log ORIGIN")
    return found[0]


def _create(shelf: Shelf) -> None:
    from qimg_stores.object_lock import S3Shelf, make_bucket

    if not isinstance(shelf, S3Shelf):
        raise ConfigurationError("--create-bucket is for s3:// archives", hint="a folder is made by itself")
    make_bucket(shelf.client, shelf.bucket)
