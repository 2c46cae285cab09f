"""What is watched, as one artefact: images with classes, bit strings, latent vectors (imports numpy, qimg_core)."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from attrs import frozen

from qimg_core.errors import ConfigurationError, DataError
from qimg_core.images import pixels_from_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from qimg_core.ledger.base import Ledger

_TYPES = {"images": np.uint8, "classes": np.int64, "found": np.int64, "bits": np.uint8, "latents": np.float64}
_DIMENSIONS = {"images": 4, "classes": 1, "found": 1, "bits": 2, "latents": 2}


@frozen(kw_only=True, eq=False)
class Sets:
    """Samples of the same source; what was not sampled is None.

    Args:
        images: 8 bits, (n, h, w, c).
        classes: which class each image was asked for, (n,).
        found: which class a classifier finds in each, (n,).
        bits: outcomes 0 or 1 of one circuit, (shots, wires).
        latents: (n, d).
    """

    images: NDArray[np.uint8] | None = None
    classes: NDArray[np.int64] | None = None
    found: NDArray[np.int64] | None = None
    bits: NDArray[np.uint8] | None = None
    latents: NDArray[np.float64] | None = None

    def __attrs_post_init__(self) -> None:
        for name, dimensions in _DIMENSIONS.items():
            value = getattr(self, name)
            if value is not None and (value.ndim != dimensions or len(value) < 1):
                raise DataError(f"{name}: wanted {dimensions} axes and one row or more, got the shape {value.shape}")
        for name in ("classes", "found"):
            value = getattr(self, name)
            if value is not None and (self.images is None or len(value) != len(self.images)):
                raise DataError(f"{name}: wanted one number for each image")
        if self.bits is not None and not np.isin(self.bits, (0, 1)).all():
            raise DataError("bits: wanted 0 and 1")
        if self.latents is not None and not np.isfinite(self.latents).all():
            raise DataError("latents: wanted finite numbers")

    @property
    def sizes(self) -> dict[str, int]:
        """How many of each there are."""
        return {name: len(value) for name in _TYPES if (value := getattr(self, name)) is not None}

    def first(self, n: int) -> Sets:
        """The first n images with their classes, and nothing else."""

        def cut(value: Any) -> Any:
            return None if value is None else value[:n]

        return Sets(images=cut(self.images), classes=cut(self.classes), found=cut(self.found))

    def to_bytes(self) -> bytes:
        """As an uncompressed ``.npz``; the same sets give the same bytes."""
        out = io.BytesIO()
        np.savez(out, **{name: getattr(self, name) for name in self.sizes})
        return out.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Sets:
        """What `to_bytes` gave.

        Raises:
            DataError: anything else.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return cls(**{name: _typed(name, file[name], "the baseline") for name in file.files if name in _TYPES})
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise DataError("not the sets of a baseline, or damaged") from error


def _typed(name: str, value: Any, where: str) -> Any:
    if value.dtype == object or value.dtype.kind not in "biuf":
        raise DataError(f"{where}: {name} are no numbers")
    kind = _TYPES[name]
    if np.issubdtype(kind, np.integer) and not np.array_equal(value, np.asarray(value).astype(kind)):
        raise DataError(f"{where}: {name} do not fit {np.dtype(kind).name}")
    return np.asarray(value).astype(kind)


def read_array(path: Path, name: str) -> Any:
    """``bits`` or ``latents`` of a ``.npy`` file.

    Raises:
        DataError: not such a file, or of other numbers.
    """
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path}: no .npy file with an array of numbers") from error
    if not isinstance(value, np.ndarray):
        raise DataError(f"{path}: holds several arrays, wanted one (.npy)")
    return _typed(name, value, str(path))


def images_of(ledger: Ledger, entries: Iterable[int]) -> Sets:
    """The images of entries ``images.made``, in that order, with the classes they were asked for.

    Raises:
        ConfigurationError: another kind of entry, or none.
        DataError: images of different sizes.
        LedgerCorrupt, LedgerError: the pixels are damaged or not here.
    """
    pixels: list[NDArray[np.uint8]] = []
    classes: list[int] | None = []
    for index in entries:
        entry = ledger.entry(index)
        if entry.kind != "images.made":
            raise ConfigurationError(f"entry {index} is {entry.kind}, wanted images.made", hint="qimg ledger log")
        batch = pixels_from_bytes(ledger.get(entry.artefacts["pixels"]))
        if pixels and batch.shape[1:] != pixels[0].shape[1:]:
            raise DataError(f"entry {index} has images {batch.shape[1:]}, those before {pixels[0].shape[1:]}")
        pixels.append(batch)
        asked = entry.facts.get("condition")
        classes = None if classes is None or asked is None else [*classes, *asked]
    if not pixels:
        raise ConfigurationError("no images were named", hint="qimg ledger log --kind images.made")
    return Sets(images=np.concatenate(pixels), classes=None if classes is None else np.array(classes, np.int64))
