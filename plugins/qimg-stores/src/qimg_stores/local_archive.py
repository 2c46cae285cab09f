"""`FolderShelf`: a folder whose files are not meant to change (imports shelf, storage).

Files are written once, with mode 0444 and, where file system and rights allow, the immutable flag (``chattr +i``);
their folders are append-only (``+a``). Whoever administers the machine can lift both: *tamper-resistant*, never WORM.
A version's file is ``NAME@<first 16 hex digits of its SHA-256>``.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import struct
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qimg_core.errors import ConfigurationError, OutsideMemoryError, StorageError
from qimg_core.ledger.base import Problem
from qimg_core.storage import ensure_folder, storage_error, sync_folder, write_atomic
from qimg_stores.shelf import Attempt, Lock, Shelf, Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from qimg_stores.shelf import Capability

IMMUTABLE, APPEND_ONLY = 0x10, 0x20  # FS_IMMUTABLE_FL, FS_APPEND_FL of linux/fs.h
_GET, _SET = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_STAGING = ".staging"
_NEVER = datetime.max.replace(tzinfo=UTC)


class FolderShelf(Shelf):
    """Files under a folder.

    Args:
        folder: made where it is missing, when something is first put.
        flags: use the file system's flags where they work; False: mode 0444 only.
    """

    modes = ("immutable-flag", "mode-0444")
    dated = False

    def __init__(self, folder: Path, *, flags: bool = True) -> None:
        self.folder = folder
        self.where = str(folder)
        self.place = f"the folder {folder.absolute().name}"
        self._flags: bool | None = None if flags else False

    def put(self, name: str, data: bytes, until: datetime) -> str:
        """Write a file that was not there; ``until`` means nothing here."""
        version = hashlib.sha256(data).hexdigest()[:16]
        path = self._path(name, version)
        with _translated("write", path):
            staging = self.folder / _STAGING
            self._ensure(path.parent)
            ensure_folder(staging)
            temporary = staging / secrets.token_hex(8)
            write_atomic(temporary, data, mode=0o444)
            try:
                os.link(temporary, path)  # refuses where the name is taken
            except FileExistsError:
                if path.read_bytes() != data:
                    raise OutsideMemoryError(f"{path} holds something else", hint="see: qimg archive audit") from None
            finally:
                temporary.unlink()
            sync_folder(path.parent)
            if self._use_flags():
                change_flags(path, add=IMMUTABLE)
        return version

    def get(self, name: str, version: str) -> bytes | None:
        """The bytes of a version."""
        path = self._path(name, version)
        with _translated("read", path):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                return None

    def lock(self, name: str, version: str) -> Lock:
        """Flag or mode of the file."""
        path = self._path(name, version)
        with _translated("look at", path):
            if read_flags(path) & IMMUTABLE:
                return Lock(mode="immutable-flag", until=None)
            return Lock(mode="none" if path.stat().st_mode & 0o222 else "mode-0444", until=None)

    def extend(self, name: str, version: str, until: datetime) -> None:
        """Protect a file that is there, as well as can be; there is no date."""
        path = self._path(name, version)
        with _translated("protect", path):
            if self._use_flags():
                change_flags(path, add=IMMUTABLE)
            elif path.stat().st_mode & 0o222:
                path.chmod(0o444)

    def versions(self, prefix: str) -> Iterator[Version]:
        """Every file, by name and then by age."""
        with _translated("list", self.folder):
            if not self.folder.is_dir():
                return
            start = self.folder / prefix.rpartition("/")[0]
            found = []
            for path in start.rglob("*@*") if start.is_dir() else ():
                name, _, version = path.relative_to(self.folder).as_posix().rpartition("@")
                if name.startswith(prefix) and path.is_file() and not name.startswith(_STAGING):
                    about = path.stat()
                    found.append((name, about.st_mtime_ns, version, about.st_size))
        found.sort()
        for at, here in enumerate(found):
            newest = at + 1 == len(found) or found[at + 1][0] != here[0]
            yield Version(name=here[0], version=here[2], bytes=here[3], newest=newest)

    def troubles(self) -> tuple[Problem, ...]:
        """A folder that is not there."""
        return () if self.folder.is_dir() else (Problem(self.where, "there is no such folder"),)

    def attempts(self) -> tuple[Attempt, ...]:
        """Change, delete and replace a scratch file as whoever runs this, then lift its protection."""
        name = f"self-test/{secrets.token_hex(8)}"
        path = self._path(name, self.put(name, b"qimg archive: a scratch file\n", _NEVER))
        other = self.folder / _STAGING / secrets.token_hex(8)
        other.write_bytes(b"another\n")
        tried = [
            _attempt("change a kept file", lambda: path.write_bytes(b"changed\n")),
            _attempt("replace it", lambda: os.replace(other, path)),
            _attempt("delete it", path.unlink),
        ]
        tried.append(_attempt("lift its protection and delete it", lambda: _destroy(path)))
        other.unlink(missing_ok=True)
        return tuple(tried)

    def capability(self, attempts: tuple[Attempt, ...]) -> Capability:
        """Never more than tamper-resistant."""
        return "tamper-resistant"

    def _path(self, name: str, version: str) -> Path:
        parts = name.split("/")
        if not version.isalnum() or any(part in ("", ".", "..", _STAGING) or "\0" in part for part in parts):
            raise ConfigurationError(f"{name!r} is no name in an archive")
        return self.folder.joinpath(*parts[:-1], f"{parts[-1]}@{version}")

    def _ensure(self, folder: Path) -> None:
        if folder.is_dir():
            return
        ensure_folder(folder)
        if self._use_flags():
            for part in (folder, *folder.parents):
                change_flags(part, add=APPEND_ONLY)
                if part == self.folder:
                    return

    def _use_flags(self) -> bool:
        """Do the flags work here? Tried once."""
        if self._flags is None:
            probe = ensure_folder(self.folder / _STAGING) / secrets.token_hex(8)
            probe.touch()
            try:
                change_flags(probe, add=IMMUTABLE)
                change_flags(probe, remove=IMMUTABLE)
                self._flags = True
            except OSError:
                self._flags = False
            finally:
                probe.unlink()
        return self._flags


def read_flags(path: Path) -> int:
    """The file's flags (``lsattr``); 0 where the system has none."""
    if sys.platform != "linux":
        return 0
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        return int(struct.unpack("l", fcntl.ioctl(handle, _GET, struct.pack("l", 0)))[0])
    except OSError:
        return 0
    finally:
        os.close(handle)


def change_flags(path: Path, *, add: int = 0, remove: int = 0) -> None:
    """Set or clear flags (``chattr``).

    Raises:
        OSError: the file system has none, or the rights are missing.
    """
    if sys.platform != "linux":
        raise OSError("no such flags on this system")
    import fcntl

    handle = os.open(path, os.O_RDONLY)
    try:
        (flags,) = struct.unpack("l", fcntl.ioctl(handle, _GET, struct.pack("l", 0)))
        fcntl.ioctl(handle, _SET, struct.pack("l", flags & ~remove | add))
    finally:
        os.close(handle)


def _destroy(path: Path) -> None:
    for part in (path, path.parent):
        with contextlib.suppress(OSError):
            change_flags(part, remove=IMMUTABLE | APPEND_ONLY)
    path.unlink()
    with contextlib.suppress(OSError):
        change_flags(path.parent, add=APPEND_ONLY)


def _attempt(name: str, action: Callable[[], object]) -> Attempt:
    try:
        action()
    except OSError as error:
        return Attempt(name=name, outcome="refused", detail=error.strerror or str(error))
    return Attempt(name=name, outcome="allowed")


@contextlib.contextmanager
def _translated(what: str, path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        said = storage_error(error, what, path)
        raise OutsideMemoryError(said.message, hint=said.hint) from error
    except StorageError as error:
        raise OutsideMemoryError(error.message, hint=error.hint) from error
