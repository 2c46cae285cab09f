"""The keys of a log on disk (imports storage and note; `cryptography` only inside functions).

::

    <folder>/keys/log.ed25519.pem   private, PKCS#8, mode 0600
    <folder>/keys/log.mldsa44.pem   private, PKCS#8, mode 0600
    <folder>/keys/log.vkeys         public, one C2SP vkey a line: pinned outside the database

Whoever has the private files can sign for the log. Keep a copy of ``log.vkeys`` elsewhere: it is
what tells this log from another that somebody made to look like it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qimg_core.errors import LedgerCorrupt, LedgerError
from qimg_core.ledger.note import Signer, VerifierKey, parse_keys
from qimg_core.storage import ensure_folder, storage_error, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = "keys"
PUBLIC = "log.vkeys"
_ED25519 = "log.ed25519.pem"
_MLDSA44 = "log.mldsa44.pem"


def create(folder: Path, origin: str) -> Signer:
    """New keys under ``<folder>/keys``; the public file is written last and marks them complete.

    Raises:
        LedgerError: there are keys already.
        StorageError: they cannot be written.
    """
    from cryptography.hazmat.primitives import serialization as s

    place = ensure_folder(folder / FOLDER)
    if (place / PUBLIC).exists():
        raise LedgerError(f"{place} holds keys already", hint="choose another folder for another log")
    signer = Signer.generate(origin)
    for name, key in ((_ED25519, signer.ed25519), (_MLDSA44, signer.mldsa44)):
        pem = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
        write_atomic(place / name, pem, mode=0o600)
    write_atomic(place / PUBLIC, "".join(f"{key}\n" for key in signer.keys).encode())
    return signer


def exist(folder: Path) -> bool:
    """Are there complete keys?"""
    return (folder / FOLDER / PUBLIC).exists()


def load_public(folder: Path) -> tuple[VerifierKey, ...]:
    """The pinned verifier keys.

    Raises:
        LedgerError: the file is missing.
        LedgerCorrupt: it does not hold verifier keys.
    """
    path = folder / FOLDER / PUBLIC
    try:
        return parse_keys(path.read_bytes().decode())
    except FileNotFoundError as error:
        raise LedgerError(
            f"the log's verifier keys are missing: {path}", hint="restore the file from a copy"
        ) from error
    except UnicodeDecodeError as error:
        raise LedgerCorrupt(f"{path} does not hold verifier keys: {error}") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error


def load(folder: Path) -> Signer:
    """The private keys, checked against the pinned public ones.

    Raises:
        LedgerError: a file is missing or unreadable.
        LedgerCorrupt: a private key does not belong to its pinned public key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    public = load_public(folder)
    found = []
    for name in (_ED25519, _MLDSA44):
        path = folder / FOLDER / name
        try:
            found.append(load_pem_private_key(path.read_bytes(), password=None))
        except FileNotFoundError as error:
            raise LedgerError(
                f"the log's private key is missing: {path}",
                hint="restore it to write; without it the log can be opened with read_only=True",
            ) from error
        except OSError as error:
            raise storage_error(error, "read", path) from error
        except (ValueError, TypeError) as error:
            raise LedgerCorrupt(f"{path} does not hold a private key") from error
    ed25519, mldsa44 = found
    if not isinstance(ed25519, Ed25519PrivateKey) or not isinstance(mldsa44, MLDSA44PrivateKey):
        raise LedgerCorrupt(f"the private keys in {folder / FOLDER} are of the wrong algorithm")
    signer = Signer(public[0].name, ed25519, mldsa44)
    if signer.keys != public:
        raise LedgerCorrupt(f"the private keys in {folder / FOLDER} do not belong to {PUBLIC} beside them")
    return signer
