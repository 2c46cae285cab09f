"""The keys of data subjects, each under a master key (imports keys, encrypted, storage, errors).

::

    <folder>/subjects/master.key       32 random bytes as hex; encrypted where the log's private keys are
    <folder>/subjects/<64 hex>.key     a subject's key, AES-256-GCM under a key derived from the master's (HKDF-SHA256)
    <folder>/subjects/<64 hex>.gone    a key was destroyed and its entry is not written yet

The file of a subject is named by HMAC-SHA256 of its name under another key derived from the master's; entries and
artefacts bear HMAC-SHA256 of its own key. Who has the ledger alone can link neither to a name, and who has the master
key cannot either once the subject's key is destroyed. Whoever copies this folder keeps what was to be forgotten.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import os
import unicodedata
from typing import TYPE_CHECKING

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, LedgerCorrupt
from qimg_core.ledger import encrypted, keys, passwords
from qimg_core.storage import ensure_folder, storage_error, sync_folder, write_atomic

if TYPE_CHECKING:
    from pathlib import Path

    from qimg_core.ledger.base import Ledger

FOLDER = "subjects"
MASTER = "master.key"


@frozen
class SubjectKey:
    """The key of a subject, 32 bytes."""

    secret: bytes = field(repr=False)

    @property
    def tag(self) -> bytes:
        """16 bytes that stand for the subject in the ledger."""
        return hmac.digest(self.secret, b"qimg.sealed/1 subject", "sha256")[:16]


@frozen
class Vault:
    """The subjects' keys in a folder."""

    folder: Path
    _master: bytes = field(repr=False)

    @classmethod
    def of(cls, ledger: Ledger, *, create: bool = False) -> Vault:
        """The vault beside a ledger.

        Raises:
            ConfigurationError: the ledger is in no folder; or it has no vault and none is to be made.
            LedgerError, StorageError: as `open` does.
        """
        folder: Path | None = getattr(ledger, "folder", None)
        if folder is None:
            raise ConfigurationError("this ledger has no folder for subjects' keys", hint="give a Vault of your own")
        return cls.open(folder, create=create)

    @classmethod
    def open(cls, folder: Path, *, create: bool = False) -> Vault:
        """The vault under ``<folder>/subjects``.

        Args:
            folder: of the ledger.
            create: make it where there is none; it is kept as the log's private keys are.

        Raises:
            ConfigurationError: there is none.
            LedgerError: the password is missing or wrong.
            LedgerCorrupt: the master key is damaged.
            StorageError: the folder cannot be read or written.
        """
        path = folder / FOLDER / MASTER
        if not path.exists():
            if not create:
                raise ConfigurationError(f"no subjects' keys in {folder}", hint="sealing an artefact makes them")
            ensure_folder(path.parent)
            path.parent.chmod(0o700)
            _write_new(path, _wrapped(os.urandom(32), keys.same_protection(folder, anywhere=True)))
        try:
            data = path.read_bytes()
        except OSError as error:
            raise storage_error(error, "read", path) from error
        reference, data = passwords.recorded_in(data)
        if data.startswith(encrypted.MAGIC):
            plain = io.BytesIO()
            encrypted.decrypt(io.BytesIO(data), plain, passwords.found(reference, f"{path}"))
            data = plain.getvalue()
        try:
            master = bytes.fromhex(data.decode().strip())
        except ValueError as error:
            raise LedgerCorrupt(f"{path} does not hold a master key") from error
        if len(master) != 32:
            raise LedgerCorrupt(f"{path} does not hold a master key")
        return cls(path.parent, master)

    def protect(self, protection: keys.Protection) -> None:
        """Keep the master key under another password, or plain."""
        write_atomic(self.folder / MASTER, _wrapped(self._master, protection), mode=0o600)

    def key(self, subject: str, *, create: bool = False) -> SubjectKey:
        """The key of a subject.

        Raises:
            ConfigurationError: an empty name; or there is no such key and none is to be made.
            LedgerCorrupt: the stored key is damaged.
            StorageError: the folder cannot be read or written.
        """
        path = self._path(subject)
        if create and not path.exists():
            _write_new(path, self._seal(os.urandom(32), path.stem))
        elif create:
            sync_folder(self.folder)  # who made it, or the master key, may have been killed before the name was durable
        if not path.exists():
            raise ConfigurationError(
                "no key of that subject", hint="names are compared exactly; see: qimg keys subjects"
            )
        return self._load(path)

    def every(self) -> tuple[SubjectKey, ...]:
        """The keys of all subjects; one that was being destroyed when its process was killed is none any more."""
        found = []
        for path in sorted(self.folder.glob("*.key")):
            try:
                found += [self._load(path)] if path.name != MASTER else []
            except LedgerCorrupt:
                if not path.with_suffix(".gone").exists():
                    raise
        return tuple(found)

    def find(self, tag: bytes) -> SubjectKey | None:
        """The key whose tag this is."""
        return next((key for key in self.every() if key.tag == tag), None)

    def destroy(self, subject: str) -> bytes:
        """Destroy a subject's key; gives its tag. Done again before `destroyed`, it gives the tag again.

        The file is overwritten, then removed. What a disk, a file system or a backup keeps is out of reach.

        Raises:
            ConfigurationError: no such subject.
            StorageError: the folder cannot be read or written.
        """
        path = self._path(subject)
        gone = path.with_suffix(".gone")
        if not gone.exists():
            write_atomic(gone, self.key(subject).tag.hex().encode())
        try:
            tag = bytes.fromhex(gone.read_text())
            if path.exists() and self._is(path, tag):
                with path.open("r+b") as file:
                    file.write(bytes(path.stat().st_size))
                    file.flush()
                    os.fsync(file.fileno())
                path.unlink()
        except OSError as error:
            raise storage_error(error, "destroy", path) from error
        sync_folder(self.folder)
        return tag

    def destroyed(self, subject: str) -> None:
        """The ledger has it: forget that a key was destroyed."""
        self._path(subject).with_suffix(".gone").unlink(missing_ok=True)
        sync_folder(self.folder)

    def _is(self, path: Path, tag: bytes) -> bool:
        """Is it that key, or what is left of one that was overwritten? A newer key of the same subject is not."""
        try:
            return self._load(path).tag == tag
        except LedgerCorrupt:
            return True

    def _path(self, subject: str) -> Path:
        name = unicodedata.normalize("NFC", subject)
        if not name.strip():
            raise ConfigurationError("a data subject has a name")
        return self.folder / f"{hmac.new(self._derived(b'names'), name.encode(), hashlib.sha256).hexdigest()}.key"

    def _derived(self, purpose: bytes) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), 32, salt=None, info=b"qimg.subjects/1 " + purpose).derive(self._master)

    def _seal(self, secret: bytes, name: str) -> bytes:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        nonce = os.urandom(12)
        return nonce + AESGCM(self._derived(b"wrapping")).encrypt(nonce, secret, name.encode())

    def _load(self, path: Path) -> SubjectKey:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        try:
            data = path.read_bytes()
            return SubjectKey(AESGCM(self._derived(b"wrapping")).decrypt(data[:12], data[12:], path.stem.encode()))
        except (InvalidTag, ValueError) as error:
            raise LedgerCorrupt(f"{path} does not open under this master key") from error
        except OSError as error:
            raise storage_error(error, "read", path) from error


def _write_new(path: Path, data: bytes) -> None:
    """Write a file that is not there; where another thread or process was first, its file stays."""
    work = path.with_name(f".{path.name}.{os.urandom(4).hex()}.tmp")
    try:
        write_atomic(work, data, mode=0o600)
        with contextlib.suppress(FileExistsError):
            os.link(work, path)
    except OSError as error:
        raise storage_error(error, "write", path) from error
    finally:
        work.unlink(missing_ok=True)
    sync_folder(path.parent)


def _wrapped(master: bytes, protection: keys.Protection) -> bytes:
    plain = f"{master.hex()}\n".encode()
    if protection.password is None:
        return plain
    sealed = io.BytesIO()
    encrypted.encrypt(io.BytesIO(plain), sealed, protection.password)
    return passwords.recordable(protection.reference).encode() + sealed.getvalue()
