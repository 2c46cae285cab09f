"""``qimg keys``: a log's keys and those of its data subjects (imports ledger)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from attrs import evolve

from qimg_core.cli.commands.keys_subjects import decrypt_export, forget, seal, subjects, unseal
from qimg_core.cli.key_folder import key_folder, writing
from qimg_core.cli.options import json_option, ledger_option
from qimg_core.cli.output import emit, fields, table
from qimg_core.cli.runs import check_folder
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_core.ledger.history import KeyHistory
    from qimg_core.ledger.keys import Protection

_REFERENCE = "env:NAME|file:PATH|command:PROGRAM"


@click.group()
def keys() -> None:
    """A log's keys, and those of its data subjects."""


for command in (seal, unseal, subjects, forget, decrypt_export):
    keys.add_command(command)


def _encrypt_option(text: str, *, required: bool = False) -> Callable[[Any], Any]:
    return click.option("--encrypt-with", metavar=_REFERENCE, required=required, help=text)


def _signer_option(command: Any) -> Any:
    text = "URI of an Ed25519 key that lives elsewhere, e.g. pkcs11:token=T;object=K; `file` keeps it in the folder."
    return click.option("--signer", metavar="URI", help=text)(command)


@keys.command()
@click.option("--origin", metavar="NAME", help="The log's name, e.g. example.org/images; a random one by default.")
@_encrypt_option("Where the password of the private keys is. Never the password itself.")
@_signer_option
@ledger_option
@json_option
def init(origin: str | None, encrypt_with: str | None, signer: str | None, ledger: str) -> None:
    """Make a ledger with keys of its own choice; runs that are given the folder go on with it."""
    import secrets

    from qimg_core.ledger import keys as store
    from qimg_core.ledger.database import DATABASE
    from qimg_core.ledger.lock import WriterLock
    from qimg_core.ledger.note import check_origin
    from qimg_core.ledger.sqlite import SQLiteLedger
    from qimg_core.storage import ensure_folder

    folder = key_folder(ledger, new=True)
    if (folder / DATABASE).exists():
        raise ConfigurationError(
            f"there is a ledger in {folder} already", hint="change its keys with: qimg keys rotate"
        )
    name = check_origin(origin or f"qimg.local/{secrets.token_hex(8)}")
    protection = store.Protection.by(encrypt_with, None if signer == "file" else signer)
    check_folder(folder)
    ensure_folder(folder)
    lock = WriterLock.take(folder)
    try:
        store.create(folder, name, protection)
    finally:
        lock.release()
    with SQLiteLedger.open(folder) as log:
        log.checkpoint()
        document = _shown(folder, log.history)
    emit(document, _lines(document))


@keys.command()
@ledger_option
@json_option
def show(ledger: str) -> None:
    """The keys of a log, since when they sign, and how the private ones are kept."""
    from qimg_core.ledger.keys import load_history

    folder = key_folder(ledger)
    document = _shown(folder, load_history(folder))
    emit(document, _lines(document))


@keys.command(name="export-public")
@click.option("--out", metavar="FILE", help="Write them there instead of printing them.")
@ledger_option
@json_option
def export_public(out: str | None, ledger: str) -> None:
    """The public keys, with their history: give them to whoever shall check this log."""
    from qimg_core.ledger.keys import load_history
    from qimg_core.storage import write_atomic

    history = load_history(key_folder(ledger))
    if out is not None:
        if Path(out).exists():
            raise ConfigurationError(f"{out} exists already", hint="name a new file")
        check_folder(Path(out).parent)
        write_atomic(out, history.text.encode())
    document = {"log": history.origin, "vkeys": history.text, "out": out}
    emit(document, [history.text.rstrip() if out is None else f"{out}: the public keys of {history.origin}"])


@keys.command()
@_encrypt_option("Where the new password is.", required=True)
@ledger_option
@json_option
def encrypt(encrypt_with: str, ledger: str) -> None:
    """Put the private keys under a password, or under another one; the key of data subjects' keys too."""
    from qimg_core.ledger.keys import Protection

    _protect(ledger, Protection.by(encrypt_with))


@keys.command()
@ledger_option
@json_option
def decrypt(ledger: str) -> None:
    """Keep the private keys plain; the key of data subjects' keys too."""
    from qimg_core.ledger.keys import Protection

    _protect(ledger, Protection())


def _protect(ledger: str, protection: Protection) -> None:
    from qimg_core.ledger import keys as store
    from qimg_core.ledger.lock import WriterLock
    from qimg_core.ledger.vault import FOLDER, MASTER, Vault

    folder = key_folder(ledger)
    history = store.load_history(folder)
    lock = WriterLock.take(folder)
    try:
        vault = Vault.open(folder) if (folder / FOLDER / MASTER).exists() else None
        store.protect(folder, protection)
        if vault is not None:
            vault.protect(protection)
    finally:
        lock.release()
    document = _shown(folder, history)
    emit(document, _lines(document))


@keys.command()
@click.option(
    "--reason", default="scheduled", show_default=True, metavar="TEXT", help="For the record; nothing personal."
)
@_encrypt_option("Where the password of the new private keys is; by default they are kept as the old ones.")
@_signer_option
@ledger_option
@json_option
def rotate(reason: str, encrypt_with: str | None, signer: str | None, ledger: str) -> None:
    """Give a log new keys; old and new sign the head that hands over, and the log says so."""
    from qimg_core.ledger import keys as store
    from qimg_core.ledger import rotation

    folder = key_folder(ledger)
    if encrypt_with is None and signer is None:
        protection = store.same_protection(folder)
    else:
        protection = store.Protection.by(encrypt_with, None if signer == "file" else signer)
        if encrypt_with is None:
            protection = evolve(store.same_protection(folder, anywhere=True), signer=protection.signer)
    with writing(folder) as log:
        entry, note = rotation.rotate(log, folder, reason, protection)
        document = {**_shown(folder, log.history), "entry": entry.index, "note": note.decode()}
    lines = [f"entry {entry.index}: keys.rotated; the head of size {entry.index + 1} bears both pairs of signatures"]
    emit(
        document,
        [*lines, *_lines(document), "give the new public keys to all who check this log: qimg keys export-public"],
    )


@keys.command()
@click.argument("key", metavar="KEY-ID")
@click.option("--from", "size", type=click.IntRange(0), required=True, metavar="SIZE", help="The first head in doubt.")
@click.option("--reason", default="stolen", show_default=True, metavar="TEXT", help="For the record; nothing personal.")
@ledger_option
@json_option
def revoke(key: str, size: int, reason: str, ledger: str) -> None:
    """Say that a retired key was in other hands: from SIZE on, its signatures count for nothing by themselves.

    KEY-ID is that of the Ed25519 key, as `qimg keys show` lists it.
    """
    from qimg_core.ledger import rotation

    folder = key_folder(ledger)
    with writing(folder) as log:
        entry, note = rotation.revoke(log, folder, key, size, reason)
        document = {**_shown(folder, log.history), "entry": entry.index, "note": note.decode()}
    emit(document, [f"entry {entry.index}: keys.revoked", *_lines(document)])


def _shown(folder: Path, history: KeyHistory) -> dict[str, Any]:
    from qimg_core.ledger.keys import protections

    last = len(history.periods)
    pairs = [
        {
            "keys": [{"algorithm": key.algorithm, "id": key.id.hex(), "vkey": str(key)} for key in period.keys],
            "from": period.start,
            "to": period.end,
            "revoked_from": period.revoked,
        }
        for period in history.periods
    ]
    return {"log": history.origin, "pairs": pairs, "private": protections(folder, last)}


def _lines(document: dict[str, Any]) -> list[str]:
    words = {"plain": "plain: whoever reads the file can sign (qimg keys encrypt)", "encrypted": "under a password"}
    rows = []
    for pair in document["pairs"]:
        revoked = "" if pair["revoked_from"] is None else f"revoked from {pair['revoked_from']}"
        ids = [key["id"] for key in pair["keys"]]
        rows.append([*ids, str(pair["from"]), "in force" if pair["to"] is None else str(pair["to"]), revoked])
    kept = [(name, words.get(how, how)) for name, how in document["private"].items()]
    return [document["log"], *table(["ED25519", "ML-DSA-44", "FROM", "TO", ""], rows), "private keys", *fields(kept)]
