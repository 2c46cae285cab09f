"""PKCS#8 private keys in PEM, plain or under a password (imports errors; `cryptography` inside functions).

Encrypted: RFC 5958 EncryptedPrivateKeyInfo with PBES2 (RFC 8018), scrypt (RFC 7914; N = 16384, r = 8, p = 5) and
AES-256-CBC, so that ``openssl pkey`` reads it. `cryptography` writes PBKDF2 with 2,048 rounds, which a
password does not stand long; hence our own few lines of DER.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    from qimg_core.secret import Secret

    Private = Ed25519PrivateKey | MLDSA44PrivateKey

SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 14, 8, 5
_LABEL = "ENCRYPTED PRIVATE KEY"
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")


def is_encrypted(pem: bytes) -> bool:
    """Is it under a password?"""
    return f"-----BEGIN {_LABEL}-----".encode() in pem


def write(key: Private, password: Secret | None) -> bytes:
    """The PEM of a private key.

    Args:
        key: Ed25519 or ML-DSA-44.
        password: None for a plain one.
    """
    from cryptography.hazmat.primitives import serialization as s

    if password is None:
        return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return _encrypted(key.private_bytes(s.Encoding.DER, s.PrivateFormat.PKCS8, s.NoEncryption()), password)


def _encrypted(plain: bytes, password: Secret) -> bytes:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
    from cryptography.hazmat.primitives.padding import PKCS7

    salt, iv = os.urandom(16), os.urandom(16)
    derived = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(password.reveal().encode())
    padder, cipher = PKCS7(128).padder(), Cipher(algorithms.AES256(derived), modes.CBC(iv)).encryptor()
    padded = padder.update(plain) + padder.finalize()
    numbers = b"".join(_integer(n) for n in (SCRYPT_N, SCRYPT_R, SCRYPT_P, 32))
    kdf = _der(0x30, _SCRYPT + _der(0x30, _der(0x04, salt) + numbers))
    scheme = _der(0x30, _AES_256_CBC + _der(0x04, iv))
    algorithm = _der(0x30, _PBES2 + _der(0x30, kdf + scheme))
    whole = _der(0x30, algorithm + _der(0x04, cipher.update(padded) + cipher.finalize()))
    text = base64.b64encode(whole).decode()
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {_LABEL}-----", *lines, f"-----END {_LABEL}-----", ""]).encode()


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x81, size]) if size < 0x100 else bytes([0x82, *size.to_bytes(2)])
    return bytes([tag]) + length + content


def _integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1))
