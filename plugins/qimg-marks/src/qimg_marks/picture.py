"""`Picture`: one image file as bytes, pixels and text, and back (imports qimg_core.png, images; pillow in functions).

PNG, JPEG and WebP. PNG of this SDK keep their text and are cut into their images again. What a picture
is made of is told from its content, never from its name.
"""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_core import png
from qimg_core.errors import DataError
from qimg_core.storage import storage_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

Format = Literal["PNG", "JPEG", "WEBP"]
MIME: dict[str, str] = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
SUFFIXES: dict[str, tuple[str, ...]] = {"PNG": (".png",), "JPEG": (".jpg", ".jpeg"), "WEBP": (".webp",)}
SIDECAR = ".c2pa"
"""Content credentials of ``NAME.png`` that are not in the file lie in ``NAME.c2pa``."""
QUALITY = 95
"""Of JPEG and WebP files whose pixels a mark changed."""

_GRID = re.compile(r"n=(\d{1,9}) columns=(\d{1,9}) pad=(\d{1,9}) height=(\d{1,9}) width=(\d{1,9})")


@frozen(kw_only=True, eq=False)
class Picture:
    """One file.

    Args:
        data: the file.
        format: PNG, JPEG or WEBP.
        pixels: uint8 (n, h, w, c): its images, n = 1 but for a grid of this SDK; c = 1, 3, or 4 with
            transparency.
        text: of a PNG's text chunks.
        whole: uint8 (h, w, c): the picture as it is seen; a grid is one picture there.
        beside: the manifest store that lies beside the file; empty where there is none.
    """

    data: bytes = field(repr=False)
    format: Format
    pixels: Bytes = field(repr=False)
    text: Mapping[str, str] = field(factory=dict, repr=False)
    whole: Bytes = field(repr=False)
    beside: bytes = field(default=b"", repr=False)

    @property
    def digest(self) -> str:
        """Of the pixels, as `qimg_core.images.Images.digest` defines it."""
        return pixel_digest(self.pixels)

    @property
    def file_digest(self) -> str:
        """``sha256:`` of the file."""
        return "sha256:" + hashlib.sha256(self.data).hexdigest()

    @property
    def mime(self) -> str:
        """Its media type."""
        return MIME[self.format]


def pixel_digest(pixels: Bytes) -> str:
    """``sha256:`` over ``qimg.pixels/1``, newline, ``n h w c``, newline, the pixels (n, h, w, c) in C order."""
    head = "qimg.pixels/1\n" + " ".join(str(s) for s in pixels.shape) + "\n"
    return "sha256:" + hashlib.sha256(head.encode() + pixels.tobytes()).hexdigest()


def format_of(data: bytes) -> Format | None:
    """By its first bytes; None for anything else."""
    if data.startswith(png.SIGNATURE):
        return "PNG"
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    return None


def open_picture(path: str | Path) -> Picture:
    """Read a file.

    Raises:
        DataError: no such file, no picture of these formats, damaged, animated, or larger than is read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    beside = Path(path).with_suffix(SIDECAR)
    return read_picture(data, name=str(path), beside=beside.read_bytes() if beside.is_file() else b"")


def read_picture(data: bytes, *, name: str = "the picture", beside: bytes = b"") -> Picture:
    """Read the bytes of a file; see `open_picture`."""
    kind = format_of(data)
    if kind is None:
        raise DataError(f"{name} is no PNG, JPEG or WebP", hint="convert it first")
    if kind == "PNG":
        try:
            whole, text = png.decode(data, name=name)
        except DataError:  # 16 bits, interlaced: pillow reads what the core's own reader leaves out
            whole, text = _decoded(data, name), {}
        if whole.shape[2] == 2:
            whole = _decoded(data, name)
    else:
        whole, text = _decoded(data, name), {}
    return Picture(data=data, format=kind, pixels=_cut(whole, text, name), text=text, whole=whole, beside=beside)


def _decoded(data: bytes, name: str) -> Bytes:
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height * 4 > png.LARGEST:
                raise DataError(f"{name}: {image.width}x{image.height} pixels, larger than is read", hint="shrink it")
            if getattr(image, "n_frames", 1) > 1:
                raise DataError(f"{name}: an animation of {getattr(image, 'n_frames', 1)} frames", hint="mark a still")
            return np.ascontiguousarray(_plain(image))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{name}: damaged picture ({error})") from error


def _plain(image: Any) -> Bytes:
    import numpy as np

    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))[..., None]
    if image.mode in ("I", "I;16", "I;16B"):
        return (np.asarray(image).astype(np.int64) >> 8).clip(0, 255).astype(np.uint8)[..., None]
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    return np.asarray(image.convert("RGBA" if transparent else "RGB"))


def _corners(layout: str, whole: Bytes, name: str) -> tuple[list[tuple[int, int]], int, int]:
    """Top left corners of the images of a grid that `qimg_core.images` laid out, and their height and width."""
    found = _GRID.fullmatch(layout)
    n, columns, pad, height, width = (int(part) for part in found.groups()) if found else (0, 0, 0, 0, 0)
    if not (n and columns and height and width):
        raise DataError(f"{name}: its qimg:grid text cannot be read: {layout!r}")
    rows = -(-n // columns)
    if whole.shape[:2] != (rows * (height + pad) - pad, columns * (width + pad) - pad):
        raise DataError(f"{name}: is {whole.shape[1]}x{whole.shape[0]} pixels, which is not the grid {layout!r}")
    return [((i // columns) * (height + pad), (i % columns) * (width + pad)) for i in range(n)], height, width


def _cut(whole: Bytes, text: Mapping[str, str], name: str) -> Bytes:
    import numpy as np

    if "qimg:grid" not in text or whole.shape[2] not in (1, 3):
        return whole[None]
    corners, height, width = _corners(text["qimg:grid"], whole, name)
    return np.stack([whole[top : top + height, left : left + width] for top, left in corners])


def with_pixels(picture: Picture, pixels: Bytes, text: Mapping[str, str] | None = None) -> Picture:
    """The picture with other pixels in the same format: PNG lossless, JPEG and WebP at quality 95 without subsampling.

    Args:
        picture: what it was.
        pixels: uint8, the shape of ``picture.pixels``; or (1, h, w, c) of another size, which ends a grid.
        text: PNG text instead of the picture's own.

    Returns:
        The picture as a reader will see it: lossy formats are decoded again.

    Raises:
        DataError: transparency, which a changed picture would lose.
    """
    if pixels.shape[3] not in (1, 3):
        raise DataError("the picture has transparency; a mark in the pixels would lose it", hint="flatten it first")
    text = dict(picture.text if text is None else text)
    whole = _laid_out(picture, pixels) if "qimg:grid" in text else pixels[0]
    if "qimg:pixels" in text:
        text["qimg:pixels"] = pixel_digest(pixels)
    data = png.encode(whole, text) if picture.format == "PNG" else _encoded(whole, picture)
    return read_picture(data)


def _laid_out(picture: Picture, pixels: Bytes) -> Bytes:
    """Put the images of a grid back where they were."""
    whole = picture.whole.copy()
    corners, height, width = _corners(picture.text["qimg:grid"], whole, "the grid")
    for image, (top, left) in zip(pixels, corners, strict=True):
        whole[top : top + height, left : left + width] = image
    return whole


def _encoded(whole: Bytes, picture: Picture) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    array = whole[..., 0] if whole.shape[2] == 1 else whole
    options: dict[str, Any] = {"quality": QUALITY}
    if picture.format == "JPEG":
        options["subsampling"] = 0
    with Image.open(io.BytesIO(picture.data)) as before:
        for name in ("exif", "icc_profile"):
            if before.info.get(name):
                options[name] = before.info[name]
    Image.fromarray(array).save(out, picture.format, **options)
    return out.getvalue()


def write_picture(path: Path, data: bytes) -> None:
    """The file, whole or not at all.

    Raises:
        StorageError
    """
    from qimg_core.storage import ensure_folder, write_atomic

    try:
        ensure_folder(path.parent)
    except OSError as error:
        raise storage_error(error, "write", path) from error
    write_atomic(path, data)
