"""How a connection proves who is at each end, as plain httpx configuration (floor 1; imports errors, credentials)."""

from __future__ import annotations

import os
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.credentials import credential_from_environment
from qimg_core.errors import AuthenticationError, ConfigurationError

if TYPE_CHECKING:
    from typing import Self

    from qimg_core.secret import Secret


def _path(value: str | Path | None) -> Path | None:
    return None if value is None else Path(value)


@frozen(kw_only=True)
class Tls:
    """Certificates of a connection. All parts are optional; none means the system's trusted authorities.

    Args:
        ca: PEM file of the authorities that may sign the server's certificate, instead of the system's.
        certificate: PEM file of the client's own certificate and the chain above it (mutual TLS).
        key: PEM file of its private key; None where it is in the file of the certificate.
        key_password: of an encrypted key.
        context: an `ssl.SSLContext` made by the caller, used as it is: for keys that never leave their
            hardware (an OpenSSL provider for PKCS#11), or for rules of its own. Excludes the others.
    """

    ca: Path | None = field(default=None, converter=_path)
    certificate: Path | None = field(default=None, converter=_path)
    key: Path | None = field(default=None, converter=_path)
    key_password: Secret | None = None
    context: ssl.SSLContext | None = field(default=None, repr=False)

    def __attrs_post_init__(self) -> None:
        if self.context is not None and (self.ca or self.certificate or self.key or self.key_password):
            raise ConfigurationError("TLS: wanted either files or a context of the caller's, got both")
        if self.certificate is None and (self.key or self.key_password):
            raise ConfigurationError("TLS: a key needs the certificate that it belongs to")

    @classmethod
    def from_environment(cls, prefix: str) -> Self | None:
        """Read ``PREFIX_TLS_CA``, ``PREFIX_TLS_CERTIFICATE``, ``PREFIX_TLS_KEY`` and ``PREFIX_TLS_KEY_PASSWORD``.

        Args:
            prefix: of the vendor, such as ``QIMG_IONQ``. The password may come by ``_FILE`` or ``_COMMAND`` too.

        Returns:
            None where none of the files is named.
        """
        ca, certificate, key = (os.environ.get(f"{prefix}_TLS_{part}") or None for part in ("CA", "CERTIFICATE", "KEY"))
        if not (ca or certificate or key):
            return None
        name = f"{prefix}_TLS_KEY_PASSWORD"
        password = None
        if any(os.environ.get(name + end) for end in ("", "_FILE", "_COMMAND")):
            password = credential_from_environment([name], purpose="password of the client's key").secret()
        return cls(ca=ca, certificate=certificate, key=key, key_password=password)

    def ssl_context(self) -> ssl.SSLContext:
        """The context for httpx: TLS 1.2 at least, host names checked.

        Raises:
            ConfigurationError: a file is missing or is not what it should be, or the key's password is wrong.
        """
        if self.context is not None:
            return self.context
        try:
            context = ssl.create_default_context(cafile=self.ca)
        except (OSError, ssl.SSLError) as cause:
            raise ConfigurationError(f"TLS: {self.ca} holds no certificates of authorities: {_why(cause)}") from cause
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.certificate is not None:
            try:
                context.load_cert_chain(self.certificate, self.key, password=self._password)
            except (OSError, ssl.SSLError) as cause:
                raise ConfigurationError(
                    f"TLS: the certificate {self.certificate} and the key {self.key or 'in the same file'} "
                    f"cannot be loaded: {_why(cause)}",
                    hint="both in PEM; an encrypted key needs its password",
                ) from cause
        return context

    def _password(self) -> str:
        # always given, for without it OpenSSL asks at the terminal
        return self.key_password.reveal() if self.key_password is not None else ""


def _why(cause: OSError) -> str:
    return cause.strerror or getattr(cause, "reason", "") or type(cause).__name__


def refused(cause: BaseException | None, what: str) -> AuthenticationError | None:
    """The error for a handshake in which one side did not accept the other's certificate; None for other causes.

    Args:
        cause: what the connection failed with; the causes behind it are looked at too.
        what: who was called, in words.
    """
    for _ in range(8):
        if isinstance(cause, ssl.SSLCertVerificationError):
            return AuthenticationError(
                f"{what}: its certificate is not accepted here: {cause.verify_message}; nothing was sent",
                hint="name the file of its authority (Tls.ca); never switch the check off",
            )
        reason = (cause.reason or "") if isinstance(cause, ssl.SSLError) else ""
        if "ALERT" in reason and any(word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")):
            return AuthenticationError(
                f"{what} does not accept the client's certificate: {reason.lower().replace('_', ' ')}",
                hint="give a certificate that its authority signed and that has not expired (Tls.certificate)",
            )
        if cause is None:
            return None
        cause = cause.__cause__ or cause.__context__
    return None
