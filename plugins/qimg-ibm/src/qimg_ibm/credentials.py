"""Whose account is used (imports qimg_core.credentials). Nothing is ever saved, printed or recorded.

======================  =======================================================================================
``QIMG_IBM_TOKEN``      an IBM Cloud API key; else ``QISKIT_IBM_TOKEN``; both also with ``_FILE`` and ``_COMMAND``
``QIMG_IBM_INSTANCE``   the CRN of the service instance that pays; else ``QISKIT_IBM_INSTANCE``
``QIMG_IBM_ACCOUNT``    the name of an account that the SDK has saved: used only where it is named
``QIMG_IBM_URL``        another address of the service's API: a private endpoint, or a rehearsal on this machine
======================  =======================================================================================
"""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from attrs import field, frozen

from qimg_core.credentials import Credential, credential_from_environment
from qimg_core.errors import AuthenticationError, ConfigurationError

KEYS = ("QIMG_IBM_TOKEN", "QISKIT_IBM_TOKEN")
HINT = (
    "export QIMG_IBM_TOKEN=<API key> and QIMG_IBM_INSTANCE=<CRN>, both from https://quantum.cloud.ibm.com/instances, "
    "or QIMG_IBM_ACCOUNT=<name> for an account that the SDK has saved"
)


def _key() -> Credential:
    return credential_from_environment(KEYS, purpose="IBM Cloud API key", hint=HINT)


@frozen(kw_only=True, eq=False)
class Credentials:
    """What opens an account.

    Args:
        key: the API key.
        instance: the CRN that pays.
        account: name of an account saved by the SDK, which is used instead of the key.
        url: base address of the API, with ``/api/v1``; None for IBM's own.

    Raises:
        ConfigurationError: the address would send a key in the clear.
    """

    key: Credential = field(factory=_key)
    instance: str | None = field(default=None, repr=False)
    account: str | None = None
    url: str | None = None

    def __attrs_post_init__(self) -> None:
        if self.url is not None and not _safe(self.url):
            raise ConfigurationError(f"IBM's address: wanted https, or http on this machine, got {self.url}")

    @classmethod
    def from_environment(cls) -> Credentials:
        """From the variables of this module's docstring; the key itself is read when it is needed."""
        return cls(
            instance=os.environ.get("QIMG_IBM_INSTANCE") or os.environ.get("QISKIT_IBM_INSTANCE"),
            account=os.environ.get("QIMG_IBM_ACCOUNT") or None,
            url=os.environ.get("QIMG_IBM_URL") or None,
        )

    def arguments(self) -> dict[str, str | None]:
        """For the SDK's `QiskitRuntimeService`. Holds the key: hand it on and forget it.

        Raises:
            AuthenticationError: no key, or no instance.
        """
        if self.account is not None:
            return {"name": self.account, "instance": self.instance}
        token = self.key.secret()
        if not self.instance:
            raise AuthenticationError(
                "IBM's service needs the CRN of the instance that pays; without it the SDK would choose one", hint=HINT
            )
        return {"channel": "ibm_quantum_platform", "token": token.reveal(), "instance": self.instance}


def _safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))
