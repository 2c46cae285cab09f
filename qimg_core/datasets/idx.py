"""IDX, the format of MNIST (floor 4; imports numpy, errors, source).

A file is: two zero bytes, a type code, the number of axes, each axis as a big-endian uint32, then
the values in C order, big-endian. Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database",
section "The IDX file format". Files may be gzipped; that is seen from their content.
"""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    Stream = BinaryIO | gzip.GzipFile

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_PREFIXES = {"train": ("train",), "test": ("t10k", "test")}
_PIECE = 1 << 24


def read(path: Path) -> tuple[npt.NDArray[Any], str]:
    """One IDX file, raw or gzipped.

    Returns:
        The array, read-only, in native byte order; and the SHA-256 (hex) of the unpacked bytes, which does
        not depend on how the file was compressed.

    Raises:
        DataError: not IDX, truncated, too long, or not readable.
    """
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                return _parse(file, path)
            with gzip.GzipFile(fileobj=file) as unpacked:
                return _parse(unpacked, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        text = f"{path.name}: truncated or damaged gzip file: {error}"
        raise DataError(text, hint="copy or download it again") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def _parse(file: Stream, path: Path) -> tuple[npt.NDArray[Any], str]:
    head = _take(file, 4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES or head[3] == 0:
        raise DataError(f"{path.name}: not an IDX file (it starts with {head.hex() or 'nothing'})")
    sizes = _take(file, 4 * head[3])
    if len(sizes) < 4 * head[3]:
        raise DataError(f"{path.name}: truncated IDX file, its header is cut off")
    shape = struct.unpack(f">{head[3]}I", sizes)
    dtype = np.dtype(_TYPES[head[2]])
    wanted = math.prod(shape) * dtype.itemsize
    body = _take(file, wanted + 1)
    if len(body) < wanted:
        raise DataError(
            f"{path.name}: truncated IDX file, {len(body)} of {wanted} bytes for {shape}",
            hint="copy or download it again",
        )
    if len(body) > wanted:
        raise DataError(f"{path.name}: damaged IDX file, more than the {wanted} bytes for {shape}")
    array = np.frombuffer(body, dtype).reshape(shape)
    digest = hashlib.sha256(head + sizes)
    digest.update(body)
    return array.astype(dtype.newbyteorder("="), copy=False), digest.hexdigest()


def _take(file: Stream, size: int) -> bytes:
    """Up to ``size`` bytes, piece by piece: a header that lies about the size reserves no memory."""
    pieces = []
    while size > 0 and (piece := file.read(min(size, _PIECE))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def find(folder: Path, split: str, part: str) -> Path | None:
    """The usual file of a split: ``train-images-idx3-ubyte``, ``t10k-labels-idx1-ubyte.gz``, ...

    Args:
        folder: where to look.
        split: ``train`` or ``test``.
        part: ``images`` or ``labels``.
    """
    axes = ("3", "4") if part == "images" else ("1",)
    for prefix in _PREFIXES[split]:
        for axis in axes:
            for dash in "-.":
                for end in ("", ".gz"):
                    path = folder / f"{prefix}-{part}{dash}idx{axis}-ubyte{end}"
                    if path.is_file():
                        return path
    return None


def holds(folder: Path) -> bool:
    """Whether a folder has IDX files under the usual names, of either split."""
    return any(find(folder, split, part) for split in _PREFIXES for part in ("images", "labels"))


def open_folder(folder: Path, *, split: str = "train") -> ArraySource:
    """The images and labels of one split, under their usual names.

    Raises:
        DataError: images or labels missing, truncated, or not as many of the one as of the other.
    """
    images = find(folder, split, "images")
    if images is None:
        raise DataError(
            f"{folder}: no {_PREFIXES[split][0]}-images-idx3-ubyte[.gz] for split {split!r}",
            hint=f"the folder holds: {', '.join(sorted(p.name for p in folder.iterdir())[:8])}",
        )
    labels = find(folder, split, "labels")
    if labels is None:
        raise DataError(
            f"{folder}: missing labels file {_PREFIXES[split][0]}-labels-idx1-ubyte[.gz] beside {images.name}",
            hint="to train without labels, name the images file itself, renamed so that it has no 'images' in it",
        )
    return _source(f"{folder.resolve().name}/{split}", images, labels)


def open_file(path: Path) -> ArraySource:
    """One file of images. Where its name says ``images``, the file of the same name with ``labels`` is needed too.

    Raises:
        DataError: as `open_folder`.
    """
    if "images" not in path.name:
        return _source(path.name, path, None)
    stem = path.name.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    bare = stem.removesuffix(".gz")
    for labels in (path.with_name(stem), path.with_name(bare), path.with_name(bare + ".gz")):
        if labels.is_file():
            return _source(path.name, path, labels)
    raise DataError(
        f"missing labels file {path.with_name(stem)} beside {path.name}",
        hint="to train without labels, rename the images file so that it has no 'images' in it",
    )


def _source(name: str, images: Path, labels: Path | None) -> ArraySource:
    pixels, digest = read(images)
    if pixels.ndim not in (3, 4):
        raise DataError(f"{images.name}: images have 3 or 4 axes, this file has shape {pixels.shape}")
    files = {images.name: f"sha256:{digest}"}
    classes = None
    if labels is not None:
        classes, digest = read(labels)
        if classes.ndim != 1:
            raise DataError(f"{labels.name}: labels have 1 axis, this file has shape {classes.shape}")
        files[labels.name] = f"sha256:{digest}"
    return ArraySource(
        name=name,
        pixels=pixels,
        labels=classes,
        provenance={"format": "idx", "unpacked_files": files},
    )
