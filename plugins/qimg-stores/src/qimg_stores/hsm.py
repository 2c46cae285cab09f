"""A log's Ed25519 key in a hardware security module, through PKCS #11 (imports qimg_core; PyKCS11 inside functions).

    pkcs11:token=TOKEN;object=LABEL?pin-source=env:NAME

The URI follows RFC 7512: ``token``, ``object`` and ``id`` (percent-encoded) choose the key, ``pin-source`` says where
the PIN is (env:NAME or file:PATH; else QIMG_PKCS11_PIN, _FILE or _COMMAND). The library of the device is named by the
environment only, ``QIMG_PKCS11_MODULE=/path/to/library.so``: a URI lies beside a ledger, and a ledger from
elsewhere must not say what code runs here. For the same reason ``pin-value`` and ``module-path`` are refused.

The mechanism is CKM_EDDSA (PKCS #11 3.0) with an edwards25519 key. ECDSA keys are refused: C2SP signed-note has a type
for them (0x02), but a log's first signature is Ed25519, and readers ignore lines of keys that they do not know.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from attrs import frozen

from qimg_core.errors import AuthenticationError, ConfigurationError, LedgerError
from qimg_core.ledger.passwords import is_recordable, source_of
from qimg_core.ledger.signing import SigningKey
from qimg_core.secret_sources import FromVariables

if TYPE_CHECKING:
    from qimg_core.secret_sources import Source

MODULE = "QIMG_PKCS11_MODULE"
PIN = "QIMG_PKCS11_PIN"
_CKM_EDDSA = 0x1057
_CKK_EC_EDWARDS = 0x40
_EXAMPLE = "e.g. pkcs11:token=qimg;object=log?pin-source=env:HSM_PIN"


@frozen(kw_only=True)
class Address:
    """Which key of which token, and where its PIN is.

    Args:
        token: label of the token.
        object: label of the key, or None.
        id: CKA_ID of the key, or None.
        pin: reference to the PIN, or None for the environment's standard variables.
    """

    token: str
    object: str | None = None
    id: bytes | None = None
    pin: str | None = None

    @classmethod
    def parse(cls, uri: str) -> Address:
        """Read a ``pkcs11:`` URI.

        Raises:
            ConfigurationError: malformed, without a token or a key, or with what must not stand in it.
        """
        path, _, query = uri.removeprefix("pkcs11:").partition("?")
        found: dict[str, bytes] = {}
        for part in [*path.split(";"), *query.split("&")]:
            name, equals, value = part.partition("=")
            if name in ("pin-value", "module-path", "module-name"):
                why = "a PIN is given by reference" if name == "pin-value" else f"the library is named by {MODULE}"
                raise ConfigurationError(f"a pkcs11: URI with {name} is refused: {why}", hint=_EXAMPLE)
            if part and (not equals or name not in ("token", "object", "id", "type", "pin-source") or name in found):
                raise ConfigurationError(f"a pkcs11: URI with the unknown or repeated part {name!r}", hint=_EXAMPLE)
            if part:
                found[name] = unquote_to_bytes(value)
        pin = found.get("pin-source", b"").decode(errors="replace") or None
        if "token" not in found or not ("object" in found or "id" in found):
            raise ConfigurationError("a pkcs11: URI names a token and an object or id", hint=_EXAMPLE)
        if pin is not None and not is_recordable(pin):
            raise ConfigurationError("pin-source is env:NAME or file:PATH", hint=_EXAMPLE)
        label = found.get("object")
        return cls(
            token=found["token"].decode(errors="replace"),
            object=None if label is None else label.decode(errors="replace"),
            id=found.get("id"),
            pin=pin,
        )

    @property
    def source(self) -> Source:
        """Where the PIN is."""
        return FromVariables((PIN,), purpose="PIN") if self.pin is None else source_of(self.pin)


class Pkcs11Key(SigningKey):
    """An Ed25519 key that does not leave its token. Every signature is verified before it is given out."""

    def __init__(self, session: Any, private: Any, public: bytes, where: str) -> None:
        self._session, self._private, self._public, self._where = session, private, public, where
        self._mutex, self._process = threading.Lock(), os.getpid()

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes."""
        return self._public

    def sign(self, message: bytes) -> bytes:
        """The Ed25519 signature of a message, 64 bytes.

        Raises:
            LedgerError: the device refuses, is gone, or gave a wrong signature.
        """
        import PyKCS11  # type: ignore[import-untyped]
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        if self._process != os.getpid():
            raise LedgerError(f"a session with {self._where} does not survive a fork", hint="open the ledger again")
        try:
            with self._mutex:
                signature = bytes(self._session.sign(self._private, message, PyKCS11.Mechanism(_CKM_EDDSA)))
            Ed25519PublicKey.from_public_bytes(self._public).verify(signature, message)
        except PyKCS11.PyKCS11Error as error:
            raise LedgerError(
                f"{self._where} did not sign: {error}", hint="is the device there? open it again"
            ) from error
        except InvalidSignature:
            raise LedgerError(f"{self._where} gave a wrong signature; nothing was signed") from None
        return signature

    def close(self) -> None:
        """End the session with the token."""
        import contextlib

        import PyKCS11  # type: ignore[import-untyped]

        with self._mutex, contextlib.suppress(PyKCS11.PyKCS11Error):
            self._session.closeSession()


def open_signer(uri: str) -> SigningKey:
    """The key that a ``pkcs11:`` URI names (entry point ``qimg.signers``).

    Raises:
        ConfigurationError: a malformed URI, no library named, or PyKCS11 is not installed.
        LedgerError: no such token or key, a wrong PIN, or a key that is not Ed25519.
    """
    address = Address.parse(uri)
    where = f"the token {address.token!r}"
    try:
        import PyKCS11  # type: ignore[import-untyped]
    except ImportError as error:
        raise ConfigurationError("pkcs11: keys need PyKCS11", hint="pip install qimg-stores[hsm]") from error
    module = os.environ.get(MODULE, "").strip()
    if not module:
        raise ConfigurationError(
            "no PKCS #11 library is named", hint=f"export {MODULE}=/usr/lib/softhsm/libsofthsm2.so"
        )
    try:
        pin = address.source.issue().secret
    except AuthenticationError as error:
        raise LedgerError(f"no PIN for {where}: {error.message}", hint=error.hint) from error
    try:
        library = PyKCS11.PyKCS11Lib()
        library.load(module)
        slots = [s for s in library.getSlotList(tokenPresent=True) if _label(library.getTokenInfo(s)) == address.token]
        if len(slots) != 1:
            raise LedgerError(f"{len(slots)} tokens are named {address.token!r}", hint="see: pkcs11-tool --list-slots")
        session = library.openSession(slots[0])
        try:
            try:
                session.login(pin.reveal())
            except PyKCS11.PyKCS11Error as error:
                if error.value != PyKCS11.CKR_USER_ALREADY_LOGGED_IN:
                    raise
            private, public = (_one(session, address, kind, where) for kind in ("PRIVATE", "PUBLIC"))
            (point,) = session.getAttributeValue(public, [PyKCS11.CKA_EC_POINT])
        except BaseException:
            session.closeSession()
            raise
    except PyKCS11.PyKCS11Error as error:
        raise LedgerError(f"{where} refuses: {error}", hint="check the PIN, the token and the library") from None
    return Pkcs11Key(session, private, bytes(point)[-32:], where)


def _label(token: Any) -> str:
    return str(token.label).rstrip(" \0")


def _one(session: Any, address: Address, kind: str, where: str) -> Any:
    """The one Ed25519 key object that the address names."""
    import PyKCS11  # type: ignore[import-untyped]

    wanted = [(PyKCS11.CKA_CLASS, getattr(PyKCS11, f"CKO_{kind}_KEY"))]
    if address.object is not None:
        wanted.append((PyKCS11.CKA_LABEL, address.object))
    if address.id is not None:
        wanted.append((PyKCS11.CKA_ID, address.id))
    found = session.findObjects(wanted)
    if len(found) != 1:
        raise LedgerError(
            f"{where} has {len(found)} {kind.lower()} keys of that name, wanted one",
            hint="pkcs11-tool --keypairgen --key-type EC:edwards25519 --label LABEL makes one",
        )
    (algorithm,) = session.getAttributeValue(found[0], [PyKCS11.CKA_KEY_TYPE])
    if algorithm != _CKK_EC_EDWARDS:
        raise LedgerError(f"the key in {where} is not Ed25519", hint="a log's first signature is Ed25519 (C2SP)")
    return found[0]
