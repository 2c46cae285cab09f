"""PNG in and out with the standard library's zlib (floor 1; imports errors and storage).

The core writes its images itself, so that the bytes are the same everywhere, the text that names
run and entry is under our control, and no imaging library is needed. Format: W3C "Portable
Network Graphics (PNG) Specification (Third Edition)"; section numbers below are its.
"""

from __future__ import annotations

import re
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import frozen

from qimg_core.errors import DataError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt

    Pixels = npt.NDArray[np.uint8]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
LARGEST = 1 << 28
"""Most bytes of decoded pixels; a file that claims more is refused before anything is unpacked."""

_TEXT_LARGEST = 1 << 20
_SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}


@frozen(kw_only=True)
class _Header:
    width: int
    height: int
    depth: int
    colour: int

    @property
    def stride(self) -> int:
        """Bytes of one row without its filter byte."""
        return (self.width * _SAMPLES[self.colour] * self.depth + 7) // 8

    @property
    def step(self) -> int:
        """Bytes between a sample and the one to its left, at least 1 (section 9.2)."""
        return max(1, _SAMPLES[self.colour] * self.depth // 8)


def encode(pixels: npt.ArrayLike, text: Mapping[str, str] | None = None) -> bytes:
    """Pixels as a PNG file. The same pixels and text give the same bytes under the same zlib.

    Args:
        pixels: uint8, (h, w) or (h, w, 1) for grey, (h, w, 3) for RGB.
        text: keywords and values for the file's text chunks, written in order of keyword: tEXt
            where the value is Latin-1, iTXt (UTF-8) elsewhere.

    Raises:
        DataError: another type or shape, or a keyword that PNG does not allow.
    """
    import numpy as np

    array = np.asarray(pixels)
    if array.ndim == 2:
        array = array[..., None]
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (1, 3) or 0 in array.shape:
        raise DataError(
            f"a PNG is written from uint8 pixels (h, w), (h, w, 1) or (h, w, 3), got {array.dtype} {array.shape}",
            hint="Images.to_uint8() makes them from values in [0, 1]",
        )
    height, width, channels = array.shape
    chunks = [_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0 if channels == 1 else 2, 0, 0, 0))]
    chunks += [_text_chunk(key, value) for key, value in sorted((text or {}).items())]
    chunks += [_chunk(b"IDAT", _compressed(array)), _chunk(b"IEND", b"")]
    return SIGNATURE + b"".join(chunks)


def write(path: str | os.PathLike[str], pixels: npt.ArrayLike, text: Mapping[str, str] | None = None) -> None:
    """`encode` to a file, which appears whole or not at all.

    Raises:
        DataError: as `encode`; nothing is written.
        StorageError: disk full, read-only, or not a place that can be written.
    """
    from qimg_core.storage import write_atomic

    data = encode(pixels, text)
    write_atomic(Path(path), data)


def read(path: str | os.PathLike[str]) -> tuple[Pixels, dict[str, str]]:
    """`decode` of a file.

    Raises:
        DataError: as `decode`, or the file cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    return decode(data, name=str(path))


def decode(data: bytes, *, name: str = "PNG data") -> tuple[Pixels, dict[str, str]]:
    """Pixels and text of a PNG.

    Reads grey, RGB, palette, grey with alpha and RGBA, up to 8 bits, not interlaced. Palettes are
    looked up and fewer than 8 grey bits scaled to 0..255, so that the pixels mean the same in every
    colour type. Checksums are checked. Gamma and colour profiles are not applied.

    Args:
        data: the file's bytes.
        name: what to call them in an error.

    Returns:
        Pixels uint8 (h, w, c), c = 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA; and the text chunks.

    Raises:
        DataError: not a PNG, truncated, damaged, too large, 16-bit or interlaced.
    """
    try:
        return _decode(data)
    except DataError as error:
        raise DataError(f"{name}: {error.message}", hint=error.hint) from error


def _decode(data: bytes) -> tuple[Pixels, dict[str, str]]:
    chunks = _chunks(data)
    kind, body = next(chunks)
    if kind != b"IHDR":
        raise DataError("not a PNG: its first chunk is not IHDR")
    header = _header(body)
    text: dict[str, str] = {}
    packed: list[bytes] = []
    palette = transparent = b""
    for kind, body in chunks:
        if kind == b"IDAT":
            packed.append(body)
        elif kind == b"PLTE":
            palette = body
        elif kind == b"tRNS":
            transparent = body
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            key, value = _text(kind, body)
            text[key] = value
        elif kind != b"IEND" and not kind[0] & 0x20:  # section 5.4: a critical chunk may not be skipped
            raise DataError(f"PNG with a critical chunk {kind!r} that this reader does not know")
    raw = _inflate(b"".join(packed), (header.stride + 1) * header.height)
    samples = _samples(header, _unfilter(raw, header))
    return _colours(header, samples, palette, transparent), text


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _text_chunk(key: str, value: str) -> bytes:
    try:
        keyword = key.encode("latin-1")
    except UnicodeEncodeError:
        keyword = b""
    if not re.fullmatch(r"[ -~\xa1-\xff]{1,79}", key) or key != key.strip() or "  " in key or not keyword:
        raise DataError(f"a PNG keyword is 1 to 79 printable Latin-1 characters without outer spaces, got {key!r}")
    if "\0" in value:
        raise DataError(f"PNG text {key!r} holds a NUL character")
    if re.fullmatch(r"[\n -~\xa0-\xff]*", value):
        return _chunk(b"tEXt", keyword + b"\0" + value.encode("latin-1"))
    return _chunk(b"iTXt", keyword + b"\0\0\0\0\0" + value.encode("utf-8", "strict"))


def _compressed(array: Pixels) -> bytes:
    """The smallest of three files: rows unfiltered, minus the pixel to the left, minus the row above."""
    import numpy as np

    height, width, channels = array.shape
    left = array.copy()
    left[:, 1:] -= array[:, :-1]
    up = array.copy()
    up[1:] -= array[:-1]
    packed = []
    for number, filtered in enumerate((array, left, up)):
        rows = np.empty((height, 1 + width * channels), np.uint8)
        rows[:, 0] = number
        rows[:, 1:] = filtered.reshape(height, -1)
        packed.append(zlib.compress(rows.tobytes(), 9))
    return min(packed, key=len)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk's type and body, checksum checked, up to and with IEND."""
    if data[:8] != SIGNATURE:
        raise DataError("not a PNG file", hint="only PNG is read; convert other formats first")
    at = 8
    while True:
        if at + 12 > len(data):
            raise DataError("truncated PNG: it ends before its IEND chunk")
        (size,) = struct.unpack_from(">I", data, at)
        kind, end = data[at + 4 : at + 8], at + 8 + size
        if end + 4 > len(data):
            raise DataError(f"truncated PNG: its {kind!r} chunk is cut off")
        body = data[at + 8 : end]
        if struct.unpack_from(">I", data, end)[0] != zlib.crc32(kind + body):
            raise DataError(f"damaged PNG: wrong checksum in its {kind!r} chunk")
        yield kind, body
        if kind == b"IEND":
            return
        at = end + 4


def _header(body: bytes) -> _Header:
    if len(body) != 13:
        raise DataError("damaged PNG: wrong IHDR length")
    width, height, depth, colour, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if depth not in _DEPTHS.get(colour, ()) or compression or filtering or interlace > 1 or not width * height:
        raise DataError("damaged PNG: its header holds values that PNG does not allow")
    if depth == 16:
        raise DataError("16-bit PNG: only up to 8 bits are read", hint="convert it to 8 bits per channel first")
    if interlace:
        raise DataError("interlaced PNG: not read", hint="save it again without interlacing")
    if width * height * 4 > LARGEST:
        raise DataError(f"PNG of {width}x{height} pixels: larger than this reader takes", hint="cut or shrink it first")
    return _Header(width=width, height=height, depth=depth, colour=colour)


def _text(kind: bytes, body: bytes) -> tuple[str, str]:
    key, zero, rest = body.partition(b"\0")
    try:
        if not zero:
            raise DataError("no NUL after the keyword")
        encoding = "latin-1"
        if kind == b"zTXt":
            rest = _inflate_text(rest[1:])
        elif kind == b"iTXt":
            compressed, encoding = rest[:1] == b"\1", "utf-8"
            rest = rest[2:].split(b"\0", 2)[2]
            rest = _inflate_text(rest) if compressed else rest
        return key.decode("latin-1"), rest.decode(encoding)
    except (IndexError, UnicodeDecodeError, zlib.error, DataError) as error:
        raise DataError(f"damaged PNG: its {kind.decode()} chunk cannot be read: {error}") from error


def _inflate_text(packed: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    text = unpacker.decompress(packed, _TEXT_LARGEST)
    if not unpacker.eof:
        raise DataError("truncated, or longer than 1 MiB")
    return text


def _inflate(packed: bytes, size: int) -> bytes:
    """Exactly ``size`` bytes; never unpacks more, whatever the file claims to hold."""
    try:
        raw = zlib.decompressobj().decompress(packed, size + 1)
    except zlib.error as error:
        raise DataError(f"damaged PNG: {error}") from error
    if len(raw) < size:
        raise DataError("truncated PNG: fewer pixels than its header says")
    if len(raw) > size:
        raise DataError("damaged PNG: more pixels than its header says")
    return raw


def _unfilter(raw: bytes, header: _Header) -> Pixels:
    """Undo the row filters of section 9: (height, stride) bytes."""
    import numpy as np

    rows = np.frombuffer(raw, np.uint8).reshape(header.height, header.stride + 1)
    kinds, data = rows[:, 0], rows[:, 1:]
    if kinds.max() > 4:
        raise DataError(f"damaged PNG: row filter {kinds.max()} does not exist")
    if not kinds.any():
        return data.copy()
    out = np.empty_like(data)
    above = np.zeros(header.stride, np.uint8)
    for y, kind in enumerate(kinds):
        line = data[y]
        if kind == 1:
            line = np.cumsum(line.reshape(-1, header.step), axis=0, dtype=np.uint8).reshape(-1)
        elif kind == 2:
            line = line + above
        elif kind in (3, 4):
            recover = _average if kind == 3 else _paeth
            line = np.frombuffer(recover(line.tobytes(), above.tobytes(), header.step), np.uint8)
        out[y] = above = line
    return out


def _average(line: bytes, above: bytes, step: int) -> bytes:
    out = bytearray(line)
    for i, up in enumerate(above):
        left = out[i - step] if i >= step else 0
        out[i] = (out[i] + ((left + up) >> 1)) & 255
    return bytes(out)


def _paeth(line: bytes, above: bytes, step: int) -> bytes:
    """Section 9.4: predict with whichever of left, up, upper left is nearest to left + up - upper left."""
    out = bytearray(line)
    for i, up in enumerate(above):
        left, corner = (out[i - step], above[i - step]) if i >= step else (0, 0)
        to_left, to_up, to_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
        nearest = left if to_left <= to_up and to_left <= to_corner else up if to_up <= to_corner else corner
        out[i] = (out[i] + nearest) & 255
    return bytes(out)


def _samples(header: _Header, rows: Pixels) -> Pixels:
    """(h, w, samples), not yet scaled or looked up."""
    import numpy as np

    if header.depth < 8:
        bits = np.unpackbits(rows, axis=1).reshape(header.height, -1, header.depth)[:, : header.width]
        weights = (1 << np.arange(header.depth)[::-1]).astype(np.uint8)
        rows = (bits * weights).sum(axis=2, dtype=np.uint8)
    return rows.reshape(header.height, header.width, _SAMPLES[header.colour])


def _colours(header: _Header, samples: Pixels, palette: bytes, transparent: bytes) -> Pixels:
    import numpy as np

    alpha: Any = None
    if header.colour == 3:
        if not palette or len(palette) % 3 or samples.max() >= len(palette) // 3:
            raise DataError("damaged PNG: a pixel names a colour that is not in its palette")
        table = np.frombuffer(palette, np.uint8).reshape(-1, 3)
        if transparent:
            alphas = np.full(max(len(table), len(transparent)), 255, np.uint8)
            alphas[: len(transparent)] = np.frombuffer(transparent, np.uint8)
            alpha = alphas[samples]
        samples = table[samples[..., 0]]
    elif transparent and header.colour in (0, 2):
        key = np.frombuffer(transparent, ">u2")
        if key.size != samples.shape[2]:
            raise DataError("damaged PNG: wrong tRNS length")
        alpha = np.where((samples == key).all(axis=2, keepdims=True), 0, 255).astype(np.uint8)
    if header.colour == 0 and header.depth < 8:
        samples = samples * np.uint8(255 // ((1 << header.depth) - 1))
    return samples if alpha is None else np.concatenate([samples, alpha], axis=2)
