"""A file under a password: scrypt and AES-256-GCM in chunks (imports errors; `cryptography` inside functions).

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizar: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, CRYPTO 2015) over AES-256-GCM (NIST SP 800-38D), with a key from scrypt (RFC 7914)::

    "qimg.encrypted/1" newline   17 bytes
    log2 N, r, p                  1 byte each; written: 15, 8, 3
    salt                         16 bytes, random
    nonce prefix                  7 bytes, random
    commitment                   32 bytes
    chunks                       of 65,536 bytes of plain text, the last of 0 to 65,536, each with its tag of 16 bytes

scrypt gives 64 bytes: the AES key, then the commitment, which tells a wrong password from a damaged file and binds the
file to one key. The nonce of a chunk is the prefix, the chunk's number (4 bytes, big-endian, from 0), and one
byte, 1 for the last chunk and else 0. All 75 bytes before the chunks are associated data of every chunk.
"""

from __future__ import annotations

import hmac
import os
import struct
from typing import TYPE_CHECKING, BinaryIO

from qimg_core.errors import LedgerCorrupt, LedgerError

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.secret import Secret

MAGIC = b"qimg.encrypted/1\n"
CHUNK = 65_536
_TAG = 16
_HEADER = len(MAGIC) + 3 + 16 + 7 + 32
_LOG_N, _R, _P = 15, 8, 3
_MOST_LOG_N, _MOST_P = 18, 16  # a file must not make its reader take gigabytes, or hours


def is_encrypted(path: Path) -> bool:
    """Does the file begin as this format does?"""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def encrypt(source: BinaryIO, target: BinaryIO, password: Secret) -> None:
    """Write ``source``, to its end, encrypted to ``target``."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    head = MAGIC + bytes([_LOG_N, _R, _P]) + os.urandom(16) + os.urandom(7)
    key, commitment = _derive(head, password)
    header, cipher = head + commitment, AESGCM(key)
    target.write(header)
    chunk, number = source.read(CHUNK), 0
    while True:
        after = source.read(CHUNK)
        target.write(cipher.encrypt(_nonce(header, number, last=not after), chunk, header))
        if not after:
            return
        chunk, number = after, number + 1


def decrypt(source: BinaryIO, target: BinaryIO, password: Secret) -> None:
    """Write what is in ``source`` to ``target``; each chunk is authenticated before it is written.

    Raises:
        LedgerCorrupt: not this format, cut off, or changed. What was written until then must not be used.
        LedgerError: the wrong password.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    header = source.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(MAGIC):
        raise LedgerCorrupt("not an encrypted export, or cut off in its first bytes")
    log_n, r, p = header[len(MAGIC) : len(MAGIC) + 3]
    if not (10 <= log_n <= _MOST_LOG_N and r == _R and 1 <= p <= _MOST_P):
        raise LedgerCorrupt(f"an encrypted export with scrypt parameters 2^{log_n}, {r}, {p}: not those of this format")
    key, commitment = _derive(header[:-32], password)
    if not hmac.compare_digest(commitment, header[-32:]):
        raise LedgerError("the password does not open this export, or its first bytes were changed")
    cipher, number = AESGCM(key), 0
    chunk = source.read(CHUNK + _TAG)
    while True:
        after = source.read(CHUNK + _TAG)
        try:
            target.write(cipher.decrypt(_nonce(header, number, last=not after), chunk, header))
        except InvalidTag:
            raise LedgerCorrupt(f"the encrypted export was changed or cut off in chunk {number}") from None
        if not after:
            return
        chunk, number = after, number + 1


def _derive(head: bytes, password: Secret) -> tuple[bytes, bytes]:
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

    log_n, r, p = head[len(MAGIC) : len(MAGIC) + 3]
    salt = head[len(MAGIC) + 3 : len(MAGIC) + 19]
    derived = Scrypt(salt=salt, length=64, n=1 << log_n, r=r, p=p).derive(password.reveal().encode())
    return derived[:32], derived[32:]


def _nonce(header: bytes, number: int, *, last: bool) -> bytes:
    if number >= 1 << 32:
        raise LedgerError("an export of more than 2^32 chunks cannot be encrypted in one file")
    return header[-39:-32] + struct.pack(">IB", number, last)
