"""`open_images`: a dataset by name or path (floor 4; imports errors; each format when it is met)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from qimg_core.errors import ConfigurationError, DataError, UnknownName

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qimg_core.datasets.source import ImageSource

    Open = Callable[..., ImageSource]

NAMES = ("digits", "mnist", "fashion-mnist")
"""Datasets that the core knows by name."""

Split = Literal["train", "test"]


def open_images(
    what: str | os.PathLike[str],
    *,
    split: Split = "train",
    size: int | tuple[int, int] | None = None,
    digest: str | None = None,
    download: bool = False,
    registered: Mapping[str, Open] | None = None,
) -> ImageSource:
    """Open a dataset.

    Args:
        what: ``"mnist"``, ``"fashion-mnist"``, ``"digits"``, a registered name; or a path: a folder of IDX files,
            one IDX file, an NPZ, a folder of PNG files. A known name wins; write ``./mnist`` for a folder of that name.
        split: ``train`` or ``test``. Data that come without a split are all ``train``.
        size: bring the images to this (height, width), or this number for both.
        digest: what `ImageSource.digest` of the result must be.
        download: whether a dataset known by name may be downloaded. Nothing is downloaded otherwise.
        registered: more names, as plugins supply them: each a function that takes ``split`` and returns
            an `ImageSource`.

    Raises:
        UnknownName: neither a known name nor a path; the nearest name is offered.
        DataError: nothing there, not readable, images that do not fit together, or another digest.
        ConfigurationError: a split or size that does not exist, or a known data set is not on this machine.
        BackendUnavailable: a download failed.
    """
    if split not in ("train", "test"):
        raise ConfigurationError(f"a split is 'train' or 'test', got {split!r}")
    source = _opened(what, split, download, registered or {})
    if size is not None:
        from qimg_core.datasets.resize import resized

        source = resized(source, size)
    if digest is not None and source.digest != digest:
        raise DataError(
            f"{source.name} has digest {source.digest}, wanted {digest}",
            hint="these are other images, other labels, another order, or another size",
        )
    return source


def _opened(what: str | os.PathLike[str], split: str, download: bool, registered: Mapping[str, Open]) -> ImageSource:
    if what in ("mnist", "fashion-mnist"):
        from qimg_core.datasets.official import OFFICIAL

        return OFFICIAL[str(what)].open(split=split, download=download)
    if what == "digits":
        from qimg_core.datasets.digits import open_digits

        return open_digits(split=split)
    if isinstance(what, str) and what in registered:
        return registered[what](split=split)
    text = os.fspath(what)
    path = Path(text).expanduser() if text else None
    if path is not None and path.exists():
        return _at(path, split)
    if path is not None and (not isinstance(what, str) or any(mark in text for mark in ("/", os.sep, ".", "~"))):
        raise DataError(f"no file or folder {text}", hint=f"datasets known by name: {', '.join([*NAMES, *registered])}")
    raise UnknownName("dataset", text, [*NAMES, *registered], hint="or give the path of an IDX, NPZ or PNG dataset")


def _at(path: Path, split: str) -> ImageSource:
    from qimg_core.datasets import folder, idx, npz

    if path.is_dir():
        return idx.open_folder(path, split=split) if idx.holds(path) else folder.open_folder(path, split=split)
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    if start[:2] == b"PK":
        return npz.open_file(path, split=split)
    if start[:2] in (b"\x1f\x8b", b"\0\0") or "idx" in path.name:
        return idx.open_file(path)
    raise DataError(
        f"{path}: neither IDX, gzipped IDX nor NPZ", hint="single images are read from a folder of PNG files"
    )
