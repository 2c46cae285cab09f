"""``qimg keys``: sealed artefacts, their data subjects, encrypted exports (imports ledger)."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from qimg_core.cli.key_folder import key_folder, writing
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields, table
from qimg_core.cli.runs import check_folder
from qimg_core.errors import ConfigurationError


@click.command()
@ledger_option
@json_option
def subjects(ledger: str) -> None:
    """The data subjects whose artefacts are sealed, without their names."""
    from qimg_core.ledger import sealing
    from qimg_core.ledger.sqlite import SQLiteLedger

    with SQLiteLedger.open(key_folder(ledger), read_only=True) as log:
        rows = sealing.subjects(log)
    cells = [[row["subject"], str(row["artefacts"]), row["state"]] for row in rows]
    emit({"subjects": rows}, table(["SUBJECT", "ARTEFACTS", "STATE"], cells))


@click.command()
@click.argument("subject")
@ledger_option
@json_option
def forget(subject: str, ledger: str) -> None:
    """Destroy a data subject's key: what was sealed under it is unreadable, and the log still holds.

    SUBJECT is the name under which artefacts were sealed; - reads it from the first line of stdin.
    """
    from qimg_core.ledger import sealing

    with writing(key_folder(ledger)) as log:
        entry = sealing.forget(log, _subject(subject))
    document = {"entry": entry.index, "subject": entry.facts["subject"]}
    emit(document, [f"entry {entry.index}: the key of subject {entry.facts['subject']} is destroyed"])


@click.command()
@click.argument("subject")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@ledger_option
@json_option
def seal(subject: str, files: tuple[str, ...], ledger: str) -> None:
    """Keep files in the ledger under a data subject's key. SUBJECT as for `forget`."""
    from qimg_core.ledger import sealing

    contents = {f"file-{i}": Path(file).read_bytes() for i, file in enumerate(files)}  # a file's name may be personal
    with writing(key_folder(ledger)) as log:
        name = _subject(subject)
        sealed = {key: sealing.seal(log, data, name) for key, data in contents.items()}
        entry = log.append("artefacts.sealed", facts=sealing.sealed_facts(sealed))
        log.checkpoint()
    rows = [{"file": file, "digest": s.digest} for file, s in zip(files, sealed.values(), strict=True)]
    document = {"entry": entry.index, "subject": next(iter(sealed.values())).subject, "sealed": rows}
    emit(document, [f"entry {entry.index}: sealed", *fields([(r["file"], r["digest"]) for r in rows])])


@click.command()
@click.argument("digest")
@click.option("--out", required=True, metavar="FILE", help="Where to write the content; must not exist.")
@ledger_option
@json_option
def unseal(digest: str, out: str, ledger: str) -> None:
    """Write the content of a sealed artefact to a file."""
    from qimg_core.ledger import sealing
    from qimg_core.ledger.sqlite import SQLiteLedger
    from qimg_core.storage import write_atomic

    if Path(out).exists():
        raise ConfigurationError(f"{out} exists already", hint="name a new file")
    with SQLiteLedger.open(key_folder(ledger), read_only=True) as log:
        data = sealing.unseal(log, digest)
    write_atomic(out, data, mode=0o600)
    emit({"out": out, "bytes": len(data)}, [f"{out}: {len(data):,} bytes"])


@click.command(name="decrypt-export")
@click.argument("bundle", metavar="FILE")
@click.option("--out", required=True, metavar="FILE.zip", help="Where to write the plain bundle; must not exist.")
@click.option(
    "--decrypt-with", required=True, metavar="env:NAME|file:PATH|command:PROGRAM", help="Where its password is."
)
@json_option
def decrypt_export(bundle: str, out: str, decrypt_with: str) -> None:
    """The plain bundle in an encrypted export."""
    from qimg_core.ledger import encrypted_bundle, passwords
    from qimg_core.ledger.encrypted import is_encrypted
    from qimg_core.storage import write_atomic

    if not is_encrypted(Path(bundle)):
        raise ConfigurationError(f"{bundle} is not an encrypted export", hint=f"qimg verify {bundle}")
    if Path(out).exists():
        raise ConfigurationError(f"{out} exists already", hint="name a new file")
    check_folder(Path(out).parent)
    with encrypted_bundle.opened(bundle, passwords.asked(decrypt_with, bundle)) as plain:
        write_atomic(out, plain.read_bytes())
    emit({"out": out}, [f"{out}: check it with: qimg verify {out}"])


def _subject(given: str) -> str:
    return sys.stdin.readline().strip() if given == "-" else given
