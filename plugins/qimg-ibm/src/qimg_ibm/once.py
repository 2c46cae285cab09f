"""Every request once: what lies under the SDK's session (imports requests and urllib3; only the connection imports it).

The SDK repeats requests inside: submissions after server errors, questions after 429, with sleeps of its own.
Under this adapter nothing is repeated, so that the core alone decides, and a submission whose fate is open is
looked up by its tag before it is sent again. The adapter also bounds every wait, notes whether a submission has left
this machine, and keeps the id of an accepted job even where the SDK trips over what follows.
"""

from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

from requests import Session
from requests.adapters import HTTPAdapter
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import ConnectTimeout
from urllib3.exceptions import MaxRetryError, NewConnectionError

from qimg_core.errors import AuthenticationError, PluginIncompatible
from qimg_ibm.answers import LOGIN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from requests import PreparedRequest, Response

CONNECT = 10.0
"""Seconds for a connection to come about."""


class Exchange(threading.local):
    """What became of this thread's submission: did it leave this machine, and the id of an accepted job."""

    sent: bool = False
    accepted: str | None = None


class Once(HTTPAdapter):
    """Sends each request once, waits a bounded time, and watches submissions.

    Args:
        exchange: told about submissions.
        wait: seconds between two bytes of an answer, at most.
    """

    def __init__(self, exchange: Exchange, wait: float) -> None:
        super().__init__(max_retries=0)
        self._exchange, self._wait = exchange, wait

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float | None, float | None] | None = None,
        verify: bool | str = True,
        cert: str | tuple[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """As `HTTPAdapter.send`, without the SDK's ``timeout``: 15 minutes for a submission, none for others."""
        if str(request.headers.get("Authorization", "")).startswith("apikey"):
            raise AuthenticationError("the SDK has no token and would send the API key itself", hint=LOGIN)
        submission = request.method == "POST" and request.path_url.partition("?")[0].endswith("/jobs")
        if submission:
            self.poolmanager.clear()  # a fresh connection: an old one may be dead, and then the job's fate is open
            self._exchange.sent, self._exchange.accepted = True, None
        try:
            response = super().send(request, stream, (CONNECT, self._wait), verify, cert, proxies)  # type: ignore[arg-type]
        except NoConnection as error:
            if submission and _refused(error):
                self._exchange.sent = False
            raise
        if submission and response.ok:
            self._exchange.accepted = _job_id(response)
        return response

    def __deepcopy__(self, memo: Any) -> Once:
        return self  # the SDK copies its clients


def _refused(error: NoConnection) -> bool:
    """Nothing was sent: there was no connection at all."""
    inner = error.args[0] if error.args else None
    return isinstance(error, ConnectTimeout) or (
        isinstance(inner, MaxRetryError) and isinstance(inner.reason, NewConnectionError)
    )


def _job_id(response: Response) -> str | None:
    try:
        found = json.loads(response.content)["id"]
    except (ValueError, LookupError, TypeError):
        return None
    return found if isinstance(found, str) and found else None


def send_once(session: object, exchange: Exchange, wait: float) -> None:
    """Put the adapter under a session of the SDK.

    Raises:
        PluginIncompatible: this SDK has its session elsewhere.
    """
    if not isinstance(session, Session):
        raise PluginIncompatible(
            "this qiskit-ibm-runtime keeps its connection elsewhere, so its hidden retries cannot be turned off",
            hint="pip install 'qiskit-ibm-runtime>=0.50,<0.52'",
        )
    for prefix in ("https://", "http://"):
        session.mount(prefix, Once(exchange, wait))
