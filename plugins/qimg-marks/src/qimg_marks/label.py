"""The visible label: words in a corner of the picture, or on a strip below it (imports errors; pillow in functions).

GB 45438-2025 asks for letters of at least 5 % of the shortest side of an image; the EU's Code of Practice
for a short "AI" tag. Letters are measured, not the font size: the height of a capital letter counts.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from attrs import field, frozen

from qimg_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

SHARE = 0.05
"""Height of the letters, of the shortest side."""
LEGIBLE = 6
"""Fewest pixels of a capital letter that can be read."""
DEFAULT = "AI"
_PAD = 0.4  # around the words, of the letters' height

Place = Literal["corner", "below"]


@frozen(kw_only=True)
class Label:
    """What to write.

    Args:
        words: one line.
        place: ``corner``: lower right, on the picture. ``below``: on a strip that makes the picture higher;
            for pictures that are too small.
        share: height of the letters, of the shortest side; at least `SHARE`.
        font: a TrueType file for letters that pillow's own font lacks, e.g. Chinese.

    Raises:
        ConfigurationError: no words, several lines, or smaller letters than the rule asks for.
    """

    words: str = DEFAULT
    place: Place = "corner"
    share: float = SHARE
    font: str = ""

    def __attrs_post_init__(self) -> None:
        if not self.words.strip() or not self.words.isprintable() or len(self.words) > 80:
            raise ConfigurationError(f"a label is one line of 1 to 80 characters, got {self.words[:80]!r}")
        if not SHARE <= self.share <= 0.5:
            raise ConfigurationError(f"letters are {SHARE:g} to 0.5 of the shortest side, got {self.share:g}")


@frozen(kw_only=True)
class Drawn:
    """A labelled picture.

    Args:
        pixels: uint8 (h, w, c); higher than before with ``below``.
        letters: height of a capital letter, in pixels.
        box: left, top, right, bottom of the label's ground.
    """

    pixels: Bytes = field(repr=False)
    letters: int
    box: tuple[int, int, int, int]


def draw(image: Bytes, label: Label) -> Drawn:
    """Write a label on one image.

    Args:
        image: uint8 (h, w, c), c = 1 or 3.
        label: what and where.

    Raises:
        DataError: the picture is too small to carry the words, or has transparency; the message says what
            size it would need.
        ConfigurationError: the font lacks a letter.
    """
    import numpy as np
    from PIL import Image, ImageDraw

    height, width, channels = image.shape
    if channels not in (1, 3):
        raise DataError("a label is drawn on a picture without transparency", hint="flatten it first")
    wanted = max(LEGIBLE, math.ceil(label.share * min(height, width)))
    font, letters = _font(label, wanted)
    left, top, right, bottom = font.getbbox(label.words)
    pad = max(1, round(_PAD * letters))
    box_width, box_height = int(right - left) + 2 * pad, int(bottom - top) + 2 * pad
    _check_fits(label, image, box_width, box_height)
    if label.place == "below":
        pixels = np.full((height + box_height, width, channels), 255, np.uint8)
        pixels[:height] = image
        x0, y0 = 0, height
        ground, ink = 255, 0
        x1, y1 = width, height + box_height
    else:
        pixels = image.copy()
        x0, y0 = width - box_width, height - box_height
        x1, y1 = width, height
        dark = float(image[y0:, x0:].mean()) < 128
        ground, ink = (0, 255) if dark else (255, 0)
    canvas = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    pen = ImageDraw.Draw(canvas)
    fill: Any = (lambda v: v) if channels == 1 else (lambda v: (v, v, v))
    pen.rectangle((x0, y0, x1 - 1, y1 - 1), fill=fill(ground))
    pen.text((x0 + pad - left, y0 + pad - top), label.words, font=font, fill=fill(ink))
    out = np.asarray(canvas).reshape(pixels.shape)
    return Drawn(pixels=np.ascontiguousarray(out), letters=letters, box=(x0, y0, x1, y1))


def draw_all(images: Bytes, label: Label) -> tuple[Bytes, Drawn]:
    """`draw` on each image (n, h, w, c); also what the last one looked like."""
    import numpy as np

    drawn = [draw(image, label) for image in images]
    return np.stack([d.pixels for d in drawn]), drawn[-1]


def smallest(label: Label) -> int:
    """Side of the smallest square picture that can carry the words in its corner."""
    low, high = 8, 8
    while not _carries(label, high):
        high *= 2
        if high > 65_536:
            raise ConfigurationError(f"no square picture can carry {label.words!r} at {label.share:g} of its side")
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if _carries(label, middle) else (middle + 1, high)
    return high


def _carries(label: Label, side: int) -> bool:
    font, letters = _font(label, max(LEGIBLE, math.ceil(label.share * side)))
    left, top, right, bottom = font.getbbox(label.words)
    pad = max(1, round(_PAD * letters))
    return bool(right - left + 2 * pad <= side and bottom - top + 2 * pad <= side / 2)


def _check_fits(label: Label, image: Bytes, box_width: int, box_height: int) -> None:
    height, width = image.shape[:2]
    tall = label.place == "corner" and box_height > height / 2
    if box_width <= width and not tall:
        return
    raise DataError(
        f"{width}x{height} pixels are too few for the label {label.words!r}, which is {box_width}x{box_height} in "
        f"letters of {LEGIBLE} pixels or {label.share:.0%} of the shortest side; a square picture carries it from "
        f"{smallest(label)} pixels on",
        hint="fewer words (--label AI), --label-place below, or leave the label out and rely on the other layers",
    )


def _font(label: Label, wanted: int) -> tuple[Any, int]:
    """The smallest size of the font whose capital letters have the wanted height, and their height."""
    size = wanted
    while True:
        font = _load(label, size)
        box = font.getbbox("H")
        letters = int(box[3] - box[1])
        if letters >= wanted:
            _check_letters(label, font)
            return font, letters
        size += 1


def _load(label: Label, size: int) -> Any:
    from PIL import ImageFont

    if not label.font:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(label.font, size)
    except OSError as error:
        raise ConfigurationError(f"{label.font} is no font that pillow reads: {error}") from error


def _check_letters(label: Label, font: Any) -> None:
    """Refuse letters that the font would draw as its empty box."""
    missing = bytes(font.getmask("\U0010ffff"))
    absent = [
        letter for letter in dict.fromkeys(label.words) if letter > "~" and bytes(font.getmask(letter)) == missing
    ]
    if absent:
        raise ConfigurationError(
            f"the font has no {', '.join(repr(letter) for letter in absent[:5])}", hint="name another: --font FILE.ttf"
        )
