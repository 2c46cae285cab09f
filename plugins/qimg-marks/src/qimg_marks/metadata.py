"""The AIGC block in a file's own metadata, and taking it out again (imports picture).

GB 45438-2025 names the fields; the practice guide beside it (TC260-PG) puts the block as JSON into a PNG
text chunk ``AIGC`` and into the Exif field UserComment elsewhere. PNG and JPEG files get it without
touching a pixel. A WebP file carries it in its content credentials only, and this says so.
"""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

from qimg_core import png
from qimg_core.errors import ConfigurationError
from qimg_marks.picture import read_picture

if TYPE_CHECKING:
    from qimg_marks.picture import Picture
    from qimg_marks.record import Aigc

KEY = "AIGC"
_UNICODE, _ASCII = b"UNICODE\0", b"ASCII\0\0\0"
_USER_COMMENT = 0x9286  # Exif 2.32, table 7
_EXIF_IFD = 0x8769


def with_aigc(picture: Picture, block: Aigc) -> Picture:
    """The picture with the block in its metadata; the pixels stay as they are, bit for bit.

    Raises:
        ConfigurationError: a WebP file, or a JPEG that has Exif already.
    """
    if picture.format == "PNG":
        return read_picture(_png(picture.data, block.text()))
    if picture.format == "JPEG":
        return read_picture(_jpeg(picture, block.text()))
    raise ConfigurationError(
        "a WebP file has no place for the AIGC block that leaves its pixels alone",
        hint="use PNG or JPEG, or leave --aigc-producer out",
    )


def read_aigc(picture: Picture) -> dict[str, Any] | None:
    """The block of a file, or None."""
    text = picture.text.get(KEY) if picture.format == "PNG" else _user_comment(picture)
    if not text:
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) and "Label" in found else None


def _png(data: bytes, text: str) -> bytes:
    """Behind the header; a chunk of the same key is replaced."""
    body = KEY.encode() + b"\0\0\0\0\0" + text.encode()  # iTXt: UTF-8, not compressed
    chunk = struct.pack(">I", len(body)) + b"iTXt" + body + struct.pack(">I", zlib.crc32(b"iTXt" + body))
    out, at = [data[: len(png.SIGNATURE)]], len(png.SIGNATURE)
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        whole = data[at : at + 12 + size]
        kind, inside = whole[4:8], whole[8:-4]
        ours = kind in (b"tEXt", b"iTXt") and inside.startswith(KEY.encode() + b"\0")
        if not ours:
            out.append(whole)
        if kind == b"IHDR":
            out.append(chunk)
        at += 12 + size
    return b"".join(out)


def _jpeg(picture: Picture, text: str) -> bytes:
    """As an Exif segment behind the start of the image."""
    from PIL import Image

    if _exif(picture):
        raise ConfigurationError("the JPEG has Exif already, which is not rewritten", hint="use PNG")
    exif = Image.Exif()
    exif.get_ifd(_EXIF_IFD)[_USER_COMMENT] = (
        _ASCII + text.encode() if text.isascii() else _UNICODE + text.encode("utf-16-be")
    )
    body = exif.tobytes()
    segment = b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body
    at = 2
    while picture.data[at : at + 2] == b"\xff\xe0":  # JFIF comes first
        at += 2 + struct.unpack_from(">H", picture.data, at + 2)[0]
    return picture.data[:at] + segment + picture.data[at:]


def _exif(picture: Picture) -> dict[int, Any]:
    import io

    from PIL import Image

    with Image.open(io.BytesIO(picture.data)) as image:
        exif = image.getexif()
        return dict(exif) | dict(exif.get_ifd(_EXIF_IFD))


def _user_comment(picture: Picture) -> str:
    value = _exif(picture).get(_USER_COMMENT, b"")
    if not isinstance(value, bytes):
        return str(value)
    if value.startswith(_UNICODE):
        return value[8:].decode("utf-16-be", "replace")
    return value.removeprefix(_ASCII).decode("utf-8", "replace")
