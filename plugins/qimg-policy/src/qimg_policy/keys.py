"""Named Ed25519 keys of people and roles that sign policies and approvals (imports errors, storage).

A public key is one line, ``NAME ed25519 BASE64``. Its id is the SHA-256 of the 32 raw bytes. Use the names of roles:
they go into the record.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError
from qimg_core.storage import ensure_folder, storage_error, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@frozen
class PublicKey:
    """A name and 32 raw bytes."""

    name: str
    raw: bytes = field(repr=False)

    @classmethod
    def parse(cls, line: str) -> PublicKey:
        """Read ``NAME ed25519 BASE64``.

        Raises:
            ConfigurationError: anything else.
        """
        parts = line.split()
        try:
            raw = base64.b64decode(parts[2], validate=True) if len(parts) == 3 else b""
        except binascii.Error:
            raw = b""
        if len(parts) != 3 or parts[1] != "ed25519" or len(raw) != 32 or not _NAME.fullmatch(parts[0]):
            # what was offered is not shown: it may be a private key, given by mistake
            got = "a private key" if "PRIVATE" in line else f"{len(parts)} words that are none"
            raise ConfigurationError(
                f"a public key is a line 'NAME ed25519 BASE64', got {got}",
                hint="give NAME.pub, as qimg policy key NAME makes",
            )
        return cls(parts[0], raw)

    @property
    def id(self) -> str:
        """SHA-256 of the raw key, 64 hex digits."""
        return hashlib.sha256(self.raw).hexdigest()

    def __str__(self) -> str:
        return f"{self.name} ed25519 {base64.b64encode(self.raw).decode()}"

    def verifies(self, signature: bytes, data: bytes) -> bool:
        """Did the owner of this key sign ``data``?"""
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True


@frozen
class SigningKey:
    """A private key. ``seed`` is its 32 bytes; never shown."""

    name: str
    seed: bytes = field(repr=False)

    @property
    def public(self) -> PublicKey:
        """What others verify with."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return PublicKey(self.name, Ed25519PrivateKey.from_private_bytes(self.seed).public_key().public_bytes_raw())

    def sign(self, data: bytes) -> bytes:
        """64 bytes."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(data)


def make_key(name: str, folder: Path) -> tuple[Path, Path]:
    """A new key: ``NAME.key.pem`` (PKCS#8, mode 0600) and ``NAME.pub``.

    Raises:
        ConfigurationError: a name that is none, or there is a key of that name.
        StorageError: they cannot be written.
    """
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r}: a key's name has up to 64 letters, digits, dots, dashes and underscores",
            hint="qimg policy key data-officer",
        )
    private, public = ensure_folder(folder) / f"{name}.key.pem", folder / f"{name}.pub"
    for path in (private, public):
        if path.exists():
            raise ConfigurationError(f"{path} exists already", hint="choose another name or folder")
    key = Ed25519PrivateKey.generate()
    write_atomic(private, key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()), mode=0o600)
    write_atomic(public, f"{PublicKey(name, key.public_key().public_bytes_raw())}\n".encode())
    return private, public


def load_key(path: Path) -> SigningKey:
    """A private key from ``NAME.key.pem``.

    Raises:
        ConfigurationError: not an Ed25519 key in PEM.
        StorageError: it cannot be read.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise _no_file(path, "NAME.key.pem") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"{path} is no private key in PEM without a password",
            hint="give NAME.key.pem, as qimg policy key NAME makes",
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigurationError(f"{path}: wanted an Ed25519 key", hint="qimg policy key NAME")
    return SigningKey(path.name.removesuffix(".pem").removesuffix(".key"), key.private_bytes_raw())


def load_public(path: Path) -> PublicKey:
    """A public key from ``NAME.pub``.

    Raises:
        ConfigurationError, StorageError.
    """
    try:
        return PublicKey.parse(path.read_text().strip())
    except FileNotFoundError as error:
        raise _no_file(path, "NAME.pub") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path} is no public key", hint="qimg policy key NAME makes NAME.pub") from error


def _no_file(path: Path, wanted: str) -> ConfigurationError:
    return ConfigurationError(
        f"there is no key in {path}: wanted a file {wanted}", hint="qimg policy key NAME makes both"
    )
