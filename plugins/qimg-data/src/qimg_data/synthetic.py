"""Drawn digits that show nobody's data: the baseline that prototypes start on (imports numpy, datasets).

Seven-segment digits, 28x28, 8 bit: place, size, thickness, slant and brightness vary, and noise is added. Integer
arithmetic and a PCG64 stream only, so that every machine draws the same bytes; the digests are pinned.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from qimg_core.datasets import ArraySource
from qimg_core.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    import numpy.typing as npt

SEED = 20_251_121
SIZES = {"train": 8000, "test": 2000}
DIGESTS = {
    "train": "sha256:a2297f70a00726cd31e8a264945ca3f64d710e026ee7268f4611b1022b050220",
    "test": "sha256:1c31b11d76d53cbf2efcccf73b9946ddea453872b202e76c922858c7b6e041c5",
}
"""What `open_synthetic` has to give; another digest is refused."""
SIDE = 28
#       top, upper left, upper right, middle, lower left, lower right, bottom
_LIT = ("1110111", "0010010", "1011101", "1011011", "0111010", "1101011", "1101111", "1010010", "1111111", "1111011")


def open_synthetic(*, split: str = "train") -> ArraySource:
    """The baseline, class 0 to 9 in turn.

    Raises:
        ConfigurationError: no such split.
        DataError: this machine draws other bytes than those that are pinned.
    """
    if split not in SIZES:
        raise ConfigurationError(f"a split is 'train' or 'test', got {split!r}")
    n = SIZES[split]
    labels = np.arange(n, dtype=np.int64) % 10
    source = ArraySource(
        name=f"synthetic/{split}",
        pixels=draw(labels, seed=SEED + (split == "test")),
        labels=labels,
        provenance={"format": "drawn", "by": "qimg_data.synthetic", "split": split, "seed": SEED, "shows": "nobody"},
    )
    if source.digest != DIGESTS[split]:
        raise DataError(f"synthetic/{split} has the digest {source.digest}, pinned is {DIGESTS[split]}")
    return source


def draw(labels: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.uint8]:
    """Digits as uint8 (n, 28, 28, 1).

    Args:
        labels: (n,) from 0 to 9.
        seed: of the PCG64 stream.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    raw = rng.integers(0, 1 << 32, size=(len(labels), 8), dtype=np.uint64).astype(np.int64)
    noise = rng.integers(0, 24, size=(len(labels), SIDE, SIDE), dtype=np.uint8)
    out = np.zeros((len(labels), SIDE, SIDE), np.uint8)
    for i, label in enumerate(labels):
        out[i] = _digit(int(label), raw[i])
    made: npt.NDArray[np.uint8] = np.minimum(out.astype(np.uint16) + noise, 255).astype(np.uint8)
    return made[..., None]


def _digit(label: int, numbers: Any) -> npt.NDArray[np.uint8]:
    height, width = 16 + int(numbers[0]) % 5, 8 + int(numbers[1]) % 5
    thick = 2 + int(numbers[2]) % 2
    top, left = 2 + int(numbers[3]) % (SIDE - height - 3), 4 + int(numbers[4]) % (SIDE - width - 8)
    light, slant = 150 + int(numbers[5]) % 82, int(numbers[6]) % 5 - 2
    box = np.zeros((height, width), np.uint8)
    middle = height // 2
    parts = (
        (slice(0, thick), slice(None)),
        (slice(0, middle), slice(0, thick)),
        (slice(0, middle), slice(width - thick, width)),
        (slice(middle - thick // 2, middle - thick // 2 + thick), slice(None)),
        (slice(middle, height), slice(0, thick)),
        (slice(middle, height), slice(width - thick, width)),
        (slice(height - thick, height), slice(None)),
    )
    for lit, place in zip(_LIT[label], parts, strict=True):
        if lit == "1":
            box[place] = light
    page = np.zeros((SIDE, SIDE), np.uint8)
    for row in range(height):
        shift = slant * (middle - row) // middle
        page[top + row, left + shift : left + shift + width] = box[row]
    return page
