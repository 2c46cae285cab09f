"""Where a PostgreSQL ledger is: its URI, and the password by reference (imports errors, credentials).

::

    postgresql://[USER@]HOST[:PORT]/DATABASE?schema=qimg&folder=FOLDER&read_only=true&sslmode=verify-full
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, unquote, urlsplit

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from qimg_core.secret import Secret

VARIABLE = "QIMG_POSTGRES_PASSWORD"
_OURS = ("schema", "folder", "read_only")
_LIBPQ = (
    "host",
    "port",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "connect_timeout",
    "target_session_attrs",
    "channel_binding",
    "service",
    "passfile",
)
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")


@frozen(kw_only=True)
class Address:
    """A ledger in a database.

    Args:
        where: the URI without its options, for people.
        libpq: connection parameters without a password.
        schema: of the ledger's tables; one ledger a schema.
        folder: holds ``keys/``; None: only for reading, with the keys that the database names.
        read_only: whether the URI asks for reading only.
    """

    where: str
    libpq: dict[str, str] = field(repr=False)
    schema: str = "qimg"
    folder: Path | None = None
    read_only: bool = False

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read a URI.

        Raises:
            ConfigurationError: malformed, an option that does not exist, or a password in it. The error shows neither
                the password nor the URI.
        """
        try:
            parts = urlsplit(uri)
            port = parts.port
        except ValueError:
            raise ConfigurationError("not a URI of a PostgreSQL ledger", hint=_EXAMPLE) from None
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        if parts.scheme != "postgresql":
            raise ConfigurationError("not a URI of a PostgreSQL ledger", hint=_EXAMPLE)
        if parts.password is not None or "password" in options:
            raise ConfigurationError(
                "a password does not belong into the URI of a ledger",
                hint=f"set {VARIABLE}, {VARIABLE}_FILE or {VARIABLE}_COMMAND, or use ~/.pgpass",
            )
        for option in options:
            if option not in (*_OURS, *_LIBPQ):
                raise UnknownName("option of a PostgreSQL ledger", option, (*_OURS, *_LIBPQ))
        schema, read_only = options.get("schema", "qimg"), options.get("read_only", "false")
        if not _SCHEMA.fullmatch(schema):
            raise ConfigurationError(f"schema: {schema!r} is no plain lower-case name")
        if read_only not in ("true", "false"):
            raise ConfigurationError(f"read_only: wanted true or false, got {read_only!r}")
        libpq = {name: value for name, value in options.items() if name in _LIBPQ}
        given = {
            "host": unquote(parts.hostname or ""),
            "port": "" if port is None else str(port),
            "user": unquote(parts.username or ""),
            "dbname": unquote(parts.path.strip("/")),
        }
        libpq |= {name: value for name, value in given.items() if value}
        return cls(
            where=f"postgresql://{libpq.get('host', '')}/{libpq.get('dbname', '')} schema {schema}",
            libpq=libpq,
            schema=schema,
            folder=Path(options["folder"]) if options.get("folder") else None,
            read_only=read_only == "true",
        )


_EXAMPLE = "postgresql://USER@HOST/DATABASE?folder=FOLDER"


def password() -> Secret | None:
    """The password by reference; None where no variable is set, and libpq looks itself (``~/.pgpass``).

    Raises:
        AuthenticationError: a variable is set and leads to nothing.
    """
    import os

    from qimg_core.credentials import credential_from_environment

    if not any(os.environ.get(VARIABLE + end, "").strip() for end in ("", "_FILE", "_COMMAND")):
        return None
    return credential_from_environment([VARIABLE], purpose="password of the database").secret()
