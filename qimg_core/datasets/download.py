"""Files from the network, by the digest that the caller names (floor 4; imports errors, storage; httpx when asked).

Nothing here runs unless a download was asked for. A file appears under its name only when it is
whole and its SHA-256 is right: it is written beside it first and then renamed.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from qimg_core.errors import BackendUnavailable, ConfigurationError, DataError
from qimg_core.storage import ensure_folder, storage_error

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    Progress = Callable[[int, int | None], None]


def cache_folder() -> Path:
    """Where downloads are kept: QIMG_CACHE, else ``~/.cache/qimg``. Not made here."""
    given = os.environ.get("QIMG_CACHE")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "qimg"


def fetch(
    url: str,
    sha256: str,
    *,
    folder: Path | None = None,
    name: str | None = None,
    client: httpx.Client | None = None,
    progress: Progress | None = None,
    largest: int = 1 << 33,
) -> Path:
    """Download a file, or take it from the cache if it is there with the right digest.

    Args:
        url: http or https.
        sha256: what the file's bytes must hash to, 64 hex digits (``sha256:`` before them is allowed).
        folder: where to put it; None for ``downloads`` in `cache_folder`.
        name: file name; None for the last part of the URL.
        client: an httpx client, for proxies or tests.
        progress: called with (bytes so far, bytes in all or None).
        largest: stop after this many bytes.

    Returns:
        Path of the file.

    Raises:
        ConfigurationError: a malformed URL or digest, or the server has no such file (4xx).
        BackendUnavailable: not reachable, broken off, or a server error; trying again may help.
        DataError: what came is not what the digest names; it is thrown away.
        StorageError: the folder cannot be written.
    """
    import httpx

    wanted = sha256.lower().removeprefix("sha256:")
    try:
        parts = urlsplit(url)
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL) as error:
        raise ConfigurationError(f"cannot download {url!r}: {error}") from error
    name = name or Path(parts.path).name
    if parts.scheme not in ("http", "https") or not parts.netloc or not name or Path(name).name != name:
        raise ConfigurationError(f"cannot download {url!r}", hint="give an http or https URL of a file")
    if not re.fullmatch(r"[0-9a-f]{64}", wanted):
        raise ConfigurationError(f"a SHA-256 is 64 hex digits, got {sha256!r}", hint=f"sha256sum {name}")
    folder = cache_folder() / "downloads" if folder is None else Path(folder)
    target = folder / name
    own = None if client else httpx.Client(follow_redirects=True, timeout=httpx.Timeout(30.0))
    try:
        if target.is_file() and _sha256(target) == wanted:
            return target
        ensure_folder(folder)
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".part", dir=folder)
        try:
            with os.fdopen(handle, "wb") as out:
                found = _stream(client or own, url, out.write, progress, largest)  # type: ignore[arg-type]
                out.flush()
                os.fsync(out.fileno())
            if found != wanted:
                raise DataError(
                    f"{url} is not the file that was asked for: SHA-256 {found}, wanted {wanted}",
                    hint="it was thrown away; check the digest, or the network in between",
                )
            os.replace(temporary, target)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(error, "write", target) from error
    finally:
        if own is not None:
            own.close()
    return target


def _stream(
    client: httpx.Client, url: str, write: Callable[[bytes], int], progress: Progress | None, largest: int
) -> str:
    import httpx

    hasher, done = hashlib.sha256(), 0
    try:
        # The digest is of the file, so the server must not pack it once more on the way.
        with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
            if response.is_client_error and response.status_code not in (408, 429):
                raise ConfigurationError(f"{url}: the server answers {response.status_code}", hint="check the URL")
            if not response.is_success:
                raise BackendUnavailable(f"{url}: the server answers {response.status_code}", hint="try again later")
            length = response.headers.get("Content-Length", "")
            total = int(length) if length.isdecimal() else None
            for piece in response.iter_raw():
                done += len(piece)
                if done > largest:
                    raise DataError(f"{url}: longer than {largest} bytes; stopped")
                hasher.update(piece)
                write(piece)
                if progress is not None:
                    progress(done, total)
    except httpx.HTTPError as error:
        raise BackendUnavailable(
            f"cannot download {url}: {type(error).__name__}: {error}", hint="check the network, then try again"
        ) from error
    if total is not None and done < total:
        raise BackendUnavailable(f"{url}: broken off after {done} of {total} bytes", hint="try again")
    return hasher.hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
