"""`WatermarkKey`: 32 secret bytes in a file, and what is derived from them (imports errors, storage).

A record names a key by its id, a hash; the bytes stay in the file. Each use has a key of its own, derived by
HMAC-SHA-256 (RFC 2104) over a label, so that what one use shows helps nobody against another.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import NoReturn

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.storage import storage_error, sync_folder

LENGTH = 32
VARIABLE = "QIMG_WATERMARK_KEY"
"""Environment variable: the key's file. Without it, ``watermark.key`` in the folder of the marks."""
NAME = "watermark.key"


class WatermarkKey:
    """Nothing shows its bytes.

    Args:
        secret: 32 bytes.

    Raises:
        DataError: another length.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != LENGTH:
            raise DataError(f"a watermark key is {LENGTH} bytes, got {len(secret)}", hint="qimg watermark key new FILE")
        self._secret = bytes(secret)

    @classmethod
    def new(cls, path: str | os.PathLike[str]) -> WatermarkKey:
        """A random key in a new file of mode 0600.

        Raises:
            ConfigurationError: there is a file already; it is left as it is.
            StorageError: it cannot be written.
        """
        target, key = Path(path), cls(secrets.token_bytes(LENGTH))
        try:
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        except FileExistsError as error:
            raise ConfigurationError(
                f"{target} exists already", hint="name another file; images marked with a lost key are not found again"
            ) from error
        except OSError as error:
            raise storage_error(error, "write", target) from error
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(key._secret)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            target.unlink(missing_ok=True)
            raise storage_error(error, "write", target) from error
        sync_folder(target.parent)
        return key

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> WatermarkKey:
        """The key of a file.

        Raises:
            ConfigurationError: no such file, or others may read it.
            DataError: it does not hold 32 bytes.
            StorageError: it cannot be read.
        """
        try:
            with Path(path).open("rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                data = file.read(LENGTH + 1)
        except FileNotFoundError as error:
            raise ConfigurationError(
                f"there is no watermark key {path}", hint=f"qimg watermark key new {path}"
            ) from error
        except OSError as error:
            raise storage_error(error, "read", path) from error
        if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(f"others may read the watermark key {path}", hint=f"chmod 600 {path}")
        if len(data) != LENGTH:
            size = f"{len(data)} bytes" if len(data) < LENGTH else "more"
            raise DataError(f"{path} is no watermark key: wanted {LENGTH} bytes, got {size}")
        return cls(data)

    @property
    def id(self) -> str:
        """Its name for records: ``wm-`` and 16 hexadecimal digits of a SHA-256."""
        return "wm-" + hashlib.sha256(b"qimg.watermark.key/1\n" + self._secret).hexdigest()[:16]

    def derive(self, use: str) -> bytes:
        """The 32 bytes of one use."""
        return hmac.digest(self._secret, b"qimg.watermark/1\n" + use.encode(), "sha256")

    def __repr__(self) -> str:
        return f"WatermarkKey({self.id})"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a watermark key is not pickled")


def find_key(given: str | os.PathLike[str] | None = None) -> WatermarkKey:
    """The key of a file, else of ``QIMG_WATERMARK_KEY``, else of the marks' folder.

    Raises:
        ConfigurationError, DataError, StorageError: as `WatermarkKey.load`.
    """
    from qimg_marks.folder import marks_folder

    return WatermarkKey.load(given or os.environ.get(VARIABLE) or marks_folder() / NAME)


__all__ = ["LENGTH", "NAME", "VARIABLE", "WatermarkKey", "find_key"]
