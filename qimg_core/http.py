"""A REST client for vendors: one attempt a call, each failure an error of qimg (imports errors, secret, tls, answer).

Built on httpx, which is imported when a client is made. It does not wait and does not repeat: that is the core's.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import ssl
import threading
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from qimg_core.answer import Answer as Answer
from qimg_core.answer import retry_after, said
from qimg_core.errors import (
    AuthenticationError,
    BackendError,
    BackendUnavailable,
    ConfigurationError,
    ProtocolError,
    RateLimited,
    SubmissionRejected,
    SubmissionUncertain,
)
from qimg_core.secret import Secret
from qimg_core.tls import refused

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

    import httpx

    from qimg_core.answer import Failure
    from qimg_core.credentials import Credential
    from qimg_core.tls import Tls

log = logging.getLogger("qimg.http")

PASSING_ON = frozenset({502, 504, 520, 521, 522, 523, 524})
"""Statuses of a gateway, behind which the provider may still be working on the request."""


class RestClient:
    """One provider's interface.

    Args:
        base_url: https, or http on this machine. Paths are put behind it.
        provider: its name, for errors.
        credential: what authorises; None sends no header.
        header, scheme: where the secret goes: ``Authorization: Bearer SECRET``; an empty scheme sends it alone.
        connect, read: seconds until a connection is given up, and between two pieces of an answer.
        tls: certificates; see `Tls`.
        proxy: URL of a proxy; a `Secret` where it holds a password. None takes the system's (``HTTPS_PROXY``).
        transport: replaces the network in tests.

    Raises:
        ConfigurationError: a URL that would send secrets in the clear, or none at all.
    """

    def __init__(
        self,
        base_url: str,
        *,
        provider: str,
        credential: Credential | None = None,
        header: str = "Authorization",
        scheme: str = "Bearer",
        connect: float = 10.0,
        read: float = 60.0,
        tls: Tls | None = None,
        proxy: str | Secret | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        try:
            parts = urlsplit(base_url)
        except ValueError:
            raise ConfigurationError(f"{provider}: the base URL is none") from None
        local = _on_this_machine(parts.hostname or "")
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise ConfigurationError(
                f"{provider}: wanted an https URL (or http on this machine), got {parts.scheme or 'no scheme'}"
            )
        if not parts.hostname or parts.username or parts.password or parts.query or parts.fragment:
            raise ConfigurationError(f"{provider}: wanted a URL of host and path only, without user or query")
        self.base_url, self.provider, self.credential = base_url.rstrip("/"), provider, credential
        self.header, self.scheme = header, scheme
        self._timeouts, self._tls, self._proxy = (connect, read), tls, proxy
        self._transport, self._local, self._plain = transport, local, parts.scheme == "http"
        self._http: httpx.Client | None = None
        self._lock = threading.Lock()

    def get(
        self, path: str, query: Mapping[str, str | int] | None = None, *, missing: Failure = ProtocolError
    ) -> Answer:
        """Ask something that changes nothing.

        Args:
            path: behind the base URL.
            query: parameters.
            missing: makes the error of a 404, of its message and ``status=404``.

        Raises:
            BackendUnavailable: no answer, 408, any 5xx.
            RateLimited: 429.
            AuthenticationError: 401, 403, or one side does not accept the other's certificate.
            ProtocolError: any other answer than 2xx.
        """
        return self._read("GET", path, None, missing, query or {})

    def put(self, path: str, document: Any = None, *, missing: Failure = ProtocolError) -> Answer:
        """Change something that may be changed twice to the same end. Errors as of `get`."""
        return self._read("PUT", path, document, missing, {})

    def delete(self, path: str, *, missing: Failure = ProtocolError) -> Answer:
        """Remove something. Errors as of `get`."""
        return self._read("DELETE", path, None, missing, {})

    def post(self, path: str, document: Any) -> Answer:
        """Submit something that must not exist twice: exactly one attempt that the provider could accept.

        Raises:
            BackendUnavailable: no connection, so nothing was sent.
            RateLimited: 429; nothing was accepted.
            AuthenticationError: as of `get`; nothing was accepted.
            SubmissionRejected: another 4xx.
            SubmissionUncertain: sent, and no answer that settles it: broken connection, time-out, 3xx, 408, 5xx.
        """
        what = f"{self.provider} POST {path}"
        try:
            response, used = self._send("POST", path, document, {})
        except _Broken as broken:
            if not broken.sent:
                raise BackendUnavailable(f"{what}: {broken.reason}; nothing was sent") from broken.cause
            raise SubmissionUncertain(
                f"{what}: {broken.reason} after sending; the job may exist", hint="look the job up by its key"
            ) from broken.cause
        status = response.status_code
        if status < 300:
            return Answer(status, response.content, what)
        message = said(response, used)
        error = self._common(what, response, message)
        if error is not None:
            raise error
        if status < 400 or status == 408 or status >= 500:
            raise SubmissionUncertain(
                f"{what}: HTTP {status}{message}; the job may exist",
                hint="look the job up by its key",
                answered=status not in PASSING_ON,
                status=status,
            )
        raise SubmissionRejected(f"{what}: HTTP {status}{message}", status=status)

    def close(self) -> None:
        """Let go of connections. May be called twice; another call opens new ones."""
        with self._lock:
            if self._http is not None:
                self._http.close()
                self._http = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, t: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RestClient({self.base_url!r}, {self.credential!r})"

    def _read(self, method: str, path: str, document: Any, missing: Failure, query: Mapping[str, str | int]) -> Answer:
        what = f"{self.provider} {method} {path}"
        try:
            response, used = self._send(method, path, document, query)
        except _Broken as broken:
            raise BackendUnavailable(f"{what}: {broken.reason}") from broken.cause
        status = response.status_code
        if status < 300:
            return Answer(status, response.content, what)
        message = said(response, used)
        error = self._common(what, response, message)
        if error is not None:
            raise error
        if status == 408 or status >= 500:
            raise BackendUnavailable(f"{what}: HTTP {status}{message}", status=status)
        if status == 404:
            raise missing(f"{what}: not found{message}", status=status)
        raise ProtocolError(f"{what}: HTTP {status}{message}", status=status)

    def _common(self, what: str, response: httpx.Response, message: str) -> BackendError | None:
        """What means the same whether something was asked or submitted."""
        status = response.status_code
        if status in (401, 403):
            shown = f" ({self.credential!r})" if self.credential else ""
            return AuthenticationError(
                f"{what}: HTTP {status}, not authorised{shown}{message}",
                hint="check the key, its expiry, and what it permits",
                status=status,
            )
        if status == 429:
            return RateLimited(f"{what}: HTTP 429{message}", retry_after=retry_after(response.headers), status=status)
        return None

    def _send(
        self, method: str, path: str, document: Any, query: Mapping[str, str | int]
    ) -> tuple[httpx.Response, list[Secret]]:
        """One answer. A 401 means that nothing was accepted: with another secret it may be sent again, once."""
        secret = self.credential.secret() if self.credential else None
        response = self._once(method, path, document, query, secret)
        used = [secret] if secret else []
        if response.status_code == 401 and self.credential and secret:
            other = self.credential.renewed(secret)
            if other is not None:
                used.append(other)
                response = self._once(method, path, document, query, other)
        return response, used

    def _once(
        self, method: str, path: str, document: Any, query: Mapping[str, str | int], secret: Secret | None
    ) -> httpx.Response:
        import httpx

        client = self._client()
        headers = {} if document is None else {"Content-Type": "application/json"}
        content = None if document is None else json.dumps(document, separators=(",", ":"), allow_nan=False).encode()
        request = client.build_request(
            method, self.base_url + path, params=query or None, content=content, headers=headers
        )
        if secret is not None:
            request.headers[self.header] = f"{self.scheme} {secret.reveal()}".strip()
        started = time.perf_counter()
        outcome = "failed"
        try:
            response = client.send(request)
            outcome = str(response.status_code)
        except httpx.TransportError as cause:
            reply = refused(cause, self.provider)
            if reply is not None:
                raise reply from cause
            raise _Broken(cause) from cause
        except (httpx.InvalidURL, httpx.HTTPError) as cause:  # a body that cannot be decoded, for one
            raise _Broken(cause) from cause
        finally:
            request.headers.pop(self.header, None)  # httpx keeps the request on its exceptions and answers
            log.debug("%s %s %s %d ms", method, path, outcome, round(1000 * (time.perf_counter() - started)))
        return response

    def _client(self) -> httpx.Client:
        import httpx

        from qimg_core import __version__

        with self._lock:
            if self._http is None:
                connect, read = self._timeouts
                proxy = self._proxy.reveal() if isinstance(self._proxy, Secret) else self._proxy
                verify: ssl.SSLContext | bool = self._tls.ssl_context() if self._tls else True
                if self._plain:  # nothing to verify: a context that trusts nobody is made faster than one that does
                    verify = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                try:
                    self._http = httpx.Client(
                        headers={"User-Agent": f"qimg/{__version__}", "Accept": "application/json"},
                        timeout=httpx.Timeout(read, connect=connect, pool=connect),
                        verify=verify,
                        proxy=proxy,
                        auth=lambda request: request,  # never a user name from ~/.netrc
                        trust_env=not self._local,
                        follow_redirects=False,  # a key goes to the host it is for and to no other
                        transport=self._transport,
                    )
                except (ValueError, ImportError, httpx.InvalidURL) as cause:  # its text may hold a password
                    raise ConfigurationError(
                        f"{self.provider}: the proxy's URL cannot be used ({type(cause).__name__})",
                        hint="wanted http://HOST:PORT or https://HOST:PORT",
                    ) from None
            return self._http


class _Broken(Exception):
    """No answer. ``sent``: the request may have reached the provider."""

    def __init__(self, cause: Exception) -> None:
        import httpx

        super().__init__(type(cause).__name__)
        before = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
        self.cause, self.sent = cause, not isinstance(cause, (*before, httpx.UnsupportedProtocol, httpx.InvalidURL))
        slow = isinstance(cause, httpx.TimeoutException)
        self.reason = "no connection" if not self.sent else "no answer in time" if slow else "the connection broke"


def _on_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
