"""A manifest's files: where they lie, hashing them, comparing them (imports manifest, storage, datasets' names)."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.storage import storage_error, write_atomic
from qimg_data.manifest import FILE, SIGNATURE, Manifest, from_json

if TYPE_CHECKING:
    from qimg_core.datasets import ImageSource


def data_path(data: str | os.PathLike[str] | None) -> Path | None:
    """The folder or file of a dataset; None for one that is not made of files here."""
    from qimg_core.datasets.official import OFFICIAL

    if data is None:
        return None
    if str(data) in OFFICIAL:
        return OFFICIAL[str(data)].located()
    path = Path(data).expanduser()
    return path if path.exists() else None


def manifest_path(data: str | os.PathLike[str] | None) -> Path | None:
    """Where the manifest of this data would lie: in its folder, or beside its file."""
    path = data_path(data)
    if path is None:
        return None
    return path / FILE if path.is_dir() else path.with_name(path.name + ".manifest.json")


def described(manifest: Path) -> Path | None:
    """The folder or file that a manifest lies beside; None where it lies elsewhere."""
    if manifest.name == FILE:
        return manifest.parent
    file = manifest.with_name(manifest.name.removesuffix(".manifest.json"))
    return file if file != manifest and file.exists() else None


def signature_path(manifest: Path) -> Path:
    """The envelope of a manifest's signatures."""
    return manifest.with_name(manifest.name.removesuffix(".json") + SIGNATURE)


def read_manifest(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        ConfigurationError: none there, or malformed.
        StorageError: it cannot be read.
    """
    if not path.exists():
        raise ConfigurationError(f"there is no manifest {path}", hint="qimg manifest new DATA --about FILE.toml")
    try:
        return from_json(path.read_bytes())
    except OSError as error:
        raise storage_error(error, "read", path) from error


def write_manifest(path: Path, manifest: Manifest) -> None:
    """Write its canonical bytes and a newline.

    Raises:
        ConfigurationError: there is one already.
        StorageError.
    """
    if path.exists():
        raise ConfigurationError(f"{path} exists already", hint="remove it, and its signature, to make another")
    write_atomic(path, manifest.canonical + b"\n")


def hash_files(path: Path, *, leave_out: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Every file of a dataset: path relative to its folder -> ``{"bytes", "sha256"}``; hidden files too.

    Args:
        path: a folder, or one file.
        leave_out: the manifest and its signature.

    Raises:
        DataError: a symbolic link, or something that is neither file nor folder.
        StorageError: a file cannot be read.
    """
    if path.is_file():
        return {path.name: _hash(path)}
    out = {p.absolute() for p in leave_out}
    found: dict[str, Any] = {}
    for folder, folders, files in os.walk(path):
        for name in sorted(folders + files):
            item = Path(folder) / name
            if item.is_symlink():
                raise DataError(f"{item} is a symbolic link: what it leads to can change", hint="copy the file")
        for name in files:
            item = Path(folder) / name
            if not item.is_file():
                raise DataError(f"{item} is no ordinary file")
            if item.absolute() not in out:
                found[item.relative_to(path).as_posix()] = _hash(item)
    return found


def _hash(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return {"bytes": file.tell(), "sha256": digest}
    except OSError as error:
        raise storage_error(error, "read", path) from error


@frozen
class Differences:
    """How files differ from a manifest: paths in order."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    extra: tuple[str, ...]


def compare_files(manifest: Manifest, found: dict[str, Any]) -> Differences:
    """What `hash_files` found, against what the manifest lists."""
    listed = manifest.files
    return Differences(
        changed=tuple(sorted(p for p in found if p in listed and found[p] != listed[p])),
        missing=tuple(sorted(p for p in listed if p not in found)),
        extra=tuple(sorted(p for p in found if p not in listed)),
    )


def split_facts(source: ImageSource) -> dict[str, Any]:
    """What a manifest says of a split."""
    return {"digest": source.digest, "n": source.n, "shape": list(source.shape)}
