"""Making a ledger in PostgreSQL (imports postgres, schema, keys)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError
from qimg_core.ledger import keys
from qimg_core.ledger.note import check_origin
from qimg_stores.postgres import PostgresLedger
from qimg_stores.postgres_address import Address
from qimg_stores.postgres_schema import FORMAT, FUNCTIONS, TABLES, TRIGGERS
from qimg_stores.postgres_session import connect, lock_key, translated

if TYPE_CHECKING:
    from qimg_core.ledger.keys import Protection


def make(uri: str, *, origin: str | None = None, protection: Protection | None = None) -> PostgresLedger:
    """Make a ledger: its schema and tables in one transaction, and keys in the URI's folder where there are none.

    Args:
        uri: see `qimg_stores.postgres_address`; names a folder for the keys. The role becomes the owner of the schema.
        origin: name of the log, by default a random one under ``qimg.local/``.
        protection: how new private keys are kept.

    Returns:
        the ledger, open for writing.

    Raises:
        ConfigurationError: malformed, there is a ledger already, or the folder's keys are of another log.
        LedgerError, StorageError: the database refuses, or cannot be used.
    """
    address = Address.parse(uri)
    if address.folder is None or address.read_only:
        raise ConfigurationError(
            "a new ledger needs a folder for its keys", hint="add folder=FOLDER to the URI, and no read_only"
        )
    if origin is not None:
        check_origin(origin)
    db = connect(address)
    try:
        with translated(address), db.transaction():
            db.execute("SELECT pg_advisory_xact_lock(%s)", (lock_key(address.schema),))
            if db.execute("SELECT to_regclass(%s)", (f"{address.schema}.meta",)).fetchone() != (None,):
                raise ConfigurationError(f"there is a ledger already in {address.where}", hint="choose another schema=")
            if keys.exist(address.folder):
                public = keys.load_history(address.folder).periods[0].keys
                if origin not in (None, public[0].name):
                    raise ConfigurationError(f"the keys in {address.folder} are of {public[0].name}, not of {origin}")
            else:
                name = origin or f"qimg.local/{secrets.token_hex(8)}"
                public = keys.create(address.folder, name, protection).keys
            db.execute(f"CREATE SCHEMA IF NOT EXISTS {address.schema}".encode())
            for statement in (*TABLES, *FUNCTIONS):
                db.execute(statement.encode())
            vkeys = "".join(f"{key}\n" for key in public)
            for row in (("format", str(FORMAT)), ("origin", public[0].name), ("keys", vkeys)):
                db.execute("INSERT INTO meta VALUES(%s, %s)", row)
            for statement in TRIGGERS.values():
                db.execute(statement.encode())
    finally:
        db.close()
    return PostgresLedger.open(address)
