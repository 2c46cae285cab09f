"""`Images`: what a generator returns; `TrainStep`: what training yields (floor 3; imports errors, png, storage).

The digest is over the decoded 8-bit pixels, not over a file: so a PNG can name the run and the
entry that made it, and the entry can hold the digest of the pixels, and neither hashes the other.
"""

from __future__ import annotations

import hashlib
import math
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from qimg_core import png
from qimg_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.floating]
    Bytes = npt.NDArray[np.uint8]

_GRID = re.compile(r"n=(\d{1,9}) columns=(\d{1,9}) pad=(\d{1,9}) height=(\d{1,9}) width=(\d{1,9})")
_GROUND = 255  # white between the images of a grid


def _checked_pixels(value: Any) -> Any:
    """A read-only copy, float32 or float64, of an array or tensor; refuses what is no image."""
    import numpy as np

    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.ndim != 4 or 0 in array.shape:
        hint = "add the channel axis with pixels[..., None]" if array.ndim == 3 else ""
        raise DataError(f"images are a non-empty array (n, h, w, c), got shape {array.shape}", hint=hint)
    if array.shape[3] not in (1, 3):
        hint = "move the channels last: pixels.transpose(0, 2, 3, 1)" if array.shape[1] in (1, 3) else ""
        raise DataError(f"images have 1 or 3 channels, got shape {array.shape}", hint=hint)
    if not np.issubdtype(array.dtype, np.floating):
        hint = "divide 8-bit pixels by 255" if array.dtype == np.uint8 else ""
        raise DataError(f"pixels are floating-point numbers in [0, 1], got {array.dtype}", hint=hint)
    low, high = float(array.min()), float(array.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise DataError("images hold NaN or infinite values")
    if low < 0 or high > 1:
        raise DataError(f"pixels lie in [0, 1], got [{low:.6g}, {high:.6g}]", hint="clip or rescale them")
    array = array.astype(np.float64 if array.dtype == np.float64 else np.float32, copy=True, order="C")
    array.flags.writeable = False
    return array


def _labels(value: Any) -> tuple[int, ...] | None:
    return None if value is None else tuple(int(label) for label in value)


@frozen(kw_only=True, eq=False)
class Images:
    """Images and what is known of where they come from.

    Args:
        pixels: float32 or float64 (n, h, w, c), c = 1 or 3, values in [0, 1]; kept as a read-only copy.
        labels: the class asked of each image; None for a model without classes.
        quantum: whether a quantum circuit made them. False as soon as a surrogate took part.
        simulated: whether that circuit ran on a simulator and not on quantum hardware.
        run: id of the run that made them.
        entry: number of the ledger entry that describes them.
        record: JSON facts about them (no floats), as the ledger holds them; ``record["ledger"]``, where
            it is there, names the log.
        seeds: the seeds by purpose.

    Raises:
        DataError: another shape, NaN, values outside [0, 1], or labels that do not fit.
    """

    pixels: Pixels = field(converter=_checked_pixels, repr=False)
    labels: tuple[int, ...] | None = field(default=None, converter=_labels)
    quantum: bool
    simulated: bool
    run: str | None = None
    entry: int | None = None
    record: Mapping[str, Any] = field(factory=dict, repr=False)
    seeds: Mapping[str, int] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if self.labels is not None and len(self.labels) != len(self):
            raise DataError(f"{len(self)} images but {len(self.labels)} labels")
        if self.labels and min(self.labels) < 0:
            raise DataError(f"labels are class numbers from 0 up, got {min(self.labels)}")

    def __len__(self) -> int:
        return int(self.pixels.shape[0])

    def __getitem__(self, which: int | slice | Sequence[int]) -> Images:
        """Some of the images, in the order given; an int gives one image, still as `Images`.

        Raises:
            IndexError: no such image.
            DataError: an empty selection.
        """
        if isinstance(which, slice):
            chosen = list(range(len(self)))[which]
        else:
            asked = which if not hasattr(which, "__index__") else [which]
            chosen = [range(len(self))[i] for i in asked]
        labels = None if self.labels is None else tuple(self.labels[i] for i in chosen)
        return evolve(self, pixels=self.pixels[chosen], labels=labels)

    def __iter__(self) -> Iterator[Images]:
        return (self[i] for i in range(len(self)))

    @property
    def shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of one image."""
        height, width, channels = self.pixels.shape[1:]
        return height, width, channels

    def to_uint8(self) -> Bytes:
        """The 8-bit pixels (n, h, w, c): floor(255 x + 0.5) in double precision."""
        import numpy as np

        return np.floor(self.pixels.astype(np.float64) * 255 + 0.5).astype(np.uint8)

    @cached_property
    def digest(self) -> str:
        """``sha256:`` over ``qimg.pixels/1``, newline, ``n h w c``, newline, the 8-bit pixels in C order."""
        return _digest(self.to_uint8())

    def digests(self) -> tuple[str, ...]:
        """The `digest` of each image by itself, that is of ``self[i]``."""
        pixels = self.to_uint8()
        return tuple(_digest(pixels[i : i + 1]) for i in range(len(self)))

    def to_bytes(self) -> bytes:
        """What `digest` is over: the head and the 8-bit pixels. `pixels_from_bytes` reads it."""
        return _canonical(self.to_uint8())

    def grid(self, columns: int | None = None, pad: int = 2) -> Bytes:
        """All images in one, row by row on white, as uint8 (height, width, c).

        Args:
            columns: images in a row; None for a grid as square as it gets.
            pad: white pixels between two images.

        Raises:
            ConfigurationError: fewer than one column, or a negative pad.
        """
        import numpy as np

        columns = self._columns(columns, pad)
        rows = -(-len(self) // columns)
        height, width, channels = self.shape
        shape = (rows * (height + pad) - pad, columns * (width + pad) - pad, channels)
        out = np.full(shape, _GROUND, np.uint8)
        for i, image in enumerate(self.to_uint8()):
            top, left = (i // columns) * (height + pad), (i % columns) * (width + pad)
            out[top : top + height, left : left + width] = image
        return out

    def save(
        self,
        path: str | os.PathLike[str],
        *,
        columns: int | None = None,
        pad: int = 2,
        text: Mapping[str, str] | None = None,
    ) -> Path:
        """Write one PNG: the image, or the grid of them, that names its run and entry.

        Text written: ``qimg:run``, ``qimg:entry``, ``qimg:ledger`` (where known), ``qimg:pixels`` (the
        `digest`), ``qimg:quantum``, ``qimg:simulated``, ``Software``, and for a grid ``qimg:grid``, by
        which `read_images` cuts it into the same images again.

        Args:
            path: ends in ``.png``.
            columns: as in `grid`.
            pad: as in `grid`.
            text: more text for the file; it cannot replace what is listed above.

        Raises:
            ConfigurationError: another file type; nothing is written.
            StorageError: it cannot be written; no half-written file is left.
        """
        path = Path(path)
        if path.suffix.lower() != ".png":
            raise ConfigurationError(f"images are saved as PNG, got {path.name!r}", hint="end the name in .png")
        own = _own_text(self)
        if len(self) > 1:
            own["qimg:grid"] = (
                f"n={len(self)} columns={self._columns(columns, pad)} pad={pad} "
                f"height={self.shape[0]} width={self.shape[1]}"
            )
        png.write(path, self.grid(columns, pad), {**(text or {}), **own})
        return path

    def save_each(self, folder: str | os.PathLike[str], *, text: Mapping[str, str] | None = None) -> tuple[Path, ...]:
        """Write ``00000.png``, ``00001.png``, ... into a folder, made if it is not there.

        Each names run and entry as `save` does; ``qimg:pixels`` is its own digest, ``qimg:set`` the
        digest of all, ``qimg:index`` its place among them.

        Raises:
            StorageError: the folder or a file cannot be written.
        """
        from qimg_core.storage import ensure_folder

        folder = ensure_folder(folder)
        paths = []
        for i, image in enumerate(self):
            own = {**_own_text(image), "qimg:set": self.digest, "qimg:index": str(i)}
            paths.append(folder / f"{i:05d}.png")
            png.write(paths[-1], image.to_uint8()[0], {**(text or {}), **own})
        return tuple(paths)

    def _repr_png_(self) -> bytes:
        """For notebooks: the grid, small images enlarged by whole factors."""
        pixels = self.grid()
        factor = max(1, 320 // max(pixels.shape[:2]))
        return png.encode(pixels.repeat(factor, axis=0).repeat(factor, axis=1))

    def _columns(self, columns: int | None, pad: int) -> int:
        if columns is None:
            columns = math.isqrt(len(self) - 1) + 1
        if columns < 1 or pad < 0:
            raise ConfigurationError(f"a grid has 1 column or more and pad >= 0, got columns={columns}, pad={pad}")
        return min(columns, len(self))


def read_images(path: str | os.PathLike[str]) -> tuple[Images, dict[str, str]]:
    """The images in a PNG, a grid of `Images.save` cut into its images again, and the file's text.

    Whether they are the images that were saved is for the caller to see:
    ``images.digest == text["qimg:pixels"]``. Text is what the file says of itself; only the ledger
    entry that it names proves it.

    Raises:
        DataError: not a PNG, damaged, transparent, or a grid that does not fit its description.
    """
    import numpy as np

    pixels, text = png.read(path)
    if pixels.shape[2] in (2, 4):
        raise DataError(f"{path}: has an alpha channel", hint="save it without transparency")
    stack = pixels[None] if "qimg:grid" not in text else _cut(pixels, text["qimg:grid"], str(path))
    entry = text.get("qimg:entry", "")
    images = Images(
        pixels=stack.astype(np.float32) / np.float32(255),
        quantum=text.get("qimg:quantum") == "true",
        simulated=text.get("qimg:simulated") == "true",
        run=text.get("qimg:run"),
        entry=int(entry) if re.fullmatch(r"[0-9]{1,18}", entry) else None,
    )
    return images, text


def _cut(pixels: Bytes, layout: str, name: str) -> Bytes:
    import numpy as np

    match = _GRID.fullmatch(layout)
    n, columns, pad, height, width = (int(part) for part in match.groups()) if match else (0, 0, 0, 0, 0)
    if not (n and columns and height and width):
        raise DataError(f"{name}: its qimg:grid text cannot be read: {layout!r}")
    rows = -(-n // columns)
    if pixels.shape[:2] != (rows * (height + pad) - pad, columns * (width + pad) - pad):
        raise DataError(f"{name}: is {pixels.shape[1]}x{pixels.shape[0]} pixels, which is not the grid {layout!r}")
    corners = [((i // columns) * (height + pad), (i % columns) * (width + pad)) for i in range(n)]
    return np.stack([pixels[top : top + height, left : left + width] for top, left in corners])


def pixels_from_bytes(data: bytes) -> Bytes:
    """The 8-bit pixels (n, h, w, c) that `Images.to_bytes` gave, read-only.

    Raises:
        DataError: not of that form, or truncated.
    """
    import numpy as np

    match = re.match(rb"qimg\.pixels/1\n([1-9]\d{0,8}) ([1-9]\d{0,8}) ([1-9]\d{0,8}) ([13])\n", data)
    shape = tuple(int(part) for part in match.groups()) if match else (0,)
    if match is None or len(data) - match.end() != math.prod(shape):
        raise DataError("not the bytes of Images.to_bytes(), or truncated")
    return np.frombuffer(data, np.uint8, offset=match.end()).reshape(shape)


def _own_text(images: Images) -> dict[str, str]:
    text = {
        "Software": f"qimg {_version()}",
        "qimg:pixels": images.digest,
        "qimg:quantum": "true" if images.quantum else "false",
        "qimg:simulated": "true" if images.simulated else "false",
    }
    if images.run is not None:
        text["qimg:run"] = images.run
    if images.entry is not None:
        text["qimg:entry"] = str(images.entry)
    if isinstance(images.record.get("ledger"), str):
        text["qimg:ledger"] = images.record["ledger"]
    return text


def _canonical(pixels: Bytes) -> bytes:
    return b"qimg.pixels/1\n" + " ".join(str(s) for s in pixels.shape).encode() + b"\n" + pixels.tobytes()


def _digest(pixels: Bytes) -> str:
    return "sha256:" + hashlib.sha256(_canonical(pixels)).hexdigest()


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("qimg-core")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "(not installed)"


@frozen(kw_only=True)
class TrainStep:
    """One step of training, as `Generator.fit` yields it.

    Args:
        step: counts from 1, over interruptions.
        metrics: by name, e.g. ``{"loss": 0.21}``. They are watched, not recorded as they are: the
            ledger holds no floats.
    """

    step: int
    metrics: Mapping[str, float]
