"""A connection to the database of a ledger, and its errors in this SDK's words (imports address, schema).

psycopg is imported inside functions. One connection, used by one thread at a time.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from qimg_core.errors import (
    AuthenticationError,
    ConfigurationError,
    LedgerBusy,
    LedgerCorrupt,
    LedgerError,
    StorageError,
)
from qimg_stores.postgres_address import password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import Connection

    from qimg_stores.postgres_address import Address

_UNSURE = "what was being written may or may not be there: look, or repeat it with the same retry key"
_CONNECTING = "check host, database and user; the password comes from QIMG_POSTGRES_PASSWORD or ~/.pgpass"
_WAIT = 60  # seconds that a writer waits for another's turn to end


def connect(address: Address) -> Connection[Any]:
    """Connect; every commit is durable before it is acknowledged.

    Raises:
        ConfigurationError: psycopg is not installed.
        StorageError: not reachable, refused, or the server does not sync to disk.
    """
    try:
        import psycopg
    except ImportError as error:
        raise ConfigurationError(
            "a ledger in PostgreSQL needs psycopg", hint="pip install 'qimg-stores[postgres]'"
        ) from error
    try:
        secret = password()
    except AuthenticationError as error:
        raise StorageError(f"cannot open {address.where}: {error.message}", hint=error.hint) from error
    given = dict(address.libpq)
    if secret is not None:
        given["password"] = secret.reveal()
    with translated(address, _CONNECTING):
        db: Connection[Any] = psycopg.connect(**given, autocommit=True, application_name="qimg")  # type: ignore[arg-type]
        try:
            if db.info.server_version < 130000:
                raise StorageError(
                    f"{address.where}: PostgreSQL 13 or later is wanted, this is {db.info.server_version}"
                )
            for name, value in {
                "search_path": f"{address.schema}, pg_temp",
                "synchronous_commit": "on",
                "lock_timeout": f"{_WAIT}s",
                "idle_in_transaction_session_timeout": f"{_WAIT}s",
            }.items():
                db.execute("SELECT set_config(%s, %s, false)", (name, value))
            synced = db.execute("SHOW fsync").fetchone()
            if synced is None or synced[0] != "on":
                raise StorageError(f"{address.where}: the server runs with fsync = off and would lose entries")
        except BaseException:
            db.close()
            raise
    return db


def lock_key(schema: str) -> int:
    """The advisory lock of the ledger in a schema: a 64-bit number that is the same for all its writers."""
    return int.from_bytes(hashlib.sha256(f"qimg ledger {schema}".encode()).digest()[:8], "big", signed=True)


@contextmanager
def translated(address: Address, hint: str = _UNSURE) -> Iterator[None]:
    """Errors of psycopg in this SDK's words; libpq names host and user, never a password."""
    import psycopg
    from psycopg import errors as pg

    where = address.where
    try:
        yield
    except pg.UndefinedTable as error:
        make = "make it: qimg postgres init URI"
        raise ConfigurationError(f"there is no ledger in {where}", hint=make) from error
    except pg.LockNotAvailable as error:
        raise LedgerBusy(
            f"another writer of {where} did not end its turn within {_WAIT} s", hint="see pg_stat_activity, then again"
        ) from error
    except pg.InsufficientPrivilege as error:
        roles = "roles are made by: qimg postgres roles URI"
        raise LedgerError(f"{where}: the role may not do this: {_said(error)}", hint=roles) from error
    except (pg.DiskFull, pg.ConfigurationLimitExceeded, pg.ReadOnlySqlTransaction, pg.OutOfMemory) as error:
        raise StorageError(f"cannot use {where}: {_said(error)}", hint="nothing was written") from error
    except (pg.RaiseException, pg.UniqueViolation, pg.CheckViolation) as error:
        raise LedgerCorrupt(f"{where} refuses what does not continue it: {_said(error)}", hint="qimg verify") from error
    except pg.OperationalError as error:
        raise StorageError(f"cannot use {where}: {_said(error)}", hint=hint) from error
    except psycopg.Error as error:
        raise LedgerError(f"the ledger in {where} failed: {_said(error)}") from error


def _said(error: Exception) -> str:
    primary = getattr(getattr(error, "diag", None), "message_primary", None)
    return str(primary or error).strip().replace("\n", "; ")[:500]
