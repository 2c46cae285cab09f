"""``qimg verify``: a ledger or an exported bundle, every byte of it (imports ledger)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qimg_core.cli.exits import ExitCode, verdict_code
from qimg_core.cli.options import json_option
from qimg_core.cli.output import coloured, emit
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.cli.app import App
    from qimg_core.ledger.base import Verification


@click.command()
@click.argument("where", default="runs", metavar="[LEDGER|BUNDLE|PUBLISHED|PROOF]")
@click.option("--vkeys", metavar="FILE", help="Public keys that you trust, for a bundle; else its own are used.")
@click.option(
    "--decrypt-with", metavar="REFERENCE", help="Where an encrypted bundle's password is: env:NAME, file:PATH."
)
@click.option("--checkpoint", metavar="FILE", help="A signed head that you kept: is the log one that continues it?")
@click.option("--online", is_flag=True, help="Ask the ledger's outside memories which heads they hold now.")
@click.option("--entry", metavar="FILE", help="The bytes of the entry that a .tlog-proof is for.")
@click.option("--strict", is_flag=True, help="Write every entry anew from its content and compare; slower.")
@json_option
@click.pass_obj
def verify(
    app: App,
    where: str,
    vkeys: str | None,
    decrypt_with: str | None,
    checkpoint: str | None,
    online: bool,
    entry: str | None,
    strict: bool,
) -> ExitCode:
    """Check a ledger, an exported bundle, a published log or a proof; every entry of it.

    Entries, hashes, signed heads, signatures and artefacts are computed again. Exit code 1, and the first bad
    entry, where something does not hold. Receipts of outside memories are checked offline; a log that was cut off
    or rewritten with its own keys shows by --online or --checkpoint only. WHERE is runs by default; it may be a
    folder or address that `qimg ledger publish` filled, or a .tlog-proof file.
    """
    from qimg_core.cli.published import check_published
    from qimg_core.cli.remembering import memory_lines, remember, remember_published
    from qimg_core.ledger.proof import SUFFIX

    memories: list[dict[str, Any]] = []
    alone = check_published(where, vkeys=vkeys, entry=entry, strict=strict)
    proof = Path(where).suffix == SUFFIX
    if alone is not None and (decrypt_with or online or (checkpoint and proof)):
        options = "--decrypt-with, --checkpoint and --online" if proof else "--decrypt-with and --online"
        raise ConfigurationError(f"{options} do not go with {where}")
    if alone is not None:
        keys = None if vkeys is None else Path(vkeys).read_bytes()
        checked = alone if checkpoint is None else remember_published(where, alone, checkpoint, keys)
    else:
        checked, memories = remember(
            app, where, _check(app, where, vkeys, decrypt_with, strict=strict), checkpoint=checkpoint, online=online
        )
    document = {
        "where": where,
        "verdict": checked.verdict.value,
        "entries": checked.entries,
        "artefacts": checked.artefacts,
        "checkpoints": checked.checkpoints,
        "signatures": checked.signatures,
        "first_bad": checked.first_bad,
        "problems": [{"where": p.where, "what": p.what} for p in checked.problems],
        "notes": list(checked.notes),
        "memories": memories,
    }
    counts = (
        f"{checked.entries:,} entries, {checked.artefacts:,} artefacts, {checked.checkpoints:,} signed heads, "
        f"{checked.signatures:,} signatures"
    )
    first = "" if checked.first_bad is None else f"; first bad entry: {checked.first_bad}"
    lines = [f"{coloured(checked.verdict)}: {where}: {counts}{first}"]
    lines += (
        memory_lines(memories)
        + [f"  {problem}" for problem in checked.problems]
        + [f"  note: {note}" for note in checked.notes]
    )
    emit(document, lines)
    return verdict_code(checked.verdict)


def _check(app: App, where: str, vkeys: str | None, decrypt_with: str | None, *, strict: bool) -> Verification:
    from qimg_core.ledger.bundle import check
    from qimg_core.ledger.encrypted import is_encrypted
    from qimg_core.ledger.sqlite import verify_folder

    path = Path(where)
    if is_encrypted(path):
        from qimg_core.ledger import encrypted_bundle, passwords

        if decrypt_with is None:
            raise ConfigurationError(f"{where} is encrypted", hint=f"qimg verify {where} --decrypt-with env:NAME")
        password = passwords.asked(decrypt_with, where)
        return encrypted_bundle.check(path, password, vkeys=None if vkeys is None else Path(vkeys).read_bytes())
    if decrypt_with is not None:
        raise ConfigurationError(f"--decrypt-with is for encrypted bundles, and {where} is not one")
    if "://" in where:
        from qimg_core.ledger.opening import open_ledger

        with open_ledger(where, app.registry, create=False, read_only=True) as ledger:
            return ledger.verify(strict=strict)
    if path.suffix == ".zip" or (path / "manifest.json").exists():
        return check(path, vkeys=None if vkeys is None else Path(vkeys).read_bytes())
    if vkeys is not None:
        raise ConfigurationError("--vkeys is for bundles", hint="a ledger is checked with the keys beside it")
    if path.is_file():
        raise ConfigurationError(f"{where} is neither a ledger nor a bundle", hint=f"qimg inspect {where}")
    return verify_folder(path, strict=strict)
