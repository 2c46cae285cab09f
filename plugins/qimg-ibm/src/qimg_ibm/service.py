"""The connection to IBM's service: the only file that touches the SDK's service objects (imports credentials, answers).

Nothing is saved, and nothing is repeated here: see `qimg_ibm.once`.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from typing import TYPE_CHECKING, Any

from qimg_core.credentials import Secret, redact
from qimg_core.errors import AuthenticationError, BackendUnavailable, QimgError, UnknownName
from qimg_ibm.answers import LOGIN, answer_in, chain, submission_error, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from qimg_ibm.credentials import Credentials


class Connection:
    """An account and one of its devices, opened when first needed. Safe for several threads.

    Args:
        device: name at the provider.
        credentials: of the account.
        timeout: seconds that any single answer may take.
    """

    def __init__(self, device: str, credentials: Credentials, *, timeout: float = 120.0) -> None:
        self.device_name, self.credentials, self.timeout = device, credentials, timeout
        self._secrets: list[Secret] = []
        self._exchange: Any = None
        self._lock = threading.RLock()
        self._sending = threading.Lock()
        self._service: Any = None
        self._device: Any = None

    def hidden(self, text: str) -> str:
        """The text without tokens and without the instance."""
        return redact(text, self._secrets)

    # -- opening -----------------------------------------------------------------------------------

    @property
    def device(self) -> Any:
        """The SDK's backend object.

        Raises:
            AuthenticationError, BackendUnavailable, UnknownName
        """
        with self._lock:
            if self._device is None:
                self._device = self._find_device()
            return self._device

    def _find_device(self) -> Any:
        from qiskit.providers.exceptions import QiskitBackendNotFoundError

        service = self._open()
        try:
            device = service.backend(self.device_name)
            device.target  # noqa: B018  asks for the properties now, while errors are mapped
        except QiskitBackendNotFoundError as cause:
            names = [str(d["name"]) for d in self.ask("listing devices", lambda c: c.list_backends())]
            if self.device_name not in names:
                raise UnknownName("device of this IBM instance", self.device_name, names) from cause
            raise BackendUnavailable(f"{self.device_name} is listed but cannot be opened now") from cause
        except QimgError:
            raise
        except Exception as cause:  # the border to the SDK: whatever it raises is mapped
            raise unavailable(cause, "opening the device", self.hidden) from cause
        return device

    def _open(self) -> Any:
        with self._lock:
            if self._service is None:
                from qimg_ibm.once import Exchange, send_once

                service = self._login()
                self._exchange = Exchange()
                for client in (service._active_api_client, *service._api_clients.values()):  # noqa: SLF001
                    send_once(getattr(client, "_session", None), self._exchange, self.timeout)
                self._service = service
            return self._service

    def _login(self) -> Any:
        os.environ.setdefault("USAGE_DATA_OPT_OUT", "True")  # else the SDK sends names of files of the calling program
        from qiskit_ibm_runtime import QiskitRuntimeService
        from qiskit_ibm_runtime.accounts.exceptions import AccountNotFoundError, InvalidAccountError
        from qiskit_ibm_runtime.exceptions import IBMInputValueError

        logging.getLogger("qiskit_ibm_runtime.qiskit_runtime_service").addFilter(_quiet)
        mine, url = self.credentials, self.credentials.url
        who: dict[str, Any] = dict(mine.arguments())
        self._secrets = [Secret(str(who[k])) for k in ("token", "instance") if who.get(k)]
        if url is not None:
            who["url_resolver"] = lambda *_: url
        try:
            service = QiskitRuntimeService(**who)
            account = service.active_account() or {}
            self._secrets += [Secret(str(account[k])) for k in ("token", "instance") if account.get(k)]
            return service
        except AccountNotFoundError as cause:
            raise AuthenticationError(
                f"the SDK has saved no account named {mine.account!r}", hint="unset QIMG_IBM_ACCOUNT, or save it"
            ) from cause
        except (InvalidAccountError, IBMInputValueError) as cause:
            status = answer_in(cause, self.hidden).status
            if status is None and any(isinstance(link, OSError) for link in chain(cause)):
                raise BackendUnavailable("IBM Cloud cannot be reached, so there is no login") from cause
            if status is not None and (status >= 500 or status == 429):
                raise unavailable(cause, "logging in", self.hidden) from cause
            raise AuthenticationError(
                "IBM does not accept the API key, or it may not use this instance", hint=LOGIN
            ) from cause
        except Exception as cause:  # the border to the SDK: whatever it raises is mapped
            raise unavailable(cause, "logging in", self.hidden) from cause

    # -- questions ---------------------------------------------------------------------------------

    def ask(self, doing: str, question: Callable[[Any], Any], *, of_job: bool = False) -> Any:
        """A question that changes nothing, to the SDK's client; failures mapped.

        Args:
            doing: in words, for errors.
            question: is given the SDK's client.
            of_job: 404 means that the job is lost.

        Raises:
            AuthenticationError, BackendUnavailable, ProtocolError, JobLost
        """
        service = self._open()
        client = service._active_api_client  # noqa: SLF001  the public wrappers sleep, and drop the status of errors
        try:
            self._token(client)
            return question(client)
        except QimgError:
            raise
        except Exception as cause:  # the border to the SDK: whatever it raises is mapped
            raise unavailable(cause, doing, self.hidden, of_job=of_job) from cause

    def _token(self, client: Any) -> None:
        """Log in again where the token is old: the SDK would send the API key itself where that fails."""
        manager = getattr(client._session.auth, "tm", None)  # noqa: SLF001
        if manager is None:
            return
        try:
            manager.get_token()
        except Exception as cause:  # the border to IBM Cloud's SDK
            manager.request_time = 0  # else its next caller sleeps for a minute, for a request that is over
            status = answer_in(cause, self.hidden).status
            if status in (400, 401, 403):
                raise AuthenticationError(
                    "IBM Cloud gives no token for the API key; it may have expired", hint=LOGIN
                ) from cause
            raise BackendUnavailable("IBM Cloud gives no token now") from cause

    def submit(self, run: Callable[[], Any]) -> str:
        """Do one submission and give the job's id.

        Args:
            run: calls the SDK's primitive and gives its job.

        Raises:
            SubmissionRejected, SubmissionUncertain, BackendUnavailable, AuthenticationError
        """
        service = self._open()
        exchange = self._exchange
        exchange.sent, exchange.accepted = False, None
        try:
            self._token(service._active_api_client)  # noqa: SLF001
            with self._sending, warnings.catch_warnings():  # the SDK warns of a paused device; its queue is open
                warnings.filterwarnings("ignore", module="qiskit_ibm_runtime")
                return str(run().job_id())
        except QimgError:
            raise
        except Exception as cause:  # the border to the SDK: whatever it raises is mapped
            if exchange.accepted is not None:  # the provider has it; what the SDK tripped over does not matter
                return str(exchange.accepted)
            raise submission_error(cause, sent=exchange.sent, hide=self.hidden) from cause

    def close(self) -> None:
        """Let go of connections."""
        with self._lock:
            service, self._service, self._device = self._service, None, None
        if service is not None:
            for client in (service._active_api_client, *service._api_clients.values()):  # noqa: SLF001
                client._session.close()  # noqa: SLF001


def _quiet(record: logging.LogRecord) -> bool:
    """Drop the SDK's remark that it uses the token that it was given."""
    return not str(record.msg).startswith("Loading account with the given token")
