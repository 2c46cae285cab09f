"""Three fingerprints of one image (imports errors; numpy, pillow and ImageHash in functions).

`phash` is ImageHash's (64 bits of a DCT, 32x32 grey): it survives JPEG, noise and scaling, and says little
about images of few pixels. `block_hash` (256 bits) and `thumbnail` (16x16 grey) keep more of a small
image. None of them proves anything: two images may share all three.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from qimg_core.errors import DataError, PluginIncompatible

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]

SIDE = 16
"""Blocks in a row, and pixels of a thumbnail."""
PHASH_BITS, BLOCK_BITS = 64, SIDE * SIDE
ALGORITHM = "org.qimg.phash.v1"
"""Name of the soft binding by `phash`; private, not in C2PA's list."""


@frozen(kw_only=True)
class Fingerprint:
    """Of one image.

    Args:
        pixels: ``sha256:`` of its 8-bit pixels: the only one that tells images apart.
        phash: 16 hexadecimal digits.
        blocks: 64 hexadecimal digits.
        thumbnail: 256 grey pixels, 16x16 in C order.
    """

    pixels: str
    phash: str
    blocks: str
    thumbnail: bytes = field(repr=False)

    def to_json(self) -> dict[str, str]:
        """For the artefact."""
        small = base64.b64encode(self.thumbnail).decode()
        return {"pixels": self.pixels, "phash": self.phash, "blocks": self.blocks, "thumbnail": small}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Fingerprint:
        """Read `to_json` back.

        Raises:
            DataError: not of that form.
        """
        try:
            found = cls(
                pixels=str(document["pixels"]),
                phash=str(document["phash"]),
                blocks=str(document["blocks"]),
                thumbnail=base64.b64decode(document["thumbnail"], validate=True),
            )
            right = len(bytes.fromhex(found.phash)) == PHASH_BITS // 8
            right &= len(bytes.fromhex(found.blocks)) == BLOCK_BITS // 8 and len(found.thumbnail) == BLOCK_BITS
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"not a fingerprint: {error}") from error
        if not right:
            raise DataError("not a fingerprint: a hash of another length")
        return found


def fingerprint(image: Bytes) -> Fingerprint:
    """Of one image.

    Args:
        image: uint8 (h, w, c), c = 1, 3 or 4; transparency is laid on white.

    Raises:
        PluginIncompatible: ImageHash is not installed.
    """
    from qimg_marks.picture import pixel_digest

    grey = to_grey(image)
    return Fingerprint(
        pixels=pixel_digest(image[None]),
        phash=_phash(grey),
        blocks=_hex(block_bits(grey)),
        thumbnail=_thumbnail(grey),
    )


def to_grey(image: Bytes) -> npt.NDArray[np.float64]:
    """Luma of ITU-R BT.601 in [0, 255], (h, w); transparency on white."""
    import numpy as np

    pixels = image.astype(np.float64)
    if image.shape[2] == 4:
        alpha = pixels[..., 3:] / 255
        pixels = pixels[..., :3] * alpha + 255 * (1 - alpha)
    if pixels.shape[2] == 1:
        return pixels[..., 0]
    weights: npt.NDArray[np.float64] = np.array([0.299, 0.587, 0.114])
    grey: npt.NDArray[np.float64] = pixels @ weights
    return grey


def block_means(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Mean of each of 16x16 equal blocks, (16, 16); a pixel on an edge counts in each block by its area."""
    import numpy as np

    def share(size: int) -> npt.NDArray[np.float64]:
        edges = np.linspace(0, size, SIDE + 1)
        low, high = edges[:-1, None], edges[1:, None]
        cell = np.arange(size)[None, :]
        part = np.clip(np.minimum(high, cell + 1) - np.maximum(low, cell), 0, None)
        weights: npt.NDArray[np.float64] = part / part.sum(axis=1, keepdims=True)
        return weights

    means: npt.NDArray[np.float64] = share(grey.shape[0]) @ grey @ share(grey.shape[1]).T
    return means


def block_bits(grey: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """Is a block lighter than the mean of all? 256 bits, row by row.

    The mean and not the median: most blocks of a digit are black, and their median tells nothing.
    """
    means = block_means(grey)
    bits: npt.NDArray[np.bool_] = (means > means.mean()).reshape(-1)
    return bits


def distance(a: str, b: str) -> int:
    """Bits in which two hashes of the same length differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def _hex(bits: npt.NDArray[np.bool_]) -> str:
    import numpy as np

    return np.packbits(bits).tobytes().hex()


def _thumbnail(grey: npt.NDArray[np.float64]) -> bytes:
    import numpy as np

    return np.floor(block_means(grey) + 0.5).clip(0, 255).astype(np.uint8).tobytes()


def _phash(grey: npt.NDArray[np.float64]) -> str:
    import numpy as np
    from PIL import Image

    try:
        import imagehash
    except ImportError as error:
        raise PluginIncompatible("fingerprints need ImageHash", hint="pip install 'qimg-marks[fingerprint]'") from error
    return str(imagehash.phash(Image.fromarray(np.floor(grey + 0.5).clip(0, 255).astype(np.uint8))))
