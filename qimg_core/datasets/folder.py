"""Folders of PNG files, a class in each subfolder or none at all (floor 4; imports numpy, errors, png, source)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

from qimg_core import png
from qimg_core.datasets.source import ArraySource
from qimg_core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_OTHER = (".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff")


def open_folder(folder: Path, *, split: str = "train") -> ArraySource:
    """All PNG files of a folder, in the order of their file names whatever their class.

    ``folder/*.png`` has no labels; in ``folder/CLASS/*.png`` the subfolder is the class. Subfolders whose
    names are all numbers below 1000 are those class numbers; other names are numbered in sorted
    order, and the provenance holds the names. Where the folder has ``train/`` and ``test/``,
    ``split`` picks one; otherwise all is ``train``. An alpha channel that is opaque everywhere is dropped.

    Raises:
        DataError: no images, images of more than one shape, transparency, other image formats among
            them, or files both beside and in class folders.
    """
    name = folder.resolve().name
    if any((folder / part).is_dir() for part in ("train", "test")):
        root = folder / split
        if not root.is_dir():
            raise DataError(f"{folder}: has no {split}/ folder")
    elif split != "train":
        raise DataError(f"{folder}: has no split {split!r}", hint="make the subfolders train/ and test/")
    else:
        root = folder
    files, classes = _listed(root)
    first: tuple[int, ...] = ()
    pixels: list[npt.NDArray[np.uint8]] = []
    hasher = hashlib.sha256()
    for path in files:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error
        image = _opaque(png.decode(data, name=str(path))[0], path)
        first = first or image.shape
        if image.shape != first:
            raise DataError(
                f"images of more than one shape: {files[0].name} is {first}, {path.relative_to(root)} is {image.shape}",
                hint="(height, width, channels); bring them all to one size and to grey or RGB",
            )
        pixels.append(image)
        hasher.update(f"{path.relative_to(root).as_posix()} {hashlib.sha256(data).hexdigest()}\n".encode())
    return ArraySource(
        name=f"{name}/{split}",
        pixels=np.stack(pixels),
        labels=None if classes is None else _numbers(files, classes),
        provenance={
            "format": "png-folder",
            "split": split,
            "n_files": len(files),
            "files_sha256": f"sha256:{hasher.hexdigest()}",
            **({} if classes is None else {"classes": classes}),
        },
    )


def _listed(root: Path) -> tuple[list[Path], list[str] | None]:
    """The PNG files in order, and the names of their classes in order."""
    try:
        entries = sorted(p for p in root.iterdir() if not p.name.startswith("."))
        flat = [p for p in entries if p.is_file()]
        deep = [p for d in entries if d.is_dir() for p in d.iterdir() if p.is_file() and not p.name.startswith(".")]
    except OSError as error:
        raise DataError(f"cannot read {root}: {error.strerror or error}") from error
    for path in [*flat, *deep]:
        if path.suffix.lower() in _OTHER:
            raise DataError(f"{path}: only PNG is read", hint="convert the images to PNG first")
    flat, deep = ([p for p in part if p.suffix.lower() == ".png"] for part in (flat, deep))
    if flat and deep:
        raise DataError(f"{root}: PNG files both beside and in its subfolders", hint="use one or the other")
    if not flat and not deep:
        raise DataError(f"{root}: no PNG files in it or in its subfolders", hint="IDX, NPZ and PNG folders are read")
    files = sorted(flat or deep, key=lambda p: (p.name, p.parent.name))
    return files, _in_order({p.parent.name for p in deep}) if deep else None


def _in_order(names: set[str]) -> list[str]:
    return sorted(names, key=int) if _numeric(names) else sorted(names)


def _numeric(names: set[str] | list[str]) -> bool:
    plain = all(name.isascii() and name.isdecimal() and int(name) < 1000 for name in names)
    return plain and len({int(name) for name in names}) == len(names)


def _numbers(files: list[Path], classes: list[str]) -> npt.NDArray[np.int64]:
    number = {name: int(name) if _numeric(classes) else i for i, name in enumerate(classes)}
    return np.array([number[path.parent.name] for path in files], dtype=np.int64)


def _opaque(image: npt.NDArray[np.uint8], path: Path) -> npt.NDArray[np.uint8]:
    if image.shape[2] in (1, 3):
        return image
    if image[..., -1].min() < 255:
        raise DataError(f"{path}: has transparent pixels", hint="put it on a background and save it without alpha")
    return image[..., :-1]
