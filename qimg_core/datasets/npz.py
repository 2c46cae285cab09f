"""NPZ files: numpy arrays under the usual names (floor 4; imports numpy, errors, source)."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.datasets.source import ArraySource
from qimg_core.errors import DataError

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

_IMAGES = ("x", "images")
_LABELS = ("y", "labels")


def open_file(path: Path, *, split: str = "train") -> ArraySource:
    """Images ``x`` or ``images`` (n, h, w[, c]), labels ``y`` or ``labels`` (n,), by split where there are splits.

    Looked for in this order: ``x_train``, ``train_x``, for split ``train`` also ``x``; then the same with
    ``images``. Labels follow the name of the images and may be missing only if no array has a
    label's name. Pickled objects are never loaded.

    Raises:
        DataError: not an NPZ, truncated, none of the names, or arrays that are no images or labels.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise DataError(
                    f"{path.name}: a single array, not an NPZ", hint="save it with numpy.savez(path, x=array)"
                )
            arrays = _chosen(path, archive, split)
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        raise DataError(f"{path.name}: not an NPZ that can be read, or truncated: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return ArraySource(
        name=f"{path.name}/{split}",
        pixels=arrays[0],
        labels=arrays[1],
        provenance={"format": "npz", "split": split, "files": {path.name: f"sha256:{digest}"}},
    )


def _chosen(path: Path, archive: Any, split: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any] | None]:
    names = list(archive.files)
    for x, y in zip(_IMAGES, _LABELS, strict=True):
        pairs = [(f"{x}_{split}", f"{y}_{split}"), (f"{split}_{x}", f"{split}_{y}")]
        if split == "train":
            pairs.append((x, y))
        for image_name, label_name in pairs:
            if image_name not in names:
                continue
            if label_name in names:
                return archive[image_name], archive[label_name]
            labels = [name for name in names if any(part in _LABELS for part in name.split("_"))]
            if labels:
                raise DataError(f"{path.name}: has {image_name!r} and {labels[0]!r} but not its labels {label_name!r}")
            return archive[image_name], None
    raise DataError(
        f"{path.name}: no images for split {split!r} among its arrays: {', '.join(names) or 'none'}",
        hint="name them x and y, or x_train, y_train, x_test, y_test",
    )
