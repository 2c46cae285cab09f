"""What an HTTP answer says: its JSON, the provider's message, when to come back (floor 1; imports errors, secret)."""

from __future__ import annotations

import datetime as dt
import email.utils
import json
import math
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import ProtocolError
from qimg_core.secret import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import httpx

    from qimg_core.errors import QimgError
    from qimg_core.secret import Secret

    Failure = Callable[..., QimgError]

LONGEST_MESSAGE = 300
"""Characters of a provider's message that go into an error."""

LONGEST_READ = 65_536
"""Bytes of a plain text in which a message is looked for."""


@frozen
class Answer:
    """What came back, with a status below 300.

    Args:
        status: of HTTP.
        body: as received.
        what: method and path, for errors.
    """

    status: int
    body: bytes = field(repr=False)
    what: str

    def json(self, error: Failure = ProtocolError) -> Any:
        """The body read as JSON, which must be an object or a list.

        Args:
            error: makes the error to raise where it is not, of its message.
        """
        try:
            document = json.loads(self.body)
        except (ValueError, RecursionError) as cause:  # UnicodeDecodeError is a ValueError
            raise error(f"{self.what}: wanted JSON, got {len(self.body)} bytes that are none") from cause
        if not isinstance(document, (dict, list)):
            raise error(f"{self.what}: wanted a JSON object, got {type(document).__name__}")
        return document


def retry_after(headers: Mapping[str, str], now: dt.datetime | None = None) -> float | None:
    """Seconds of a ``Retry-After`` header, which is a number or a date (RFC 9110, 10.2.3); None where it says nothing.

    Args:
        headers: of the answer; a date is compared with its ``Date`` header, the provider's own clock.
        now: instead of the ``Date`` header and this machine's clock.
    """
    text = headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        until = _date(text)
        if until is None:
            return None
        seconds = (until - (now or _date(headers.get("Date", "")) or dt.datetime.now(dt.UTC))).total_seconds()
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _date(text: str) -> dt.datetime | None:
    try:
        found = email.utils.parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=dt.UTC)


def said(response: httpx.Response, secrets: Iterable[Secret]) -> str:
    """The provider's own message: one line, bounded, without the secrets that we sent."""
    text = ""
    try:
        document = json.loads(response.content)
    except (ValueError, RecursionError):
        if response.headers.get("Content-Type", "").startswith("text/plain"):
            text = response.content[:LONGEST_READ].decode(errors="replace")
    else:
        parts = document if isinstance(document, dict) else {}
        found = [parts.get(k) for k in ("error", "code", "message", "detail", "title")]
        words = dict.fromkeys(str(f) for f in found if isinstance(f, (str, int)) and not isinstance(f, bool) and f)
        text = ": ".join(words)
    line = " ".join("".join(c if c.isprintable() else " " for c in redact(text, secrets)).split())
    return f": {line[:LONGEST_MESSAGE]}{'...' if len(line) > LONGEST_MESSAGE else ''}" if line else ""
