"""``qimg manifest opt-out | without | expired | tokenise | reveal``: people (imports subjects, tokens)."""

from __future__ import annotations

import csv
import datetime as dt
import io
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields
from qimg_core.cli.runs import check_file, existing_ledger
from qimg_core.errors import DataError
from qimg_core.ledger.opening import open_ledger
from qimg_core.ledger.sealing import forgotten
from qimg_core.ledger.vault import Vault
from qimg_core.storage import storage_error, write_atomic
from qimg_data.building import manifest_path, read_manifest
from qimg_data.checking import latest
from qimg_data.subjects import expired as expired_data
from qimg_data.subjects import opt_out as opt_out_subject
from qimg_data.tokens import keep_maps
from qimg_data.tokens import reveal as reveal_token
from qimg_data.tokens import tokenise as tokenise_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from qimg_core.cli.app import App

_PATH = click.Path(path_type=Path)


def _affected(document: dict[str, Any]) -> list[str]:
    pairs = [
        ("data", ", ".join(document["data"])),
        ("weights", ", ".join(document["weights"])),
        ("images of entries", ", ".join(str(i) for i in document["images"])),
        ("runs", ", ".join(document["runs"])),
    ]
    return fields([(name, value or "none") for name, value in pairs])


@click.command(name="opt-out")
@click.argument("subject")
@ledger_option
@json_option
@click.pass_obj
def opt_out(app: App, subject: str, ledger: str) -> None:
    """Say which weights and images a person's data went into, record it, and destroy the person's key.

    SUBJECT is the name that `new --subjects` or `tokenise` was given; - reads it from the first line of stdin. From
    then on a manifest that names this person is refused.
    """
    name = sys.stdin.readline().strip() if subject == "-" else subject
    with existing_ledger(app, ledger, write=True) as log:
        entry, found = opt_out_subject(log, name)
        gone = forgotten(log)[entry.facts["subject"]]
        log.checkpoint()
    document = {
        "entry": entry.index,
        "forgotten": gone.index,
        "subject": entry.facts["subject"],
        "affected": found.to_json(),
    }
    head = f"entry {gone.index}: the key of subject {entry.facts['subject']} is destroyed; what their data went into:"
    after = "  next: qimg manifest without DATA lists their files; remove them, and train those weights again"
    emit(document, [head, *_affected(found.to_json()), after])


@click.command()
@click.argument("data")
@click.option("--manifest", "named", type=_PATH, metavar="FILE.json", help="Where it does not lie beside the data.")
@ledger_option
@json_option
@click.pass_obj
def without(app: App, data: str, named: Path | None, ledger: str) -> int:
    """List the files of people who opted out; exit code 1 where there are any."""
    path = named or manifest_path(data)
    if path is None:
        raise DataError(f"{data} has no folder here", hint="--manifest FILE.json")
    found = read_manifest(path)
    with existing_ledger(app, ledger) as log:
        gone = forgotten(log)
    files = sorted({f for tag, files in found.subjects.items() if tag in gone for f in files})
    emit({"manifest": found.digest, "files": files}, files or ["nobody in these data opted out"])
    return ExitCode.FAILED if files else ExitCode.OK


@click.command()
@ledger_option
@json_option
@click.pass_obj
def expired(app: App, ledger: str) -> int:
    """Data that were learned and whose retention has ended, and what came of them; exit code 1 where there are any."""
    with existing_ledger(app, ledger) as log:
        today = latest(log, dt.datetime.now(dt.UTC)).date()
        found = expired_data(log, today)
    lines = []
    for row in found:
        lines += [f"{row['data']}: kept until {row['until']} (entry {row['entry']})", *_affected(row["affected"])]
    emit({"today": str(today), "expired": found}, lines or ["no retention has ended"])
    return ExitCode.FAILED if found else ExitCode.OK


@click.command()
@click.argument("table", type=_PATH, metavar="FILE.csv")
@click.option("--subject", required=True, metavar="COLUMN", help="Whose record it is.")
@click.option("--declare", multiple=True, metavar="COLUMN", help="Personal as a whole, such as names; repeatable.")
@click.option("--out", type=_PATH, required=True, metavar="FILE.csv", help="The same without personal fields.")
@ledger_option
@json_option
@click.pass_obj
def tokenise(app: App, table: Path, subject: str, declare: Sequence[str], out: Path, ledger: str) -> None:
    """Replace e-mail addresses, telephone numbers, IBANs and declared columns by keyed tokens.

    The way back is sealed in the ledger under each person's key.
    """
    check_file(out, ".csv")
    if out.exists():
        raise DataError(f"{out} exists already", hint="name a new file")
    rows, head = _read(table)
    for column in declare:
        if column not in head:
            raise DataError(f"{table.name} has no column {column!r}", hint=f"columns: {', '.join(head)}")
    if subject not in head:
        raise DataError(f"{table.name} has no column {subject!r}", hint=f"columns: {', '.join(head)}")
    with open_ledger(ledger, app.registry) as log:
        vault = Vault.of(log, create=True)
        done = tokenise_rows(rows, vault, subject=subject, declared=declare)
        entries = keep_maps(log, done, vault)
        log.checkpoint()
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, head, lineterminator="\n")
    writer.writeheader()
    writer.writerows(done.rows)
    write_atomic(out, text.getvalue().encode())
    replaced = ", ".join(f"{k}: {v}" for k, v in sorted(done.counts.items())) or "nothing"
    document = {"out": str(out), "rows": len(rows), "replaced": done.counts, "entries": list(entries)}
    emit(document, [f"{out}: {len(rows):,} records, replaced {replaced}"])


def _read(path: Path) -> tuple[list[dict[str, str]], list[str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            rows = [dict(row) for row in reader]
            head = list(reader.fieldnames or [])
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name}: not a CSV in UTF-8: {error}") from error
    for number, row in enumerate(rows, 1):
        if None in row or None in row.values() or len(set(head)) != len(head):
            raise DataError(f"{path.name}: record {number} has not as many cells as the head has different columns")
    return rows, head


@click.command()
@click.argument("token")
@ledger_option
@json_option
@click.pass_obj
def reveal(app: App, token: str, ledger: str) -> None:
    """The value behind a token, while its person's key is there."""
    with existing_ledger(app, ledger) as log:
        value = reveal_token(log, token, Vault.of(log))
    emit({"token": token, "value": value}, [value])


COMMANDS = (opt_out, without, expired, tokenise, reveal)
