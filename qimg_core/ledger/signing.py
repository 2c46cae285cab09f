"""Where a private key of a log lives: the interface, and finding what serves a URI (imports errors).

A log's Ed25519 key may stay in a device or a service: `SigningKey`. Distributions register a function under the
entry-point group ``qimg.signers``, by the scheme of the URIs that it opens::

    [project.entry-points."qimg.signers"]
    pkcs11 = "qimg_stores.hsm:open_signer"

A URI is kept beside the log's keys and so may come from whoever wrote that folder. It names a key; it never
names code to load, nor holds a PIN: those come by reference, or from the environment.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable

GROUP = "qimg.signers"


class SigningKey(ABC):
    """An Ed25519 or ML-DSA-44 private key that need not be in this process."""

    @property
    @abstractmethod
    def public(self) -> bytes:
        """The public key, 32 bytes for Ed25519 (RFC 8032) or 1,312 for ML-DSA-44 (FIPS 204)."""

    @abstractmethod
    def sign(self, message: bytes) -> bytes:
        """The signature of a message: 64 bytes for Ed25519, 2,420 for ML-DSA-44.

        Raises:
            LedgerError: the device cannot be reached, or refuses.
        """

    def close(self) -> None:
        """Release the device; the default does nothing."""


def open_signing_key(uri: str) -> SigningKey:
    """The key that a URI names, opened by the distribution that knows its scheme.

    Raises:
        ConfigurationError: not a URI, or nothing installed opens it.
        LedgerError: what opens it cannot reach the key.
    """
    from importlib.metadata import entry_points

    scheme, colon, _ = uri.partition(":")
    if not colon or not scheme:
        raise ConfigurationError("a signer is named by a URI", hint="e.g. pkcs11:token=TOKEN;object=KEY")
    found = {point.name: point for point in entry_points(group=GROUP)}
    if scheme not in found:
        raise UnknownName("signer scheme", scheme, found, hint="pip install qimg-stores[hsm] opens pkcs11: URIs")
    opened: Callable[[str], SigningKey] = found[scheme].load()
    return opened(uri)
