"""``qimg postgres``: make a ledger in PostgreSQL, print its roles (imports qimg_core's command-line parts)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from qimg_core.cli.options import json_option
from qimg_core.cli.output import emit, fields
from qimg_core.errors import ConfigurationError

if TYPE_CHECKING:
    from qimg_core.cli.app import App


@click.group()
def postgres() -> None:
    """A ledger in PostgreSQL, for many writers.

    URI is postgresql://[USER@]HOST[:PORT]/DATABASE?folder=FOLDER[&schema=NAME]; FOLDER holds the log's keys. The
    password comes from QIMG_POSTGRES_PASSWORD (or .._FILE, .._COMMAND) or from ~/.pgpass.
    """


@postgres.command()
@click.argument("uri")
@click.option("--origin", metavar="NAME", help="Name of the log; a random one by default.")
@click.option("--encrypt-with", metavar="REFERENCE", help="Encrypt new private keys: env:NAME or file:PATH.")
@json_option
@click.pass_obj
def init(app: App, uri: str, origin: str | None, encrypt_with: str | None) -> None:
    """Make the tables of a new ledger, and keys where the folder has none."""
    from qimg_core.ledger.keys import Protection
    from qimg_stores.postgres_making import make

    with make(uri, origin=origin, protection=Protection.by(encrypt_with)) as ledger:
        document = {"where": ledger.address.where, "log": ledger.origin, "keys": [str(key) for key in ledger.keys]}
        pairs = [("log", ledger.origin), ("keys", str(ledger.folder))]
        emit(document, [f"made {ledger.address.where}", *fields(pairs)])


@postgres.command()
@click.argument("uri")
@click.option("--writer", default="qimg_writer", show_default=True, help="Role that may add entries.")
@click.option("--reader", default="qimg_reader", show_default=True, help="Role that may read.")
@json_option
@click.pass_obj
def roles(app: App, uri: str, writer: str, reader: str) -> None:
    """Print the SQL that makes a role which may only add to the ledger, and one that may only read it."""
    from qimg_stores.postgres_address import Address
    from qimg_stores.postgres_schema import role_script

    for role in (writer, reader):
        if '"' in role or not role.isprintable() or not 0 < len(role) < 64:
            raise ConfigurationError(f"{role!r} cannot name a role")
    script = role_script(Address.parse(uri).schema, writer, reader)
    emit({"sql": script}, [script.rstrip()])
