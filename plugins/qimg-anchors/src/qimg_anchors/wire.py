"""HTTP as all clients here use it: nothing followed, nothing longer than a bound, no secrets (httpx inside)."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from attrs import frozen

from qimg_core.errors import ConfigurationError, OutsideMemoryError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import httpx

LONGEST = 256 * 1024


@frozen
class Reply:
    """An HTTP answer, read whole."""

    status: int
    content_type: str
    body: bytes


def new_client(timeout: float, transport: httpx.BaseTransport | None = None) -> httpx.Client:
    """A client that follows nothing and sends no more than it is told to.

    Args:
        timeout: seconds for connecting, and for each read.
        transport: replaces the network in tests.
    """
    import httpx

    from qimg_core import __version__

    headers = {"User-Agent": f"qimg/{__version__}", "Accept-Encoding": "identity"}
    return httpx.Client(
        headers=headers,
        timeout=timeout,
        follow_redirects=False,
        auth=lambda request: request,  # never a user name from ~/.netrc
        transport=transport,
    )


def exchange(client: httpx.Client, method: str, url: str, body: bytes | None, headers: Mapping[str, str]) -> Reply:
    """One question and its answer.

    Raises:
        OutsideMemoryError: no connection, no answer in time, or one longer than `LONGEST` bytes.
    """
    import httpx

    data = b""
    try:
        with client.stream(method, url, content=body, headers=headers) as response:
            for piece in response.iter_bytes():
                data += piece
                if len(data) > LONGEST:
                    raise OutsideMemoryError(f"its answer is longer than {LONGEST:,} bytes")
            return Reply(response.status_code, response.headers.get("Content-Type", ""), data)
    except httpx.HTTPError as error:
        raise OutsideMemoryError(f"cannot be reached ({type(error).__name__})") from error


def checked_url(url: str, whose: str) -> str:
    """A URL without its last slash.

    Raises:
        ConfigurationError: not http or https, without a host, or with a user, query or fragment.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and parts.username is None and not parts.query and not parts.fragment
    except ValueError:
        usable = False
    if not usable:
        raise ConfigurationError(f"{whose}: wanted a URL such as https://HOST/PATH, without user and query")
    return url.rstrip("/")


def checked_timeout(timeout: float) -> float:
    """Seconds, more than 0 and at most 600.

    Raises:
        ConfigurationError: anything else.
    """
    if not isinstance(timeout, (int, float)) or isinstance(timeout, bool) or not 0 < timeout <= 600:
        raise ConfigurationError(f"timeout: wanted seconds, more than 0 and at most 600, got {timeout!r}")
    return float(timeout)
