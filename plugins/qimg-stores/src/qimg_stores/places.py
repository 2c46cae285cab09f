"""Archives from settings or from what a user names (imports archive; shelves inside functions).

``s3://BUCKET[/PREFIX]`` with ``?endpoint=URL&region=NAME&profile=NAME``, or a folder.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from qimg_core.errors import AuthenticationError, ConfigurationError, OutsideMemoryError, UnknownName
from qimg_stores.archive import Archive

if TYPE_CHECKING:
    from qimg_stores.shelf import Shelf

DAYS = 3650
VARIABLES = "QIMG_ARCHIVE"
_OPTIONS = ("endpoint", "region", "profile", "credentials", "flags")
_PREFIX = re.compile(r"[A-Z][A-Z0-9_]{0,63}")


def open_archive(
    *,
    where: str,
    name: str = "archive",
    folder: Path | None = None,
    endpoint: str | None = None,
    region: str | None = None,
    profile: str | None = None,
    credentials: str = VARIABLES,
    flags: bool = True,
    retention_days: int = DAYS,
    accept_tamper_resistant: bool = False,
    governed: bool | None = None,
) -> Archive:
    """An archive; nothing is connected to.

    Args:
        where: ``s3://BUCKET[/PREFIX]``, or a folder.
        name: in the ledger's settings.
        folder: of the settings: relative folders are read against it, and its mode is the default of ``governed``.
        endpoint: URL of an S3 service other than AWS.
        region: of the service.
        profile: of boto3's configuration files.
        credentials: first part of the names of the variables that hold, or lead to, the keys: ``NAME_ACCESS_KEY``
            and ``NAME_SECRET_KEY``, each also with ``_FILE`` or ``_COMMAND``. Without them boto3 looks itself.
        flags: use the immutable flag for files where it works.
        retention_days: how long each object is locked from the day it is put.
        accept_tamper_resistant: in governed mode, a folder will do.
        governed: demand a place that proved to be write-once.

    Raises:
        ConfigurationError: malformed settings, or boto3 is not installed.
    """
    if type(retention_days) is not int or not 1 <= retention_days <= 36500:
        raise ConfigurationError(f"retention_days: wanted 1 to 36500 days, got {retention_days!r}")
    for option, value in (("accept_tamper_resistant", accept_tamper_resistant), ("flags", flags)):
        if not isinstance(value, bool):
            raise ConfigurationError(f"{option}: wanted true or false, got {value!r}")
    shelf: Shelf
    if where.startswith("s3://"):
        shelf = _bucket(where, endpoint=endpoint, region=region, profile=profile, credentials=credentials)
    elif "://" in where or not where:
        raise ConfigurationError(f"{where!r} is no archive", hint="name s3://BUCKET/PREFIX or a folder")
    else:
        from qimg_stores.local_archive import FolderShelf

        if (endpoint, region, profile) != (None, None, None):
            raise ConfigurationError("endpoint, region and profile are for s3:// archives")
        shelf = FolderShelf(Path(where) if folder is None else folder / where, flags=flags)
    return Archive(
        name,
        shelf,
        retention=timedelta(days=retention_days),
        governed=_governed(folder) if governed is None else governed,
        accept_tamper_resistant=accept_tamper_resistant,
    )


def named(where: str, *, retention_days: int = DAYS) -> Archive:
    """An archive as a command names it: a folder, or a URI with its options after a question mark.

    Raises:
        ConfigurationError: as `open_archive` does.
    """
    if "://" not in where:
        return open_archive(where=where, retention_days=retention_days, governed=False)
    parts = urlsplit(where)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for option in options:
        if option not in _OPTIONS[:4]:
            raise UnknownName("option of an archive", option, _OPTIONS[:4])
    bare = where.partition("?")[0]
    return open_archive(where=bare, retention_days=retention_days, governed=False, **options)  # type: ignore[arg-type]


def _bucket(where: str, *, endpoint: str | None, region: str | None, profile: str | None, credentials: str) -> Shelf:
    from qimg_stores.object_lock import S3Shelf, make_client

    parts = urlsplit(where)
    if not parts.netloc or "@" in parts.netloc or ":" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(
            "an S3 archive is s3://BUCKET[/PREFIX], without credentials in it",
            hint=f"keys come from {VARIABLES}_ACCESS_KEY and {VARIABLES}_SECRET_KEY, or from boto3's own places",
        )
    if endpoint is not None and not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(f"{endpoint!r} is no endpoint", hint="endpoint=https://HOST[:PORT]")
    given = profile is None and _given(credentials)

    def opening() -> Any:
        return make_client(
            endpoint=endpoint, region=region, profile=profile, keys=_keys(credentials) if given else None
        )

    at = "AWS" if endpoint is None else urlsplit(endpoint).netloc.rpartition("@")[2]
    return S3Shelf(None, parts.netloc, parts.path, opening=opening, at=at)


def _given(credentials: str) -> bool:
    """Are there variables that lead to the keys? They are not read yet."""
    if not _PREFIX.fullmatch(credentials):
        raise ConfigurationError(
            f"credentials: wanted the first part of variable names such as {VARIABLES}", hint="never a key itself"
        )
    names = _variables(credentials)
    if any(os.environ.get(name + end, "").strip() for name in names for end in ("", "_FILE", "_COMMAND")):
        return True
    if credentials != VARIABLES:
        raise ConfigurationError(f"credentials = {credentials!r}: {' and '.join(names)} are not set")
    return False


def _variables(credentials: str) -> tuple[str, str]:
    return f"{credentials}_ACCESS_KEY", f"{credentials}_SECRET_KEY"


def _keys(credentials: str) -> tuple[str, str]:
    """Access key and secret key, by reference."""
    from qimg_core.credentials import credential_from_environment

    try:
        access, secret = (
            credential_from_environment([name], purpose="key of the archive").secret()
            for name in _variables(credentials)
        )
    except AuthenticationError as error:
        raise OutsideMemoryError(error.message, hint=error.hint) from error
    return access.reveal(), secret.reveal()


def _governed(folder: Path | None) -> bool:
    from qimg_core.ledger.settings import NAME, read_settings

    settings = None if folder is None else read_settings(folder / NAME)
    return settings is not None and settings.mode == "governed"
