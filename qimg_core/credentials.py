"""A secret for a purpose, renewed before it expires and never written anywhere (floor 1; imports secret_sources)."""

from __future__ import annotations

import datetime as dt
import threading
from typing import TYPE_CHECKING, Any, NoReturn

from qimg_core.errors import AuthenticationError
from qimg_core.secret import Secret, redact
from qimg_core.secret_sources import (
    FromCallable,
    FromCommand,
    FromEnvironment,
    FromFile,
    FromVariables,
    Issued,
    Source,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

__all__ = [
    "Credential",
    "FromCallable",
    "FromCommand",
    "FromEnvironment",
    "FromFile",
    "FromVariables",
    "Issued",
    "Secret",
    "Source",
    "credential_from_environment",
    "redact",
]


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Credential:
    """A secret for a purpose, and where it comes from. Thread-safe; never holds more than the current secret.

    Args:
        source: where it comes from.
        purpose: what it is for, in words; shown.
        scopes: what it permits, in words; shown.
        margin: seconds before its expiry at which it is renewed.
        clock: the time now, with a time zone; replaceable for tests.
    """

    def __init__(
        self,
        source: Source,
        *,
        purpose: str,
        scopes: Iterable[str] = (),
        margin: float = 60.0,
        clock: Callable[[], dt.datetime] = _now,
    ) -> None:
        self.source, self.purpose, self.scopes = source, purpose, tuple(scopes)
        self.margin, self.clock = dt.timedelta(seconds=margin), clock
        self._issued: Issued | None = None
        self._lock = threading.Lock()

    def secret(self) -> Secret:
        """The secret as it is good now.

        Raises:
            AuthenticationError: it cannot be had, or it has expired and its source gives no newer one.
        """
        with self._lock:
            issued = self._issued
            if issued is None or (issued.expires_at is not None and self.clock() >= issued.expires_at - self.margin):
                issued = self._ask()
            return issued.secret

    def renewed(self, refused: Secret) -> Secret | None:
        """Another secret than the one that a provider refused, or None where the source has no other."""
        with self._lock:
            issued = self._issued
            if issued is None or issued.secret == refused:  # else another thread has renewed it
                issued = self._ask()
            return None if issued.secret == refused else issued.secret

    def _ask(self) -> Issued:
        issued = self.source.issue()
        if issued.expires_at is not None and self.clock() >= issued.expires_at:
            raise AuthenticationError(
                f"the {self.purpose} from {self.source.where} expired at {issued.expires_at.isoformat()}",
                hint="log in again, or renew it where it comes from",
            )
        self._issued = issued if issued.kept else None
        return issued

    def __repr__(self) -> str:
        scopes = f", for {', '.join(self.scopes)}" if self.scopes else ""
        return f"<{self.purpose} from {self.source.where}{scopes}>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a credential is not pickled")


def credential_from_environment(names: Sequence[str], *, purpose: str, hint: str = "", **options: Any) -> Credential:
    """The credential that the user sets up by environment variables; looked for when it is first needed.

    Args:
        names: of the variables; see `FromVariables`.
        purpose: what it is for, in words.
        hint: where to get one.
        options: of `Credential`.
    """
    return Credential(FromVariables(names, purpose=purpose, hint=hint), purpose=purpose, **options)
