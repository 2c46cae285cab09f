"""The keys of a log on disk (imports storage, note, history, pkcs8, passwords, signing).

::

    <folder>/keys/log.ed25519.pem      private, PKCS#8, mode 0600, plain or under a password
    <folder>/keys/log.mldsa44.pem      private, the same
    <folder>/keys/log.2.ed25519.pem    after a rotation: the second pair, and so on; retired private keys are removed
    <folder>/keys/log.ed25519.signer   instead of the .pem: URI of a key that lives elsewhere
    <folder>/keys/log.vkeys            public, the history of keys: pinned outside the database

An encrypted file begins with a line that says where its password is (env:NAME or file:PATH), never with the password.
Whoever has the private keys can sign for the log. Keep a copy of ``log.vkeys`` elsewhere: it is
what tells this log from another that somebody made to look like it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt, LedgerError
from qimg_core.ledger import passwords, pkcs8
from qimg_core.ledger.history import KeyHistory
from qimg_core.ledger.note import ED25519, MLDSA44, Signer
from qimg_core.ledger.signing import SigningKey, open_signing_key
from qimg_core.storage import ensure_folder, storage_error, sync_folder, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    from qimg_core.ledger.history import Pair
    from qimg_core.secret import Secret

FOLDER = "keys"
PUBLIC = "log.vkeys"
_NAMES = {ED25519: "ed25519", MLDSA44: "mldsa44"}
_IN_FOLDER = ("plain", "encrypted", "missing")


@frozen(kw_only=True)
class Protection:
    """How private keys are kept.

    Args:
        password: None keeps them plain.
        reference: where the password is; written down in each file where that is safe (see `passwords`).
        signer: URI of an Ed25519 key that lives elsewhere; the ML-DSA-44 key is kept in the folder.
    """

    password: Secret | None = None
    reference: str | None = None
    signer: str | None = None

    @classmethod
    def by(cls, reference: str | None, signer: str | None = None) -> Protection:
        """From a reference to a password; the password is read now.

        Raises:
            ConfigurationError, LedgerError: as `passwords.asked` does.
        """
        password = None if reference is None else passwords.asked(reference, "new keys")
        return cls(password=password, reference=reference, signer=signer)


def create(folder: Path, origin: str, protection: Protection | None = None) -> Signer:
    """New keys under ``<folder>/keys``; the public file is written last and marks them complete.

    Raises:
        LedgerError: there are keys already, or the key that lives elsewhere cannot be reached.
        StorageError: they cannot be written.
    """
    place = ensure_folder(folder / FOLDER)
    if (place / PUBLIC).exists():
        raise LedgerError(f"{place} holds keys already", hint="choose another folder for another log")
    signer = write_private(folder, 1, origin, protection or Protection())
    write_atomic(place / PUBLIC, KeyHistory.of(signer.keys).text.encode())
    return signer


def write_private(folder: Path, number: int, origin: str, protection: Protection) -> Signer:
    """Make a pair and write its private files; what was there of a pair that never came into force is overwritten.

    Args:
        folder: of the ledger.
        number: of the pair in the history, from 1.
        origin: the log's name.
        protection: how to keep them.

    Raises:
        LedgerError, ConfigurationError, StorageError: the ledger, the request or the disk.
    """
    ensure_folder(folder / FOLDER)
    signer = Signer.generate(origin)
    if protection.signer is not None:
        signer = Signer(origin, open_signing_key(protection.signer), signer.mldsa44)
    forget_private(folder, number)
    for kind, key in ((ED25519, signer.ed25519), (MLDSA44, signer.mldsa44)):
        path = _path(folder, number, kind)
        if isinstance(key, SigningKey):
            write_atomic(path.with_suffix(".signer"), f"{protection.signer}\n".encode())
        else:
            _write(path, key, protection)
    return signer


def forget_private(folder: Path, number: int) -> None:
    """Remove the private files of a pair; a key that lives elsewhere stays there.

    Raises:
        StorageError: they cannot be removed.
    """
    for kind in _NAMES:
        for path in (_path(folder, number, kind), _path(folder, number, kind).with_suffix(".signer")):
            try:
                path.unlink(missing_ok=True)
            except OSError as error:
                raise storage_error(error, "remove", path) from error
    sync_folder(folder / FOLDER)


def exist(folder: Path) -> bool:
    """Are there complete keys?"""
    return (folder / FOLDER / PUBLIC).exists()


def load_history(folder: Path) -> KeyHistory:
    """Every pair of verifier keys that the log has had.

    Raises:
        LedgerError: the file is missing.
        LedgerCorrupt: it does not hold verifier keys.
    """
    path = folder / FOLDER / PUBLIC
    try:
        return KeyHistory.parse(path.read_bytes().decode())
    except FileNotFoundError as error:
        raise LedgerError(
            f"the log's verifier keys are missing: {path}", hint="restore the file from a copy"
        ) from error
    except UnicodeDecodeError as error:
        raise LedgerCorrupt(f"{path} does not hold verifier keys: {error}") from error
    except OSError as error:
        raise storage_error(error, "read", path) from error


def load_public(folder: Path) -> Pair:
    """The verifier keys in force; raises as `load_history` does."""
    return load_history(folder).current


def load(folder: Path, password: Secret | None = None) -> Signer:
    """The private keys in force, checked against the pinned public ones.

    Args:
        folder: of the ledger.
        password: of encrypted keys; None takes it from where each file says.

    Raises:
        LedgerError: a file is missing or unreadable, or the password is missing or wrong.
        LedgerCorrupt: a private key does not belong to its pinned public key.
    """
    history = load_history(folder)
    return load_pair(folder, len(history.periods), history.current, password)


def load_pair(folder: Path, number: int, public: Pair, password: Secret | None = None) -> Signer:
    """The private keys of one pair of the history; arguments and errors as those of `load`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

    ed25519, mldsa44 = (_read(folder, number, kind, password) for kind in (ED25519, MLDSA44))
    if not isinstance(ed25519, (Ed25519PrivateKey, SigningKey)) or not isinstance(
        mldsa44, (MLDSA44PrivateKey, SigningKey)
    ):
        raise LedgerCorrupt(f"the private keys in {folder / FOLDER} are of the wrong algorithm")
    signer = Signer(public[0].name, ed25519, mldsa44)
    if signer.keys != public:
        raise LedgerCorrupt(f"the private keys in {folder / FOLDER} do not belong to {PUBLIC} beside them")
    return signer


def protections(folder: Path, number: int) -> dict[str, str]:
    """How each private key of a pair is kept: "plain", "encrypted", its URI, or "missing"."""
    found = {}
    for kind, name in _NAMES.items():
        path = _path(folder, number, kind)
        try:
            if path.with_suffix(".signer").exists():
                found[name] = path.with_suffix(".signer").read_text().strip()
            elif path.exists():
                found[name] = "encrypted" if pkcs8.is_encrypted(path.read_bytes()) else "plain"
            else:
                found[name] = "missing"
        except (OSError, UnicodeDecodeError):
            found[name] = "missing"
    return found


def same_protection(folder: Path, *, anywhere: bool = False) -> Protection:
    """How the private keys in force are kept, for what shall be kept alike.

    Args:
        folder: of the ledger.
        anywhere: also where one of them lives elsewhere; this says how the other is kept.

    Raises:
        ConfigurationError: one lives elsewhere, where this program makes no keys.
        LedgerError: they are encrypted and the password cannot be had.
    """
    number = len(load_history(folder).periods)
    for kept in protections(folder, number).values():
        if kept not in _IN_FOLDER and not anywhere:
            raise ConfigurationError(
                f"the key in force lives elsewhere ({kept}); the next one must be said",
                hint="--signer URI of a new key there, or --signer file to keep it in the folder",
            )
    for kind in _NAMES:
        path = _path(folder, number, kind)
        if path.exists() and pkcs8.is_encrypted(pem := path.read_bytes()):
            reference = passwords.recorded_in(pem)[0]
            return Protection(password=passwords.found(reference, f"{path}"), reference=reference)
    return Protection()


def protect(folder: Path, new: Protection) -> None:
    """Keep the private keys in force under another password, or plain. The caller holds the writer's lock.

    Each file is replaced at once and says itself where its password is, so this may stop between them.

    Args:
        folder: of the ledger.
        new: how to keep them; where they live elsewhere they stay there.

    Raises:
        LedgerError: the old password is missing or wrong. Nothing is written.
        StorageError: they cannot be written.
    """
    number = len(load_history(folder).periods)
    kept = protections(folder, number)
    found = [
        (_path(folder, number, kind), _read(folder, number, kind, None))
        for kind, name in _NAMES.items()
        if kept[name] in _IN_FOLDER
    ]
    for path, key in found:
        assert not isinstance(key, SigningKey)
        _write(path, key, new)


def _write(path: Path, key: Ed25519PrivateKey | MLDSA44PrivateKey, protection: Protection) -> None:
    said = "" if protection.password is None else passwords.recordable(protection.reference)
    write_atomic(path, said.encode() + pkcs8.write(key, protection.password), mode=0o600)


def _path(folder: Path, number: int, kind: int) -> Path:
    return folder / FOLDER / f"log.{f'{number}.' if number > 1 else ''}{_NAMES[kind]}.pem"


def _read(
    folder: Path, number: int, kind: int, password: Secret | None
) -> Ed25519PrivateKey | MLDSA44PrivateKey | SigningKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    path = _path(folder, number, kind)
    try:
        if path.with_suffix(".signer").exists():
            return open_signing_key(path.with_suffix(".signer").read_bytes().decode().strip())
        pem = path.read_bytes()
    except FileNotFoundError as error:
        raise LedgerError(
            f"the log's private key is missing: {path}",
            hint="restore it to write; without it the log can be opened with read_only=True",
        ) from error
    except UnicodeDecodeError as error:
        raise LedgerCorrupt(f"{path.with_suffix('.signer')} does not hold a URI") from error
    except ConfigurationError as error:
        raise LedgerError(f"the log's private key lives elsewhere: {error.message}", hint=error.hint) from error
    except OSError as error:
        raise storage_error(error, "read", path) from error
    reference, pem = passwords.recorded_in(pem)
    encrypted = pkcs8.is_encrypted(pem)
    if encrypted and password is None:
        password = passwords.found(reference, f"{path}")
    try:
        key = load_pem_private_key(pem, password.reveal().encode() if encrypted and password is not None else None)
    except (ValueError, TypeError) as error:
        if encrypted:  # which of the two, the cipher cannot tell
            raise LedgerError(
                f"the password does not open {path}, or the file is damaged",
                hint=f"it is taken from {reference or passwords.VARIABLE}",
            ) from None
        raise LedgerCorrupt(f"{path} does not hold a private key") from error
    if not isinstance(key, (Ed25519PrivateKey, MLDSA44PrivateKey)):
        raise LedgerCorrupt(f"{path} holds a key of the wrong algorithm")
    return key
