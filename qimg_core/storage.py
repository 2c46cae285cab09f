"""Files that are there whole or not at all (floor 1; imports errors).

Whatever the disk does (full, read-only, no permission), the caller gets a `StorageError` that says
what was being written, where, and what helps; no half-written file is left behind.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
from pathlib import Path

from qimg_core.errors import StorageError

_HINTS = {
    errno.ENOSPC: "the disk is full: free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up: free some space or choose another folder",
    errno.EROFS: "the file system is read-only: choose another folder or remount it for writing",
    errno.EACCES: "no permission to write there: choose another folder or change its permissions (chmod u+w)",
    errno.EPERM: "the file or folder is protected: choose another folder or lift the protection (lsattr)",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another path",
    errno.EEXIST: "a file of that name is in the way: choose another path",
    errno.EISDIR: "there is a folder of that name: choose another file name",
    errno.ENOENT: "the folder does not exist: create it first",
}


def sha256_digest(data: bytes) -> str:
    """``sha256:`` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def storage_error(error: OSError, what: str, path: str | os.PathLike[str]) -> StorageError:
    """An `OSError` in the words of this SDK.

    Args:
        error: what the operating system said.
        what: what was being done, e.g. ``"write"``.
        path: the file or folder concerned.
    """
    reason = error.strerror or str(error)
    hint = _HINTS.get(error.errno or 0, "check the disk and the path")
    if error.errno == errno.ENOENT and what == "read":
        hint = "name a file that is there"
    return StorageError(f"cannot {what} {os.fspath(path)}: {reason}", hint=hint, path=os.fspath(path), reason=reason)


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make the names in a folder durable: a new file survives power loss only after this.

    Raises:
        StorageError: the folder cannot be opened or synced.
    """
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    except OSError as error:
        raise storage_error(error, "open the folder", path) from error
    try:
        os.fsync(handle)
    except OSError as error:
        raise storage_error(error, "sync the folder", path) from error
    finally:
        os.close(handle)


def ensure_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, created with its parents where missing, durably.

    Raises:
        StorageError: it cannot be created, or a file is in the way.
    """
    folder = Path(path)
    missing: list[Path] = []
    there = folder
    while not there.is_dir() and there.parent != there:
        missing.append(there)
        there = there.parent
    if os.access(there.parent, os.R_OK):  # who made it may have been killed before its name was durable
        sync_folder(there.parent)
    for part in reversed(missing):
        try:
            part.mkdir(exist_ok=True)
        except OSError as error:
            raise storage_error(error, "create the folder", part) from error
        sync_folder(part.parent)
    return folder


def write_atomic(path: str | os.PathLike[str], data: bytes, *, mode: int = 0o644) -> None:
    """Write a file so that a reader, or a crash, sees the old content or the new, never a part.

    A temporary file beside the target is written and synced, renamed over the target, and the
    folder is synced.

    Args:
        path: the file; its folder must exist.
        data: the whole content.
        mode: permission bits, before the umask.

    Raises:
        StorageError: disk full, read-only, no permission, no such folder. The target is as it was.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name[:100]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), mode)
    except OSError as error:
        raise storage_error(error, "write", target) from error
    done = False
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        os.replace(temporary, target)
        done = True
    except OSError as error:
        raise storage_error(error, "write", target) from error
    finally:
        if not done:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
    sync_folder(target.parent)
