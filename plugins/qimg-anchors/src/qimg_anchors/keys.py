"""The key file of a witness, and its memory beside it (imports heads; `cryptography` only inside functions).

::

    qimg witness key 1
    witness.example/w1
    -----BEGIN PRIVATE KEY-----      Ed25519, PKCS#8
    -----BEGIN PRIVATE KEY-----      ML-DSA-44, PKCS#8

Mode 0600. The memory lies in the folder ``<file>.heads``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from qimg_anchors.heads import make_heads
from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger.cosignature import Cosigner
from qimg_core.storage import ensure_folder, storage_error, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

_FIRST = "qimg witness key 1"
_PEM = re.compile(r"-----BEGIN PRIVATE KEY-----\n.*?-----END PRIVATE KEY-----\n", re.DOTALL)


def heads_of(path: Path) -> Path:
    """The folder of the memory that belongs to a key file."""
    return path.with_name(path.name + ".heads")


def create(path: Path, name: str) -> Cosigner:
    """New keys for a new witness, and its empty memory; the key file is written last.

    Raises:
        ConfigurationError: the name cannot be one.
        LedgerError: there is a key or a memory already.
        StorageError: they cannot be written.
    """
    from cryptography.hazmat.primitives import serialization as s

    if path.exists():
        raise LedgerError(f"{path} exists already", hint="a witness keeps its keys; name another file for a new one")
    made = Cosigner.generate(name)
    ensure_folder(path.absolute().parent)
    make_heads(heads_of(path), made.keys)
    pems = [
        key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption()).decode()
        for key in (made.ed25519, made.mldsa44)
    ]
    write_atomic(path, f"{_FIRST}\n{name}\n{''.join(pems)}".encode(), mode=0o600)
    return made


def load(path: Path) -> Cosigner:
    """The keys of a witness.

    Raises:
        ConfigurationError: no such file.
        LedgerError: others may read it.
        LedgerCorrupt: not a key file.
        StorageError: it cannot be read.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        if path.stat().st_mode & 0o077:
            raise LedgerError(f"the key file {path} can be read by others", hint=f"chmod 600 {path}")
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"no key file {path}", hint="make one: qimg witness keys --new NAME --key FILE"
        ) from error
    except UnicodeDecodeError as error:
        raise LedgerCorrupt(f"{path} is no key file of a witness") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
    first, _, rest = text.partition("\n")
    name = rest.partition("\n")[0]
    pems = _PEM.findall(rest)
    if first != _FIRST or len(pems) != 2:
        raise LedgerCorrupt(f"{path} is no key file of a witness")
    try:
        ed25519, mldsa44 = (load_pem_private_key(pem.encode(), password=None) for pem in pems)
    except (ValueError, TypeError) as error:
        raise LedgerCorrupt(f"{path} holds no private keys") from error
    if not isinstance(ed25519, Ed25519PrivateKey) or not isinstance(mldsa44, MLDSA44PrivateKey):
        raise LedgerCorrupt(f"{path} holds keys of the wrong algorithm")
    return Cosigner(name, ed25519, mldsa44)
